/*
 * Debugging: single steps through every kind of instruction, the TF trap after
 * MOV SS and POPF, hardware breakpoints on execution, data and I/O, their DR6
 * and DR7 semantics, RF, general detect, ICEBP.
 */
#include "test/guest/lib/paging64.h"

#define DR6_BS		   BIT(14)
#define DR6_BD		   BIT(13)
#define DR6_ONES	   0xffff0ff0ull
#define DR7_L(n)	   BIT(2 * (n))
#define DR7_G(n)	   BIT(2 * (n) + 1)
#define DR7_GD		   BIT(13)
#define DR7_RW(n, rw, len) ((u64)((rw) | (len) << 2) << (16 + 4 * (n)))
enum { EXEC = 0, WRITE = 1, IO = 2, RW = 3 };
enum { LEN1 = 0, LEN2 = 1, LEN8 = 2, LEN4 = 3 };

/* What the #DB handler saw. */
static struct {
	word ip, flags;
	u64 dr6;
} log[32];
static volatile unsigned hits;
static bool set_rf;

static void on_db(struct frame *f)
{
	if (hits < ARRAY_SIZE(log)) {
		log[hits].ip = f->ip;
		log[hits].flags = f->flags;
		log[hits].dr6 = read_dr6();
	}
	hits++;
	write_dr6(DR6_ONES);
	if (set_rf)
		f->flags |= FLAG_RF;
}

static void reset(void)
{
	write_dr7(0x400);
	write_dr6(DR6_ONES);
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	hits = 0;
	set_rf = false;
}

/* Runs @body with TF set from its first instruction to the last. */
#define STEP(body, ...)                                                        \
	({                                                                     \
		word start_;                                                   \
		reset();                                                       \
		asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n"            \
			     "1: " body "\n"                                   \
			     "pushfq; andl $~0x100, (%%rsp); popfq\n"          \
			     "lea 1b(%%rip), %0"                               \
			     : "=&r"(start_)                                   \
			     : __VA_ARGS__                                     \
			     : "rax", "rcx", "rdx", "rbx", "rsi", "rdi",       \
			       "memory", "cc");                                \
		start_;                                                        \
	})

/* The steps behind @body: pushfq, andl, popfq (the last one clears TF). */
#define TAIL 3

static void single_step(void)
{
	word at = STEP("nop; nop; xor %%eax, %%eax", );

	CHECK_EQ("count", hits, 3 + TAIL);
	CHECK_EQ("first", log[0].ip, at + 1);
	CHECK_EQ("second", log[1].ip, at + 2);
	CHECK_EQ("third", log[2].ip, at + 4);
	CHECK_EQ("dr6", log[0].dr6, DR6_ONES | DR6_BS);
	CHECK_EQ("tf saved", log[0].flags & FLAG_TF, FLAG_TF);
	CHECK_EQ("rf clear", log[0].flags & FLAG_RF, 0);
	at = STEP("jmp 2f; nop; 2: call 3f; jmp 4f; 3: ret; 4:", );
	CHECK_EQ("jumps", hits, 4 + TAIL);
	CHECK_EQ("jmp", log[0].ip, at + 3);
	at = STEP("mov $3, %%ecx; 2: loop 2b", );
	CHECK_EQ("loop", hits, 4 + TAIL);
	CHECK_EQ("loop ip", log[1].ip, log[2].ip);
	STEP("push %%rax; pop %%rax; cpuid; rdtsc; in $0x80, %%al", );
	CHECK_EQ("trapped ones", hits, 5 + TAIL);
	/* REP: a step for each iteration. */
	static u8 buf[16];

	at = STEP("lea %1, %%rdi; mov $3, %%ecx; rep stosb", "m"(buf));
	CHECK_EQ("rep", hits, 5 + TAIL);
	CHECK_EQ("rep stays", log[2].ip, log[3].ip);
	CHECK_EQ("rep leaves", log[4].ip, log[3].ip + 2);
	STEP("lea %1, %%rdi; incb (%%rdi); xchg %%al, (%%rdi)", "m"(buf));
	CHECK_EQ("memory", hits, 3 + TAIL);
	/* A read from a device page. */
	STEP("mov $0xfee00030, %%edi; mov (%%rdi), %%eax; nop", );
	CHECK_EQ("mmio", hits, 3 + TAIL);
	STEP("movups %1, %%xmm0; fninit; fld1; fstp %%st(0)", "m"(buf));
	CHECK_EQ("fpu", hits, 4 + TAIL);
}

/* MOV SS and POP SS hold the trap back by one instruction. */
static void mov_ss(void)
{
	word at = STEP("mov %%ss, %%eax; mov %%eax, %%ss; nop; nop", );

	CHECK_EQ("count", hits, 3 + TAIL);
	CHECK_EQ("after the next", log[1].ip, at + 5);
	/* Other segment registers do not. */
	STEP("mov %%ds, %%eax; mov %%eax, %%ds; nop", );
	CHECK_EQ("ds", hits, 3 + TAIL);
}

/* An exception's handler runs without TF; INT too; the step is lost. */
static void with_exceptions(void)
{
	static volatile u32 ints;

	(void)ints;
	word at = STEP("int $0x81; nop", );

	/* The library's default for vector 0x81 would end the guest. */
	CHECK_EQ("count", hits, 1 + TAIL);
	CHECK_EQ("behind int", log[0].ip, at + 3);
}

static volatile unsigned int81;

static void on_int81(struct frame *f)
{
	int81++;
	CHECK_EQ("tf in handler", read_flags() & FLAG_TF, 0);
}

static void exec_breakpoint(void)
{
	word target;

	reset();
	asm volatile("lea 1f(%%rip), %0; jmp 2f; 1: nop; ret; 2:"
		     : "=r"(target));
	write_dr0(target);
	write_dr7(0x400 | DR7_L(0) | DR7_RW(0, EXEC, LEN1));
	/* A fault: before the instruction; RF lets it pass. */
	set_rf = true;
	for (int i = 0; i < 5; i++)
		asm volatile("call *%0" : : "r"(target) : "memory");
	write_dr7(0x400);
	CHECK_EQ("hits", hits, 5);
	CHECK_EQ("ip", log[0].ip, target);
	CHECK_EQ("dr6", log[0].dr6, DR6_ONES | 1);
	/* The one fault that saves RF = 0. */
	CHECK_EQ("rf", log[0].flags & FLAG_RF, 0);
	asm volatile("call *%0" : : "r"(target) : "memory");
	CHECK_EQ("off", hits, 5);
	/* Code that ran before without a breakpoint, in a loop. */
	reset();
	set_rf = true;
	write_dr1(target);
	for (int i = 0; i < 10; i++) {
		write_dr7(i & 1 ? 0x400 | DR7_G(1) : 0x400);
		asm volatile("call *%0" : : "r"(target) : "memory");
	}
	write_dr7(0x400);
	CHECK_EQ("toggled", hits, 5);
	CHECK_EQ("dr6 1", log[0].dr6 & 2, 2);
}

static u64 data[8] __attribute__((aligned(64)));

static void data_breakpoint(void)
{
	word after;

	reset();
	write_dr2((word)&data[1]);
	write_dr7(0x400 | DR7_L(2) | DR7_RW(2, WRITE, LEN4));
	asm volatile("movl $1, %1; 1: nop; nop; lea 1b(%%rip), %0"
		     : "=r"(after), "=m"(data[1]));
	CHECK_EQ("write", hits, 1);
	CHECK_EQ("ip is behind", log[0].ip, after);
	CHECK_EQ("dr6", log[0].dr6, DR6_ONES | 4);
	(void)*(volatile u32 *)&data[1];
	CHECK_EQ("read", hits, 1);
	*(volatile u8 *)((u8 *)&data[1] + 3) = 1;
	CHECK_EQ("last byte", hits, 2);
	*(volatile u8 *)((u8 *)&data[1] + 4) = 1;
	CHECK_EQ("beyond", hits, 2);
	*(volatile u64 *)((u8 *)&data[0] + 1) = 1;
	CHECK_EQ("overlap", hits, 3);
	asm volatile("incl %0" : "+m"(data[1]));
	CHECK_EQ("rmw", hits, 4);
	asm volatile("push %1; pop %0" : "=m"(data[1]) : "r"(1ull));
	CHECK_EQ("pop", hits, 5);
	asm volatile("movups %%xmm0, %0" : "=m"(*(u64(*)[2]) & data[0]));
	CHECK_EQ("sse", hits, 6);
	write_dr7(0x400 | DR7_L(2) | DR7_RW(2, RW, LEN8));
	(void)*(volatile u8 *)((u8 *)&data[1] + 7);
	CHECK_EQ("read 8", hits, 7);
	(void)*(volatile u8 *)&data[2];
	CHECK_EQ("beyond 8", hits, 7);
	/* Through another mapping: addresses are linear. */
	u64 va = TEST_VA + 0x3000;

	map4k(va, (word)data & ~4095ull, PTE_P | PTE_W);
	*(volatile u64 *)(va + ((word)&data[1] & 4095)) = 5;
	CHECK_EQ("alias", hits, 7);
	write_dr2(va + ((word)&data[1] & 4095));
	*(volatile u64 *)(va + ((word)&data[1] & 4095)) = 6;
	CHECK_EQ("alias set", hits, 8);
	/* REP stops behind the iteration that hit. */
	write_dr2((word)&data[2]);
	write_dr7(0x400 | DR7_L(2) | DR7_RW(2, WRITE, LEN1));
	u64 n = 4;
	void *to = data;

	asm volatile("rep stosq" : "+c"(n), "+D"(to) : "a"(0) : "memory");
	CHECK_EQ("rep", hits, 9);
	write_dr7(0x400);
	*(volatile u64 *)&data[2] = 1;
	CHECK_EQ("off", hits, 9);
}

static void io_breakpoint(void)
{
	reset();
	write_cr4(read_cr4() | CR4_DE);
	write_dr3(0x80);
	write_dr7(0x400 | DR7_L(3) | DR7_RW(3, IO, LEN1));
	outb(0x80, 1);
	CHECK_EQ("out", hits, 1);
	CHECK_EQ("dr6", log[0].dr6 & 15, 8);
	inb(0x80);
	CHECK_EQ("in", hits, 2);
	outb(0x81, 1);
	CHECK_EQ("other port", hits, 2);
	outw(0x7f, 1);
	CHECK_EQ("overlap", hits, 3);
	write_dr7(0x400);
	write_cr4(read_cr4() & ~CR4_DE);
}

static void registers(void)
{
	reset();
	write_dr7(0);
	CHECK_EQ("dr7 fixed", read_dr7(), 0x400);
	write_dr6(0);
	CHECK_EQ("dr6 fixed", read_dr6() & 0xfffe0ff0, 0xfffe0ff0);
	write_dr6(DR6_ONES | 15 | DR6_BS);
	CHECK_EQ("dr6 keeps", read_dr6() & 0x400f, 0x400f);
	CHECK_TRAP("dr6 high", TRY("mov %0, %%dr6", : : "r"(BIT(32))), X_GP, 0);
	CHECK_TRAP("dr7 high", TRY("mov %0, %%dr7", : : "r"(BIT(32))), X_GP, 0);
	write_dr0(0x123456789abcdef0);
	CHECK_EQ("dr0", read_dr0(), 0x123456789abcdef0);
	/* DR4 and DR5 are aliases unless CR4.DE is set. */
	CHECK_EQ("dr4", TRY("mov %%dr4, %%rax", : : : "rax"), NO_TRAP);
	write_cr4(read_cr4() | CR4_DE);
	CHECK_TRAP("dr4, DE", TRY("mov %%dr4, %%rax", : : : "rax"), X_UD, 0);
	CHECK_TRAP("dr5, DE", TRY("mov %%rax, %%dr5", :), X_UD, 0);
	write_cr4(read_cr4() & ~CR4_DE);
	/* General detect: any MOV DR faults, once. */
	reset();
	write_dr7(0x400 | DR7_GD);
	trap_handler(X_DB, NULL);
	CHECK_TRAP("general detect",
		   TRY("mov %%dr0, %%rax",
		       :
		       :
		       : "rax"),
		   X_DB, 0);
	CHECK_EQ("bd", trap.dr6 & DR6_BD, DR6_BD);
	CHECK_EQ("gd cleared", read_dr7() & DR7_GD, 0);
	trap_handler(X_DB, on_db);
	reset();
}

/* A data breakpoint hit by MOV SS is held back past the next instruction. */
static void data_mov_ss(void)
{
	static u32 sel;
	word at;

	sel = SEL_DATA;
	reset();
	write_dr0((word)&sel);
	write_dr7(0x400 | DR7_L(0) | DR7_RW(0, RW, LEN2));
	asm volatile("mov %1, %%ss; nop; 1: nop; nop; lea 1b(%%rip), %0"
		     : "=r"(at)
		     : "m"(sel));
	write_dr7(0x400);
	CHECK_EQ("hits", hits, 1);
	CHECK_EQ("ip", log[0].ip, at);
}

/* Behind MOV SS, Intel's processors take no instruction breakpoint. */
static void exec_mov_ss(void)
{
	u32 eax = 0, ebx, ecx, edx;
	word target;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
	reset();
	set_rf = true;
	asm volatile("lea 1f(%%rip), %0; mov %0, %%dr0; mov %1, %%dr7\n"
		     "mov %%ss, %%eax; mov %%eax, %%ss; 1: nop"
		     : "=&r"(target)
		     : "r"(0x400 | DR7_L(0) | DR7_RW(0, EXEC, LEN1))
		     : "rax");
	write_dr7(0x400);
	CHECK_EQ("hits", hits, ebx == 0x756e6547 ? 0 : 1);
	reset();
}

/* The breakpoint that MOV SS held back joins ICEBP's #DB. */
static void data_icebp(void)
{
	static u32 sel;
	word at;

	sel = SEL_DATA;
	reset();
	write_dr0((word)&sel);
	write_dr7(0x400 | DR7_L(0) | DR7_RW(0, RW, LEN2));
	asm volatile("mov %1, %%ss; .byte 0xf1; 1: nop; lea 1b(%%rip), %0"
		     : "=r"(at)
		     : "m"(sel));
	write_dr7(0x400);
	CHECK_EQ("hits", hits, 1);
	CHECK_EQ("ip", log[0].ip, at);
}

/* The step over HLT is an event that ends it, even with IF clear. */
static void step_hlt(void)
{
	word at = STEP("hlt; nop", );

	CHECK_EQ("count", hits, 2 + TAIL);
	CHECK_EQ("ip", log[0].ip, at + 1);
}

static void icebp(void)
{
	word at;

	reset();
	CHECK_EQ("vector", TRY(".byte 0xf1; nop", :), NO_TRAP);
	at = trap.want + 1;
	CHECK_EQ("hits", hits, 1);
	CHECK_EQ("ip", log[0].ip, at);
	CHECK_EQ("no bs", log[0].dr6 & DR6_BS, 0);
}

/* Steps in ring 3, and of SYSCALL-less ring changes. */
static void user_steps(void)
{
	u8 *p = USER_CODE("nop; inc %%eax; nop");

	reset();
	user_flags = 2 | FLAG_TF;
	CHECK_EQ("vector", run_user(p, 0), V_USER);
	user_flags = 2;
	CHECK_EQ("count", hits, 3);
	CHECK_EQ("first", log[0].ip, p + 1);
	CHECK_EQ("last", log[2].ip, p + 4);
}

void step_entry(void);
asm("step_entry: or $0x100, %r11; sysretq");

/* SYSRET looks at the TF that it has just loaded. */
static void sysret_steps(void)
{
	u8 *p = USER_CODE("syscall; nop; inc %%eax");

	reset();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_STAR, (u64)SEL_UCODE32 << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (u64)step_entry);
	wrmsr(MSR_FMASK, FLAG_TF);
	CHECK_EQ("vector", run_user(p, 0), V_USER);
	CHECK_EQ("count", hits, 3);
	CHECK_EQ("first", log[0].ip, p + 2);
	CHECK_EQ("second", log[1].ip, p + 3);
}

void guest_main(void)
{
	trap_handler(X_DB, on_db);
	trap_handler(0x81, on_int81);
	RUN(single_step);
	RUN(mov_ss);
	RUN(with_exceptions);
	RUN(exec_breakpoint);
	RUN(data_breakpoint);
	RUN(io_breakpoint);
	RUN(registers);
	RUN(data_mov_ss);
	RUN(exec_mov_ss);
	RUN(data_icebp);
	RUN(step_hlt);
	RUN(icebp);
	RUN(user_steps);
	RUN(sysret_steps);
}
