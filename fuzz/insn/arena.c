#include "fuzz/insn/arena.h"

#include <string.h>

/* Neighbours that are not listed are absent. */
const struct arena_page arena_pages[ARENA_MAX_PAGES] = {
	{ ARENA + 0x1000, ARENA_RW },
	{ ARENA + 0x2000, ARENA_RW },
	{ ARENA + 0x3000, ARENA_RO },
	{ ARENA + 0x5000, ARENA_RW },
	{ ARENA + 0x7000, ARENA_MMIO },
	{ HIGH + 0x1000, ARENA_RW },
	{ HIGH + 0x2000, ARENA_RW },
	{ HIGH + 0x3000, ARENA_RO },
	{ ARENA_CODE + 0x0000, ARENA_CODE_RWX },
	{ ARENA_CODE + 0x1000, ARENA_CODE_RWX },
	{ ARENA_CODE + 0x2000, ARENA_CODE_RWX },
	{ ARENA_CODE + 0x3000, ARENA_CODE_RWX },
	{ HIGH_CODE + 0x0000, ARENA_CODE_RWX },
	{ HIGH_CODE + 0x1000, ARENA_CODE_RWX },
	{ HIGH_CODE + 0x2000, ARENA_CODE_RWX },
	{ HIGH_CODE + 0x3000, ARENA_CODE_RWX },
};
const unsigned int arena_nr_pages = 16;

static uint8_t templates[ARENA_MAX_PAGES][PAGE_SIZE];

/* INT3 where nothing else stands; data are noise. */
static void fill_template(unsigned int n)
{
	uint64_t x = arena_pages[n].addr * 0x9e3779b97f4a7c15 | 1;

	if (arena_pages[n].kind == ARENA_CODE_RWX) {
		memset(templates[n], 0xcc, PAGE_SIZE);
		return;
	}
	for (unsigned int i = 0; i < PAGE_SIZE; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(&templates[n][i], &x, 8);
	}
}

const uint8_t *arena_template(unsigned int n)
{
	static bool filled;

	if (!filled) {
		for (unsigned int i = 0; i < arena_nr_pages; i++)
			fill_template(i);
		filled = true;
	}
	return templates[n];
}

int arena_find(uint64_t addr)
{
	for (unsigned int n = 0; n < arena_nr_pages; n++)
		if (arena_pages[n].addr == (addr & PAGE_MASK))
			return n;
	return -1;
}

void arena_reset(struct arena *a)
{
	for (unsigned int n = 0; n < arena_nr_pages; n++)
		if (a->page[n])
			memcpy(a->page[n], arena_template(n), PAGE_SIZE);
}

static bool is_code(unsigned int n)
{
	return arena_pages[n].kind == ARENA_CODE_RWX;
}

/* @data NULL: the template's bytes. */
static void put(struct arena *a, uint64_t addr, const uint8_t *data,
		unsigned int len)
{
	while (len) {
		unsigned int off = addr & ~PAGE_MASK, n = PAGE_SIZE - off;
		int p = arena_find(addr);

		if (n > len)
			n = len;
		if (p >= 0 && a->page[p]) {
			memcpy(a->page[p] + off,
			       data ? data : arena_template(p) + off, n);
			if (is_code(p) && a->code_changed)
				a->code_changed(addr, n);
		}
		addr += n;
		data = data ? data + n : NULL;
		len -= n;
	}
}

static void put_case(struct arena *a, const struct fuzz_case *c, bool in)
{
	for (unsigned int n = 0; n < CASE_PATCHES; n++) {
		const struct patch *p = &c->patch[n];

		if (p->len)
			put(a, p->addr, in ? p->data : NULL, p->len);
	}
	put(a, c->rip, in ? c->bytes : NULL, c->len);
}

static bool same_memory(const struct fuzz_case *a, const struct fuzz_case *b)
{
	return a->rip == b->rip && a->len == b->len &&
	       !memcmp(a->bytes, b->bytes, a->len) &&
	       !memcmp(a->patch, b->patch, sizeof(a->patch));
}

void arena_enter(struct arena *a, const struct fuzz_case *c)
{
	if (same_memory(&a->inside, c))
		return;
	put_case(a, &a->inside, false);
	put_case(a, c, true);
	a->inside = *c;
}

/* Memory as it should be, to compare with. */
static const struct arena *expectation(const struct fuzz_case *c)
{
	static uint8_t expected[ARENA_MAX_PAGES][PAGE_SIZE];
	static struct arena e;

	if (!e.page[0]) {
		for (unsigned int n = 0; n < arena_nr_pages; n++)
			e.page[n] = expected[n];
		arena_reset(&e);
	}
	arena_enter(&e, c);
	return &e;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15;
	return h ^ h >> 29;
}

static void note(struct result *r, uint64_t addr, const uint8_t *data)
{
	uint64_t half[2];

	memcpy(half, data, sizeof(half));
	r->mem_hash = mix(mix(mix(r->mem_hash, addr), half[0]), half[1]);
	if (r->nr_dirty < MAX_DIRTY) {
		r->dirty[r->nr_dirty].addr = addr;
		memcpy(r->dirty[r->nr_dirty].data, data, DIRTY_CHUNK);
	}
	r->nr_dirty++;
}

/* One page: notes chunks that differ from @want and puts them back. */
static void leave_page(struct arena *a, unsigned int n, const uint8_t *want,
		       struct result *r)
{
	uint8_t *page = a->page[n];

	if (!memcmp(page, want, PAGE_SIZE))
		return;
	for (unsigned int off = 0; off < PAGE_SIZE; off += DIRTY_CHUNK) {
		if (!memcmp(page + off, want + off, DIRTY_CHUNK))
			continue;
		note(r, arena_pages[n].addr + off, page + off);
		memcpy(page + off, want + off, DIRTY_CHUNK);
		if (is_code(n) && a->code_changed)
			a->code_changed(arena_pages[n].addr + off, DIRTY_CHUNK);
	}
}

void arena_leave(struct arena *a, struct result *r)
{
	const struct arena *e = expectation(&a->inside);

	r->mem_hash = 0;
	r->nr_dirty = 0;
	for (unsigned int n = 0; n < arena_nr_pages; n++)
		if (a->page[n])
			leave_page(a, n, e->page[n], r);
}
