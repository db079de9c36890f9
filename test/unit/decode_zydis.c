// LIBS: -lZydis
/*
 * The decoder against Zydis over the whole opcode space: validity, length,
 * operands, registers and flags read and written.
 */
#include <string.h>

#include <Zydis/Zydis.h>

#include "test/test.h"
#include "test/unit/decode_zydis_known.h"
#include "test/unit/opcode_walk.h"

static const char *const diff_names[NR_DIFFS] = {
	[DIFF_VALID] = "valid here only",
	[DIFF_INVALID] = "invalid here only",
	[DIFF_LENGTH] = "length",
	[DIFF_ADDRESS] = "address",
	[DIFF_MEM_SIZE] = "memory size",
	[DIFF_MEM_ACCESS] = "memory access",
	[DIFF_GPRS] = "general registers",
	[DIFF_VECS] = "vector registers",
	[DIFF_OPERANDS] = "operands",
	[DIFF_IMM] = "immediate",
	[DIFF_FLAGS] = "flags",
};

static ZydisDecoder decoders[9];
static unsigned long cases, compared, known, unknown;
/* Counts by our mnemonic, for undefined ones by Zydis's behind ours. */
static unsigned long seen[NR_DIFFS][NR_INSN_IDS + ZYDIS_MNEMONIC_MAX_VALUE + 1];

static void report(const struct insn_case *c, enum diff kind,
		   unsigned long long ours, unsigned long long theirs)
{
	unsigned int key = c->insn.row->id;

	if (key == ID_INVALID)
		key = NR_INSN_IDS + c->z.mnemonic;
	if (is_known(c, kind)) {
		known++;
		return;
	}
	unknown++;
	if (seen[kind][key]++)
		return;
	printf("%s: %s/%s ours %#llx theirs %#llx, %d-bit:", diff_names[kind],
	       c->insn.row->name,
	       c->zvalid ? ZydisMnemonicGetString(c->z.mnemonic) : "-", ours,
	       theirs, c->cs * 8);
	for (int i = 0; i < 15; i++)
		printf(" %02x%s", c->bytes[i],
		       i + 1 == c->insn.len ? " |" : "");
	printf("\n");
}

static void expect(const struct insn_case *c, enum diff kind,
		   unsigned long long ours, unsigned long long theirs)
{
	if (ours != theirs)
		report(c, kind, ours, theirs);
}

static unsigned int zydis_access(const ZydisDecodedOperand *op)
{
	unsigned int access = 0;

	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		access |= ACC_R;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		access |= ACC_W;
	/* Written only under a condition: the old value matters. */
	if (op->actions & ZYDIS_OPERAND_ACTION_CONDWRITE)
		access |= ACC_R;
	return access;
}

/* Number of a general register, whatever its width; GPR_NONE if none. */
static unsigned int zydis_gpr(ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);
	unsigned int id = ZydisRegisterGetId(reg);

	if (class == ZYDIS_REGCLASS_GPR8) {
		/* AL CL DL BL, AH CH DH BH, SPL ... R15B in Zydis's order. */
		if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
			return reg - ZYDIS_REGISTER_AH;
		if (reg >= ZYDIS_REGISTER_SPL)
			return reg - ZYDIS_REGISTER_SPL + 4;
		return reg - ZYDIS_REGISTER_AL;
	}
	if (class == ZYDIS_REGCLASS_GPR16 || class == ZYDIS_REGCLASS_GPR32 ||
	    class == ZYDIS_REGCLASS_GPR64)
		return id;
	return GPR_NONE;
}

static bool zydis_is_vector(ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	return class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM;
}

/* The memory operand that ModRM or a moffs describes. */
static const ZydisDecodedOperand *zydis_memory(const struct insn_case *c)
{
	for (int i = 0; i < c->z.operand_count; i++) {
		const ZydisDecodedOperand *op = &c->zop[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    op->encoding != ZYDIS_OPERAND_ENCODING_NONE)
			return op;
	}
	return NULL;
}

static unsigned int zydis_address_reg(ZydisRegister reg)
{
	if (zydis_is_vector(reg))
		return ZydisRegisterGetId(reg);
	return zydis_gpr(reg);
}

static void compare_address(const struct insn_case *c,
			    const ZydisDecodedOperand *m)
{
	const struct insn *insn = &c->insn;
	bool rip_rel = m->mem.base == ZYDIS_REGISTER_RIP ||
		       m->mem.base == ZYDIS_REGISTER_EIP;
	uint64_t mask = MASK(8 * insn->addrsize);

	expect(c, DIFF_ADDRESS, insn->rip_rel, rip_rel);
	expect(c, DIFF_ADDRESS, insn->base, zydis_address_reg(m->mem.base));
	expect(c, DIFF_ADDRESS, insn->index, zydis_address_reg(m->mem.index));
	if (insn->index != GPR_NONE)
		expect(c, DIFF_ADDRESS, 1 << insn->scale,
		       m->mem.scale ? m->mem.scale : 1);
	expect(c, DIFF_ADDRESS, insn->disp & mask, m->mem.disp.value & mask);
	expect(c, DIFF_ADDRESS, insn->seg, ZydisRegisterGetId(m->mem.segment));
}

static void compare_memory(const struct insn_case *c)
{
	const ZydisDecodedOperand *m = zydis_memory(c);
	const struct insn *insn = &c->insn;
	unsigned int access = m ? zydis_access(m) : 0;

	expect(c, DIFF_ADDRESS, insn->has_mem, !!m);
	if (!m || !insn->has_mem)
		return;
	compare_address(c, m);
	if (m->mem.type == ZYDIS_MEMOP_TYPE_AGEN ||
	    m->mem.type == ZYDIS_MEMOP_TYPE_MIB)
		access = 0;
	expect(c, DIFF_MEM_ACCESS, insn->mem_access, access);
	if (access && insn->mem_access)
		expect(c, DIFF_MEM_SIZE, insn->mem_size, m->size / 8);
}

struct regs {
	uint32_t r, w;
};

static void use(struct regs *regs, unsigned int reg, unsigned int access)
{
	if (access & ACC_R)
		regs->r |= 1u << reg;
	if (access & ACC_W)
		regs->w |= 1u << reg;
}

static void zydis_regs(const struct insn_case *c, struct regs *gpr,
		       struct regs *vec)
{
	for (int i = 0; i < c->z.operand_count; i++) {
		const ZydisDecodedOperand *op = &c->zop[i];
		unsigned int access = zydis_access(op);
		ZydisRegister reg = op->reg.value;

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    op->encoding == ZYDIS_OPERAND_ENCODING_NONE &&
		    zydis_gpr(op->mem.base) != GPR_NONE)
			use(gpr, zydis_gpr(op->mem.base), ACC_R);
		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (zydis_gpr(reg) != GPR_NONE)
			use(gpr, zydis_gpr(reg), access);
		/* XMM0 of the legacy blends is not in the encoding. */
		else if (zydis_is_vector(reg) &&
			 op->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
			 op->encoding != ZYDIS_OPERAND_ENCODING_NONE)
			use(vec, ZydisRegisterGetId(reg), access);
	}
}

static void compare_regs(const struct insn_case *c)
{
	const struct insn_row *row = c->insn.row;
	struct regs zg = { 0 }, zv = { 0 }, v = { 0 };
	struct regs g = { row->impl_r, row->impl_w };

	zydis_regs(c, &zg, &zv);
	for (int i = 0; i < c->insn.nops; i++) {
		const struct operand *op = &c->insn.op[i];

		if (op->kind == OPK_GPR)
			use(&g, op->reg, op->access);
		else if (op->kind == OPK_VEC)
			use(&v, op->reg, op->access);
	}
	/* Written in part may count as read too; CX only with REP. */
	if (!c->insn.rep && row->attr & IA_REP) {
		g.r &= ~BIT(RCX);
		g.w &= ~BIT(RCX);
		zg.r &= ~BIT(RCX);
		zg.w &= ~BIT(RCX);
	}
	zg.r |= g.r & zg.w & row->impl_w;
	expect(c, DIFF_GPRS, g.r | g.w << 16, zg.r | zg.w << 16);
	/* Scalar results merge into their register. */
	zv.r |= v.r & zv.w;
	expect(c, DIFF_VECS, v.r | (uint64_t)v.w << 32,
	       zv.r | (uint64_t)zv.w << 32);
}

static unsigned int zydis_kind(const ZydisDecodedOperand *op)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return OPK_MEM;
	case ZYDIS_OPERAND_TYPE_POINTER:
		return OPK_FAR;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return op->imm.is_relative ? OPK_REL : OPK_IMM;
	default:
		break;
	}
	switch (ZydisRegisterGetClass(op->reg.value)) {
	case ZYDIS_REGCLASS_X87:
		return OPK_ST;
	case ZYDIS_REGCLASS_MMX:
		return OPK_MMX;
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
		return OPK_VEC;
	case ZYDIS_REGCLASS_SEGMENT:
		return OPK_SEG;
	case ZYDIS_REGCLASS_CONTROL:
		return OPK_CR;
	case ZYDIS_REGCLASS_DEBUG:
		return OPK_DR;
	default:
		return OPK_GPR;
	}
}

/* Operands in the encoding, in order, as kind and register. */
static void compare_operands(const struct insn_case *c)
{
	unsigned int ours[MAX_OPERANDS] = { 0 }, theirs[8] = { 0 };
	unsigned int n = 0, zn = 0;

	for (int i = 0; i < c->insn.nops; i++) {
		const struct operand *op = &c->insn.op[i];

		if (op->enc != ENC_NONE)
			ours[n++] = op->kind << 8 | op->reg;
	}
	for (int i = 0; i < c->z.operand_count; i++) {
		const ZydisDecodedOperand *op = &c->zop[i];
		unsigned int kind = zydis_kind(op), reg = 0;

		if (op->encoding == ZYDIS_OPERAND_ENCODING_NONE &&
		    kind != OPK_FAR)
			continue;
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
			reg = kind == OPK_GPR
				      ? zydis_gpr(op->reg.value)
				      : (unsigned int)ZydisRegisterGetId(
						op->reg.value);
		theirs[zn++] = kind << 8 | reg;
	}
	expect(c, DIFF_OPERANDS, n, zn);
	for (unsigned int i = 0; i < n && i < zn; i++)
		expect(c, DIFF_OPERANDS, ours[i], theirs[i]);
}

static void compare_imm(const struct insn_case *c)
{
	for (int i = 0; i < c->z.operand_count; i++) {
		const ZydisDecodedOperand *op = &c->zop[i];
		unsigned int shift = 64 - op->size;

		if (op->type == ZYDIS_OPERAND_TYPE_POINTER) {
			expect(c, DIFF_IMM, c->insn.imm, op->ptr.offset);
			expect(c, DIFF_IMM, c->insn.imm2, op->ptr.segment);
			return;
		}
		if (op->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			continue;
		if (!op->size)
			shift = 0;
		expect(c, DIFF_IMM, (uint64_t)c->insn.imm << shift,
		       op->imm.value.u << shift);
		return;
	}
}

/*
 * Zydis marks conditionally written flags as written only, and the string
 * compares' flags as always written: a flag that our row reads and writes may
 * be missing from its reads.
 */
static void compare_flags(const struct insn_case *c)
{
	const struct insn_row *row = c->insn.row;
	const ZydisAccessedFlags *f = c->z.cpu_flags;
	const unsigned int all = FL_STATUS | FL_DF;
	unsigned int r, w, u;

	r = f ? f->tested & all : 0;
	w = f ? (f->modified | f->set_0 | f->set_1) & all : 0;
	u = f ? f->undefined & all : 0;
	r |= row->flags_r & (row->flags_w | row->flags_u) & (w | u);
	expect(c, DIFF_FLAGS,
	       row->flags_r | row->flags_w << 12 | (uint64_t)row->flags_u << 24,
	       r | w << 12 | (uint64_t)u << 24);
}

static bool zydis_unoffered(const struct insn_case *c)
{
	return c->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       c->z.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX;
}

static bool our_invalid(const struct insn_case *c)
{
	return c->insn.row->action == ACT_UD && c->insn.row->id == ID_INVALID;
}

static void visit(const uint8_t bytes[15], enum code_size cs)
{
	static struct insn_case c;

	c.bytes = bytes;
	c.cs = cs;
	cases++;
	c.result = insn_decode(bytes, 15, cs, &c.insn);
	CHECK_EQ(c.result, DECODE_OK);
	c.zvalid = ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&decoders[cs], bytes, 15, &c.z, c.zop));
	if (!c.zvalid) {
		if (!our_invalid(&c))
			report(&c, DIFF_VALID, 0, 0);
		return;
	}
	expect(&c, DIFF_LENGTH, c.insn.len, c.z.length);
	if (our_invalid(&c)) {
		if (!zydis_unoffered(&c))
			report(&c, DIFF_INVALID, 0, 0);
		return;
	}
	if (c.insn.row->action == ACT_UD)
		return;
	compared++;
	compare_memory(&c);
	compare_regs(&c);
	compare_operands(&c);
	compare_imm(&c);
	compare_flags(&c);
}

static void init_decoder(enum code_size cs, ZydisMachineMode mode,
			 ZydisStackWidth width)
{
	static const ZydisDecoderMode off[] = {
		ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYDIS_DECODER_MODE_KNC,
		ZYDIS_DECODER_MODE_MPX,		 ZYDIS_DECODER_MODE_CLDEMOTE,
		ZYDIS_DECODER_MODE_WBNOINVD,	 ZYDIS_DECODER_MODE_CET,
	};

	ZydisDecoderInit(&decoders[cs], mode, width);
	for (size_t i = 0; i < sizeof(off) / sizeof(*off); i++)
		ZydisDecoderEnableMode(&decoders[cs], off[i], ZYAN_FALSE);
}

int main(void)
{
	init_decoder(CODE16, ZYDIS_MACHINE_MODE_LEGACY_16,
		     ZYDIS_STACK_WIDTH_16);
	init_decoder(CODE32, ZYDIS_MACHINE_MODE_LEGACY_32,
		     ZYDIS_STACK_WIDTH_32);
	init_decoder(CODE64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	walk_opcodes(CODE64, visit);
	walk_opcodes(CODE32, visit);
	walk_opcodes(CODE16, visit);
	printf("%lu cases, %lu compared in full, %lu known differences, "
	       "%lu mismatches\n",
	       cases, compared, known, unknown);
	CHECK_EQ(unknown, 0);
	return test_done();
}
