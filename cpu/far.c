#include "cpu/far.h"

#include "cpu/mem.h"
#include "cpu/mode.h"
#include "cpu/ops_seg.h"
#include "cpu/segment.h"
#include "cpu/task.h"

/*
 * Far JMP, CALL and RET.
 * Source: SDM 2 "JMP", "CALL", "RET"; SDM 3A "Accessing a Code Segment Through
 * a Call Gate".
 */

enum cpu_result far_check_rip(struct cpu *c, const struct desc *cs,
			      uint64_t rip)
{
	struct seg s;

	desc_to_seg(cs, cs->sel, &s);
	return seg_check_rip(c, &s, rip);
}

uint64_t far_rip(const struct cpu *c, const struct desc *cs, uint64_t rip)
{
	return cpu_64bit(c) && !(cs->ar & AR_L) ? (uint32_t)rip : rip;
}

void far_commit_cs(struct cpu *c, const struct desc *cs, unsigned int cpl)
{
	desc_to_seg(cs, (cs->sel & ~3u) | cpl, &c->seg[SEG_CS]);
	c->cpl = cpl;
}

void far_commit_ss(struct cpu *c, const struct desc *ss, uint16_t sel)
{
	if (ss->lo)
		desc_to_seg(ss, sel, &c->seg[SEG_SS]);
	else
		seg_null(c, SEG_SS, sel);
}

void far_commit_sp(struct cpu *c, uint64_t sp)
{
	if (seg_is_64(c, &c->seg[SEG_CS]))
		c->gpr[RSP] = sp;
	else
		gpr_write(c, RSP, c->seg[SEG_SS].ar & AR_DB ? 4 : 2, false, sp);
}

/* In long mode a code segment with both L and D set is reserved. */
static bool bad_long(const struct cpu *c, const struct desc *d)
{
	return cpu_long_mode(c) && (d->ar & AR_L) && (d->ar & AR_DB);
}

/* A code segment as the direct target of JMP or CALL. */
static enum cpu_result direct_cs(struct cpu *c, const struct desc *d)
{
	const unsigned int dpl = desc_dpl(d);
	bool bad;

	if (desc_conforming(d))
		bad = dpl > c->cpl;
	else
		bad = sel_rpl(d->sel) > c->cpl || dpl != c->cpl;
	if (bad || bad_long(c, d))
		return cpu_raise_error(c, VEC_GP, sel_error(d->sel));
	if (!(d->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(d->sel));
	return CPU_OK;
}

/* Checks a call gate and its code segment; @rip gets the entry point. */
static enum cpu_result gate_target(struct cpu *c, struct desc *gate, bool call,
				   struct desc *cs, uint64_t *rip)
{
	const uint16_t sel = gate_sel(gate);
	enum cpu_result r = CPU_OK;
	bool bad;

	if (cpu_long_mode(c))
		r = desc_read_hi(c, gate);
	if (r != CPU_OK)
		return r;
	if (desc_dpl(gate) < c->cpl || sel_rpl(gate->sel) > desc_dpl(gate))
		return cpu_raise_error(c, VEC_GP, sel_error(gate->sel));
	if (!(gate->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(gate->sel));
	if (sel_null(sel))
		return cpu_raise_gp(c);
	r = desc_read(c, sel, VEC_GP, cs);
	if (r != CPU_OK)
		return r;
	bad = !desc_is_code(cs) || desc_dpl(cs) > c->cpl ||
	      (!call && !desc_conforming(cs) && desc_dpl(cs) != c->cpl) ||
	      (cpu_long_mode(c) && (cs->ar & (AR_L | AR_DB)) != AR_L);
	if (bad)
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	if (!(cs->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	*rip = gate_off(gate);
	if (!(desc_sys_type(gate) & SYS_GATE32))
		*rip &= 0xffff;
	return CPU_OK;
}

static unsigned int gate_size(const struct cpu *c, const struct desc *gate)
{
	if (cpu_long_mode(c))
		return 8;
	return desc_sys_type(gate) & SYS_GATE32 ? 4 : 2;
}

/* Last step of a transfer that stays on its stack or has loaded SS already. */
static enum cpu_result commit(struct cpu *c, const struct desc *cs,
			      unsigned int cpl, uint64_t rip)
{
	far_commit_cs(c, cs, cpl);
	c->next_rip = rip;
	/* 32-bit code has 32 bits of stack pointer. */
	if (cpu_64bit(c) && !(cs->ar & AR_L))
		c->gpr[RSP] = (uint32_t)c->gpr[RSP];
	cpu_derive(c);
	return CPU_OK;
}

static enum cpu_result jump_to(struct cpu *c, struct desc *cs, uint64_t rip)
{
	enum cpu_result r;

	rip = far_rip(c, cs, rip);
	r = far_check_rip(c, cs, rip);
	if (r == CPU_OK)
		r = desc_touch(c, cs);
	if (r != CPU_OK)
		return r;
	return commit(c, cs, c->cpl, rip);
}

static enum cpu_result jump_gate(struct cpu *c, struct desc *gate)
{
	enum cpu_result r;
	struct desc cs;
	uint64_t rip;

	r = gate_target(c, gate, false, &cs, &rip);
	if (r != CPU_OK)
		return r;
	return jump_to(c, &cs, rip);
}

/* CALL without a change of privilege: return address on the current stack. */
static enum cpu_result call_same(struct cpu *c, struct desc *cs, uint64_t rip,
				 unsigned int size)
{
	enum cpu_result r;
	struct stack st;

	stack_current(c, &st, size);
	/* Into or out of 64-bit code: what is pushed is on the target's stack.
	 */
	if (st.flat && !(cs->ar & AR_L)) {
		st.flat = false;
		st.mask = st.ss.ar & AR_DB ? MASK(32) : MASK(16);
	} else if (!st.flat && (cs->ar & AR_L) && (c->efer & EFER_LMA)) {
		st.flat = true;
		st.mask = ~0ull;
	}
	stack_push(&st, c->seg[SEG_CS].sel);
	stack_push(&st, c->next_rip);
	r = stack_check(c, &st);
	if (r == CPU_OK)
		r = desc_touch(c, cs);
	rip = far_rip(c, cs, rip);
	/* Intel's processors have pushed when they look at the target. */
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r == CPU_OK)
		r = far_check_rip(c, cs, rip);
	if (r != CPU_OK)
		return r;
	stack_load_sp(c, &st);
	return commit(c, cs, c->cpl, rip);
}

/* Copies @n parameters of the caller's stack to the slots from @at on. */
static enum cpu_result copy_params(struct cpu *c, struct stack *st,
				   unsigned int at, unsigned int n)
{
	uint64_t param[31];
	struct stack old;
	enum cpu_result r;

	stack_current(c, &old, st->size);
	r = stack_pop(c, &old, param, n);
	for (unsigned int k = 0; k < n && r == CPU_OK; k++)
		st->val[at + k] = param[n - 1 - k];
	return r;
}

static enum cpu_result inner_stack(struct cpu *c, unsigned int cpl,
				   unsigned int size, struct stack *st,
				   struct desc *ss)
{
	enum cpu_result r;
	uint64_t sp;

	if (!cpu_long_mode(c))
		return tss_switch_stack(c, cpl, size, st, ss);
	r = tss_rsp(c, cpl, &sp);
	if (r == CPU_OK)
		stack_switch_flat(c, st, sp, cpl);
	*ss = (struct desc){ .sel = cpl };
	return r;
}

/* CALL through a gate to an inner privilege level. */
static enum cpu_result call_inner(struct cpu *c, struct desc *gate,
				  struct desc *cs, uint64_t rip)
{
	const unsigned int cpl = desc_dpl(cs);
	unsigned int params = 0;
	enum cpu_result r;
	struct stack st;
	struct desc ss;

	r = inner_stack(c, cpl, gate_size(c, gate), &st, &ss);
	if (r != CPU_OK)
		return r;
	if (!cpu_long_mode(c))
		params = (gate->lo >> 32) & 0x1f;
	stack_push(&st, c->seg[SEG_SS].sel);
	stack_push(&st, c->gpr[RSP]);
	st.nr += params;
	stack_push(&st, c->seg[SEG_CS].sel);
	stack_push(&st, c->next_rip);
	r = stack_check(c, &st);
	if (r == CPU_OK)
		r = far_check_rip(c, cs, rip);
	if (r == CPU_OK && params)
		r = copy_params(c, &st, 2, params);
	if (r == CPU_OK)
		r = desc_touch(c, cs);
	if (r == CPU_OK && ss.lo)
		r = desc_touch(c, &ss);
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r != CPU_OK)
		return r;
	c->cpl = cpl;
	far_commit_ss(c, &ss, ss.sel);
	stack_load_sp(c, &st);
	return commit(c, cs, cpl, rip);
}

static enum cpu_result call_gate(struct cpu *c, struct desc *gate)
{
	enum cpu_result r;
	struct desc cs;
	uint64_t rip;

	r = gate_target(c, gate, true, &cs, &rip);
	if (r != CPU_OK)
		return r;
	if (!desc_conforming(&cs) && desc_dpl(&cs) < c->cpl)
		return call_inner(c, gate, &cs, rip);
	return call_same(c, &cs, rip, gate_size(c, gate));
}

/* JMP or CALL to a system descriptor: gates and tasks. */
static enum cpu_result transfer_system(struct cpu *c, struct desc *d, bool call)
{
	switch (desc_sys_type(d)) {
	case SYS_CALL16:
		if (cpu_long_mode(c))
			break;
		/* fall through */
	case SYS_CALL:
		return call ? call_gate(c, d) : jump_gate(c, d);
	case SYS_TASK_GATE:
	case SYS_TSS16:
	case SYS_TSS:
		if (cpu_long_mode(c))
			break;
		return task_transfer(c, d, call ? TASK_CALL : TASK_JMP);
	}
	return cpu_raise_error(c, VEC_GP, sel_error(d->sel));
}

static enum cpu_result transfer_protected(struct cpu *c, const struct insn *i,
					  uint16_t sel, uint64_t rip, bool call)
{
	enum cpu_result r;
	struct desc d;

	if (sel_null(sel))
		return cpu_raise_gp(c);
	r = desc_read(c, sel, VEC_GP, &d);
	if (r != CPU_OK)
		return r;
	if (!(d.ar & AR_S))
		return transfer_system(c, &d, call);
	if (!desc_is_code(&d))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	r = direct_cs(c, &d);
	if (r != CPU_OK)
		return r;
	return call ? call_same(c, &d, rip, i->opsize) : jump_to(c, &d, rip);
}

/* Real and virtual-8086 mode. */
static enum cpu_result transfer_real(struct cpu *c, const struct insn *i,
				     uint16_t sel, uint64_t rip, bool call)
{
	enum cpu_result r = CPU_OK;
	struct stack st;

	stack_current(c, &st, i->opsize);
	if (call) {
		stack_push(&st, c->seg[SEG_CS].sel);
		stack_push(&st, c->next_rip);
		r = stack_check(c, &st);
	}
	if (r == CPU_OK && rip > c->seg[SEG_CS].limit)
		return cpu_raise_gp(c);
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r != CPU_OK)
		return r;
	stack_load_sp(c, &st);
	seg_real(c, SEG_CS, sel);
	c->next_rip = rip;
	cpu_derive(c);
	return CPU_OK;
}

/* Operand 0: ptr16:16/32, or the pointer in memory. */
static enum cpu_result far_operand(struct cpu *c, const struct insn *i,
				   uint16_t *sel, uint64_t *rip)
{
	enum cpu_result r = CPU_OK;
	uint64_t at;

	if (i->op[0].kind == OPK_FAR) {
		*sel = i->imm2;
		*rip = i->imm & MASK(i->opsize * 8);
		return CPU_OK;
	}
	at = cpu_lea(c, i);
	*rip = 0;
	r = cpu_read(c, i->seg, at, rip, i->opsize);
	if (r == CPU_OK)
		r = cpu_read(c, i->seg,
			     (at + i->opsize) & MASK(8 * i->addrsize), sel, 2);
	return r;
}

static enum cpu_result far_transfer(struct cpu *c, const struct insn *i,
				    bool call)
{
	enum cpu_result r;
	uint64_t rip;
	uint16_t sel;

	r = far_operand(c, i, &sel, &rip);
	if (r != CPU_OK)
		return r;
	if (!cpu_protected(c) || cpu_vm86(c))
		return transfer_real(c, i, sel, rip, call);
	return transfer_protected(c, i, sel, rip, call);
}

enum cpu_result op_jmp_far(struct cpu *c, const struct insn *i)
{
	return far_transfer(c, i, false);
}

enum cpu_result op_call_far(struct cpu *c, const struct insn *i)
{
	return far_transfer(c, i, true);
}

enum cpu_result far_return_cs(struct cpu *c, uint16_t sel, struct desc *d)
{
	const unsigned int rpl = sel_rpl(sel);
	enum cpu_result r;

	if (sel_null(sel))
		return cpu_raise_gp(c);
	r = desc_read(c, sel, VEC_GP, d);
	if (r != CPU_OK)
		return r;
	if (!desc_is_code(d) || rpl < c->cpl || bad_long(c, d) ||
	    (desc_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	if (!(d->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	return CPU_OK;
}

enum cpu_result far_return_ss(struct cpu *c, uint16_t sel, unsigned int cpl,
			      const struct desc *cs, struct desc *d)
{
	bool to64 = cpu_long_mode(c) && (cs->ar & AR_L);

	if (sel_null(sel) && to64 && cpl != 3) {
		*d = (struct desc){ .sel = sel };
		return CPU_OK;
	}
	return seg_ss_desc(c, sel, cpl, VEC_GP, d);
}

/* RETF to an outer level: SS:SP lies above the parameters. */
static enum cpu_result ret_outer(struct cpu *c, struct stack *st,
				 struct desc *cs, uint64_t rip, uint16_t params)
{
	const unsigned int cpl = sel_rpl(cs->sel);
	uint64_t frame[2];
	enum cpu_result r;
	struct desc ss = { 0 };

	stack_skip(st, params);
	r = stack_pop_sel(c, st, frame, 2, 1);
	if (r == CPU_OK)
		r = far_return_ss(c, frame[1], cpl, cs, &ss);
	if (r == CPU_OK)
		r = far_check_rip(c, cs, rip);
	if (r == CPU_OK)
		r = desc_touch(c, cs);
	if (r == CPU_OK && ss.lo)
		r = desc_touch(c, &ss);
	if (r != CPU_OK)
		return r;
	far_commit_cs(c, cs, cpl);
	far_commit_ss(c, &ss, frame[1]);
	far_commit_sp(c, frame[0] + params);
	seg_null_inner(c);
	c->next_rip = rip;
	cpu_derive(c);
	return CPU_OK;
}

static enum cpu_result ret_protected(struct cpu *c, const struct insn *i,
				     struct stack *st, uint16_t sel,
				     uint64_t rip)
{
	const uint16_t params = i->nops ? i->imm : 0;
	enum cpu_result r;
	struct desc cs;

	r = far_return_cs(c, sel, &cs);
	if (r != CPU_OK)
		return r;
	rip = far_rip(c, &cs, rip);
	if (sel_rpl(sel) > c->cpl)
		return ret_outer(c, st, &cs, rip, params);
	r = far_check_rip(c, &cs, rip);
	if (r == CPU_OK)
		r = desc_touch(c, &cs);
	if (r != CPU_OK)
		return r;
	stack_skip(st, params);
	if (!(cs.ar & AR_L)) /* by the width of the new mode's stack */
		st->sp = (uint32_t)st->sp;
	stack_load_sp(c, st);
	return commit(c, &cs, c->cpl, rip);
}

enum cpu_result op_ret_far(struct cpu *c, const struct insn *i)
{
	const uint16_t params = i->nops ? i->imm : 0;
	uint64_t frame[2];
	enum cpu_result r;
	struct stack st;

	stack_current(c, &st, i->opsize);
	r = stack_pop_sel(c, &st, frame, 2, 1);
	if (r != CPU_OK)
		return r;
	if (cpu_protected(c) && !cpu_vm86(c))
		return ret_protected(c, i, &st, frame[1], frame[0]);
	if (frame[0] > c->seg[SEG_CS].limit)
		return cpu_raise_gp(c);
	stack_skip(&st, params);
	stack_load_sp(c, &st);
	seg_real(c, SEG_CS, frame[1]);
	c->next_rip = frame[0];
	cpu_derive(c);
	return CPU_OK;
}
