#pragma once

#include "dbt/dbt_int.h"

/*
 * A translation under way.  Host code of a guest instruction must leave
 * status flags alone outside the instruction itself, and change no guest
 * register before its last memory access is known to succeed.
 */
#define MAX_INSNS 64
#define MAX_COLD  (MAX_INSNS * 5)
/*
 * A JRCXZ that waits for a jump to its out-of-line code within reach.  Such
 * jumps are put where the line is broken anyway, or in groups.
 */
struct island {
	uint8_t *rel8;
	uint16_t cold; /* index in xlat.cold[] */
	bool check;    /* to its second way in */
};

#define MAX_ISLANDS 8

/* The most host code that one block may need. */
#define BLOCK_ROOM 49152u

/* Out-of-line code, emitted behind the block. */
enum cold_kind {
	COLD_TLB,     /* TLB miss, or an access near the start of a page */
	COLD_LINK,    /* direct jump not linked yet */
	COLD_BACK,    /* the same for a backward one */
	COLD_LOOP,    /* in `check`: the next turn of a loop goes to the block's
			 entry */
	COLD_LIGHT,   /* calls dbt_light with `light` */
	COLD_RIP,     /* leave with a guest rip: thunk `leave` */
	COLD_CHANGED, /* the guest's code is not what it was */
};

/* COLD_TLB: what an access that crosses a page does. */
enum cold_cross {
	CROSS_MISS,   /* the same as one that misses */
	CROSS_LINK,   /* goes on in plain code */
	CROSS_BOUNCE, /* cross.c */
};

struct cold {
	uint8_t kind;
	uint8_t write;
	uint8_t cross;	/* enum cold_cross */
	uint8_t recipe; /* COLD_TLB: of the flags here; NO_RECIPE: exact */
	bool window;	/* COLD_TLB: of a window; on failure to plain code */
	bool exact;	/* COLD_TLB: a fault of the walk is the instruction's */
	bool lent;	/* registers are lent here (xlat_lend.c) */
	uint8_t leave;	/* COLD_RIP: which way out */
	uint16_t size;
	uint16_t ahead; /* COLD_TLB: bytes of the access behind t0 */
	uint8_t *site;	/* rel32 that leads here (write address) */
	uint8_t *check; /* COLD_TLB: the same of its second way in */
	uint8_t *back;	/* where the main line goes on (write address) */
	uint8_t *done;	/* COLD_TLB: ... with the addend in t1 */
	uint8_t *other; /* COLD_TLB: of a window: instead of plain code */
	/* CROSS_BOUNCE, writes: the instruction's code from where the addend is
	 * known (write addresses) */
	uint8_t *op, *op_end;
	union {
		uint64_t rip;
		const struct light_site *light;
	};
};

/*
 * Bytes around one address, in one page, that several accesses of the block
 * touch: looked up once.  Offsets are from an address that the members agree
 * on, or from the start of @page.
 */
struct window {
	int32_t lo, hi; /* first byte, and the one behind the last */
	uint64_t page;	/* a known page, or 0 */
	bool pic;	/* ... relative to D_PIC */
	bool write;
	bool open; /* its first member has been translated */
	/* In a loop: it moves by @stride with each turn, and is at registers
	 * @base + @index << @scale plus [lo, hi) at the loop's head. */
	bool loop;
	uint8_t base, index, scale;
	int32_t stride;
	/* In its second copy: the register that the addend is in, or H_NONE;
	 * @pointer: with @base added. */
	uint8_t host;
	bool pointer;
};

#define NO_WINDOW 0xff

/* One access as a member of a window. */
struct share {
	uint8_t win;  /* index in xlat.window[] or NO_WINDOW */
	bool indexed; /* at @off plus the index register */
	int32_t off;
};

/* Host address of an access: registers and a displacement. */
struct memref {
	enum hreg base, index; /* index may be H_NONE */
	int32_t disp;
	uint8_t scale;
};

/* A host register that a loop does not use, lent to a guest register or to a
 * window. */
struct lend {
	uint8_t host;
	uint8_t owner; /* the guest register that lives there elsewhere */
	uint8_t guest; /* GPR_NONE: a window or the counter */
	uint8_t win;   /* NO_WINDOW: none */
	bool dirty;    /* the loop writes @guest */
};

#define MAX_LENDS 7

#define NO_RECIPE 0xff
#define NO_LOOP	  0xff

struct xlat {
	struct dbt *d;
	struct cpu *c;
	struct emit e;
	uint32_t mode;
	uint8_t code_size;
	uint64_t block_rip; /* of the block */
	uint64_t rip,
		next; /* of the current instruction, and of its successor */
	unsigned int nr_decoded;
	struct insn insn[MAX_INSNS];
	/* their bytes; where they are in memory, and those in a second page */
	uint8_t src[MAX_INSNS * 15 + 1];
	const uint8_t *hva, *hva2;
	bool self; /* code compares its bytes */
	bool pic;  /* addresses are relative to D_PIC */
	/* for each instruction its ModRM operand, then its stack access */
	struct share share[2 * MAX_INSNS];
	const struct share *share_insn; /* those of the current one */
	unsigned int cur;		/* index of the current instruction */
	/* xlat_flags.c: before each instruction, the last one that wrote all
	 * flags from registers that still are what they were */
	uint8_t recipe[MAX_INSNS];
	bool clobber[MAX_INSNS]; /* its look-ups may clobber flags */
	/* by index in map[]: the recipe if flags are not exact at a fault */
	uint8_t restore[2 * MAX_INSNS];
	bool lent[2 * MAX_INSNS]; /* ... and whether registers are lent there */
	bool flag_form;		  /* look-ups of the current one do */
	bool dirty;		  /* flags are clobbered here */
	/* xlat_loop.c */
	unsigned int loop_end; /* index of the jump back, or NO_LOOP */
	uint8_t *loop_entry;   /* first instruction (write address) */
	uint8_t *loop_site;    /* rel32 of the jump to the second copy */
	uint8_t *loop_head;    /* the second copy */
	uint8_t *loop_exit;    /* behind the jump back */
	bool in_loop;	       /* the second copy is being made */
	enum hreg counter;     /* turns before its head is due, or H_NONE */
	/* xlat_lend.c */
	const uint8_t *home; /* where guest registers live here: host_of[] or */
	uint8_t loop_home[NR_GPRS];
	bool lending; /* it is loop_home[] */
	unsigned int nr_lends;
	struct lend lend[MAX_LENDS];
	uint32_t used, written;	     /* guest registers, by the loop or lent */
	uint8_t *in_code, *out_code; /* lend_routines() */
	uint8_t t1_win;	 /* window whose slot t1 holds, or NO_WINDOW */
	uint8_t t1_next; /* the same behind the current instruction */
	unsigned int nr_windows;
	struct window window[MAX_WINDOWS];
	uint8_t spill;	  /* host register lent in the current instruction */
	bool snippet;	  /* memory operand is at [t0] already */
	bool done;	  /* the block has ended */
	bool failed;	  /* metadata full */
	uint8_t *entry;	  /* entry of direct jumps (write address) */
	uint8_t *checked; /* entry of backward jumps (write address) */
	uint8_t *cold_at; /* where out-of-line code begins (write address) */
	bool shadow;	  /* the previous instruction was STI */
	bool eager;	  /* no jump may wait, no flag be clobbered */
	bool exact; /* the instruction accesses what it looks up, aligned or
		       not */
	unsigned int nr_insns;
	struct pcmap map[2 * MAX_INSNS];
	unsigned int nr_islands;
	struct island island[MAX_ISLANDS];
	uint8_t *last_islands; /* end of the last jumps that were put */
	unsigned int nr_cold;
	struct cold cold[MAX_COLD];
};

/* xlat_mem.c */
/* xlat_islands - puts the jumps that wait, if @room more bytes of code would
 * take the oldest out of reach; @gap: nothing falls through here. */
void xlat_islands(struct xlat *x, unsigned int room, bool gap);
/* xlat_ea - t0 = linear address of the ModRM operand plus @add; uses t1. */
void xlat_ea(struct xlat *x, const struct insn *i, int32_t add,
	     bool with_segment);
/*
 * xlat_tlb - t1 = addend for an access of @size bytes (up to 512), the last of
 * them at t0.  @may_cross: they may lie in two pages.  @window: for several
 * accesses; if there is no one addend for them, the plain code goes on.
 */
struct cold *xlat_tlb(struct xlat *x, unsigned int size, bool write,
		      bool may_cross, bool window);
/* xlat_address - @reg = guest address @gva; @pic: relative to D_PIC. */
void xlat_address(struct xlat *x, enum hreg reg, uint64_t gva, bool pic);
/* xlat_tlb_page - t0 = @ea, t1 = its addend; the @size bytes from there are in
 * one page.  @pic: relative to D_PIC. */
void xlat_tlb_page(struct xlat *x, uint64_t ea, bool pic, unsigned int size,
		   bool write, bool window);
/* xlat_constant_ea - whether the operand is at an address known now, and in
 * one page. */
bool xlat_constant_ea(const struct xlat *x, const struct insn *i, uint64_t *ea);
/* xlat_span_test - to @c's second way in unless t0, the last of @size bytes, is
 * far enough into its page for all of them; uses t1. */
void xlat_span_test(struct xlat *x, unsigned int size, struct cold *c);
/* xlat_island - lets a JRCXZ wait for its jump to @c; @check: to the second
 * way in. */
void xlat_island(struct xlat *x, uint8_t *rel8, const struct cold *c,
		 bool check);
/* xlat_cold_span - the exact test whether all bytes of @c's access, whose last
 * is at t0, are in one page; falls through if not. */
void xlat_cold_span(struct xlat *x, const struct cold *c, uint8_t *within);
/* xlat_seg_ok - the operand's segment needs no checks. */
bool xlat_seg_ok(const struct xlat *x, const struct insn *i);
struct cold *xlat_cold(struct xlat *x, enum cold_kind kind, uint8_t *site);
/* xlat_cold_link - the stub of the jump at @site to guest address c->rip. */
void xlat_cold_link(struct xlat *x, uint8_t *site, const struct cold *c);
void xlat_emit_cold(struct xlat *x);
/* xlat_ordinary - code that must not see a loop's registers or clobbered flags
 * follows in @c. */
void xlat_ordinary(struct xlat *x, const struct cold *c);

/* xlat_cross.c */
/* cross_kind - what the access of the current instruction does if it crosses.
 */
enum cold_cross cross_kind(const struct xlat *x, unsigned int size, bool write);
/* cross_insn_done - the code of the current instruction ends here; its accesses
 * are from x->cold[@first] on. */
void cross_insn_done(struct xlat *x, unsigned int first);
/*
 * cross_cold - @c's second way in; falls through to what a miss does.  Returns
 * where crossing accesses go (write address), or NULL.
 */
uint8_t *cross_cold(struct xlat *x, const struct cold *c);

/* xlat_window.c */
/* xlat_operand - makes the ModRM operand of the current instruction
 * accessible; uses t0 and t1, also in the reference. */
struct memref xlat_operand(struct xlat *x, const struct insn *i,
			   unsigned int size, bool write);
/* xlat_stack_operand - the same for its access at guest register @reg plus
 * @disp. */
struct memref xlat_stack_operand(struct xlat *x, unsigned int reg, int disp,
				 unsigned int size, bool write);

/* xlat_copy.c; false: not expressible, leave it to the careful form */
bool xlat_copy(struct xlat *x, const struct insn *i);

/* xlat_flow.c; false likewise */
bool xlat_stack(struct xlat *x, const struct insn *i);
bool xlat_branch(struct xlat *x, const struct insn *i);
/* xlat_push_tmp - pushes what D_TMP holds. */
void xlat_push_tmp(struct xlat *x, unsigned int size);
/* xlat_jump - ends a path with a jump to guest address @rip. */
void xlat_jump(struct xlat *x, uint64_t rip);
/* xlat_jump_far - the same through the jump cache, wherever @rip is. */
void xlat_jump_far(struct xlat *x, uint64_t rip);
/* xlat_jc_index - t1 = index of guest address t0 in the jump cache. */
void xlat_jc_index(struct xlat *x);
/* xlat_leave - ends a path with a way out at guest address @rip. */
void xlat_leave(struct xlat *x, enum leave_code code, uint64_t rip);

/* xlat_check.c: before instruction @n: compares the bytes of the next ones, as
 * many as need it here. */
void xlat_check(struct xlat *x, unsigned int n);

/* xlat_event.c */
/* event_goes_on - whether a block may go on behind the ACT_HELPER or
 * ACT_STRING instruction. */
bool event_goes_on(const struct xlat *x, const struct insn *i);
/* xlat_event - translates it.  @last: nothing follows it in the block. */
void xlat_event(struct xlat *x, const struct insn *i, bool last);
/* xlat_end_shadow - the instruction behind STI is done. */
void xlat_end_shadow(struct xlat *x);
void xlat_cold_light(struct xlat *x, const struct cold *c);
/* xlat_light_call - calls the helper of @i. */
void xlat_light_call(struct xlat *x, const struct insn *i);
/* xlat_count - counts @i where its exit would be counted; uses t0. */
void xlat_count(struct xlat *x, const struct insn *i);

/* xlat_string.c; false: use the helper */
bool xlat_string(struct xlat *x, const struct insn *i);

/* xlat.c */
struct rip_stub xlat_rip_stub(const struct xlat *x, uint64_t rip);
/* xlat_one_insn - translates x->insn[n], which is at x->next. */
void xlat_one_insn(struct xlat *x, unsigned int n);
struct xlat *xlat_alloc(void);
void xlat_begin(struct xlat *x, struct dbt *d, struct cpu *c, uint32_t mode);
