/*
 * Vector and x87 state: it stays live across exceptions, exits, interrupts and
 * long loops; FXSAVE, XSAVE and XRSTOR with changing XCR0; #NM through CR0.TS;
 * MXCSR and control word.
 */
#include "test/guest/lib/apic.h"
#include "test/guest/lib/paging64.h"

#define V_IPI 0x61

static u8 area[4096] __attribute__((aligned(64)));
static u64 image[32] __attribute__((aligned(64)));

#define XMM_LOAD(n)  "movups 16*" #n "(%0), %%xmm" #n "\n\t"
#define XMM_STORE(n) "movups %%xmm" #n ", 16*" #n "(%0)\n\t"
#define ALL(M)                                                                 \
	M(0)                                                                   \
	M(1)                                                                   \
	M(2)                                                                   \
	M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)

static void load_xmm(u64 seed)
{
	for (unsigned i = 0; i < 32; i++)
		image[i] = seed * 0x9e3779b97f4a7c15ull + i * 0x123456789;
	asm volatile(ALL(XMM_LOAD) : : "r"(image) : "memory");
	asm volatile("fninit; fld1; fldpi; fldl2e" : : : "memory");
}

static void check_xmm(const char *what, u64 seed)
{
	u64 got[32], sum[3];

	asm volatile(ALL(XMM_STORE) : : "r"(got) : "memory");
	for (unsigned i = 0; i < 32; i++)
		CHECK_EQ(what, got[i],
			 seed * 0x9e3779b97f4a7c15ull + i * 0x123456789);
	asm volatile("fstpl %0; fstpl %1; fstpl %2"
		     : "=m"(sum[0]), "=m"(sum[1]), "=m"(sum[2]));
	CHECK_EQ(what, sum[0], 0x3ff71547652b82fe);
	CHECK_EQ(what, sum[1], 0x400921fb54442d18);
	CHECK_EQ(what, sum[2], 0x3ff0000000000000);
}

static volatile u32 irqs;
static volatile bool ticking;

static void on_ipi(struct frame *f)
{
	/* A handler that uses vector registers of its own, and restores them.
	 */
	asm volatile("fxsave %0; fninit; fldz; xorps %%xmm0, %%xmm0; "
		     "xorps %%xmm7, %%xmm7; fxrstor %0"
		     : "+m"(area));
	irqs++;
	apic_eoi();
	/* Again and again, so that one always comes for the HLT. */
	if (ticking)
		apic_timer(V_IPI, 50000);
}

static void across_exits(void)
{
	load_xmm(1);
	cpuid(0, 0);
	inb(0x80);
	outl(0xe0, 5);
	(void)apic_read(APIC_VERSION);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	flush_tlb();
	check_xmm("exits", 1);
	load_xmm(2);
	TRY("ud2", :);
	TRY("mov (%0), %%al", : : "r"(TEST_VA * 3) : "rax");
	TRY("int3", :);
	check_xmm("exceptions", 2);
	load_xmm(3);
	CHECK_EQ("user", run_user(USER_CODE("nop"), 0), V_USER);
	check_xmm("ring 3", 3);
}

static void across_interrupts(void)
{
	load_xmm(4);
	irqs = 0;
	sti();
	for (u32 i = 1; i <= 20; i++) {
		apic_timer(V_IPI, 5000);
		while (irqs < i)
			;
	}
	ticking = true;
	apic_timer(V_IPI, 50000);
	asm volatile("hlt" : : : "memory", "cc");
	ticking = false;
	cli();
	check_xmm("interrupts", 4);
}

static void across_loops(void)
{
	u64 v = 0;

	load_xmm(5);
	for (int i = 0; i < 30000; i++) {
		volatile u64 *p =
			(volatile u64 *)(0xa00000ul + (i & 1023) * PAGE);

		*p += i;
		v += *p;
	}
	CHECK("sum", v);
	check_xmm("loops", 5);
}

static void control_words(void)
{
	u32 mxcsr = 0x3f80, got;
	u16 cw = 0x0c7f, got_cw;

	asm volatile("ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(cw));
	cpuid(0, 0);
	TRY("ud2", :);
	outb(0x80, 0);
	asm volatile("stmxcsr %0; fnstcw %1" : "=m"(got), "=m"(got_cw));
	CHECK_EQ("mxcsr", got, mxcsr);
	CHECK_EQ("cw", got_cw, cw);
	/* Rounding up: 1/3 as double ends in ...6, not ...5. */
	mxcsr = 0x5f80;
	u64 third;

	asm volatile("ldmxcsr %1; cvtsi2sd %2, %%xmm0; cvtsi2sd %3, %%xmm1; "
		     "divsd %%xmm1, %%xmm0; movq %%xmm0, %0"
		     : "=r"(third)
		     : "m"(mxcsr), "r"(1), "r"(3));
	CHECK_EQ("rounded up", third, 0x3fd5555555555556);
	asm volatile("stmxcsr %0" : "=m"(got));
	CHECK_EQ("inexact", got & 0x20, 0x20);
	mxcsr = 0x1f80;
	asm volatile("ldmxcsr %0; fninit" : : "m"(mxcsr));
}

static void fxsave(void)
{
	memset(area, 0xcc, 512);
	load_xmm(6);
	asm volatile("fxsave64 %0" : "=m"(area));
	CHECK_EQ("cw", *(u16 *)area, 0x37f);
	CHECK_EQ("sw", *(u16 *)(area + 2) >> 11 & 7, 5);
	CHECK_EQ("tw", area[4], 0xe0);
	CHECK_EQ("mxcsr", *(u32 *)(area + 24), 0x1f80);
	CHECK_EQ("mask", *(u32 *)(area + 28) & 0xffbf, 0xffbf);
	CHECK_EQ("st0", *(u64 *)(area + 32), 0xb8aa3b295c17f0bc);
	CHECK_EQ("xmm0", *(u64 *)(area + 160), image[0]);
	CHECK_EQ("xmm15", *(u64 *)(area + 160 + 15 * 16 + 8), image[31]);
	load_xmm(7);
	asm volatile("fxrstor64 %0" : : "m"(area));
	check_xmm("restored", 6);
	*(u32 *)(area + 24) = 0xffff0000;
	CHECK_EQ("bad mxcsr", TRY("fxrstor %0", : : "m"(area)), X_GP);
}

static u64 xgetbv(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo | (u64)hi << 32;
}

static int xsetbv(u32 index, u64 v)
{
	return TRY("xsetbv", : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)));
}

static void xcr0(void)
{
	u64 all = cpuid(13, 0).a | (u64)cpuid(13, 0).d << 32;

	CHECK_EQ("osxsave off", cpuid(1, 0).c & BIT(27), 0);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK_EQ("osxsave on", cpuid(1, 0).c & BIT(27), BIT(27));
	CHECK_EQ("x87, sse", xsetbv(0, 3), NO_TRAP);
	CHECK_EQ("xcr0", xgetbv(), 3);
	CHECK_EQ("size", cpuid(13, 0).b, 576);
	CHECK_TRAP("no x87", xsetbv(0, 2), X_GP, 0);
	CHECK_TRAP("reserved", xsetbv(0, BIT(62) | 3), X_GP, 0);
	CHECK_TRAP("xcr1", xsetbv(1, 3), X_GP, 0);
	CHECK_TRAP("xgetbv 5",
		   TRY("xgetbv",
		       :
		       : "c"(5)
		       : "rax", "rdx"),
		   X_GP, 0);
	CHECK_EQ("x87 alone", xsetbv(0, 1), NO_TRAP);
	if (all & 4) {
		CHECK_TRAP("avx without sse", xsetbv(0, 5), X_GP, 0);
		CHECK_EQ("vex, no avx", TRY("vzeroupper", :), X_UD);
		CHECK_EQ("avx", xsetbv(0, 7), NO_TRAP);
		CHECK_EQ("size", cpuid(13, 0).b, 832);
		CHECK_EQ("vex", TRY("vzeroupper", :), NO_TRAP);
	}
	CHECK_EQ("back", xsetbv(0, 3), NO_TRAP);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	CHECK_TRAP("xsetbv off", xsetbv(0, 3), X_UD, 0);
	CHECK_EQ("osxsave off", cpuid(1, 0).c & BIT(27), 0);
}

static void xsave(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, 3);
	memset(area, 0, 1024);
	load_xmm(8);
	asm volatile("xsave64 %0" : "+m"(area) : "a"(3), "d"(0));
	CHECK_EQ("xstate_bv", *(u64 *)(area + 512), 3);
	CHECK_EQ("xmm3", *(u64 *)(area + 160 + 48), image[6]);
	load_xmm(9);
	asm volatile("xrstor64 %0" : : "m"(area), "a"(3), "d"(0));
	check_xmm("restored", 8);
	/* Only what RFBM asks for; a clear bit in XSTATE_BV means initial. */
	load_xmm(10);
	*(u64 *)(area + 512) = 1;
	asm volatile("xrstor64 %0" : : "m"(area), "a"(3), "d"(0));
	u64 v[2];

	asm volatile("movups %%xmm3, %0" : "=m"(v));
	CHECK_EQ("initial", v[0] | v[1], 0);
	*(u64 *)(area + 512) = 3;
	load_xmm(10);
	asm volatile("xrstor64 %0" : : "m"(area), "a"(1), "d"(0));
	asm volatile("movups %%xmm3, %0" : "=m"(v));
	CHECK_EQ("not asked for", v[0], image[6]);
	*(u64 *)(area + 512) = BIT(40);
	CHECK_TRAP("bad xstate_bv",
		   TRY("xrstor64 %0",
		       :
		       : "m"(area), "a"(3), "d"(0)),
		   X_GP, 0);
	*(u64 *)(area + 512) = 3;
	*(u64 *)(area + 520) = 0;
	*(u64 *)(area + 528) = 1;
	CHECK_TRAP("bad header",
		   TRY("xrstor64 %0",
		       :
		       : "m"(area), "a"(3), "d"(0)),
		   X_GP, 0);
	*(u64 *)(area + 528) = 0;
	CHECK_TRAP("unaligned",
		   TRY("xsave64 %0",
		       :
		       : "m"(area[32]), "a"(3), "d"(0)
		       : "memory"),
		   X_GP, 0);
	write_cr0(read_cr0() | CR0_TS);
	CHECK_TRAP("ts",
		   TRY("xsave64 %0",
		       :
		       : "m"(area), "a"(3), "d"(0)),
		   X_NM, 0);
	asm volatile("clts");
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	asm volatile("fninit");
}

static void avx(void)
{
	u64 v[4], w[4] = { 1, 2, 3, 4 };

	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, 7);
	asm volatile("vmovups %0, %%ymm5; vpaddq %%ymm5, %%ymm5, %%ymm6"
		     :
		     : "m"(w));
	cpuid(0, 0);
	TRY("ud2", :);
	TRY("mov (%0), %%al", : : "r"(TEST_VA * 3) : "rax");
	outb(0x80, 0);
	flush_tlb();
	asm volatile("vmovups %%ymm6, %0" : "=m"(v));
	for (int i = 0; i < 4; i++)
		CHECK_EQ("ymm6", v[i], 2 * w[i]);
	/* Legacy SSE keeps the upper half, VEX.128 clears it. */
	asm volatile("movaps %%xmm5, %%xmm6; vmovups %%ymm6, %0" : "=m"(v));
	CHECK_EQ("sse keeps", v[3], 8);
	asm volatile("vmovaps %%xmm5, %%xmm6; vmovups %%ymm6, %0" : "=m"(v));
	CHECK_EQ("vex clears", v[3], 0);
	memset(area, 0, 1024);
	asm volatile("xsave64 %0" : "+m"(area) : "a"(7), "d"(0));
	CHECK_EQ("xstate_bv", *(u64 *)(area + 512) & 6, 6);
	u32 off = cpuid(13, 2).b;

	CHECK_EQ("ymm5 high", *(u64 *)(area + off + 5 * 16 + 8), 4);
	asm volatile("vzeroall");
	asm volatile("xrstor64 %0" : : "m"(area), "a"(7), "d"(0));
	asm volatile("vmovups %%ymm5, %0" : "=m"(v));
	CHECK_EQ("restored", v[3], 4);
	write_cr0(read_cr0() | CR0_TS);
	CHECK_TRAP("ts", TRY("vaddps %%ymm0, %%ymm0, %%ymm0", :), X_NM, 0);
	asm volatile("clts; vzeroall");
	xsetbv(0, 3);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

/* Lazy switching: #NM, the handler loads the state and clears TS. */
static volatile u32 nms;

static void on_nm(struct frame *f)
{
	nms++;
	asm volatile("clts; fxrstor64 %0" : : "m"(area));
}

static void lazy(void)
{
	load_xmm(11);
	asm volatile("fxsave64 %0" : "=m"(area));
	load_xmm(12);
	trap_handler(X_NM, on_nm);
	nms = 0;
	write_cr0(read_cr0() | CR0_TS);
	check_xmm("switched", 11);
	CHECK_EQ("once", nms, 1);
	trap_handler(X_NM, NULL);
}

void guest_main(void)
{
	bool has_xsave = has(FEAT_XSAVE);

	apic_enable();
	trap_handler(V_IPI, on_ipi);
	RUN(across_exits);
	RUN(across_interrupts);
	RUN(across_loops);
	RUN(control_words);
	RUN(fxsave);
	RUN_IF(has_xsave, xcr0);
	RUN_IF(has_xsave, xsave);
	RUN_IF(has_xsave && has(FEAT_AVX), avx);
	RUN(lazy);
}
