#include "cpu/mode.h"
#include "cpu/ops_sys.h"

/*
 * Instructions on RFLAGS as a whole, and on IF, DF and AC.
 * Source: SDM 2 "CLI", "STI", "PUSHF", "POPF"; SDM 3B "Interrupt Handling in
 * Virtual-8086 Mode", "Protected-Mode Virtual Interrupts".
 */

/* What POPF replaces at CPL 0; IF and IOPL need privilege. */
#define POPF_ALWAYS                                                            \
	(RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC |       \
	 RFLAGS_ID)

/* Who owns IF: the processor lets the program have it, VIF instead, or not. */
enum if_owner { IF_REAL, IF_VIRTUAL, IF_DENIED };

static enum if_owner if_owner(const struct cpu *c)
{
	if (!cpu_protected(c) || cpu_iopl(c) >= c->cpl)
		return IF_REAL;
	if (cpu_vm86(c))
		return c->cr4 & CR4_VME ? IF_VIRTUAL : IF_DENIED;
	return c->cpl == 3 && (c->cr4 & CR4_PVI) ? IF_VIRTUAL : IF_DENIED;
}

enum cpu_result op_cli(struct cpu *c, const struct insn *i)
{
	switch (if_owner(c)) {
	case IF_REAL:
		c->rflags &= ~RFLAGS_IF;
		return CPU_OK;
	case IF_VIRTUAL:
		c->rflags &= ~RFLAGS_VIF;
		return CPU_OK;
	default:
		return cpu_raise_gp(c);
	}
}

enum cpu_result op_sti(struct cpu *c, const struct insn *i)
{
	switch (if_owner(c)) {
	case IF_REAL:
		if (!(c->rflags & RFLAGS_IF))
			c->sti_shadow = true;
		c->rflags |= RFLAGS_IF;
		return CPU_OK;
	case IF_VIRTUAL:
		if (c->rflags & RFLAGS_VIP)
			return cpu_raise_gp(c);
		c->rflags |= RFLAGS_VIF;
		return CPU_OK;
	default:
		return cpu_raise_gp(c);
	}
}

enum cpu_result op_cld(struct cpu *c, const struct insn *i)
{
	cpu_set_rflags(c, c->rflags & ~RFLAGS_DF);
	return CPU_OK;
}

enum cpu_result op_std(struct cpu *c, const struct insn *i)
{
	cpu_set_rflags(c, c->rflags | RFLAGS_DF);
	return CPU_OK;
}

enum cpu_result op_clac(struct cpu *c, const struct insn *i)
{
	if (c->cpl > 0)
		return cpu_raise(c, VEC_UD);
	c->rflags &= ~RFLAGS_AC;
	return CPU_OK;
}

enum cpu_result op_stac(struct cpu *c, const struct insn *i)
{
	if (c->cpl > 0)
		return cpu_raise(c, VEC_UD);
	c->rflags |= RFLAGS_AC;
	return CPU_OK;
}

/* Virtual-8086 mode below IOPL 3: only 16-bit forms, and only with VME. */
static bool vm86_restricted(const struct cpu *c)
{
	return cpu_vm86(c) && cpu_iopl(c) < 3;
}

static bool vm86_allows(const struct cpu *c, const struct insn *i)
{
	return (c->cr4 & CR4_VME) && i->opsize == 2;
}

enum cpu_result op_pushf(struct cpu *c, const struct insn *i)
{
	uint64_t image = c->rflags & ~(RFLAGS_VM | RFLAGS_RF);

	if (vm86_restricted(c)) {
		if (!vm86_allows(c, i))
			return cpu_raise_gp(c);
		image = (image & ~RFLAGS_IF) | RFLAGS_IOPL;
		if (c->rflags & RFLAGS_VIF)
			image |= RFLAGS_IF;
	}
	return cpu_push(c, image, i->opsize);
}

/* POPF of virtual-8086 mode with VME: IF of the image goes to VIF. */
static enum cpu_result popf_vme(struct cpu *c, uint64_t image)
{
	const uint64_t mask = (POPF_ALWAYS & 0xffff) | RFLAGS_VIF;

	if ((image & RFLAGS_TF) ||
	    ((image & RFLAGS_IF) && (c->rflags & RFLAGS_VIP)))
		return cpu_raise_gp(c);
	if (image & RFLAGS_IF)
		image |= RFLAGS_VIF;
	cpu_set_rflags(c, (c->rflags & ~mask) | (image & mask));
	return CPU_OK;
}

static uint64_t popf_mask(const struct cpu *c, unsigned int opsize)
{
	uint64_t mask = POPF_ALWAYS;

	if (c->cpl == 0)
		mask |= RFLAGS_IOPL;
	if (c->cpl <= cpu_iopl(c))
		mask |= RFLAGS_IF;
	return opsize == 2 ? mask & 0xffff : mask;
}

enum cpu_result op_popf(struct cpu *c, const struct insn *i)
{
	uint64_t image, rsp = c->gpr[RSP], mask = popf_mask(c, i->opsize);
	enum cpu_result r;

	if (vm86_restricted(c) && !vm86_allows(c, i))
		return cpu_raise_gp(c);
	r = cpu_pop(c, &image, i->opsize);
	if (r != CPU_OK)
		return r;
	if (vm86_restricted(c)) {
		r = popf_vme(c, image & 0xffff);
		if (r != CPU_OK)
			c->gpr[RSP] = rsp;
		return r;
	}
	cpu_set_rflags(c, (c->rflags & ~(mask | RFLAGS_RF)) | (image & mask));
	return CPU_OK;
}
