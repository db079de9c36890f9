#include "mmu/tlb.h"

#include <stdlib.h>
#include <sys/mman.h>

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

static void **jump_cache(const struct tlb_table *tt)
{
	return (void **)(tt->gs + TLB_JC_OFF);
}

static uint64_t *jump_rips(const struct tlb_table *tt)
{
	return (uint64_t *)jump_cache(tt) + (1ul << TLB_JC_BITS);
}

static void jump_fill(const struct tlb *t, struct tlb_table *tt)
{
	size_t n = 1ul << TLB_JC_BITS;
	void **p = jump_cache(tt);

	__asm__ volatile("rep stosq"
			 : "+D"(p), "+c"(n)
			 : "a"(t->jc_empty)
			 : "memory");
}

static void jump_clear(const struct tlb *t, struct tlb_table *tt)
{
	if (!tt->gs || !tt->nr_jc)
		return;
	if (unlikely(tt->nr_jc > TLB_JC_LOG))
		jump_fill(t, tt);
	else
		for (uint32_t i = 0; i < tt->nr_jc; i++)
			jump_cache(tt)[tt->jc_log[i]] = t->jc_empty;
	tt->nr_jc = 0;
	__builtin_memset(tt->jc_pages, 0, sizeof(tt->jc_pages));
}

/* The bytes that an instruction may have in the next page. */
#define MAX_SPILL 14

/* Drops the entries of code in the page of @gva or spilling into it. */
static void jump_clear_page(const struct tlb *t, struct tlb_table *tt,
			    gva_t gva)
{
	uint32_t kept = 0;

	if (unlikely(tt->nr_jc > TLB_JC_LOG)) {
		jump_clear(t, tt);
		return;
	}
	for (uint32_t i = 0; i < tt->nr_jc; i++) {
		uint32_t n = tt->jc_log[i];
		uint64_t rip = jump_rips(tt)[n];

		if ((rip ^ gva) >> PAGE_SHIFT &&
		    ((rip + MAX_SPILL) ^ gva) >> PAGE_SHIFT)
			tt->jc_log[kept++] = n;
		else
			jump_cache(tt)[n] = t->jc_empty;
	}
	tt->nr_jc = kept;
}

#define LOGS_SIZE (TLB_LOG_SIZE * 8 + TLB_JC_LOG * 4)

static bool table_alloc(const struct tlb *t, struct tlb_table *tt)
{
	uint8_t *p = mmap(NULL, region_size(t), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	madvise(p, region_size(t), MADV_NOHUGEPAGE);
	madvise(p, region_size(t), MADV_DONTFORK);
	madvise(p, region_size(t), MADV_DONTDUMP);
	if (mmap(p + w_span(t), t->state_size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, t->state_fd, 0) == MAP_FAILED)
		goto fail;
	tt->log = mmap(NULL, LOGS_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (tt->log == MAP_FAILED)
		goto fail;
	tt->gs = p + w_span(t);
	tt->jc_log = (uint32_t *)(tt->log + TLB_LOG_SIZE);
	jump_fill(t, tt);
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
	for (unsigned int i = 0; i < TLB_MAX_TAGS; i++)
		t->tag[i].pcid = -1;
	t->tag[0].pcid = 0;
	return t;
}

void tlb_destroy(struct tlb *t)
{
	for (unsigned int i = 0; i < TLB_MAX_TAGS * NR_TLB_MODES; i++) {
		struct tlb_table *tt =
			&t->tag[i / NR_TLB_MODES].table[i % NR_TLB_MODES];

		if (!tt->gs)
			continue;
		munmap(tt->gs - w_span(t), region_size(t));
		munmap(tt->log, LOGS_SIZE);
	}
	free(t);
}

struct tlb_table *tlb_current(struct tlb *t, enum tlb_mode mode)
{
	struct tlb_table *tt = &t->tag[t->cur].table[mode];

	if (unlikely(!tt->gs) && !table_alloc(t, tt))
		return NULL;
	return tt;
}

static void log_entry(struct tlb_table *tt, uint64_t page, unsigned int flags)
{
	if (unlikely(tt->nr_log == TLB_LOG_SIZE))
		tt->log_overflow = true;
	else
		tt->log[tt->nr_log++] = page << 2 | flags;
}

bool tlb_fill(struct tlb *t, struct tlb_table *tt, gva_t gva, uint8_t *hva,
	      bool writable, bool global, bool large)
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
	if (large)
		bloom_set(tt->large, gva >> 30);
	log_entry(tt, page,
		  (writable ? TLB_LOG_W : 0) | (global ? TLB_LOG_G : 0));
	return true;
}

static unsigned int jc_index(uint64_t rip)
{
	return rip & MASK(TLB_JC_BITS);
}

void tlb_jump_set(const struct tlb *t, struct tlb_table *tt, uint64_t rip,
		  void *code)
{
	unsigned int n = jc_index(rip);

	if (jump_cache(tt)[n] == t->jc_empty && code != t->jc_empty) {
		if (likely(tt->nr_jc < TLB_JC_LOG))
			tt->jc_log[tt->nr_jc++] = n;
		else
			tt->nr_jc = TLB_JC_LOG + 1;
	}
	jump_cache(tt)[n] = code;
	jump_rips(tt)[n] = rip;
	bloom_set(tt->jc_pages, rip >> PAGE_SHIFT);
}

void *tlb_jump_get(const struct tlb *t, const struct tlb_table *tt,
		   uint64_t rip)
{
	void *code = jump_cache(tt)[jc_index(rip)];

	if (code == t->jc_empty || jump_rips(tt)[jc_index(rip)] != rip)
		return NULL;
	return code;
}

void tlb_jump_page(struct tlb_table *tt, gva_t gva)
{
	bloom_set(tt->jc_pages, gva >> PAGE_SHIFT);
}

/* Gives the memory of both tables back; the state and jump cache stay. */
static void table_discard(const struct tlb *t, struct tlb_table *tt)
{
	madvise(tt->gs - w_span(t), w_span(t), MADV_DONTNEED);
	madvise(tt->gs + TLB_R_OFF, w_span(t), MADV_DONTNEED);
	tt->nr_log = 0;
	tt->log_overflow = false;
	__builtin_memset(tt->large, 0, sizeof(tt->large));
}

static void table_flush(struct tlb *t, struct tlb_table *tt, bool keep_global)
{
	uint32_t kept = 0;

	if (!tt->gs)
		return;
	jump_clear(t, tt);
	if (tt->log_overflow) {
		table_discard(t, tt);
		return;
	}
	for (uint32_t i = 0; i < tt->nr_log; i++) {
		uint64_t entry = tt->log[i];

		if (keep_global && (entry & TLB_LOG_G)) {
			tt->log[kept++] = entry;
			continue;
		}
		*r_entry(tt, entry >> 2) = 0;
		*w_entry(tt, entry >> 2) = 0;
	}
	tt->nr_log = kept;
	if (!kept)
		__builtin_memset(tt->large, 0, sizeof(tt->large));
	t->flushes++;
}

static void tag_flush(struct tlb *t, struct tlb_tag *tag, bool keep_global)
{
	for (unsigned int m = 0; m < NR_TLB_MODES; m++)
		table_flush(t, &tag->table[m], keep_global);
}

static void tag_flush_gva(struct tlb *t, struct tlb_tag *tag, gva_t gva)
{
	uint64_t page = page_index(t, gva);

	for (unsigned int m = 0; m < NR_TLB_MODES; m++) {
		struct tlb_table *tt = &tag->table[m];

		if (!tt->gs)
			continue;
		if (bloom_has(tt->large, gva >> 30)) {
			table_flush(t, tt, false);
			continue;
		}
		if (*r_entry(tt, page))
			*r_entry(tt, page) = 0;
		if (*w_entry(tt, page))
			*w_entry(tt, page) = 0;
		if (bloom_has(tt->jc_pages, gva >> PAGE_SHIFT))
			jump_clear_page(t, tt, gva);
	}
}

void tlb_table_forget(struct tlb *t, struct tlb_table *tt)
{
	jump_clear(t, tt);
}

void tlb_forget_code(struct tlb *t)
{
	for (unsigned int i = 0; i < t->nr_tags; i++)
		for (unsigned int m = 0; m < NR_TLB_MODES; m++)
			jump_clear(t, &t->tag[i].table[m]);
}

static void table_drop_writable(struct tlb *t, struct tlb_table *tt,
				uint8_t *hva)
{
	if (!tt->gs)
		return;
	if (tt->log_overflow) {
		jump_clear(t, tt);
		table_discard(t, tt);
		return;
	}
	for (uint32_t i = 0; i < tt->nr_log; i++) {
		uint64_t page = tt->log[i] >> 2;
		uint64_t *w = w_entry(tt, page);
		gva_t gva = page << PAGE_SHIFT;

		if (!(tt->log[i] & TLB_LOG_W) || !*w)
			continue;
		/* Bits above the index do not survive in the log. */
		if (hva && ((*w + gva) ^ (uint64_t)hva) &
				   MASK(t->index_bits + PAGE_SHIFT))
			continue;
		*w = 0;
	}
}

void tlb_drop_writable(struct tlb *t, uint8_t *hva)
{
	for (unsigned int i = 0; i < t->nr_tags; i++)
		for (unsigned int m = 0; m < NR_TLB_MODES; m++)
			table_drop_writable(t, &t->tag[i].table[m], hva);
}

void tlb_flush_tables(struct tlb *t)
{
	for (unsigned int i = 0; i < t->nr_tags; i++)
		tag_flush(t, &t->tag[i], false);
}

static struct tlb_tag *tag_find(struct tlb *t, unsigned int pcid)
{
	for (unsigned int i = 0; i < t->nr_tags; i++)
		if (t->tag[i].pcid == (int)pcid)
			return &t->tag[i];
	return NULL;
}

void tlb_flush_all(struct mmu *mmu)
{
	if (mmu->tlb)
		tlb_flush_tables(mmu->tlb);
}

void tlb_flush_nonglobal(struct mmu *mmu)
{
	struct tlb *t = mmu->tlb;

	if (!t)
		return;
	for (unsigned int i = 0; i < t->nr_tags; i++)
		tag_flush(t, &t->tag[i], mmu->role.pge);
}

void tlb_flush_pcid(struct mmu *mmu, unsigned int pcid)
{
	struct tlb_tag *tag = mmu->tlb ? tag_find(mmu->tlb, pcid) : NULL;

	if (tag)
		tag_flush(mmu->tlb, tag, mmu->role.pge);
}

void tlb_flush_gva(struct mmu *mmu, gva_t gva)
{
	struct tlb *t = mmu->tlb;

	/* Other tags may hold a global entry for it; entries do not say. */
	for (unsigned int i = 0; t && i < t->nr_tags; i++)
		tag_flush_gva(t, &t->tag[i], gva);
}

void tlb_flush_pcid_gva(struct mmu *mmu, unsigned int pcid, gva_t gva)
{
	struct tlb_tag *tag = mmu->tlb ? tag_find(mmu->tlb, pcid) : NULL;

	if (tag)
		tag_flush_gva(mmu->tlb, tag, gva);
}

static struct tlb_tag *tag_replace(struct tlb *t, unsigned int pcid)
{
	struct tlb_tag *tag = &t->tag[0];

	for (unsigned int i = 1; i < t->nr_tags; i++)
		if (t->tag[i].pcid < 0 || t->tag[i].used < tag->used)
			tag = &t->tag[i];
	tag_flush(t, tag, false);
	tag->pcid = pcid;
	return tag;
}

void tlb_load_cr3(struct mmu *mmu, uint64_t cr3, bool keep)
{
	unsigned int pcid = mmu->role.pcide ? cr3 & 0xfff : 0;
	struct tlb *t = mmu->tlb;
	struct tlb_tag *tag;

	mmu->cr3 = cr3;
	if (!t)
		return;
	tag = tag_find(t, pcid);
	if (!tag)
		tag = tag_replace(t, pcid);
	else if (!keep)
		tag_flush(t, tag, mmu->role.pge);
	else
		t->flushes_avoided++;
	tag->used = ++t->clock;
	t->cur = tag - t->tag;
}
