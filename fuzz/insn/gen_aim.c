#include <string.h>

#include "fuzz/insn/gen.h"
#include "x86/defs.h"

/* Where accesses and jumps go, and how they are made to go there. */

enum place {
	PLACE_ALIGNED,
	PLACE_ANY,
	PLACE_CROSS_RW,
	PLACE_CROSS_RO,
	PLACE_CROSS_OUT,
	PLACE_CROSS_IN,
	PLACE_RO,
	PLACE_ABSENT,
	PLACE_CODE,
	PLACE_OWN_CODE,
	PLACE_END,
	PLACE_KERNEL,
	PLACE_DEVICE,
	NR_PLACES,
};

/* How often, of 64. */
static const uint8_t weights[NR_PLACES] = {
	[PLACE_ALIGNED] = 22, [PLACE_ANY] = 16,	     [PLACE_CROSS_RW] = 6,
	[PLACE_CROSS_RO] = 2, [PLACE_CROSS_OUT] = 2, [PLACE_CROSS_IN] = 2,
	[PLACE_RO] = 4,	      [PLACE_ABSENT] = 2,    [PLACE_CODE] = 2,
	[PLACE_OWN_CODE] = 1, [PLACE_END] = 1,	     [PLACE_KERNEL] = 1,
	[PLACE_DEVICE] = 3,
};

static enum place pick_place(struct rng *g)
{
	int r = rng_below(g, 64);

	for (unsigned int p = 0; p < NR_PLACES; p++) {
		r -= weights[p];
		if (r < 0)
			return p;
	}
	return PLACE_ALIGNED;
}

/* The last bytes of the address space's lower half, or of 4 GiB. */
static uint64_t end_of_space(struct rng *g, const struct fuzz_case *c)
{
	uint64_t r = rng64(g);

	if (c->mode == CODE16 && r >> 63)
		return DATA16_BASE + 0x10000 - (r & 63);
	if (c->mode != CODE64)
		return (uint32_t) - (r & 63);
	switch (r >> 60 & 3) {
	case 0:
		return 0x7ffffffff000 + (r & 0xfff);
	case 1:
		return 0x800000000000 + (r & 0xfff) - 64;
	case 2:
		return 0xffff800000000000 - (r & 63);
	default:
		return (r & MASK(62)) | BIT(62);
	}
}

uint64_t gen_target(struct rng *g, struct fuzz_case *c, unsigned int size)
{
	bool high = c->mode == CODE64 && one_in(g, 3);
	uint64_t base = high ? HIGH : ARENA, r = rng64(g);
	unsigned int part = 1 + r % (size > 1 ? size : 1);
	enum place p = pick_place(g);

	switch (p) {
	case PLACE_ANY:
		return base + 0x1000 + (r >> 32) % 0x1fc0;
	case PLACE_CROSS_RW:
		return base + 0x2000 - part;
	case PLACE_CROSS_RO:
		return base + 0x3000 - part;
	case PLACE_CROSS_OUT:
		return base + 0x4000 - part;
	case PLACE_CROSS_IN:
		return base + 0x1000 - part;
	case PLACE_RO:
		return base + 0x3000 + ((r >> 32) & 0xfc0);
	case PLACE_ABSENT:
		return base + (r & 0x1000 ? 0x4000 : 0) + ((r >> 32) & 0xfff);
	case PLACE_CODE:
		return (high ? HIGH_CODE : ARENA_CODE) + ((r >> 32) & 0x3fff);
	case PLACE_OWN_CODE:
		return c->rip + r % 24;
	case PLACE_END:
		return end_of_space(g, c);
	case PLACE_KERNEL:
		if (c->mode == CODE64)
			return r | 0xffff800000000000;
		return 0xc0000000 | r >> 34;
	case PLACE_DEVICE:
		if (size > 64)
			break;
		c->twin = TWIN_NONE;
		return ARENA + 0x7000 + ((r >> 32) & 0xff8) +
		       (r & 0xf00 ? 0 : r & 7);
	default:
		break;
	}
	if (one_in(g, 4) && !high)
		return ARENA + 0x5000 + ((r >> 32) & 0xfc0);
	return base + 0x1000 + ((r >> 32) & 0x1fc0);
}

uint64_t gen_code_target(struct rng *g, const struct fuzz_case *c)
{
	uint64_t r = rng64(g), base = case_code_base(c);

	switch (rng_below(g, 16)) {
	case 0:
		return ARENA + (r & 0x7fff); /* no code */
	case 1:
		return end_of_space(g, c);
	case 2:
		return gen_value(g);
	case 3:
	case 4:
		return c->rip + CASE_BYTES + (r & 63) - base;
	default:
		return (c->rip & ~0x3fffull) + (r & 0x3fff) - base;
	}
}

uint64_t segment_base(const struct fuzz_case *c, unsigned int seg)
{
	if (c->mode == CODE16 && seg == SEG_CS)
		return CODE16_BASE;
	if (c->mode == CODE16 && seg == SEG_SS)
		return c->seg[SEG_SS] ? DATA16_BASE : 0;
	if (c->mode == CODE16 && seg < SEG_FS)
		return DATA16_BASE;
	if (seg == SEG_FS)
		return c->fs_base;
	return seg == SEG_GS ? c->gs_base : 0;
}

static bool patch_disp(struct fuzz_case *c, struct insn *i, unsigned int at,
		       int64_t disp)
{
	unsigned int len = i->disp_len;
	int64_t cut = len == 8 ? disp : len == 4 ? (int32_t)disp : (int8_t)disp;

	if (!len || (len == 2 && c->mode != CODE16))
		return false;
	if (len == 2)
		cut = disp = (int16_t)disp;
	if (cut != disp &&
	    !(i->addrsize == 4 && len == 4 && !((uint64_t)disp >> 32)))
		return false;
	memcpy(c->bytes + at + i->off_disp, &disp, len);
	memcpy(i->bytes + i->off_disp, &disp, len);
	i->disp = cut;
	return true;
}

static void set_base(struct fuzz_case *c, unsigned int reg, unsigned int size,
		     uint64_t v)
{
	uint64_t mask = MASK(8 * size);

	if (c->mode != CODE64 && mask > MASK(32))
		mask = MASK(32);
	c->gpr[reg] = (c->gpr[reg] & ~mask) | (v & mask);
}

bool aim(struct fuzz_case *c, struct insn *i, unsigned int at, uint64_t target)
{
	uint64_t need = target - segment_base(c, i->seg), rest;
	bool vsib = i->row->attr & IA_VSIB;

	if (i->addrsize == 4)
		need = (uint32_t)need;
	if (i->rip_rel)
		return patch_disp(c, i, at, need - (c->rip + at + i->len));
	rest = i->index == GPR_NONE || vsib ? 0 : c->gpr[i->index] << i->scale;
	if (i->base != GPR_NONE && (vsib || i->base != i->index)) {
		set_base(c, i->base, i->addrsize, need - rest - i->disp);
		return true;
	}
	if (i->base == GPR_NONE && i->index != GPR_NONE && !i->scale && !vsib) {
		set_base(c, i->index, i->addrsize, need - i->disp);
		return true;
	}
	if (i->base != GPR_NONE)
		rest += c->gpr[i->base];
	return patch_disp(c, i, at, need - rest);
}
