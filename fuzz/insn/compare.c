#include <string.h>

#include "cpu/fpu.h"
#include "fuzz/insn/case.h"
#include "x86/defs.h"

static const char *const gpr_names[NR_GPRS] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
};
static const char *const seg_names[6] = { "es", "cs", "ss", "ds", "fs", "gs" };

void fpu_normalize(uint8_t fpu[FPU_BYTES])
{
	const uint16_t fcw = 0x37f;
	uint64_t in_use;

	memcpy(&in_use, fpu + XSAVE_HEADER, sizeof(in_use));
	if (!(in_use & XCR0_X87)) {
		memset(fpu, 0, XSAVE_MXCSR);
		memcpy(fpu, &fcw, sizeof(fcw));
		memset(fpu + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
	}
	if (!(in_use & XCR0_SSE))
		memset(fpu + XSAVE_XMM, 0, XSAVE_LEGACY_END - XSAVE_XMM);
	if (!(in_use & XCR0_AVX))
		memset(fpu + XSAVE_AVX, 0, FPU_BYTES - XSAVE_AVX);
}

/* One value; prints it if it differs. */
struct diff {
	FILE *f;
	bool equal;
};

static void value(struct diff *d, const char *name, uint64_t a, uint64_t b)
{
	if (a == b)
		return;
	d->equal = false;
	if (d->f)
		fprintf(d->f, "  %-10s %16llx %16llx\n", name,
			(unsigned long long)a, (unsigned long long)b);
}

static void bytes(struct diff *d, const char *name, int n, const uint8_t *a,
		  const uint8_t *b, unsigned int len)
{
	if (!memcmp(a, b, len))
		return;
	d->equal = false;
	if (!d->f)
		return;
	fprintf(d->f, n >= 0 ? "  %s%d\n" : "  %s\n", name, n);
	for (int side = 0; side < 2; side++) {
		fprintf(d->f, "  %10s ", "");
		for (unsigned int i = len; i--;)
			fprintf(d->f, "%02x", (side ? b : a)[i]);
		fprintf(d->f, "\n");
	}
}

/*
 * FOP, FIP and FDP are left out: they name the host's own code and data.  So
 * are reserved bytes.
 */
static void fpu(struct diff *d, const uint8_t *a, const uint8_t *b)
{
	bytes(d, "fcw", -1, a, b, 2);
	bytes(d, "fsw", -1, a + 2, b + 2, 2);
	bytes(d, "ftw", -1, a + XSAVE_FTW, b + XSAVE_FTW, 1);
	bytes(d, "mxcsr", -1, a + XSAVE_MXCSR, b + XSAVE_MXCSR, 4);
	for (unsigned int n = 0; n < 8; n++)
		bytes(d, "st", n, a + XSAVE_ST + 16 * n, b + XSAVE_ST + 16 * n,
		      10);
	for (unsigned int n = 0; n < 16; n++)
		bytes(d, "xmm", n, a + XSAVE_XMM + 16 * n,
		      b + XSAVE_XMM + 16 * n, 16);
	for (unsigned int n = 0; n < 16; n++)
		bytes(d, "ymm_high", n, a + XSAVE_AVX + 16 * n,
		      b + XSAVE_AVX + 16 * n, 16);
}

static void memory(struct diff *d, const struct result *a,
		   const struct result *b)
{

	value(d, "memory", a->mem_hash, b->mem_hash);
	value(d, "device", a->mmio_hash, b->mmio_hash);
	if (a->mem_hash == b->mem_hash || !d->f)
		return;
	for (int side = 0; side < 2; side++) {
		const struct result *r = side ? b : a;

		fprintf(d->f, "  %u chunks of memory written\n", r->nr_dirty);
		for (unsigned int n = 0; n < r->nr_dirty && n < MAX_DIRTY;
		     n++) {
			fprintf(d->f, "    %llx:",
				(unsigned long long)r->dirty[n].addr);
			for (unsigned int i = 0; i < DIRTY_CHUNK; i++)
				fprintf(d->f, " %02x", r->dirty[n].data[i]);
			fprintf(d->f, "\n");
		}
	}
}

/*
 * The host's kernel says of each of its own addresses that the page was
 * present, so as not to tell which are.
 */
static uint32_t pf_error(const struct result *r)
{
	return r->cr2 >= 0x7ffffffff000 ? r->error | 1 : r->error;
}

static void fault(struct diff *d, const struct result *a,
		  const struct result *b)
{
	value(d, "vector", a->vector, b->vector);
	value(d, "rip", a->rip, b->rip);
	value(d, "cs", a->seg[SEG_CS], b->seg[SEG_CS]);
	value(d, "ss", a->seg[SEG_SS], b->seg[SEG_SS]);
	if (a->vector != VEC_PF || b->vector != VEC_PF) {
		value(d, "error", a->error, b->error);
		return;
	}
	value(d, "error", pf_error(a), pf_error(b));
	value(d, "cr2", a->cr2, b->cr2);
}

/*
 * Null selectors become 0 where the host's kernel returns to a handler, and
 * where it has interrupted the case.
 */
static uint16_t selector(const struct result *r, unsigned int seg, bool null)
{
	null |= r->kind == RESULT_FAULT;
	return null && r->seg[seg] <= 3 ? 0 : r->seg[seg];
}

void result_show(FILE *f, const char *who, const struct result *r)
{
	static const char *const kinds[] = { "nothing", "done", "fault",
					     "timeout", "exit" };

	fprintf(f, "  %-8s %-8s vector %u error %x cr2 %llx rip %llx\n", who,
		kinds[r->kind], r->vector, r->error, (unsigned long long)r->cr2,
		(unsigned long long)r->rip);
}

bool result_equal(const struct fuzz_case *c, const struct result *a,
		  const struct result *b, const char *who, FILE *f)
{
	static const uint8_t data_segs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	struct diff d = { .f = f, .equal = true };
	uint64_t ignored = c->undefined;
	bool native = !strncmp(who, "native", 6);

	if (a->kind == RESULT_TIMEOUT && b->kind == RESULT_TIMEOUT)
		return true;
	if (f && !result_equal(c, a, b, who, NULL)) {
		fprintf(f, "%s:\n", who);
		result_show(f, "", a);
		result_show(f, "", b);
	}
	if (a->kind != b->kind)
		return false;
	if (a->kind == RESULT_EXIT)
		ignored |= RFLAGS_RF;
	if (a->kind == RESULT_FAULT)
		fault(&d, a, b);
	for (unsigned int n = 0; n < NR_GPRS; n++) {
		uint64_t any =
			c->any_gprs & BIT(n) ? MASK(8 * c->any_bytes) : 0;

		value(&d, gpr_names[n], a->gpr[n] & ~any, b->gpr[n] & ~any);
	}
	value(&d, "rflags", a->rflags & ~ignored, b->rflags & ~ignored);
	for (unsigned int n = 0; n < sizeof(data_segs); n++)
		value(&d, seg_names[data_segs[n]],
		      selector(a, data_segs[n], false),
		      selector(b, data_segs[n],
			       native && !a->seg[data_segs[n]]));
	value(&d, "fs_base", a->fs_base, b->fs_base);
	value(&d, "gs_base", a->gs_base, b->gs_base);
	fpu(&d, a->fpu, b->fpu);
	memory(&d, a, b);
	return d.equal;
}
