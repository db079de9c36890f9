#include "cpu/segment.h"

#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/mem.h"
#include "cpu/mode.h"
#include "cpu/ops_seg.h"

#define AR_DATA_RW 0x3u /* type: writable data, accessed */

void seg_real(struct cpu *c, unsigned int reg, uint16_t sel)
{
	struct seg *s = &c->seg[reg];

	s->sel = sel;
	s->base = (uint32_t)sel << 4;
	if (cpu_vm86(c)) {
		s->limit = 0xffff;
		s->ar = AR_P | 3u << AR_DPL_SHIFT | AR_S | AR_DATA_RW;
	} else if (s->ar & AR_UNUSABLE) {
		s->limit = 0xffff;
		s->ar = AR_P | AR_S | AR_DATA_RW;
	}
}

void seg_null(struct cpu *c, unsigned int reg, uint16_t sel)
{
	c->seg[reg] = (struct seg){
		.ar = AR_UNUSABLE |
		      (reg == SEG_SS ? (uint32_t)c->cpl << AR_DPL_SHIFT : 0),
		.sel = sel,
	};
}

void seg_flat(struct cpu *c, unsigned int reg, uint16_t sel, uint32_t ar)
{
	c->seg[reg] = (struct seg){
		.limit = ~0u,
		.ar = ar | AR_S | AR_P | AR_G,
		.sel = sel,
	};
}

void seg_null_inner(struct cpu *c)
{
	static const uint8_t regs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned int n = 0; n < ARRAY_SIZE(regs); n++) {
		struct seg *s = &c->seg[regs[n]];

		if (s->ar & AR_UNUSABLE) {
			s->sel = 0; /* was 0 to 3 */
			continue;
		}
		if ((s->ar & (AR_CODE | AR_DC)) == (AR_CODE | AR_DC))
			continue;
		if (AR_DPL(s->ar) >= c->cpl)
			continue;
		s->sel = 0;
		s->ar = AR_UNUSABLE;
	}
}

enum cpu_result seg_check_rip(struct cpu *c, const struct seg *cs, uint64_t rip)
{
	if (seg_is_64(c, cs) ? canonical(c, rip) : rip <= cs->limit)
		return CPU_OK;
	return cpu_raise_gp(c);
}

enum cpu_result seg_ss_desc(struct cpu *c, uint16_t sel, unsigned int cpl,
			    uint8_t vector, struct desc *d)
{
	enum cpu_result r;

	if (sel_null(sel))
		return cpu_raise_error(c, vector, 0);
	r = desc_read(c, sel, vector, d);
	if (r != CPU_OK)
		return r;
	if (sel_rpl(sel) != cpl || !desc_is_stack(d) || desc_dpl(d) != cpl)
		return cpu_raise_error(c, vector, sel_error(sel));
	if (!(d->ar & AR_P))
		return cpu_raise_error(c, VEC_SS, sel_error(sel));
	return CPU_OK;
}

/* A null selector for SS: only in 64-bit mode below CPL 3 (SDM 2 "MOV"). */
static enum cpu_result load_null(struct cpu *c, unsigned int reg, uint16_t sel)
{
	if (reg == SEG_SS &&
	    (!cpu_64bit(c) || c->cpl == 3 || sel_rpl(sel) != c->cpl))
		return cpu_raise_gp(c);
	seg_null(c, reg, sel);
	cpu_derive(c);
	return CPU_OK;
}

static enum cpu_result data_desc(struct cpu *c, uint16_t sel, struct desc *d)
{
	enum cpu_result r = desc_read(c, sel, VEC_GP, d);

	if (r != CPU_OK)
		return r;
	if (!desc_is_readable(d))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	if (!(desc_is_code(d) && desc_conforming(d)) &&
	    (sel_rpl(sel) > desc_dpl(d) || c->cpl > desc_dpl(d)))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	if (!(d->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	return CPU_OK;
}

enum cpu_result seg_load(struct cpu *c, unsigned int reg, uint16_t sel)
{
	enum cpu_result r;
	struct desc d;

	if (!cpu_protected(c) || cpu_vm86(c)) {
		seg_real(c, reg, sel);
		cpu_derive(c);
		return CPU_OK;
	}
	if (sel_null(sel))
		return load_null(c, reg, sel);
	if (reg == SEG_SS)
		r = seg_ss_desc(c, sel, c->cpl, VEC_GP, &d);
	else
		r = data_desc(c, sel, &d);
	if (r == CPU_OK)
		r = desc_touch(c, &d);
	if (r != CPU_OK)
		return r;
	desc_to_seg(&d, sel, &c->seg[reg]);
	cpu_derive(c);
	return CPU_OK;
}

enum cpu_result op_mov_from_seg(struct cpu *c, const struct insn *i)
{
	if (i->op[1].reg > SEG_GS)
		return cpu_raise(c, VEC_UD);
	return op_write(c, i, 0, c->seg[i->op[1].reg].sel);
}

/* MOV and POP to SS hold off interrupts and #DB until after the next insn. */
static enum cpu_result load_shadowed(struct cpu *c, unsigned int reg,
				     uint16_t sel)
{
	enum cpu_result r = seg_load(c, reg, sel);

	if (r == CPU_OK && reg == SEG_SS)
		c->movss_shadow = true;
	return r;
}

enum cpu_result op_mov_to_seg(struct cpu *c, const struct insn *i)
{
	unsigned int reg = i->op[0].reg;
	enum cpu_result r;
	uint64_t sel;

	if (reg > SEG_GS || reg == SEG_CS)
		return cpu_raise(c, VEC_UD);
	r = op_read(c, i, 1, &sel);
	if (r != CPU_OK)
		return r;
	return load_shadowed(c, reg, sel);
}

enum cpu_result op_push_seg(struct cpu *c, const struct insn *i)
{
	const uint16_t sel = c->seg[i->op[0].reg].sel;
	enum cpu_result r;
	struct stack st;

	if (i->opsize != 4 || !cpuid_is_intel(c))
		return cpu_push(c, sel, i->opsize);
	/* A 32-bit push of Intel's processors stores 16 bits. */
	stack_current(c, &st, 2);
	stack_skip(&st, -2);
	stack_push(&st, sel);
	r = stack_check(c, &st);
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r == CPU_OK)
		stack_load_sp(c, &st);
	return r;
}

enum cpu_result op_pop_seg(struct cpu *c, const struct insn *i)
{
	enum cpu_result r;
	struct stack st;
	uint64_t sel;

	/* The selector is all that is read. */
	stack_current(c, &st, 2);
	r = stack_pop(c, &st, &sel, 1);
	stack_skip(&st, i->opsize - 2);
	if (r == CPU_OK)
		r = load_shadowed(c, i->op[0].reg, sel);
	if (r == CPU_OK)
		stack_load_sp(c, &st);
	return r;
}

/* LDS, LES, LFS, LGS, LSS: offset first in memory, selector behind it. */
static enum cpu_result load_far(struct cpu *c, const struct insn *i,
				unsigned int reg)
{
	uint64_t at = cpu_lea(c, i), off = 0;
	enum cpu_result r;
	uint16_t sel;

	r = cpu_read(c, i->seg, at, &off, i->opsize);
	if (r == CPU_OK)
		r = cpu_read(c, i->seg,
			     (at + i->opsize) & MASK(8 * i->addrsize), &sel, 2);
	if (r == CPU_OK)
		r = seg_load(c, reg, sel);
	if (r == CPU_OK)
		gpr_write(c, i->op[0].reg, i->opsize, false, off);
	return r;
}

enum cpu_result op_les(struct cpu *c, const struct insn *i)
{
	return load_far(c, i, SEG_ES);
}

enum cpu_result op_lds(struct cpu *c, const struct insn *i)
{
	return load_far(c, i, SEG_DS);
}

enum cpu_result op_lss(struct cpu *c, const struct insn *i)
{
	return load_far(c, i, SEG_SS);
}

enum cpu_result op_lfs(struct cpu *c, const struct insn *i)
{
	return load_far(c, i, SEG_FS);
}

enum cpu_result op_lgs(struct cpu *c, const struct insn *i)
{
	return load_far(c, i, SEG_GS);
}
