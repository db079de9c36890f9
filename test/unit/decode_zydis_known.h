#pragma once

#include <Zydis/Zydis.h>

#include "x86/insn.h"

/* One encoding, as the decoder and as Zydis see it. */
struct insn_case {
	const uint8_t *bytes;
	enum code_size cs;
	enum decode_result result;
	struct insn insn;
	bool zvalid;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand zop[ZYDIS_MAX_OPERAND_COUNT];
};

enum diff {
	DIFF_VALID,   /* we decode what Zydis rejects */
	DIFF_INVALID, /* we reject what Zydis decodes */
	DIFF_LENGTH,
	DIFF_ADDRESS, /* base, index, scale, displacement, segment */
	DIFF_MEM_SIZE,
	DIFF_MEM_ACCESS,
	DIFF_GPRS,     /* general registers read and written */
	DIFF_VECS,     /* vector registers read and written */
	DIFF_OPERANDS, /* number and kinds of the visible operands */
	DIFF_IMM,
	DIFF_FLAGS,
	NR_DIFFS,
};

/*
 * Where Zydis 4.0 and the manuals differ, or the two describe the same thing
 * in different ways.
 */

/* Instruction sets that this project does not offer (ACT_UD). */
static bool not_offered(const struct insn_case *c)
{
	if (c->z.meta.isa_ext >= ZYDIS_ISA_EXT_KNC &&
	    c->z.meta.isa_ext <= ZYDIS_ISA_EXT_KNCV)
		return true;
	switch (c->z.meta.category) {
	case ZYDIS_CATEGORY_AMX_TILE:
	case ZYDIS_CATEGORY_CET:
	case ZYDIS_CATEGORY_ENQCMD:
	case ZYDIS_CATEGORY_FMA4:
	case ZYDIS_CATEGORY_HRESET:
	case ZYDIS_CATEGORY_KEYLOCKER:
	case ZYDIS_CATEGORY_KEYLOCKER_WIDE:
	case ZYDIS_CATEGORY_KMASK:
	case ZYDIS_CATEGORY_KNC:
	case ZYDIS_CATEGORY_KNCMASK:
	case ZYDIS_CATEGORY_KNCSCALAR:
	case ZYDIS_CATEGORY_PADLOCK:
	case ZYDIS_CATEGORY_PCONFIG:
	case ZYDIS_CATEGORY_PT:
	case ZYDIS_CATEGORY_SERIALIZE:
	case ZYDIS_CATEGORY_SGX:
	case ZYDIS_CATEGORY_TSX_LDTRK:
	case ZYDIS_CATEGORY_UINTR:
	case ZYDIS_CATEGORY_XOP:
		return true;
	default:
		break;
	}
	switch (c->z.mnemonic) {
	case ZYDIS_MNEMONIC_INVLPGB:
	case ZYDIS_MNEMONIC_TLBSYNC:
	case ZYDIS_MNEMONIC_MCOMMIT:
	case ZYDIS_MNEMONIC_PSMASH:
	case ZYDIS_MNEMONIC_PVALIDATE:
	case ZYDIS_MNEMONIC_RMPADJUST:
	case ZYDIS_MNEMONIC_RMPUPDATE:
	case ZYDIS_MNEMONIC_TDCALL:
	case ZYDIS_MNEMONIC_SEAMCALL:
	case ZYDIS_MNEMONIC_SEAMOPS:
	case ZYDIS_MNEMONIC_SEAMRET:
		return true;
	default:
		return false;
	}
}

struct known_difference {
	uint16_t id; /* enum insn_id */
	enum diff kind;
	const char *why;
};

static const struct known_difference known_differences[] = {
	/* Flags where the SDM's instruction pages say otherwise. */
	{ ID_SBB, DIFF_FLAGS, "sets all six; Zydis: AF undefined in 18" },
	{ ID_BEXTR, DIFF_FLAGS, "ZF by result, CF and OF cleared" },
	{ ID_VTESTPS, DIFF_FLAGS, "clears OF, SF, AF, PF" },
	{ ID_VTESTPD, DIFF_FLAGS, "clears OF, SF, AF, PF" },
	{ ID_VPTEST, DIFF_FLAGS, "clears OF, SF, AF, PF" },
	{ ID_MOV_FROM_CR, DIFF_FLAGS, "all undefined" },
	{ ID_MOV_TO_CR, DIFF_FLAGS, "all undefined" },
	{ ID_MOV_FROM_DR, DIFF_FLAGS, "all undefined" },
	{ ID_MOV_TO_DR, DIFF_FLAGS, "all undefined" },
	{ ID_VMCALL, DIFF_FLAGS, "DF not written" },
	{ ID_VMLAUNCH, DIFF_FLAGS, "DF not written" },
	{ ID_VMRESUME, DIFF_FLAGS, "DF not written" },
	/* One row a count's kind here, one description for all in Zydis. */
	{ ID_ROL, DIFF_FLAGS, "OF defined for a count of 1" },
	{ ID_ROR, DIFF_FLAGS, "OF defined for a count of 1" },
	{ ID_RCL, DIFF_FLAGS, "OF defined for a count of 1" },
	{ ID_RCR, DIFF_FLAGS, "OF defined for a count of 1" },
	{ ID_SHL, DIFF_FLAGS, "OF defined for a count of 1" },
	{ ID_SHR, DIFF_FLAGS, "OF defined for a count of 1" },
	{ ID_SAR, DIFF_FLAGS, "OF defined for a count of 1" },
	{ ID_SHLD, DIFF_FLAGS, "a count of 0 writes none" },
	{ ID_SHRD, DIFF_FLAGS, "a count of 0 writes none" },
	/* Software interrupts push RFLAGS; Zydis lists no stack. */
	{ ID_INT3, DIFF_FLAGS, "reads all" },
	{ ID_INT, DIFF_FLAGS, "reads all" },
	{ ID_INT1, DIFF_FLAGS, "reads all" },
	{ ID_INTO, DIFF_FLAGS, "reads all" },
	{ ID_INT3, DIFF_GPRS, "RSP" },
	{ ID_INT, DIFF_GPRS, "RSP" },
	{ ID_INT1, DIFF_GPRS, "RSP" },
	{ ID_INTO, DIFF_GPRS, "RSP" },
	/* Hypercalls and the like use what their ABI says. */
	{ ID_VMCALL, DIFF_GPRS, "any register" },
	{ ID_VMMCALL, DIFF_GPRS, "any register" },
	{ ID_RSM, DIFF_GPRS, "loads all" },
	{ ID_GETSEC, DIFF_GPRS, "by leaf" },
	{ ID_VMFUNC, DIFF_GPRS, "ECX by leaf" },
	{ ID_MWAITX, DIFF_GPRS, "EBX is the timeout" },
	/* String instructions move their index registers. */
	{ ID_INS, DIFF_GPRS, "RDI written" },
	{ ID_OUTS, DIFF_GPRS, "RSI written" },
	{ ID_CMPS, DIFF_GPRS, "RSI and RDI written" },
	{ ID_SCAS, DIFF_GPRS, "RDI written" },
	{ ID_LODS, DIFF_GPRS, "RAX kept if REP runs zero times" },
	/* A zero source leaves the destination. */
	{ ID_BSF, DIFF_GPRS, "destination kept for a zero source" },
	{ ID_BSR, DIFF_GPRS, "destination kept for a zero source" },
	/* Hint NOPs touch nothing; Zydis shows their ModRM.reg. */
	{ ID_NOP, DIFF_GPRS, "ModRM.reg unused" },
	{ ID_NOP, DIFF_OPERANDS, "ModRM.reg unused" },
	{ ID_ENDBR64, DIFF_OPERANDS, "a NOP with operands without CET" },
	{ ID_ENDBR64, DIFF_GPRS, "a NOP with operands without CET" },
	{ ID_ENDBR32, DIFF_OPERANDS, "a NOP with operands without CET" },
	{ ID_ENDBR32, DIFF_GPRS, "a NOP with operands without CET" },
	{ ID_PREFETCH, DIFF_GPRS, "ModRM.reg unused" },
	{ ID_PREFETCH, DIFF_OPERANDS, "ModRM.reg unused" },
	{ ID_PREFETCHW, DIFF_GPRS, "ModRM.reg unused" },
	{ ID_PREFETCHW, DIFF_OPERANDS, "ModRM.reg unused" },
	{ ID_NOP, DIFF_MEM_ACCESS, "not accessed" },
	{ ID_PREFETCH, DIFF_MEM_ACCESS, "not accessed" },
	{ ID_PREFETCHW, DIFF_MEM_ACCESS, "not accessed" },
	{ ID_INVLPG, DIFF_MEM_ACCESS, "not accessed" },
	/* Checked for access to one byte. */
	{ ID_CLFLUSH, DIFF_MEM_SIZE, "a byte of the line" },
	{ ID_CLFLUSHOPT, DIFF_MEM_SIZE, "a byte of the line" },
	{ ID_CLWB, DIFF_MEM_SIZE, "a byte of the line" },
	/* The size depends on XCR0 and the requested components. */
	{ ID_XSAVE, DIFF_MEM_SIZE, "by component" },
	{ ID_XSAVEOPT, DIFF_MEM_SIZE, "by component" },
	{ ID_XSAVEC, DIFF_MEM_SIZE, "by component" },
	{ ID_XSAVES, DIFF_MEM_SIZE, "by component" },
	{ ID_XRSTOR, DIFF_MEM_SIZE, "by component" },
	{ ID_XRSTORS, DIFF_MEM_SIZE, "by component" },
	{ ID_MOVSXD, DIFF_MEM_SIZE, "r/m16 with a 16-bit operand size" },
	{ ID_FUCOMPP, DIFF_OPERANDS, "ST(1) is ModRM.rm" },
	{ ID_FCOMPP, DIFF_OPERANDS, "ST(1) is ModRM.rm" },
	{ ID_LEA, DIFF_ADDRESS, "segment overrides have no effect" },
};

static bool is_known(const struct insn_case *c, enum diff kind)
{
	if (kind == DIFF_INVALID)
		return not_offered(c);
	/* VIA's and Xeon Phi's have forms of their own. */
	if (kind == DIFF_LENGTH && not_offered(c))
		return true;
	/* Zydis knows only the assigned suffixes of 3DNow!. */
	if (kind == DIFF_VALID && c->insn.row->id == ID_3DNOW)
		return true;
	/*
	 * With 67, REX.B and no base register, Zydis gives R13D; processors
	 * use the displacement alone.
	 */
	if (kind == DIFF_ADDRESS && c->insn.addrsize == 4 &&
	    c->insn.base == GPR_NONE && c->insn.rex & 1)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(known_differences); i++) {
		if (known_differences[i].id == c->insn.row->id &&
		    known_differences[i].kind == kind)
			return true;
	}
	return false;
}
