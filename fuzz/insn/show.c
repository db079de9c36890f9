#include <Zydis/Zydis.h>

#include "fuzz/insn/case.h"

static ZydisMachineMode machine_mode(enum code_size mode)
{
	if (mode == CODE64)
		return ZYDIS_MACHINE_MODE_LONG_64;
	return mode == CODE32 ? ZYDIS_MACHINE_MODE_LEGACY_32
			      : ZYDIS_MACHINE_MODE_LEGACY_16;
}

static ZydisStackWidth stack_width(enum code_size mode)
{
	return mode == CODE64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32;
}

bool zydis_knows(enum code_size mode, const uint8_t bytes[15])
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	ZydisDecoder d;

	ZydisDecoderInit(&d, machine_mode(mode), stack_width(mode));
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, bytes, 15, &z, ops));
}

void case_disassemble(FILE *f, const struct fuzz_case *c)
{
	ZydisDisassembledInstruction d;
	const ZydisMachineMode mode = machine_mode(c->mode);
	unsigned int at = 0;

	while (at < c->len) {
		bool ok = ZYAN_SUCCESS(ZydisDisassembleIntel(
			mode, c->rip + at, c->bytes + at, c->len - at, &d));
		unsigned int len = ok ? d.info.length : 1;

		fprintf(f, "# %8llx:", (unsigned long long)c->rip + at);
		for (unsigned int n = 0; n < len; n++)
			fprintf(f, " %02x", c->bytes[at + n]);
		fprintf(f, "  %s\n", ok ? d.text : "?");
		at += len;
	}
}
