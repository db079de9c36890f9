/*
 * What user code stops at: each with all registers as they were, RIP where the
 * architecture has it, and the right flags.
 */
#include "test/guest/direct64/direct.h"

#define PATTERN(n) (0xa5a5000000000000ull | (u64)(n) << 36 | (n))
#define LOAD                                                                   \
	"movabs $0xa5a5001000000001, %%rax; movabs $0xa5a5002000000002, "      \
	"%%rcx; "                                                              \
	"movabs $0xa5a5003000000003, %%rdx; movabs $0xa5a5005000000005, "      \
	"%%rbp; "                                                              \
	"movabs $0xa5a5006000000006, %%rsi; movabs $0xa5a5008000000008, %%r8;" \
	"movabs $0xa5a5009000000009, %%r9;  movabs $0xa5a500a00000000a, "      \
	"%%r10; "                                                              \
	"movabs $0xa5a500b00000000b, %%r11; movabs $0xa5a500c00000000c, "      \
	"%%r12; "                                                              \
	"movabs $0xa5a500d00000000d, %%r13; movabs $0xa5a500e00000000e, "      \
	"%%r14; "                                                              \
	"movabs $0xa5a500f00000000f, %%r15; lea 1f(%%rip), %%rbx; stc; 1: "

static void check_regs(const char *what)
{
	const volatile struct frame *f = &trap.frame;
	const u64 got[] = { f->ax,  f->cx,  f->dx,  f->bp,  f->si,
			    f->r8,  f->r9,  f->r10, f->r11, f->r12,
			    f->r13, f->r14, f->r15 };
	static const u8 nr[] = { 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (unsigned i = 0; i < ARRAY_SIZE(nr); i++)
		CHECK_EQ(what, got[i], PATTERN(nr[i]));
	CHECK_EQ(what, f->sp, user_sp);
	CHECK_EQ(what, f->di, (word)user_mem);
	CHECK_EQ(what, f->cs, SEL_UCODE);
	CHECK_EQ(what, f->ss, SEL_UDATA);
	CHECK_EQ(what, f->flags & FLAG_CF, FLAG_CF);
	CHECK_EQ(what, f->flags & FLAG_IF, FLAG_IF);
}

/* @behind: how far RIP is behind the instruction's first byte. */
#define STOP(insn, vec, want_error, behind)                                    \
	STOP_IN(U, insn, vec, want_error, behind)
#define STOP_APART(insn, vec, want_error, behind)                              \
	STOP_IN(U_APART, insn, vec, want_error, behind)
#define STOP_IN(u, insn, vec, want_error, behind)                              \
	do {                                                                   \
		CHECK_EQ(insn " vector", u(LOAD insn), vec);                   \
		CHECK_EQ(insn " error", trap.error, want_error);               \
		CHECK_EQ(insn " rip", trap.frame.ip - trap.frame.bx, behind);  \
		check_regs(insn);                                              \
	} while (0)

static void interrupts(void)
{
	idt_set(0x42, idt_stub(0x42), 3);
	idt_set(4, idt_stub(4), 3);
	idt_set(X_DB, idt_stub(X_DB), 0);
	STOP("int $0x90", V_DONE, 0, 2);
	STOP_APART("int $0x80", V_USER, 0, 2);
	STOP("int $0x42", 0x42, 0, 2);
	STOP("int $0x43", X_GP, 0x43 * 8 + 2, 0);
	STOP("int3", X_BP, 0, 1);
	STOP(".byte 0xcd, 3", X_BP, 0, 2);
	STOP(".byte 0x66, 0xcc", X_BP, 0, 2);
	STOP_APART("int $4", X_OF, 0, 2);
	STOP("int $1", X_GP, 1 * 8 + 2, 0);
	STOP(".byte 0xf1", X_DB, 0, 1);
	STOP("int $14", X_GP, 14 * 8 + 2, 0);
	/* What a stop behind an instruction could be mistaken for. */
	CHECK_EQ("behind cc",
		 U("lea 1f(%%rip), %%rbx; mov $0xcc, %%al; "
		   "1: hlt"),
		 X_GP);
	CHECK_EQ("behind cc", trap.frame.ip, trap.frame.bx);
}

static void faults(void)
{
	STOP("ud2", X_UD, 0, 0);
	STOP(".byte 0x06", X_UD, 0, 0);
	STOP("hlt", X_GP, 0, 0);
	STOP("cli", X_GP, 0, 0);
	STOP("sti", X_GP, 0, 0);
	STOP("clts", X_GP, 0, 0);
	STOP("mov %%cr3, %%rax", X_GP, 0, 0);
	STOP("mov %%dr7, %%rax", X_GP, 0, 0);
	STOP("rdmsr", X_GP, 0, 0);
	STOP("wbinvd", X_GP, 0, 0);
	STOP("invlpg (%%rdi)", X_GP, 0, 0);
	STOP("lgdt (%%rdi)", X_GP, 0, 0);
	STOP("swapgs", X_GP, 0, 0);
	STOP_APART("sysretq", X_GP, 0, 0);
	STOP("in $0x80, %%al", X_GP, 0, 0);
	STOP("out %%al, $0x80", X_GP, 0, 0);
	STOP("mov (%%rax), %%cl", X_GP, 0, 0);
	STOP("movq (%%rbp), %%xmm0", X_SS, 0, 0);
	CHECK_EQ("division",
		 U("xor %%ecx, %%ecx; mov $5, %%eax; cltd; "
		   "lea 1f(%%rip), %%rbx; 1: div %%ecx"),
		 X_DE);
	CHECK_EQ("division rip", trap.frame.ip, trap.frame.bx);
	CHECK_EQ("misaligned", U("movaps 1(%%rdi), %%xmm0"), X_GP);
}

static void flags_test(u64 set)
{
	user_mem[0] = 2 | set;
	CHECK_EQ("vector",
		 U("push (%%rdi); popfq; int $0x42; nop; pushfq; pop %%rax"),
		 0x42);
	CHECK_EQ("stop", trap.frame.flags, 2 | FLAG_IF | set);
	user_flags = 2 | FLAG_IF | set;
	CHECK_EQ("vector", U("pushfq; pop %%rax; ud2"), X_UD);
	CHECK_EQ("pushed", trap.frame.ax, 2 | FLAG_IF | set);
	CHECK_EQ("kept", trap.frame.flags & ~FLAG_RF, 2 | FLAG_IF | set);
	user_flags = 2 | FLAG_IF;
	CHECK_EQ("vector", U("pushfq; pop %%rax"), V_DONE);
	CHECK_EQ("none", trap.frame.ax, 2 | FLAG_IF);
}

static void flags(void)
{
	static const u64 sets[] = {
		FLAG_CF,
		FLAG_PF | FLAG_AF,
		FLAG_ZF | FLAG_SF | FLAG_OF,
		FLAG_DF,
		FLAG_NT,
		FLAG_AC,
		BIT(21),
		FLAG_DF | FLAG_AC | FLAG_NT | BIT(21),
	};

	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
		flags_test(sets[i]);
	/* IF and IOPL are not for ring 3. */
	user_mem[0] = 2 | FLAG_IOPL * 3;
	CHECK_EQ("vector", U("push (%%rdi); popfq; ud2"), X_UD);
	CHECK_EQ("if", trap.frame.flags & ~FLAG_RF, 2 | FLAG_IF);
}

static void rf(void)
{
	user_flags = 2 | FLAG_IF | FLAG_RF;
	CHECK_EQ("vector", U("nop; int $0x90"), V_DONE);
	CHECK_EQ("rf", trap.frame.flags, 2 | FLAG_IF);
	user_flags = 2 | FLAG_IF;
	CHECK_EQ("vector", U("nop; ud2"), X_UD);
	CHECK_EQ("fault", trap.frame.flags, 2 | FLAG_IF | FLAG_RF);
}

static void syscalls(void)
{
	u64 count = entry.count;

	CHECK_USER_OK("syscall",
		      U("std; stc; movabs $0xa5a5001000000001, %%rax; "
			"mov $7, %%r8; lea 1f(%%rip), %%rbx; syscall; 1: "
			"mov %%rcx, %%rdx; mov %%r11, %%rsi; cld"));
	CHECK_EQ("count", entry.count, count + 1);
	CHECK_EQ("rax", entry.ax, PATTERN(1));
	CHECK_EQ("rcx", entry.cx, trap.frame.bx);
	CHECK_EQ("r11", entry.r11, 2 | FLAG_IF | FLAG_DF | FLAG_CF);
	CHECK_EQ("flags", entry.flags, 2 | FLAG_CF);
	CHECK_EQ("rcx back", trap.frame.dx, trap.frame.bx);
	CHECK_EQ("r11 back", trap.frame.si, 2 | FLAG_IF | FLAG_DF | FLAG_CF);
	CHECK_EQ("r8", trap.frame.r8, 7);
	count = entry.count;
	CHECK_USER_OK("many",
		      U("mov $200, %%ebx; 1: mov %%ebx, %%eax; syscall; "
			"cmp %%ebx, %%eax; jne 2f; dec %%ebx; jnz 1b; 2:"));
	CHECK_EQ("all", trap.frame.bx, 0);
	CHECK_EQ("count", entry.count, count + 200);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	STOP("syscall", X_UD, 0, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

static void io_permission(void)
{
	u8 *map = tss_iomap();

	CHECK_EQ("denied", U("in $0x61, %%al"), X_GP);
	map[0x61 / 8] &= ~BIT(0x61 % 8);
	tss.iomap = map - (u8 *)&tss;
	CHECK_USER_OK("bitmap", U("in $0x61, %%al"));
	CHECK_EQ("next", U("in $0x62, %%al"), X_GP);
	map[0x61 / 8] |= BIT(0x61 % 8);
	CHECK_EQ("denied again", U("in $0x61, %%al"), X_GP);
	user_flags |= FLAG_IOPL * 3;
	CHECK_USER_OK("iopl", U("in $0x61, %%al; cli; pushfq; sti; pop %%rax"));
	CHECK_EQ("cli", trap.frame.ax & FLAG_IF, 0);
	CHECK_EQ("iopl flags", trap.frame.ax & FLAG_IOPL * 3, FLAG_IOPL * 3);
	user_flags = 2 | FLAG_IF;
}

#define DR6_BS BIT(14)

static word steps[16];
static unsigned nr_steps;

static void on_step(struct frame *f)
{
	if (nr_steps < ARRAY_SIZE(steps))
		steps[nr_steps] = f->ip;
	nr_steps++;
	CHECK_EQ("dr6", read_dr6() & 0xf00f, DR6_BS);
	write_dr6(0xffff0ff0);
}

static void single_step(void)
{
	write_dr6(0xffff0ff0);
	CHECK_EQ("vector",
		 U("lea 1f(%%rip), %%rbx; pushfq; orl $0x100, (%%rsp); popfq; "
		   "mov $0xcc, %%al; 1: mov $0xcc, %%cl"),
		 X_DB);
	CHECK_EQ("rip", trap.frame.ip, trap.frame.bx);
	CHECK_EQ("dr6", trap.dr6 & 0xf00f, DR6_BS);
	CHECK_EQ("tf", trap.frame.flags & FLAG_TF, FLAG_TF);
	write_dr6(0xffff0ff0);
	trap_handler(X_DB, on_step);
	nr_steps = 0;
	CHECK_USER_OK("steps",
		      U("lea 1f(%%rip), %%rbx; pushfq; orl $0x100, (%%rsp); "
			"popfq; nop; 1: mov (%%rdi), %%rax; syscall; "
			"pushfq; andl $~0x100, (%%rsp); popfq"));
	/* SYSRET brings TF back and traps behind the instruction after it. */
	CHECK_EQ("count", nr_steps >= 6 && nr_steps <= 7, 1);
	CHECK_EQ("first", steps[0], trap.frame.bx);
	trap_handler(X_DB, NULL);
}

static void alignment(void)
{
	write_cr0(read_cr0() | CR0_AM);
	CHECK_EQ("checked",
		 U("pushfq; orl $0x40000, (%%rsp); popfq; "
		   "mov 1(%%rdi), %%eax"),
		 X_AC);
	CHECK_EQ("error", trap.error, 0);
	write_cr0(read_cr0() & ~CR0_AM);
	CHECK_USER_OK("not", U("pushfq; orl $0x40000, (%%rsp); popfq; "
			       "mov 1(%%rdi), %%eax; pushfq; "
			       "andl $~0x40000, (%%rsp); popfq"));
	CHECK_USER_OK("without", U("mov 1(%%rdi), %%eax"));
}

void test_events(void)
{
	RUN(interrupts);
	RUN(faults);
	RUN(flags);
	RUN(rf);
	RUN(syscalls);
	RUN(io_permission);
	RUN(single_step);
	RUN(alignment);
}
