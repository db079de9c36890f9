#include "mmu/jcache.h"

#define ENTRIES (1u << JC_BITS)
/* The longest instruction; a block that crosses begins this near the end. */
#define INSN_MAX 15

static void **code_at(const struct jcache *j, uint32_t index)
{
	return (void **)(j->gs + JC_OFF) + index;
}

static uint64_t *rip_at(const struct jcache *j, uint32_t index)
{
	return (uint64_t *)(j->gs + JC_RIP_OFF) + index;
}

static uint16_t *log_of(const struct jcache *j)
{
	return (uint16_t *)(j->gs + JC_LOG_OFF);
}

/* Two bits of the filter for each page. */
static uint32_t page_bit(gva_t gva, unsigned int n)
{
	uint64_t h = (gva >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull;

	return h >> (n ? 64 - JC_PAGE_BITS : 64 - 2 * JC_PAGE_BITS) &
	       MASK(JC_PAGE_BITS);
}

static void page_note(struct jcache *j, gva_t gva)
{
	for (unsigned int n = 0; n < 2; n++) {
		uint32_t bit = page_bit(gva, n);

		j->pages[bit / 64] |= BIT(bit % 64);
	}
}

static bool page_noted(const struct jcache *j, gva_t gva)
{
	for (unsigned int n = 0; n < 2; n++) {
		uint32_t bit = page_bit(gva, n);

		if (!(j->pages[bit / 64] & BIT(bit % 64)))
			return false;
	}
	return true;
}

static void clear_all(struct jcache *j)
{
	for (uint32_t i = 0; i < ENTRIES; i++)
		*code_at(j, i) = j->empty;
}

void jcache_init(struct jcache *j, uint8_t *gs, void *empty)
{
	j->gs = gs;
	j->empty = empty;
	clear_all(j);
}

void jcache_set(struct jcache *j, uint64_t rip, void *code, bool global,
		bool next)
{
	uint32_t i = jcache_index(rip);

	if (unlikely(j->nr_log == ENTRIES))
		jcache_clear(j);
	if (*code_at(j, i) == j->empty)
		log_of(j)[j->nr_log++] = i;
	*code_at(j, i) = code;
	*rip_at(j, i) = rip;
	j->nonglobal |= !global;
	page_note(j, rip);
	if (next)
		page_note(j, rip + PAGE_SIZE);
}

void *jcache_get(const struct jcache *j, uint64_t rip)
{
	uint32_t i = jcache_index(rip);

	if (*code_at(j, i) == j->empty || *rip_at(j, i) != rip)
		return NULL;
	return *code_at(j, i);
}

void jcache_drop(struct jcache *j, uint64_t rip)
{
	*code_at(j, jcache_index(rip)) = j->empty;
}

void jcache_clear(struct jcache *j)
{
	const uint16_t *log = log_of(j);

	if (!j->gs || !j->nr_log)
		return;
	for (uint32_t n = 0; n < j->nr_log; n++)
		*code_at(j, log[n]) = j->empty;
	j->nr_log = 0;
	j->nonglobal = false;
	__builtin_memset(j->pages, 0, sizeof(j->pages));
}

void jcache_flush(struct jcache *j, bool keep_global)
{
	if (!keep_global || j->nonglobal)
		jcache_clear(j);
}

static bool depends(uint64_t rip, gva_t page)
{
	return (rip ^ page) >> PAGE_SHIFT == 0 ||
	       ((rip + INSN_MAX) ^ page) >> PAGE_SHIFT == 0;
}

void jcache_flush_page(struct jcache *j, gva_t gva)
{
	const uint16_t *log = log_of(j);

	if (!j->nr_log || !page_noted(j, gva))
		return;
	for (uint32_t n = 0; n < j->nr_log; n++)
		if (depends(*rip_at(j, log[n]), gva))
			*code_at(j, log[n]) = j->empty;
}
