#pragma once

#include "cpu/cpu.h"

/*
 * Memory below cpu/op.h: accesses at linear addresses, segment checks against
 * a descriptor that is not loaded yet, and stack frames.
 */

/* linear_flat - whether 64-bit addressing (no limits, canonical addresses). */
static inline bool linear_flat(const struct cpu *c)
{
	return c->code_size == CODE64;
}

/*
 * seg_allows - limit and type checks of legacy segmentation for @size bytes at
 * @off; @access is ACC_*.  Real and virtual-8086 mode check limits only.
 * Source: SDM 3A "Limit Checking", "Type Checking".
 */
bool seg_allows(const struct cpu *c, const struct seg *s, uint64_t off,
		unsigned int size, unsigned int access);

/*
 * linear_read, linear_write - as cpu_read and cpu_write behind segmentation:
 * page-table and alignment checks, wrap at 4 GiB outside 64-bit mode.
 * @access: as cpu_access().
 */
enum cpu_result linear_read(struct cpu *c, gva_t gva, void *buf,
			    unsigned int size, unsigned int access);
enum cpu_result linear_write(struct cpu *c, gva_t gva, const void *buf,
			     unsigned int size, unsigned int access);

/*
 * linear_misaligned - whether an access of @size bytes is due an #AC(0), which
 * linear_read and linear_write raise by themselves.
 */
bool linear_misaligned(const struct cpu *c, gva_t gva, unsigned int size,
		       unsigned int access);

/*
 * A stack while a frame is pushed on it or popped from it.  Nothing of it is
 * in struct cpu until stack_load; values are @size bytes each.
 */
#define STACK_MAX 40 /* a call gate's 31 parameters and SS, ESP, CS, EIP */

struct stack {
	struct seg ss;
	uint64_t sp;
	uint64_t mask;	 /* width of the stack pointer */
	uint32_t error;	 /* error code of #SS */
	uint16_t access; /* as cpu_access() */
	uint8_t size;
	uint8_t nr; /* values pushed */
	bool flat;  /* 64-bit: canonical check instead of limits */
	uint64_t val[STACK_MAX];
};

/* stack_current - the loaded stack, values of @size bytes. */
void stack_current(const struct cpu *c, struct stack *st, unsigned int size);

/*
 * stack_switch - a new stack @ss:@sp for privilege level @cpl; a limit
 * violation on it is #SS(@ss.sel).
 */
void stack_switch(const struct cpu *c, struct stack *st, const struct seg *ss,
		  uint64_t sp, unsigned int cpl, unsigned int size);

/* stack_switch_flat - a new stack of 64-bit mode. */
void stack_switch_flat(const struct cpu *c, struct stack *st, uint64_t sp,
		       unsigned int cpl);

static inline void stack_push(struct stack *st, uint64_t value)
{
	st->val[st->nr++] = value;
}

/* stack_check - whether the pushed values have room: #SS if not. */
enum cpu_result stack_check(struct cpu *c, const struct stack *st);

/* stack_write - writes the pushed values; sp moves below them. */
enum cpu_result stack_write(struct cpu *c, struct stack *st);

/*
 * stack_pop - reads @n values and moves sp above them.  The highest is read
 * first, as Intel's processors do: RETF reads CS, then RIP.
 */
enum cpu_result stack_pop(struct cpu *c, struct stack *st, uint64_t *val,
			  unsigned int n);

/*
 * stack_pop_sel - the same, but of value number @sel, a selector, only two
 * bytes are read.
 */
enum cpu_result stack_pop_sel(struct cpu *c, struct stack *st, uint64_t *val,
			      unsigned int n, unsigned int sel);

/* stack_skip - moves sp by @bytes, wrapping at its width. */
void stack_skip(struct stack *st, int64_t bytes);

/* stack_load_sp - sets RSP from a stack of the given width. */
void stack_load_sp(struct cpu *c, const struct stack *st);
