// LIBS: -lZydis
/*
 * The allow list, proven over the opcode space: whatever may reach the code
 * cache belongs to a category of Zydis's that is harmless in ring 3, is not
 * privileged, and touches no register and no memory but what a copied
 * instruction may touch.  Nothing here looks at x86/insn.def.
 */
#include "test/unit/opcode_walk.h"

#include <Zydis/Zydis.h>

#include "test/test.h"

static ZydisDecoder decoders[9];
static unsigned long cases, allowed[ACT_UD + 1], violations;

static const bool copy_categories[ZYDIS_CATEGORY_MAX_VALUE + 1] = {
	[ZYDIS_CATEGORY_ADOX_ADCX] = true, [ZYDIS_CATEGORY_AES] = true,
	[ZYDIS_CATEGORY_AVX] = true,	   [ZYDIS_CATEGORY_AVX2] = true,
	[ZYDIS_CATEGORY_BINARY] = true,	   [ZYDIS_CATEGORY_BITBYTE] = true,
	[ZYDIS_CATEGORY_BMI1] = true,	   [ZYDIS_CATEGORY_BMI2] = true,
	[ZYDIS_CATEGORY_BROADCAST] = true, [ZYDIS_CATEGORY_CLFLUSHOPT] = true,
	[ZYDIS_CATEGORY_CLWB] = true,	   [ZYDIS_CATEGORY_CMOV] = true,
	[ZYDIS_CATEGORY_CONVERT] = true,   [ZYDIS_CATEGORY_DATAXFER] = true,
	[ZYDIS_CATEGORY_FCMOV] = true,	   [ZYDIS_CATEGORY_GFNI] = true,
	[ZYDIS_CATEGORY_LOGICAL] = true,   [ZYDIS_CATEGORY_LOGICAL_FP] = true,
	[ZYDIS_CATEGORY_LZCNT] = true,	   [ZYDIS_CATEGORY_MMX] = true,
	[ZYDIS_CATEGORY_PCLMULQDQ] = true, [ZYDIS_CATEGORY_RDRAND] = true,
	[ZYDIS_CATEGORY_RDSEED] = true,	   [ZYDIS_CATEGORY_ROTATE] = true,
	[ZYDIS_CATEGORY_SEMAPHORE] = true, [ZYDIS_CATEGORY_SETCC] = true,
	[ZYDIS_CATEGORY_SHA] = true,	   [ZYDIS_CATEGORY_SHIFT] = true,
	[ZYDIS_CATEGORY_SSE] = true,	   [ZYDIS_CATEGORY_STTNI] = true,
	[ZYDIS_CATEGORY_VAES] = true,	   [ZYDIS_CATEGORY_VEX] = true,
	[ZYDIS_CATEGORY_VFMA] = true,	   [ZYDIS_CATEGORY_VPCLMULQDQ] = true,
	[ZYDIS_CATEGORY_X87_ALU] = true,
};

/* Single instructions of categories that hold others as well. */
static bool copy_mnemonic(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_LAHF:
	case ZYDIS_MNEMONIC_SAHF:
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
		return true;
	default:
		return false;
	}
}

static bool copy_register(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
	case ZYDIS_REGCLASS_X87:
	case ZYDIS_REGCLASS_MMX:
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_FLAGS:
		return true;
	default:
		break;
	}
	switch (reg) {
	case ZYDIS_REGISTER_MXCSR:
	case ZYDIS_REGISTER_X87CONTROL:
	case ZYDIS_REGISTER_X87STATUS:
	case ZYDIS_REGISTER_X87TAG:
		return true;
	default:
		return false;
	}
}

/* Registers and at most one memory operand, encoded by ModRM or a moffs. */
static bool copy_operands(const ZydisDecodedInstruction *z,
			  const ZydisDecodedOperand *ops)
{
	unsigned int memory = 0;

	for (int i = 0; i < z->operand_count; i++) {
		switch (ops[i].type) {
		case ZYDIS_OPERAND_TYPE_REGISTER:
			if (!copy_register(ops[i].reg.value))
				return false;
			break;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			memory++;
			if (ops[i].encoding == ZYDIS_OPERAND_ENCODING_NONE)
				return false;
			break;
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			if (ops[i].imm.is_relative)
				return false;
			break;
		default:
			return false;
		}
	}
	return memory <= 1;
}

/* Status flags only: neither DF nor a system flag is written. */
static bool copy_flags(const ZydisDecodedInstruction *z)
{
	const ZydisAccessedFlags *f = z->cpu_flags;

	return !f || !((f->modified | f->set_0 | f->set_1 | f->undefined) &
		       ~(uint32_t)FL_STATUS);
}

static bool string_mnemonic(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		return true;
	default:
		return false;
	}
}

static bool stack_mnemonic(ZydisMnemonic mnemonic)
{
	return mnemonic == ZYDIS_MNEMONIC_PUSH ||
	       mnemonic == ZYDIS_MNEMONIC_POP ||
	       mnemonic == ZYDIS_MNEMONIC_LEAVE;
}

static bool segment_operand(const ZydisDecodedInstruction *z,
			    const ZydisDecodedOperand *ops)
{
	for (int i = 0; i < z->operand_count; i++) {
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(ops[i].reg.value) ==
			    ZYDIS_REGCLASS_SEGMENT)
			return true;
	}
	return false;
}

static bool branch_category(const ZydisDecodedInstruction *z)
{
	if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	return z->meta.category == ZYDIS_CATEGORY_CALL ||
	       z->meta.category == ZYDIS_CATEGORY_RET ||
	       z->meta.category == ZYDIS_CATEGORY_COND_BR ||
	       z->meta.category == ZYDIS_CATEGORY_UNCOND_BR;
}

static bool nop_category(const ZydisDecodedInstruction *z)
{
	return z->meta.category == ZYDIS_CATEGORY_NOP ||
	       z->meta.category == ZYDIS_CATEGORY_WIDENOP ||
	       z->meta.category == ZYDIS_CATEGORY_PREFETCH ||
	       z->meta.category == ZYDIS_CATEGORY_PREFETCHWT1 ||
	       z->mnemonic == ZYDIS_MNEMONIC_PAUSE;
}

static bool may_run(enum insn_action action, const ZydisDecodedInstruction *z,
		    const ZydisDecodedOperand *ops)
{
	if (z->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return false;
	switch (action) {
	case ACT_COPY:
		return (copy_categories[z->meta.category] ||
			copy_mnemonic(z->mnemonic)) &&
		       copy_operands(z, ops) && copy_flags(z);
	case ACT_STACK:
		return stack_mnemonic(z->mnemonic) && !segment_operand(z, ops);
	case ACT_STRING:
		return z->meta.category == ZYDIS_CATEGORY_STRINGOP &&
		       string_mnemonic(z->mnemonic);
	case ACT_BRANCH:
		return branch_category(z);
	case ACT_NOP:
		return nop_category(z);
	default:
		return true;
	}
}

static void show(const uint8_t *bytes, const struct insn *insn,
		 const char *theirs)
{
	printf("%s/%s may not run as action %u, %d-bit:", insn->row->name,
	       theirs, insn->row->action, insn->code_size * 8);
	for (int i = 0; i < insn->len; i++)
		printf(" %02x", bytes[i]);
	printf("\n");
}

static void visit(const uint8_t bytes[15], enum code_size cs)
{
	static ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	static ZydisDecodedInstruction z;
	static struct insn insn;
	bool ok;

	cases++;
	insn_decode(bytes, 15, cs, &insn);
	allowed[insn.row->action]++;
	if (insn.row->action == ACT_HELPER || insn.row->action == ACT_UD)
		return;
	ok = ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&decoders[cs], bytes, 15, &z, ops));
	if (ok && z.length == insn.len && may_run(insn.row->action, &z, ops))
		return;
	if (violations++ < 100)
		show(bytes, &insn,
		     ok ? ZydisMnemonicGetString(z.mnemonic) : "undefined");
}

static void init_decoder(enum code_size cs, ZydisMachineMode mode,
			 ZydisStackWidth width)
{
	ZydisDecoderInit(&decoders[cs], mode, width);
	/* On processors without them these are NOPs. */
	ZydisDecoderEnableMode(&decoders[cs], ZYDIS_DECODER_MODE_MPX,
			       ZYAN_FALSE);
	ZydisDecoderEnableMode(&decoders[cs], ZYDIS_DECODER_MODE_CET,
			       ZYAN_FALSE);
	ZydisDecoderEnableMode(&decoders[cs], ZYDIS_DECODER_MODE_CLDEMOTE,
			       ZYAN_FALSE);
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
	printf("%lu cases: %lu copied, %lu stack, %lu string, %lu branch, "
	       "%lu nop, %lu helper, %lu undefined\n",
	       cases, allowed[ACT_COPY], allowed[ACT_STACK],
	       allowed[ACT_STRING], allowed[ACT_BRANCH], allowed[ACT_NOP],
	       allowed[ACT_HELPER], allowed[ACT_UD]);
	CHECK(allowed[ACT_COPY] > 0 && allowed[ACT_HELPER] > 0);
	CHECK_EQ(violations, 0);
	return test_done();
}
