#include "dbt/dbt_int.h"

/*
 * Blocks: found by (rip, gpa, mode), by the guest page they came from, and by
 * host address.  The caller holds d->lock.
 */

static uint32_t block_hash(uint64_t rip, gpa_t gpa, uint32_t mode)
{
	uint64_t h = (rip ^ gpa >> 12 ^ (uint64_t)mode << 40) *
		     0x9e3779b97f4a7c15ull;

	return h >> (64 - HASH_BITS);
}

struct block *block_find(struct dbt *d, uint64_t rip, gpa_t gpa, uint32_t mode)
{
	struct block *b = __atomic_load_n(&d->hash[block_hash(rip, gpa, mode)],
					  __ATOMIC_ACQUIRE);

	while (b && (b->rip != rip || b->gpa != gpa || b->mode != mode))
		b = __atomic_load_n(&b->hash_next, __ATOMIC_ACQUIRE);
	return b;
}

int block_note(struct dbt *d, struct block *b, const uint8_t *src)
{
	unsigned int start = b->gpa & ~PAGE_MASK;
	unsigned int end = start + b->len, room = PAGE_SIZE - start;

	if (d->nr_blocks == MAX_BLOCKS)
		return -1;
	if (b->gpa2 &&
	    page_enter(d, b, b->gpa2, 0, end - PAGE_SIZE, src + room))
		return -1;
	if (!page_enter(d, b, b->gpa, start, end < PAGE_SIZE ? end : PAGE_SIZE,
			src))
		return 0;
	/* The second page knows it: nobody must kill it, its code is
	 * overwritten by the next block. */
	b->dead = true;
	return -1;
}

void block_add(struct dbt *d, struct block *b)
{
	struct block **bucket = &d->hash[block_hash(b->rip, b->gpa, b->mode)];

	b->hash_next = *bucket;
	/* block_find() and block_at() go without the lock. */
	__atomic_store_n(bucket, b, __ATOMIC_RELEASE);
	d->by_addr[d->nr_blocks] = b;
	__atomic_store_n(&d->nr_blocks, d->nr_blocks + 1, __ATOMIC_RELEASE);
}

struct block *block_at(struct dbt *d, const uint8_t *host)
{
	uint32_t lo = 0, n = __atomic_load_n(&d->nr_blocks, __ATOMIC_ACQUIRE);
	uint32_t hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (host >= d->by_addr[mid]->end)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == n || host < d->by_addr[lo]->ientry)
		return NULL;
	return d->by_addr[lo];
}

const struct pcmap *block_insn(const struct block *b, const uint8_t *host)
{
	uint32_t off = host - b->ientry;
	unsigned int i = b->nr_insns;

	while (i > 1 && b->map[i - 1].host > off)
		i--;
	return &b->map[i - 1];
}

static void patch_rel32(uint8_t *site_w, const uint8_t *site_x,
			const uint8_t *target)
{
	int32_t rel = target - (site_x + 4);

	__atomic_store_n((int32_t *)site_w, rel, __ATOMIC_RELAXED);
}

/*
 * A jump within a page of guest addresses may be patched if both ends are in
 * one guest page, too: between a change of a page table and the flush behind it
 * old code runs, but the target is looked up anew.
 */
static bool may_link(const struct block *from, const struct block *b)
{
	return !from->dead && !((from->gpa ^ b->gpa) >> PAGE_SHIFT) &&
	       !((from->mode ^ b->mode) & MODE_PIC);
}

void block_link(struct dbt *d, const struct link_stub *s, struct block *b)
{
	int64_t xdiff = d->code_x - d->code_w;
	uint8_t *site_x = (uint8_t *)s + s->site;
	struct block *from = d->by_addr[s->block];
	struct link *l;

	if (!may_link(from, b))
		return;
	l = meta_alloc(d, sizeof(*l));
	if (!l)
		return;
	/* The stub starts with the five bytes of its CALL. */
	*l = (struct link){ .site = site_x - xdiff,
			    .stub = (uint8_t *)s - 5,
			    .from = from,
			    .next = b->links };
	b->links = l;
	patch_rel32(l->site, site_x, s->back ? b->checked : b->entry);
}

static void hash_remove(struct dbt *d, struct block *b)
{
	struct block **p = &d->hash[block_hash(b->rip, b->gpa, b->mode)];

	while (*p && *p != b)
		p = &(*p)->hash_next;
	/* block_find() may be at @b, which still leads on. */
	if (*p)
		__atomic_store_n(p, b->hash_next, __ATOMIC_RELEASE);
}

/* Nobody finds or jumps to @b anew. */
static void block_retire(struct dbt *d, struct block *b)
{
	int64_t xdiff = d->code_x - d->code_w;

	hash_remove(d, b);
	b->dead = true;
	/* The jump of a dead block stays as it is, since it may be where the
	 * call is that sends visitors away. */
	for (struct link *l = b->links; l; l = l->next)
		if (!l->from->dead)
			patch_rel32(l->site, l->site + xdiff, l->stub);
	b->links = NULL;
}

void block_kill(struct dbt *d, struct block *b)
{
	uint8_t *w = b->entry - (d->code_x - d->code_w);

	block_retire(d, b);
	/* Whoever still comes (jump caches) is sent back to look again. */
	w[0] = 0xe8;
	patch_rel32(w + 1, b->entry + 1, d->thunk[LEAVE_STALE]);
}

void block_outdated(struct dbt *d, struct block *b)
{
	if (b->dead)
		return;
	block_retire(d, b);
	page_forget(d, b);
}
