#include "cpu/fpu.h"

#include <pthread.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mode.h"

#define COMPONENT_AVX  2
#define COMPONENT_PKRU 9

/* What this host's XSAVE does: asked once, CPUID may be slow. */
static struct {
	uint64_t xcr0; /* components a guest may have; 0: no XSAVE */
	uint32_t offset[COMPONENT_PKRU + 1];
	uint32_t size[COMPONENT_PKRU + 1];
	bool aligned[COMPONENT_PKRU + 1]; /* in the compacted format */
	uint32_t mxcsr_mask;
} host;

static pthread_once_t host_once = PTHREAD_ONCE_INIT;

static uint64_t host_xcr0(void)
{
	struct cpuid_entry e;
	uint32_t lo, hi;

	cpuid_host(1, 0, &e);
	if (!(e.ecx & BIT(27)))
		return 0;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

static uint32_t host_mxcsr_mask(void)
{
	struct fpu_area a;
	uint32_t mask;

	memset(a.b, 0, XSAVE_HEADER);
	__asm__ volatile("fxsave64 (%0)" : : "r"(a.b) : "memory");
	memcpy(&mask, a.b + XSAVE_MXCSR_MASK, sizeof(mask));
	return mask ? mask : 0xffbf;
}

static void host_ask(void)
{
	struct cpuid_entry e;

	host.xcr0 = host_xcr0() & (FPU_NATIVE | XCR0_PKRU);
	host.mxcsr_mask = host_mxcsr_mask();
	for (unsigned int n = COMPONENT_AVX; n <= COMPONENT_PKRU; n++) {
		if (!(host.xcr0 & BIT(n)))
			continue;
		cpuid_host(0xd, n, &e);
		host.size[n] = e.eax;
		host.offset[n] = e.ebx;
		host.aligned[n] = e.ecx & BIT(1);
	}
}

static void host_known(void)
{
	pthread_once(&host_once, host_ask);
}

uint64_t fpu_supported_xcr0(void)
{
	host_known();
	return host.xcr0;
}

uint32_t fpu_mxcsr_mask(void)
{
	host_known();
	return host.mxcsr_mask;
}

uint32_t fpu_pkru_offset(void)
{
	host_known();
	return host.offset[COMPONENT_PKRU];
}

uint32_t fpu_xsave_size(uint64_t xcr0)
{
	uint32_t size = XSAVE_HEADER_END;

	xcr0 &= fpu_supported_xcr0();
	for (unsigned int n = COMPONENT_AVX; n <= COMPONENT_PKRU; n++)
		if ((xcr0 & BIT(n)) && host.offset[n] + host.size[n] > size)
			size = host.offset[n] + host.size[n];
	return size;
}

uint32_t fpu_compact_size(uint64_t xcomp)
{
	uint32_t at = XSAVE_HEADER_END;

	xcomp &= fpu_supported_xcr0();
	for (unsigned int n = COMPONENT_AVX; n <= COMPONENT_PKRU; n++) {
		if (!(xcomp & BIT(n)))
			continue;
		if (host.aligned[n])
			at = (at + 63) & ~63u;
		at += host.size[n];
	}
	return at;
}

/* PKRU is the last component. */
uint32_t fpu_pkru_compact_offset(uint64_t xcomp)
{
	return fpu_compact_size(xcomp | XCR0_PKRU) - host.size[COMPONENT_PKRU];
}

static void native_save(void *area, bool xsave)
{
	if (xsave)
		__asm__ volatile("xsave64 (%0)"
				 :
				 : "r"(area), "a"((uint32_t)FPU_NATIVE), "d"(0)
				 : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static void native_restore(const void *area, bool xsave)
{
	if (xsave)
		__asm__ volatile("xrstor64 (%0)"
				 :
				 : "r"(area), "a"((uint32_t)FPU_NATIVE), "d"(0)
				 : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

void fpu_store(struct fpu_area *a)
{
	memset(&a->b[XSAVE_HEADER], 0, XSAVE_HEADER_END - XSAVE_HEADER);
	native_save(a->b, fpu_supported_xcr0());
}

void fpu_restore(const struct fpu_area *a)
{
	native_restore(a->b, fpu_supported_xcr0());
}

void fpu_reset(struct cpu *c)
{
	const uint16_t fcw = 0x40;
	const uint32_t mxcsr = MXCSR_INIT;
	const uint64_t in_use = XCR0_X87;

	c->fpu_live = false;
	if (!c->xsave)
		return;
	memset(c->xsave, 0, c->xsave_size);
	memcpy(c->xsave, &fcw, sizeof(fcw));
	/* After a reset all eight registers are valid zeros, not empty. */
	memset((char *)c->xsave + XSAVE_FTW, 0xff, 1);
	memcpy((char *)c->xsave + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy((char *)c->xsave + XSAVE_HEADER, &in_use, sizeof(in_use));
}

bool fpu_pending(struct cpu *c)
{
	bool live = fpu_begin(c);
	uint16_t fsw;

	__asm__ volatile("fnstsw %0" : "=a"(fsw));
	fpu_end(c, live);
	return fsw & 0x80; /* ES */
}

bool fpu_pending_no_store(void)
{
	uint16_t fsw, fcw;

	__asm__ volatile("fnstsw %0; fnstcw %1" : "=a"(fsw), "=m"(fcw));
	return fsw & ~fcw & 0x1f; /* IE, DE, ZE, OE, UE */
}

void fpu_enter_mmx(struct cpu *c)
{
	bool live = fpu_begin(c);
	uint32_t any;

	__asm__ volatile("movd %%mm0, %0" : "=r"(any));
	fpu_end(c, live);
}

void fpu_reset_top(struct cpu *c)
{
	bool live = fpu_begin(c);
	uint16_t env[14];

	__asm__ volatile("fnstenv %0" : "=m"(env));
	env[2] &= ~0x3800;
	__asm__ volatile("fldenv %0" : : "m"(env));
	fpu_end(c, live);
}

static bool has_pkru(const struct cpu *c)
{
	return (fpu_supported_xcr0() & XCR0_PKRU) &&
	       c->xsave_size >= fpu_xsave_size(XCR0_PKRU);
}

static void put_pkru(struct cpu *c)
{
	uint64_t *in_use = (uint64_t *)((char *)c->xsave + XSAVE_HEADER);
	char *at = (char *)c->xsave + fpu_pkru_offset();

	memcpy(at, &c->mmu.pkru, sizeof(c->mmu.pkru));
	*in_use &= ~XCR0_PKRU;
	if (c->mmu.pkru)
		*in_use |= XCR0_PKRU;
}

void fpu_take_pkru(struct cpu *c)
{
	uint64_t in_use;
	uint32_t pkru = 0;

	if (!has_pkru(c))
		return;
	memcpy(&in_use, (char *)c->xsave + XSAVE_HEADER, sizeof(in_use));
	if (in_use & XCR0_PKRU)
		memcpy(&pkru, (char *)c->xsave + fpu_pkru_offset(),
		       sizeof(pkru));
	cpu_set_pkru(c, pkru);
}

void fpu_save(struct cpu *c)
{
	bool xsave = fpu_supported_xcr0();

	if (!c->fpu_live)
		return;
	native_save(c->xsave, xsave);
	if (has_pkru(c))
		put_pkru(c);
	/* The C library's state: x87 stack empty, clean upper halves. */
	if (fpu_supported_xcr0() & XCR0_AVX)
		__asm__ volatile("vzeroupper");
	__asm__ volatile("fninit; fldcw %0; ldmxcsr %1"
			 :
			 : "m"(c->host_fcw), "m"(c->host_mxcsr));
	c->fpu_live = false;
}

void fpu_load(struct cpu *c)
{
	if (c->fpu_live)
		return;
	__asm__ volatile("fnstcw %0; stmxcsr %1"
			 : "=m"(c->host_fcw), "=m"(c->host_mxcsr));
	native_restore(c->xsave, fpu_supported_xcr0());
	c->fpu_live = true;
}
