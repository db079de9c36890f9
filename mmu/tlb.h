#pragma once

#include "mmu/jcache.h"
#include "mmu/mmu.h"

/*
 * The software TLB: linear tables indexed by page number, without tags or
 * compares.  An entry is host address minus guest virtual address of a page
 * (the addend translated code adds to an address), 0 if empty.  Reads and
 * writes have tables of their own around a centre that the host's GS base
 * points to while translated code runs:
 *
 *	gs - 8 - page * 8	write entry (tables grow downward)
 *	gs + 0			struct cpu, the same memory in every table
 *	gs + JC_OFF		jump cache (mmu/jcache.h)
 *	gs + TLB_R_OFF + page * 8	read entry
 *
 * There is a table per tag (PCID) for user mode, so a switch flushes nothing:
 * it changes the GS base.  Supervisor mode has tables that all tags share: a
 * kernel's own pages are global, and the few entries that are not go at a
 * switch.  A kernel whose code is not global (page-table isolation) gets
 * supervisor tables per tag instead.
 * "page" is the page number cut to index_bits.  With 36 bits canonical 48-bit
 * addresses are all distinct; an address that shares an entry wrongly (57-bit
 * or non-canonical ones) differs in bits 48 and up, so that the sum is
 * non-canonical and faults.  With fewer bits (many vCPUs) the sum differs from
 * the right one by a multiple of 2^44, where nothing is mapped as long as no
 * two host mappings agree modulo 2^44.
 */
#define TLB_R_OFF    0x200000
#define TLB_MAX_TAGS 8

enum tlb_mode {
	TLB_USER,
	TLB_SUPER,    /* supervisor; with SMAP no user pages */
	TLB_SUPER_AC, /* supervisor with EFLAGS.AC overriding SMAP */
	NR_TLB_MODES,
};

#define TLB_LOG_SIZE 32768u

/* Page numbers of filled entries, for flushes. */
struct tlb_log {
	uint64_t *page;
	uint32_t nr;
};

enum tlb_log_kind { TLB_LOCAL, TLB_GLOBAL, NR_TLB_LOGS };

struct tlb_table {
	uint8_t *gs; /* NULL until first used */
	struct tlb_log log[NR_TLB_LOGS];
	bool log_overflow;
	/* Bloom filters: pieces with parts of 2M and 4M pages, of 1G pages. */
	uint64_t large[16], huge[16];
	struct jcache jc;
};

struct tlb_tag {
	int32_t pcid;  /* -1: free */
	uint64_t used; /* for least-recently-used replacement */
	struct tlb_table table[NR_TLB_MODES];
};

struct tlb {
	unsigned int index_bits;
	unsigned int nr_tags;
	unsigned int cur;
	uint64_t clock;
	bool share;	     /* supervisor tables are those of tag[nr_tags] */
	unsigned int misfit; /* switches that found kernel code not global */
	int state_fd;	     /* memfd of struct cpu */
	size_t state_size;
	void *jc_empty; /* what an empty jump-cache entry points to */
	uint64_t flushes, flushes_avoided; /* counters */
	struct mirror *mirror; /* flushes concern it, too; NULL: none */
	struct tlb_tag tag[TLB_MAX_TAGS + 1];
};

/*
 * tlb_create - @state_fd, @state_size: the memory of struct cpu that appears
 * at the centre of each table.  NULL if out of memory.
 */
struct tlb *tlb_create(int state_fd, size_t state_size, unsigned int index_bits,
		       unsigned int nr_tags, void *jc_empty);
void tlb_destroy(struct tlb *t);

/* tlb_current - the table of the current tag and @mode; NULL if no memory. */
struct tlb_table *tlb_current(struct tlb *t, enum tlb_mode mode);

/*
 * tlb_fill - enters a translation of the page of @gva to @hva (page aligned).
 * @page_shift: of the page the 4 KiB are part of; INVLPG drops all of it.
 * Returns false if the entry cannot be expressed (addend 0): such a page is
 * accessed in careful form.
 */
bool tlb_fill(struct tlb *t, struct tlb_table *tt, gva_t gva, uint8_t *hva,
	      bool writable, bool global, unsigned int page_shift);

/* tlb_fill_read - enters what a supervisor read of C code has found, if the
 * table is in use at all. */
void tlb_fill_read(struct mmu *mmu, gva_t gva, uint8_t *hva,
		   const struct walk *w);

/*
 * tlb_note_code - the jump cache beside @tt depends on the page of
 * 1 << @page_shift bytes that [gva, gva + len) lies in: INVLPG of any address
 * in it empties its entries.
 */
void tlb_note_code(struct tlb_table *tt, gva_t gva, unsigned int len,
		   unsigned int page_shift);

/*
 * tlb_peek - host address of @gva by the entry that serves an access of kind
 * @access (not ACCESS_FETCH), or NULL.  @gva is canonical.  A write entry needs
 * no bookkeeping: neither dirty log nor code_write.
 */
static inline uint8_t *tlb_peek(const struct mmu *mmu, gva_t gva,
				unsigned int access)
{
	const struct tlb *t = mmu->tlb;
	enum tlb_mode mode = TLB_SUPER;
	const struct tlb_table *tt;
	uint64_t page, entry;

	if (!mmu->live || t->index_bits < 36)
		return NULL;
	if (access & ACCESS_USER)
		mode = TLB_USER;
	else if (mmu->role.smap && (access & ACCESS_AC))
		mode = TLB_SUPER_AC;
	tt = &t->tag[t->share && mode != TLB_USER ? t->nr_tags : t->cur]
		      .table[mode];
	if (unlikely(!tt->gs))
		return NULL;
	page = gva >> PAGE_SHIFT & MASK(36);
	entry = access & ACCESS_WRITE
			? *((const uint64_t *)tt->gs - 1 - page)
			: *((const uint64_t *)(tt->gs + TLB_R_OFF) + page);
	/* Another address that shares the entry is off by 2^48 at least. */
	if (!entry || (entry + gva) >> 47)
		return NULL;
	return (uint8_t *)(entry + gva);
}

/* tlb_forget_code - empties every jump-cache entry (code went away). */
void tlb_forget_code(struct tlb *t);

/* tlb_drop_writable - drops all write entries for the host page @hva, or all
 * write entries if @hva is NULL. */
void tlb_drop_writable(struct tlb *t, uint8_t *hva);

/* tlb_flush_tables - everything; any thread while the vCPU is stopped. */
void tlb_flush_tables(struct tlb *t);

/*
 * The flushes of the architecture, by the vCPU's own thread.  Entries are
 * tagged by PCID.  Source: SDM 3A "Invalidation of TLBs and Paging-Structure
 * Caches".
 */

/* tlb_flush_all - every entry, all tags, global ones too. */
void tlb_flush_all(struct mmu *mmu);

/* tlb_flush_nonglobal - all tags, global entries stay. */
void tlb_flush_nonglobal(struct mmu *mmu);

/* tlb_flush_pcid - the non-global entries of one PCID. */
void tlb_flush_pcid(struct mmu *mmu, unsigned int pcid);

/* tlb_flush_gva - INVLPG: @gva in the current PCID and among global entries. */
void tlb_flush_gva(struct mmu *mmu, gva_t gva);

/* tlb_flush_pcid_gva - INVPCID type 0: @gva in @pcid, not global. */
void tlb_flush_pcid_gva(struct mmu *mmu, unsigned int pcid, gva_t gva);

/*
 * tlb_load_cr3 - makes @cr3 (without bit 63) current.  @keep: bit 63 was set
 * with CR4.PCIDE, nothing is flushed.  Does not load PDPTEs.
 */
void tlb_load_cr3(struct mmu *mmu, uint64_t cr3, bool keep);
