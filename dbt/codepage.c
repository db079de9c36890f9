#include "dbt/dbt_int.h"

/*
 * Guest pages that code was translated from: which bytes, what they were, and
 * the blocks made of them.  The caller holds d->lock but where the header says
 * otherwise.
 */
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

/* The part of [start, end) in the 64 bytes of word @n of a bit map. */
static uint64_t word_mask(unsigned int n, unsigned int start, unsigned int end)
{
	unsigned int lo = start > n * 64 ? start - n * 64 : 0;
	unsigned int hi = end < n * 64 + 64 ? end - n * 64 : 64;

	return MASK(hi) & ~MASK(lo);
}

static void bytes_set(struct code_page *p, unsigned int start, unsigned int end)
{
	for (unsigned int n = start / 64; n <= (end - 1) / 64; n++)
		p->bytes[n] |= word_mask(n, start, end);
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
	*r = (struct page_ref){
		.block = b, .start = start, .end = end, .next = p->refs
	};
	p->refs = r;
	return 0;
}

/* Forgets dead blocks, and which bytes only they were made of. */
static void page_clean(struct code_page *p)
{
	struct page_ref **pr = &p->refs;

	__builtin_memset(p->bytes, 0, sizeof(p->bytes));
	while (*pr) {
		struct page_ref *r = *pr;

		if (r->block->dead) {
			*pr = r->next;
			continue;
		}
		if (!r->block->self)
			bytes_set(p, r->start, r->end);
		pr = &r->next;
	}
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

	if (p)
		page_clean(p);
	p = b->gpa2 ? page_find(d, b->gpa2) : NULL;
	if (p)
		page_clean(p);
}
