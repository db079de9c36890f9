#include <string.h>

#include "cpu/fpu.h"
#include "fuzz/insn/gen.h"
#include "x86/defs.h"

uint64_t gen_value(struct rng *g)
{
	uint64_t r = rng64(g);

	switch (rng_below(g, 10)) {
	case 0:
		return r & 0xff;
	case 1:
		return 1ull << (r & 63);
	case 2:
		return (1ull << (r & 63)) - 1;
	case 3:
		return -(1ull << (r & 63));
	case 4:
		return -(r & 0xff);
	case 5:
		return (int32_t)r;
	case 6:
		return (uint32_t)r;
	case 7:
		return r >> (r & 63);
	default:
		return r;
	}
}

static const uint32_t floats[] = {
	0,	    0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
	0x7fc00000, 0x7f800001, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff,
	0x4f000000, 0xcf000000, 0x5f000000, 0x3effffff, 0x40490fdb, 0x3f000000,
};

static const uint64_t doubles[] = {
	0,
	0x8000000000000000,
	0x3ff0000000000000,
	0xbff0000000000000,
	0x7ff0000000000000,
	0xfff0000000000000,
	0x7ff8000000000000,
	0x7ff0000000000001,
	0x0000000000000001,
	0x800fffffffffffff,
	0x0010000000000000,
	0x7fefffffffffffff,
	0x41e0000000000000,
	0xc1e0000000000000,
	0x43e0000000000000,
	0x400921fb54442d18,
	0x3fe0000000000000,
	0x36a0000000000000,
};

static uint64_t gen_lane(struct rng *g, unsigned int kind)
{
	uint64_t r = rng64(g);

	switch (kind) {
	case 0:
		return floats[r % ARRAY_SIZE(floats)] |
		       (uint64_t)floats[(r >> 32) % ARRAY_SIZE(floats)] << 32;
	case 1:
		return doubles[r % ARRAY_SIZE(doubles)];
	case 2: /* floats of moderate size */
		return (r & 0x80ffffff80ffffff) | 0x3e0000003e000000;
	case 3: /* doubles likewise */
		return (r & 0x803fffffffffffff) | 0x3fc0000000000000;
	case 4: /* small indices */
		return r & 0x000001ff000001ff;
	case 5: /* masks */
		return (r & 1 ? 0xffffffff : 0) |
		       (r & 2 ? 0xffffffff00000000 : 0);
	case 6:
		return gen_value(g);
	default:
		return r;
	}
}

void gen_data(struct rng *g, uint8_t *data, unsigned int len)
{
	unsigned int kind = rng_below(g, 9);
	uint64_t v;

	for (unsigned int n = 0; n < len; n += 8) {
		v = gen_lane(g, kind);
		memcpy(data + n, &v, len - n < 8 ? len - n : 8);
	}
}

static void put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, 2);
}

/* x87 registers: numbers of 80 bits, integers, MMX values, anything. */
static void gen_st(struct rng *g, uint8_t *st)
{
	uint64_t m = rng64(g);
	uint16_t e = m;

	switch (rng_below(g, 6)) {
	case 0:
		e = 0x3ff0 + (m & 31);
		m |= BIT(63);
		break;
	case 1:
		e = 0x7fff | (e & 0x8000);
		m = m & 1 ? BIT(63) : m;
		break;
	case 2:
		e &= 0x8000;
		m = m & 1 ? 0 : m & MASK(63);
		break;
	case 3:
		e = 0xffff; /* MMX */
		break;
	case 4:
		e = (e & 0x8000) | (0x3fff + (e & 63));
		m |= BIT(63);
		break;
	default:
		break;
	}
	memcpy(st, &m, 8);
	put16(st + 8, e);
}

static void gen_x87(struct rng *g, uint8_t *fpu)
{
	uint16_t fcw = 0x37f, fsw = 0;
	uint64_t r = rng64(g);

	if (one_in(g, 3))
		fcw = 0x37f ^ (r & 0xf00);
	if (one_in(g, 10)) /* some exceptions unmasked */
		fcw &= ~(r >> 12 & 0x3f);
	fsw = (r >> 24 & 7) << 11 | (r >> 32 & 0x4700);
	if (one_in(g, 8))
		fsw |= r >> 40 & 0x7f;
	/* Exceptions that are unmasked and wait: with the summary bits. */
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	put16(fpu, fcw);
	put16(fpu + 2, fsw);
	fpu[XSAVE_FTW] = one_in(g, 3) ? r >> 48 : one_in(g, 2) ? 0xff : 0;
	for (unsigned int n = 0; n < 8; n++)
		gen_st(g, fpu + XSAVE_ST + 16 * n);
}

static void gen_vectors(struct rng *g, uint8_t *fpu)
{
	for (unsigned int n = 0; n < 16; n++) {
		gen_data(g, fpu + XSAVE_XMM + 16 * n, 16);
		gen_data(g, fpu + XSAVE_AVX + 16 * n, 16);
	}
}

static uint32_t gen_mxcsr(struct rng *g)
{
	uint32_t r = rng64(g);

	if (!one_in(g, 3))
		return 0x1f80;
	if (!one_in(g, 4))
		return 0x1f80 | (r & 0xe07f);
	return r & 0xffff;
}

static uint64_t gen_flags(struct rng *g)
{
	static const struct {
		uint64_t flag;
		unsigned int one_in;
	} rare[] = {
		{ RFLAGS_DF, 6 },  { RFLAGS_AC, 24 }, { RFLAGS_TF, 64 },
		{ RFLAGS_NT, 64 }, { RFLAGS_ID, 16 }, { RFLAGS_RF, 64 },
	};
	uint64_t fl = RFLAGS_FIXED | RFLAGS_IF | (rng64(g) & RFLAGS_STATUS);

	for (unsigned int n = 0; n < ARRAY_SIZE(rare); n++)
		if (one_in(g, rare[n].one_in))
			fl |= rare[n].flag;
	return fl;
}

void gen_state(struct rng *g, struct fuzz_case *c)
{
	bool mode64 = c->mode == CODE64;
	uint64_t in_use = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	uint32_t mxcsr = gen_mxcsr(g), mask = 0xffff;

	for (unsigned int n = 0; n < NR_GPRS; n++) {
		c->gpr[n] = gen_value(g);
		if (!mode64)
			c->gpr[n] = (uint32_t)c->gpr[n];
	}
	c->rflags = gen_flags(g);
	if (mode64) {
		c->fs_base = one_in(g, 2)
				     ? ARENA + 0x1000 + (rng64(g) & 0xfff)
				     : (uint64_t)((int64_t)gen_value(g) >> 17);
		c->gs_base = one_in(g, 2) ? HIGH + 0x1000 : 0;
	} else {
		c->seg[SEG_ES] = c->seg[SEG_DS] =
			c->mode == CODE32 ? SEL_DATA : SEL_DATA16;
		if (c->mode == CODE16 && one_in(g, 2))
			c->seg[SEG_SS] = SEL_DATA16;
		c->seg[SEG_FS] = SEL_TLS0;
		c->seg[SEG_GS] = SEL_TLS1;
		c->fs_base = TLS0_BASE;
		c->gs_base = TLS1_BASE;
	}
	gen_x87(g, c->fpu);
	gen_vectors(g, c->fpu);
	memcpy(c->fpu + XSAVE_MXCSR, &mxcsr, 4);
	memcpy(c->fpu + XSAVE_MXCSR_MASK, &mask, 4);
	memcpy(c->fpu + XSAVE_HEADER, &in_use, 8);
}
