#pragma once

#include "dbt/dbt_int.h"

/*
 * A translation under way.  Host code of a guest instruction must leave
 * status flags alone outside the instruction itself, and change no guest
 * register before its last memory access is known to succeed.
 */
#define MAX_INSNS 64
#define MAX_COLD  (MAX_INSNS * 4)
/*
 * A JRCXZ that waits for a jump to its out-of-line code within reach.  Such
 * jumps are put where the line is broken anyway, or in groups.
 */
struct island {
	uint8_t *rel8;
	uint16_t cold; /* index in xlat.cold[] */
};

#define MAX_ISLANDS 8

/* The most host code that one block may need. */
#define BLOCK_ROOM 49152u

/* Out-of-line code, emitted behind the block. */
enum cold_kind {
	COLD_ALIGN,  /* misaligned access: check for a page crossing */
	COLD_STRICT, /* misaligned where alignment was expected: leave */
	COLD_MISS,   /* TLB miss */
	COLD_LINK,   /* direct jump not linked yet */
	COLD_BACK,   /* the same for a backward one */
	COLD_RIP,    /* leave with a guest rip: thunk `leave` */
};

struct cold {
	uint8_t kind;
	uint8_t write;
	uint8_t leave; /* COLD_RIP: which way out */
	uint16_t size;
	uint8_t *site; /* rel32 that leads here (write address) */
	uint8_t *back; /* where the main line goes on (write address) */
	uint64_t rip;
};

struct xlat {
	struct dbt *d;
	struct cpu *c;
	struct emit e;
	uint32_t mode;
	uint8_t code_size;
	uint64_t block_rip; /* of the block */
	uint64_t rip,
		next; /* of the current instruction, and of its successor */
	struct insn insn;
	uint8_t spill; /* host register lent in the current instruction */
	bool snippet;  /* memory operand is at [t0] already */
	bool done;     /* the block has ended */
	bool failed;   /* metadata full */
	uint8_t *checked;   /* entry of backward jumps (write address) */
	bool eager;    /* no jump to out-of-line code may wait */
	unsigned int nr_insns;
	struct pcmap map[MAX_INSNS];
	unsigned int nr_islands;
	struct island island[MAX_ISLANDS];
	/*
	 * What is known of guest registers here: value = residue modulo
	 * modulus (a power of two up to 32; 1: nothing).  It comes from
	 * accesses that would have left the block otherwise.
	 */
	uint8_t residue[NR_GPRS], modulus[NR_GPRS];
	unsigned int nr_cold;
	struct cold cold[MAX_COLD];
};

/* xlat_mem.c */
/* xlat_islands - puts the jumps that wait, if @room more bytes of code would
 * take the oldest out of reach; @gap: nothing falls through here. */
void xlat_islands(struct xlat *x, unsigned int room, bool gap);
/* xlat_ea - t0 = linear address of the ModRM operand; uses t1. */
void xlat_ea(struct xlat *x, const struct insn *i, bool with_segment);
/*
 * xlat_tlb - t1 = addend for an access of @size bytes at t0.  @base, @disp:
 * t0 is this guest register plus @disp (GPR_NONE: not known to be).
 */
void xlat_tlb(struct xlat *x, unsigned int size, bool write, unsigned int base,
	      int64_t disp);
/* xlat_tlb_insn - the same for the ModRM operand of @i, from xlat_ea. */
void xlat_tlb_insn(struct xlat *x, const struct insn *i, unsigned int size,
		   bool write);
/* xlat_seg_ok - the operand's segment needs no checks. */
bool xlat_seg_ok(const struct xlat *x, const struct insn *i);
struct cold *xlat_cold(struct xlat *x, enum cold_kind kind, uint8_t *site);
void xlat_emit_cold(struct xlat *x);

/* xlat_align.c: what is known of registers' low bits */
bool align_known(const struct xlat *x, unsigned int size, unsigned int base,
		 int64_t disp);
/* align_learn - base + disp is a multiple of @size from here on. */
void align_learn(struct xlat *x, unsigned int size, unsigned int base,
		 int64_t disp);
void align_forget(struct xlat *x, unsigned int reg);
void align_add(struct xlat *x, unsigned int reg, int64_t n);
void align_copy(struct xlat *x, unsigned int to, unsigned int from,
		int64_t disp);
/* align_insn - the effect of a translated ACT_COPY instruction. */
void align_insn(struct xlat *x, const struct insn *i);

/* xlat_copy.c; false: not expressible, leave it to the careful form */
bool xlat_copy(struct xlat *x, const struct insn *i);

/* xlat_flow.c; false likewise */
bool xlat_stack(struct xlat *x, const struct insn *i);
bool xlat_branch(struct xlat *x, const struct insn *i);
/* xlat_jump - ends a path with a jump to guest address @rip. */
void xlat_jump(struct xlat *x, uint64_t rip);
/* xlat_jump_far - the same through the jump cache, wherever @rip is. */
void xlat_jump_far(struct xlat *x, uint64_t rip);
/* xlat_leave - ends a path with a way out at guest address @rip. */
void xlat_leave(struct xlat *x, enum leave_code code, uint64_t rip);

/* xlat.c */
struct xlat *xlat_alloc(void);
void xlat_begin(struct xlat *x, struct dbt *d, struct cpu *c, uint32_t mode);
