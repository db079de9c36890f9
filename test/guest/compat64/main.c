/*
 * Compatibility mode: 32-bit and 16-bit code under a 64-bit kernel, entered by
 * far jumps, calls and IRET; segment limits and bases count again there; traps
 * from it, SYSCALL and SYSRET to it, addresses that wrap at 4 GiB.
 */
#include "test/guest/lib/paging64.h"

#define S0 SEL_FREE

static struct {
	u32 off;
	u16 sel;
} __attribute__((packed)) ptr;

/*
 * Calls @fn (below 4 GiB) in the code segment @sel with EAX = @ax; its EAX.
 * The code ends with a far return to 64-bit code.
 */
static u64 call32(const void *fn, u16 sel, u64 ax)
{
	u64 dx;

	ptr.off = (u32)(word)fn;
	ptr.sel = sel;
	asm volatile("lcall *%3"
		     : "+a"(ax), "=d"(dx)
		     : "c"(0x7777), "m"(ptr)
		     : "rbx", "rsi", "rdi", "r8", "r9", "memory", "cc");
	return ax;
}

#define CODE32(code)                                                           \
	({                                                                     \
		void *p_;                                                      \
		asm(".pushsection .user.text, \"ax\"\n.code32\n773: " code     \
		    "\n.code64\n.popsection\nmov $773b, %0"                    \
		    : "=r"(p_));                                               \
		p_;                                                            \
	})

static void kernel_compat(void)
{
	CHECK_EQ("plain",
		 call32(CODE32("lea 5(%%eax,%%ecx), %%eax; lret"), SEL_CODE32,
			1),
		 0x777d);
	/* INC is one byte again, REX does not exist. */
	CHECK_EQ("inc",
		 call32(CODE32(".byte 0x40, 0x48, 0x40; lret"), SEL_CODE32, 9),
		 10);
	CHECK_EQ("pusha",
		 call32(CODE32("pusha; movl $5, 28(%%esp); popa; lret"),
			SEL_CODE32, 9),
		 5);
	CHECK_EQ("wrap",
		 call32(CODE32("mov $0xfffffff0, %%edx; lea 0x20(%%edx), "
			       "%%eax; lret"),
			SEL_CODE32, 0),
		 0x10);
	u32 var = 0x1234;

	CHECK_EQ("load",
		 call32(CODE32("mov -1(%%eax), %%eax; lret"), SEL_CODE32,
			(u64)&var + 1),
		 0x1234);
	CHECK_EQ("aaa",
		 call32(CODE32("mov $0x0f, %%eax; aaa; lret"), SEL_CODE32, 0),
		 0x105);
	CHECK_EQ("push es",
		 call32(CODE32("push %%es; pop %%eax; lret"), SEL_CODE32, 0),
		 SEL_DATA);
	CHECK_EQ("salc",
		 call32(CODE32("stc; .byte 0xd6; movzbl %%al, %%eax; lret"),
			SEL_CODE32, 0),
		 0xff);
	CHECK_EQ("loop",
		 call32(CODE32("mov $100000, %%ecx; xor %%eax, %%eax; "
			       "1: add %%ecx, %%eax; loop 1b; lret"),
			SEL_CODE32, 0),
		 (u32)(100000ull * 100001 / 2));
}

static void segments_count(void)
{
	gdt[S0 / 8] = DESC_P | DESC_S | DESC_DB | DESC_TYPE(TYPE_RW) |
		      DESC_BASE((word)gdt) | DESC_LIMIT(0x1f);
	/* ES with a base and a limit matters only in compatibility mode. */
	write_es(S0);
	CHECK_EQ("base",
		 call32(CODE32("mov %%es:0x10, %%eax; lret"), SEL_CODE32, 0),
		 (u32)gdt[2]);
	CHECK_EQ("64-bit ignores",
		 TRY("movl %%es:(%0), %%eax",
		     :
		     : "r"(gdt)
		     : "rax"),
		 NO_TRAP);
	ptr.off = (u32)(word)CODE32("mov %%es:0x1d, %%eax; lret");
	ptr.sel = SEL_CODE32;
	CHECK_EQ("limit",
		 TRY("lcall *%0",
		     :
		     : "m"(ptr)
		     : "rax", "memory"),
		 X_GP);
	CHECK_EQ("limit cs", trap.frame.cs, SEL_CODE32);
	CHECK_EQ("limit ip", trap.frame.ip, ptr.off);
	write_es(SEL_DATA);
}

static void traps(void)
{
	ptr.sel = SEL_CODE32;
	ptr.off = (u32)(word)CODE32("ud2");
	CHECK_EQ("ud2", TRY("lcall *%0", : : "m"(ptr) : "memory"), X_UD);
	CHECK_EQ("cs", trap.frame.cs, SEL_CODE32);
	CHECK_EQ("ip", trap.frame.ip, ptr.off);
	ptr.off = (u32)(word)CODE32("int3; lret");
	CHECK_EQ("int3", TRY("lcall *%0", : : "m"(ptr) : "memory"), X_BP);
	ptr.off = (u32)(word)CODE32(
		"into; movb $0x7f, %%al; incb %%al; into; lret");
	CHECK_EQ("into",
		 TRY("xor %%eax, %%eax; lcall *%0",
		     :
		     : "m"(ptr)
		     : "rax", "memory", "cc"),
		 X_OF);
	ptr.off = (u32)(word)CODE32("aam $0; lret");
	CHECK_EQ("aam",
		 TRY("lcall *%0",
		     :
		     : "m"(ptr)
		     : "rax", "memory", "cc"),
		 X_DE);
	/* What REX prefixes are in 64-bit code: INC ESP, DEC ESP. */
	CHECK_EQ("rex is inc",
		 call32(CODE32(".byte 0x44, 0x4c; mov $3, %%eax; lret"),
			SEL_CODE32, 0),
		 3);
}

static void user_compat(void)
{
	user_sel = SEL_UCODE32;
	CHECK_EQ("vector",
		 run_user(CODE32("mov %%cs, %%eax; inc %%ecx; .byte 0x49; "
				 "mov $0xffffffff, %%edx; int $0x80"),
			  0),
		 V_USER);
	CHECK_EQ("cs", trap.frame.ax & 0xffff, SEL_UCODE32);
	CHECK_EQ("saved cs", trap.frame.cs, SEL_UCODE32);
	CHECK_EQ("hlt", run_user(CODE32("hlt"), 0), X_GP);
	CHECK_EQ("push",
		 run_user(CODE32("mov %%esp, %%ebx; push $1; mov %%esp, %%eax; "
				 "int $0x80"),
			  0),
		 V_USER);
	CHECK_EQ("by four", trap.frame.bx - trap.frame.ax, 4);
	/* A far jump to 64-bit code and back. */
	CHECK_EQ("to 64",
		 run_user(CODE32("ljmp $0x33, $1f; .code64; "
				 "1: mov $-1, %%rax; int $0x80; .code32"),
			  0),
		 V_USER);
	CHECK_EQ("rax", trap.frame.ax, -1ull);
	CHECK_EQ("cs 64", trap.frame.cs, SEL_UCODE);
	user_sel = SEL_UCODE;
}

/* 16-bit code: operand and address size 16 by default. */
static void code16(void)
{
	gdt[S0 / 8] = DESC_P | DESC_S | DESC_TYPE(TYPE_XR) |
		      DESC_BASE((word)0x400000) | DESC_LIMIT(0xffff);
	void *p = CODE32(".code16; mov $0x1234, %%ax; add $0x2222, %%ax; "
			 "data32 lret; .code32");

	ptr.off = (u32)(word)p - 0x400000;
	ptr.sel = S0;
	u64 ax = 0xffff0000;

	if (ptr.off < 0xffff) {
		asm volatile("lcall *%1"
			     : "+a"(ax)
			     : "m"(ptr)
			     : "memory", "cc");
		CHECK_EQ("ax", ax, 0xffff3456);
	}
}

/* The upper halves of registers survive a visit to compatibility mode. */
static void upper_halves(void)
{
	u64 r8 = 0x1122334455667788;

	ptr.off = (u32)(word)CODE32("nop; lret");
	ptr.sel = SEL_CODE32;
	asm volatile("mov %0, %%r8; mov %0, %%r15; lcall *%1; xor %%r15, %%r8; "
		     "mov %%r15, %0"
		     : "+&r"(r8)
		     : "m"(ptr)
		     : "r8", "r15", "memory");
	CHECK_EQ("r15", r8, 0x1122334455667788);
}

void guest_main(void)
{
	RUN(kernel_compat);
	RUN(segments_count);
	RUN(traps);
	RUN(user_compat);
	RUN(code16);
	RUN(upper_halves);
}
