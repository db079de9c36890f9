/*
 * Gathers and masked accesses against the silicon; then partial completion at
 * faults and restart after MMIO.
 */
#include "test/unit/machine.h"

#define SPAN 0x2000

static uint32_t seed = 3;

static uint32_t rnd(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static uint8_t image[FPU_AREA_SIZE] __attribute__((aligned(64)));
static uint8_t after[FPU_AREA_SIZE] __attribute__((aligned(64)));
static uint8_t copy[SPAN];
static uint8_t *text;

static uint8_t *vec(uint8_t *area, unsigned int reg, unsigned int byte)
{
	return area +
	       (byte < 16 ? 160 + 16 * reg + byte : 576 + 16 * reg + byte - 16);
}

static void set64(unsigned int reg, unsigned int q, uint64_t v)
{
	memcpy(vec(image, reg, 8 * q), &v, 8);
}

static uint64_t state64(unsigned int reg, unsigned int q)
{
	uint64_t v;

	memcpy(&v, vec(c->xsave, reg, 8 * q), 8);
	return v;
}

static void random_state(void)
{
	const uint64_t in_use = 7;
	const uint32_t mxcsr = 0x1f80;
	const uint16_t fcw = 0x37f;

	memset(image, 0, sizeof(image));
	for (unsigned int n = 160; n < 416; n++)
		image[n] = rnd();
	for (unsigned int n = 576; n < 832; n++)
		image[n] = rnd();
	for (unsigned int n = 0; n < 8; n++) {
		for (unsigned int k = 0; k < 8; k++)
			image[32 + 16 * n + k] = rnd();
		image[32 + 16 * n + 8] = image[32 + 16 * n + 9] = 0xff;
	}
	memcpy(image, &fcw, 2);
	image[4] = 0xff; /* MMX state: all valid */
	memcpy(image + 24, &mxcsr, 4);
	memcpy(image + 512, &in_use, 8);
}

static void set_guest(void)
{
	c->fpu_live = false;
	memset(c->xsave, 0, c->xsave_size);
	memcpy(c->xsave, image, sizeof(image));
}

/* Calls @text with the state @image; rbx and rdi point into @copy. */
static void native(uint64_t rbx, uint64_t rdi)
{
	static const uint32_t mxcsr = 0x1f80;

	__asm__ volatile("sub $128, %%rsp; xrstor64 (%1); call *%0;"
			 "xsave64 (%2); vzeroupper; fninit; ldmxcsr %3;"
			 "add $128, %%rsp"
			 :
			 : "r"(text), "r"(image), "r"(after), "m"(mxcsr),
			   "a"(7), "d"(0), "b"(rbx), "D"(rdi)
			 : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
			   "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/*
 * The guest's vectors are live while instrumented code runs, and the run-time
 * of ThreadSanitizer uses the low halves of a few.
 */
#ifdef __SANITIZE_THREAD__
static const bool low_halves_kept = false;
#else
static const bool low_halves_kept = true;
#endif

static void compare(const char *what, unsigned int k, const uint8_t *got,
		    const uint8_t *want, unsigned int len)
{
	for (unsigned int n = 0; n < len; n++) {
		if (got[n] == want[n])
			continue;
		printf("%s %u: byte %u is %#x, expected %#x\n", what, k, n,
		       got[n], want[n]);
		test_failed++;
		return;
	}
	test_passed++;
}

static void both(unsigned int k, const uint8_t *b, unsigned int len,
		 uint64_t off)
{
	memcpy(text, b, len);
	text[len] = 0xc3;
	memcpy(ram + DATA, copy, SPAN);
	set_guest();
	c->gpr[RBX] = c->gpr[RDI] = DATA + off;
	CHECK_OK(exec(b, len));
	native((uint64_t)copy + off, (uint64_t)copy + off);
	if (low_halves_kept)
		compare("vectors", k, (uint8_t *)c->xsave + 160, after + 160,
			256);
	compare("upper halves", k, (uint8_t *)c->xsave + 576, after + 576, 256);
	compare("x87", k, c->xsave, after, 5);
	compare("memory", k, ram + DATA, copy, SPAN);
}

/* vgather ymm1, [rbx + ymm2 * scale], ymm3 */
static void encode_gather(uint8_t *b, uint8_t opcode, bool w, bool l,
			  unsigned int scale)
{
	const uint8_t bytes[] = { 0xc4,	  0xe2, 0x61 | w << 7 | l << 2,
				  opcode, 0x0c, scale << 6 | 0x13 };

	memcpy(b, bytes, sizeof(bytes));
}

static void random_indices(bool qword)
{
	for (unsigned int n = 0; n < 4; n++) {
		int64_t lo = (int)(rnd() % 256) - 128;
		int64_t hi = (int)(rnd() % 256) - 128;

		set64(2, n,
		      qword ? (uint64_t)lo : (uint32_t)lo | (uint64_t)hi << 32);
	}
}

static void test_gather(void)
{
	uint8_t b[6];

	start64(3);
	for (unsigned int k = 0; k < 3000; k++) {
		uint8_t opcode = 0x90 + (rnd() & 3);

		for (unsigned int n = 0; n < SPAN; n++)
			copy[n] = k + n * 7;
		encode_gather(b, opcode, rnd() & 1, rnd() & 1, rnd() & 3);
		random_state();
		random_indices(opcode & 1);
		both(k, b, sizeof(b), SPAN / 2 - 3);
	}
}

static void test_gather_faults(void)
{
	uint8_t b[6];

	start64(3);
	*pte(DATA + 0x1000) = 0;
	memset(ram + DATA, 0x11, 0x1000);
	encode_gather(b, 0x90, false, true, 2);
	random_state();
	set64(2, 0, 1ull << 32);
	set64(2, 1, 0x400ull << 32 | 2); /* the fourth faults */
	set64(2, 2, 0x400ull << 32 | 3);
	set64(2, 3, 0);
	for (unsigned int n = 0; n < 4; n++) {
		set64(3, n, 0x8000000080000000);
		set64(1, n, 0);
	}
	set_guest();
	c->gpr[RBX] = DATA;
	CHECK_FAULT(exec(b, 6), VEC_PF);
	CHECK_EQ(c->fault.address, DATA + 0x1000);
	CHECK_EQ(state64(1, 0), 0x1111111111111111);
	CHECK_EQ(state64(1, 1), 0x11111111);
	CHECK_EQ(state64(3, 0), 0);
	/* What remains to be done is marked by whole elements. */
	CHECK_EQ(state64(3, 1), 0xffffffff00000000);
	CHECK_EQ(state64(3, 2), ~0ull);
	*pte(DATA + 0x1000) = DATA | 7;
	CHECK_OK(exec(b, 6));
	CHECK_EQ(state64(1, 1), 0x1111111111111111);
	CHECK_EQ(state64(3, 3), 0);
}

static void test_gather_mmio(void)
{
	uint8_t b[6];
	unsigned int turns = 0;
	enum cpu_result r;

	start64(0);
	encode_gather(b, 0x91, true, true, 3); /* vpgatherqq */
	random_state();
	for (unsigned int n = 0; n < 4; n++) {
		set64(2, n, n);
		set64(3, n, ~0ull);
	}
	set_guest();
	c->gpr[RBX] = MMIO - 8;
	c->mmio.nr_rd = 0;
	while ((r = exec(b, 6)) == CPU_EXIT && turns++ < 10) {
		c->mmio.rd[c->mmio.nr_rd] = c->mmio.want;
		memset(c->mmio.rd[c->mmio.nr_rd++].data, 0x40 + turns, 8);
	}
	CHECK_OK(r);
	CHECK_EQ(turns, 3);
	CHECK_EQ(state64(1, 0), 0);
	CHECK_EQ(state64(1, 1), 0x4141414141414141);
	CHECK_EQ(state64(1, 3), 0x4343434343434343);
	c->mmio.nr_rd = 0;
}

static void test_masked(void)
{
	/* Opcode of the load; stores are 2 above. */
	const struct {
		uint8_t opcode, w;
	} form[] = { { 0x2c, 0 }, { 0x2d, 0 }, { 0x8c, 0 }, { 0x8c, 1 } };

	start64(3);
	for (unsigned int k = 0; k < 2000; k++) {
		unsigned int f = rnd() & 3, store = (rnd() & 1) * 2;
		const uint8_t b[] = { 0xc4, 0xe2,
				      0x61 | form[f].w << 7 | (rnd() & 1) << 2,
				      form[f].opcode + store, 0x0b };

		for (unsigned int n = 0; n < SPAN; n++)
			copy[n] = k + n * 5;
		random_state();
		both(k, b, sizeof(b), 0x1000 - rnd() % 64);
	}
	for (unsigned int k = 0; k < 2000; k++) {
		const uint8_t sse[] = { 0x66, 0x0f, 0xf7, 0xca };
		const uint8_t mmx[] = { 0x0f, 0xf7, 0xca };
		const uint8_t avx[] = { 0xc5, 0xf9, 0xf7, 0xca };
		uint64_t off = 0x1000 - rnd() % 20;

		random_state();
		both(k, sse, sizeof(sse), off);
		random_state();
		both(k, mmx, sizeof(mmx), off);
		random_state();
		both(k, avx, sizeof(avx), off);
	}
}

/* What the mask leaves out is not accessed, and a fault stores nothing. */
static void test_masked_faults(void)
{
	const uint8_t store[] = { 0xc4, 0xe2, 0x65, 0x2e, 0x0b };
	const uint8_t load[] = { 0xc4, 0xe2, 0x65, 0x2c, 0x0b };

	start64(3);
	*pte(DATA + 0x1000) = 0;
	random_state();
	for (unsigned int n = 0; n < 4; n++) {
		set64(1, n, 0x2222222222222222);
		set64(3, n, n < 2 ? ~0ull : 0);
	}
	set_guest();
	c->gpr[RBX] = DATA + 0xff0;
	CHECK_OK(exec(store, 5));
	CHECK_EQ(ram[DATA + 0xfff], 0x22);
	CHECK_OK(exec(load, 5));
	CHECK_EQ(state64(1, 1), 0x2222222222222222);
	CHECK_EQ(state64(1, 2), 0);
	memset(ram + DATA, 0, 0x1000);
	set64(3, 2, 0x80000000);
	set_guest();
	CHECK_FAULT(exec(store, 5), VEC_PF);
	/* The last byte selected. */
	CHECK_EQ(c->fault.address, DATA + 0x1003);
	CHECK_EQ(ram[DATA + 0xfff], 0);
	CHECK_FAULT(exec(load, 5), VEC_PF);
	CHECK_EQ(state64(1, 0), 0x2222222222222222);
}

int main(void)
{
	machine_create();
	text = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!cpuid_feat_supported(FEAT_AVX2)) {
		printf("SKIP: the host has no AVX2\n");
		return 0;
	}
	if (!low_halves_kept)
		printf("SKIP: low halves of vectors under ThreadSanitizer\n");
	test_gather();
	test_gather_faults();
	test_gather_mmio();
	test_masked();
	test_masked_faults();
	return test_done();
}
