#include "dbt/xlat.h"

/*
 * MOVS, STOS and LODS in line.  Those without REP are look-ups and a move.
 * REP MOVS and REP STOS: the silicon's own instruction on host
 * addresses, if the operands are upward, within a page each and known to the
 * TLB; else the helper does it.  RDI and RSI are host addresses meanwhile,
 * less by their addends in t0 and D_TMP, and the count is in RCX;
 * fault.c knows (SPILL_STOS, SPILL_MOVS).
 */
#define MAX_WAYS 8

struct string {
	struct xlat *x;
	unsigned int size; /* of an element */
	unsigned int nr;
	uint8_t *slow[MAX_WAYS]; /* rel32 of jumps to the helper */
	unsigned int nr_miss;
	struct cold *miss[2]; /* misses that the helper serves if need be */
};

static void slow_unless_zero(struct string *s)
{
	struct emit *e = &s->x->e;
	uint8_t *on = emit_jrcxz(e);

	s->slow[s->nr++] = emit_jmp_patch(e);
	emit_here8(e, on);
}

/* All of the jumps to the helper lead here. */
static void to_helper(struct string *s, const struct insn *i)
{
	for (unsigned int n = 0; n < s->nr; n++)
		emit_here32(&s->x->e, s->slow[n]);
	for (unsigned int n = 0; n < s->nr_miss; n++)
		s->miss[n]->other = s->x->e.w;
	xlat_light_call(s->x, i);
}

static void check_upward(struct string *s)
{
	struct emit *e = &s->x->e;

	emit_gs_load(e, T1, CPU_OFF(df_step), 8);
	emit_lea(e, T1, T1, H_NONE, 0, -1, 8);
	slow_unless_zero(s);
}

/* Upward, not none, and not so many that sizes overflow. */
static void check_count(struct string *s)
{
	struct emit *e = &s->x->e;

	check_upward(s);
	emit_lea(e, T1, host_of[RCX], H_NONE, 0, -1, 8);
	emit_gs_pext(e, T1, T1, SLOT_OFF(D_PAGE));
	slow_unless_zero(s);
}

/* t1 = addend of the operand at guest address @reg, all in one page.  Uses t0.
 */
static void look_up(struct string *s, enum hreg reg, bool write)
{
	struct emit *e = &s->x->e;

	emit_gs_pext(e, T1, reg, SLOT_OFF(D_IN_PAGE));
	emit_lea(e, T1, T1, host_of[RCX], __builtin_ctz(s->size), -1, 8);
	emit_gs_pext(e, T1, T1, SLOT_OFF(D_PAGE));
	slow_unless_zero(s);
	emit_mov_rr(e, T0, reg, 8);
	s->miss[s->nr_miss++] = xlat_tlb(s->x, 1, write, false, true);
}

static void native(struct emit *e, bool movs, unsigned int size)
{
	if (size == 2)
		emit8(e, 0x66);
	emit8(e, 0xf3);
	if (size == 8)
		emit8(e, 0x48);
	emit8(e, (movs ? 0xa4 : 0xaa) | (size > 1));
}

/* Back to a guest address; clobbers @addend. */
static void take_back(struct emit *e, enum hreg reg, enum hreg addend)
{
	emit_not(e, addend);
	emit_lea(e, reg, reg, addend, 0, 1, 8);
}

static void fast_way(struct string *s, bool movs)
{
	struct emit *e = &s->x->e;

	xlat_islands(s->x, 250, false);
	check_count(s);
	if (movs) {
		look_up(s, H_RSI, false);
		emit_gs_store(e, T1, SLOT_OFF(D_TMP), 8);
	}
	look_up(s, H_RDI, true);
	emit_mov_rr(e, T0, T1, 8);
	emit_lea(e, H_RDI, H_RDI, T0, 0, 0, 8);
	if (movs) {
		emit_gs_load(e, T1, SLOT_OFF(D_TMP), 8);
		emit_lea(e, H_RSI, H_RSI, T1, 0, 0, 8);
	}
	emit_mov_rr(e, H_RCX, host_of[RCX], 8);
	native(e, movs, s->size);
	emit_mov_rr(e, host_of[RCX], H_RCX, 8);
	take_back(e, H_RDI, T0);
	if (movs) {
		emit_gs_load(e, T0, SLOT_OFF(D_TMP), 8);
		take_back(e, H_RSI, T0);
	}
}

/*
 * One element: t1 = addend of the operand whose last byte is at t0, at guest
 * register @reg.  A miss is served, so that the next element is in the TLB.
 */
static void look_up_one(struct string *s, unsigned int reg, bool write)
{
	emit_lea(&s->x->e, T0, host_of[reg], H_NONE, 0, s->size - 1,
		 s->x->code_size == CODE64 ? 8 : 4);
	xlat_tlb(s->x, s->size, write, s->size > 1, false);
}

/* mov al, [t0 + t1 - (size - 1)], or the other way, of any size */
static void move_accumulator(struct string *s, uint8_t opcode)
{
	struct emit *e = &s->x->e;

	if (s->size == 2)
		emit8(e, 0x66);
	if (s->size == 8)
		emit8(e, 0x48);
	emit8(e, opcode | (s->size > 1));
	emit_mem(e, RAX, T0, T1, 0, 1 - (int)s->size);
}

static void step(struct string *s, unsigned int reg)
{
	emit_lea(&s->x->e, host_of[reg], host_of[reg], H_NONE, 0, s->size,
		 s->x->code_size == CODE64 ? 8 : 4);
}

static void movs_one(struct string *s)
{
	struct emit *e = &s->x->e;

	look_up_one(s, RSI, false);
	emit_load(e, T0, T0, T1, 1 - (int)s->size, s->size);
	emit_gs_store(e, T0, SLOT_OFF(D_TMP), 8);
	look_up_one(s, RDI, true);
	emit_lea(e, T0, T0, T1, 0, 1 - (int)s->size, 8);
	emit_gs_load(e, T1, SLOT_OFF(D_TMP), 8);
	emit_store(e, T1, T0, H_NONE, 0, s->size);
	step(s, RSI);
	step(s, RDI);
}

/* MOVS, STOS and LODS without REP, upward: what compilers make of *p++. */
static bool string_one(struct xlat *x, const struct insn *i)
{
	const uint32_t flat = MODE_SEG_FLAT(SEG_DS) | MODE_SEG_FLAT(SEG_ES);
	struct string s = { .x = x, .size = i->op[0].size };
	unsigned int id = i->row->id;
	uint8_t *over;

	if ((id != ID_MOVS && id != ID_STOS && id != ID_LODS) ||
	    i->seg_ovr != SEG_NONE || (x->mode & flat) != flat ||
	    i->addrsize != (x->code_size == CODE64 ? 8 : 4))
		return false;
	xlat_islands(x, 250, false);
	check_upward(&s);
	if (id == ID_MOVS) {
		movs_one(&s);
	} else if (id == ID_STOS) {
		look_up_one(&s, RDI, true);
		move_accumulator(&s, 0x88);
		step(&s, RDI);
	} else {
		look_up_one(&s, RSI, false);
		move_accumulator(&s, 0x8a);
		step(&s, RSI);
	}
	xlat_islands(x, 60, false);
	xlat_count(x, i);
	over = emit_jmp8(&x->e);
	to_helper(&s, i);
	emit_here8(&x->e, over);
	return true;
}

bool xlat_string(struct xlat *x, const struct insn *i)
{
	struct string s = { .x = x, .size = i->op[0].size };
	bool movs = i->row->id == ID_MOVS;
	uint8_t *over;

	if (!i->rep)
		return string_one(x, i);
	if ((!movs && i->row->id != ID_STOS) || x->code_size != CODE64 ||
	    i->addrsize != 8 || i->seg_ovr != SEG_NONE)
		return false;
	fast_way(&s, movs);
	xlat_islands(x, 250, false);
	xlat_count(x, i);
	over = emit_jmp8(&x->e);
	to_helper(&s, i);
	emit_here8(&x->e, over);
	x->spill = movs ? SPILL_MOVS : SPILL_STOS;
	return true;
}
