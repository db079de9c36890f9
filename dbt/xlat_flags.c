#include "dbt/xlat_flags.h"

#include "dbt/xlat_lend.h"

/*
 * Where look-ups may use flags.  TEST with a conditional jump is cheaper than
 * PEXT with JRCXZ, but clobbers status flags.  It is done where no guest
 * instruction reads them before they are written again, in the same block,
 * and where the exact flags can be made again for whoever looks at them after
 * all: exits and faults.  Their recipe is the last instruction that wrote all
 * of them, if what it worked on is still in registers.
 */

enum recipe_kind {
	RECIPE_NONE,
	RECIPE_AGAIN,  /* CMP, TEST: do it again */
	RECIPE_RESULT, /* AND, OR, XOR: the result says it all */
	RECIPE_UNDO,   /* ADD, SUB: undo it in a scratch register, again */
};

/* Encodings of the instructions that recipes need. */
static const struct {
	uint8_t rr;    /* opcode with two registers */
	uint8_t ri;    /* opcode with an immediate */
	uint8_t digit; /* its ModRM.reg */
} alu[] = {
	[ID_ADD] = { 0x01, 0x81, 0 },
	[ID_SUB] = { 0x29, 0x81, 5 },
	[ID_CMP] = { 0x39, 0x81, 7 },
	[ID_TEST] = { 0x85, 0xf7, 0 },
};

static bool plain_gpr(const struct xlat *x, const struct operand *o)
{
	return o->kind == OPK_GPR && !o->high8 && x->home[o->reg] != IN_MEMORY;
}

static enum recipe_kind recipe_of(const struct xlat *x, const struct insn *i)
{
	const struct operand *a = &i->op[0], *b = &i->op[1];
	bool simple = i->nops == 2 && plain_gpr(x, a);

	if (!simple)
		return RECIPE_NONE;
	switch (i->row->id) {
	case ID_CMP:
	case ID_TEST:
		if (b->kind == OPK_IMM || plain_gpr(x, b))
			return RECIPE_AGAIN;
		return RECIPE_NONE;
	case ID_AND:
	case ID_OR:
	case ID_XOR:
		return RECIPE_RESULT;
	case ID_ADD:
	case ID_SUB:
		if (a->size >= 4 && (b->kind == OPK_IMM ||
				     (plain_gpr(x, b) && b->reg != a->reg)))
			return RECIPE_UNDO;
		return RECIPE_NONE;
	default:
		return RECIPE_NONE;
	}
}

/* Registers that must not change for the recipe to hold. */
static uint32_t recipe_regs(const struct xlat *x, const struct insn *i)
{
	uint32_t regs = BIT(i->op[0].reg);

	if (recipe_of(x, i) != RECIPE_RESULT && i->op[1].kind == OPK_GPR)
		regs |= BIT(i->op[1].reg);
	return regs;
}

static bool is_logic(unsigned int id)
{
	return id == ID_AND || id == ID_OR || id == ID_XOR || id == ID_TEST;
}

/* Status flags that @i certainly writes; AF by logic is, on any processor. */
static unsigned int flags_written(const struct insn *i)
{
	if (i->row->action != ACT_COPY)
		return 0;
	return is_logic(i->row->id) ? FL_STATUS : i->row->flags_w & FL_STATUS;
}

static bool kills_flags(const struct insn *i)
{
	return flags_written(i) == FL_STATUS;
}

/* Flags that are looked at before @i is done, if @live are behind it. */
static unsigned int flags_live(const struct insn *i, unsigned int live)
{
	if (i->row->action == ACT_NOP || i->row->action == ACT_STACK)
		return live;
	if (i->row->action != ACT_COPY)
		return FL_STATUS;
	return (live & ~flags_written(i)) | (i->row->flags_r & FL_STATUS);
}

/* Whether the block may be left at @i, by a fault for example. */
static bool may_leave_at(const struct insn *i)
{
	const unsigned int units = IA_X87 | IA_MMX | IA_SSE | IA_AVX | IA_FWAIT;

	if (i->row->action == ACT_NOP)
		return false;
	return i->row->action != ACT_COPY || i->has_mem ||
	       (i->row->attr & units) || i->row->id == ID_DIV ||
	       i->row->id == ID_IDIV;
}

static uint32_t regs_written(const struct insn *i)
{
	uint32_t w = i->row->impl_w;

	if (i->row->action == ACT_HELPER || i->row->action == ACT_STRING)
		return MASK(NR_GPRS);
	if (i->row->action == ACT_STACK)
		w |= BIT(RSP) | BIT(RBP);
	if (i->row->action == ACT_BRANCH)
		w |= BIT(RCX) | BIT(RSP);
	for (unsigned int n = 0; n < i->nops; n++)
		if (i->op[n].kind == OPK_GPR && (i->op[n].access & ACC_W))
			w |= BIT(i->op[n].reg);
	return w;
}

static void plan_recipes(struct xlat *x, unsigned int nr, uint8_t recipe)
{
	uint32_t regs = 0;

	if (recipe != NO_RECIPE)
		regs = recipe_regs(x, &x->insn[recipe]);
	for (unsigned int n = 0; n < nr; n++) {
		const struct insn *i = &x->insn[n];

		x->recipe[n] = recipe;
		if (flags_written(i) && kills_flags(i) &&
		    recipe_of(x, i) != RECIPE_NONE) {
			recipe = n;
			regs = recipe_regs(x, i);
		} else if (flags_written(i) || i->row->flags_u ||
			   (regs_written(i) & regs)) {
			recipe = NO_RECIPE;
			regs = 0;
		}
	}
}

void plan_flags(struct xlat *x, unsigned int nr, uint8_t recipe)
{
	unsigned int live = FL_STATUS;
	bool on = false; /* flags clobbered before the next one may stay so */

	plan_recipes(x, nr, recipe);
	for (unsigned int n = nr; n-- > 0;) {
		const struct insn *i = &x->insn[n];

		live = flags_live(i, live);
		on = (kills_flags(i) || on) &&
		     (!may_leave_at(i) || x->recipe[n] != NO_RECIPE);
		x->clobber[n] = !live && on;
	}
}

void flags_none(struct xlat *x)
{
	for (unsigned int n = 0; n < x->nr_decoded; n++)
		x->clobber[n] = false;
}

/* op dst, src and op dst, imm of 1, 2, 4 or 8 bytes. */
static void alu_prefix(struct emit *e, enum hreg r, enum hreg rm,
		       unsigned int size)
{
	if (size == 2)
		emit8(e, 0x66);
	emit8(e, 0x40 | (size == 8) << 3 | (r & 8) >> 1 | (rm & 8) >> 3);
}

static void alu_rr(struct emit *e, unsigned int id, enum hreg dst,
		   enum hreg src, unsigned int size)
{
	alu_prefix(e, src, dst, size);
	emit8(e, alu[id].rr - (size == 1));
	emit8(e, 0xc0 | (src & 7) << 3 | (dst & 7));
}

static void alu_ri(struct emit *e, unsigned int id, enum hreg dst, int32_t imm,
		   unsigned int size)
{
	alu_prefix(e, 0, dst, size);
	emit8(e, alu[id].ri - (size == 1));
	emit8(e, 0xc0 | alu[id].digit << 3 | (dst & 7));
	if (size == 1)
		emit8(e, imm);
	else if (size == 2)
		emit16(e, imm);
	else
		emit32(e, imm);
}

static void recipe_undo(struct xlat *x, const struct insn *i)
{
	struct emit *e = &x->e;
	enum hreg dst = x->home[i->op[0].reg], src;
	unsigned int id = i->row->id, size = i->op[0].size;
	bool add = id == ID_ADD;

	if (i->op[1].kind == OPK_IMM) {
		/* In two steps: the smallest immediate has no opposite. */
		emit_mov_ri(e, T1, i->imm);
		if (add)
			emit_not(e, T1);
		emit_lea(e, T1, T1, dst, 0, add, 8);
		alu_ri(e, id, T1, i->imm, size);
		return;
	}
	src = x->home[i->op[1].reg];
	if (add) {
		emit_mov_rr(e, T1, src, 8);
		emit_not(e, T1);
		emit_lea(e, T1, T1, dst, 0, 1, 8);
	} else {
		emit_lea(e, T1, dst, src, 0, 0, 8);
	}
	alu_rr(e, id, T1, src, size);
}

void flags_restore(struct xlat *x, unsigned int recipe)
{
	const struct insn *i = &x->insn[recipe];
	enum hreg dst = x->home[i->op[0].reg];
	unsigned int size = i->op[0].size;

	switch (recipe_of(x, i)) {
	case RECIPE_AGAIN:
		if (i->op[1].kind == OPK_IMM)
			alu_ri(&x->e, i->row->id, dst, i->imm, size);
		else
			alu_rr(&x->e, i->row->id, dst, x->home[i->op[1].reg],
			       size);
		return;
	case RECIPE_RESULT:
		alu_rr(&x->e, ID_TEST, dst, dst, size);
		return;
	case RECIPE_UNDO:
		recipe_undo(x, i);
		return;
	default:
		x->failed = true;
	}
}

bool flags_exact(struct xlat *x)
{
	if (!x->dirty)
		return true;
	if (x->recipe[x->cur] == NO_RECIPE)
		return false;
	flags_restore(x, x->recipe[x->cur]);
	x->dirty = false;
	return true;
}

void flags_insn_done(struct xlat *x, const struct insn *i)
{
	x->restore[x->nr_insns] = NO_RECIPE;
	if (x->dirty && may_leave_at(i))
		x->restore[x->nr_insns] = x->recipe[x->cur];
	x->lent[x->nr_insns] = x->lending && may_leave_at(i);
	if (kills_flags(i))
		x->dirty = false;
}

void flags_emit_restore(struct xlat *x)
{
	for (unsigned int n = 0; n < x->nr_insns; n++) {
		struct pcmap *m = &x->map[n];
		struct rip_stub s = xlat_rip_stub(x, x->block_rip + m->guest);

		if (x->restore[n] == NO_RECIPE && !x->lent[n])
			continue;
		lend_select(x, x->lent[n]);
		m->restore = x->e.w - x->loop_entry;
		if (m->spill != H_NONE)
			emit_gs_load(&x->e, m->spill, SLOT_OFF(D_SPILL), 8);
		if (x->restore[n] != NO_RECIPE)
			flags_restore(x, x->restore[n]);
		if (x->lent[n])
			lend_call_out(x);
		emit_call(&x->e, x->d->thunk[LEAVE_CAREFUL]);
		emit_bytes(&x->e, (uint8_t *)&s, sizeof(s));
	}
}
