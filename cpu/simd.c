#include <string.h>

#include "cpu/fpu.h"
#include "cpu/mem.h"
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

/* All bits of an element become its mask bit. */
static void mask_extend(struct vec *mask, unsigned int size)
{
	for (unsigned int n = 0; n < sizeof(mask->b) / size; n++)
		memset(mask->b + n * size, selected(mask, n, size) ? 0xff : 0,
		       size);
}

struct gather {
	unsigned int size, index_size; /* of an element: 4 or 8 */
	unsigned int count, vlen;
	unsigned int dst, index, mask; /* registers */
};

static void gather_begin(struct gather *g, const struct insn *i)
{
	g->vlen = i->vex_l ? 32 : 16;
	g->size = i->vex_w ? 8 : 4;
	g->index_size = i->opcode & 1 ? 8 : 4;
	g->count =
		g->vlen / (g->size > g->index_size ? g->size : g->index_size);
	g->dst = i->op[0].reg;
	g->index = i->index;
	g->mask = i->op[2].reg;
}

/* Elements wrap with the mode, not with the address size. */
static uint64_t cut(const struct cpu *c, uint64_t off)
{
	return cpu_64bit(c) ? off : (uint32_t)off;
}

/* Elements are read and written without alignment checks. */
static enum cpu_result element_read(struct cpu *c, unsigned int seg,
				    uint64_t off, void *to, unsigned int size)
{
	gva_t gva;
	enum cpu_result r = cpu_linear(c, seg, cut(c, off), size,
				       ACC_R | ACC_UNALIGNED, &gva);

	if (r != CPU_OK)
		return r;
	return linear_read(c, gva, to, size, cpu_access(c) | ACCESS_UNALIGNED);
}

/* Elements in order; those that are done lose their mask bit. */
static enum cpu_result gather_elements(struct cpu *c, const struct insn *i,
				       const struct gather *g,
				       const struct vec *index,
				       struct vec *mask, struct vec *dst)
{
	const uint64_t base = cpu_lea(c, i);
	bool progress = false;
	enum cpu_result r;

	for (unsigned int n = 0; n < g->count; n++) {
		int64_t v = element(index, n, g->index_size);
		uint64_t off = base + ((uint64_t)v << i->scale);

		if (selected(mask, n, g->size)) {
			r = element_read(c, i->seg, off & MASK(i->addrsize * 8),
					 dst->b + n * g->size, g->size);
			/* A trap that waits comes in lieu of the fault. */
			if (r == CPU_FAULT && progress &&
			    (c->rflags & RFLAGS_TF)) {
				c->rflags |= RFLAGS_RF;
				c->fault = (struct x86_fault){
					.vector = VEC_DB,
					.address = DR6_BS,
				};
			}
			if (r != CPU_OK)
				return r;
			progress = true;
			memset(dst->b + g->vlen, 0, sizeof(dst->b) - g->vlen);
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
	struct vec index, mask, dst;
	struct fpu_area a;
	struct gather g;
	enum cpu_result r;

	gather_begin(&g, i);
	regs_get(c, &a);
	index = vec_get(&a, g.index);
	mask = vec_get(&a, g.mask);
	dst = vec_get(&a, g.dst);
	memset(mask.b + g.vlen, 0, sizeof(mask.b) - g.vlen);
	mask_extend(&mask, g.size);
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

/*
 * The addresses of all elements come before their pages, except for one that
 * wraps at 4 GiB.
 */
static enum cpu_result check_addresses(struct cpu *c, const struct insn *i,
				       const struct vec *mask,
				       unsigned int size, unsigned int count)
{
	const uint64_t base = cpu_lea(c, i);
	enum cpu_result r = CPU_OK;
	gva_t gva;

	for (unsigned int n = 0; n < count && r == CPU_OK; n++) {
		const uint64_t off = cut(c, base + n * size);

		if (!selected(mask, n, size) ||
		    (!cpu_64bit(c) && off + size - 1 > MASK(32)))
			continue;
		r = cpu_linear(c, i->seg, off, size, ACC_R | ACC_UNALIGNED,
			       &gva);
	}
	return r;
}

static enum cpu_result mask_load(struct cpu *c, const struct insn *i,
				 unsigned int size, struct fpu_area *a)
{
	const struct vec mask = vec_get(a, i->op[1].reg);
	const unsigned int count = (i->vex_l ? 32 : 16) / size;
	const uint64_t off = cpu_lea(c, i);
	struct vec dst = { { 0 } };
	enum cpu_result r = check_addresses(c, i, &mask, size, count);

	if (r != CPU_OK)
		return r;
	for (unsigned int n = 0; n < count; n++) {
		if (!selected(&mask, n, size))
			continue;
		r = element_read(c, i->seg, off + n * size, dst.b + n * size,
				 size);
		if (r != CPU_OK)
			return r;
	}
	vec_set(a, i->op[0].reg, &dst);
	regs_set(c, a);
	return CPU_OK;
}

/* Whether the byte at @off may be written. */
static enum cpu_result probe(struct cpu *c, unsigned int seg, uint64_t off)
{
	const unsigned int acc = cpu_access(c) | ACCESS_WRITE;
	enum cpu_result r;
	uint8_t *hva;
	gva_t gva;
	gpa_t gpa;

	r = cpu_linear(c, seg, cut(c, off), 1, ACC_W, &gva);
	if (r == CPU_OK)
		r = mem_host(&c->mmu, gva, 1, acc, &hva, &gpa, &c->fault);
	return r;
}

/*
 * The bytes from the first selected element to the last are probed at both
 * ends, as Intel's processors do: the second page's fault names the last byte.
 */
static enum cpu_result probe_selected(struct cpu *c, unsigned int seg,
				      uint64_t off, const struct vec *mask,
				      unsigned int size, unsigned int count)
{
	unsigned int first = 0, last = count;
	enum cpu_result r;

	while (first < count && !selected(mask, first, size))
		first++;
	if (first == count)
		return CPU_OK;
	while (!selected(mask, last - 1, size))
		last--;
	r = probe(c, seg, off + first * size);
	if (r == CPU_OK)
		r = probe(c, seg, off + last * size - 1);
	return r;
}

static enum cpu_result element_write(struct cpu *c, unsigned int seg,
				     uint64_t off, const void *from,
				     unsigned int size)
{
	gva_t gva;
	enum cpu_result r = cpu_linear(c, seg, cut(c, off), size,
				       ACC_W | ACC_UNALIGNED, &gva);

	if (r != CPU_OK)
		return r;
	return linear_write(c, gva, from, size,
			    cpu_access(c) | ACCESS_UNALIGNED);
}

/* Stores the elements of @v that @mask selects.  Neighbours go together. */
static enum cpu_result mask_store(struct cpu *c, unsigned int seg, uint64_t off,
				  const struct vec *v, const struct vec *mask,
				  unsigned int size, unsigned int count)
{
	enum cpu_result r;

	for (unsigned int n = 0, end; n < count; n = end) {
		for (end = n; end < count && selected(mask, end, size); end++)
			continue;
		if (end == n) {
			end++;
			continue;
		}
		r = element_write(c, seg, off + n * size, v->b + n * size,
				  (end - n) * size);
		if (r != CPU_OK)
			return r;
	}
	return CPU_OK;
}

enum cpu_result op_vmaskmov(struct cpu *c, const struct insn *i)
{
	const unsigned int size = maskmov_size(i);
	const unsigned int count = (i->vex_l ? 32 : 16) / size;
	struct fpu_area a;
	struct vec v, mask;
	enum cpu_result r;

	regs_get(c, &a);
	if (i->op[0].kind == OPK_VEC)
		return mask_load(c, i, size, &a);
	v = vec_get(&a, i->op[2].reg);
	mask = vec_get(&a, i->op[1].reg);
	r = check_addresses(c, i, &mask, size, count);
	if (r == CPU_OK)
		r = probe_selected(c, i->seg, cpu_lea(c, i), &mask, size,
				   count);
	if (r != CPU_OK)
		return r;
	return mask_store(c, i->seg, cpu_lea(c, i), &v, &mask, size, count);
}

/* --- MASKMOVDQU, MASKMOVQ: to [rDI], byte by byte --- */

/* Whether eight bytes may be written, with the faults of a plain store. */
static enum cpu_result probe_qword(struct cpu *c, unsigned int seg,
				   uint64_t off)
{
	gva_t gva;
	enum cpu_result r = cpu_linear(c, seg, off, 8, ACC_W, &gva);

	if (r == CPU_OK && c->cpl == 3 && (c->rflags & RFLAGS_AC) &&
	    (c->cr0 & CR0_AM) && (gva & 7))
		return cpu_raise_error(c, VEC_AC, 0);
	if (r == CPU_OK)
		r = probe(c, seg, off);
	if (r != CPU_OK)
		return r;
	r = probe(c, seg, off + 7);
	/* An access across pages faults where the second begins. */
	if (r == CPU_FAULT && c->fault.vector == VEC_PF)
		c->fault.address &= PAGE_MASK;
	return r;
}

static struct vec vec_part(const struct vec *v, unsigned int at)
{
	struct vec part = { { 0 } };

	memcpy(part.b, v->b + at, 8);
	return part;
}

static enum cpu_result maskmov_bytes(struct cpu *c, const struct insn *i,
				     const struct vec *v,
				     const struct vec *mask, unsigned int len)
{
	const uint64_t wrap = MASK(i->addrsize * 8);
	const unsigned int seg = i->seg_ovr == SEG_NONE ? SEG_DS : i->seg_ovr;
	enum cpu_result r = CPU_OK;

	/* Whatever the mask says, by eight bytes, the upper ones first. */
	for (unsigned int n = len; n && r == CPU_OK; n -= 8)
		r = probe_qword(c, seg, (c->gpr[RDI] + n - 8) & wrap);
	for (unsigned int n = 0; n < len && r == CPU_OK; n += 8) {
		const struct vec part = vec_part(v, n);
		const struct vec part_mask = vec_part(mask, n);

		r = mask_store(c, seg, (c->gpr[RDI] + n) & wrap, &part,
			       &part_mask, 1, 8);
	}
	return r;
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

enum cpu_result op_maskmovq(struct cpu *c, const struct insn *i)
{
	struct fpu_area a;
	struct vec v, mask;

	if (fpu_pending(c))
		return cpu_raise(c, VEC_MF);
	/* From here on ST(n) is MMn. */
	fpu_enter_mmx(c);
	regs_get(c, &a);
	v = mmx_get(&a, i->op[0].reg);
	mask = mmx_get(&a, i->op[1].reg);
	return maskmov_bytes(c, i, &v, &mask, 8);
}
