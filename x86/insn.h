#pragma once

#include "base/types.h"

/*
 * A decoded instruction, and the row of the instruction table (x86/insn.def)
 * that describes it.  One row drives decoder, translator, emulator and tests.
 */

/* clang-format off */

/* General registers in encoding order; rows and operands use these numbers. */
enum gpr {
	RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI,
	R8, R9, R10, R11, R12, R13, R14, R15,
	NR_GPRS,
	GPR_NONE = 0xff,
};

/* Segment registers in encoding order, then the two system ones. */
enum seg_reg {
	SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS,
	SEG_LDTR, SEG_TR,
	NR_SEGS,
	SEG_NONE = 0xff,
};

/* What the translator and the careful executor do with an instruction. */
enum insn_action {
	/*
	 * Unprivileged; runs on the silicon with its registers and at most
	 * one ModRM (or moffs) memory operand rewritten.
	 */
	ACT_COPY,
	/* PUSH, POP, LEAVE, PUSHF-like without privilege: stack accesses. */
	ACT_STACK,
	/* MOVS, STOS, LODS, SCAS, CMPS with or without REP, XLAT not. */
	ACT_STRING,
	/* Near Jcc, JMP, CALL, RET, LOOPcc, JrCXZ, direct and indirect. */
	ACT_BRANCH,
	/* A C function of cpu/ works on struct cpu: cpu_ops[row->id]. */
	ACT_HELPER,
	/* No effect at all (NOP, PREFETCH, ENDBR): no operand is touched. */
	ACT_NOP,
	/* Raises #UD (undefined, or not offered by this project). */
	ACT_UD,
};

/* Row attributes. */
enum {
	IA_LOCK = BIT(0),    /* LOCK is allowed with a memory destination */
	IA_REP = BIT(1),     /* REP repeats (string and INS, OUTS) */
	IA_NO64 = BIT(2),    /* #UD in 64-bit mode */
	IA_ONLY64 = BIT(3),  /* #UD outside 64-bit mode */
	IA_DEF64 = BIT(4),   /* operand size defaults to 64 bits in 64-bit mode */
	IA_FORCE64 = BIT(5), /* ... and 66 does not change it (near branches) */
	IA_END = BIT(6),     /* ends a block: mode, mapping or RIP may change */
	IA_X87 = BIT(7),     /* x87: #NM if CR0.EM or TS; waits for #MF */
	IA_MMX = BIT(8),     /* MMX: #UD if CR0.EM, #NM if TS */
	IA_SSE = BIT(9),     /* legacy SSE: #UD if EM or !CR4.OSFXSR, #NM if TS */
	IA_AVX = BIT(10),    /* VEX: #UD if !OSXSAVE or XCR0[2:1] != 3, #NM if TS */
	IA_FWAIT = BIT(11),  /* #NM if TS and MP (WAIT) */
	IA_ALIGN = BIT(12),  /* memory operand must be aligned to its size (#GP) */
	IA_COND = BIT(13),   /* accesses its memory operand only in part, by a mask
				(MASKMOV*, VMASKMOV*, VPMASKMOV*) */
	IA_VSIB = BIT(14),   /* gathers: the SIB index is a vector register */
	IA_NOMEM = BIT(15),  /* ModRM memory form computes an address only (LEA)
				or does not access it */
	IA_BITOFF = BIT(16), /* BT family with a register bit offset: the memory
				address depends on the offset register */
	IA_PROT = BIT(17),   /* #UD in real and virtual-8086 mode */
	IA_XOP_NOLOCK = BIT(18), /* locked by itself (XCHG with memory) */
	IA_BND = BIT(19),    /* F2 is the BND prefix and has no effect */
	IA_CPL0 = BIT(20),   /* #GP(0) if CPL is not 0 */
	IA_LIGHT = BIT(21),  /* the helper uses no vector state and no C library */
};

/* Operand kinds after decoding. */
enum operand_kind {
	OPK_NONE,
	OPK_GPR,   /* .reg = enum gpr, .high8 for AH, CH, DH, BH */
	OPK_VEC,   /* XMM or YMM register .reg */
	OPK_MMX,   /* MM register */
	OPK_ST,    /* x87 register ST(.reg) */
	OPK_SEG,   /* segment register, enum seg_reg */
	OPK_CR,
	OPK_DR,
	OPK_MEM,   /* the ModRM or moffs memory operand */
	OPK_IMM,   /* insn.imm */
	OPK_REL,   /* branch displacement, insn.imm, relative to the next insn */
	OPK_FAR,   /* ptr16:16/32, insn.imm = offset, insn.imm2 = selector */
	OPK_STR_SRC, /* [seg:rSI] */
	OPK_STR_DST, /* [ES:rDI] */
};

/* Where an operand's register number stands in the encoding. */
enum operand_enc {
	ENC_NONE,   /* fixed by the opcode (AL, CL, DX, 1, ...) */
	ENC_REG,    /* ModRM.reg with REX.R */
	ENC_RM,     /* ModRM.rm with REX.B */
	ENC_VVVV,   /* VEX.vvvv */
	ENC_OPCODE, /* low three bits of the opcode with REX.B */
	ENC_IMM,    /* immediate bytes */
	ENC_IS4,    /* bits 7:4 of the last immediate byte */
	ENC_MOFFS,
};

enum { ACC_R = 1, ACC_W = 2, ACC_RW = 3 };

struct operand {
	uint8_t kind;   /* enum operand_kind */
	uint8_t enc;    /* enum operand_enc */
	uint8_t reg;
	uint8_t access; /* ACC_*; 0 = neither (LEA's memory, NOP's operand) */
	uint16_t size;  /* bytes accessed: 1, 2, 4, 8, 16, 32; 6 or 10 for far
			   pointers and x87; 0 where the helper decides */
	bool high8;
};

#define MAX_OPERANDS 4

/* RFLAGS bits as rows name them: only status flags and DF. */
#define FL_CF 0x001
#define FL_PF 0x004
#define FL_AF 0x010
#define FL_ZF 0x040
#define FL_SF 0x080
#define FL_OF 0x800
#define FL_DF 0x400
#define FL_STATUS (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

enum insn_id {
	ID_INVALID,
#define INSN_ID(name) ID_##name,
#include "x86/insn_id.def"
#undef INSN_ID
	NR_INSN_IDS,
};

struct insn_row {
	const char *name;
	uint16_t id;      /* enum insn_id: one per mnemonic */
	uint8_t action;   /* enum insn_action */
	uint8_t feat;     /* enum x86_feat, CPUID feature that offers it */
	uint32_t attr;    /* IA_* */
	uint16_t flags_r; /* FL_* read */
	uint16_t flags_w; /* FL_* written with a defined value */
	uint16_t flags_u; /* FL_* left undefined (written with anything) */
	uint16_t impl_r;  /* bit mask of general registers read implicitly,
			     explicit operands not counted */
	uint16_t impl_w;  /* bit mask of general registers written implicitly */
	/* private to the decoder: operand specifications */
	uint8_t spec[MAX_OPERANDS];
	uint8_t acc[MAX_OPERANDS];
};

/* CPU mode as far as decoding depends on it. */
enum code_size { CODE16 = 2, CODE32 = 4, CODE64 = 8 };

enum vex_kind { VEX_NO, VEX_2, VEX_3 };

struct insn {
	const struct insn_row *row;
	uint8_t bytes[15];
	uint8_t len;        /* 1..15 */
	uint8_t code_size;  /* enum code_size the bytes were decoded for */
	uint8_t opsize;     /* effective operand size in bytes: 2, 4, 8 */
	uint8_t addrsize;   /* effective address size in bytes: 2, 4, 8 */
	/* prefixes */
	bool p66, p67, lock;
	uint8_t rep;        /* 0, 0xf2 or 0xf3: the last one */
	uint8_t seg_ovr;    /* enum seg_reg or SEG_NONE; in 64-bit mode only FS
			       and GS are kept */
	uint8_t rex;        /* REX byte or 0 */
	/* opcode */
	uint8_t map;        /* 0 = one byte, 1 = 0F, 2 = 0F38, 3 = 0F3A */
	uint8_t opcode;
	uint8_t vex;        /* enum vex_kind */
	uint8_t vex_w, vex_l, vex_pp, vvvv;
	/* ModRM, SIB: register numbers with their REX or VEX extension bits */
	bool has_modrm;
	uint8_t mod, reg, rm;
	uint8_t modrm;      /* raw byte */
	/* memory operand, valid if has_mem */
	bool has_mem;       /* a ModRM memory form or moffs */
	bool rip_rel;       /* disp is relative to the next instruction */
	uint8_t base;       /* enum gpr or GPR_NONE */
	uint8_t index;      /* enum gpr, vector register (IA_VSIB) or GPR_NONE */
	uint8_t scale;      /* log2: 0..3 */
	uint8_t seg;        /* effective segment (override or default DS, SS) */
	uint8_t mem_access; /* ACC_* of the memory operand, 0 = none */
	uint16_t mem_size;  /* bytes accessed in memory, 0 if no access */
	int64_t disp;       /* sign-extended; moffs: the whole address */
	int64_t imm;        /* immediate or branch displacement, sign-extended as
			       the instruction uses it */
	uint16_t imm2;      /* ENTER's level, far pointer's selector */
	/* offsets into bytes[], 0 = absent; the opcode is always present */
	uint8_t off_opcode; /* last opcode byte */
	uint8_t off_modrm, off_disp, off_imm;
	uint8_t disp_len, imm_len;
	uint8_t nops;
	struct operand op[MAX_OPERANDS];
};

/* Errors of insn_decode. */
enum decode_result {
	DECODE_OK = 0,
	DECODE_MORE,    /* more bytes are needed than @avail: fetch on (may fault) */
	DECODE_TOO_LONG, /* over 15 bytes: #GP(0) */
};

/*
 * insn_decode - decode one instruction for the given code size.
 * @bytes: instruction bytes, @avail of them may be read (1..15 matter).
 * Undefined encodings, LOCK where it is not allowed, VEX with 66/F2/F3/REX,
 * and the like decode to a row with ACT_UD and the right length; features are
 * not checked here (the caller compares row->feat with the guest's CPUID).
 * Touches no memory but its arguments and constant tables.
 * Source: SDM 2 "Instruction Format", SDM 2 "Opcode Map".
 */
enum decode_result insn_decode(const uint8_t *bytes, unsigned int avail,
			       enum code_size cs, struct insn *insn);

/*
 * insn_66_in_opcode - whether the prefix 66, or that there is none, is part of
 * @row's opcode, and no operand size.
 */
bool insn_66_in_opcode(const struct insn_row *row);

/* insn_rows - the whole table, for tests and tools; @n gets the row count. */
const struct insn_row *insn_rows(unsigned int *n);
