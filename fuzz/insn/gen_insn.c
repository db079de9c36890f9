#include <stdlib.h>
#include <string.h>

#include "fuzz/insn/gen.h"
#include "x86/table.h"

#define MAX_ROWS 2048

static struct form form[MAX_ROWS];

void forms_init(void)
{
	for (unsigned int map = 0; map < NR_MAPS; map++) {
		for (unsigned int op = 0; op < 256; op++) {
			unsigned int row = insn_slots[map][op] & SLOT_ROW;

			if (!row)
				continue;
			do {
				if (!form[row].used)
					form[row] = (struct form){ map, op, op,
								   true };
				form[row].last = op;
			} while (!(insn_conditions[++row] & BIT(KEY_FIRST)));
		}
	}
}

const struct form *form_of(unsigned int row)
{
	return &form[row];
}

/* What a row's condition says of a field of the key: its value, or any. */
struct cond {
	uint32_t bits;
	struct rng *g;
};

static unsigned int field(const struct cond *c, unsigned int at,
			  unsigned int width)
{
	unsigned int mask = c->bits >> (16 + at) & MASK(width);
	unsigned int any = rng64(c->g) & MASK(width);

	return (c->bits >> at & mask) | (any & ~mask);
}

static bool fixed(const struct cond *c, unsigned int at)
{
	return c->bits >> (16 + at) & 1;
}

/* Bytes under construction. */
struct out {
	uint8_t b[64];
	unsigned int n;
};

static void put(struct out *o, uint8_t byte)
{
	o->b[o->n++] = byte;
}

static void put_segment(struct rng *g, struct out *o)
{
	static const uint8_t segs[] = { 0x26, 0x2e, 0x36, 0x3e,
					0x64, 0x65, 0x64, 0x65 };

	put(o, segs[rng_below(g, 8)]);
}

/* KEY_PFX: 0 none, 1 66, 2 F3, 3 F2. */
static void put_mandatory(struct rng *g, struct out *o, const struct cond *c)
{
	static const uint8_t pfx[4] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned int key = field(c, KEY_PFX, 2);

	if (!fixed(c, KEY_PFX) && !fixed(c, KEY_PFX + 1)) {
		/* Free: 66 is the operand size, F2 and F3 mean little. */
		if (one_in(g, 4))
			put(o, 0x66);
		if (one_in(g, 12))
			put(o, pfx[2 + rng_below(g, 2)]);
		return;
	}
	if (key)
		put(o, pfx[key]);
	if (key >= 2 && one_in(g, 8))
		put(o, 0x66);
}

static void put_prefixes(struct rng *g, struct out *o, const struct cond *c,
			 const struct insn_row *row, bool vex)
{
	if (one_in(g, 8))
		put_segment(g, o);
	if (one_in(g, 10)) {
		put(o, 0x67);
		/* 16-bit addresses reach memory through a segment's base. */
		if (!one_in(g, 4))
			put(o, 0x64);
	}
	if (one_in(g, row->attr & IA_LOCK ? 5 : 100))
		put(o, 0xf0);
	if ((row->attr & IA_REP) && one_in(g, 2))
		put(o, 0xf2 + rng_below(g, 2));
	if (vex) {
		/* Not allowed there. */
		if (one_in(g, 200))
			put(o, one_in(g, 2) ? 0x66 : 0xf3);
	} else {
		put_mandatory(g, o, c);
	}
	/* Again, in another order. */
	if (one_in(g, 32))
		put_segment(g, o);
	if (o->n && one_in(g, 32))
		put(o, o->b[rng_below(g, o->n)]);
}

static void put_rex(struct rng *g, struct out *o, const struct cond *c)
{
	uint8_t rex = 0x40 | field(c, KEY_W, 1) << 3 | (rng64(g) & 6) |
		      field(c, KEY_B, 1);
	bool needed = (c->bits >> 16 & c->bits) & (BIT(KEY_W) | BIT(KEY_B));

	if (one_in(g, 64)) /* without effect */
		put(o, 0x40 | (rng64(g) & 15));
	if (needed || one_in(g, 2))
		put(o, rex);
}

static bool uses_vvvv(const struct insn_row *row)
{
	for (unsigned int n = 0; n < MAX_OPERANDS && row->spec[n]; n++) {
		unsigned int class = operand_specs[row->spec[n]].class;

		if (class == OC_B || class == OC_H)
			return true;
	}
	return false;
}

static void put_vex(struct rng *g, struct out *o, const struct cond *c,
		    const struct form *f, const struct insn_row *row,
		    enum code_size mode)
{
	unsigned int w = field(c, KEY_W, 1), map = f->map - V1 + 1;
	unsigned int vvvv = rng64(g) & 15, rxb = rng64(g) & 7;
	uint8_t last;

	if (!uses_vvvv(row) && !one_in(g, 64))
		vvvv = 15;
	/* Outside 64-bit mode R and X set tell VEX from LES and LDS. */
	if (mode != CODE64)
		rxb |= 6;
	last = vvvv << 3 | field(c, KEY_L, 1) << 2 | field(c, KEY_PFX, 2);
	if (map == 1 && !w && one_in(g, 2)) {
		put(o, 0xc5);
		put(o, (rxb & 4) << 5 | last);
		return;
	}
	put(o, 0xc4);
	put(o, rxb << 5 | map);
	put(o, w << 7 | last);
}

static void put_opcode(struct rng *g, struct out *o, const struct form *f)
{
	if (f->map >= M1 && f->map <= M3)
		put(o, 0x0f);
	if (f->map == M2)
		put(o, 0x38);
	if (f->map == M3)
		put(o, 0x3a);
	put(o, f->first + rng_below(g, f->last - f->first + 1));
}

static void put_modrm(struct rng *g, struct out *o, const struct cond *c,
		      const struct insn_row *row)
{
	bool reg = field(c, KEY_MOD3, 1);
	unsigned int mod = reg ? 3 : rng_below(g, 3);
	unsigned int rm = field(c, KEY_RM, 3);

	if ((row->attr & IA_VSIB) && !one_in(g, 50))
		rm = 4;
	put(o, mod << 6 | field(c, KEY_REG, 3) << 3 | rm);
}

/* Displacements are small; 0 of a shift's count has a row of its own. */
static void put_tail(struct rng *g, struct out *o, const struct insn_row *row)
{
	uint64_t r = rng64(g);

	put(o, r); /* SIB */
	for (unsigned int n = 0; n < 24; n++) {
		uint64_t v = rng64(g);

		put(o, v >> 60 ? v : 0);
	}
	if (row->attr & IA_COUNT0) {
		uint8_t zero = one_in(g, 2) ? 0 : 0xe0 & r >> 8;

		memset(o->b + o->n - 24, zero, 24);
	}
}

static bool try_form(struct rng *g, unsigned int row, enum code_size mode,
		     struct insn *insn)
{
	const struct form *f = &form[row];
	struct cond c = { insn_conditions[row], g };
	struct out o = { .n = 0 };
	unsigned int slot;

	put_prefixes(g, &o, &c, &insn_table[row], f->map >= V1);
	if (f->map >= V1)
		put_vex(g, &o, &c, f, &insn_table[row], mode);
	else if (mode == CODE64)
		put_rex(g, &o, &c);
	put_opcode(g, &o, f);
	slot = insn_slots[f->map][f->first];
	if (slot & SLOT_MODRM)
		put_modrm(g, &o, &c, &insn_table[row]);
	put_tail(g, &o, &insn_table[row]);
	return insn_decode(o.b, 15, mode, insn) == DECODE_OK &&
	       insn->row == &insn_table[row];
}

bool gen_form(struct rng *g, unsigned int row, enum code_size mode,
	      struct insn *insn)
{
	for (unsigned int n = 0; n < 64; n++)
		if (try_form(g, row, mode, insn))
			return true;
	return false;
}

void gen_noise(struct rng *g, enum code_size mode, struct insn *insn)
{
	static const uint8_t starts[][4] = {
		{ 0 },	     { 1, 0x0f }, { 2, 0x0f, 0x38 }, { 2, 0x0f, 0x3a },
		{ 1, 0xc5 }, { 1, 0xc4 }, { 1, 0x62 },	     { 1, 0x8f },
	};
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0x67, 0xf0, 0x64,
					    0x65, 0x2e, 0x36, 0x48, 0x41, 0x44,
					    0x4f, 0x26, 0x3e, 0x40 };
	enum decode_result r;

	do {
		struct out o = { .n = 0 };
		const uint8_t *s = starts[rng_below(g, ARRAY_SIZE(starts))];

		for (unsigned int n = rng_below(g, 4); n--;)
			put(&o, prefixes[rng_below(g, 16)]);
		for (unsigned int n = 0; n < s[0]; n++)
			put(&o, s[1 + n]);
		while (o.n < 24)
			put(&o, rng64(g));
		r = insn_decode(o.b, 15, mode, insn);
	} while (r != DECODE_OK);
}
