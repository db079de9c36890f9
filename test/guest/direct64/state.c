/*
 * Vector, x87 and segment state over stops, with a kernel that uses them in
 * between; exceptions of theirs.
 */
#include "test/guest/direct64/direct.h"

static u8 area[4096] __attribute__((aligned(64)));
static u8 mine[4096] __attribute__((aligned(64)));
static u8 user_ymm[4][32] __user_data __attribute__((aligned(64)));
static bool use_avx;

static void xsave(void *p)
{
	asm volatile("xsave64 (%0)" : : "r"(p), "a"(7), "d"(0) : "memory");
}

static void xrstor(void *p)
{
	asm volatile("xrstor64 (%0)" : : "r"(p), "a"(7), "d"(0) : "memory");
}

/* A kernel that switches to something else and back. */
static void on_stop(struct frame *f)
{
	u32 mxcsr = 0x1fa0;

	xsave(area);
	asm volatile("fninit; fldpi; ldmxcsr %0" : : "m"(mxcsr));
	if (use_avx)
		asm volatile("vpcmpeqd %ymm0, %ymm0, %ymm0; vzeroall");
	else
		asm volatile("pcmpeqd %xmm0, %xmm0; pxor %xmm5, %xmm5");
	xsave(mine);
	xrstor(area);
	if (f->vector == X_UD)
		f->ip += 2;
}

#define AVX_LOAD                                                               \
	"vmovdqu (%%rdi), %%ymm0; vmovdqu 32(%%rdi), %%ymm5; "                 \
	"vmovdqu 64(%%rdi), %%ymm15; "
#define AVX_STORE                                                              \
	"vmovdqu %%ymm0, 32(%%rdi); vmovdqu %%ymm5, 64(%%rdi); "               \
	"vmovdqu %%ymm15, 96(%%rdi); "
#define STOPS                                                                  \
	"ud2; int $0x43; movabs $0x8080000000, %%rax; mov (%%rax), %%eax; "    \
	"rdtsc; int3; "

/* The page fault's handler maps it, with the same change of state. */
static u64 page;
static void on_pf(struct frame *f)
{
	on_stop(f);
	map4k(0x8080000000, page, RWU);
}

static void vectors_kept(void)
{
	idt_set(0x43, idt_stub(0x43), 3);
	trap_handler(X_UD, on_stop);
	trap_handler(0x43, on_stop);
	trap_handler(X_BP, on_stop);
	trap_handler(X_PF, on_pf);
	unmap4k(0x8080000000);
	for (int i = 0; i < 32; i++) {
		user_ymm[0][i] = i + 1;
		user_ymm[1][i] = i + 100;
		user_ymm[2][i] = i * 3;
		user_ymm[3][i] = 0;
	}
	use_avx = has(FEAT_AVX);
	if (use_avx) {
		CHECK_USER_OK("avx",
			      run_user(USER_CODE(AVX_LOAD STOPS AVX_STORE),
				       (word)user_ymm));
		for (int i = 0; i < 32; i++) {
			CHECK_EQ("ymm0", user_ymm[1][i], (u8)(i + 1));
			CHECK_EQ("ymm5", user_ymm[2][i], (u8)(i + 100));
			CHECK_EQ("ymm15", user_ymm[3][i], (u8)(i * 3));
		}
	}
	unmap4k(0x8080000000);
	user_mem[0] = 0x3f80;
	user_mem[1] = 0x27f;
	CHECK_USER_OK("x87",
		      U("fninit; fldcw 8(%%rdi); fld1; fldl2t; ldmxcsr (%%rdi);"
			"push %%rdi; " STOPS
			"pop %%rdi; stmxcsr 16(%%rdi); fnstcw 24(%%rdi); "
			"fnstsw 26(%%rdi); fstpt 32(%%rdi); "
			"fistpll 48(%%rdi); movl $0x1f80, 4(%%rdi); "
			"ldmxcsr 4(%%rdi); fninit"));
	CHECK_EQ("mxcsr", (u32)user_mem[2], 0x3f80);
	CHECK_EQ("fcw", (u16)user_mem[3], 0x27f);
	CHECK_EQ("fsw", (user_mem[3] >> 16) & 0x3800, 0x3000);
	CHECK_EQ("st0", user_mem[4] >> 32, 0xd49a784b);
	CHECK_EQ("st1", user_mem[6], 1);
	trap_handler(X_UD, NULL);
	trap_handler(0x43, NULL);
	trap_handler(X_BP, NULL);
	trap_handler(X_PF, NULL);
}

/* State that the kernel has changed for good. */
static void on_change(struct frame *f)
{
	f->ip += 2;
	asm volatile("pcmpeqd %xmm3, %xmm3");
}

static void vectors_changed(void)
{
	trap_handler(X_UD, on_change);
	CHECK_USER_OK("changed", U("pxor %%xmm3, %%xmm3; ud2; "
				   "movq %%xmm3, %%rax; pxor %%xmm3, %%xmm3"));
	CHECK_EQ("xmm3", trap.frame.ax, ~0ul);
	trap_handler(X_UD, NULL);
}

static void simd_exceptions(void)
{
	u32 mxcsr = 0x1f80;

	user_mem[0] = 0x1d80; /* #Z unmasked */
	user_mem[1] = 0x3ff0000000000000;
	CHECK_EQ("xm",
		 U("ldmxcsr (%%rdi); movsd 8(%%rdi), %%xmm0; "
		   "pxor %%xmm1, %%xmm1; lea 1f(%%rip), %%rbx; "
		   "1: divsd %%xmm1, %%xmm0"),
		 X_XM);
	CHECK_EQ("rip", trap.frame.ip, trap.frame.bx);
	asm volatile("stmxcsr %0" : "=m"(user_mem[2]));
	CHECK_EQ("mxcsr", (u32)user_mem[2], 0x1d84);
	write_cr4(read_cr4() & ~CR4_OSXMMEXCPT);
	CHECK_EQ("ud",
		 U("ldmxcsr (%%rdi); movsd 8(%%rdi), %%xmm0; "
		   "pxor %%xmm1, %%xmm1; divsd %%xmm1, %%xmm0"),
		 X_UD);
	write_cr4(read_cr4() | CR4_OSXMMEXCPT);
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	/* Denormals, as they are and as zeros. */
	user_mem[3] = 0x10;
	user_mem[4] = 0x9fc0;
	CHECK_USER_OK("denormals",
		      U("movq 24(%%rdi), %%xmm0; addsd %%xmm0, %%xmm0; "
			"movq %%xmm0, %%rax; ldmxcsr 32(%%rdi); "
			"movq 24(%%rdi), %%xmm0; addsd %%xmm0, %%xmm0; "
			"movq %%xmm0, %%rcx"));
	CHECK_EQ("sum", trap.frame.ax, 0x20);
	CHECK_EQ("zero", trap.frame.cx, 0);
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static void x87_exceptions(void)
{
	u64 cr0 = read_cr0();

	write_cr0((cr0 | CR0_NE | CR0_MP) & ~CR0_TS);
	user_mem[0] = 0x37b; /* #Z unmasked */
	CHECK_EQ("mf",
		 U("fninit; fldcw (%%rdi); fld1; fldz; fdivrp; nop; "
		   "lea 1f(%%rip), %%rbx; 1: fwait"),
		 X_MF);
	CHECK_EQ("rip", trap.frame.ip, trap.frame.bx);
	asm volatile("fnclex; fninit");
	write_cr0(cr0 | CR0_TS);
	CHECK_EQ("nm", U("fld1"), X_NM);
	CHECK_EQ("nm", U("pxor %%xmm1, %%xmm1"), X_NM);
	write_cr0(cr0);
}

static void bases(void)
{
	const u64 high = 0xffff800000001000;

	CHECK_USER_OK("fs", U("wrfsbase %%rdi; movq $77, %%fs:0; "
			      "mov (%%rdi), %%rax; rdfsbase %%rcx"));
	CHECK_EQ("through", trap.frame.ax, 77);
	CHECK_EQ("base", trap.frame.cx, (word)user_mem);
	CHECK_EQ("msr", rdmsr(MSR_FS_BASE), (word)user_mem);
	wrmsr(MSR_GS_BASE, (word)user_mem + 8);
	user_mem[1] = 78;
	CHECK_USER_OK("gs", U("mov %%gs:0, %%rax; rdgsbase %%rcx"));
	CHECK_EQ("through", trap.frame.ax, 78);
	CHECK_EQ("base", trap.frame.cx, (word)user_mem + 8);
	/* One that is no user's, and then a page that is new. */
	user_mem[0] = high;
	unmap4k(0x8080000000);
	*pte_of(0x8080000000) = page | RWU;
	CHECK_USER_OK("high", U("mov (%%rdi), %%rax; wrgsbase %%rax; "
				"movabs $0x8080000000, %%rax; "
				"mov (%%rax), %%ebx; rdgsbase %%rax; "
				"rdfsbase %%rcx"));
	CHECK_EQ("base", trap.frame.ax, high);
	CHECK_EQ("other", trap.frame.cx, (word)user_mem);
	CHECK_EQ("msr", rdmsr(MSR_GS_BASE), high);
	CHECK_EQ("non-canonical",
		 U("movabs $0x900000000000, %%rax; "
		   "wrfsbase %%rax"),
		 X_GP);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, 0);
	write_cr4(read_cr4() & ~CR4_FSGSBASE);
	CHECK_EQ("none", U("rdfsbase %%rax"), X_UD);
	write_cr4(read_cr4() | CR4_FSGSBASE);
}

static void segments(void)
{
	u64 free = gdt[SEL_FREE / 8];

	CHECK_USER_OK(
		"selectors",
		U_APART("mov %%cs, %%eax; mov %%ss, %%ecx; mov %%ds, %%edx; "
			"mov $0x2b, %%ebx; mov %%ebx, %%ds; mov %%ebx, %%es; "
			"mov %%ebx, %%ss; mov %%ds, %%esi; mov %%es, %%ebp"));
	CHECK_EQ("cs", trap.frame.ax, SEL_UCODE);
	CHECK_EQ("ss", trap.frame.cx, SEL_UDATA);
	CHECK_EQ("ds", trap.frame.dx, 0);
	CHECK_EQ("new ds", trap.frame.si, SEL_UDATA);
	CHECK_EQ("new es", trap.frame.bp, SEL_UDATA);
	/* Segments that only the guest has. */
	gdt[SEL_FREE / 8] = DESC_P | DESC_S | DESC_DPL(3) | DESC_TYPE(TYPE_RW) |
			    DESC_DB | DESC_G | DESC_LIMIT(0xfffff) |
			    DESC_BASE((word)user_mem);
	user_mem[2] = 0x7878;
	CHECK_USER_OK("fs", U_APART("mov $0x53, %%eax; mov %%eax, %%fs; "
				    "mov %%fs:16, %%rbx; mov %%fs, %%ecx; "
				    "rdfsbase %%rdx; push $0; pop %%fs"));
	CHECK_EQ("value", trap.frame.bx, 0x7878);
	CHECK_EQ("sel", trap.frame.cx, 0x53);
	CHECK_EQ("base", trap.frame.dx, (word)user_mem);
	CHECK_EQ("ds", U_APART("mov $0x53, %%eax; mov %%eax, %%ds; ud2"), X_UD);
	CHECK_EQ("bad", U_APART("mov $0x73, %%eax; mov %%eax, %%es"), X_GP);
	CHECK_EQ("error", trap.error, 0x70);
	gdt[SEL_FREE / 8] = free;
	wrmsr(MSR_FS_BASE, 0);
}

/* To 32-bit code and back, by RETF and JMP. */
static void compat(void)
{
	CHECK_USER_OK(
		"retf",
		U_APART("mov %%rsp, %%r15; lea 1f(%%rip), %%rax; push $0x23; "
			"push %%rax; lretq; .code32; "
			"1: mov %%cs, %%ebx; inc %%ebx; xor %%ecx, %%ecx; "
			".byte 0x41; nop; "
			"push $0x33; push $2f; lretl; .code64; "
			"2: mov %%r15, %%rsp; mov %%cs, %%edx"));
	CHECK_EQ("32", trap.frame.bx, SEL_UCODE32 + 1);
	/* 41 is INC ECX there. */
	CHECK_EQ("41", trap.frame.cx, 1);
	CHECK_EQ("64", trap.frame.dx, SEL_UCODE);
	CHECK_EQ("fault",
		 U_APART("lea 1f(%%rip), %%rax; push $0x23; push %%rax; "
			 "lretq; .code32; 1: hlt; .code64"),
		 X_GP);
	CHECK_EQ("cs", trap.frame.cs, SEL_UCODE32);
}

void test_state(void)
{
	page = page_alloc();
	pte_make(cr3_root(), 0x8080000000, 1);
	RUN(vectors_kept);
	RUN(vectors_changed);
	RUN(simd_exceptions);
	RUN(x87_exceptions);
	RUN_IF(has(FEAT_FSGSBASE), bases);
	RUN(segments);
	RUN(compat);
}
