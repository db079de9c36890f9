#include "x86/insn.h"

#include <string.h>

#include "x86/table.h"

/*
 * Decoding goes left to right: prefixes, opcode, row lookup, addressing form,
 * operands.  Nothing checks for the end of the input on the way; the final
 * length tells whether too much was used.  It works on a zero-padded copy.
 */

#define MAX_INSN_LEN 15
/* 14 prefixes, three opcode bytes, ModRM, SIB, two words: 27 at most. */
#define DECODE_WINDOW 32

#define REX_B 1
#define REX_X 2
#define REX_R 4
#define REX_W 8

enum prefix {
	PFX_NONE,
	PFX_ES = 1 + SEG_ES,
	PFX_CS = 1 + SEG_CS,
	PFX_SS = 1 + SEG_SS,
	PFX_DS = 1 + SEG_DS,
	PFX_FS = 1 + SEG_FS,
	PFX_GS = 1 + SEG_GS,
	PFX_OPSIZE,
	PFX_ADDRSIZE,
	PFX_LOCK,
	PFX_REP,
	PFX_REX,
};

static const uint8_t prefixes[256] = {
	[0x26] = PFX_ES,     [0x2e] = PFX_CS,	    [0x36] = PFX_SS,
	[0x3e] = PFX_DS,     [0x64] = PFX_FS,	    [0x65] = PFX_GS,
	[0x66] = PFX_OPSIZE, [0x67] = PFX_ADDRSIZE, [0xf0] = PFX_LOCK,
	[0xf2] = PFX_REP,    [0xf3] = PFX_REP,	    [0x40 ... 0x4f] = PFX_REX,
};

static void apply_prefix(struct insn *insn, enum prefix prefix, uint8_t byte)
{
	switch (prefix) {
	case PFX_OPSIZE:
		insn->p66 = true;
		break;
	case PFX_ADDRSIZE:
		insn->p67 = true;
		break;
	case PFX_LOCK:
		insn->lock = true;
		break;
	case PFX_REP:
		insn->rep = byte;
		break;
	default:
		if (insn->code_size != CODE64 || prefix >= PFX_FS) {
			insn->seg_ovr = prefix - PFX_ES + SEG_ES;
			insn->seg = insn->seg_ovr;
		}
		break;
	}
}

/* Returns the first byte that is no prefix, or NULL if there are 15. */
static const uint8_t *decode_prefixes(struct insn *insn, const uint8_t *start)
{
	const uint8_t *p;

	for (p = start; p < start + MAX_INSN_LEN; p++) {
		enum prefix prefix = prefixes[*p];

		if (likely(prefix == PFX_NONE))
			return p;
		if (prefix == PFX_REX) {
			if (insn->code_size != CODE64)
				return p;
			insn->rex = *p;
		} else {
			/* A REX prefix counts only right before the opcode. */
			insn->rex = 0;
			apply_prefix(insn, prefix, *p);
		}
	}
	return NULL;
}

/* Register extension bits, from REX or VEX, in REX's layout. */
struct ext {
	uint8_t rex;
	uint8_t map; /* enum insn_map; NR_MAPS for reserved VEX maps */
};

/*
 * VEX prefix at @p (C4 or C5).  Outside 64-bit mode only eight registers
 * exist and the extension bits do nothing.
 */
static const uint8_t *decode_vex(struct insn *insn, const uint8_t *p,
				 struct ext *ext)
{
	static const uint8_t maps[4] = { NR_MAPS, V1, V2, V3 };
	uint8_t rxb = ~p[1], last;

	if (p[0] == 0xc5) {
		insn->vex = VEX_2;
		insn->map = 1;
		ext->map = V1;
		ext->rex = rxb & 0x80 ? REX_R : 0;
		last = p[1] & 0x7f;
		p += 2;
	} else {
		insn->vex = VEX_3;
		insn->map = p[1] & 0x1f;
		ext->map = insn->map < 4 ? maps[insn->map] : NR_MAPS;
		ext->rex = rxb >> 5 | (p[2] & 0x80 ? REX_W : 0);
		last = p[2];
		p += 3;
	}
	if (insn->code_size != CODE64)
		ext->rex &= REX_W;
	insn->vex_w = ext->rex >> 3;
	insn->vvvv = ~last >> 3 & 15;
	insn->vex_l = last >> 2 & 1;
	insn->vex_pp = last & 3;
	return p;
}

/*
 * Opcode maps behind 0F; returns the opcode byte.  0F 39 and 0F 3B to 3F are
 * undefined, but have the lengths of 0F 38 and 0F 3A.
 */
static const uint8_t *decode_escape(struct insn *insn, const uint8_t *p,
				    struct ext *ext)
{
	insn->map = 1;
	if ((p[1] & 0xf8) == 0x38)
		insn->map = p[1] & 2 ? 3 : 2;
	ext->map = insn->map > 1 && (p[1] & 5) ? NR_MAPS : insn->map;
	return p + (insn->map == 1 ? 1 : 2);
}

static unsigned int opcode_key(const struct insn *insn, unsigned int rex)
{
	static const uint8_t vex_pfx[4] = { 0, 1, 2, 3 };
	unsigned int pfx;

	if (insn->vex)
		pfx = vex_pfx[insn->vex_pp];
	else if (insn->rep)
		pfx = insn->rep == 0xf3 ? 2 : 3;
	else
		pfx = insn->p66;
	return pfx << KEY_PFX | (insn->modrm >= 0xc0) << KEY_MOD3 |
	       (insn->modrm >> 3 & 7) << KEY_REG | (insn->modrm & 7) << KEY_RM |
	       insn->vex_l << KEY_L | (rex >> 3) << KEY_W |
	       (insn->code_size == CODE64) << KEY_MODE64 |
	       (rex & REX_B) << KEY_B;
}

static const struct insn_row *find_row(unsigned int slot, unsigned int key)
{
	unsigned int i = slot & SLOT_ROW;

	if (slot & SLOT_GROUP)
		i += key >> KEY_REG & 7;
	do {
		uint32_t cond = insn_conditions[i];

		if (!((key ^ cond) & cond >> 16))
			return &insn_table[i];
		i++;
	} while (!(insn_conditions[i] & BIT(KEY_FIRST)));
	return INSN_UNDEFINED;
}

static uint8_t operand_size(const struct insn *insn, unsigned int rex,
			    uint32_t attr)
{
	if (insn->code_size == CODE64) {
		if (rex & REX_W || attr & IA_FORCE64)
			return 8;
		if (insn->vex)
			return 4;
		if (attr & IA_DEF64)
			return insn->p66 ? 2 : 8;
		return insn->p66 ? 2 : 4;
	}
	if (insn->vex)
		return 4;
	return (insn->code_size == CODE32) != insn->p66 ? 4 : 2;
}

static uint8_t address_size(const struct insn *insn)
{
	if (insn->code_size == CODE64)
		return insn->p67 ? 4 : 8;
	return (insn->code_size == CODE32) != insn->p67 ? 4 : 2;
}

/* Gathers need a SIB byte and three different vector registers. */
static bool bad_gather(const struct insn *insn)
{
	return insn->addrsize == 2 || (insn->modrm & 7) != 4 ||
	       insn->reg == insn->vvvv || insn->reg == insn->index ||
	       insn->index == insn->vvvv;
}

/* Conditions that make an otherwise defined encoding raise #UD. */
static bool undefined(const struct insn *insn)
{
	uint32_t attr = insn->row->attr;

	if (attr & (insn->code_size == CODE64 ? IA_NO64 : IA_ONLY64))
		return true;
	if (insn->lock && !(attr & IA_LOCK && insn->has_mem))
		return true;
	return attr & IA_VSIB && bad_gather(insn);
}

static void set_undefined(struct insn *insn)
{
	insn->row = INSN_UNDEFINED;
	insn->mem_access = 0;
	insn->mem_size = 0;
	insn->nops = 0;
}

/* ModRM byte at @p and what follows up to the displacement's end. */
static const uint8_t *decode_modrm(struct insn *insn, const uint8_t *p,
				   const uint8_t *start, unsigned int slot,
				   struct ext *ext)
{
	insn->has_modrm = true;
	insn->off_modrm = p - start;
	insn->modrm = *p++;
	insn->mod = insn->modrm >> 6;
	insn->reg = (insn->modrm >> 3 & 7) | (ext->rex & REX_R) << 1;
	insn->rm = (insn->modrm & 7) | (ext->rex & REX_B) << 3;
	insn->row = find_row(slot, opcode_key(insn, ext->rex));
	if (insn->row->attr & IA_REGONLY)
		insn->mod = 3;
	if (insn->mod != 3)
		p = modrm_decode(insn, p, start, ext->rex);
	return p;
}

/*
 * EVEX and XOP are not offered; their lengths follow VEX's rules: ModRM
 * always, an immediate byte in maps 3 (EVEX), 8 (XOP), four in map 10.
 */
static const uint8_t *decode_unoffered(struct insn *insn, const uint8_t *p,
				       const uint8_t *start)
{
	struct ext ext = { .rex = ~p[1] >> 5 };
	bool evex = p[0] == 0x62;
	unsigned int map = p[1] & (evex ? 7 : 0x1f), imm;

	if (insn->code_size != CODE64)
		ext.rex = 0;
	p += evex ? 4 : 3;
	insn->map = map;
	insn->off_opcode = p - start;
	insn->opcode = *p++;
	imm = map == 10 ? 4 : map == 3 || map == 8;
	/* EVEX compare, shuffle, insert, extract and shift in map 0F. */
	if (evex && map == 1)
		imm = (insn->opcode >= 0x70 && insn->opcode <= 0x73) ||
		      insn->opcode == 0xc2 ||
		      (insn->opcode >= 0xc4 && insn->opcode <= 0xc6);
	insn->addrsize = address_size(insn);
	insn->opsize = 4;
	p = decode_modrm(insn, p, start, 0, &ext);
	return p + imm;
}

/*
 * VEX maps 0, 4, 8...: the length of LES, that is the second byte counts as
 * ModRM.
 */
static const uint8_t *undefined_vex(struct insn *insn, const uint8_t *p,
				    const uint8_t *start)
{
	struct ext ext = { .rex = 0 };

	insn->off_opcode = p - start;
	insn->opcode = *p;
	insn->addrsize = address_size(insn);
	insn->opsize = 4;
	return decode_modrm(insn, p + 1, start, 0, &ext);
}

/*
 * What stands behind opcode 0F @opcode decides if VEX does not know it: nothing
 * behind 3DNow!, a ModRM byte without addressing form behind MOV CR and MOV DR.
 */
static unsigned int legacy_slot(uint8_t opcode)
{
	switch (opcode) {
	case 0x0f:
	case 0x20 ... 0x23:
		return 0;
	case 0x7a:
	case 0x7b:
	case 0xa6:
	case 0xa7:
		return SLOT_MODRM;
	default:
		return insn_slots[M1][opcode] & SLOT_MODRM;
	}
}

/* The same for its immediate bytes, and a ModRM byte that stands alone. */
static unsigned int legacy_imm(uint8_t opcode)
{
	switch (opcode) {
	case 0x80 ... 0x8f:
		return 4;
	case 0x20 ... 0x23:
	case 0x70 ... 0x73:
	case 0xa4:
	case 0xac:
	case 0xba:
	case 0xc2:
	case 0xc4 ... 0xc6:
		return 1;
	default:
		return 0;
	}
}

/*
 * What stands behind undefined opcodes of map 0F on Intel's processors: they
 * raise #UD, but not before it has been fetched.
 */
static unsigned int undefined_slot(uint8_t opcode)
{
	switch (opcode) {
	case 0x7a:
	case 0x7b:
	case 0xa6:
	case 0xa7:
		return SLOT_MODRM;
	default:
		return 0;
	}
}

static unsigned int undefined_imm(uint8_t opcode)
{
	return opcode >= 0xc4 && opcode <= 0xc6;
}

static const uint8_t *decode_opcode(struct insn *insn, const uint8_t *p,
				    const uint8_t *start)
{
	/* In 16- and 32-bit code, C4, C5 and 62 with ModRM.mod 3 are free. */
	bool prefix_form = insn->code_size == CODE64 || p[1] >= 0xc0;
	struct ext ext = { .rex = insn->rex, .map = M0 };
	unsigned int slot;

	if (*p == 0x0f)
		p = decode_escape(insn, p, &ext);
	else if (*p == 0xc4 && prefix_form && !(p[1] & 3))
		return undefined_vex(insn, p, start);
	else if ((*p & 0xfe) == 0xc4 && prefix_form)
		p = decode_vex(insn, p, &ext);
	else if ((*p == 0x62 && prefix_form) ||
		 (*p == 0x8f && (p[1] & 0x1f) >= 8))
		return decode_unoffered(insn, p, start);

	insn->off_opcode = p - start;
	insn->opcode = *p++;
	slot = ext.map < NR_MAPS ? insn_slots[ext.map][insn->opcode] : 0;
	/* What VEX does not define looks like the opcode without VEX. */
	if (!slot && insn->vex && (insn->map & 3) == 1)
		slot = legacy_slot(insn->opcode);
	else if (!slot && ext.map >= M2)
		slot = SLOT_MODRM;
	else if (!slot && ext.map == M1)
		slot = undefined_slot(insn->opcode);
	insn->addrsize = address_size(insn);
	if (slot & SLOT_MODRM)
		p = decode_modrm(insn, p, start, slot, &ext);
	else
		insn->row = find_row(slot, opcode_key(insn, ext.rex));
	insn->opsize = operand_size(insn, ext.rex, insn->row->attr);
	if (insn->row == INSN_UNDEFINED && insn->vex && (insn->map & 3) == 1)
		return p + legacy_imm(insn->opcode);
	if (insn->row == INSN_UNDEFINED && insn->vex)
		return p + ((insn->map & 3) == 3);
	if (insn->row == INSN_UNDEFINED && ext.map == M1)
		return p + undefined_imm(insn->opcode);
	if (insn->row == INSN_UNDEFINED)
		return p + (insn->map == 3);
	if (insn->vex && (insn->p66 || insn->rep || insn->lock || insn->rex))
		insn->row = INSN_UNDEFINED;
	return operands_decode(insn, p, start, ext.rex);
}

/*
 * Take the bytes once: guest memory may change under us, and what was judged
 * must be what is copied.  @window comes in zeroed.
 */
static void take_bytes(uint64_t window[DECODE_WINDOW / 8], const uint8_t *bytes,
		       unsigned int avail)
{
	uint64_t low, high;

	if (likely(avail >= 16)) {
		__builtin_memcpy(&low, bytes, 8);
		__builtin_memcpy(&high, bytes + 8, 8);
		__asm__("" : "+r"(low), "+r"(high));
		window[0] = low;
		window[1] = high;
		return;
	}
	for (unsigned int i = 0; i < avail; i++)
		((uint8_t *)window)[i] = ((const volatile uint8_t *)bytes)[i];
}

/* The 15 bytes of an instruction at most, as two overlapping words. */
static void keep_bytes(struct insn *insn, const uint64_t *window)
{
	uint64_t high = window[0] >> 56 | window[1] << 8;

	__builtin_memcpy(insn->bytes, &window[0], 8);
	__builtin_memcpy(insn->bytes + 7, &high, 8);
}

/* Words one by one: for this size a string instruction takes far longer. */
static void clear(struct insn *insn, enum code_size cs)
{
	uint64_t *word = (uint64_t *)insn;

#pragma GCC unroll 32
	for (unsigned int i = 0; i < sizeof(*insn) / 8; i++)
		word[i] = 0;
	insn->code_size = cs;
	insn->seg_ovr = SEG_NONE;
	insn->base = GPR_NONE;
	insn->index = GPR_NONE;
	insn->seg = SEG_DS;
}

enum decode_result insn_decode(const uint8_t *bytes, unsigned int avail,
			       enum code_size cs, struct insn *insn)
{
	uint64_t window[DECODE_WINDOW / 8] = { 0 };
	const uint8_t *start = (const uint8_t *)window, *p;
	unsigned int len = MAX_INSN_LEN + 1;

	take_bytes(window, bytes, avail);
	clear(insn, cs);
	keep_bytes(insn, window);
	p = decode_prefixes(insn, start);
	if (p)
		len = decode_opcode(insn, p, start) - start;
	if (len > avail || len > MAX_INSN_LEN)
		return avail < MAX_INSN_LEN ? DECODE_MORE : DECODE_TOO_LONG;
	insn->len = len;
	if (unlikely(undefined(insn)))
		set_undefined(insn);
	return DECODE_OK;
}

bool insn_66_in_opcode(const struct insn_row *row)
{
	const uint32_t cond = insn_conditions[row - insn_table];
	const bool fixed = (cond >> (16 + KEY_PFX) & 3) == 3;

	/* With F2 and F3 it is an operand size again. */
	return fixed && (cond >> KEY_PFX & 3) <= 1;
}
