#include "dbt/xlat_lend.h"
#include "dbt/xlat_loop.h"

/*
 * Stack instructions and near branches.  Guest RSP changes only after the
 * last memory access of an instruction.
 */
#define H_SP ((enum hreg)H_R10) /* == host_of[RSP] */

void xlat_leave(struct xlat *x, enum leave_code code, uint64_t rip)
{
	struct cold *c = xlat_cold(x, COLD_RIP, emit_jmp_patch(&x->e));

	c->rip = rip;
	c->leave = code;
	x->done = true;
}

/*
 * A jump that is linked must not be among the bytes at the entry that
 * block_kill() replaces: its target may go after the block itself has gone.
 */
static void spare_entry(struct xlat *x)
{
	while (x->e.w < x->entry + 5)
		emit8(&x->e, 0x90);
}

static bool same_page(const struct xlat *x, uint64_t rip)
{
	return (rip ^ x->block_rip) >> PAGE_SHIFT == 0;
}

/* Jumps within the page are linked; others go through the jump cache. */
void xlat_jump(struct xlat *x, uint64_t rip)
{
	struct emit *e = &x->e;
	enum cold_kind kind = rip <= x->rip ? COLD_BACK : COLD_LINK;

	if (same_page(x, rip)) {
		spare_entry(x);
		xlat_cold(x, kind, emit_jmp_link(e))->rip = rip;
		return;
	}
	xlat_jump_far(x, rip);
}

void xlat_jc_index(struct xlat *x)
{
	emit_mov_ri(&x->e, T1, 0);
	emit_crc32(&x->e, T1, T0);
	emit_gs_pext(&x->e, T1, T1, SLOT_OFF(D_JC_MASK));
}

static void jump_t0(struct xlat *x)
{
	xlat_jc_index(x);
	emit_gs_jmp_idx(&x->e, T1, JC_OFF);
}

void xlat_jump_far(struct xlat *x, uint64_t rip)
{
	xlat_islands(x, x->lending ? 150 : x->pic ? 50 : 20, false);
	if (x->lending)
		lend_out(x);
	xlat_address(x, T0, rip, x->pic);
	if (x->pic) {
		jump_t0(x);
		return;
	}
	emit_gs_jmp(&x->e, JC_OFF + 8 * jcache_index(rip));
}

/* To the guest address in t0. */
static void jump_indirect(struct xlat *x)
{
	xlat_islands(x, 20, false);
	jump_t0(x);
	x->done = true;
}

static unsigned int sp_size(const struct xlat *x)
{
	return x->code_size == CODE64 ? 8 : 4;
}

static void sp_add(struct xlat *x, int32_t n)
{
	emit_lea(&x->e, H_SP, H_SP, H_NONE, 0, n, sp_size(x));
}

/* Where a push of @size bytes goes, and where a pop finds them. */
static struct memref push_ref(struct xlat *x, unsigned int size)
{
	return xlat_stack_operand(x, RSP, -(int)size, size, true);
}

static struct memref pop_ref(struct xlat *x, unsigned int size)
{
	return xlat_stack_operand(x, RSP, 0, size, false);
}

/* t0 = the address, so that t1 is free. */
static struct memref collapse(struct xlat *x, struct memref m)
{
	emit_lea(&x->e, T0, m.base, m.index, m.scale, m.disp, 8);
	xlat_islands(x, 40, false);
	return (struct memref){ T0, H_NONE, 0, 0 };
}

static void store_ref(struct xlat *x, enum hreg src, struct memref m,
		      unsigned int size)
{
	emit_store(&x->e, src, m.base, m.index, m.disp, size);
}

static void load_ref(struct xlat *x, enum hreg dst, struct memref m,
		     unsigned int size)
{
	if (m.scale)
		m = collapse(x, m);
	emit_load(&x->e, dst, m.base, m.index, m.disp, size);
}

static void push_imm(struct xlat *x, uint64_t imm, unsigned int size)
{
	struct memref m = push_ref(x, size);

	if (size < 8 || (int64_t)imm == (int32_t)imm) {
		emit_store_imm(&x->e, m.base, m.index, m.disp, imm, size);
	} else {
		m = collapse(x, m);
		x->t1_next = NO_WINDOW;
		emit_mov_ri(&x->e, T1, imm);
		store_ref(x, T1, m, size);
	}
	sp_add(x, -(int)size);
}

/* The address of the next instruction. */
static void push_next(struct xlat *x, unsigned int size)
{
	struct memref m;

	if (!x->pic) {
		push_imm(x, x->next, size);
		return;
	}
	m = collapse(x, push_ref(x, size));
	x->t1_next = NO_WINDOW;
	xlat_address(x, T1, x->next, true);
	store_ref(x, T1, m, size);
	sp_add(x, -(int)size);
}

static void push_reg(struct xlat *x, unsigned int reg, unsigned int size)
{
	struct memref m = push_ref(x, size);

	if (x->home[reg] == IN_MEMORY) {
		m = collapse(x, m);
		x->t1_next = NO_WINDOW;
		emit_gs_load(&x->e, T1, GPR_OFF(reg), 8);
		store_ref(x, T1, m, size);
	} else {
		store_ref(x, x->home[reg], m, size);
	}
	sp_add(x, -(int)size);
}

void xlat_push_tmp(struct xlat *x, unsigned int size)
{
	struct memref m = collapse(x, push_ref(x, size));

	x->t1_next = NO_WINDOW;
	emit_gs_load(&x->e, T1, SLOT_OFF(D_TMP), 8);
	store_ref(x, T1, m, size);
	sp_add(x, -(int)size);
}

/* D_TMP = t1 = memory operand. */
static bool load_tmp(struct xlat *x, const struct insn *i, unsigned int size)
{
	if (!xlat_seg_ok(x, i))
		return false;
	load_ref(x, T1, xlat_operand(x, i, size, false), size);
	x->t1_next = NO_WINDOW;
	emit_gs_store(&x->e, T1, SLOT_OFF(D_TMP), 8);
	return true;
}

static bool xlat_push(struct xlat *x, const struct insn *i)
{
	const struct operand *o = &i->op[0];

	switch (o->kind) {
	case OPK_GPR:
		push_reg(x, o->reg, i->opsize);
		return true;
	case OPK_IMM:
		push_imm(x, i->imm, i->opsize);
		return true;
	case OPK_MEM:
		if (!load_tmp(x, i, i->opsize))
			return false;
		xlat_push_tmp(x, i->opsize);
		return true;
	default:
		return false;
	}
}

static bool xlat_pop(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	const struct operand *o = &i->op[0];
	struct memref m;
	enum hreg h;

	if (o->kind != OPK_GPR)
		return false;
	h = x->home[o->reg];
	m = pop_ref(x, i->opsize);
	if (i->opsize == 2) {
		if (o->reg == RSP)
			return false;
		x->t1_next = NO_WINDOW;
		load_ref(x, T1, m, 2);
		if (h == IN_MEMORY) {
			emit_gs_store(e, T1, GPR_OFF(o->reg), 2);
		} else {
			emit8(e, 0x66);
			emit_mov_rr(e, h, T1, 4);
		}
	} else if (h == IN_MEMORY) {
		x->t1_next = NO_WINDOW;
		load_ref(x, T1, m, i->opsize);
		emit_gs_store(e, T1, GPR_OFF(o->reg), 8);
	} else {
		load_ref(x, h, m, i->opsize);
		if (o->reg == RSP)
			return true;
	}
	sp_add(x, i->opsize);
	return true;
}

static bool xlat_leave_insn(struct xlat *x, const struct insn *i)
{
	enum hreg bp = x->home[RBP];
	struct memref m;

	if (i->opsize == 2)
		return false;
	m = xlat_stack_operand(x, RBP, 0, i->opsize, false);
	x->t1_next = NO_WINDOW;
	load_ref(x, T1, m, i->opsize);
	emit_lea(&x->e, H_SP, bp, H_NONE, 0, i->opsize, sp_size(x));
	emit_mov_rr(&x->e, bp, T1, i->opsize);
	return true;
}

bool xlat_stack(struct xlat *x, const struct insn *i)
{
	switch (i->row->id) {
	case ID_PUSH:
		return xlat_push(x, i);
	case ID_POP:
		return xlat_pop(x, i);
	case ID_LEAVE:
		return xlat_leave_insn(x, i);
	default:
		return false;
	}
}

static uint64_t branch_target(const struct xlat *x, const struct insn *i)
{
	uint64_t t = x->next + i->imm;

	return x->code_size == CODE64 ? t : (uint32_t)t;
}

/* Jcc: the taken side leaves the line, the other goes on in the block. */
static bool xlat_jcc(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	uint64_t target = branch_target(x, i);
	unsigned int cc = i->opcode & 15;
	uint8_t *skip;

	if (loop_jump(x, cc))
		return true;
	x->t1_next = x->t1_win;
	if (same_page(x, target)) {
		enum cold_kind kind = target <= x->rip ? COLD_BACK : COLD_LINK;

		spare_entry(x);
		xlat_cold(x, kind, emit_jcc_link(e, cc))->rip = target;
		return true;
	}
	skip = emit_jcc(e, cc ^ 1);
	xlat_jump(x, target);
	emit_here32(e, skip);
	return true;
}

/* JrCXZ and LOOP: the count is in t1. */
static bool xlat_count_branch(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	enum hreg cx = x->home[RCX];
	unsigned int size = i->addrsize;
	uint8_t *zero, *over;

	if (size == 2)
		return false;
	if (i->row->id == ID_LOOP)
		emit_lea(e, cx, cx, H_NONE, 0, -1, size);
	emit_mov_rr(e, T1, cx, size);
	zero = emit_jrcxz(e);
	if (i->row->id == ID_LOOP) {
		xlat_jump(x, branch_target(x, i));
		emit_here8(e, zero);
		return true;
	}
	over = emit_jmp8(e);
	emit_here8(e, zero);
	xlat_jump(x, branch_target(x, i));
	emit_here8(e, over);
	return true;
}

/* t0 = target of an indirect branch. */
static bool indirect_target(struct xlat *x, const struct insn *i, bool tmp)
{
	struct emit *e = &x->e;
	const struct operand *o = &i->op[0];
	unsigned int size = x->code_size == CODE64 ? 8 : 4;

	if (o->kind == OPK_MEM) {
		if (!load_tmp(x, i, size))
			return false;
		if (!tmp)
			emit_mov_rr(e, T0, T1, size);
		return true;
	}
	if (o->kind != OPK_GPR)
		return false;
	if (x->home[o->reg] == IN_MEMORY)
		emit_gs_load(e, T0, GPR_OFF(o->reg), 8);
	else
		emit_mov_rr(e, T0, x->home[o->reg], size);
	if (tmp)
		emit_gs_store(e, T0, SLOT_OFF(D_TMP), 8);
	return true;
}

static bool xlat_call(struct xlat *x, const struct insn *i)
{
	unsigned int size = x->code_size == CODE64 ? 8 : 4;

	if (i->op[0].kind == OPK_REL) {
		push_next(x, size);
		xlat_jump(x, branch_target(x, i));
		x->done = true;
		return true;
	}
	if (!indirect_target(x, i, true))
		return false;
	push_next(x, size);
	emit_gs_load(&x->e, T0, SLOT_OFF(D_TMP), 8);
	jump_indirect(x);
	return true;
}

static bool xlat_ret(struct xlat *x, const struct insn *i)
{
	unsigned int size = x->code_size == CODE64 ? 8 : 4;

	load_ref(x, T0, pop_ref(x, size), size);
	sp_add(x, size + (uint16_t)i->imm);
	jump_indirect(x);
	return true;
}

bool xlat_branch(struct xlat *x, const struct insn *i)
{
	/* 16-bit branches cut RIP. */
	if (i->opsize == 2)
		return false;
	switch (i->row->id) {
	case ID_JCC:
		return xlat_jcc(x, i);
	case ID_LOOP:
	case ID_JRCXZ:
		return xlat_count_branch(x, i);
	case ID_CALL:
		return xlat_call(x, i);
	case ID_RET:
		return xlat_ret(x, i);
	case ID_JMP:
		if (i->op[0].kind == OPK_REL) {
			xlat_jump(x, branch_target(x, i));
			x->done = true;
			return true;
		}
		if (!indirect_target(x, i, false))
			return false;
		jump_indirect(x);
		return true;
	default:
		return false;
	}
}
