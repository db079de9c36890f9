#include "cpu/far.h"
#include "cpu/mem.h"
#include "cpu/mode.h"
#include "cpu/ops_seg.h"
#include "cpu/segment.h"
#include "cpu/task.h"

/* IRET, IRETD, IRETQ.  Source: SDM 2 "IRET/IRETD/IRETQ". */

#define FLAGS_ALWAYS (RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)
#define FLAGS_WIDE   (RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

/* RFLAGS after an IRET of @size bytes at the current (old) CPL and mode. */
static uint64_t new_flags(const struct cpu *c, uint64_t image,
			  unsigned int size)
{
	const bool kernel = cpu_protected(c) && c->cpl == 0;
	uint64_t mask = FLAGS_ALWAYS;

	if (size > 2)
		mask |= FLAGS_WIDE;
	if (c->cpl <= cpu_iopl(c))
		mask |= RFLAGS_IF;
	if (c->cpl == 0)
		mask |= RFLAGS_IOPL;
	if (kernel && size > 2)
		mask |= RFLAGS_VIF | RFLAGS_VIP;
	return (c->rflags & ~mask) | (image & mask);
}

/*
 * Virtual-8086 mode below IOPL 3 with CR4.VME: IF of a 16-bit image goes to
 * VIF; false means #GP(0).
 */
static bool virtual_flags(const struct cpu *c, uint64_t image, uint64_t *flags)
{
	const uint64_t mask = FLAGS_ALWAYS & 0xffff;

	if ((image & RFLAGS_TF) ||
	    ((image & RFLAGS_IF) && (c->rflags & RFLAGS_VIP)))
		return false;
	*flags = (c->rflags & ~(mask | RFLAGS_VIF)) | (image & mask);
	if (image & RFLAGS_IF)
		*flags |= RFLAGS_VIF;
	return true;
}

static enum cpu_result iret_real(struct cpu *c, unsigned int size)
{
	const bool vme = cpu_vm86(c) && cpu_iopl(c) < 3;
	uint64_t frame[3], flags;
	enum cpu_result r;
	struct stack st;

	if (vme && (!(c->cr4 & CR4_VME) || size != 2))
		return cpu_raise_gp(c);
	stack_current(c, &st, size);
	r = stack_pop(c, &st, frame, 3);
	if (r != CPU_OK)
		return r;
	if (frame[0] > c->seg[SEG_CS].limit)
		return cpu_raise_gp(c);
	if (!vme)
		flags = new_flags(c, frame[2], size);
	else if (!virtual_flags(c, frame[2], &flags))
		return cpu_raise_gp(c);
	stack_load_sp(c, &st);
	seg_real(c, SEG_CS, frame[1]);
	c->next_rip = frame[0];
	cpu_set_rflags(c, flags);
	cpu_derive(c);
	return CPU_OK;
}

/* From CPL 0 to virtual-8086 mode: ESP, SS, ES, DS, FS, GS follow. */
static enum cpu_result iret_to_vm86(struct cpu *c, struct stack *st,
				    const uint64_t frame[3])
{
	static const uint8_t order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS,
					 SEG_GS };
	uint64_t rest[6];
	enum cpu_result r;

	r = stack_pop(c, st, rest, 6);
	if (r != CPU_OK)
		return r;
	if (frame[0] > 0xffff)
		return cpu_raise_gp(c);
	cpu_set_rflags(c, frame[2] & (FLAGS_ALWAYS | FLAGS_WIDE | RFLAGS_IF |
				      RFLAGS_IOPL | RFLAGS_VM | RFLAGS_VIF |
				      RFLAGS_VIP));
	c->cpl = 3;
	seg_real(c, SEG_CS, frame[1]);
	for (unsigned int n = 0; n < ARRAY_SIZE(order); n++)
		seg_real(c, order[n], rest[n + 1]);
	c->gpr[RSP] = rest[0];
	c->next_rip = frame[0];
	cpu_derive(c);
	return CPU_OK;
}

/*
 * The rest of a protected-mode or long-mode IRET.  @pops_ss: frame[3] and [4]
 * hold RSP and SS.
 */
static enum cpu_result finish(struct cpu *c, struct stack *st, struct desc *cs,
			      const uint64_t *frame, bool pops_ss)
{
	const unsigned int cpl = sel_rpl(cs->sel);
	const bool outer = cpl > c->cpl;
	enum cpu_result r = CPU_OK;
	struct desc ss = { 0 };
	uint64_t flags, rip = far_rip(c, cs, frame[0]);

	if (pops_ss)
		r = far_return_ss(c, frame[4], cpl, cs, &ss);
	if (r == CPU_OK)
		r = far_check_rip(c, cs, rip);
	if (r == CPU_OK)
		r = desc_touch(c, cs);
	if (r == CPU_OK && ss.lo)
		r = desc_touch(c, &ss);
	if (r != CPU_OK)
		return r;
	flags = new_flags(c, frame[2], st->size);
	far_commit_cs(c, cs, cpl);
	if (pops_ss) {
		far_commit_ss(c, &ss, frame[4]);
		far_commit_sp(c, frame[3]);
	} else {
		stack_load_sp(c, st);
	}
	if (outer)
		seg_null_inner(c);
	c->next_rip = rip;
	cpu_set_rflags(c, flags);
	cpu_derive(c);
	return CPU_OK;
}

static enum cpu_result iret_protected(struct cpu *c, unsigned int size)
{
	bool pops_ss = cpu_64bit(c);
	uint64_t frame[5];
	enum cpu_result r;
	struct stack st;
	struct desc cs;

	if (c->rflags & RFLAGS_NT) {
		if (cpu_long_mode(c))
			return cpu_raise_gp(c);
		return task_return(c);
	}
	stack_current(c, &st, size);
	r = stack_pop_sel(c, &st, frame, 3, 1);
	if (r != CPU_OK)
		return r;
	if (!cpu_long_mode(c) && (frame[2] & RFLAGS_VM) && c->cpl == 0)
		return iret_to_vm86(c, &st, frame);
	r = far_return_cs(c, frame[1], &cs);
	if (r != CPU_OK)
		return r;
	pops_ss |= sel_rpl(cs.sel) > c->cpl;
	if (pops_ss) {
		r = stack_pop_sel(c, &st, frame + 3, 2, 1);
		if (r != CPU_OK)
			return r;
	}
	return finish(c, &st, &cs, frame, pops_ss);
}

enum cpu_result op_iret(struct cpu *c, const struct insn *i)
{
	enum cpu_result r;

	if (!cpu_protected(c) || cpu_vm86(c))
		r = iret_real(c, i->opsize);
	else
		r = iret_protected(c, i->opsize);
	/* NMIs are unblocked even if IRET faults. */
	if (r != CPU_EXIT)
		c->nmi_blocked = false;
	return r;
}
