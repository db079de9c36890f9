#include "x86/table.h"

#include "x86/feat.h"

/*
 * The rows of x86/insn.def as constant arrays.  In a row:
 * OP, OPM begin an opcode without and with ModRM, OPR and OPRM a range of
 * them, OPG one whose rows start with /0 to /7, ALT is a further form.
 */

const struct operand_spec operand_specs[NR_OPERAND_LETTERS] = {
#define OPERAND(name, class, reg_size, mem_size)                               \
	[name] = { OC_##class, OS_##reg_size, OS_##mem_size },
#include "x86/operand.def"
#undef OPERAND
};

#define FIXED(n)                                                               \
	{                                                                      \
		n, n, n, n, n, n                                               \
	}
#define BY_OPSIZE(n2, n4, n8)                                                  \
	{                                                                      \
		n2, n4, n8, n2, n4, n8                                         \
	}
#define BY_LENGTH(n128, n256)                                                  \
	{                                                                      \
		n128, n128, n128, n256, n256, n256                             \
	}

const uint16_t operand_sizes[NR_OPERAND_SIZES][6] = {
	[OS_1] = FIXED(1),
	[OS_2] = FIXED(2),
	[OS_4] = FIXED(4),
	[OS_8] = FIXED(8),
	[OS_10] = FIXED(10),
	[OS_16] = FIXED(16),
	[OS_32] = FIXED(32),
	[OS_64] = FIXED(64),
	[OS_512] = FIXED(512),
	[OS_v] = BY_OPSIZE(2, 4, 8),
	[OS_z] = BY_OPSIZE(2, 4, 4),
	[OS_y] = BY_OPSIZE(4, 4, 8),
	[OS_p] = BY_OPSIZE(4, 6, 10),
	[OS_a] = BY_OPSIZE(4, 8, 16),
	[OS_s] = BY_OPSIZE(6, 6, 10),
	[OS_env] = BY_OPSIZE(14, 28, 28),
	[OS_fsave] = BY_OPSIZE(94, 108, 108),
	[OS_x] = BY_LENGTH(16, 32),
	[OS_h] = BY_LENGTH(8, 16),
	[OS_t] = BY_LENGTH(4, 8),
	[OS_o] = BY_LENGTH(2, 4),
};

/* Row numbers: one for each first row by name, the others just count. */
#define PASTE_(a, b)	       a##b
#define PASTE(a, b)	       PASTE_(a, b)
#define OP(map, op, ...)       ROW_##map##_##op,
#define OPM(map, op, ...)      ROW_##map##_##op,
#define OPG(map, op, ...)      ROW_##map##_##op,
#define OPR(map, lo, hi, ...)  ROW_##map##_##lo,
#define OPRM(map, lo, hi, ...) ROW_##map##_##lo,
#define ALT(map, op, ...)      PASTE(ROW_ALT_, __COUNTER__),
enum {
	ROW_UNDEFINED,
#include "x86/insn.def"
	NR_ROWS
};
#undef OP
#undef OPM
#undef OPG
#undef OPR
#undef OPRM
#undef ALT
_Static_assert(NR_ROWS <= SLOT_ROW, "row numbers fit a slot");

#define OP(map, op, ...)  [map][op] = ROW_##map##_##op,
#define OPM(map, op, ...) [map][op] = ROW_##map##_##op | SLOT_MODRM,
#define OPG(map, op, ...)                                                      \
	[map][op] = ROW_##map##_##op | SLOT_MODRM | SLOT_GROUP,
#define OPR(map, lo, hi, ...)  [map][lo... hi] = ROW_##map##_##lo,
#define OPRM(map, lo, hi, ...) [map][lo... hi] = ROW_##map##_##lo | SLOT_MODRM,
#define ALT(map, op, ...)
const uint16_t insn_slots[NR_MAPS][256] = {
#include "x86/insn.def"
};
#undef OP
#undef OPM
#undef OPG
#undef OPR
#undef OPRM
#undef ALT

/* Conditions. */
#define COND(bits, at, value)                                                  \
	((uint32_t)((bits) << (at)) << 16 | (uint32_t)((value) << (at)))
#define ANY    0
#define NP     COND(3, KEY_PFX, 0)
#define P66    COND(3, KEY_PFX, 1)
#define F3     COND(3, KEY_PFX, 2)
#define F2     COND(3, KEY_PFX, 3)
#define NOREP  COND(2, KEY_PFX, 0)
#define MEM    COND(1, KEY_MOD3, 0)
#define REG    COND(1, KEY_MOD3, 1)
#define G(n)   COND(7, KEY_REG, n)
#define RM(n)  COND(7, KEY_RM, n)
#define L0     COND(1, KEY_L, 0)
#define L1     COND(1, KEY_L, 1)
#define W0     COND(1, KEY_W, 0)
#define W1     COND(1, KEY_W, 1)
#define MODE64 COND(1, KEY_MODE64, 1)
#define NOB    COND(1, KEY_B, 0)
#define FIRST  BIT(KEY_FIRST)

#define OP(map, op, when, ...)	    FIRST | (when),
#define OPM			    OP
#define OPG			    OP
#define OPR(map, lo, hi, when, ...) FIRST | (when),
#define OPRM			    OPR
#define ALT(map, op, when, ...)	    (when),
const uint32_t insn_conditions[] = {
	FIRST,
#include "x86/insn.def"
	FIRST,
};
#undef OP
#undef OPM
#undef OPG
#undef OPR
#undef OPRM
#undef ALT

/* Operand accesses: R read, W written, M both, N neither. */
#define A(a, b, c, d)                                                          \
	{                                                                      \
		a, b, c, d                                                     \
	}
#define A_N    A(0, 0, 0, 0)
#define A_NN   A(0, 0, 0, 0)
#define A_NNN  A(0, 0, 0, 0)
#define A_R    A(1, 0, 0, 0)
#define A_W    A(2, 0, 0, 0)
#define A_M    A(3, 0, 0, 0)
#define A_RR   A(1, 1, 0, 0)
#define A_RRR  A(1, 1, 1, 0)
#define A_WN   A(2, 0, 0, 0)
#define A_WR   A(2, 1, 0, 0)
#define A_WRR  A(2, 1, 1, 0)
#define A_WRRR A(2, 1, 1, 1)
#define A_WWR  A(2, 2, 1, 0)
#define A_MR   A(3, 1, 0, 0)
#define A_MRR  A(3, 1, 1, 0)
#define A_MRRR A(3, 1, 1, 1)
#define A_MM   A(3, 3, 0, 0)
#define A_MRM  A(3, 1, 3, 0)

/* Status flags: F(read, written, undefined). */
#define F(r, w, u) .flags_r = (r), .flags_w = (w), .flags_u = (u)
#define C_	   FL_CF
#define P_	   FL_PF
#define X_	   FL_AF
#define Z_	   FL_ZF
#define S_	   FL_SF
#define O_	   FL_OF
#define F_NO	   F(0, 0, 0)
#define F_ARITH	   F(0, FL_STATUS, 0)
#define F_CARRY	   F(C_, FL_STATUS, 0)
#define F_LOGIC	   F(0, FL_STATUS & ~X_, X_)
#define F_INC	   F(0, FL_STATUS & ~C_, 0)
#define F_MUL	   F(0, C_ | O_, S_ | Z_ | X_ | P_)
#define F_UNDEF	   F(0, 0, FL_STATUS)
#define F_DAA	   F(C_ | X_, FL_STATUS & ~O_, O_)
#define F_AAA	   F(X_, X_ | C_, O_ | S_ | Z_ | P_)
#define F_AAM	   F(0, S_ | Z_ | P_, O_ | X_ | C_)
#define F_DF	   F(FL_DF, 0, 0)
#define F_DF_W	   F(0, FL_DF, 0)
#define F_ALL_R	   F(FL_STATUS | FL_DF, 0, 0)
#define F_ALL_W	   F(0, FL_STATUS | FL_DF, 0)
#define F_ALL_RW   F(FL_STATUS | FL_DF, FL_STATUS | FL_DF, 0)
/* A repeated compare may run zero times and then leaves the flags. */
#define F_STRCMP F(FL_DF | FL_STATUS, FL_STATUS, 0)
#define F_SAHF	 F(0, FL_STATUS & ~O_, 0)
#define F_LAHF	 F(FL_STATUS & ~O_, 0, 0)
#define F_C	 F(0, C_, 0)
#define F_Z	 F(0, Z_, 0)
#define F_CMC	 F(C_, C_, 0)
#define F_ADOX	 F(O_, O_, 0)
#define F_MOVCR	 F(0, 0, FL_STATUS)
#define F_VMX	 F(0, FL_STATUS, 0)
#define F_XTEST	 F(0, FL_STATUS, 0)
#define F_TPAUSE F(0, FL_STATUS, 0)
#define F_BT	 F(0, C_, O_ | S_ | X_ | P_)
#define F_BSF	 F(0, Z_, C_ | O_ | S_ | X_ | P_)
#define F_ZCNT	 F(0, C_ | Z_, O_ | S_ | X_ | P_)
#define F_ANDN	 F(0, S_ | Z_ | O_ | C_, X_ | P_)
#define F_BLS	 F_ANDN
#define F_BEXTR	 F(0, Z_ | C_ | O_, X_ | S_ | P_)
/*
 * FCOMI sets ZF, PF and CF; manuals and processors disagree on whether OF, SF
 * and AF are cleared or kept, so they count as read and written.
 */
#define F_FCOMI	 F(O_ | S_ | X_, FL_STATUS, 0)
#define F_CC_O	 F(O_, 0, 0)
#define F_CC_C	 F(C_, 0, 0)
#define F_CC_Z	 F(Z_, 0, 0)
#define F_CC_CZ	 F(C_ | Z_, 0, 0)
#define F_CC_S	 F(S_, 0, 0)
#define F_CC_P	 F(P_, 0, 0)
#define F_CC_SO	 F(S_ | O_, 0, 0)
#define F_CC_ZSO F(Z_ | S_ | O_, 0, 0)
/*
 * Shifts and rotates by an immediate that is not zero (a zero count selects
 * another row), by one, and by CL, where a zero count leaves all flags: those
 * count as read too.
 */
#define F_SHIFT_ONE F(0, FL_STATUS & ~X_, X_)
#define F_SHIFT_IMM F(0, C_ | P_ | Z_ | S_, X_ | O_)
#define F_SHIFT_CL  F(FL_STATUS, C_ | P_ | Z_ | S_, X_ | O_)
#define F_ROT_ONE   F(0, C_ | O_, 0)
#define F_ROT_IMM   F(0, C_, O_)
#define F_ROT_CL    F(C_ | O_, C_, O_)
#define F_RCX_ONE   F(C_, C_ | O_, 0)
#define F_RCX_IMM   F(C_, C_, O_)
#define F_RCX_CL    F(C_ | O_, C_, O_)

/*
 * Implicit registers.  One that is written in part (AH, DX) counts as read
 * too, as the rest of it stays.
 */
#define I_RW(r, w) .impl_r = (r), .impl_w = (w)
#define I_NO	   I_RW(0, 0)
#define bAX	   BIT(RAX)
#define bCX	   BIT(RCX)
#define bDX	   BIT(RDX)
#define bBX	   BIT(RBX)
#define bSP	   BIT(RSP)
#define bBP	   BIT(RBP)
#define bSI	   BIT(RSI)
#define bDI	   BIT(RDI)
#define b11	   BIT(R11)
#define bALL8	   0xff
#define bALL	   0xffff

#define OPS(...)                                                               \
	{                                                                      \
		__VA_ARGS__                                                    \
	}
#define OP(map, op, when, mnem, ops, acc_, flags, impl, feat_, attr_, act)     \
	{ .name = #mnem,                                                       \
	  .id = ID_##mnem,                                                     \
	  .action = ACT_##act,                                                 \
	  .feat = FEAT_##feat_,                                                \
	  .attr = (attr_),                                                     \
	  flags,                                                               \
	  impl,                                                                \
	  .spec = ops,                                                         \
	  .acc = A_##acc_ },
#define OPR(map, lo, hi, when, mnem, ops, acc_, flags, impl, feat_, attr_,     \
	    act)                                                               \
	{ .name = #mnem,                                                       \
	  .id = ID_##mnem,                                                     \
	  .action = ACT_##act,                                                 \
	  .feat = FEAT_##feat_,                                                \
	  .attr = (attr_),                                                     \
	  flags,                                                               \
	  impl,                                                                \
	  .spec = ops,                                                         \
	  .acc = A_##acc_ },
#define OPM  OP
#define OPG  OP
#define ALT  OP
#define OPRM OPR
const struct insn_row insn_table[] = {
	[ROW_UNDEFINED] = { .name = "INVALID", .action = ACT_UD },
#include "x86/insn.def"
};
_Static_assert(ARRAY_SIZE(insn_table) == NR_ROWS, "a row a number");
_Static_assert(ARRAY_SIZE(insn_conditions) == NR_ROWS + 1, "and an end");

const struct insn_row *insn_rows(unsigned int *n)
{
	*n = NR_ROWS;
	return insn_table;
}
