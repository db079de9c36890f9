#include "cpu/desc.h"
#include "cpu/ops_seg.h"

/*
 * LAR, LSL, VERR, VERW and ARPL: what may be known or done through a selector.
 * They answer in ZF and fault for nothing but their own operand.
 */

#define TYPES_LAR_LEGACY                                                       \
	(BIT(SYS_TSS16) | BIT(SYS_LDT) | BIT(SYS_TSS16_BUSY) |                 \
	 BIT(SYS_CALL16) | BIT(SYS_TASK_GATE) | BIT(SYS_TSS) |                 \
	 BIT(SYS_TSS_BUSY) | BIT(SYS_CALL))
#define TYPES_LAR_LONG                                                         \
	(BIT(SYS_LDT) | BIT(SYS_TSS) | BIT(SYS_TSS_BUSY) | BIT(SYS_CALL))
#define TYPES_LSL_LEGACY                                                       \
	(BIT(SYS_TSS16) | BIT(SYS_LDT) | BIT(SYS_TSS16_BUSY) | BIT(SYS_TSS) |  \
	 BIT(SYS_TSS_BUSY))
#define TYPES_LSL_LONG (BIT(SYS_LDT) | BIT(SYS_TSS) | BIT(SYS_TSS_BUSY))

static void set_zf(struct cpu *c, bool on)
{
	if (on)
		c->rflags |= RFLAGS_ZF;
	else
		c->rflags &= ~RFLAGS_ZF;
}

/*
 * Reads @sel's descriptor; *@ok is whether it lies in its table and is visible
 * at the current CPL and RPL.
 */
static enum cpu_result visible(struct cpu *c, uint16_t sel, struct desc *d,
			       bool *ok)
{
	enum cpu_result r;
	gva_t gva;

	*ok = false;
	if (sel_null(sel) || !desc_find(c, sel, 8, &gva))
		return CPU_OK;
	r = desc_read(c, sel, VEC_GP, d);
	if (r == CPU_OK)
		*ok = (desc_is_code(d) && desc_conforming(d)) ||
		      (c->cpl <= desc_dpl(d) && sel_rpl(sel) <= desc_dpl(d));
	return r;
}

/*
 * Whether a system descriptor is of an allowed type and, where it has 16
 * bytes, is whole.  64-bit mode has 16-byte LDT and TSS descriptors, long mode
 * 16-byte call gates.
 */
static enum cpu_result system_ok(struct cpu *c, struct desc *d, uint32_t types,
				 bool *ok)
{
	enum cpu_result r;

	if (d->ar & AR_S)
		return CPU_OK;
	*ok = types & BIT(desc_sys_type(d));
	if (!*ok || !(cpu_64bit(c) ||
		      (cpu_long_mode(c) && desc_sys_type(d) == SYS_CALL)))
		return CPU_OK;
	r = desc_read_hi(c, d);
	if (r == CPU_FAULT && c->fault.vector == VEC_GP) {
		*ok = false;
		return CPU_OK;
	}
	return r;
}

static enum cpu_result look_up(struct cpu *c, const struct insn *i,
			       uint32_t types, struct desc *d, bool *ok)
{
	enum cpu_result r;
	uint64_t sel;

	r = op_read(c, i, 1, &sel);
	if (r == CPU_OK)
		r = visible(c, sel, d, ok);
	if (r == CPU_OK && *ok)
		r = system_ok(c, d, types, ok);
	return r;
}

enum cpu_result op_lar(struct cpu *c, const struct insn *i)
{
	struct desc d;
	bool ok;
	enum cpu_result r = look_up(
		c, i, cpu_long_mode(c) ? TYPES_LAR_LONG : TYPES_LAR_LEGACY, &d,
		&ok);

	if (r != CPU_OK)
		return r;
	if (ok)
		gpr_write(c, i->op[0].reg, i->opsize, false,
			  (d.lo >> 32) & 0xffff00);
	set_zf(c, ok);
	return CPU_OK;
}

enum cpu_result op_lsl(struct cpu *c, const struct insn *i)
{
	struct desc d;
	bool ok;
	enum cpu_result r = look_up(
		c, i, cpu_long_mode(c) ? TYPES_LSL_LONG : TYPES_LSL_LEGACY, &d,
		&ok);

	if (r != CPU_OK)
		return r;
	if (ok)
		gpr_write(c, i->op[0].reg, i->opsize, false, desc_limit(&d));
	set_zf(c, ok);
	return CPU_OK;
}

static enum cpu_result verify(struct cpu *c, const struct insn *i, bool write)
{
	enum cpu_result r;
	struct desc d;
	uint64_t sel;
	bool ok;

	r = op_read(c, i, 0, &sel);
	if (r == CPU_OK)
		r = visible(c, sel, &d, &ok);
	if (r != CPU_OK)
		return r;
	set_zf(c, ok && (write ? desc_is_stack(&d) : desc_is_readable(&d)));
	return CPU_OK;
}

enum cpu_result op_verr(struct cpu *c, const struct insn *i)
{
	return verify(c, i, false);
}

enum cpu_result op_verw(struct cpu *c, const struct insn *i)
{
	return verify(c, i, true);
}

enum cpu_result op_arpl(struct cpu *c, const struct insn *i)
{
	enum cpu_result r;
	uint64_t dst, src;
	bool raise;

	r = op_read(c, i, 0, &dst);
	if (r == CPU_OK)
		r = op_read(c, i, 1, &src);
	if (r != CPU_OK)
		return r;
	raise = (dst & 3) < (src & 3);
	if (raise)
		r = op_write(c, i, 0, (dst & ~3ull) | (src & 3));
	if (r == CPU_OK)
		set_zf(c, raise);
	return r;
}
