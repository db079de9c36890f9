#pragma once

#include "host/runner.h"
#include "mmu/mirror.h"

/* Guest processes that a vCPU has runners for. */
#define MIRROR_SPACES 6

/* Changes of a space between writing a page and executing it, until pages may
 * be used for both at once. */
#define MIRROR_FLIPS 64

/* Uses of spaces for which a page keeps its breakpoints. */
#define MIRROR_STOPS_KEPT 16

/* INVLPGs that a space remembers until it is stale as a whole. */
#define MIRROR_INVALS 32

#define MIRROR_HASH 64

#define MIRROR_LEVELS 5

#define MIRROR_XSAVE 4096

/*
 * 2 MiB of a space: the entries that lead there and, for each page that is
 * mapped, what its entry was.
 */
struct mirror_table {
	struct mirror_table *next;
	gva_t gva;
	struct {
		const uint64_t *at; /* in guest memory */
		uint64_t was;
	} up[MIRROR_LEVELS];
	unsigned int nr_up;
	const uint64_t *ptes; /* NULL: the last of up[] is the leaf, ... */
	unsigned int shift;   /* ... a page of this size */
	bool w, u, nx;	      /* all entries of up[] together */
	uint64_t pte[512];    /* 0: not mapped; else PTE_KEEP bits, MAPPED_W */
};

struct mirror_space {
	struct runner *runner; /* NULL: the space is free */
	uint64_t root;
	unsigned int pcid; /* with which it was used last */
	uint64_t used;
	bool stale, gone;
	bool written; /* by any thread: see mirror_note_written() */
	unsigned int flips;
	bool giant; /* some tables are parts of 1 GiB pages */
	bool nx;    /* EFER.NXE as the entries were understood */
	uint64_t share_generation;
	struct {
		gva_t page;	/* that it is in; 0: none */
		uint64_t since; /* mirror.clock */
	} stop[RUNNER_BREAKS];
	gva_t inval[MIRROR_INVALS];
	unsigned int nr_inval;
	struct mirror_table *hash[MIRROR_HASH];
	struct mirror_image image;
};

/* Processes whose computing is remembered. */
#define MIRROR_LOADS 64

/* Pages of code of which it is remembered what they hold. */
#define MIRROR_SEEN 8192

struct mirror {
	uint64_t seen[MIRROR_SEEN]; /* mirror_scan.c */
	struct mirror_load load[MIRROR_LOADS];
	struct mirror_space space[MIRROR_SPACES];
	struct mirror_space *cur;
	uint64_t clock;
};

/* Bits of an entry that matter to whoever maps what it says. */
#define PTE_KEEP                                                               \
	(PTE_P | PTE_W | PTE_U | PTE_A | PTE_PS | PTE_G | PTE_NX |             \
	 (MASK(52) & PAGE_MASK))
/* In mirror_table.pte: the runner may write.  A bit that PTE_KEEP leaves out.
 */
#define MAPPED_W PTE_D
/* Likewise: it may execute, ... */
#define MAPPED_X BIT(9)
/* ... as long as the page has PGF_EXEC. */
#define MAPPED_WATCH BIT(10)
/* Likewise: it may not because of what the page holds. */
#define MAPPED_DENIED BIT(11)

static inline uint64_t mirror_root(uint64_t cr3)
{
	return cr3 & MASK(52) & PAGE_MASK;
}

static inline struct mirror_table **mirror_bucket(struct mirror_space *s,
						  gva_t gva)
{
	uint64_t h = (gva >> 21) * 0x9e3779b97f4a7c15ull;

	return &s->hash[h >> 58];
}

static inline struct mirror_table *mirror_find(struct mirror_space *s,
					       gva_t gva)
{
	struct mirror_table *t = *mirror_bucket(s, gva);

	while (t && t->gva != (gva & ~MASK(21)))
		t = t->next;
	return t;
}

/* mirror_entry - what the tables say now of page @i of @t. */
static inline uint64_t mirror_entry(const struct mirror_table *t,
				    unsigned int i)
{
	uint64_t leaf;

	if (t->ptes)
		return __atomic_load_n(&t->ptes[i], __ATOMIC_RELAXED);
	leaf = __atomic_load_n(t->up[t->nr_up - 1].at, __ATOMIC_RELAXED);
	if (!(leaf & PTE_P))
		return leaf;
	return (leaf & ~(PTE_PS | (MASK(t->shift) & PAGE_MASK))) |
	       (t->gva & MASK(t->shift)) | (uint64_t)i << PAGE_SHIFT;
}

/* mirror_bytes - the 4 KiB of page @i, or NULL. */
const uint8_t *mirror_bytes(struct mmu *mmu, const struct mirror_table *t,
			    unsigned int i);

/* mirror_scan - as scan_page(), or what it said of such pages before. */
bool mirror_scan(struct mirror *m, const uint8_t *page, const uint8_t *before,
		 const uint8_t *next, unsigned int faults);

/*
 * mirror_stops_set - breakpoints at all instructions of page @i of @t, which is
 * not mapped for execution and holds @page, for whose sake it may not be;
 * @faults: SCAN_*.
 * Pages that have had theirs for some time lose them.  False: there are not
 * enough.
 */
bool mirror_stops_set(struct mirror_space *s, struct mmu *mmu,
		      const struct mirror_table *t, unsigned int i,
		      const uint8_t *page, unsigned int faults);

/* mirror_stops_drop - takes those of the page at @gva. */
void mirror_stops_drop(struct mirror_space *s, gva_t gva);

/* mirror_table_ok - whether the entries above @t are what they were. */
bool mirror_table_ok(const struct mirror_table *t);

/* mirror_settle - makes the space agree with what has been noted.  0, -errno.
 */
int mirror_settle(struct mirror_space *s, struct mmu *mmu);

/* mirror_forget - nothing of the space's memory is mapped, or should be. */
void mirror_forget(struct mirror_space *s);
