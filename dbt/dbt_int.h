#pragma once

#include "base/lock.h"
#include "cpu/cpu.h"
#include "dbt/dbt.h"
#include "dbt/direct.h"
#include "dbt/emit.h"
#include "mmu/tlb.h"

/*
 * Shared by the files of dbt/.
 *
 * Guest registers in host registers while translated code runs.  RSP is the
 * host's stack, always; RBP and RCX are the translator's scratch registers t0
 * (guest address) and t1 (addend; RCX, because JRCXZ tests it without touching
 * flags).  Three guest registers live in memory.
 */
#define T0	  H_RBP
#define T1	  H_RCX
#define IN_MEMORY 0xff

static const uint8_t host_of[NR_GPRS] = {
	[RAX] = H_RAX, [RCX] = H_R15, [RDX] = H_RDX,	 [RBX] = H_RBX,
	[RSP] = H_R10, [RBP] = H_R11, [RSI] = H_RSI,	 [RDI] = H_RDI,
	[R8] = H_R8,   [R9] = H_R9,   [R10] = IN_MEMORY, [R11] = IN_MEMORY,
	[R12] = H_R12, [R13] = H_R13, [R14] = H_R14,	 [R15] = IN_MEMORY,
};

/* Look-ups that a block may keep for several accesses. */
#define MAX_WINDOWS 24

/* Those of the buffer for accesses that cross a page. */
#define BOUNCE_SLOTS 8

/* What D_GO holds unless vCPUs are to leave; loops test it against RSP. */
#define GO (~0ull)

/* Slots of cpu->dbt[]. */
enum dbt_slot {
	D_SELF, /* struct cpu * */
	D_T0,	/* t0 at the last exit; loaded at entry */
	D_HOST_RSP,
	D_HOST_FLAGS, /* status flags at entry and exit */
	D_ENTRY,      /* where to go in the code cache */
	D_RA,	      /* return address of the stub that left */
	D_SPILL,      /* a host register lent as third scratch */
	D_TMP,
	D_JC_MASK, /* PEXT mask of the jump cache's index */
	D_GO,	   /* 0: leave at the next block boundary */
	D_STATE,   /* struct vcpu_dbt * */
	D_ADDEND,  /* for t1, from dbt_miss */
	D_GS,	   /* the GS base that is set */
	/* GS base for supervisor mode without and with RFLAGS.AC; 0: a helper
	 * knows */
	D_GS_PLAIN,
	D_GS_AC,
	D_STATUS, /* PEXT and PDEP masks of RFLAGS: status flags, the others */
	D_NOT_STATUS,
	D_IN_PAGE, /* likewise of addresses: offset in the page, the rest */
	D_PAGE,
	D_NOT_IF,
	D_NOT_AC,
	D_PIC, /* of the block with MODE_PIC that runs: see there */
	/* cross.c: t0, offset of the last byte in its page, host addresses of
	 * the edge in both pages */
	D_CROSS_T0,
	D_CROSS_LAST,
	D_CROSS_LOW,
	D_CROSS_HIGH,
	D_BOUNCE,
	D_BOUNCE_LAST = D_BOUNCE + BOUNCE_SLOTS - 1,
	NR_DBT_SLOTS,
};

/*
 * Words on the host's stack while translated code runs, from RSP up: what it
 * uses most, in instructions that are shorter and faster than with GS.
 */
enum frame_word {
	F_PAGE_MASK, /* cpu->page_mask */
	F_SPAN8,     /* PEXT masks: is an address 8, ... bytes into its page? */
	F_SPAN16,
	F_SPAN32,
	F_SPAN64,
	F_SPAN128,
	F_SPAN256,
	F_SPAN512,
	F_WINDOW, /* addends of the windows of the current block */
	F_WINDOW_LAST = F_WINDOW + MAX_WINDOWS - 1,
	NR_FRAME_WORDS,
};

#define FRAME_OFF(word) (8 * (int32_t)(word))
#define FRAME_SIZE	((FRAME_OFF(NR_FRAME_WORDS) + 15) & ~15)

#define CPU_OFF(field) ((uint32_t)offsetof(struct cpu, field))
_Static_assert(NR_DBT_SLOTS <= ARRAY_SIZE(((struct cpu *)0)->dbt), "slots");

#define SLOT_OFF(slot) ((uint32_t)(offsetof(struct cpu, dbt) + 8 * (slot)))
#define GPR_OFF(reg)   ((uint32_t)(offsetof(struct cpu, gpr) + 8 * (reg)))

/* How translated code came back to dbt_run. */
enum leave_code {
	LEAVE_LOOKUP,  /* indirect jump: guest rip in t0 */
	LEAVE_LINK,    /* direct jump not linked yet: struct link_stub */
	LEAVE_RIP,     /* stop: guest rip in struct rip_stub */
	LEAVE_CAREFUL, /* execute the one at rip carefully: struct rip_stub */
	LEAVE_MISS,    /* a memory access that the TLB cannot serve */
	LEAVE_STALE,   /* entry of a block that was dropped */
	LEAVE_CHANGED, /* code is not what it was: struct changed_stub */
	LEAVE_FAULT,   /* a host signal; vcpu_dbt.fault */
	LEAVE_SNIPPET, /* a careful snippet ended */
	LEAVE_LIGHT,   /* dbt_light did; see vcpu_dbt.light_* */
	NR_LEAVES,
};

/* Data behind the CALL of a stub (not aligned). */
struct __attribute__((packed)) rip_stub {
	uint64_t rip;
	uint8_t pic; /* of a block with MODE_PIC */
};

struct __attribute__((packed)) link_stub {
	struct rip_stub at;
	int32_t site;	/* distance of the rel32 to patch from this struct */
	uint32_t block; /* its block's index in dbt.by_addr[] */
	uint8_t back;	/* a backward jump: to the entry that tests D_GO */
	uint8_t plain;	/* to the translation without windows */
};

struct __attribute__((packed)) changed_stub {
	struct rip_stub at;
	uint32_t block; /* index in dbt.by_addr[] */
};

struct __attribute__((packed)) miss_stub {
	int32_t access; /* distance of the access from this struct */
	int32_t retry;	/* ... of where to go on */
	uint16_t done;	/* ... from there to where to go on with the addend in
			   t1 */
	uint16_t size;
	uint16_t ahead; /* bytes of the access behind the one at t0 */
	uint8_t write;
	uint8_t window; /* what cannot be entered goes on behind this struct */
	int16_t cross;	/* distance of the way for two pages, or 0 */
	uint8_t exact;	/* a fault of the walk is the instruction's */
};

/* Host code offset -> guest instruction, ascending. */
struct pcmap {
	uint16_t host;	  /* offset of the instruction's first byte of code */
	uint16_t guest;	  /* offset from the block's rip */
	uint16_t restore; /* code that makes flags exact and leaves, or 0 */
	uint8_t spill; /* host register whose value is in D_SPILL, or H_NONE */
};

/* pcmap.spill: in the middle of a string instruction, see xlat_string.c. */
#define SPILL_STOS 0xfd
#define SPILL_MOVS 0xfe

struct link {
	uint8_t *site; /* write address of the rel32 */
	uint8_t *stub; /* execution address of its stub */
	struct block *from;
	struct link *next;
};

struct block { /* what a look-up needs comes first */
	uint64_t rip;
	gpa_t gpa;
	struct block *hash_next;
	uint32_t mode;
	uint16_t len; /* guest bytes */
	uint16_t nr_insns;
	uint8_t *ientry; /* execution address: entry of indirect jumps */
	uint8_t *entry;	 /* of direct ones */
	struct code_page *page, *page2;
	gpa_t gpa2; /* second page, if the only instruction crosses; or 0 */
	uint8_t *checked; /* of backward direct ones: tests D_GO */
	uint8_t *end;
	struct pcmap *map;
	struct link *links; /* direct jumps that lead here */
	uint16_t cold;	    /* offset of what is out of line, from ientry */
	bool dead;
	bool self; /* compares its guest bytes itself */
};

/* A block's bytes in one guest page. */
struct page_ref {
	struct block *block;
	uint16_t start, end; /* offsets in the page */
	struct page_ref *next;
};

/*
 * A guest page with code is protected: no TLB has a write entry for it, so that
 * all writes are noticed.  Or, if it is written often, its blocks compare their
 * bytes whenever they are entered and behind each write of their own; then it
 * is like any page without code.
 */
struct code_page {
	gpa_t gpa;
	uint64_t base; /* address of the page in blocks without MODE_PIC */
	struct page_ref *refs;
	struct code_page *next;
	/* protected: the bytes that blocks were made of, and a bit for each */
	uint8_t *copy;
	uint64_t bytes[PAGE_SIZE / 64];
	uint64_t lines;	  /* which of bytes[] are not 0 */
	uint64_t epoch;	  /* dbt.epoch when the copy was compared last */
	uint32_t writes;  /* that were noticed, weighted */
	uint32_t nr_dead; /* blocks in refs that are dead */
	bool self;	  /* blocks compare */
	uint8_t patience; /* samples without a change until it is protected */
	uint8_t still;	  /* samples without a change so far */
	uint64_t sum;	  /* of the page's bytes at the last one */
};

#define MAX_SELF_PAGES 256

/* Code for accesses that cross a page (cross.c); execution addresses. */
struct cross {
	void *bounce[2][3]; /* by write, and bytes: 8, 16, 32 */
	void *commit[5];    /* by bytes: 2, 4, ... 32 */
	uint8_t *start, *many, *end;
};

#define CODE_SIZE (160ul << 20)
#define META_SIZE (512ul << 20)
#ifdef RING3_SANITIZE /* emptied for each input of a fuzzer */
#define HASH_BITS      10
#define PAGE_HASH_BITS 8
#else
#define HASH_BITS      18
#define PAGE_HASH_BITS 14
#endif
#define MAX_VCPUS  256
#define MAX_BLOCKS (1u << 21)

struct dbt {
	struct lock lock; /* translations, links, pages */
	int code_fd;
	uint8_t *code_w, *code_x; /* two maps of the code cache */
	uint8_t *code_start;	  /* write address behind the thunks */
	uint8_t *code_w_next;
	uint8_t *meta, *meta_next;
	struct xlat *xlat;	/* the translation under way */
	struct block **by_addr; /* all blocks, ascending by address */
	uint32_t nr_blocks;
	struct block **hash; /* 1 << HASH_BITS of them */
	struct code_page *pages[1u << PAGE_HASH_BITS];
	volatile uint64_t epoch; /* counts calls of dbt_outside() */
	bool conflict; /* no block: others were made of bytes that changed */
	struct code_page *self_page[MAX_SELF_PAGES];
	unsigned int nr_self, next_self;
	uint64_t sample_tsc; /* when they are looked at again */
	void *thunk_enter;
	void *thunk[NR_LEAVES];
	void *thunk_miss;
	struct cross cross;
	void *thunk_light; /* calls dbt_light in the middle of a block */
	void *thunk_go;	   /* where dbt_light's caller goes to D_ENTRY */
	struct cpu *cpu[MAX_VCPUS];
	unsigned int nr_cpus;
	bool mixed_tables; /* vCPUs have TLB tables of different sizes */
	/* stop the world */
	struct lock quiet_lock;
	volatile uint32_t quiet;
	uint64_t generation; /* full flushes so far */
	bool perf_map;	     /* see perfmap.c */
};

/*
 * The careful form's memory of instructions, by a hash of rip: each has a slot
 * of the vCPU's snippets.  Slot 0 is for the others.
 */
#define CAREFUL_BITS  9
#define CAREFUL_SLOTS (1u << CAREFUL_BITS)
#define SNIPPET_MAX   128u
#define SNIPPET_SIZE  (CAREFUL_SLOTS * SNIPPET_MAX)

/* Pages whose code a vCPU compares at once in a new epoch, and the epochs after
 * which it starts anew with those that it needs. */
#define MAX_ACTIVE    128
#define ACTIVE_HASH   256
#define ACTIVE_EPOCHS 256

/* The translator's side of a vCPU, not reachable for translated code. */
struct careful_entry {
	uint64_t rip;
	struct insn insn; /* .len = 0: none */
	bool has_code;	  /* its snippet is in the slot */
	uint8_t spill;	  /* as in struct pcmap */
};

struct vcpu_dbt {
	struct dbt *d;
	struct cpu *c;
	int state_fd;
	volatile uint32_t in_run;
	bool holds_quiet; /* between quiet_self_enter and _leave */
	uint64_t epoch;	  /* the dbt's that the jump caches are good for */
	/* the pages that they lead to, unless there are too many */
	unsigned int nr_active, nr_epochs;
	struct code_page *active[MAX_ACTIVE];
	uint8_t active_at[ACTIVE_HASH]; /* hash: index + 1; 0: none */
	bool plain; /* the next block is one with MODE_PLAIN */
	/* writes to code pages that wait for the end of the current block */
	unsigned int nr_writes;
	bool drop_all;	   /* there were more */
	bool miss_faulted; /* LEAVE_MISS: c->fault is the instruction's */
	struct {
		gpa_t gpa;
		unsigned int len;
	} writes[16];
	/* host fault */
	void *recover[5]; /* where engine code goes on after one */
	int trapno;
	uint64_t fault_addr;
	/* how the instruction ended with which dbt_light left */
	uint8_t light_result; /* enum careful_result */
	uint8_t light_reason; /* enum exit_reason */
	struct direct direct;
	/* careful form */
	uint8_t *snip_w, *snip_x; /* snippets */
	uint8_t snippet_spill;
	struct careful_entry careful[CAREFUL_SLOTS];
	struct insn insn; /* one being looked at */
	uint8_t bounce[4096 + 128] __attribute__((aligned(64)));
};

static inline struct vcpu_dbt *vcpu_dbt(const struct cpu *c)
{
	return (struct vcpu_dbt *)c->dbt[D_STATE];
}

/* direct_wanted - whether the loop should try direct_run(). */
static inline bool direct_wanted(const struct cpu *c)
{
	const struct direct *d = &vcpu_dbt(c)->direct;

	return d->want || (d->mode == DIRECT_ALWAYS && c->cpl == 3);
}

/* may_go - no other thread has asked the vCPU to leave translated code. */
static inline bool may_go(const struct cpu *c)
{
	return __atomic_load_n(&c->dbt[D_GO], __ATOMIC_RELAXED);
}

/* set_nr_self - pages_sample() looks at the number without the lock. */
static inline void set_nr_self(struct dbt *d, unsigned int n)
{
	__atomic_store_n(&d->nr_self, n, __ATOMIC_RELAXED);
}

/*
 * sees_made - before data about code is read that another vCPU may have made:
 * the processor keeps its stores to data and to the jump that led here in
 * order, but TSan does not see the jump's.
 */
static inline void sees_made(const struct dbt *d)
{
#ifdef __SANITIZE_THREAD__
	(void)__atomic_load_n(&d->nr_blocks, __ATOMIC_ACQUIRE);
#endif
}

/* go_no_further - the vCPU asks itself to. */
static inline void go_no_further(struct cpu *c)
{
	__atomic_store_n(&c->dbt[D_GO], 0, __ATOMIC_RELAXED);
}

/* thunk.c: fixed pieces of code.  Emits them at the start of the cache. */
void thunks_emit(struct dbt *d, struct emit *e);

/* cross.c */
void cross_emit(struct cross *k, struct emit *e);
/* cross_bounce - what makes a crossing access possible; NULL: of this size not.
 */
void *cross_bounce(const struct cross *k, unsigned int size, bool write);
/* cross_commit - ends a write likewise. */
void *cross_commit(const struct cross *k, unsigned int size);
bool cross_at(const struct cross *k, const uint8_t *pc);
/* cross_in_line - the access that its call at return address @site is for. */
const uint8_t *cross_in_line(const uint8_t *site);

/* cache.c */
int cache_init(struct dbt *d);
void cache_free(struct dbt *d);
/* meta_alloc - memory that lives until the next full flush; NULL if full. */
void *meta_alloc(struct dbt *d, size_t size);
/* cache_reset - forgets every block; the world is stopped, lock held. */
void cache_reset(struct dbt *d);

/* perfmap.c */
/* perfmap_wanted - whether perf is to be told about blocks. */
bool perfmap_wanted(void);
/* perfmap_write - adds all blocks to perf's file if so. */
void perfmap_write(struct dbt *d);

/*
 * block.c; the lock is held.  Blocks go away while the world is stopped only,
 * so that a vCPU may look for one without the lock.
 */
struct block *block_find(struct dbt *d, uint64_t rip, gpa_t gpa, uint32_t mode);
/* block_note - tells its pages of @b, made of @src.  -1: full, or d->conflict.
 * A block that is not added then must be marked dead. */
int block_note(struct dbt *d, struct block *b, const uint8_t *src);
/* block_add - lets it be found. */
void block_add(struct dbt *d, struct block *b);
struct block *block_at(struct dbt *d, const uint8_t *host);
/* block_kill - the world is stopped. */
void block_kill(struct dbt *d, struct block *b);
/* block_outdated - the same for one that compares its bytes, in a running
 * world: it is still executed where they are right. */
void block_outdated(struct dbt *d, struct block *b);
/* block_link - patches the jump of a link stub to @b's entry. */
void block_link(struct dbt *d, const struct link_stub *s, struct block *b);
/* block_insn - the instruction that host address @host belongs to. */
const struct pcmap *block_insn(const struct block *b, const uint8_t *host);

/* codepage.c; the lock is held */
/* page_find - also without the lock. */
struct code_page *page_find(struct dbt *d, gpa_t gpa);
/* page_enter - [start, end) of @gpa's page, @src, as @b's bytes; -1 likewise.
 */
int page_enter(struct dbt *d, struct block *b, gpa_t gpa, unsigned int start,
	       unsigned int end, const uint8_t *src);
/*
 * page_key - the rip and mode under which the block for guest address @rip,
 * in @gpa, is known.  Also without the lock.
 */
uint64_t page_key(struct dbt *d, uint64_t rip, gpa_t gpa, uint32_t *mode);
/* page_holds - whether blocks were made of a byte in [start, end). */
bool page_holds(const struct code_page *p, unsigned int start,
		unsigned int end);
/* page_kill_range - blocks of @gpa's page that overlap [gpa, gpa + len) die.
 * Returns whether any block of the page is left. */
bool page_kill_range(struct dbt *d, gpa_t gpa, unsigned int len);
/* page_forget - @b, which compares its bytes, is dead. */
void page_forget(struct dbt *d, struct block *b);
/* page_agrees - whether blocks were made of what @mem, the page's bytes, has.
 * Also without the lock. */
bool page_agrees(const struct code_page *p, const uint8_t *mem);
/* page_kill_stale - blocks that were not die.  The world is stopped. */
void page_kill_stale(struct dbt *d, struct code_page *p, const uint8_t *mem);

/* xlat.c: translates a block at rip == linear address. NULL: cache full. */
struct block *xlat_block(struct dbt *d, struct cpu *c, uint64_t rip, gpa_t gpa,
			 const uint8_t *hva, uint32_t mode);
/* xlat_crossing - the instruction at rip, whose bytes lie in two pages. */
struct block *xlat_crossing(struct dbt *d, struct cpu *c, uint64_t rip,
			    gpa_t gpa, gpa_t gpa2, const uint8_t *hva,
			    const uint8_t *hva2, const struct insn *i,
			    uint32_t mode);

/* mode bits of a block */
#define MODE_CODE_SIZE	 0xfu /* enum code_size */
#define MODE_USER	 BIT(4)
#define MODE_X87	 BIT(5) /* these units may be used without a fault */
#define MODE_MMX	 BIT(6)
#define MODE_SSE	 BIT(7)
#define MODE_AVX	 BIT(8)
#define MODE_FWAIT	 BIT(9)
#define MODE_SEG_SHIFT	 10 /* bit per enum seg_reg ES..GS: no checks needed */
#define MODE_SEG_FLAT(s) BIT(MODE_SEG_SHIFT + (s))
#define MODE_CPL0	 BIT(16) /* other CPLs may be 1 or 2, too */
#define MODE_TSC	 BIT(17) /* RDTSC does not fault */
#define MODE_BASES	 BIT(18) /* nor do RDFSBASE and its like */
#define MODE_LA57	 BIT(19)
#define MODE_PIC	 BIT(29) /* position-independent */
#define MODE_PLAIN	 BIT(30) /* each access looks up for itself */
#define MODE_SLOW	 BIT(31) /* not for the fast form */

/*
 * A page that is mapped at several addresses, as a library's is, gets one set
 * of blocks for all of them but the first.  These are made as if the page were
 * at PIC_BASE; while one runs, slot D_PIC is how far from there it is.
 */
#define PIC_BASE 0x10000000ull

static inline uint64_t pic_rip(uint64_t rip)
{
	return PIC_BASE | (rip & ~PAGE_MASK);
}

/* Guest address of @b, where it runs now. */
static inline uint64_t block_rip(const struct cpu *c, const struct block *b)
{
	return b->rip + (b->mode & MODE_PIC ? c->dbt[D_PIC] : 0);
}

static inline uint64_t stub_rip(const struct cpu *c, const struct rip_stub *s)
{
	return s->rip + (s->pic ? c->dbt[D_PIC] : 0);
}

/* Where to enter @b, which was found for guest address @rip. */
static inline void *block_enter(struct cpu *c, const struct block *b,
				uint64_t rip)
{
	c->dbt[D_PIC] = rip - b->rip;
	return b->entry;
}

/* modekey.c */
uint32_t mode_key(const struct cpu *c);
bool insn_allowed(const struct insn_row *row, uint32_t mode);
enum tlb_mode tlb_mode_of(const struct cpu *c);

/* careful.c */
enum careful_result { CAREFUL_ON, CAREFUL_LEAVE };
/* exit_of_insn - the exit reason an emulated instruction is counted under. */
enum exit_reason exit_of_insn(unsigned int id);
/*
 * careful_step - executes the instruction at rip in careful form and delivers
 * its fault, if any.  CAREFUL_LEAVE: dbt_run returns *@reason.
 */
enum careful_result careful_step(struct cpu *c, enum exit_reason *reason);
/* careful_stepped - the #DB behind an instruction that ran with RFLAGS.TF. */
enum careful_result careful_stepped(struct cpu *c, enum exit_reason *reason);
/*
 * careful_conclude - what is left to do after an instruction of translated
 * code has ended with @r.  @sti_shadow: STI stood before it.
 */
enum careful_result careful_conclude(struct cpu *c, const struct insn *i,
				     enum cpu_result r, bool sti_shadow,
				     enum exit_reason *reason);
/* careful_fault - delivers c->fault, of the instruction at rip. */
enum careful_result careful_fault(struct cpu *c, enum exit_reason *reason);

/* careful_flow.c */
enum cpu_result careful_stack(struct cpu *c, const struct insn *i);
enum cpu_result careful_branch(struct cpu *c, const struct insn *i);

/* careful_x87.c */
/* x87_pending - whether an x87 exception waits that @i raises first of all. */
bool x87_pending(struct cpu *c, const struct insn *i);
/* x87_stores - whether @i stores a number. */
bool x87_stores(const struct insn *i);
/*
 * x87_store - such a store to @gva that cannot go directly.  An unmasked
 * exception other than an inexact result stores nothing, and the operand's
 * pages do not matter then.  80 bits are stored in two parts.
 */
enum cpu_result x87_store(struct cpu *c, const struct insn *i, gva_t gva);
/*
 * x87_stores_nothing - after a fault of its operand: whether it does not count.
 * @i is done then; else nothing has changed.
 */
bool x87_stores_nothing(struct cpu *c, const struct insn *i);
/* x87_state - whether @i loads or stores the environment or all state. */
bool x87_state(const struct insn *i);
/* x87_probe - its operand's faults: first the control word, then the end. */
enum cpu_result x87_probe(struct cpu *c, const struct insn *i, gva_t gva);
/* x87_first - the first field's faults: they come before the end's. */
enum cpu_result x87_first(struct cpu *c, const struct insn *i, uint64_t off);
/* x87_in_parts - whether its operand is accessed field by field: 80 bits too.
 */
bool x87_in_parts(const struct insn *i);
/* x87_wrapped - such an operand that wraps at the end of the address size. */
enum cpu_result x87_wrapped(struct cpu *c, const struct insn *i, uint64_t off);

/* snippet.c */
/*
 * snippet_run - executes an ACT_COPY instruction on the silicon with its
 * memory operand at host address @mem.  CPU_FAULT: c->fault is #DE, #MF, #XM
 * or #GP(0); or c->fault.vector is VEC_HOST_MEMORY.
 */
#define VEC_HOST_MEMORY 0xff
enum cpu_result snippet_run(struct cpu *c, const struct insn *i, void *mem);

/* miss.c: called from translated code; returns where to go on or NULL. */
void *dbt_miss(struct cpu *c, const struct miss_stub *s);
/* run_enter_write - mmu_ops.enter_write. */
void run_enter_write(struct mmu *mmu, gva_t gva, unsigned int access,
		     const struct memslot *slot, const struct walk *w);

/* lookup.c: likewise, for an indirect jump to @rip that the jump cache does not
 * know and for a direct one that was not taken before. */
void *dbt_lookup(struct cpu *c, uint64_t rip);
void *dbt_link(struct cpu *c, const struct link_stub *s);
/* lookup_enter - @b, which was found for guest address @rip, is known to the
 * jump cache of @tt from now on.  @w: the translation of its page, or of both.
 * Returns where to enter it. */
void *lookup_enter(struct cpu *c, struct tlb_table *tt, const struct block *b,
		   uint64_t rip, const struct walk *w);
/* ... and where code is not what it was when it was translated. */
void *dbt_changed(struct cpu *c, const struct changed_stub *s);

/*
 * light.c: executes an ACT_HELPER or ACT_STRING instruction in the middle of
 * translated code; see emit_light_call() for the answer.
 */
struct light_site {
	struct rip_stub at;
	uint64_t next;
	enum cpu_result (*op)(struct cpu *c, const struct insn *i);
	uint8_t reason; /* enum exit_reason it is counted under */
	bool cpl0;	/* #GP(0) at another CPL */
	bool goes_on;	/* the block has code for @next */
	struct insn insn;
};

void *dbt_light(struct cpu *c, const struct light_site *s);

/* run.c */
/* run_must_leave - what comes next is for the loop in run.c, not for a jump to
 * translated code. */
bool run_must_leave(const struct cpu *c);
/* run_table - the table of the current tag and mode, whose jump cache is for
 * mode key @mode from now on; NULL: no memory. */
struct tlb_table *run_table(struct cpu *c, uint32_t mode);
/* run_set_table - makes translated code use it. */
void run_set_table(struct cpu *c, const struct tlb_table *tt);
enum leave_code dbt_enter(struct cpu *c, void *code);

/* pages.c */
/* code_page_write - guest RAM was written; not from inside a block. */
void code_page_write(struct cpu *c, gpa_t gpa, unsigned int len);
/*
 * pages_permit - whether a write of [gpa, gpa + len) to a page with code
 * touches no code; it may then be done at once, but no later.  From inside a
 * block.
 */
bool pages_permit(struct cpu *c, gpa_t gpa, unsigned int len);
/*
 * pages_fresh - whether @b's pages are what they were when it was made, as of
 * the last call of dbt_outside(); @now: as of now.  Not with the lock.
 */
bool pages_fresh(struct cpu *c, const struct block *b, bool now);
/* page_fresh - the same for one page. */
bool page_fresh(struct cpu *c, struct code_page *p, bool now);
/* pages_refresh - drops what is outdated in @b's pages; not inside a block. */
void pages_refresh(struct cpu *c, const struct block *b);
/* pages_sample - now and then: pages that are not written any more. */
void pages_sample(struct cpu *c);

/* epoch.c */
/* epoch_uses - the current jump cache leads to @b. */
void epoch_uses(struct cpu *c, const struct block *b);
/* epoch_new - makes the jump caches good for the dbt's epoch.  Not inside a
 * block; slow if it is another one than the last time. */
void epoch_new(struct cpu *c);
/* epoch_forget - no jump cache leads anywhere. */
void epoch_forget(struct vcpu_dbt *v);

/* run_code_write - mmu_ops.code_write: remembers the write. */
void run_code_write(struct mmu *mmu, gpa_t gpa, unsigned int len);
/* run_exec_watch, run_exec_unwatch - mmu_ops.exec_watch, exec_unwatch. */
void run_exec_watch(struct mmu *mmu, gpa_t gpa);
void run_exec_unwatch(struct mmu *mmu, gpa_t gpa);
/* run_ring_full - mmu_ops.ring_full. */
void run_ring_full(struct mmu *mmu);
void pages_pending(struct cpu *c);
/* pages_translate - makes a block; NULL: take the careful way this once. */
struct block *pages_translate(struct cpu *c, uint64_t rip, gpa_t gpa,
			      uint32_t mode);
/* pages_translate_light - the same from inside a block: NULL also if the world
 * must be stopped. */
struct block *pages_translate_light(struct cpu *c, uint64_t rip, gpa_t gpa,
				    uint32_t mode);
/* pages_crossing - the block of an instruction that crosses into another
 * page; NULL likewise. */
struct block *pages_crossing(struct cpu *c, gpa_t gpa, uint32_t mode);
/* careful.c: fetch_insn - fetches and decodes at rip; no exit or fault but
 * what fetching raises. */
enum cpu_result fetch_insn(struct cpu *c, struct insn *i);

/* dbt.c: drops all translations; the world is stopped */
void dbt_drop_all(struct dbt *d);

/* quiet.c */
void run_gate_enter(struct vcpu_dbt *v);
void run_gate_leave(struct vcpu_dbt *v);
/* quiet_self - stop the world from inside dbt_run; not in a block. */
void quiet_self_enter(struct cpu *c);
void quiet_self_leave(struct cpu *c);

/* fault.c */
int fault_init(void);
void fault_set_current(struct cpu *c);
