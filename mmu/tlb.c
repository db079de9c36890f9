#include "mmu/tlb_int.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Pieces of the address space that hold all of a 2M or 4M page, of a 1G page.
 */
#define LARGE_SHIFT JC_PIECE_SHIFT
#define HUGE_SHIFT  30
#define LARGE_PAGES (1u << (LARGE_SHIFT - PAGE_SHIFT))
#define LOG_BYTES   (NR_TLB_LOGS * TLB_LOG_SIZE * sizeof(uint64_t))

static uint64_t page_index(const struct tlb *t, gva_t gva)
{
	return gva >> PAGE_SHIFT & MASK(t->index_bits);
}

static uint64_t *r_entry(const struct tlb_table *tt, uint64_t page)
{
	return (uint64_t *)(tt->gs + TLB_R_OFF) + page;
}

static uint64_t *w_entry(const struct tlb_table *tt, uint64_t page)
{
	return (uint64_t *)tt->gs - 1 - page;
}

static size_t w_span(const struct tlb *t)
{
	return 8ull << t->index_bits;
}

static size_t region_size(const struct tlb *t)
{
	return 2 * w_span(t) + TLB_R_OFF;
}

static void bloom_set(uint64_t *bloom, uint64_t key)
{
	unsigned int bit = (key ^ key >> 10) & 1023;

	bloom[bit / 64] |= BIT(bit % 64);
}

static bool bloom_has(const uint64_t *bloom, uint64_t key)
{
	unsigned int bit = (key ^ key >> 10) & 1023;

	return bloom[bit / 64] & BIT(bit % 64);
}

static bool table_alloc(const struct tlb *t, struct tlb_table *tt)
{
	uint8_t *p = mmap(NULL, region_size(t), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t *log;

	if (p == MAP_FAILED)
		return false;
	madvise(p, region_size(t), MADV_NOHUGEPAGE);
	madvise(p, region_size(t), MADV_DONTFORK);
	madvise(p, region_size(t), MADV_DONTDUMP);
	if (mmap(p + w_span(t), t->state_size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, t->state_fd, 0) == MAP_FAILED)
		goto fail;
	log = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (log == MAP_FAILED)
		goto fail;
	for (unsigned int k = 0; k < NR_TLB_LOGS; k++)
		tt->log[k].page = log + k * TLB_LOG_SIZE;
	tt->gs = p + w_span(t);
	jcache_init(&tt->jc, tt->gs, t->jc_empty);
	return true;
fail:
	munmap(p, region_size(t));
	return false;
}

struct tlb *tlb_create(int state_fd, size_t state_size, unsigned int index_bits,
		       unsigned int nr_tags, void *jc_empty)
{
	struct tlb *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->state_fd = state_fd;
	t->state_size = state_size;
	t->index_bits = index_bits;
	t->nr_tags = nr_tags;
	t->jc_empty = jc_empty;
	t->share = true;
	for (unsigned int i = 0; i <= TLB_MAX_TAGS; i++)
		t->tag[i].pcid = -1;
	t->tag[0].pcid = 0;
	return t;
}

void tlb_destroy(struct tlb *t)
{
	for (unsigned int i = 0; i < (TLB_MAX_TAGS + 1) * NR_TLB_MODES; i++) {
		struct tlb_table *tt =
			&t->tag[i / NR_TLB_MODES].table[i % NR_TLB_MODES];

		if (!tt->gs)
			continue;
		munmap(tt->gs - w_span(t), region_size(t));
		munmap(tt->log[0].page, LOG_BYTES);
	}
	free(t);
}

struct tlb_table *tlb_current(struct tlb *t, enum tlb_mode mode)
{
	bool shared = t->share && mode != TLB_USER;
	struct tlb_table *tt =
		&t->tag[shared ? t->nr_tags : t->cur].table[mode];

	if (unlikely(!tt->gs) && !table_alloc(t, tt))
		return NULL;
	return tt;
}

static void log_entry(struct tlb_table *tt, uint64_t page, bool global)
{
	struct tlb_log *l = &tt->log[global ? TLB_GLOBAL : TLB_LOCAL];

	if (unlikely(l->nr == TLB_LOG_SIZE))
		tt->log_overflow = true;
	else
		l->page[l->nr++] = page;
}

static void note_size(struct tlb_table *tt, gva_t gva, unsigned int page_shift)
{
	if (page_shift >= HUGE_SHIFT)
		bloom_set(tt->huge, gva >> HUGE_SHIFT);
	else if (page_shift > PAGE_SHIFT)
		bloom_set(tt->large, gva >> LARGE_SHIFT);
}

bool tlb_fill(struct tlb *t, struct tlb_table *tt, gva_t gva, uint8_t *hva,
	      bool writable, bool global, unsigned int page_shift)
{
	uint64_t page = page_index(t, gva);
	uint64_t addend = (uint64_t)hva - (gva & PAGE_MASK);

	if (unlikely(!addend))
		return false;
	*r_entry(tt, page) = addend;
	if (writable)
		*w_entry(tt, page) = addend;
	else
		*w_entry(tt, page) = 0;
	note_size(tt, gva, page_shift);
	log_entry(tt, page, global);
	return true;
}

void tlb_note_code(struct tlb_table *tt, gva_t gva, unsigned int len,
		   unsigned int page_shift)
{
	if (page_shift == PAGE_SHIFT)
		return;
	note_size(tt, gva, page_shift);
	note_size(tt, gva + len - 1, page_shift);
}

void tlb_fill_read(struct mmu *mmu, gva_t gva, uint8_t *hva,
		   const struct walk *w)
{
	struct tlb *t = mmu->tlb;
	struct tlb_table *tt =
		&t->tag[t->share ? t->nr_tags : t->cur].table[TLB_SUPER];

	if (tt->gs && !*r_entry(tt, page_index(t, gva)))
		tlb_fill(t, tt, gva, hva - (gva & ~PAGE_MASK), false, w->global,
			 w->page_shift);
}

/* Nothing is in the table; the jump cache may still depend on large pages. */
static void table_forget_sizes(struct tlb_table *tt)
{
	if (tt->jc.nr_log)
		return;
	__builtin_memset(tt->large, 0, sizeof(tt->large));
	__builtin_memset(tt->huge, 0, sizeof(tt->huge));
}

/* Gives the memory of both tables back; the state and jump cache stay. */
static void table_discard(const struct tlb *t, struct tlb_table *tt)
{
	madvise(tt->gs - w_span(t), w_span(t), MADV_DONTNEED);
	madvise(tt->gs + TLB_R_OFF, w_span(t), MADV_DONTNEED);
	for (unsigned int k = 0; k < NR_TLB_LOGS; k++)
		tt->log[k].nr = 0;
	tt->log_overflow = false;
	table_forget_sizes(tt);
}

static void log_flush(struct tlb_table *tt, struct tlb_log *l)
{
	for (uint32_t i = 0; i < l->nr; i++) {
		*r_entry(tt, l->page[i]) = 0;
		*w_entry(tt, l->page[i]) = 0;
	}
	l->nr = 0;
}

static void table_flush(struct tlb *t, struct tlb_table *tt, bool keep_global)
{
	if (!tt->gs)
		return;
	jcache_flush(&tt->jc, keep_global);
	if (tt->log_overflow) {
		table_discard(t, tt);
		return;
	}
	log_flush(tt, &tt->log[TLB_LOCAL]);
	if (!keep_global)
		log_flush(tt, &tt->log[TLB_GLOBAL]);
	if (!tt->log[TLB_GLOBAL].nr)
		table_forget_sizes(tt);
	t->flushes++;
}

void tlb_tag_flush(struct tlb *t, struct tlb_tag *tag, bool keep_global)
{
	for (unsigned int m = 0; m < NR_TLB_MODES; m++)
		table_flush(t, &tag->table[m], keep_global);
}

static void entry_drop(struct tlb_table *tt, uint64_t page)
{
	if (*r_entry(tt, page))
		*r_entry(tt, page) = 0;
	if (*w_entry(tt, page))
		*w_entry(tt, page) = 0;
}

/* Drops what a log has of a piece; empty entries go from the log. */
static void log_drop_large(struct tlb_table *tt, struct tlb_log *l,
			   uint64_t first)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->nr; i++) {
		uint64_t page = l->page[i];

		if (page - first < LARGE_PAGES)
			entry_drop(tt, page);
		else if (*r_entry(tt, page))
			l->page[kept++] = page;
	}
	l->nr = kept;
}

/* Drops the piece around @page, by the logs if they are shorter than that. */
static void table_drop_large(struct tlb_table *tt, uint64_t page)
{
	uint64_t first = page & ~(uint64_t)(LARGE_PAGES - 1);

	if (tt->log[TLB_LOCAL].nr + tt->log[TLB_GLOBAL].nr < LARGE_PAGES) {
		for (unsigned int k = 0; k < NR_TLB_LOGS; k++)
			log_drop_large(tt, &tt->log[k], first);
		return;
	}
	for (unsigned int n = 0; n < LARGE_PAGES; n++)
		entry_drop(tt, first + n);
}

static void table_flush_gva(struct tlb *t, struct tlb_table *tt, gva_t gva)
{
	const uint64_t page = page_index(t, gva);

	if (unlikely(bloom_has(tt->huge, gva >> HUGE_SHIFT))) {
		table_flush(t, tt, false);
	} else if (bloom_has(tt->large, gva >> LARGE_SHIFT)) {
		table_drop_large(tt, page);
		jcache_flush_piece(&tt->jc, gva);
	} else {
		entry_drop(tt, page);
		jcache_flush_page(&tt->jc, gva);
	}
}

void tlb_tag_flush_gva(struct tlb *t, struct tlb_tag *tag, gva_t gva)
{
	for (unsigned int m = 0; m < NR_TLB_MODES; m++)
		if (tag->table[m].gs)
			table_flush_gva(t, &tag->table[m], gva);
}

void tlb_forget_code(struct tlb *t)
{
	for (unsigned int i = 0; i <= t->nr_tags; i++)
		for (unsigned int m = 0; m < NR_TLB_MODES; m++)
			jcache_clear(&t->tag[i].table[m].jc);
}

static void log_drop_writable(const struct tlb *t, struct tlb_table *tt,
			      const struct tlb_log *l, uint8_t *hva)
{
	for (uint32_t i = 0; i < l->nr; i++) {
		uint64_t *w = w_entry(tt, l->page[i]);
		gva_t gva = l->page[i] << PAGE_SHIFT;

		/* Bits above the index do not survive in the log. */
		if (!*w || (hva && (((*w + gva) ^ (uint64_t)hva) &
				    MASK(t->index_bits + PAGE_SHIFT))))
			continue;
		*w = 0;
	}
}

static void table_drop_writable(struct tlb *t, struct tlb_table *tt,
				uint8_t *hva)
{
	if (!tt->gs)
		return;
	if (tt->log_overflow) {
		table_discard(t, tt);
		return;
	}
	for (unsigned int k = 0; k < NR_TLB_LOGS; k++)
		log_drop_writable(t, tt, &tt->log[k], hva);
}

void tlb_drop_writable(struct tlb *t, uint8_t *hva)
{
	for (unsigned int i = 0; i <= t->nr_tags; i++)
		for (unsigned int m = 0; m < NR_TLB_MODES; m++)
			table_drop_writable(t, &t->tag[i].table[m], hva);
}

void tlb_flush_tables(struct tlb *t)
{
	for (unsigned int i = 0; i <= t->nr_tags; i++)
		tlb_tag_flush(t, &t->tag[i], false);
}
