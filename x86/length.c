#include "x86/length.h"

#include "x86/table.h"

#define MAX_LEN 15

/* What follows an opcode: bits of a shape, made of the opcode's first row. */
enum {
	IMM_,
	IMM_1 = BIT(0),
	IMM_2 = BIT(1),
	IMM_4 = BIT(2),
	IMM_Z = BIT(3), /* 2 or 4, by operand size */
	IMM_V = BIT(4), /* 2, 4 or 8 */
	IMM_A = BIT(5), /* an address */
	MODRM = BIT(6),
	VALID = BIT(7),
};

#define IS_IMM(class)                                                          \
	((class) == OC_I || (class) == OC_IS || (class) == OC_I2 ||            \
	 (class) == OC_L)
#define IMM_OF(class, size)                                                    \
	((class) == OC_O		     ? IMM_A                           \
	 : (class) == OC_L		     ? IMM_1                           \
	 : (class) == OC_J && (size) == OS_z ? IMM_4                           \
	 : !IS_IMM(class) && (class) != OC_J ? 0                               \
	 : (size) == OS_1		     ? IMM_1                           \
	 : (size) == OS_2		     ? IMM_2                           \
	 : (size) == OS_z		     ? IMM_Z                           \
					     : IMM_V)
enum {
#define OPERAND(name, class, reg_size, mem_size)                               \
	IMM_##name = IMM_OF(OC_##class, OS_##reg_size),
#include "x86/operand.def"
#undef OPERAND
};

#define OPS_(a, b, c, d, ...) (IMM_##a | IMM_##b | IMM_##c | IMM_##d)
#define OPS(...)	      OPS_(__VA_ARGS__, , , , )
/* MOV of control and debug registers has one byte, whatever its mod says. */
#define SHAPE(ops, attr, more)                                                 \
	((attr)&IA_NO64	     ? 0                                               \
	 : (attr)&IA_REGONLY ? VALID | IMM_1                                   \
			     : VALID | (more) | (ops))
#define OP(map, op, when, id, ops, acc, flags, impl, feat, attr, act)          \
	[map][op] = SHAPE(ops, attr, 0),
#define OPM(map, op, when, id, ops, acc, flags, impl, feat, attr, act)         \
	[map][op] = SHAPE(ops, attr, MODRM),
#define OPG OPM
#define OPR(map, lo, hi, when, id, ops, acc, flags, impl, feat, attr, act)     \
	[map][lo... hi] = SHAPE(ops, attr, 0),
#define OPRM(map, lo, hi, when, id, ops, acc, flags, impl, feat, attr, act)    \
	[map][lo... hi] = SHAPE(ops, attr, MODRM),
#define ALT(map, op, ...)
static const uint8_t shapes[NR_MAPS][256] = {
#include "x86/insn.def"
};

enum {
	PFX_66 = BIT(0),
	PFX_67 = BIT(1),
	PFX_REX = BIT(2),
	PFX_F2 = BIT(3),
	PFX_OTHER = BIT(4),
};

static const uint8_t prefixes[256] = {
	[0x66] = PFX_66,    [0x67] = PFX_67,	[0xf0] = PFX_OTHER,
	[0xf2] = PFX_F2,    [0xf3] = PFX_OTHER, [0x26] = PFX_OTHER,
	[0x2e] = PFX_OTHER, [0x36] = PFX_OTHER, [0x3e] = PFX_OTHER,
	[0x64] = PFX_OTHER, [0x65] = PFX_OTHER, [0x40 ... 0x4f] = PFX_REX,
};

/* ModRM, SIB and displacement; but for SIB without a base. */
#define EIGHT(...)                                                             \
	__VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__,       \
		__VA_ARGS__, __VA_ARGS__, __VA_ARGS__
static const uint8_t modrm_lengths[256] = {
	EIGHT(1, 1, 1, 1, 2, 5, 1, 1),
	EIGHT(2, 2, 2, 2, 3, 2, 2, 2),
	EIGHT(5, 5, 5, 5, 6, 5, 5, 5),
	EIGHT(1, 1, 1, 1, 1, 1, 1, 1),
};

static bool lacks_base(unsigned int modrm, unsigned int sib)
{
	return (modrm & 0xc7) == 4 && (sib & 7) == 5;
}

static unsigned int imm_length(unsigned int shape, bool wide)
{
	/* IMM_1, IMM_2 and IMM_4 in their bits' values, the others scaled. */
	return (shape & (IMM_1 | IMM_2 | IMM_4)) + (shape & IMM_Z) / 2 +
	       ((shape & IMM_V) / 4 << wide) + (shape & IMM_A) / 4;
}
_Static_assert(IMM_4 == 4 && IMM_Z / 2 == 4 && IMM_V / 4 == 4 && IMM_A / 4 == 8,
	       "bits are lengths");

/* What the prefixes 66 and 67 take from it. */
static unsigned int imm_less(unsigned int shape, unsigned int prefix, bool wide)
{
	unsigned int less = 0;

	if (prefix & PFX_66 && !wide && shape & (IMM_Z | IMM_V))
		less = 2;
	if (prefix & PFX_67 && shape & IMM_A)
		less += 4;
	return less;
}

/*
 * VEX, and EVEX as if it had VEX's opcodes: the maps and the lengths of what
 * follows are the same.  @p moves to the opcode.
 */
static unsigned int vex_shape(const uint8_t **p)
{
	static const uint8_t maps[4] = { NR_MAPS, V1, V2, V3 };
	static const uint8_t sizes[3] = { 2, 3, 4 };
	const uint8_t *vex = *p;
	const bool evex = vex[0] == 0x62;
	unsigned int map = vex[0] == 0xc5 ? 1 : vex[1] & (evex ? 7 : 0x1f);

	*p += sizes[evex ? 2 : vex[0] == 0xc4];
	if (evex && map != 3)
		return VALID | MODRM | (shapes[V1][**p] & (map == 1));
	if (map == 0 || map > 3)
		return 0;
	return evex ? VALID | MODRM | IMM_1 : shapes[maps[map]][**p];
}

/* @p: the first byte that is no prefix; moves to the last one of the opcode. */
static unsigned int opcode_shape(const uint8_t **p)
{
	switch (**p) {
	case 0x0f:
		++*p;
		if (**p == 0x38)
			return shapes[M2][*++*p];
		if (**p == 0x3a)
			return shapes[M3][*++*p];
		return shapes[M1][**p];
	case 0xc4:
	case 0xc5:
	case 0x62:
		return vex_shape(p);
	default:
		return shapes[M0][**p];
	}
}

static struct insn_length any_length(const uint8_t *bytes)
{
	unsigned int prefix = 0, rex = 0, shape, opcode, len;
	const uint8_t *p;

	for (p = bytes; prefixes[*p]; p++) {
		if (p - bytes == MAX_LEN)
			return (struct insn_length){ 0 };
		prefix |= prefixes[*p];
		rex = prefixes[*p] & PFX_REX ? *p : 0;
	}
	opcode = p - bytes;
	shape = opcode_shape(&p);
	if (!shape)
		return (struct insn_length){ 0 };
	if (shape & MODRM) {
		/* What an opcode's first row does not tell. */
		if ((*p & 0xfe) == 0xf6 && p == bytes + opcode && p[1] & 0x30)
			shape = MODRM; /* group 3: only TEST */
		else if (*p == 0x78 && p[-1] == 0x0f &&
			 prefix & (PFX_66 | PFX_F2))
			shape |= IMM_2; /* EXTRQ, INSERTQ */
		p++;
		p += modrm_lengths[*p] + (lacks_base(p[0], p[1]) ? 4 : 0) - 1;
	}
	p++;
	len = p - bytes + imm_length(shape, rex & 8) -
	      imm_less(shape, prefix, rex & 8);
	return (struct insn_length){ len <= MAX_LEN ? len : 0, opcode };
}

/*
 * Most instructions have no prefix but REX and an opcode of map 0 or 1: few
 * branches, as they cannot be predicted.
 */
struct insn_length insn_length64(const uint8_t *bytes)
{
	unsigned int rex, wide, escape, shape, modrm, len;
	uint64_t word;

	__builtin_memcpy(&word, bytes, 8);
	rex = (word & 0xf0) == 0x40;
	wide = rex & word >> 3;
	word >>= 8 * rex;
	escape = (uint8_t)word == 0x0f;
	word >>= 8 * escape;
	shape = shapes[escape ? M1 : M0][(uint8_t)word];
	if (unlikely(!shape || ((word & 0xfe) == 0xf6 && !escape)))
		return any_length(bytes);
	modrm = (uint8_t)(word >> 8);
	len = rex + escape + 1 + imm_length(shape, wide);
	len += modrm_lengths[modrm] & -(shape / MODRM & 1);
	if (unlikely(lacks_base(modrm, word >> 16) && shape & MODRM))
		len += 4;
	return (struct insn_length){ len, rex };
}
