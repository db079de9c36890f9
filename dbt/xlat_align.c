#include "dbt/xlat.h"

/*
 * Low bits of guest registers within a block.  An access that leaves the block
 * when it is misaligned teaches that its base register is aligned; further
 * accesses through that register then need no check until it changes.
 */
#define MAX_MODULUS 32u

bool align_known(const struct xlat *x, unsigned int size, unsigned int base,
		 int64_t disp)
{
	if (size > MAX_MODULUS || (size & (size - 1)) || base == GPR_NONE ||
	    x->modulus[base] < size)
		return false;
	return !((x->residue[base] + disp) & (size - 1));
}

void align_learn(struct xlat *x, unsigned int size, unsigned int base,
		 int64_t disp)
{
	if (size <= x->modulus[base])
		return;
	x->modulus[base] = size;
	x->residue[base] = -disp & (size - 1);
}

void align_forget(struct xlat *x, unsigned int reg)
{
	x->modulus[reg] = 1;
	x->residue[reg] = 0;
}

void align_add(struct xlat *x, unsigned int reg, int64_t n)
{
	x->residue[reg] = (x->residue[reg] + n) & (x->modulus[reg] - 1);
}

void align_copy(struct xlat *x, unsigned int to, unsigned int from,
		int64_t disp)
{
	x->modulus[to] = x->modulus[from];
	x->residue[to] = x->residue[from];
	align_add(x, to, disp);
}

/* Instructions whose result's low bits follow; false: they do not. */
static bool follows(struct xlat *x, const struct insn *i)
{
	const struct operand *a = &i->op[0], *b = &i->op[1];
	unsigned int id = i->row->id;

	if (i->nops < 1 || a->kind != OPK_GPR || a->size < 4)
		return false;
	if (id == ID_LEA) {
		if (i->base == GPR_NONE || i->index != GPR_NONE || i->rip_rel ||
		    i->addrsize < 4)
			return false;
		align_copy(x, a->reg, i->base, i->disp);
		return true;
	}
	if (i->nops < 2)
		return false;
	if (b->kind == OPK_IMM && (id == ID_ADD || id == ID_SUB)) {
		align_add(x, a->reg, id == ID_ADD ? i->imm : -i->imm);
		return true;
	}
	if (b->kind == OPK_IMM && id == ID_AND && !(i->imm & 7)) {
		align_forget(x, a->reg);
		align_learn(x, i->imm & 31 ? 8 : 32, a->reg, 0);
		return true;
	}
	if (b->kind == OPK_GPR && b->size >= 4 && id == ID_MOV) {
		align_copy(x, a->reg, b->reg, 0);
		return true;
	}
	return false;
}

void align_insn(struct xlat *x, const struct insn *i)
{
	uint32_t written = i->row->impl_w;

	if (follows(x, i))
		return;
	for (unsigned int n = 0; n < i->nops; n++)
		if (i->op[n].kind == OPK_GPR && (i->op[n].access & ACC_W))
			written |= BIT(i->op[n].reg);
	for (unsigned int r = 0; r < NR_GPRS; r++)
		if (written & BIT(r))
			align_forget(x, r);
}
