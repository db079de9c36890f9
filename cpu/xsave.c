#include <string.h>

#include "cpu/fpu.h"
#include "cpu/mem.h"
#include "cpu/mode.h"
#include "cpu/ops_sys.h"
#include "x86/feat.h"

/*
 * FXSAVE, XSAVE and their families: the silicon's own instruction works on a
 * scratch area, in the standard format and for the components that are native
 * (x87, SSE, AVX); what the guest asked for is copied to and from its memory.
 * The host's XCR0 may be wider than the guest's, PKRU is added by hand.
 * Source: SDM 1 "Managing State Using the XSAVE Feature Set".
 */

#define FX_ALIGN    16
#define XSAVE_ALIGN 64
#define XOP_PIECE   8  /* all parts are multiples of it */
#define YMM_SIZE    16 /* upper half of one register */
#define NR_VEC(c)   (cpu_64bit(c) ? 16 : 8)

/* A memory operand of the family. */
struct xop {
	struct cpu *c;
	const struct insn *i;
	uint64_t off;  /* offset in i->seg */
	uint64_t rfbm; /* requested feature bit map */
	bool wide;     /* REX.W: 64-bit FIP and FDP */
};

static enum cpu_result xop_begin(struct xop *x, struct cpu *c,
				 const struct insn *i, unsigned int size,
				 unsigned int align)
{
	unsigned int access = i->mem_access & ACC_W ? ACC_W : ACC_R;
	enum cpu_result r;
	gva_t gva;

	*x = (struct xop){ .c = c, .i = i, .wide = i->rex & 8 };
	x->off = cpu_lea(c, i);
	/*
	 * Intel's processors look at four bytes for #AC, and at the alignment,
	 * before they find the end to be non-canonical or the segment not to be
	 * writable.
	 */
	r = cpu_linear(c, i->seg, x->off, cpu_64bit(c) ? 1 : 4, ACC_R, &gva);
	if (r == CPU_OK && linear_misaligned(c, gva, 4, cpu_access(c)))
		return cpu_raise_error(c, VEC_AC, 0);
	if (r == CPU_OK && (gva & (align - 1)))
		return cpu_raise_gp(c);
	if (r == CPU_OK)
		r = cpu_linear(c, i->seg, x->off, cpu_64bit(c) ? size : 4,
			       access, &gva);
	return r;
}

static uint64_t xop_off(const struct xop *x, unsigned int at)
{
	return (x->off + at) & MASK(8 * x->i->addrsize);
}

static enum cpu_result xop_probe_byte(const struct xop *x, unsigned int at)
{
	struct cpu *c = x->c;
	bool write = x->i->mem_access & ACC_W;
	unsigned int access = cpu_access(c) | (write ? ACCESS_WRITE : 0);
	enum cpu_result r;
	uint8_t *hva;
	gva_t gva;
	gpa_t gpa;

	r = cpu_linear(c, x->i->seg, xop_off(x, at), 1, write ? ACC_W : ACC_R,
		       &gva);
	if (r != CPU_OK)
		return r;
	return mem_host(&c->mmu, gva, 1, access, &hva, &gpa, &c->fault);
}

/*
 * Whether the operand's @size bytes may be accessed: both ends, the upper one
 * first, as Intel's processors do.
 */
static enum cpu_result xop_probe(const struct xop *x, unsigned int size)
{
	enum cpu_result r = xop_probe_byte(x, size - 1);

	return r == CPU_OK ? xop_probe_byte(x, 0) : r;
}

/* Outside 64-bit mode in pieces, each of which may wrap or be beyond a limit.
 */
static unsigned int piece(const struct xop *x, unsigned int len)
{
	return cpu_64bit(x->c) || len < XOP_PIECE ? len : XOP_PIECE;
}

static enum cpu_result xop_write(const struct xop *x, unsigned int at,
				 const void *from, unsigned int len)
{
	const unsigned int step = piece(x, len);
	enum cpu_result r = CPU_OK;

	for (unsigned int n = 0; n < len && r == CPU_OK; n += step)
		r = cpu_write(x->c, x->i->seg, xop_off(x, at + n),
			      (const char *)from + n, step);
	return r;
}

static enum cpu_result xop_read(const struct xop *x, unsigned int at, void *to,
				unsigned int len)
{
	const unsigned int step = piece(x, len);
	enum cpu_result r = CPU_OK;

	for (unsigned int n = 0; n < len && r == CPU_OK; n += step)
		r = cpu_read(x->c, x->i->seg, xop_off(x, at + n),
			     (char *)to + n, step);
	return r;
}

/* --- The silicon's instructions --- */

#define NATIVE(name, insn)                                                     \
	static void name(void *area)                                           \
	{                                                                      \
		__asm__ volatile(insn " (%0)"                                  \
				 :                                             \
				 : "r"(area), "a"((uint32_t)FPU_NATIVE),       \
				   "d"(0)                                      \
				 : "memory");                                  \
	}

NATIVE(native_fxsave, "fxsave")
NATIVE(native_fxsave64, "fxsave64")
NATIVE(native_fxrstor, "fxrstor")
NATIVE(native_fxrstor64, "fxrstor64")
NATIVE(native_xsave, "xsave")
NATIVE(native_xsave64, "xsave64")
NATIVE(native_xsavec, "xsavec")
NATIVE(native_xsavec64, "xsavec64")

static void native_xrstor(const void *area, uint64_t rfbm, bool wide)
{
	if (wide)
		__asm__ volatile("xrstor64 (%0)"
				 :
				 : "r"(area), "a"((uint32_t)rfbm), "d"(0)
				 : "memory");
	else
		__asm__ volatile("xrstor (%0)"
				 :
				 : "r"(area), "a"((uint32_t)rfbm), "d"(0)
				 : "memory");
}

static uint64_t get64(const struct fpu_area *a, unsigned int at)
{
	uint64_t v;

	memcpy(&v, a->b + at, sizeof(v));
	return v;
}

static uint32_t get32(const struct fpu_area *a, unsigned int at)
{
	return get64(a, at);
}

static void put32(struct fpu_area *a, unsigned int at, uint32_t v)
{
	memcpy(a->b + at, &v, sizeof(v));
}

static void put64(struct fpu_area *a, unsigned int at, uint64_t v)
{
	memcpy(a->b + at, &v, sizeof(v));
}

static void clear_header(struct fpu_area *a)
{
	memset(&a->b[XSAVE_HEADER], 0, XSAVE_HEADER_END - XSAVE_HEADER);
}

static bool mxcsr_valid(uint32_t mxcsr)
{
	return !(mxcsr & ~fpu_mxcsr_mask());
}

/* --- FXSAVE, FXRSTOR --- */

static bool fx_denied(const struct cpu *c)
{
	return c->cr0 & (CR0_EM | CR0_TS);
}

enum cpu_result op_fxsave(struct cpu *c, const struct insn *i)
{
	struct fpu_area a;
	struct xop x;
	enum cpu_result r;
	bool live;

	if (fx_denied(c))
		return cpu_raise(c, VEC_NM);
	r = xop_begin(&x, c, i, XSAVE_HEADER, FX_ALIGN);
	if (r == CPU_OK)
		r = xop_probe(&x, XSAVE_HEADER);
	if (r != CPU_OK)
		return r;
	memset(a.b, 0, XSAVE_HEADER);
	live = fpu_begin(c);
	if (x.wide)
		native_fxsave64(a.b);
	else
		native_fxsave(a.b);
	fpu_end(c, live);
	return xop_write(&x, 0, a.b, XSAVE_XMM + 16 * NR_VEC(c));
}

enum cpu_result op_fxrstor(struct cpu *c, const struct insn *i)
{
	const unsigned int end = XSAVE_XMM + 16 * NR_VEC(c);
	struct fpu_area a, now;
	struct xop x;
	enum cpu_result r;
	bool live;

	if (fx_denied(c))
		return cpu_raise(c, VEC_NM);
	r = xop_begin(&x, c, i, XSAVE_HEADER, FX_ALIGN);
	if (r == CPU_OK)
		r = xop_probe(&x, XSAVE_HEADER);
	if (r == CPU_OK)
		r = xop_read(&x, 0, a.b, XSAVE_HEADER);
	if (r != CPU_OK)
		return r;
	if (!mxcsr_valid(get32(&a, XSAVE_MXCSR)))
		return cpu_raise_gp(c);
	live = fpu_begin(c);
	native_fxsave(now.b); /* XMM8 to 15 stay outside 64-bit mode */
	memcpy(a.b + end, now.b + end, XSAVE_LEGACY_END - end);
	if (x.wide)
		native_fxrstor64(a.b);
	else
		native_fxrstor(a.b);
	fpu_end(c, live);
	return CPU_OK;
}

/* --- XSAVE, XSAVEOPT, XSAVEC, XSAVES --- */

static enum cpu_result xsave_begin(struct xop *x, struct cpu *c,
				   const struct insn *i)
{
	enum cpu_result r;

	if (!(c->cr4 & CR4_OSXSAVE))
		return cpu_raise(c, VEC_UD);
	if (c->cr0 & CR0_TS)
		return cpu_raise(c, VEC_NM);
	r = xop_begin(x, c, i, XSAVE_HEADER_END, XSAVE_ALIGN);
	x->rfbm = ((uint32_t)c->gpr[RAX] | c->gpr[RDX] << 32) & c->xcr0;
	return r;
}

/* The parts @which of the legacy region, MXCSR apart. */
static enum cpu_result write_legacy(const struct xop *x, uint64_t which,
				    bool mxcsr, const struct fpu_area *a)
{
	enum cpu_result r = CPU_OK;

	if (which & XCR0_X87) {
		r = xop_write(x, 0, a->b, XSAVE_MXCSR);
		if (r == CPU_OK)
			r = xop_write(x, XSAVE_ST, a->b + XSAVE_ST,
				      XSAVE_XMM - XSAVE_ST);
	}
	if (r == CPU_OK && mxcsr)
		r = xop_write(x, XSAVE_MXCSR, a->b + XSAVE_MXCSR, 8);
	if (r == CPU_OK && (which & XCR0_SSE))
		r = xop_write(x, XSAVE_XMM, a->b + XSAVE_XMM,
			      16 * NR_VEC(x->c));
	return r;
}

static enum cpu_result write_extended(const struct xop *x, uint64_t which,
				      unsigned int pkru_at,
				      const struct fpu_area *a)
{
	const uint64_t pkru = x->c->mmu.pkru;
	enum cpu_result r = CPU_OK;

	if (which & XCR0_AVX)
		r = xop_write(x, XSAVE_AVX, a->b + XSAVE_AVX,
			      YMM_SIZE * NR_VEC(x->c));
	if (r == CPU_OK && (which & XCR0_PKRU))
		r = xop_write(x, pkru_at, &pkru, sizeof(pkru));
	return r;
}

static uint64_t pkru_in_use(const struct cpu *c)
{
	return c->mmu.pkru ? XCR0_PKRU : 0;
}

/* Where the first of the parts that @rfbm asks for lies. */
static unsigned int first_part(uint64_t rfbm)
{
	if (rfbm & XCR0_X87)
		return 0;
	return rfbm & (XCR0_SSE | XCR0_AVX) ? XSAVE_MXCSR : XSAVE_HEADER;
}

/* XSAVEOPT may do the same: its optimizations are not obligatory. */
enum cpu_result op_xsave(struct cpu *c, const struct insn *i)
{
	struct fpu_area a;
	struct xop x;
	uint64_t bv, in_use;
	bool live, mxcsr;
	enum cpu_result r = xsave_begin(&x, c, i);

	if (r == CPU_OK)
		r = xop_probe_byte(&x, fpu_xsave_size(x.rfbm) - 1);
	if (r == CPU_OK)
		r = xop_probe_byte(&x, first_part(x.rfbm));
	if (r == CPU_OK)
		r = xop_probe_byte(&x, XSAVE_HEADER);
	if (r == CPU_OK)
		r = xop_read(&x, XSAVE_HEADER, &bv, sizeof(bv));
	if (r != CPU_OK)
		return r;
	clear_header(&a);
	live = fpu_begin(c);
	if (x.wide)
		native_xsave64(a.b);
	else
		native_xsave(a.b);
	fpu_end(c, live);
	in_use = get64(&a, XSAVE_HEADER) | pkru_in_use(c);
	mxcsr = x.rfbm & (XCR0_SSE | XCR0_AVX);
	r = write_legacy(&x, x.rfbm, mxcsr, &a);
	if (r == CPU_OK)
		r = write_extended(&x, x.rfbm, fpu_pkru_offset(), &a);
	if (r != CPU_OK)
		return r;
	bv = (bv & ~x.rfbm) | (in_use & x.rfbm);
	return xop_write(&x, XSAVE_HEADER, &bv, sizeof(bv));
}

enum cpu_result op_xsavec(struct cpu *c, const struct insn *i)
{
	struct fpu_area a;
	struct xop x;
	uint64_t header[2];
	bool live;
	enum cpu_result r = xsave_begin(&x, c, i);

	if (r == CPU_OK)
		r = xop_probe_byte(&x, fpu_compact_size(x.rfbm) - 1);
	/* In use or not. */
	if (r == CPU_OK && (x.rfbm & (XCR0_X87 | XCR0_SSE)))
		r = xop_probe_byte(&x, first_part(x.rfbm));
	if (r != CPU_OK)
		return r;
	clear_header(&a);
	live = fpu_begin(c);
	if (x.wide)
		native_xsavec64(a.b);
	else
		native_xsavec(a.b);
	fpu_end(c, live);
	header[0] = (get64(&a, XSAVE_HEADER) | pkru_in_use(c)) & x.rfbm;
	header[1] = x.rfbm | XSAVE_COMPACT;
	r = write_legacy(&x, header[0], header[0] & XCR0_SSE, &a);
	if (r == CPU_OK)
		r = xop_probe_byte(&x, XSAVE_HEADER);
	if (r == CPU_OK)
		r = write_extended(&x, header[0],
				   fpu_pkru_compact_offset(x.rfbm), &a);
	if (r != CPU_OK)
		return r;
	return xop_write(&x, XSAVE_HEADER, header, sizeof(header));
}

/* No supervisor component is offered (IA32_XSS is zero). */
enum cpu_result op_xsaves(struct cpu *c, const struct insn *i)
{
	return op_xsavec(c, i);
}

/* --- XRSTOR, XRSTORS --- */

static bool header_valid(const struct cpu *c, const struct fpu_area *a)
{
	uint64_t bv = get64(a, XSAVE_HEADER), comp = get64(a, XSAVE_XCOMP);

	for (unsigned int at = XSAVE_XCOMP + 8; at < XSAVE_HEADER_END; at += 8)
		if (get64(a, at) &&
		    ((comp & XSAVE_COMPACT) || at == XSAVE_XCOMP + 8))
			return false;
	if (!(comp & XSAVE_COMPACT))
		return !comp && !(bv & ~c->xcr0);
	return has_feat(c, FEAT_XSAVEC) &&
	       !(comp & ~(c->xcr0 | XSAVE_COMPACT)) && !(bv & ~comp);
}

/*
 * MXCSR: the standard format loads it with SSE or AVX, in use or not; the
 * compacted one goes with SSE alone and knows an initial value.  @now has the
 * present one.  Makes @a such that the standard form loads the right value.
 */
static bool set_mxcsr(const struct xop *x, struct fpu_area *a,
		      const struct fpu_area *now)
{
	bool compact = get64(a, XSAVE_XCOMP) & XSAVE_COMPACT;

	if (!(x->rfbm & (XCR0_SSE | XCR0_AVX)))
		return true;
	if (compact && !(x->rfbm & XCR0_SSE))
		put32(a, XSAVE_MXCSR, get32(now, XSAVE_MXCSR));
	else if (compact && !(get64(a, XSAVE_HEADER) & XCR0_SSE))
		put32(a, XSAVE_MXCSR, MXCSR_INIT);
	return mxcsr_valid(get32(a, XSAVE_MXCSR));
}

/* Outside 64-bit mode registers 8 to 15 keep what is in @now. */
static void keep_upper_half(const struct xop *x, struct fpu_area *a,
			    const struct fpu_area *now)
{
	const struct {
		uint64_t bit;
		unsigned int at;
	} part[] = { { XCR0_SSE, XSAVE_XMM }, { XCR0_AVX, XSAVE_AVX } };
	uint64_t bv = get64(a, XSAVE_HEADER);

	for (unsigned int n = 0; n < ARRAY_SIZE(part); n++) {
		const unsigned int at = part[n].at;

		if (!(x->rfbm & part[n].bit))
			continue;
		if (!(bv & part[n].bit))
			memset(a->b + at, 0, 8 * 16);
		memcpy(a->b + at + 8 * 16, now->b + at + 8 * 16, 8 * 16);
		bv |= part[n].bit;
	}
	put64(a, XSAVE_HEADER, bv);
}

/* The end of what is read in the compacted format. */
static unsigned int compact_end(const struct xop *x, const struct fpu_area *a)
{
	const uint64_t comp = get64(a, XSAVE_XCOMP);

	if (comp & x->rfbm & XCR0_PKRU)
		return fpu_pkru_compact_offset(comp) + 8;
	return fpu_compact_size(comp & x->rfbm);
}

/* The last byte of @size is looked at first, then the start of @parts. */
static enum cpu_result probe_restored(const struct xop *x, unsigned int size,
				      uint64_t parts)
{
	enum cpu_result r = xop_probe_byte(x, size - 1);

	if (r == CPU_OK && parts)
		r = xop_probe_byte(x, first_part(parts));
	return r;
}

/* The parts of the legacy region that are asked for and in use. */
static enum cpu_result read_legacy(const struct xop *x, struct fpu_area *a)
{
	const bool compact = get64(a, XSAVE_XCOMP) & XSAVE_COMPACT;
	const uint64_t bv = get64(a, XSAVE_HEADER) & x->rfbm;
	enum cpu_result r = CPU_OK;

	memset(a->b, 0, XSAVE_HEADER);
	if (bv & XCR0_X87) {
		r = xop_read(x, 0, a->b, XSAVE_MXCSR);
		if (r == CPU_OK)
			r = xop_read(x, XSAVE_ST, a->b + XSAVE_ST,
				     XSAVE_XMM - XSAVE_ST);
	}
	if (r == CPU_OK &&
	    (compact ? bv & XCR0_SSE : x->rfbm & (XCR0_SSE | XCR0_AVX)))
		r = xop_read(x, XSAVE_MXCSR, a->b + XSAVE_MXCSR, 8);
	if (r == CPU_OK && (bv & XCR0_SSE))
		r = xop_read(x, XSAVE_XMM, a->b + XSAVE_XMM, 16 * NR_VEC(x->c));
	return r;
}

static enum cpu_result read_area(const struct xop *x, struct fpu_area *a,
				 uint32_t *pkru)
{
	enum cpu_result r = xop_read(x, XSAVE_HEADER, a->b + XSAVE_HEADER,
				     XSAVE_HEADER_END - XSAVE_HEADER);
	struct cpu *c = x->c;
	uint64_t bv, comp;
	unsigned int at;
	bool compact;

	/* XCOMP_BV is read first. */
	if (r == CPU_FAULT && c->fault.vector == VEC_PF)
		c->fault.address += XSAVE_XCOMP - XSAVE_HEADER;
	compact = get64(a, XSAVE_XCOMP) & XSAVE_COMPACT;
	if (r == CPU_OK && !compact)
		r = probe_restored(x, fpu_xsave_size(x->rfbm), x->rfbm);
	if (r != CPU_OK)
		return r;
	if (!header_valid(c, a))
		return cpu_raise_gp(c);
	if (compact)
		r = probe_restored(x, compact_end(x, a),
				   x->rfbm & (XCR0_X87 | XCR0_SSE));
	if (r == CPU_OK)
		r = read_legacy(x, a);
	if (r != CPU_OK)
		return r;
	bv = get64(a, XSAVE_HEADER) & x->rfbm;
	comp = get64(a, XSAVE_XCOMP);
	if (bv & XCR0_AVX)
		r = xop_read(x, XSAVE_AVX, a->b + XSAVE_AVX,
			     YMM_SIZE * NR_VEC(x->c));
	*pkru = 0;
	if (r != CPU_OK || !(bv & XCR0_PKRU))
		return r;
	at = comp & XSAVE_COMPACT ? fpu_pkru_compact_offset(comp)
				  : fpu_pkru_offset();
	return xop_read(x, at, pkru, sizeof(*pkru));
}

/*
 * Components into registers.  Of the compacted format Intel's processors have
 * restored x87 and SSE when they find MXCSR invalid.
 */
static bool restore(const struct xop *x, struct fpu_area *a)
{
	const bool compact = get64(a, XSAVE_XCOMP) & XSAVE_COMPACT;
	uint64_t which = x->rfbm & FPU_NATIVE;
	struct fpu_area now;
	bool valid;

	fpu_store(&now);
	valid = set_mxcsr(x, a, &now);
	if (!valid && !compact)
		return false;
	if (!cpu_64bit(x->c))
		keep_upper_half(x, a, &now);
	if (!valid) {
		which &= XCR0_X87 | XCR0_SSE;
		put32(a, XSAVE_MXCSR, get32(&now, XSAVE_MXCSR));
	}
	put64(a, XSAVE_HEADER, get64(a, XSAVE_HEADER) & FPU_NATIVE);
	memset(a->b + XSAVE_XCOMP, 0, XSAVE_HEADER_END - XSAVE_XCOMP);
	native_xrstor(a->b, which, x->wide);
	return valid;
}

enum cpu_result op_xrstor(struct cpu *c, const struct insn *i)
{
	struct fpu_area a;
	struct xop x;
	uint32_t pkru;
	bool live, valid;
	enum cpu_result r = xsave_begin(&x, c, i);

	if (r == CPU_OK)
		r = read_area(&x, &a, &pkru);
	if (r != CPU_OK)
		return r;
	live = fpu_begin(c);
	valid = restore(&x, &a);
	fpu_end(c, live);
	if (!valid)
		return cpu_raise_gp(c);
	if (x.rfbm & XCR0_PKRU)
		cpu_set_pkru(c, pkru);
	return CPU_OK;
}

/* XRSTORS reads the compacted format only. */
enum cpu_result op_xrstors(struct cpu *c, const struct insn *i)
{
	struct xop x;
	uint64_t comp;
	enum cpu_result r = xsave_begin(&x, c, i);

	if (r == CPU_OK)
		r = xop_read(&x, XSAVE_XCOMP, &comp, sizeof(comp));
	if (r != CPU_OK)
		return r;
	if (!(comp & XSAVE_COMPACT))
		return cpu_raise_gp(c);
	return op_xrstor(c, i);
}

/* --- XCR0 --- */

static uint64_t xinuse(struct cpu *c)
{
	uint32_t lo, hi;
	bool live = fpu_begin(c);

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
	fpu_end(c, live);
	return ((lo & FPU_NATIVE) | pkru_in_use(c)) & c->xcr0;
}

enum cpu_result op_xgetbv(struct cpu *c, const struct insn *i)
{
	uint32_t index = c->gpr[RCX];
	uint64_t v;

	if (!(c->cr4 & CR4_OSXSAVE))
		return cpu_raise(c, VEC_UD);
	if (index > 1 || (index == 1 && !has_feat(c, FEAT_XGETBV1)))
		return cpu_raise_gp(c);
	v = index ? xinuse(c) : c->xcr0;
	c->gpr[RAX] = (uint32_t)v;
	c->gpr[RDX] = v >> 32;
	return CPU_OK;
}

static bool xcr0_valid(const struct cpu *c, uint64_t v)
{
	if (!(v & XCR0_X87) || (v & ~c->supported_xcr0))
		return false;
	return !(v & XCR0_AVX) || (v & XCR0_SSE);
}

enum cpu_result op_xsetbv(struct cpu *c, const struct insn *i)
{
	uint64_t v = (uint32_t)c->gpr[RAX] | c->gpr[RDX] << 32;

	if (!(c->cr4 & CR4_OSXSAVE))
		return cpu_raise(c, VEC_UD);
	if ((uint32_t)c->gpr[RCX] || !xcr0_valid(c, v))
		return cpu_raise_gp(c);
	c->xcr0 = v;
	return CPU_OK;
}
