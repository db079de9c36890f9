#include "x86/table.h"

/* Operands from a row's letters (SDM 2 "Opcode Map", key to abbreviations). */

struct reader {
	struct insn *insn;
	const uint8_t *p, *start;
	unsigned int rex;
	unsigned int sizes; /* column of operand_sizes[] */
};

static uint16_t size_of(const struct reader *r, unsigned int size)
{
	return operand_sizes[size][r->sizes];
}

/* Loads of the exact width: wider ones would wait for the copy's stores. */
static int64_t get_le(const uint8_t *p, unsigned int len, bool sign)
{
	uint16_t w;
	uint32_t d;
	int64_t q;

	switch (len) {
	case 1:
		return sign ? (int8_t)*p : *p;
	case 2:
		__builtin_memcpy(&w, p, 2);
		return sign ? (int16_t)w : w;
	case 4:
		__builtin_memcpy(&d, p, 4);
		return sign ? (int32_t)d : (int64_t)d;
	default:
		__builtin_memcpy(&q, p, 8);
		return q;
	}
}

/* An immediate or branch displacement of @len bytes. */
static void get_imm(struct reader *r, struct operand *op, unsigned int kind,
		    unsigned int len, bool sign)
{
	struct insn *insn = r->insn;

	op->kind = kind;
	op->enc = ENC_IMM;
	insn->imm = get_le(r->p, len, sign);
	insn->off_imm = r->p - r->start;
	insn->imm_len = len;
	r->p += len;
}

static void gpr(const struct reader *r, struct operand *op, unsigned int enc,
		unsigned int reg)
{
	op->kind = OPK_GPR;
	op->enc = enc;
	op->reg = reg;
	/* Without REX, byte registers 4 to 7 are AH, CH, DH, BH. */
	if (op->size == 1 && reg - 4u < 4 && !r->insn->rex) {
		op->reg = reg - 4;
		op->high8 = true;
	}
}

static void fixed(struct operand *op, unsigned int kind, unsigned int reg)
{
	op->kind = kind;
	op->enc = ENC_NONE;
	op->reg = reg;
}

static void coded(struct operand *op, unsigned int kind, unsigned int enc,
		  unsigned int reg)
{
	op->kind = kind;
	op->enc = enc;
	op->reg = reg;
}

static void memory(struct reader *r, struct operand *op, unsigned int size)
{
	op->kind = OPK_MEM;
	op->enc = ENC_RM;
	op->size = size;
	r->insn->mem_access = op->access;
	r->insn->mem_size = op->access ? size : 0;
}

/* MOV's memory operand at an absolute address in the instruction. */
static void moffs(struct reader *r, struct operand *op, unsigned int size)
{
	struct insn *insn = r->insn;

	insn->has_mem = true;
	insn->disp_len = insn->addrsize;
	insn->off_disp = r->p - r->start;
	insn->disp = get_le(r->p, insn->addrsize, false);
	r->p += insn->addrsize;
	memory(r, op, size);
	op->enc = ENC_MOFFS;
}

static void far_pointer(struct reader *r, struct operand *op)
{
	unsigned int len = r->insn->opsize == 2 ? 2 : 4;

	get_imm(r, op, OPK_FAR, len, false);
	r->insn->imm2 = get_le(r->p, 2, false);
	r->p += 2;
	r->insn->imm_len += 2;
}

static void string(struct operand *op, unsigned int kind, unsigned int size)
{
	op->kind = kind;
	op->size = size;
}

/* CR0, CR2, CR3, CR4, CR8 exist, and DR0 to DR7. */
static bool system_reg(struct reader *r, struct operand *op, unsigned int class)
{
	unsigned int reg = r->insn->reg;

	if (class == OC_S) {
		reg &= 7;
		coded(op, OPK_SEG, ENC_REG, reg);
		return reg <= SEG_GS && !(reg == SEG_CS && op->access & ACC_W);
	}
	coded(op, class == OC_CR ? OPK_CR : OPK_DR, ENC_REG, reg);
	if (class == OC_CR)
		return BIT(reg) & (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8));
	return reg < 8;
}

/* Vector, MMX and x87 registers. */
static bool media_reg(struct reader *r, struct operand *op, unsigned int class)
{
	struct insn *insn = r->insn;
	bool mode64 = insn->code_size == CODE64;

	switch (class) {
	case OC_ST0:
		fixed(op, OPK_ST, 0);
		return true;
	case OC_STI:
		coded(op, OPK_ST, ENC_RM, insn->modrm & 7);
		return true;
	case OC_P:
		coded(op, OPK_MMX, ENC_REG, insn->reg & 7);
		return true;
	case OC_Q:
	case OC_N:
		coded(op, OPK_MMX, ENC_RM, insn->rm & 7);
		return insn->mod == 3;
	case OC_V:
		coded(op, OPK_VEC, ENC_REG, insn->reg);
		return true;
	case OC_W:
	case OC_U:
		coded(op, OPK_VEC, ENC_RM, insn->rm);
		return insn->mod == 3;
	case OC_H:
		coded(op, OPK_VEC, ENC_VVVV, insn->vvvv);
		return true;
	case OC_L:
		insn->imm = *r->p;
		insn->off_imm = r->p - r->start;
		insn->imm_len = 1;
		coded(op, OPK_VEC, ENC_IS4, *r->p++ >> 4 & (mode64 ? 15 : 7));
		return true;
	}
	return false;
}

/* Fixed registers and constants, immediates, addresses and strings. */
static bool other_operand(struct reader *r, struct operand *op,
			  const struct operand_spec *spec)
{
	unsigned int class = spec->class;
	unsigned int mem_size = size_of(r, spec->mem_size);

	switch (class) {
	case OC_AX:
	case OC_CX:
	case OC_DX:
		fixed(op, OPK_GPR, class - OC_AX + RAX);
		return true;
	case OC_ONE:
		fixed(op, OPK_IMM, 0);
		r->insn->imm = 1;
		return true;
	case OC_I:
	case OC_IS:
		get_imm(r, op, OPK_IMM, op->size, class == OC_IS);
		return true;
	case OC_I2:
		op->kind = OPK_IMM;
		op->enc = ENC_IMM;
		r->insn->imm2 = *r->p++;
		r->insn->imm_len++;
		return true;
	case OC_J:
		get_imm(r, op, OPK_REL, op->size, true);
		return true;
	case OC_A:
		far_pointer(r, op);
		return true;
	case OC_O:
		moffs(r, op, mem_size);
		return true;
	case OC_SES ... OC_SGS:
		fixed(op, OPK_SEG, SEG_ES + class - OC_SES);
		return true;
	case OC_X:
		string(op, OPK_STR_SRC, mem_size);
		return true;
	case OC_Y:
		string(op, OPK_STR_DST, mem_size);
		return true;
	default:
		return system_reg(r, op, class);
	}
}

/* Returns false if the operand does not exist. */
static bool get_operand(struct reader *r, struct operand *op,
			const struct operand_spec *spec)
{
	struct insn *insn = r->insn;
	unsigned int class = spec->class;

	op->size = size_of(r, spec->reg_size);
	switch (class) {
	case OC_E:
	case OC_W:
	case OC_Q:
	case OC_M:
		if (insn->mod != 3)
			memory(r, op, size_of(r, spec->mem_size));
		else if (class == OC_E)
			gpr(r, op, ENC_RM, insn->rm);
		else
			return media_reg(r, op, class);
		return true;
	case OC_R:
		gpr(r, op, ENC_RM, insn->rm);
		return insn->mod == 3;
	case OC_G:
		gpr(r, op, ENC_REG, insn->reg);
		return true;
	case OC_B:
		gpr(r, op, ENC_VVVV, insn->vvvv);
		return true;
	case OC_Z:
		gpr(r, op, ENC_OPCODE, (insn->opcode & 7) | (r->rex & 1) << 3);
		return true;
	default:
		if (class >= OC_ST0)
			return media_reg(r, op, class);
		return other_operand(r, op, spec);
	}
}

/* Operands whose size W selects; it is ignored outside 64-bit mode. */
static bool is_general(unsigned int class)
{
	return class == OC_E || class == OC_R || class == OC_G || class == OC_B;
}

/* VEX.vvvv must be 1111b where no operand uses it. */
static bool uses_vvvv(unsigned int class)
{
	return class == OC_B || class == OC_H;
}

/* Whether two rows of one opcode have the same condition. */
static bool same_condition(const struct insn_row *a, const struct insn_row *b)
{
	const uint32_t differ = insn_conditions[a - insn_table] ^
				insn_conditions[b - insn_table];

	return !(differ & ~BIT(KEY_FIRST));
}

/* A shift by a constant zero writes no flags: it has a row of its own. */
static void check_count(struct insn *insn)
{
	const struct insn_row *row = insn->row;

	if (insn->imm & (insn->opsize == 8 ? 0x3f : 0x1f))
		return;
	do {
		row++;
	} while (!(row->attr & IA_COUNT0) || !same_condition(row, insn->row));
	insn->row = row;
}

const uint8_t *operands_decode(struct insn *insn, const uint8_t *p,
			       const uint8_t *start, unsigned int rex)
{
	struct reader r = { .insn = insn,
			    .p = p,
			    .start = start,
			    .rex = rex,
			    .sizes = operand_size_index(insn) };
	const struct insn_row *row = insn->row;
	bool valid = true, vvvv = !insn->vvvv;
	unsigned int i;

	if (insn->code_size != CODE64) {
		insn->vvvv &= 7;
		/* W selects the size of general registers, which is fixed. */
		if (row->impl_r)
			insn->vex_w = 0;
	}
	for (i = 0; i < MAX_OPERANDS && row->spec[i]; i++) {
		const struct operand_spec *spec = &operand_specs[row->spec[i]];
		struct operand *op = &insn->op[i];

		op->access = row->acc[i];
		valid &= get_operand(&r, op, spec);
		vvvv |= uses_vvvv(spec->class);
		if (insn->code_size != CODE64 && is_general(spec->class))
			insn->vex_w = 0;
	}
	insn->nops = i;
	if (row->attr & IA_SHIFT)
		check_count(insn);
	if (!valid || !vvvv)
		insn->row = INSN_UNDEFINED;
	return r.p;
}
