#include "fuzz/insn/gen.h"

#include <string.h>

#include "fuzz/insn/guest.h"
#include "x86/defs.h"
#include "x86/feat.h"
#include "x86/table.h"

/* A case from its instructions: where they are, what they find. */
struct work {
	struct rng g;
	struct fuzz_case *c;
	struct generated *out;
	enum code_size mode;
	unsigned int nr_patches;
	bool loop;	/* the instructions are the body of a loop */
	uint32_t bases; /* its base registers */
};

static const struct {
	enum treatment treatment;
	const char *reason;
} excluded[NR_INSN_IDS] = {
#define EXCLUDE(name, how, why) [ID_##name] = { TREAT_##how, why },
#include "fuzz/insn/exclude.def"
#undef EXCLUDE
};

enum treatment treatment_of(const struct insn_row *row, const char **reason)
{
	*reason = "";
	if (row->id == ID_INVALID)
		return TREAT_NATIVE;
	if (!guest_has(row->feat) ||
	    (row->action == ACT_UD && row->feat != FEAT_BASE)) {
		*reason = "not offered";
		return TREAT_UD;
	}
	if (excluded[row->id].reason)
		*reason = excluded[row->id].reason;
	return excluded[row->id].treatment;
}

/* New contents of memory at @addr. */
static uint8_t *patch(struct work *w, uint64_t addr, unsigned int len)
{
	struct patch *p;

	if (w->nr_patches == CASE_PATCHES)
		return w->c->patch[CASE_PATCHES - 1].data;
	p = &w->c->patch[w->nr_patches++];
	p->addr = addr;
	p->len = len < PATCH_BYTES ? len : PATCH_BYTES;
	gen_data(&w->g, p->data, PATCH_BYTES);
	return p->data;
}

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, 8);
}

static uint16_t gen_selector(struct rng *g)
{
	static const uint16_t some[] = {
		SEL_CODE32, SEL_DATA, SEL_CODE64, SEL_TLS0, SEL_TLS1, SEL_DATA,
		0,	    3,	      0x10,	  0x2a,	    0x28,     0x73,
		0x40,	    0x80,     0x27,	  0x2f,
	};

	return some[rng_below(g, ARRAY_SIZE(some))];
}

/* A far pointer, or what far returns pop, with fields of @size bytes. */
static void put_far(struct work *w, uint8_t *p, unsigned int size,
		    unsigned int sel_size)
{
	uint64_t to = gen_code_target(&w->g, w->c);
	uint16_t sel = case_code_sel(w->c);

	if (one_in(&w->g, 3))
		sel = gen_selector(&w->g);
	memcpy(p, &to, 8);
	memset(p + size, 0, sel_size);
	memcpy(p + size, &sel, 2);
}

static void put_iret(struct work *w, uint8_t *p, unsigned int size)
{
	uint64_t fl = rng64(&w->g) & 0x254fd7, sp, ss = SEL_DATA;

	/*
	 * The new AC already counts for what is popped behind it; the host's
	 * kernel takes that #AC for one of its own and tries again for ever.
	 */
	if (w->c->gpr[RSP] & (size - 1))
		fl &= ~RFLAGS_AC;
	put_far(w, p, size, size);
	memcpy(p + 2 * size, &fl, size);
	sp = gen_target(&w->g, w->c, 8);
	memcpy(p + 3 * size, &sp, size);
	if (one_in(&w->g, 4))
		ss = gen_selector(&w->g);
	memcpy(p + 4 * size, &ss, size);
}

/* Contents of a memory operand that mean something to its instruction. */
static void operand_contents(struct work *w, const struct insn *i, uint8_t *p)
{
	uint64_t *gpr = w->c->gpr;
	uint16_t sel, fcw;

	switch (i->row->id) {
	case ID_CALL:
	case ID_JMP:
		put64(p, gen_code_target(&w->g, w->c));
		break;
	case ID_CALL_FAR:
	case ID_JMP_FAR:
	case ID_LDS:
	case ID_LES:
	case ID_LSS:
	case ID_LFS:
	case ID_LGS:
		put_far(w, p, i->opsize, 2);
		break;
	case ID_MOV_TO_SEG:
	case ID_LAR:
	case ID_LSL:
	case ID_VERR:
	case ID_VERW:
		sel = gen_selector(&w->g);
		memcpy(p, &sel, 2);
		break;
	case ID_CMPXCHG:
		if (one_in(&w->g, 2))
			put64(p, gpr[RAX]);
		break;
	case ID_CMPXCHG8B:
	case ID_CMPXCHG16B:
		if (one_in(&w->g, 2)) {
			memcpy(p, &gpr[RAX], i->mem_size / 2);
			memcpy(p + i->mem_size / 2, &gpr[RDX], i->mem_size / 2);
		}
		break;
	case ID_LDMXCSR:
	case ID_VLDMXCSR:
		if (!one_in(&w->g, 8))
			memset(p + 2, 0, 2);
		break;
	case ID_FLDCW:
		fcw = 0x37f ^ (rng64(&w->g) & 0xf00);
		memcpy(p, &fcw, 2);
		break;
	case ID_FXRSTOR:
	case ID_XRSTOR:
		memcpy(p, w->c->fpu, 64);
		break;
	}
}

/* The operands of branches are addresses of code. */
static void branch_operand(struct work *w, struct insn *i, unsigned int at)
{
	struct fuzz_case *c = w->c;
	uint64_t next = c->rip - case_code_base(c) + at + i->len, to;
	int64_t rel;

	for (unsigned int n = 0; n < i->nops; n++) {
		const struct operand *op = &i->op[n];

		to = gen_code_target(&w->g, c);
		rel = to - next;
		if (op->kind == OPK_GPR && op->enc == ENC_RM)
			c->gpr[op->reg] = c->mode == CODE64 ? to : (uint32_t)to;
		if (op->kind != OPK_REL)
			continue;
		/* Forward, so that it ends. */
		if (i->imm_len == 1)
			rel = rng64(&w->g) & 0x7f;
		memcpy(c->bytes + at + i->off_imm, &rel, i->imm_len);
	}
	if (i->row->id == ID_CALL_FAR || i->row->id == ID_JMP_FAR) {
		uint8_t p[16];

		if (i->has_mem)
			return;
		put_far(w, p, i->imm_len - 2, 2);
		memcpy(c->bytes + at + i->off_imm, p, i->imm_len);
	}
}

static bool is_branch(const struct insn *i)
{
	return i->row->action == ACT_BRANCH || i->row->id == ID_CALL_FAR ||
	       i->row->id == ID_JMP_FAR;
}

/* The stack pointer for a linear address. */
static uint64_t stack_pointer(const struct fuzz_case *c, uint64_t linear)
{
	if (c->seg[SEG_SS])
		return ESP16_HIGH |
		       (uint16_t)(linear - segment_base(c, SEG_SS));
	return c->mode == CODE64 ? linear : (uint32_t)linear;
}

/* The stack and what is on it. */
static void stack_contents(struct work *w, const struct insn *i)
{
	struct fuzz_case *c = w->c;
	unsigned int size = i->opsize;
	uint64_t sp = gen_target(&w->g, c, size);
	uint16_t sel;
	uint8_t *p;

	if (!one_in(&w->g, 4))
		sp &= ~7ull;
	c->gpr[RSP] = stack_pointer(c, sp);
	if (i->row->id == ID_LEAVE || i->row->id == ID_ENTER) {
		sp = gen_target(&w->g, c, size);
		if (c->mode != CODE64)
			sp = (uint32_t)sp;
		c->gpr[RBP] = stack_pointer(c, sp);
	}
	p = patch(w, sp, 48);
	switch (i->row->id) {
	case ID_RET:
		put64(p, gen_code_target(&w->g, c));
		break;
	case ID_RET_FAR:
		put_far(w, p, size, size);
		put64(p + 2 * size, gen_target(&w->g, c, 8));
		break;
	case ID_IRET:
		put_iret(w, p, size);
		break;
	case ID_POP_SEG:
		sel = gen_selector(&w->g);
		memcpy(p, &sel, 2);
		break;
	case ID_POPF:
		put64(p, rng64(&w->g) & 0x254dd7);
		break;
	}
}

static void string_operands(struct work *w, const struct insn *i)
{
	struct fuzz_case *c = w->c;
	uint64_t mask = c->mode == CODE64 ? ~0ull : MASK(32);
	uint64_t base, linear[2] = { 0 };

	for (unsigned int n = 0; n < i->nops; n++) {
		const struct operand *op = &i->op[n];
		unsigned int reg = op->kind == OPK_STR_SRC ? RSI : RDI;

		if (op->kind != OPK_STR_SRC && op->kind != OPK_STR_DST)
			continue;
		base = reg == RDI || i->seg_ovr != SEG_FS ? 0 : c->fs_base;
		if (c->mode == CODE16)
			base = segment_base(c, reg == RDI ? SEG_ES : i->seg);
		linear[reg == RDI] = gen_target(&w->g, c, op->size) & mask;
		c->gpr[reg] = (linear[reg == RDI] - base) & mask;
	}
	if (i->rep && !one_in(&w->g, 4))
		c->gpr[RCX] = rng64(&w->g) & (one_in(&w->g, 3) ? 0x3ff : 0x1f);
	/* Equal stretches for the comparisons. */
	if (one_in(&w->g, 2) && i->row->id == ID_CMPS)
		memcpy(patch(w, c->mode == CODE16 ? linear[0] : c->gpr[RSI],
			     40),
		       patch(w, c->mode == CODE16 ? linear[1] : c->gpr[RDI],
			     48),
		       40);
}

/* A quotient that fits, mostly. */
static void divide_operands(struct work *w, const struct insn *i)
{
	uint64_t *gpr = w->c->gpr;
	uint64_t keep = i->opsize == 8 ? 0 : ~MASK(8 * i->opsize);
	bool negative = i->row->id == ID_IDIV && one_in(&w->g, 2);

	if (one_in(&w->g, 3))
		return;
	gpr[RDX] = (gpr[RDX] & keep) | (negative ? ~keep : 0);
	if (i->op[0].size == 1)
		gpr[RAX] = (gpr[RAX] & ~0xff00ull) | (rng64(&w->g) & 0x1f00);
}

/* What an instruction wants of registers beyond its explicit operands. */
static void implicit_operands(struct work *w, const struct insn *i)
{
	struct fuzz_case *c = w->c;
	uint64_t mask = c->mode == CODE64 ? ~0ull : MASK(32);
	uint64_t seg = i->seg == SEG_FS ? c->fs_base : 0;

	if (c->mode == CODE16)
		seg = segment_base(c, i->seg);
	if ((i->row->impl_r & BIT(RSP)) && i->row->id != ID_SYSCALL)
		stack_contents(w, i);
	if (i->row->action == ACT_STRING)
		string_operands(w, i);
	switch (i->row->id) {
	case ID_XLAT:
		c->gpr[RBX] = (gen_target(&w->g, c, 1) - seg) & mask;
		break;
	case ID_MASKMOVQ:
	case ID_MASKMOVDQU:
	case ID_VMASKMOVDQU:
		c->gpr[RDI] = (gen_target(&w->g, c, 16) - seg) & mask;
		break;
	case ID_DIV:
	case ID_IDIV:
		divide_operands(w, i);
		break;
	case ID_XSAVE:
	case ID_XSAVEOPT:
	case ID_XSAVEC:
	case ID_XRSTOR:
		c->gpr[RAX] &= 7;
		c->gpr[RDX] = 0;
		/* The host has more components. */
		if (i->base == RAX || i->base == RDX || i->index == RAX ||
		    i->index == RDX)
			c->twin = TWIN_NONE;
		break;
	case ID_LOOP:
	case ID_LOOPE:
	case ID_LOOPNE:
	case ID_JRCXZ:
		if (one_in(&w->g, 2))
			c->gpr[RCX] = rng64(&w->g) & 3;
		break;
	case ID_MOV_TO_SEG:
	case ID_LAR:
	case ID_LSL:
	case ID_VERR:
	case ID_VERW:
		if (!i->has_mem)
			c->gpr[i->op[i->nops - 1].reg] = gen_selector(&w->g);
		break;
	}
}

static void bit_offset(struct work *w, const struct insn *i)
{
	uint64_t *reg = &w->c->gpr[i->op[1].reg];

	if (!one_in(&w->g, 4))
		*reg = (int64_t)rng64(&w->g) >> (64 - 14);
	if (w->c->mode != CODE64)
		*reg = (uint32_t)*reg;
}

/* Small indices, so that gathers stay near their base. */
static void gather_index(struct work *w, const struct insn *i)
{
	uint8_t *lo = w->c->fpu + 160 + 16 * i->index;
	uint8_t *hi = w->c->fpu + 576 + 16 * i->index;
	uint64_t v;

	for (unsigned int n = 0; n < 4; n++) {
		v = rng64(&w->g) & 0x000001ff000001ff;
		if (one_in(&w->g, 2))
			v &= MASK(32);
		memcpy((n < 2 ? lo : hi) + 8 * (n & 1), &v, 8);
	}
}

static void memory_operand(struct work *w, struct insn *i, unsigned int at)
{
	struct fuzz_case *c = w->c;
	uint64_t target;

	if (i->row->attr & IA_BITOFF)
		bit_offset(w, i);
	if (i->row->attr & IA_VSIB)
		gather_index(w, i);
	target = gen_target(&w->g, c, i->mem_size ? i->mem_size : 64);
	/* Mostly aligned where it has to be, or wherever that counts. */
	if ((i->row->attr & IA_ALIGN || c->rflags & RFLAGS_AC) &&
	    !one_in(&w->g, 4))
		target &= ~63ull;
	if (aim(c, i, at, target))
		operand_contents(w, i, patch(w, target, 64));
}

/* MOV of the base register in 16-bit code; FS and GS are subtracted already. */
static void load_base16(struct fuzz_case *c, const struct insn *i, uint64_t v)
{
	if (i->seg == SEG_FS || i->seg == SEG_GS)
		v += segment_base(c, i->seg);
	if (i->addrsize == 4)
		c->bytes[c->len++] = 0x66;
	c->bytes[c->len++] = 0xb8 | (i->base & 7);
	memcpy(c->bytes + c->len, &v, i->addrsize);
	c->len += i->addrsize;
}

/*
 * A base register for a later instruction of a block, whose registers are not
 * known: MOV base, address in front of it.
 */
static void load_base(struct work *w, struct insn *i)
{
	struct fuzz_case *c = w->c;
	uint64_t v;

	if (!i->has_mem || i->base == GPR_NONE || i->index != GPR_NONE ||
	    (i->addrsize == 2 && c->mode != CODE16) || one_in(&w->g, 4))
		return;
	v = gen_target(&w->g, c, i->mem_size ? i->mem_size : 64) - i->disp;
	if (i->row->attr & IA_ALIGN)
		v = ((v + i->disp) & ~63ull) - i->disp;
	if (i->seg == SEG_FS)
		v -= c->fs_base;
	if (i->seg == SEG_GS)
		v -= c->gs_base;
	if (c->mode == CODE16) {
		load_base16(c, i, v - segment_base(c, i->seg));
		return;
	}
	if (c->mode == CODE64)
		c->bytes[c->len++] = 0x48 | i->base >> 3;
	c->bytes[c->len++] = 0xb8 | (i->base & 7);
	memcpy(c->bytes + c->len, &v, c->mode == CODE64 ? 8 : 4);
	c->len += c->mode == CODE64 ? 8 : 4;
}

static void append(struct work *w, struct insn *i, unsigned int row)
{
	struct fuzz_case *c = w->c;
	unsigned int at;

	if (w->out->n && !w->loop)
		load_base(w, i);
	at = c->len;
	memcpy(c->bytes + at, i->bytes, i->len);
	c->len += i->len;
	if (!w->out->n) {
		implicit_operands(w, i);
		if (i->has_mem)
			memory_operand(w, i, at);
	} else if (w->loop && i->has_mem && !(w->bases & BIT(i->base & 31))) {
		memory_operand(w, i, at);
	}
	if (i->has_mem)
		w->bases |= BIT(i->base & 31);
	if (is_branch(i))
		branch_operand(w, i, at);
	if (i->row->id == ID_INT && i->imm == 0x80)
		c->twin = TWIN_NONE; /* a system call */
	w->out->row[w->out->n++] = row;
}

/* Undefined flags that the engine makes itself, and who may see them. */
static bool flags_ok(struct fuzz_case *c, const struct insn_row *row)
{
	if (row->flags_r & c->undefined)
		return false;
	if (row->action != ACT_COPY)
		c->undefined |= row->flags_u;
	return true;
}

/*
 * Not behind other instructions: the components that XSAVE and XRSTOR work on
 * are in registers, and x87's instruction pointer is the host's.
 */
static bool saves_x87(const struct insn_row *row)
{
	switch (row->id) {
	case ID_FNSTENV:
	case ID_FNSAVE:
	case ID_FXSAVE:
	case ID_XSAVE:
	case ID_XSAVEOPT:
	case ID_XSAVEC:
	case ID_XRSTOR:
		return true;
	default:
		return false;
	}
}

static bool for_mode(const struct insn_row *row, enum code_size mode)
{
	return !(row->attr & (mode == CODE64 ? IA_NO64 : IA_ONLY64));
}

/* What @t means for the comparison. */
static void treat(struct fuzz_case *c, const struct insn *i, enum treatment t)
{
	if (t == TREAT_NONE)
		c->twin = TWIN_NONE;
	if (t == TREAT_UD)
		c->twin = TWIN_UD;
	if (t != TREAT_VALUE)
		return;
	c->any_gprs = i->row->impl_w;
	c->any_bytes = 4;
	/* Random numbers may not be there in time. */
	if (i->nops && i->op[0].kind == OPK_GPR) {
		c->any_gprs = BIT(i->op[0].reg);
		c->any_bytes = i->opsize;
		c->undefined |= RFLAGS_CF;
	}
}

/* One instruction of some row, fit to follow what is there. */
static bool pick(struct work *w, struct insn *i, unsigned int *row)
{
	const struct insn_row *rows;
	enum treatment t;
	const char *reason;
	unsigned int n;

	rows = insn_rows(&n);
	for (;;) {
		*row = 1 + rng_below(&w->g, n - 1);
		if (!form_of(*row)->used || !for_mode(&rows[*row], w->mode))
			continue;
		t = treatment_of(&rows[*row], &reason);
		if (w->out->n && (t != TREAT_NATIVE || saves_x87(&rows[*row])))
			return false;
		if (!gen_form(&w->g, *row, w->mode, i))
			continue;
		break;
	}
	if (!flags_ok(w->c, i->row))
		return false;
	treat(w->c, i, t);
	return true;
}

/*
 * VMCALL with 66, F2 or F3, which is undefined: the processor has called the
 * host's hypervisor before it looks, and that answers what it likes.
 */
static bool calls_hypervisor(const struct insn *i)
{
	return i->row->id == ID_INVALID && i->off_opcode &&
	       i->bytes[i->off_opcode - 1] == 0x0f && i->opcode == 0x01 &&
	       i->bytes[i->off_opcode + 1] == 0xc1;
}

static void noise(struct work *w)
{
	const struct insn_row *rows;
	const char *reason;
	enum treatment t;
	struct insn i;
	unsigned int n;

	rows = insn_rows(&n);
	gen_noise(&w->g, w->mode, &i);
	t = treatment_of(i.row, &reason);
	treat(w->c, &i, t);
	/* Not offered, EVEX and XOP for instance; the host may have them. */
	if (calls_hypervisor(&i) ||
	    (i.row->id == ID_INVALID &&
	     (zydis_knows(w->mode, i.bytes) ||
	      (i.off_opcode >= 3 && i.bytes[i.off_opcode - 3] == 0x8f) ||
	      (i.off_opcode >= 4 && i.bytes[i.off_opcode - 4] == 0x62))))
		w->c->twin = TWIN_UD;
	flags_ok(w->c, i.row);
	append(w, &i, i.row - rows);
}

/* Anywhere in the code pages, often across two of them. */
static void place(struct work *w)
{
	struct fuzz_case *c = w->c;
	bool high = w->mode == CODE64 && one_in(&w->g, 3);
	uint64_t base = high ? HIGH_CODE : ARENA_CODE;
	unsigned int page = rng_below(&w->g, CODE_PAGES);
	unsigned int room = PAGE_SIZE - 2 * CASE_BYTES;
	unsigned int off = rng_below(&w->g, room);

	if (one_in(&w->g, 4) && (page < CODE_PAGES - 1 || one_in(&w->g, 8)))
		off = PAGE_SIZE - 1 - rng_below(&w->g, 20);
	c->rip = base + page * PAGE_SIZE + off;
}

bool gen_stray(enum code_size mode, const uint8_t *code, unsigned int len)
{
	const char *reason;
	struct insn i;

	for (unsigned int at = 0; at < len; at += i.len) {
		if (insn_decode(code + at, 15, mode, &i) != DECODE_OK)
			return false;
		if (treatment_of(i.row, &reason) != TREAT_NATIVE ||
		    saves_x87(i.row) || i.row->flags_u ||
		    (i.row->id == ID_INT && i.imm == 0x80) ||
		    calls_hypervisor(&i) ||
		    (i.row->id == ID_INVALID && zydis_knows(mode, i.bytes)))
			return true;
	}
	return false;
}

/* JMP far with a 32-bit offset, to 64-bit code. */
static void exit16(uint8_t *p, uint32_t to)
{
	const uint16_t sel = SEL_CODE64;

	p[0] = 0x66;
	p[1] = 0xea;
	memcpy(p + 2, &to, 4);
	memcpy(p + 6, &sel, 2);
}

void gen_finish(struct fuzz_case *c)
{
	bool high = c->rip >= HIGH_CODE;
	uint64_t out = high ? OUT_HIGH : OUT;
	int32_t rel;

	out += c->mode == CODE32 ? OUT_32 : OUT_64;
	if (c->mode == CODE16) {
		exit16(c->bytes + c->len, out);
		c->len += case_exit_len(c);
		return;
	}
	c->bytes[c->len] = 0xe9;
	rel = out - (c->rip + c->len + 5);
	memcpy(c->bytes + c->len + 1, &rel, 4);
	c->len += case_exit_len(c);
}

/* XSAVE and XRSTOR of components that only the host has have no twin. */
static void settle_xsave(struct generated *out)
{
	unsigned int n;
	const struct insn_row *row = &insn_rows(&n)[out->row[0]];

	if (saves_x87(row) && (row->impl_r & BIT(RAX)) &&
	    ((uint32_t)out->c.gpr[RAX] & ~7u || (uint32_t)out->c.gpr[RDX]))
		out->c.twin = TWIN_NONE;
}

/* An instruction of a loop's body, mostly at a base register of another one. */
static bool pick_for_loop(struct work *w, struct insn *i, unsigned int *row)
{
	const uint64_t undefined = w->c->undefined;
	const uint8_t twin = w->c->twin;

	for (unsigned int n = 0; n < 12; n++) {
		bool joins = !w->bases || one_in(&w->g, 6);

		w->c->undefined = undefined;
		w->c->twin = twin;
		if (!pick(w, i, row) || is_branch(i) ||
		    (!w->out->n && saves_x87(i->row)))
			continue;
		if (joins || (i->has_mem && (w->bases & BIT(i->base & 31))))
			return true;
	}
	w->c->undefined = undefined;
	w->c->twin = twin;
	return false;
}

/* General registers that the case's code has anything to do with. */
static uint32_t regs_of_case(const struct fuzz_case *c)
{
	uint32_t regs = BIT(RSP);
	struct insn i;

	for (unsigned int at = 0; at < c->len; at += i.len) {
		if (insn_decode(c->bytes + at, 15, c->mode, &i) != DECODE_OK)
			return MASK(NR_GPRS);
		regs |= i.row->impl_r | i.row->impl_w;
		if (i.base < NR_GPRS)
			regs |= BIT(i.base);
		if (i.index < NR_GPRS)
			regs |= BIT(i.index);
		for (unsigned int n = 0; n < i.nops; n++)
			if (i.op[n].kind == OPK_GPR)
				regs |= BIT(i.op[n].reg);
	}
	return regs;
}

/* LEA reg, [reg + stride] for one of the base registers. */
static void step(struct work *w)
{
	static const int16_t strides[] = {
		1, 4, 8, 16, 32, 64, 256, 768, 1600
	};
	struct fuzz_case *c = w->c;
	unsigned int reg = rng_below(&w->g, c->mode == CODE64 ? 16 : 8);
	int32_t stride = strides[rng_below(&w->g, ARRAY_SIZE(strides))];

	for (unsigned int n = 0; n < 16 && !(w->bases & BIT(reg)); n++)
		reg = (reg + 1) & (c->mode == CODE64 ? 15 : 7);
	if (!(w->bases & BIT(reg)))
		return;
	if (one_in(&w->g, 3))
		stride = -stride;
	if (c->mode == CODE64)
		c->bytes[c->len++] = 0x48 | (reg & 8) >> 1 | reg >> 3;
	c->bytes[c->len++] = 0x8d;
	c->bytes[c->len++] = 0x80 | (reg & 7) << 3 | (reg & 7);
	if ((reg & 7) == RSP)
		c->bytes[c->len++] = 0x24;
	memcpy(c->bytes + c->len, &stride, 4);
	c->len += 4;
}

/* What comes behind: step, counter, jump back, jump out. */
#define CLOSE_BYTES 24

/*
 * ADD and CMP of all registers but @used and @counter, two by two, and of RSP:
 * the loop leaves none to the translator.
 */
static void use_all(struct work *w, uint32_t used, unsigned int counter)
{
	struct fuzz_case *c = w->c;
	const unsigned int nr = c->mode == CODE64 ? 16 : 8;
	uint32_t rest = MASK(nr) & ~used & ~BIT(counter);
	unsigned int src = RSP, dst;

	if (c->len + 3 * nr / 2 + 3 + CLOSE_BYTES > CASE_BYTES)
		return;
	while (rest) {
		dst = __builtin_ctz(rest);
		rest &= rest - 1;
		if (c->mode == CODE64)
			c->bytes[c->len++] = 0x48 | (src & 8) >> 1 | dst >> 3;
		c->bytes[c->len++] = one_in(&w->g, 2) ? 0x01 : 0x39;
		c->bytes[c->len++] = 0xc0 | (src & 7) << 3 | (dst & 7);
		if (!rest)
			return;
		src = __builtin_ctz(rest);
		rest &= rest - 1;
		/* An odd one is compared with the last. */
		if (!rest)
			rest = BIT(dst);
	}
}

/* SUB counter, 1; JNZ back, with a counter that nothing else touches. */
static void close_loop(struct work *w)
{
	struct fuzz_case *c = w->c;
	unsigned int reg = rng_below(&w->g, c->mode == CODE64 ? 16 : 8);
	uint32_t used = regs_of_case(c);

	if (w->out->c.twin == TWIN_UD)
		return;
	for (unsigned int n = 0; n < 16 && (used & BIT(reg)); n++)
		reg = (reg + 1) & (c->mode == CODE64 ? 15 : 7);
	if (used & BIT(reg))
		return;
	c->gpr[reg] = 2 + rng_below(&w->g, 10);
	if (one_in(&w->g, 3))
		use_all(w, used, reg);
	if (!one_in(&w->g, 4))
		step(w);
	if (c->mode == CODE64)
		c->bytes[c->len++] = 0x48 | reg >> 3;
	c->bytes[c->len++] = 0x83;
	c->bytes[c->len++] = 0xe8 | (reg & 7);
	c->bytes[c->len++] = 1;
	c->bytes[c->len++] = 0x75;
	c->bytes[c->len] = -(c->len + 1);
	c->len++;
}

bool gen_code16;

void gen_case(uint64_t seed, uint64_t index, struct generated *out)
{
	struct work w = { .g = { seed * 0x9e3779b97f4a7c15 ^
				 index * 0xd6e8feb86659fd93 },
			  .c = &out->c,
			  .out = out };
	unsigned int n, row;
	struct insn i;

	memset(out, 0, sizeof(*out));
	w.mode = one_in(&w.g, 3) ? CODE32 : CODE64;
	if (gen_code16 || index % 8 == 7)
		w.mode = CODE16;
	out->c.mode = w.mode;
	gen_state(&w.g, &out->c);
	place(&w);
	if (one_in(&w.g, 16)) {
		noise(&w);
		if (out->c.seg[SEG_SS])
			out->c.gpr[RSP] =
				ESP16_HIGH | (uint16_t)out->c.gpr[RSP];
		gen_finish(&out->c);
		return;
	}
	n = one_in(&w.g, 3) ? 2 + rng_below(&w.g, 4) : 1;
	w.loop = n > 1 && one_in(&w.g, 3) && w.mode != CODE16;
	while (out->n < n && out->c.len + 30 + 20 + 5 < CASE_BYTES) {
		if (w.loop ? pick_for_loop(&w, &i, &row) : pick(&w, &i, &row))
			append(&w, &i, row);
		if (out->c.twin == TWIN_UD || out->c.any_gprs)
			break;
	}
	if (w.loop)
		close_loop(&w);
	settle_xsave(out);
	if (out->c.seg[SEG_SS])
		out->c.gpr[RSP] = ESP16_HIGH | (uint16_t)out->c.gpr[RSP];
	gen_finish(&out->c);
}
