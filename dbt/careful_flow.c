#include "cpu/op.h"
#include "dbt/dbt_int.h"

/*
 * Stack instructions and near branches of the careful form, for all modes.
 */

static enum cpu_result do_pop(struct cpu *c, const struct insn *i)
{
	uint64_t v, old = c->gpr[RSP];
	enum cpu_result r = cpu_pop(c, &v, i->opsize);

	/* A memory destination is addressed with the incremented RSP. */
	if (r == CPU_OK)
		r = op_write(c, i, 0, v);
	if (r != CPU_OK)
		c->gpr[RSP] = old;
	return r;
}

static enum cpu_result do_leave(struct cpu *c, const struct insn *i)
{
	uint64_t v, old = c->gpr[RSP];
	unsigned int width = c->code_size == CODE64	   ? 8
			     : (c->seg[SEG_SS].ar & AR_DB) ? 4
							   : 2;
	enum cpu_result r;

	gpr_write(c, RSP, width, false, c->gpr[RBP]);
	r = cpu_pop(c, &v, i->opsize);
	if (r != CPU_OK) {
		c->gpr[RSP] = old;
		return r;
	}
	gpr_write(c, RBP, i->opsize, false, v);
	return CPU_OK;
}

enum cpu_result careful_stack(struct cpu *c, const struct insn *i)
{
	uint64_t v;
	enum cpu_result r;

	switch (i->row->id) {
	case ID_PUSH:
		v = i->imm; /* sign-extended to the operand size */
		r = i->op[0].kind == OPK_IMM ? CPU_OK : op_read(c, i, 0, &v);
		return r == CPU_OK ? cpu_push(c, v, i->opsize) : r;
	case ID_POP:
		return do_pop(c, i);
	default:
		return do_leave(c, i);
	}
}

static bool condition(uint64_t fl, unsigned int cc)
{
	bool r;

	switch (cc >> 1) {
	case 0:
		r = fl & RFLAGS_OF;
		break;
	case 1:
		r = fl & RFLAGS_CF;
		break;
	case 2:
		r = fl & RFLAGS_ZF;
		break;
	case 3:
		r = fl & (RFLAGS_CF | RFLAGS_ZF);
		break;
	case 4:
		r = fl & RFLAGS_SF;
		break;
	case 5:
		r = fl & RFLAGS_PF;
		break;
	case 6:
		r = !(fl & RFLAGS_SF) != !(fl & RFLAGS_OF);
		break;
	default:
		r = (fl & RFLAGS_ZF) || !(fl & RFLAGS_SF) != !(fl & RFLAGS_OF);
		break;
	}
	return r ^ (cc & 1);
}

/* Checks a branch target against CS and makes it the next rip. */
static enum cpu_result go(struct cpu *c, const struct insn *i, uint64_t rip)
{
	if (i->opsize == 2)
		rip = (uint16_t)rip;
	else if (c->code_size != CODE64)
		rip = (uint32_t)rip;
	if (c->code_size == CODE64 ? !canonical(c, rip)
				   : rip > c->seg[SEG_CS].limit)
		return cpu_raise_gp(c);
	c->next_rip = rip;
	return CPU_OK;
}

static enum cpu_result do_call(struct cpu *c, const struct insn *i,
			       uint64_t target)
{
	const uint64_t rsp = c->gpr[RSP];
	enum cpu_result r = cpu_push(c, c->next_rip, i->opsize);

	if (r == CPU_OK)
		r = go(c, i, target);
	if (r != CPU_OK)
		c->gpr[RSP] = rsp;
	return r;
}

static enum cpu_result do_ret(struct cpu *c, const struct insn *i)
{
	uint64_t rip, old = c->gpr[RSP];
	enum cpu_result r = cpu_pop(c, &rip, i->opsize);

	if (r == CPU_OK)
		r = go(c, i, rip);
	if (r != CPU_OK) {
		c->gpr[RSP] = old;
		return r;
	}
	if (c->code_size == CODE64)
		c->gpr[RSP] += (uint16_t)i->imm;
	else
		gpr_write(c, RSP, c->seg[SEG_SS].ar & AR_DB ? 4 : 2, false,
			  c->gpr[RSP] + (uint16_t)i->imm);
	return CPU_OK;
}

/* LOOPcc counts down only if the jump does not fault. */
static enum cpu_result do_loop(struct cpu *c, const struct insn *i)
{
	uint64_t count = gpr_read(c, RCX, i->addrsize, false) - 1;
	bool taken = count & MASK(8 * i->addrsize);
	enum cpu_result r = CPU_OK;

	if (i->row->id == ID_LOOPE)
		taken &= !!(c->rflags & RFLAGS_ZF);
	else if (i->row->id == ID_LOOPNE)
		taken &= !(c->rflags & RFLAGS_ZF);
	if (taken)
		r = go(c, i, c->next_rip + i->imm);
	if (r == CPU_OK)
		gpr_write(c, RCX, i->addrsize, false, count);
	return r;
}

enum cpu_result careful_branch(struct cpu *c, const struct insn *i)
{
	uint64_t target = c->next_rip + i->imm;
	enum cpu_result r;

	switch (i->row->id) {
	case ID_JCC:
		return condition(c->rflags, i->opcode & 15) ? go(c, i, target)
							    : CPU_OK;
	case ID_JRCXZ:
		return gpr_read(c, RCX, i->addrsize, false) ? CPU_OK
							    : go(c, i, target);
	case ID_LOOP:
	case ID_LOOPE:
	case ID_LOOPNE:
		return do_loop(c, i);
	case ID_RET:
		return do_ret(c, i);
	default:
		break;
	}
	if (i->op[0].kind != OPK_REL) {
		r = op_read(c, i, 0, &target);
		if (r != CPU_OK)
			return r;
	}
	return i->row->id == ID_CALL ? do_call(c, i, target) : go(c, i, target);
}
