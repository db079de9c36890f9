#include "cpu/op.h"

uint64_t gpr_read(const struct cpu *c, unsigned int reg, unsigned int size,
		  bool high8)
{
	if (high8)
		return (c->gpr[reg] >> 8) & 0xff;
	return c->gpr[reg] & MASK(size * 8);
}

void gpr_write(struct cpu *c, unsigned int reg, unsigned int size, bool high8,
	       uint64_t value)
{
	uint64_t *r = &c->gpr[reg];

	if (size == 8)
		*r = value;
	else if (size == 4)
		*r = (uint32_t)value;
	else if (size == 2)
		*r = (*r & ~0xffffull) | (value & 0xffff);
	else if (high8)
		*r = (*r & ~0xff00ull) | (value & 0xff) << 8;
	else
		*r = (*r & ~0xffull) | (value & 0xff);
}

uint64_t cpu_lea(const struct cpu *c, const struct insn *i)
{
	uint64_t off = i->disp;

	if (i->rip_rel)
		off += c->rip + i->len;
	if (i->base != GPR_NONE)
		off += c->gpr[i->base];
	if (i->index != GPR_NONE && !(i->row && (i->row->attr & IA_VSIB)))
		off += c->gpr[i->index] << i->scale;
	return off & MASK(i->addrsize * 8);
}

/* An operand kind that no helper may ask for: a gap of ours, not the guest's.
 */
static enum cpu_result operand_gap(struct cpu *c)
{
	c->exit.reason = EXIT_EMULATE;
	return CPU_EXIT;
}

enum cpu_result op_read(struct cpu *c, const struct insn *i, unsigned int n,
			uint64_t *value)
{
	const struct operand *op = &i->op[n];

	*value = 0;
	switch (op->kind) {
	case OPK_GPR:
		*value = gpr_read(c, op->reg, op->size, op->high8);
		return CPU_OK;
	case OPK_SEG:
		*value = c->seg[op->reg].sel;
		return CPU_OK;
	case OPK_IMM:
		*value = i->imm & MASK(op->size ? op->size * 8 : 64);
		return CPU_OK;
	case OPK_MEM:
		return cpu_read(c, i->seg, cpu_lea(c, i), value, op->size);
	default:
		return operand_gap(c);
	}
}

enum cpu_result op_write(struct cpu *c, const struct insn *i, unsigned int n,
			 uint64_t value)
{
	const struct operand *op = &i->op[n];

	switch (op->kind) {
	case OPK_GPR:
		gpr_write(c, op->reg, op->size, op->high8, value);
		return CPU_OK;
	case OPK_MEM:
		return cpu_write(c, i->seg, cpu_lea(c, i), &value, op->size);
	default:
		return operand_gap(c);
	}
}
