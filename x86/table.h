#pragma once

#include "x86/insn.h"

/*
 * Private to the decoder: how a row of x86/insn.def is found, and what its
 * operand letters mean.
 */

/* Operand letters: where the operand is encoded and what kind it is. */
enum operand_class {
	OC_NONE,
	OC_E, /* ModRM.rm: general register or memory */
	OC_R, /* ModRM.rm: general register only */
	OC_M, /* ModRM.rm: memory only */
	OC_G, /* ModRM.reg: general register */
	OC_B, /* VEX.vvvv: general register */
	OC_Z, /* opcode bits 2:0: general register */
	OC_AX,
	OC_CX,
	OC_DX,	/* fixed general registers */
	OC_ONE, /* the constant 1 */
	OC_I,	/* immediate, zero-extended */
	OC_IS,	/* immediate, sign-extended */
	OC_I2,	/* second immediate byte */
	OC_J,	/* relative branch target */
	OC_A,	/* far pointer in the instruction */
	OC_O,	/* memory at an address in the instruction */
	OC_S,	/* ModRM.reg: segment register */
	OC_SES,
	OC_SCS,
	OC_SSS,
	OC_SDS,
	OC_SFS,
	OC_SGS, /* fixed segments */
	OC_CR,	/* ModRM.reg: control register */
	OC_DR,	/* ModRM.reg: debug register */
	OC_X,	/* string source */
	OC_Y,	/* string destination */
	OC_ST0,
	OC_STI, /* x87 top of stack, and ModRM.rm */
	OC_P,
	OC_Q,
	OC_N, /* MMX: reg, rm or memory, rm only */
	OC_V,
	OC_W,
	OC_U, /* XMM and YMM: reg, rm or memory, rm only */
	OC_H, /* VEX.vvvv: XMM or YMM */
	OC_L, /* immediate bits 7:4: XMM or YMM */
};

/*
 * Operand sizes: numbers of bytes, or letters that depend on operand size and
 * vector length; operand_sizes[] in x86/tables.c gives the values.
 */
enum operand_size {
	OS_0,
	OS_1,
	OS_2,
	OS_4,
	OS_8,
	OS_10,
	OS_16,
	OS_32,
	OS_64,
	OS_512,
	OS_v,	  /* operand size: 2, 4, 8 */
	OS_z,	  /* operand size, at most 4 */
	OS_y,	  /* 4 or 8 */
	OS_p,	  /* far pointer: operand size + 2 */
	OS_a,	  /* BOUND: twice the operand size */
	OS_s,	  /* descriptor-table register: 6 or 10 */
	OS_env,	  /* x87 environment: 14 or 28 */
	OS_fsave, /* x87 state: 94 or 108 */
	OS_x,	  /* vector length: 16 or 32 */
	OS_h,	  /* half of x */
	OS_t,	  /* quarter of x */
	OS_o,	  /* eighth of x */
	NR_OPERAND_SIZES,
};

enum operand_letters {
	OPERAND_END,
#define OPERAND(name, class, reg_size, mem_size) name,
#include "x86/operand.def"
#undef OPERAND
	NR_OPERAND_LETTERS,
};

struct operand_spec {
	uint8_t class;	  /* enum operand_class */
	uint8_t reg_size; /* enum operand_size, of a register or immediate */
	uint8_t mem_size; /* enum operand_size, of a memory operand */
};

extern const struct operand_spec operand_specs[NR_OPERAND_LETTERS];

/* Bytes of an operand size: [size][operand_size_index()]. */
extern const uint16_t operand_sizes[NR_OPERAND_SIZES][6];

static inline unsigned int operand_size_index(const struct insn *insn)
{
	return (insn->opsize >> 2) + 3 * insn->vex_l;
}

/*
 * Lookup.  Each opcode of a map has a slot: the index of its first row and
 * what must be known before rows are compared.  The rows of one opcode follow
 * one another; the first whose conditions hold for the instruction's key
 * describes it.
 */
enum insn_map { M0, M1, M2, M3, V1, V2, V3, NR_MAPS };

#define SLOT_MODRM BIT(15) /* the opcode has a ModRM byte */
#define SLOT_GROUP BIT(14) /* rows start with /0 to /7, in order */
#define SLOT_ROW   MASK(14)

/* Key bits; a condition is the mask in bits 31:16 and the value in 15:0. */
#define KEY_PFX	   0 /* 0 none, 1 66, 2 F3, 3 F2 (F2 and F3 before 66) */
#define KEY_MOD3   2
#define KEY_REG	   3
#define KEY_RM	   6
#define KEY_L	   9
#define KEY_W	   10
#define KEY_MODE64 11
#define KEY_B	   12
#define KEY_FIRST  15 /* in conditions: starts the rows of an opcode */

extern const uint16_t insn_slots[NR_MAPS][256];
extern const struct insn_row insn_table[];
extern const uint32_t insn_conditions[];

/* The row of everything undefined. */
#define INSN_UNDEFINED (&insn_table[0])

/* Attribute bits that only decoding needs. */
#define IA_REGONLY BIT(29) /* ModRM.mod is taken as 3 (MOV CR, DR) */
#define IA_SHIFT   BIT(30) /* a zero count selects the IA_COUNT0 row */
#define IA_COUNT0  BIT(31)

/*
 * modrm_decode - the addressing form of a memory operand: SIB and displacement
 * at @p into base, index, scale, disp and seg.  @start: first byte of the
 * instruction; @rex: extension bits in REX's layout.  Returns the next byte.
 */
const uint8_t *modrm_decode(struct insn *insn, const uint8_t *p,
			    const uint8_t *start, unsigned int rex);

/*
 * operands_decode - fill op[] and the memory access from insn->row; @p: the
 * byte after ModRM, SIB and displacement.  Returns the end of the instruction.
 * An operand that does not exist makes the row INSN_UNDEFINED.
 */
const uint8_t *operands_decode(struct insn *insn, const uint8_t *p,
			       const uint8_t *start, unsigned int rex);
