/*
 * Code that changes, that shares pages with data, that crosses pages; and
 * instructions that a host would answer for itself, wherever they come from.
 */
#include "test/guest/direct64/direct.h"

#define VA (TEST_VA + 0x50000000)

static u64 page[4];

/* User code that writes its own page, time and again. */
static void self_modifying(void)
{
	/*
	 * mov $200, %ecx; xor %edx, %edx
	 * 1: mov %ecx, 2f+1(%rip); 2: mov $0, %eax; add %eax, %edx
	 * dec %ecx; jnz 1b; mov %edx, %eax; ret
	 */
	static const u8 code[] = { 0xb9, 200,  0,    0,	   0,	 0x31, 0xd2,
				   0x89, 0x0d, 1,    0,	   0,	 0,    0xb8,
				   0,	 0,    0,    0,	   0x01, 0xc2, 0xff,
				   0xc9, 0x75, 0xef, 0x89, 0xd0, 0xc3 };

	map4k(VA, page[0], RWU);
	memcpy((void *)page[0], code, sizeof(code));
	CHECK_EQ("sum", user_called(VA), 200 * 201 / 2);
	CHECK_EQ("again", user_called(VA), 200 * 201 / 2);
}

/* Through another address, and by the kernel. */
static void written_elsewhere(void)
{
	map4k(VA, page[0], RU);
	map4k(VA + PAGE, page[0], RWU | PTE_NX);
	for (u32 i = 0; i < 10; i++) {
		put_code(page[0] + 0x40, i);
		CHECK_EQ("kernel", user_called(VA + 0x40), i);
		user_store(VA + PAGE + 0x40, 0xc300000000b8 | (i + 50) << 8);
		CHECK_EQ("user", user_called(VA + 0x40), i + 50);
	}
}

/* cpuid; mov %ebx, %eax; ret */
#define CPUID_CODE 0xc3d889a20full
/* sgdt 8(%rdi); mov 10(%rdi), %rax; ret */
static const u8 sgdt_code[] = { 0x0f, 0x01, 0x47, 0x08, 0x48,
				0x8b, 0x47, 0x0a, 0xc3 };

static u64 user_sgdt(u64 va)
{
	user_mem[3] = va;
	CHECK_USER_OK("sgdt", U("call *24(%%rdi)"));
	return trap.frame.ax;
}

/* What was plain code when it ran first. */
static void turned_sensitive(void)
{
	const u64 at = VA + 0x80, home = read_cr3(), root = page_alloc();

	/* An address space that is not yet known for its changes of code. */
	memcpy((void *)root, (void *)home, PAGE);
	write_cr3(root);
	map4k(VA, page[1], RWU);
	put_code(page[1] + 0x80, 1);
	CHECK_EQ("plain", user_called(at), 1);
	/* Written by user code, as compilers at run time do. */
	user_store(at, *(u64 *)sgdt_code);
	user_store(at + 8, 0xc3);
	CHECK_EQ("user", user_sgdt(at), (word)gdt);
	user_store(at, 0xc300000000b8 | 0x55 << 8);
	CHECK_EQ("plain", user_called(at), 0x55);
	/* Written by the kernel with the page writable for a while. */
	set_pte(VA, page[1] | RU);
	CHECK_EQ("plain", user_called(at), 0x55);
	set_pte(VA, page[1] | RWU);
	memcpy((void *)at, sgdt_code, sizeof(sgdt_code));
	set_pte(VA, page[1] | RU);
	CHECK_EQ("kernel", user_sgdt(at), (word)gdt);
	/* Written under another address. */
	put_code(page[1] + 0x80, 2);
	CHECK_EQ("plain", user_called(at), 2);
	memcpy((void *)(page[1] + 0x80), sgdt_code, sizeof(sgdt_code));
	CHECK_EQ("kernel alias", user_sgdt(at), (word)gdt);
	put_code(page[1] + 0x80, 3);
	CHECK_EQ("plain", user_called(at), 3);
	map4k(VA + PAGE, page[1], RWU | PTE_NX);
	user_store(at + PAGE, *(u64 *)sgdt_code);
	user_store(at + PAGE + 8, 0xc3);
	CHECK_EQ("user alias", user_sgdt(at), (word)gdt);
	write_cr3(home);
	page_release(root);
}

/* Code and data of one page, alternately. */
static void code_and_data(void)
{
	map4k(VA, page[2], RWU);
	/* 1: incq 0x800(%rip...); dec %ecx; jnz 1b; mov %ecx, %eax; ret */
	memcpy((void *)page[2],
	       "\xb9\x64\0\0\0\x48\xff\x05\xf4\x07\0\0\xff\xc9\x75\xf5\x89\xc8"
	       "\xc3",
	       19);
	*(u64 *)(page[2] + 0x800) = 5;
	CHECK_EQ("called", user_called(VA), 0);
	CHECK_EQ("counted", *(u64 *)(page[2] + 0x800), 105);
	/* The same with the data under another address, where alone it may be
	 * written. */
	map4k(VA, page[2], RU);
	map4k(VA + PAGE, page[2], RWU | PTE_NX);
	*(u32 *)(page[2] + 8) = 0x17f4;
	CHECK_EQ("called", user_called(VA), 0);
	CHECK_EQ("counted", *(u64 *)(page[2] + 0x800), 205);
}

static void page_ends(void)
{
	map4k(VA, page[0], RWU);
	map4k(VA + PAGE, page[1], RWU);
	for (u64 n = 1; n < 6; n++) {
		put_code(VA + PAGE - n, n);
		CHECK_EQ("crossing", user_called(VA + PAGE - n), n);
		set_pte(VA + PAGE, 0);
		CHECK_PF("absent", run_user(do_call, VA + PAGE - n),
			 PF_U | PF_I, VA + PAGE);
		CHECK_EQ("rip", trap.frame.ip,
			 n < 5 ? VA + PAGE - n : VA + PAGE);
		set_pte(VA + PAGE, page[1] | RWU | PTE_NX);
		CHECK_PF("nx", run_user(do_call, VA + PAGE - n),
			 PF_P | PF_U | PF_I, VA + PAGE);
		set_pte(VA + PAGE, page[1] | RWU);
		CHECK_EQ("back", user_called(VA + PAGE - n), n);
	}
	/* Data that crosses, of which the second part is absent. */
	*(volatile u64 *)(VA + PAGE - 4) = 0x1122334455667788;
	CHECK_EQ("data", user_value(VA + PAGE - 4), 0x1122334455667788);
	set_pte(VA + PAGE, 0);
	CHECK_PF("read", run_user(do_read, VA + PAGE), PF_U, VA + PAGE);
	CHECK_EQ("store", user_store(VA + PAGE - 4, 0), X_PF);
	CHECK_EQ("store", trap.cr2, VA + PAGE);
	CHECK_EQ("untouched", *(u32 *)(page[0] + PAGE - 4), 0x55667788);
	set_pte(VA + PAGE, page[1] | RU);
	CHECK_EQ("store", user_store(VA + PAGE - 4, 0), X_PF);
	CHECK_EQ("untouched", *(u32 *)(page[0] + PAGE - 4), 0x55667788);
}

static void cpuid_like_kernel(void)
{
	static const u32 leaf[] = { 0, 1, 7, 0xd, 0x40000000, 0x80000001 };

	for (unsigned i = 0; i < ARRAY_SIZE(leaf); i++) {
		struct cpuid k = cpuid(leaf[i], 0);

		user_mem[0] = leaf[i];
		CHECK_USER_OK("cpuid", U_APART("mov (%%rdi), %%eax; xor %%ecx, "
					       "%%ecx; cpuid"));
		CHECK_EQ("eax", trap.frame.ax, k.a);
		CHECK_EQ("ecx", trap.frame.cx, k.c);
		CHECK_EQ("edx", trap.frame.dx, k.d);
		if (leaf[i] != 1)
			CHECK_EQ("ebx", trap.frame.bx, k.b);
	}
}

static void sensitive(void)
{
	struct table_reg g, i;
	u64 before, cr0 = read_cr0();

	asm volatile("sgdt %0; sidt %1" : "=m"(g), "=m"(i));
	CHECK_USER_OK("sgdt", U_APART("sgdt (%%rdi); mov 2(%%rdi), %%rax; "
				      "movzwl (%%rdi), %%ecx"));
	CHECK_EQ("gdt", trap.frame.ax, g.base);
	CHECK_EQ("gdt limit", trap.frame.cx, g.limit);
	CHECK_USER_OK("sidt", U_APART("sidt (%%rdi); mov 2(%%rdi), %%rax"));
	CHECK_EQ("idt", trap.frame.ax, i.base);
	CHECK_USER_OK("str", U_APART("str %%eax; sldt %%ecx; smsw %%rdx"));
	CHECK_EQ("tr", trap.frame.ax, SEL_TSS);
	CHECK_EQ("ldt", trap.frame.cx, 0);
	CHECK_EQ("msw", (u16)trap.frame.dx, (u16)cr0);
	CHECK_USER_OK("lsl", U_APART("mov $0x2b, %%ecx; mov $1, %%eax; "
				     "lsl %%ecx, %%eax; lar %%ecx, %%edx"));
	CHECK_EQ("limit", trap.frame.ax, 0xffffffff);
	CHECK_EQ("rights", trap.frame.dx & 0xff00, 0xf300);
	CHECK_USER_OK("no lsl", U_APART("mov $0x7b, %%ecx; mov $1, %%eax; "
					"lsl %%ecx, %%eax"));
	CHECK_EQ("zf", trap.frame.flags & FLAG_ZF, 0);
	CHECK_USER_OK("xgetbv", U_APART("xor %%ecx, %%ecx; xgetbv"));
	CHECK_EQ("xcr0", trap.frame.ax, cpuid(0xd, 0).a & ~BIT(9));
	before = rdtsc();
	CHECK_USER_OK("rdtsc", U_APART("rdtsc"));
	CHECK("time", (trap.frame.ax | trap.frame.dx << 32) - before <
			      rdtsc() - before);
	if (has(FEAT_RDTSCP)) {
		wrmsr(MSR_TSC_AUX, 0x12345);
		CHECK_USER_OK("rdtscp", U_APART("rdtscp"));
		CHECK_EQ("aux", trap.frame.cx, 0x12345);
	}
	write_cr4(read_cr4() | CR4_TSD);
	CHECK_EQ("tsd", U_APART("rdtsc"), X_GP);
	write_cr4(read_cr4() & ~CR4_TSD);
	if (has(FEAT_UMIP)) {
		write_cr4(read_cr4() | CR4_UMIP);
		CHECK_EQ("umip", U_APART("sgdt (%%rdi)"), X_GP);
		CHECK_EQ("umip", U_APART("str %%eax"), X_GP);
		write_cr4(read_cr4() & ~CR4_UMIP);
	}
	CHECK_EQ("rdpmc", U_APART("xor %%ecx, %%ecx; rdpmc"), X_GP);
	if (!has(FEAT_PKU))
		CHECK_EQ("rdpkru",
			 U_APART("xor %%ecx, %%ecx; .byte 0x0f,1,0xee"), X_UD);
}

/* @n times SGDT; returns the sum of what it stored. */
static void put_sgdts(u64 at, unsigned n)
{
	memcpy((void *)at, "\x31\xc0", 2);
	/* sgdt 8(%rdi); add 10(%rdi), %rax */
	for (at += 2; n; n--, at += 8)
		memcpy((void *)at, "\x0f\x01\x47\x08\x48\x03\x47\x0a", 8);
	*(volatile u8 *)at = 0xc3;
}

/* More of it than the processor has breakpoints for, and in turns. */
static void sensitive_pages(void)
{
	static const unsigned nr[4] = { 1, 2, 3, 5 };
	const u64 base = (word)gdt, home = read_cr3(), root = page_alloc();

	/* As in turned_sensitive(). */
	memcpy((void *)root, (void *)home, PAGE);
	write_cr3(root);
	for (u32 i = 0; i < 4; i++) {
		memset((void *)page[i], 0, PAGE);
		put_sgdts(page[i] + 0x10 * i, nr[i]);
		put_code(page[i] + 0x800, i);
		map4k(VA + i * PAGE, page[i], RU);
	}
	for (u32 round = 0; round < 12; round++) {
		u64 at = VA + round % 4 * PAGE;

		CHECK_EQ("plain", user_called(at + 0x800), round % 4);
		CHECK_EQ("sgdt", user_sgdt(at + 0x10 * (round % 4)),
			 nr[round % 4] * base);
	}
	/* Where breakpoints have been. */
	put_code(page[0] + 2, 7);
	CHECK_EQ("again", user_called(VA), 7);
	put_sgdts(page[0] + 0x20, 4);
	CHECK_EQ("four", user_sgdt(VA + 0x20), 4 * base);
	set_pte(VA, page[3] | RU);
	CHECK_EQ("other page", user_sgdt(VA + 0x30), 5 * base);
	set_pte(VA, page[2] | RU);
	CHECK_EQ("another page", user_sgdt(VA + 0x20), 3 * base);
	write_cr3(home);
	page_release(root);
}

typedef u64 code_fn(u64 *mem);

/* A page with breakpoints that is written in vain: it holds translated code. */
static void sensitive_written(void)
{
	memset((void *)page[0], 0, PAGE);
	put_sgdts(page[0] + 0x40, 1);
	put_code(page[0] + 0x800, 3);
	map4k(VA, page[0], RWU);
	for (u32 i = 0; i < 100; i++) {
		user_store(VA + 0x10, i);
		CHECK_EQ("sgdt", user_sgdt(VA + 0x40), (word)gdt);
	}
	for (u32 i = 0; i < 4; i++) {
		CHECK_EQ("kernel", ((code_fn *)(page[0] + 0x800))(0), 3);
		user_store(VA + 0x18, i);
		CHECK_EQ("written", user_sgdt(VA + 0x40), (word)gdt);
	}
}

void test_code(void)
{
	for (int i = 0; i < 4; i++)
		page[i] = page_alloc();
	pte_make(cr3_root(), VA, 1);
	RUN(self_modifying);
	RUN(written_elsewhere);
	RUN(turned_sensitive);
	RUN(code_and_data);
	RUN(page_ends);
	RUN(cpuid_like_kernel);
	RUN(sensitive);
	RUN(sensitive_pages);
	RUN(sensitive_written);
}
