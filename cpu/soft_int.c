#include "cpu/debug.h"
#include "cpu/event.h"
#include "cpu/mem.h"
#include "cpu/mode.h"
#include "cpu/ops_seg.h"
#include "cpu/segment.h"

/*
 * INT n, INT3, INTO, INT1.
 * Source: SDM 2 "INT n/INTO/INT3/INT1"; SDM 3B "8086 Emulation", "Class 3 -
 * Software Interrupt Handling in Virtual-8086 Mode".
 */

#define TSS_IOMAP	  102
#define REDIRECTION_BYTES 32

/* INT n and its like: the handler's RIP is where execution goes on. */
static enum cpu_result soft_event(struct cpu *c, const struct insn *i,
				  enum event_type type, uint8_t vector)
{
	const struct event ev = { .type = type,
				  .vector = vector,
				  .insn_len = i->len };
	enum cpu_result r = event_deliver(c, &ev);

	if (r == CPU_OK)
		c->next_rip = c->rip;
	return r;
}

/*
 * CR4.VME: a clear bit in the TSS's redirection map, which lies before the I/O
 * map, leaves INT n to the 8086 program's own vector table.
 */
static enum cpu_result is_redirected(struct cpu *c, uint8_t vector, bool *yes)
{
	const struct seg *tr = &c->seg[SEG_TR];
	enum cpu_result r;
	uint16_t map;
	uint32_t at;
	uint8_t bits;

	*yes = false;
	if (!(c->cr4 & CR4_VME))
		return CPU_OK;
	if ((tr->ar & AR_UNUSABLE) || tr->limit < TSS_IOMAP + 1)
		return cpu_raise_gp(c);
	r = cpu_read_sys(c, tr->base + TSS_IOMAP, &map, 2);
	if (r != CPU_OK)
		return r;
	at = (uint32_t)map - REDIRECTION_BYTES + vector / 8;
	if (at > tr->limit)
		return cpu_raise_gp(c);
	r = cpu_read_sys(c, tr->base + at, &bits, 1);
	*yes = r == CPU_OK && !(bits & BIT(vector % 8));
	return r;
}

/* FLAGS as the 8086 program sees them: below IOPL 3 its IF is VIF. */
static uint16_t visible_flags(const struct cpu *c)
{
	uint64_t flags = c->rflags;

	if (cpu_iopl(c) == 3)
		return flags;
	flags &= ~RFLAGS_IF;
	if (c->rflags & RFLAGS_VIF)
		flags |= RFLAGS_IF;
	return flags | RFLAGS_IOPL;
}

/* INT n that stays in virtual-8086 mode. */
static enum cpu_result redirect(struct cpu *c, uint8_t vector)
{
	enum cpu_result r;
	uint16_t entry[2];
	struct stack st;

	r = cpu_read_sys(c, vector * 4u, entry, 4);
	if (r != CPU_OK)
		return r;
	stack_current(c, &st, 2);
	stack_push(&st, visible_flags(c));
	stack_push(&st, c->seg[SEG_CS].sel);
	stack_push(&st, c->next_rip);
	r = stack_check(c, &st);
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r != CPU_OK)
		return r;
	stack_load_sp(c, &st);
	seg_real(c, SEG_CS, entry[1]);
	c->next_rip = entry[0];
	cpu_set_rflags(
		c, c->rflags & ~(RFLAGS_TF | RFLAGS_RF |
				 (cpu_iopl(c) == 3 ? RFLAGS_IF : RFLAGS_VIF)));
	cpu_derive(c);
	return CPU_OK;
}

static enum cpu_result int_vm86(struct cpu *c, const struct insn *i)
{
	bool yes;
	enum cpu_result r = is_redirected(c, i->imm, &yes);

	if (r != CPU_OK)
		return r;
	if (yes)
		return redirect(c, i->imm);
	if (cpu_iopl(c) < 3)
		return cpu_raise_gp(c);
	return soft_event(c, i, EVENT_SOFT_INT, i->imm);
}

enum cpu_result op_int(struct cpu *c, const struct insn *i)
{
	if (cpu_vm86(c))
		return int_vm86(c, i);
	return soft_event(c, i, EVENT_SOFT_INT, i->imm);
}

enum cpu_result op_int3(struct cpu *c, const struct insn *i)
{
	if (unlikely(c->debug_bp)) {
		cpu_raise(c, VEC_BP);
		c->exit.reason = EXIT_EXCEPTION;
		return CPU_EXIT;
	}
	return soft_event(c, i, EVENT_SOFT_EXC, VEC_BP);
}

enum cpu_result op_into(struct cpu *c, const struct insn *i)
{
	if (!(c->rflags & RFLAGS_OF))
		return CPU_OK;
	return soft_event(c, i, EVENT_SOFT_EXC, VEC_OF);
}

/* A data breakpoint that MOV SS held back comes along with this #DB. */
enum cpu_result op_int1(struct cpu *c, const struct insn *i)
{
	enum cpu_result r = soft_event(c, i, EVENT_PRIV_EXC, VEC_DB);

	if (r == CPU_OK && unlikely(c->pending_dbg)) {
		c->dr6 = debug_dr6_merge(c, c->pending_dbg);
		c->pending_dbg = 0;
	}
	return r;
}
