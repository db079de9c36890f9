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

static uint32_t piece(gva_t gva)
{
	uint64_t n = gva >> JC_PIECE_SHIFT;

	return (n ^ n >> JC_PIECE_BITS) & MASK(JC_PIECE_BITS);
}

static void page_note(struct jcache *j, gva_t gva)
{
	j->pieces[piece(gva) / 64] |= BIT(piece(gva) % 64);
	for (unsigned int n = 0; n < 2; n++) {
		uint32_t bit = page_bit(gva, n);

		j->pages[bit / 64] |= BIT(bit % 64);
	}
}

bool jcache_has_page(const struct jcache *j, gva_t gva)
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
	if (!*rip_at(j, i))
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
	const uint16_t *log;

	if (!j->nr_log)
		return;
	log = log_of(j);
	for (uint32_t n = 0; n < j->nr_log; n++) {
		*code_at(j, log[n]) = j->empty;
		*rip_at(j, log[n]) = 0;
	}
	j->nr_log = 0;
	j->nonglobal = false;
	__builtin_memset(j->pages, 0, sizeof(j->pages));
	__builtin_memset(j->pieces, 0, sizeof(j->pieces));
}

void jcache_flush(struct jcache *j, bool keep_global)
{
	if (!keep_global || j->nonglobal)
		jcache_clear(j);
}

/* Forgets what has a byte in the 1 << @shift bytes around @gva. */
static void flush_around(struct jcache *j, gva_t gva, unsigned int shift)
{
	uint16_t *log = log_of(j);
	uint32_t kept = 0;

	for (uint32_t n = 0; n < j->nr_log; n++) {
		uint32_t i = log[n];
		uint64_t rip = *rip_at(j, i);

		if (((rip ^ gva) >> shift &&
		     ((rip + INSN_MAX) ^ gva) >> shift)) {
			log[kept++] = i;
			continue;
		}
		*code_at(j, i) = j->empty;
		*rip_at(j, i) = 0;
	}
	j->nr_log = kept;
}

void jcache_flush_page(struct jcache *j, gva_t gva)
{
	if (j->nr_log && jcache_has_page(j, gva))
		flush_around(j, gva, PAGE_SHIFT);
}

void jcache_flush_piece(struct jcache *j, gva_t gva)
{
	if (j->nr_log && (j->pieces[piece(gva) / 64] & BIT(piece(gva) % 64)))
		flush_around(j, gva, JC_PIECE_SHIFT);
}
