#include <string.h>

#include "cpu/mem.h"
#include "cpu/op.h"

/*
 * Stack frames of control transfers.  A frame is checked as a whole before
 * any of it is written, and struct cpu changes last, so that a fault leaves
 * the stack pointer alone.
 */

/* Values of 2, 4 or 8 bytes, without a call of memcpy. */
static void value_put(uint8_t *p, uint64_t v, unsigned int size)
{
	if (likely(size == 8))
		memcpy(p, &v, 8);
	else if (size == 4)
		memcpy(p, &v, 4);
	else
		memcpy(p, &v, 2);
}

static uint64_t value_get(const uint8_t *p, unsigned int size)
{
	uint64_t v = 0;

	if (likely(size == 8))
		memcpy(&v, p, 8);
	else if (size == 4)
		memcpy(&v, p, 4);
	else
		memcpy(&v, p, 2);
	return v;
}

static uint64_t stack_width(const struct seg *ss)
{
	return ss->ar & AR_DB ? MASK(32) : MASK(16);
}

void stack_current(const struct cpu *c, struct stack *st, unsigned int size)
{
	st->ss = c->seg[SEG_SS];
	st->sp = c->gpr[RSP];
	st->flat = linear_flat(c);
	st->mask = st->flat ? ~0ull : stack_width(&st->ss);
	st->error = 0;
	st->access = cpu_access(c);
	st->size = size;
	st->nr = 0;
}

static unsigned int stack_access(const struct cpu *c, unsigned int cpl)
{
	return (cpl == 3 ? ACCESS_USER : 0) |
	       (c->rflags & RFLAGS_AC ? ACCESS_AC : 0);
}

void stack_switch(const struct cpu *c, struct stack *st, const struct seg *ss,
		  uint64_t sp, unsigned int cpl, unsigned int size)
{
	st->ss = *ss;
	st->sp = sp;
	st->flat = false;
	st->mask = stack_width(ss);
	st->error = ss->sel & ~3u;
	st->access = stack_access(c, cpl);
	st->size = size;
	st->nr = 0;
}

void stack_switch_flat(const struct cpu *c, struct stack *st, uint64_t sp,
		       unsigned int cpl)
{
	st->sp = sp;
	st->flat = true;
	st->mask = ~0ull;
	st->error = 0;
	st->access = stack_access(c, cpl);
	st->size = 8;
	st->nr = 0;
}

/* Linear address of @bytes at the stack's offset @off: #SS if out of bounds. */
static enum cpu_result stack_linear(struct cpu *c, const struct stack *st,
				    uint64_t off, unsigned int bytes,
				    unsigned int access, gva_t *gva)
{
	if (likely(st->flat)) {
		/* #AC comes before the look at the last byte. */
		if (unlikely(linear_misaligned(c, off, bytes, st->access)) &&
		    canonical(c, off))
			return cpu_raise_error(c, VEC_AC, 0);
		*gva = off;
		if (canonical(c, off) && canonical(c, off + bytes - 1))
			return CPU_OK;
	} else if (seg_allows(c, &st->ss, off, bytes, access)) {
		*gva = (uint32_t)(st->ss.base + off);
		return CPU_OK;
	}
	return cpu_raise_error(c, VEC_SS, st->error);
}

/* Offset of the @n-th value pushed (0 = first, highest). */
static uint64_t slot_off(const struct stack *st, unsigned int n)
{
	return (st->sp - (uint64_t)st->size * (n + 1)) & st->mask;
}

enum cpu_result stack_check(struct cpu *c, const struct stack *st)
{
	gva_t gva;

	for (unsigned int n = 0; n < st->nr; n++) {
		enum cpu_result r = stack_linear(c, st, slot_off(st, n),
						 st->size, ACC_W, &gva);

		if (r != CPU_OK)
			return r;
	}
	return CPU_OK;
}

/* Whether @bytes at offset @off are in one page and do not wrap. */
static bool one_piece(const struct cpu *c, const struct stack *st, uint64_t off,
		      unsigned int bytes)
{
	gva_t gva = st->flat ? off : (uint32_t)(st->ss.base + off);

	if ((st->access & ACCESS_USER) && (c->rflags & RFLAGS_AC))
		return false; /* each value has its alignment check */
	return off + bytes - 1 <= st->mask && off + bytes - 1 >= off &&
	       (gva & ~PAGE_MASK) + bytes <= PAGE_SIZE;
}

static enum cpu_result write_piece(struct cpu *c, const struct stack *st,
				   uint64_t off)
{
	uint8_t buf[STACK_MAX * 8];
	unsigned int at = 0;
	gva_t gva;
	enum cpu_result r =
		stack_linear(c, st, off, st->nr * st->size, ACC_W, &gva);

	if (r != CPU_OK)
		return r;
	for (unsigned int n = st->nr; n-- > 0; at += st->size)
		value_put(buf + at, st->val[n], st->size);
	r = linear_write(c, gva, buf, at, st->access);
	/* CR2 is where the first push would have failed. */
	if (r == CPU_FAULT && c->fault.vector == VEC_PF)
		c->fault.address = gva + at - st->size;
	return r;
}

/* Value by value from the top, as the processor pushes. */
static enum cpu_result write_values(struct cpu *c, const struct stack *st)
{
	for (unsigned int n = 0; n < st->nr; n++) {
		gva_t gva;
		enum cpu_result r = stack_linear(c, st, slot_off(st, n),
						 st->size, ACC_W, &gva);

		if (r == CPU_OK)
			r = linear_write(c, gva, &st->val[n], st->size,
					 st->access);
		if (r != CPU_OK)
			return r;
	}
	return CPU_OK;
}

enum cpu_result stack_write(struct cpu *c, struct stack *st)
{
	const unsigned int bytes = st->nr * st->size;
	enum cpu_result r;
	uint64_t off;

	if (!st->nr)
		return CPU_OK;
	off = slot_off(st, st->nr - 1);
	if (one_piece(c, st, off, bytes))
		r = write_piece(c, st, off);
	else
		r = write_values(c, st);
	if (r == CPU_OK) {
		stack_skip(st, -(int64_t)bytes);
		st->nr = 0;
	}
	return r;
}

enum cpu_result stack_pop(struct cpu *c, struct stack *st, uint64_t *val,
			  unsigned int n)
{
	return stack_pop_sel(c, st, val, n, STACK_MAX);
}

enum cpu_result stack_pop_sel(struct cpu *c, struct stack *st, uint64_t *val,
			      unsigned int n, unsigned int sel)
{
	const unsigned int size = st->size;
	uint64_t off = st->sp & st->mask;
	uint8_t buf[STACK_MAX * 8];
	gva_t gva[STACK_MAX];
	const bool together = one_piece(c, st, off, n * size);
	enum cpu_result r = CPU_OK;

	for (unsigned int k = n; k-- && r == CPU_OK;) {
		const unsigned int bytes = k == sel ? 2 : size;

		r = stack_linear(c, st, (off + k * size) & st->mask, bytes,
				 ACC_R, &gva[k]);
		if (r == CPU_OK && !together)
			r = linear_read(c, gva[k], buf + k * size, bytes,
					st->access);
	}
	if (r == CPU_OK && together) {
		r = linear_read(c, gva[0], buf, n * size, st->access);
		if (r == CPU_FAULT && c->fault.vector == VEC_PF)
			c->fault.address = gva[n - 1];
	}
	if (r != CPU_OK)
		return r;
	for (unsigned int k = 0; k < n; k++) {
		val[k] = value_get(buf + k * size, k == sel ? 2 : size);
	}
	stack_skip(st, n * size);
	return CPU_OK;
}

void stack_skip(struct stack *st, int64_t bytes)
{
	st->sp = (st->sp & ~st->mask) | ((st->sp + bytes) & st->mask);
}

void stack_load_sp(struct cpu *c, const struct stack *st)
{
	c->gpr[RSP] = st->mask == MASK(32) ? (uint32_t)st->sp : st->sp;
}
