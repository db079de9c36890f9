#include "dbt/dbt_int.h"

/*
 * Guest pages that code was translated from: which bytes, what they were, and
 * the blocks made of them.  The caller holds d->lock but where the header says
 * otherwise.
 */
/* Dead blocks that a page's list may have before it is gone through. */
#define MAX_DEAD 64

static struct code_page **page_bucket(struct dbt *d, gpa_t gpa)
{
	uint64_t h = (gpa >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull;

	return &d->pages[h >> (64 - PAGE_HASH_BITS)];
}

struct code_page *page_find(struct dbt *d, gpa_t gpa)
{
	struct code_page *p =
		__atomic_load_n(page_bucket(d, gpa), __ATOMIC_ACQUIRE);

	while (p && p->gpa != (gpa & PAGE_MASK))
		p = p->next;
	return p;
}

static struct code_page *page_make(struct dbt *d, gpa_t gpa)
{
	struct code_page **bucket = page_bucket(d, gpa);
	struct code_page *p = page_find(d, gpa);

	if (p)
		return p;
	p = meta_alloc(d, sizeof(*p));
	if (!p)
		return NULL;
	__builtin_memset(p, 0, sizeof(*p));
	p->gpa = gpa & PAGE_MASK;
	p->copy = meta_alloc(d, PAGE_SIZE);
	if (!p->copy)
		return NULL;
	p->next = *bucket;
	__atomic_store_n(bucket, p, __ATOMIC_RELEASE);
	return p;
}

uint64_t page_key(struct dbt *d, uint64_t rip, gpa_t gpa, uint32_t *mode)
{
	const struct code_page *p = page_find(d, gpa);

	/* Without the lock: an old answer makes one more block. */
	if (likely(!p ||
		   __atomic_load_n(&p->base, __ATOMIC_RELAXED) ==
			   (rip & PAGE_MASK) ||
		   !__atomic_load_n(&p->refs, __ATOMIC_RELAXED) ||
		   (*mode & MODE_CODE_SIZE) != CODE64))
		return rip;
	*mode |= MODE_PIC;
	return pic_rip(rip);
}

/* The part of [start, end) in the 64 bytes of word @n of a bit map. */
static uint64_t word_mask(unsigned int n, unsigned int start, unsigned int end)
{
	unsigned int lo = start > n * 64 ? start - n * 64 : 0;
	unsigned int hi = end < n * 64 + 64 ? end - n * 64 : 64;

	return MASK(hi) & ~MASK(lo);
}

/* page_agrees() goes without the lock: first the copy, then a byte's bit. */
static void bytes_set(struct code_page *p, unsigned int start, unsigned int end)
{
	for (unsigned int n = start / 64; n <= (end - 1) / 64; n++)
		__atomic_fetch_or(&p->bytes[n], word_mask(n, start, end),
				  __ATOMIC_RELEASE);
	__atomic_fetch_or(&p->lines, word_mask(0, start / 64, (end + 63) / 64),
			  __ATOMIC_RELEASE);
}

bool page_holds(const struct code_page *p, unsigned int start, unsigned int end)
{
	for (unsigned int n = start / 64; n <= (end - 1) / 64; n++)
		if (p->bytes[n] & word_mask(n, start, end))
			return true;
	return false;
}

/* Whether @src is what blocks of the page were made of, as far as they were. */
static bool bytes_agree(const struct code_page *p, unsigned int start,
			unsigned int end, const uint8_t *src)
{
	if (!page_holds(p, start, end))
		return true;
	for (unsigned int i = start; i < end; i++)
		if ((p->bytes[i / 64] & BIT(i % 64)) &&
		    p->copy[i] != src[i - start])
			return false;
	return true;
}

int page_enter(struct dbt *d, struct block *b, gpa_t gpa, unsigned int start,
	       unsigned int end, const uint8_t *src)
{
	struct code_page *p = page_make(d, gpa);
	struct page_ref *r = meta_alloc(d, sizeof(*r));

	if (!r || !p)
		return -1;
	if (!b->self) {
		if (!bytes_agree(p, start, end, src)) {
			d->conflict = true;
			return -1;
		}
		__builtin_memcpy(p->copy + start, src, end - start);
		bytes_set(p, start, end);
	}
	if (!p->refs)
		__atomic_store_n(&p->base,
				 (b->rip & PAGE_MASK) +
					 (gpa == b->gpa ? 0 : PAGE_SIZE),
				 __ATOMIC_RELAXED);
	if (gpa == b->gpa)
		b->page = p;
	else
		b->page2 = p;
	*r = (struct page_ref){
		.block = b, .start = start, .end = end, .next = p->refs
	};
	__atomic_store_n(&p->refs, r, __ATOMIC_RELEASE);
	return 0;
}

static void forget_dead(struct code_page *p)
{
	struct page_ref **pr = &p->refs;

	p->nr_dead = 0;
	while (*pr) {
		if ((*pr)->block->dead)
			__atomic_store_n(pr, (*pr)->next, __ATOMIC_RELAXED);
		else
			pr = &(*pr)->next;
	}
}

/* Forgets dead blocks, and which bytes only they were made of. */
static void page_clean(struct code_page *p)
{
	forget_dead(p);
	__builtin_memset(p->bytes, 0, sizeof(p->bytes));
	p->lines = 0;
	for (struct page_ref *r = p->refs; r; r = r->next)
		if (!r->block->self)
			bytes_set(p, r->start, r->end);
}

bool page_kill_range(struct dbt *d, gpa_t gpa, unsigned int len)
{
	struct code_page *p = page_find(d, gpa);
	unsigned int start = gpa & ~PAGE_MASK;
	bool killed = false;

	if (!p)
		return false;
	for (struct page_ref *r = p->refs; r; r = r->next) {
		if (r->start >= start + len || start >= r->end)
			continue;
		if (!r->block->dead)
			block_kill(d, r->block);
		killed = true;
	}
	if (killed)
		page_clean(p);
	return p->refs;
}

void page_forget(struct dbt *d, struct block *b)
{
	struct code_page *p = page_find(d, b->gpa);

	if (p && ++p->nr_dead > MAX_DEAD)
		forget_dead(p);
	p = b->gpa2 ? page_find(d, b->gpa2) : NULL;
	if (p && ++p->nr_dead > MAX_DEAD)
		forget_dead(p);
}

/* Eight bits to eight bytes of zeros or ones. */
static uint64_t spread(uint64_t bits)
{
	uint64_t bytes;

	__asm__("pdep %2, %1, %0"
		: "=r"(bytes)
		: "r"(bits), "r"(0x0101010101010101ull));
	return bytes * 0xff;
}

/*
 * Others may write bytes beside those that count here, in the same quadwords:
 * of guest memory, and of the copy.
 */
__attribute__((no_sanitize("thread"))) bool page_agrees(
	const struct code_page *p, const uint8_t *mem)
{
	const uint64_t *now = (const uint64_t *)mem;
	const uint64_t *then = (const uint64_t *)p->copy;

	uint64_t lines = __atomic_load_n(&p->lines, __ATOMIC_ACQUIRE);
	uint64_t diff = 0;

	for (; lines; lines &= lines - 1) {
		unsigned int n = __builtin_ctzll(lines), i = 8 * n;
		uint64_t bits = __atomic_load_n(&p->bytes[n], __ATOMIC_ACQUIRE);

		if (bits == ~0ull) {
			for (; i < 8 * n + 8; i++)
				diff |= now[i] ^ then[i];
			continue;
		}
		for (; bits; i++, bits >>= 8)
			diff |= (now[i] ^ then[i]) & spread(bits & 0xff);
	}
	return !diff;
}

void page_kill_stale(struct dbt *d, struct code_page *p, const uint8_t *mem)
{
	for (struct page_ref *r = p->refs; r; r = r->next)
		if (!r->block->dead && !r->block->self &&
		    __builtin_memcmp(p->copy + r->start, mem + r->start,
				     r->end - r->start))
			block_kill(d, r->block);
	page_clean(p);
}
