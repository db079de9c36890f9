#include <string.h>

#include "cpu/desc.h"
#include "cpu/ops_seg.h"
#include "cpu/segment.h"

/*
 * Instructions on descriptor tables and their registers: LGDT, LIDT, LLDT,
 * LTR and the stores.  IA_CPL0 and IA_PROT are checked from the row.
 */

/* CR4.UMIP: SGDT, SIDT, SLDT, STR are privileged (SDM 3A "CR4"). */
static bool umip_denies(const struct cpu *c)
{
	return (c->cr4 & CR4_UMIP) && c->cpl > 0;
}

static enum cpu_result load_dtable(struct cpu *c, const struct insn *i,
				   struct dtable *t)
{
	const unsigned int len = cpu_64bit(c) ? 8 : 4;
	uint64_t at = cpu_lea(c, i), base = 0;
	enum cpu_result r;
	uint16_t limit;

	r = cpu_read(c, i->seg, at, &limit, 2);
	if (r == CPU_OK)
		r = cpu_read(c, i->seg, at + 2, &base, len);
	if (r != CPU_OK)
		return r;
	if (!cpu_64bit(c) && i->opsize == 2)
		base &= MASK(24);
	if (!canonical_cpu(c, base))
		return cpu_raise_gp(c);
	t->base = base;
	t->limit = limit;
	return CPU_OK;
}

static enum cpu_result store_dtable(struct cpu *c, const struct insn *i,
				    const struct dtable *t)
{
	const unsigned int len = cpu_64bit(c) ? 8 : 4;
	uint8_t buf[10];

	if (umip_denies(c))
		return cpu_raise_gp(c);
	memcpy(buf, &t->limit, 2);
	memcpy(buf + 2, &t->base, 8);
	return cpu_write(c, i->seg, cpu_lea(c, i), buf, 2 + len);
}

enum cpu_result op_lgdt(struct cpu *c, const struct insn *i)
{
	return load_dtable(c, i, &c->gdt);
}

enum cpu_result op_lidt(struct cpu *c, const struct insn *i)
{
	return load_dtable(c, i, &c->idt);
}

enum cpu_result op_sgdt(struct cpu *c, const struct insn *i)
{
	return store_dtable(c, i, &c->gdt);
}

enum cpu_result op_sidt(struct cpu *c, const struct insn *i)
{
	return store_dtable(c, i, &c->idt);
}

/* Selector to a register of operand size, or to a word in memory. */
static enum cpu_result store_sel(struct cpu *c, const struct insn *i,
				 unsigned int reg)
{
	uint16_t sel = c->seg[reg].sel;

	if (umip_denies(c))
		return cpu_raise_gp(c);
	if (i->op[0].kind == OPK_MEM)
		return cpu_write(c, i->seg, cpu_lea(c, i), &sel, 2);
	gpr_write(c, i->op[0].reg, i->opsize, false, sel);
	return CPU_OK;
}

enum cpu_result op_sldt(struct cpu *c, const struct insn *i)
{
	return store_sel(c, i, SEG_LDTR);
}

enum cpu_result op_str(struct cpu *c, const struct insn *i)
{
	return store_sel(c, i, SEG_TR);
}

/* The descriptor of LLDT and LTR: in the GDT, 16 bytes in 64-bit mode. */
static enum cpu_result system_desc(struct cpu *c, uint16_t sel, struct desc *d)
{
	enum cpu_result r;

	if (sel & 4)
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	r = desc_read(c, sel, VEC_GP, d);
	if (r == CPU_OK && cpu_64bit(c))
		r = desc_read_hi(c, d);
	if (r == CPU_OK && !canonical_cpu(c, desc_base(d)))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	return r;
}

enum cpu_result op_lldt(struct cpu *c, const struct insn *i)
{
	enum cpu_result r;
	struct desc d;
	uint64_t sel;

	r = op_read(c, i, 0, &sel);
	if (r != CPU_OK)
		return r;
	if (sel_null(sel)) {
		seg_null(c, SEG_LDTR, sel);
		return CPU_OK;
	}
	r = system_desc(c, sel, &d);
	if (r != CPU_OK)
		return r;
	if (!desc_is_sys(&d, SYS_LDT))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	if (!(d.ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	desc_to_seg(&d, sel, &c->seg[SEG_LDTR]);
	return CPU_OK;
}

enum cpu_result op_ltr(struct cpu *c, const struct insn *i)
{
	enum cpu_result r;
	struct desc d;
	uint64_t sel;

	r = op_read(c, i, 0, &sel);
	if (r != CPU_OK)
		return r;
	if (sel_null(sel))
		return cpu_raise_gp(c);
	r = system_desc(c, sel, &d);
	if (r != CPU_OK)
		return r;
	if (!desc_is_sys(&d, SYS_TSS) &&
	    !(desc_is_sys(&d, SYS_TSS16) && !cpu_long_mode(c)))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	if (!(d.ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	r = desc_busy(c, &d, true);
	if (r != CPU_OK)
		return r;
	d.ar |= SYS_BUSY;
	desc_to_seg(&d, sel, &c->seg[SEG_TR]);
	return CPU_OK;
}
