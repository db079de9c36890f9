#include <string.h>

#include "cpu/fpu.h"
#include "cpu/ops_sys.h"

/*
 * Vector instructions that access memory by a mask, element by element:
 * gathers, masked loads and stores.  The vector registers are edited in a
 * native save area.
 */

/* A YMM register as an area holds it. */
struct vec {
	uint8_t b[32];
};

static struct vec vec_get(const struct fpu_area *a, unsigned int reg)
{
	struct vec v;

	memcpy(v.b, a->b + XSAVE_XMM + 16 * reg, 16);
	memcpy(v.b + 16, a->b + XSAVE_AVX + 16 * reg, 16);
	return v;
}

static void vec_set(struct fpu_area *a, unsigned int reg, const struct vec *v)
{
	uint64_t in_use;

	memcpy(a->b + XSAVE_XMM + 16 * reg, v->b, 16);
	memcpy(a->b + XSAVE_AVX + 16 * reg, v->b + 16, 16);
	memcpy(&in_use, a->b + XSAVE_HEADER, sizeof(in_use));
	in_use |= XCR0_SSE | XCR0_AVX;
	memcpy(a->b + XSAVE_HEADER, &in_use, sizeof(in_use));
}

static void regs_get(struct cpu *c, struct fpu_area *a)
{
	bool live = fpu_begin(c);

	fpu_store(a);
	fpu_end(c, live);
}

static void regs_set(struct cpu *c, const struct fpu_area *a)
{
	bool live = fpu_begin(c);

	fpu_restore(a);
	fpu_end(c, live);
}

/* The mask bit of element @n is the highest one. */
static bool selected(const struct vec *mask, unsigned int n, unsigned int size)
{
	return mask->b[n * size + size - 1] & 0x80;
}

static int64_t element(const struct vec *v, unsigned int n, unsigned int size)
{
	int64_t q;
	int32_t d;

	if (size == 8) {
		memcpy(&q, v->b + 8 * n, sizeof(q));
		return q;
	}
	memcpy(&d, v->b + 4 * n, sizeof(d));
	return d;
}

/* --- Gathers --- */

struct gather {
	unsigned int size, index_size; /* of an element: 4 or 8 */
	unsigned int count;
	unsigned int dst, index, mask; /* registers */
};

static void gather_begin(struct gather *g, const struct insn *i)
{
	const unsigned int vlen = i->vex_l ? 32 : 16;

	g->size = i->vex_w ? 8 : 4;
	g->index_size = i->opcode & 1 ? 8 : 4;
	g->count = vlen / (g->size > g->index_size ? g->size : g->index_size);
	g->dst = i->op[0].reg;
	g->index = i->index;
	g->mask = i->op[2].reg;
}

/* Elements in order; those that are done lose their mask bit. */
static enum cpu_result gather_elements(struct cpu *c, const struct insn *i,
				       const struct gather *g,
				       const struct vec *index,
				       struct vec *mask, struct vec *dst)
{
	const uint64_t base = cpu_lea(c, i);
	enum cpu_result r;

	for (unsigned int n = 0; n < g->count; n++) {
		int64_t v = element(index, n, g->index_size);
		uint64_t off = base + ((uint64_t)v << i->scale);

		if (selected(mask, n, g->size)) {
			r = cpu_read(c, i->seg, off & MASK(i->addrsize * 8),
				     dst->b + n * g->size, g->size);
			if (r != CPU_OK)
				return r;
		}
		memset(mask->b + n * g->size, 0, g->size);
	}
	return CPU_OK;
}

/*
 * A fault leaves what has been gathered in the registers, with the mask
 * telling what remains.  An exit restarts from the beginning.
 */
enum cpu_result op_gather(struct cpu *c, const struct insn *i)
{
	const unsigned int vlen = i->vex_l ? 32 : 16;
	struct vec index, mask, dst;
	struct fpu_area a;
	struct gather g;
	enum cpu_result r;

	gather_begin(&g, i);
	regs_get(c, &a);
	index = vec_get(&a, g.index);
	mask = vec_get(&a, g.mask);
	dst = vec_get(&a, g.dst);
	memset(mask.b + vlen, 0, sizeof(mask.b) - vlen);
	memset(dst.b + vlen, 0, sizeof(dst.b) - vlen);
	r = gather_elements(c, i, &g, &index, &mask, &dst);
	if (r == CPU_EXIT)
		return r;
	if (r == CPU_OK) {
		const unsigned int used = g.count * g.size;

		memset(mask.b, 0, sizeof(mask.b));
		memset(dst.b + used, 0, sizeof(dst.b) - used);
	}
	vec_set(&a, g.dst, &dst);
	vec_set(&a, g.mask, &mask);
	regs_set(c, &a);
	return r;
}

/* --- VMASKMOV, VPMASKMOV: when the access could not go directly --- */

static unsigned int maskmov_size(const struct insn *i)
{
	return i->row->id == ID_VMASKMOVPD || i->row->id == ID_VPMASKMOVQ ? 8
									  : 4;
}

static enum cpu_result mask_load(struct cpu *c, const struct insn *i,
				 unsigned int size, struct fpu_area *a)
{
	const struct vec mask = vec_get(a, i->op[1].reg);
	const unsigned int count = (i->vex_l ? 32 : 16) / size;
	const uint64_t off = cpu_lea(c, i);
	struct vec dst = { { 0 } };
	enum cpu_result r;

	for (unsigned int n = 0; n < count; n++) {
		if (!selected(&mask, n, size))
			continue;
		r = cpu_read(c, i->seg,
			     (off + n * size) & MASK(i->addrsize * 8),
			     dst.b + n * size, size);
		if (r != CPU_OK)
			return r;
	}
	vec_set(a, i->op[0].reg, &dst);
	regs_set(c, a);
	return CPU_OK;
}

/*
 * Stores the elements of @v that @mask selects.  Neighbours go together, all
 * are probed before the first is written.
 */
static enum cpu_result mask_store(struct cpu *c, unsigned int seg, uint64_t off,
				  uint64_t wrap, const struct vec *v,
				  const struct vec *mask, unsigned int size,
				  unsigned int count)
{
	const unsigned int acc = cpu_access(c) | ACCESS_WRITE;
	enum cpu_result r;
	uint8_t *hva;
	gva_t gva;
	gpa_t gpa;

	for (unsigned int n = 0; n < count * size; n++) {
		if (!selected(mask, n / size, size))
			continue;
		r = cpu_linear(c, seg, (off + n) & wrap, 1, ACC_W, &gva);
		if (r == CPU_OK)
			r = mem_host(&c->mmu, gva, 1, acc, &hva, &gpa,
				     &c->fault);
		if (r != CPU_OK)
			return r;
	}
	for (unsigned int n = 0, end; n < count; n = end) {
		for (end = n; end < count && selected(mask, end, size); end++)
			continue;
		if (end == n) {
			end++;
			continue;
		}
		r = cpu_write(c, seg, (off + n * size) & wrap, v->b + n * size,
			      (end - n) * size);
		if (r != CPU_OK)
			return r;
	}
	return CPU_OK;
}

enum cpu_result op_vmaskmov(struct cpu *c, const struct insn *i)
{
	const unsigned int size = maskmov_size(i);
	struct fpu_area a;
	struct vec v, mask;

	regs_get(c, &a);
	if (i->op[0].kind == OPK_VEC)
		return mask_load(c, i, size, &a);
	v = vec_get(&a, i->op[2].reg);
	mask = vec_get(&a, i->op[1].reg);
	return mask_store(c, i->seg, cpu_lea(c, i), MASK(i->addrsize * 8), &v,
			  &mask, size, (i->vex_l ? 32 : 16) / size);
}

/* --- MASKMOVDQU, MASKMOVQ: to [rDI], byte by byte --- */

static enum cpu_result maskmov_bytes(struct cpu *c, const struct insn *i,
				     const struct vec *v,
				     const struct vec *mask, unsigned int len)
{
	const uint64_t wrap = MASK(i->addrsize * 8);
	unsigned int seg = i->seg_ovr == SEG_NONE ? SEG_DS : i->seg_ovr;

	return mask_store(c, seg, c->gpr[RDI] & wrap, wrap, v, mask, 1, len);
}

enum cpu_result op_maskmovdqu(struct cpu *c, const struct insn *i)
{
	struct fpu_area a;
	struct vec v, mask;

	regs_get(c, &a);
	v = vec_get(&a, i->op[0].reg);
	mask = vec_get(&a, i->op[1].reg);
	return maskmov_bytes(c, i, &v, &mask, 16);
}

static struct vec mmx_get(const struct fpu_area *a, unsigned int reg)
{
	struct vec v = { { 0 } };

	memcpy(v.b, a->b + XSAVE_ST + 16 * reg, 8);
	return v;
}

/* As every MMX instruction: the stack top is 0 and all tags are valid. */
static void enter_mmx(struct fpu_area *a)
{
	uint64_t in_use;

	a->b[3] &= ~0x38; /* FSW.TOP, bits 13:11 */
	a->b[XSAVE_FTW] = 0xff;
	memcpy(&in_use, a->b + XSAVE_HEADER, sizeof(in_use));
	in_use |= XCR0_X87;
	memcpy(a->b + XSAVE_HEADER, &in_use, sizeof(in_use));
}

enum cpu_result op_maskmovq(struct cpu *c, const struct insn *i)
{
	struct fpu_area a;
	struct vec v, mask;
	enum cpu_result r;

	regs_get(c, &a);
	v = mmx_get(&a, i->op[0].reg);
	mask = mmx_get(&a, i->op[1].reg);
	r = maskmov_bytes(c, i, &v, &mask, 8);
	if (r != CPU_OK)
		return r;
	enter_mmx(&a);
	regs_set(c, &a);
	return CPU_OK;
}
