/*
 * The FXSAVE and XSAVE families against the silicon: the same state and the
 * same memory before, every byte compared after; then faults, the forms of
 * 32-bit mode, XCR0, PKRU.
 */
#include "test/unit/machine.h"

#define AREA 1024

static uint32_t seed = 7;

static uint32_t rnd(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static uint8_t image[FPU_AREA_SIZE] __attribute__((aligned(64)));
static uint8_t after[FPU_AREA_SIZE] __attribute__((aligned(64)));
static uint8_t mem[AREA] __attribute__((aligned(64)));

static void put(uint8_t *area, unsigned int at, uint64_t v, unsigned int len)
{
	memcpy(area + at, &v, len);
}

static uint64_t get(const uint8_t *area, unsigned int at)
{
	uint64_t v;

	memcpy(&v, area + at, 8);
	return v;
}

/* A random state: @in_use says which components are not initial. */
static void random_area(uint8_t *area, uint64_t in_use)
{
	memset(area, 0, FPU_AREA_SIZE);
	for (unsigned int n = 32; n < 416; n++)
		area[n] = rnd();
	for (unsigned int n = 576; n < 832; n++)
		area[n] = rnd();
	for (unsigned int n = 0; n < 8; n++) {
		memset(area + 32 + 16 * n + 10, 0, 6);
		area[32 + 16 * n + 7] |= 0x80; /* no unnormal numbers */
	}
	put(area, 0, 0x037f | (rnd() & 0x0c00), 2);
	put(area, 2, rnd() & 0x7800, 2);
	put(area, 4, rnd() & 0xff, 1);
	put(area, 6, rnd() & 0x7ff, 2);
	put(area, 8, 0x7f1234567890, 8);
	put(area, 16, 0x7f9876543210, 8);
	put(area, 24, 0x1f80 | (rnd() & 0x603f), 4);
	put(area, 28, fpu_mxcsr_mask(), 4);
	put(area, 512, in_use, 8);
}

static void set_guest(void)
{
	c->fpu_live = false;
	memset(c->xsave, 0, c->xsave_size);
	memcpy(c->xsave, image, sizeof(image));
}

/* Loads @image, executes an instruction on mem[], stores the state. */
#define NATIVE(name, insn)                                                     \
	static void name(uint64_t mask)                                        \
	{                                                                      \
		const uint32_t mxcsr = 0x1f80;                                 \
		__asm__ volatile("xrstor64 (%1); mov %2, %%eax;" insn " (%0);" \
				 "mov $7, %%eax; xsave64 (%3); vzeroupper;"    \
				 "fninit; ldmxcsr %4"                          \
				 :                                             \
				 : "r"(mem), "r"(image), "r"((uint32_t)mask),  \
				   "r"(after), "m"(mxcsr), "a"(7), "d"(0)      \
				 : "memory", "xmm0", "xmm1", "xmm2", "xmm3",   \
				   "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",     \
				   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
				   "xmm14", "xmm15");                          \
	}

NATIVE(n_fxsave, "fxsave")
NATIVE(n_fxsave64, "fxsave64")
NATIVE(n_xsave, "xsave")
NATIVE(n_xsave64, "xsave64")
NATIVE(n_xsavec, "xsavec")
NATIVE(n_xsavec64, "xsavec64")
NATIVE(n_fxrstor, "fxrstor")
NATIVE(n_fxrstor64, "fxrstor64")
NATIVE(n_xrstor, "xrstor")
NATIVE(n_xrstor64, "xrstor64")

static const struct {
	uint8_t bytes[5], len;
	void (*native)(uint64_t mask);
	unsigned int feat;
	bool load, compact, fx;
} insns[] = {
	{ { 0x0f, 0xae, 0x03 }, 3, n_fxsave, FEAT_FXSR, 0, 0, 1 },
	{ { 0x48, 0x0f, 0xae, 0x03 }, 4, n_fxsave64, FEAT_FXSR, 0, 0, 1 },
	{ { 0x0f, 0xae, 0x23 }, 3, n_xsave, FEAT_XSAVE, 0, 0, 0 },
	{ { 0x48, 0x0f, 0xae, 0x23 }, 4, n_xsave64, FEAT_XSAVE, 0, 0, 0 },
	{ { 0x0f, 0xc7, 0x23 }, 3, n_xsavec, FEAT_XSAVEC, 0, 1, 0 },
	{ { 0x48, 0x0f, 0xc7, 0x23 }, 4, n_xsavec64, FEAT_XSAVEC, 0, 1, 0 },
	{ { 0x48, 0x0f, 0xc7, 0x2b }, 4, n_xsavec64, FEAT_XSAVES, 0, 1, 0 },
	{ { 0x0f, 0xae, 0x0b }, 3, n_fxrstor, FEAT_FXSR, 1, 0, 1 },
	{ { 0x48, 0x0f, 0xae, 0x0b }, 4, n_fxrstor64, FEAT_FXSR, 1, 0, 1 },
	{ { 0x0f, 0xae, 0x2b }, 3, n_xrstor, FEAT_XSAVE, 1, 0, 0 },
	{ { 0x48, 0x0f, 0xae, 0x2b }, 4, n_xrstor64, FEAT_XSAVE, 1, 0, 0 },
	{ { 0x48, 0x0f, 0xae, 0x2b }, 4, n_xrstor64, FEAT_XSAVEC, 1, 1, 0 },
	{ { 0x48, 0x0f, 0xc7, 0x1b }, 4, n_xrstor64, FEAT_XSAVES, 1, 1, 0 },
};

static void fill_memory(unsigned int n)
{
	if (insns[n].load) {
		random_area(mem, rnd() & 7);
		if (insns[n].compact) {
			uint64_t comp = rnd() & 7;

			put(mem, 520, comp | BIT(63), 8);
			put(mem, 512, get(mem, 512) & comp, 8);
		}
	} else {
		for (unsigned int k = 0; k < AREA; k++)
			mem[k] = 0xa5;
		put(mem, 512, rnd() & 7, 8);
	}
	memcpy(ram + DATA, mem, AREA);
}

static void compare(const char *what, unsigned int n, uint64_t mask,
		    const uint8_t *got, const uint8_t *want, unsigned int len)
{
	for (unsigned int k = 0; k < len; k++) {
		if (got[k] == want[k])
			continue;
		printf("row %u mask %lx: %s byte %u is %#x, expected %#x\n", n,
		       mask, what, k, got[k], want[k]);
		test_failed++;
		return;
	}
	test_passed++;
}

static void native_case(unsigned int n)
{
	uint64_t mask = rnd() & 7;

	random_area(image, rnd() & 7);
	fill_memory(n);
	set_guest();
	c->gpr[RAX] = mask | (rnd() & 1 ? 0xf0 : 0);
	c->gpr[RDX] = 0;
	c->gpr[RBX] = DATA;
	CHECK_OK(exec(insns[n].bytes, insns[n].len));
	insns[n].native(mask);
	compare("memory", n, mask, ram + DATA, mem, AREA);
	CHECK(!c->fpu_live);
	if (!insns[n].load)
		return;
	/* Compare the state through the same eyes. */
	memcpy(image, c->xsave, sizeof(image));
	memcpy(mem, after, sizeof(after));
	n_xsave64(7);
	compare("state", n, mask, after, mem, XSAVE_HEADER + 8);
	if (get(after, 512) & XCR0_AVX)
		compare("AVX state", n, mask, after + 576, mem + 576, 256);
}

/*
 * The host's context switches may change which components the processor calls
 * in use, though not their values: a case must be right in one of 4 attempts.
 */
static void undisturbed(unsigned int n)
{
	const int passed = test_passed, failed = test_failed;
	const uint32_t start = seed;

	for (int left = 4; left; left--) {
		seed = start;
		test_passed = passed;
		test_failed = failed;
		native_case(n);
		if (test_failed == failed)
			return;
	}
}

static void test_native(void)
{
	for (unsigned int n = 0; n < ARRAY_SIZE(insns); n++) {
		if (!cpuid_feat_supported(insns[n].feat))
			continue;
		start64(0);
		for (unsigned int k = 0; k < 500; k++)
			undisturbed(n);
	}
}

static void test_faults(void)
{
	start64(0);
	random_area(image, 7);
	set_guest();
	c->gpr[RAX] = 7;
	c->gpr[RBX] = DATA + 8;
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x03), VEC_GP);
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x23), VEC_GP);
	c->gpr[RBX] = DATA + 16;
	CHECK_OK(EXEC(0x0f, 0xae, 0x03));
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x23), VEC_GP);
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x2b), VEC_GP);
	c->gpr[RBX] = DATA + 0xf80;
	*pte(DATA + 0x1000) = 0;
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x23), VEC_PF);
	CHECK_EQ(c->fault.address & PAGE_MASK, DATA + 0x1000);
	c->gpr[RBX] = DATA;
	c->cr0 |= CR0_TS;
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x03), VEC_NM);
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x23), VEC_NM);
	c->cr0 ^= CR0_TS | CR0_EM;
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x0b), VEC_NM);
	CHECK_OK(EXEC(0x0f, 0xae, 0x23));
	c->cr4 &= ~CR4_OSXSAVE;
	CHECK_FAULT(EXEC(0x0f, 0xae, 0x23), VEC_UD);
	CHECK_FAULT(EXEC(0x0f, 0x01, 0xd0), VEC_UD); /* xgetbv */
}

static enum cpu_result xrstor(uint64_t bv, uint64_t comp, uint64_t rest,
			      uint32_t mxcsr)
{
	random_area(mem, bv);
	put(mem, 520, comp, 8);
	put(mem, 528, rest, 8);
	put(mem, 24, mxcsr, 4);
	memcpy(ram + DATA, mem, AREA);
	c->gpr[RBX] = DATA;
	c->gpr[RAX] = ~0u;
	c->gpr[RDX] = ~0u;
	return EXEC(0x0f, 0xae, 0x2b);
}

static void test_header(void)
{
	start64(0);
	random_area(image, 7);
	set_guest();
	CHECK_OK(xrstor(7, 0, 0, 0x1f80));
	CHECK_FAULT(xrstor(8, 0, 0, 0x1f80), VEC_GP);
	CHECK_FAULT(xrstor(7, 1, 0, 0x1f80), VEC_GP);
	CHECK_FAULT(xrstor(7, 0, 1, 0x1f80), VEC_GP);
	CHECK_FAULT(xrstor(7, 0, 0, 0x10000), VEC_GP);
	CHECK_OK(xrstor(7, BIT(63) | 7, 0, 0x1f80));
	CHECK_FAULT(xrstor(7, BIT(63) | 3, 0, 0x1f80), VEC_GP);
	CHECK_FAULT(xrstor(3, BIT(63) | 0x20, 0, 0x1f80), VEC_GP);
	CHECK_FAULT(xrstor(3, BIT(63) | 7, 1, 0x1f80), VEC_GP);
	CHECK_OK(xrstor(1, BIT(63) | 7, 0, 0x10000)); /* not loaded */
	c->xcr0 = 3;
	CHECK_FAULT(xrstor(7, 0, 0, 0x1f80), VEC_GP);
	CHECK_OK(xrstor(3, 0, 0, 0x1f80));
	/* XRSTORS wants the compacted format. */
	CHECK_FAULT(EXEC(0x0f, 0xc7, 0x1b), VEC_GP);
}

/* Registers 8 to 15 are neither stored nor loaded outside 64-bit mode. */
static void test_legacy_modes(void)
{
	uint8_t *state = c->xsave;

	start32(0);
	random_area(image, 7);
	set_guest();
	memset(ram + DATA, 0xa5, AREA);
	put(ram + DATA, 512, 0, 8);
	c->gpr[RAX] = 7;
	c->gpr[RBX] = DATA;
	CHECK_OK(EXEC(0x0f, 0xae, 0x23));
	CHECK(!memcmp(ram + DATA + 160, image + 160, 128));
	CHECK_EQ(ram[DATA + 288], 0xa5);
	CHECK(!memcmp(ram + DATA + 576, image + 576, 128));
	CHECK_EQ(ram[DATA + 704], 0xa5);
	memset(ram + DATA, 0xa5, AREA);
	CHECK_OK(EXEC(0x0f, 0xae, 0x03));
	CHECK_EQ(ram[DATA + 288], 0xa5);

	CHECK_OK(xrstor(7, 0, 0, 0x1f80));
	CHECK(!memcmp(state + 160, mem + 160, 128));
	CHECK(!memcmp(state + 288, image + 288, 128));
	CHECK(!memcmp(state + 576, mem + 576, 128));
	CHECK(!memcmp(state + 704, image + 704, 128));
	CHECK_OK(xrstor(0, 0, 0, 0x1f80));
	CHECK_EQ(get(state, 160), 0);
	CHECK(!memcmp(state + 288, image + 288, 128));
	CHECK_EQ(get(state, 576), 0);
	CHECK(!memcmp(state + 704, image + 704, 128));
}

static enum cpu_result xsetbv(uint64_t v, uint32_t index)
{
	c->gpr[RAX] = (uint32_t)v;
	c->gpr[RDX] = v >> 32;
	c->gpr[RCX] = index;
	return EXEC(0x0f, 0x01, 0xd1);
}

static void test_xcr0(void)
{
	start64(0);
	random_area(image, 3);
	set_guest();
	CHECK_FAULT(xsetbv(6, 0), VEC_GP);
	CHECK_FAULT(xsetbv(5, 0), VEC_GP);
	CHECK_FAULT(xsetbv(0xe7, 0), VEC_GP);
	CHECK_FAULT(xsetbv(7, 1), VEC_GP);
	CHECK_OK(xsetbv(3, 0));
	CHECK_EQ(c->xcr0, 3);
	CHECK_OK(xsetbv(7, 0));
	c->gpr[RCX] = 0;
	CHECK_OK(EXEC(0x0f, 0x01, 0xd0));
	CHECK_EQ(c->gpr[RAX], 7);
	c->gpr[RCX] = 1;
	CHECK_OK(EXEC(0x0f, 0x01, 0xd0));
	CHECK_EQ(c->gpr[RAX], 3);
	c->gpr[RCX] = 2;
	CHECK_FAULT(EXEC(0x0f, 0x01, 0xd0), VEC_GP);
}

static void test_pkru(void)
{
	start64(3);
	CHECK_FAULT(EXEC(0x0f, 0x01, 0xee), VEC_UD); /* rdpkru */
	c->cr4 |= CR4_PKE;
	cpu_derive(c);
	c->gpr[RAX] = 0x55555554;
	CHECK_OK(EXEC(0x0f, 0x01, 0xef)); /* wrpkru */
	CHECK_EQ(c->mmu.pkru, 0x55555554);
	CHECK_EQ(flushed.all, 1);
	c->gpr[RAX] = 0;
	c->gpr[RDX] = 1;
	CHECK_OK(EXEC(0x0f, 0x01, 0xee));
	CHECK_EQ(c->gpr[RAX], 0x55555554);
	CHECK_EQ(c->gpr[RDX], 0);
	c->gpr[RCX] = 1;
	CHECK_FAULT(EXEC(0x0f, 0x01, 0xee), VEC_GP);
}

/* Moving the state out and in leaves the host's own control words alone. */
static void test_save_load(void)
{
	uint32_t mxcsr, host_mxcsr;
	uint16_t fcw, host_fcw;

	start64(0);
	random_area(image, 7);
	put(image, 24, 0x7f80, 4);
	set_guest();
	memcpy(mem, c->xsave, FPU_AREA_SIZE);
	__asm__ volatile("fnstcw %0; stmxcsr %1"
			 : "=m"(host_fcw), "=m"(host_mxcsr));
	fpu_load(c);
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	fpu_save(c);
	CHECK_EQ(mxcsr, 0x7f80);
	__asm__ volatile("fnstcw %0; stmxcsr %1" : "=m"(fcw), "=m"(mxcsr));
	CHECK_EQ(fcw, host_fcw);
	CHECK_EQ(mxcsr, host_mxcsr);
	compare("state", 0, 7, c->xsave, mem, XSAVE_HEADER);
	compare("state", 0, 7, (uint8_t *)c->xsave + 576, mem + 576, 256);
}

int main(void)
{
	machine_create();
	if (!(fpu_supported_xcr0() & XCR0_AVX)) {
		printf("SKIP: the host has no AVX\n");
		return 0;
	}
	test_native();
	test_faults();
	test_header();
	test_legacy_modes();
	test_xcr0();
	test_pkru();
	test_save_load();
	return test_done();
}
