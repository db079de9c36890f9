/*
 * TF and RF, and what holds events back: which instructions trap and when, what
 * RF the frames hold, traps against faults, breakpoints under repetition and
 * behind MOV SS, NMI blocking.  Sources: SDM 3B "Instruction-Breakpoint
 * Exception Condition", "Single-Step Exception Condition"; SDM 3A "Masking
 * Exceptions and Interrupts When Switching Stacks", "Handling Multiple NMIs".
 */
#include "test/guest/lib/apic.h"
#include "test/guest/lib/paging64.h"

#define DR6_BS	 BIT(14)
#define DR6_ONES 0xffff0ff0ull
#define DR7_ON(n, rw, len)                                                     \
	(0x400 | BIT(2 * (n)) | ((u64)((rw) | (len) << 2) << (16 + 4 * (n))))
enum { EXEC = 0, WRITE = 1, RW = 3 };
enum { LEN1 = 0, LEN8 = 2, LEN4 = 3 };
#define V_IPI 0x51

static struct {
	word ip, flags, cs;
	u64 dr6;
} log[40];
static volatile unsigned hits;
static bool set_rf, clear_tf;

static void on_db(struct frame *f)
{
	if (hits < ARRAY_SIZE(log)) {
		log[hits].ip = f->ip;
		log[hits].flags = f->flags;
		log[hits].cs = f->cs;
		log[hits].dr6 = read_dr6();
	}
	hits++;
	write_dr6(DR6_ONES);
	if (set_rf)
		f->flags |= FLAG_RF;
	if (clear_tf)
		f->flags &= ~FLAG_TF;
}

static void reset(void)
{
	write_dr7(0x400);
	write_dr6(DR6_ONES);
	hits = 0;
	set_rf = clear_tf = false;
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

static u8 buf[64] __attribute__((aligned(64)));

/* A trap between two iterations saves RF set, behind the last one clear. */
static void repeated(void)
{
	word at = STEP("mov $3, %%ecx; lea %1, %%rdi; rep stosb", "m"(buf));

	CHECK_EQ("count", hits, 5 + TAIL);
	CHECK_EQ("rf before", log[1].flags & FLAG_RF, 0);
	CHECK_EQ("rf 1", log[2].flags & FLAG_RF, FLAG_RF);
	CHECK_EQ("rf 2", log[3].flags & FLAG_RF, FLAG_RF);
	CHECK_EQ("rf 3", log[4].flags & FLAG_RF, 0);
	CHECK_EQ("behind", log[4].ip, log[3].ip + 2);
	CHECK("at", log[2].ip > at);
	/* No iteration at all is one step; a comparison may end it early. */
	STEP("xor %%ecx, %%ecx; rep stosb", );
	CHECK_EQ("none", hits, 2 + TAIL);
	buf[0] = 1, buf[1] = 1, buf[2] = 2, buf[3] = 1;
	STEP("mov $4, %%ecx; lea %1, %%rdi; mov $1, %%al; repe scasb",
	     "m"(buf));
	CHECK_EQ("repe", hits, 3 + 3 + TAIL);
	CHECK_EQ("repe rf", log[4].flags & FLAG_RF, FLAG_RF);
	CHECK_EQ("repe last rf", log[5].flags & FLAG_RF, 0);
	STEP("mov $2, %%ecx; mov $0x80, %%dx; lea %1, %%rdi; rep insb",
	     "m"(buf));
	CHECK_EQ("ins", hits, 3 + 2 + TAIL);
	STEP("mov $2, %%ecx; mov $0x80, %%dx; lea %1, %%rsi; rep outsb",
	     "m"(buf));
	CHECK_EQ("outs", hits, 3 + 2 + TAIL);
}

/* A breakpoint on a repeated instruction hits once, not at each iteration. */
static void repeated_breakpoint(void)
{
	u64 n = 20;
	void *to = buf;
	word at;

	reset();
	asm volatile("lea 1f(%%rip), %0; jmp 2f; 1: rep stosb; ret; 2:"
		     : "=r"(at));
	write_dr0(at);
	write_dr7(DR7_ON(0, EXEC, LEN1));
	set_rf = true;
	asm volatile("call *%2"
		     : "+c"(n), "+D"(to)
		     : "r"(at), "a"(0)
		     : "memory");
	write_dr7(0x400);
	CHECK_EQ("hits", hits, 1);
	CHECK_EQ("ip", log[0].ip, at);
	CHECK_EQ("done", n, 0);
}

static volatile u32 ipis, ipi_flags;
static volatile word ipi_ip;

static void on_ipi(struct frame *f)
{
	ipis++;
	ipi_ip = f->ip;
	ipi_flags = f->flags;
	apic_eoi();
}

/* Ports, HLT, device memory: the trap's RIP is behind them. */
static void exits(void)
{
	word at = STEP("out %%al, $0x80; in $0x80, %%al; nop", );

	CHECK_EQ("ports", hits, 3 + TAIL);
	CHECK_EQ("out", log[0].ip, at + 2);
	CHECK_EQ("in", log[1].ip, at + 4);
	at = STEP("mov $0xff000000, %%edi; movl $1, (%%rdi); addl $1, (%%rdi); "
		  "push (%%rdi); pop (%%rdi); nop", );
	CHECK_EQ("mmio", hits, 6 + TAIL);
	CHECK_EQ("write", log[1].ip, log[0].ip + 6);
	CHECK_EQ("rmw", log[2].ip, log[1].ip + 3);
	CHECK_EQ("nop", log[5].ip, log[4].ip + 1);
	/* The trap wakes it up, not the timer. */
	u32 n = ipis;

	apic_timer(V_IPI, 100000000);
	at = STEP("sti; hlt; cli; nop", );
	apic_timer(APIC_MASKED, 0);
	CHECK_EQ("hlt", hits, 4 + TAIL);
	CHECK_EQ("hlt ip", log[1].ip, at + 2);
	CHECK_EQ("by the trap", ipis, n);
	at = STEP("mov $0x10, %%ecx; rdmsr; mov $0x174, %%ecx; rdmsr; wrmsr; "
		  "mov %%cr8, %%rax; mov %%rax, %%cr8", );
	CHECK_EQ("msr, cr8", hits, 7 + TAIL);
	STEP("mov %%cr3, %%rax; mov %%rax, %%cr3; invlpg (%%rax); sgdt %1; "
	     "str %%eax; clts; mov %%dr6, %%rax; pause; mfence",
	     "m"(buf));
	CHECK_EQ("system", hits, 9 + TAIL);
	STEP("sti; cli; std; cld; pushf; popf; cmc; lahf", );
	CHECK_EQ("flags", hits, 8 + TAIL);
	STEP("lock incl %1; movups %1, %%xmm0; cmpxchg8b %1; xchg %%eax, %1",
	     "m"(buf));
	CHECK_EQ("memory", hits, 4 + TAIL);
}

static volatile word fault_flags, fault_ip;
static volatile unsigned faults, faults_with_hits;

static void on_fault(struct frame *f)
{
	faults++;
	faults_with_hits = hits;
	fault_flags = f->flags;
	fault_ip = f->ip;
	f->ip += 2;
}

/* Faults take the place of the trap; what the frames say of RF and TF. */
static void frames(void)
{
	word at;

	trap_handler(X_UD, on_fault);
	trap_handler(0x81, on_fault);
	trap_handler(X_BP, on_fault);
	faults = 0;
	at = STEP("nop; ud2; nop; nop", );
	CHECK_EQ("ud2", faults, 1);
	/* No step for UD2; IRET sets TF again, the trap is one further. */
	CHECK_EQ("steps", hits, 3 + TAIL);
	CHECK_EQ("second", log[1].ip, at + 4);
	CHECK_EQ("tf saved", fault_flags & FLAG_TF, FLAG_TF);
	CHECK_EQ("rf of a fault", fault_flags & FLAG_RF, FLAG_RF);
	CHECK_EQ("before", faults_with_hits, 1);
	/* INT n saves RF clear; the step is lost. */
	at = STEP("nop; int $0x81; .byte 0x90, 0x90; nop; nop", );
	CHECK_EQ("int", faults, 2);
	CHECK_EQ("rf of int", fault_flags & FLAG_RF, 0);
	CHECK_EQ("int ip", fault_ip, at + 3);
	CHECK_EQ("int steps", hits, 3 + TAIL);
	at = STEP("int3; .byte 0x90, 0x90; nop", );
	CHECK_EQ("rf of int3", fault_flags & FLAG_RF, 0);
	CHECK_EQ("int3 steps", hits, 1 + TAIL);
	trap_handler(X_UD, NULL);
	trap_handler(X_BP, NULL);
	trap_handler(0x81, NULL);
}

/* A fault in the middle of REP: RF set, and the rest is done afterwards. */
static void on_page(struct frame *f)
{
	faults++;
	faults_with_hits = hits;
	fault_flags = f->flags;
	map4k(TEST_VA + 0x1000, (word)buf & ~4095ull, PTE_P | PTE_W);
}

/* A data breakpoint whose access faults: one trap, behind the instruction. */
static void breakpoint_and_fault(void)
{
	u64 va = TEST_VA + 0x1000 + ((word)buf & 4095);
	word behind;

	reset();
	trap_handler(X_PF, on_page);
	faults = 0;
	unmap4k(TEST_VA + 0x1000);
	write_dr0(va);
	write_dr7(DR7_ON(0, RW, LEN8));
	asm volatile("movl $5, (%1); 1: nop; nop; lea 1b(%%rip), %0"
		     : "=r"(behind)
		     : "r"(va)
		     : "memory");
	write_dr7(0x400);
	CHECK_EQ("faults", faults, 1);
	CHECK_EQ("not in the handler", faults_with_hits, 0);
	CHECK_EQ("hits", hits, 1);
	CHECK_EQ("ip", log[0].ip, behind);
	CHECK_EQ("dr6", log[0].dr6 & 15, 1);
	unmap4k(TEST_VA + 0x1000);
	trap_handler(X_PF, NULL);
}

/* MOV SS and POP SS hold back code breakpoints, too. */
static void behind_mov_ss(void)
{
	word at;

	reset();
	asm volatile("lea 1f(%%rip), %0; jmp 2f; 3: mov %%ss, %%eax; "
		     "mov %%eax, %%ss; 1: nop; ret; 2:"
		     : "=r"(at)
		     :
		     : "rax");
	write_dr0(at);
	write_dr7(DR7_ON(0, EXEC, LEN1));
	set_rf = true;
	asm volatile("call *%0" : : "r"(at) : "memory");
	CHECK_EQ("without", hits, 1);
	asm volatile("call *%0" : : "r"(at - 4) : "rax", "memory");
	CHECK_EQ("mov ss", hits, 1);
	write_dr7(0x400);
	/* push $SEL_DATA; pop is not there in 64-bit mode for SS. */
	at = STEP("mov %%ss, %%eax; mov %%eax, %%ss; nop; nop", );
	CHECK_EQ("steps", hits, 3 + TAIL);
	CHECK_EQ("behind the next", log[1].ip, at + 5);
	/* An instruction that faults ends the shadow. */
	trap_handler(X_UD, on_fault);
	at = STEP("mov %%ss, %%eax; mov %%eax, %%ss; ud2; nop; nop", );
	CHECK_EQ("fault", hits, 3 + TAIL);
	CHECK_EQ("fault ip", log[1].ip, at + 7);
	trap_handler(X_UD, NULL);
}

/* SYSCALL: FMASK decides; SYSRET with TF traps at its target. */
extern u8 step_entry[], step_entry_tf[];

static void system_calls(void)
{
	u8 *p = USER_CODE("syscall; nop; nop");

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_STAR, (u64)(SEL_UCODE32 | 3) << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (u64)step_entry);
	wrmsr(MSR_FMASK, FLAG_TF | FLAG_IF);
	reset();
	user_flags = 2 | FLAG_TF;
	CHECK_EQ("vector", run_user(p, 0), V_USER);
	/* Masked: nothing in the kernel, one at SYSRET's target, two NOPs. */
	CHECK_EQ("masked", hits, 3);
	CHECK_EQ("sysret", log[0].ip, p + 2);
	CHECK_EQ("sysret cs", log[0].cs & 3, 3);
	CHECK_EQ("nop", log[1].ip, p + 3);
	CHECK_EQ("nop 2", log[2].ip, p + 4);
	wrmsr(MSR_FMASK, FLAG_IF);
	reset();
	CHECK_EQ("vector", run_user(p, 0), V_USER);
	/* SYSCALL, NOP, SYSRET, two NOPs. */
	CHECK_EQ("not masked", hits, 5);
	CHECK_EQ("syscall", log[0].ip, step_entry);
	CHECK_EQ("syscall cs", log[0].cs & 3, 0);
	CHECK_EQ("in the kernel", log[1].ip, step_entry + 1);
	CHECK_EQ("back", log[2].ip, p + 2);
	user_flags = 2;
	wrmsr(MSR_LSTAR, (u64)step_entry_tf);
	wrmsr(MSR_FMASK, FLAG_TF | FLAG_IF);
	reset();
	clear_tf = true;
	CHECK_EQ("vector", run_user(p, 0), V_USER);
	CHECK_EQ("sysret alone", hits, 1);
	CHECK_EQ("its target", log[0].ip, p + 2);
	clear_tf = false;
}

/* With a trap and an interrupt due at once, the trap comes first. */
static void trap_and_interrupt(void)
{
	u32 n = ipis;
	word at;

	apic_send(0, ICR_SELF | V_IPI);
	while (!apic_bit(APIC_IRR, V_IPI))
		cpu_pause();
	at = STEP("sti; nop; nop; cli", );
	CHECK_EQ("irq", ipis, n + 1);
	CHECK_EQ("steps", hits, 4 + TAIL);
	/* The step behind STI ends its shadow. */
	CHECK_EQ("irq ip", ipi_ip, at + 1);
	CHECK_EQ("tf saved", ipi_flags & FLAG_TF, FLAG_TF);
	CHECK_EQ("step ip", log[0].ip, at + 1);
	/* MOV SS holds interrupts back as STI does. */
	n = ipis;
	apic_send(0, ICR_SELF | V_IPI);
	asm volatile("mov %%ss, %%eax; sti; mov %%eax, %%ss; 1: nop; nop; cli; "
		     "lea 1b(%%rip), %0"
		     : "=r"(at)
		     :
		     : "rax", "memory");
	CHECK_EQ("mov ss", ipis, n + 1);
	CHECK("mov ss ip", ipi_ip == at || ipi_ip == at + 1);
}

static volatile u32 nmis, nested, nmi_at_fault;
static volatile word nmi_ip;
static volatile int nmi_how;

static void send_nmi(void)
{
	apic_send(apic_id(), ICR_NMI);
}

static void pass_time(void)
{
	for (volatile int i = 0; i < 200; i++)
		;
}

static void on_bp(struct frame *f)
{
	pass_time();
	nmi_at_fault = nmis;
}

static void on_nmi(struct frame *f)
{
	static const u64 bad_frame[5] = { 0, 0xfff8, 2, 0, 0 };

	nmi_ip = f->ip;
	if (++nmis > 1)
		return;
	switch (nmi_how) {
	case 1: /* one more waits for the IRET */
		send_nmi();
		pass_time();
		nested = nmis;
		break;
	case 2: /* the IRET of another exception lets it in */
		send_nmi();
		asm volatile("int3" : : : "memory");
		pass_time();
		nested = nmis;
		break;
	case 3: /* and so does one that faults */
		send_nmi();
		pass_time();
		nested = nmis;
		CHECK_TRAP("bad iret",
			   TRY_AT("mov %%rsp, %%rax; mov %0, %%rsp;", "iretq",
				  :
				  : "r"(bad_frame)
				  : "rax", "memory"),
			   X_GP, 0xfff8);
		pass_time();
		nmi_at_fault = nmis;
		break;
	}
}

static void one_nmi(int how)
{
	nmis = nested = nmi_at_fault = 0;
	nmi_how = how;
	send_nmi();
	wait_until(&nmis, how ? 2 : 1, 1000);
	pass_time();
}

static void nmi_blocking(void)
{
	u64 at;

	trap_handler(X_NMI, on_nmi);
	trap_handler(X_BP, on_bp);
	one_nmi(0);
	CHECK_EQ("one", nmis, 1);
	one_nmi(1);
	CHECK_EQ("blocked", nested, 1);
	CHECK_EQ("then", nmis, 2);
	one_nmi(2);
	CHECK_EQ("not by int3", nmi_at_fault, 1);
	CHECK_EQ("by its iret", nested, 2);
	CHECK_EQ("two", nmis, 2);
	one_nmi(3);
	CHECK_EQ("before the bad iret", nested, 1);
	CHECK_EQ("behind it", nmi_at_fault, 2);
	CHECK_EQ("two again", nmis, 2);
	/* NMIs end HLT with IF clear. */
	nmi_how = 0;
	nmis = 0;
	for (int i = 0; i < 20; i++) {
		u32 n = nmis;

		apic_timer(ICR_NMI, 2000);
		apic_write(APIC_LVTT, APIC_MASKED);
		send_nmi();
		CHECK_EQ("at once", nmis, n + 1);
	}
	/* Not between MOV SS and the next. */
	apic_write(APIC_ICR2, apic_id() << 24);
	asm volatile("mov %%ss, %%ecx; mov %%ecx, %%ss; movl %1, (%2); 1: "
		     "nop; nop; nop; lea 1b(%%rip), %0"
		     : "=r"(at)
		     : "r"(ICR_NMI), "r"(APIC_BASE + APIC_ICR)
		     : "rcx", "memory");
	CHECK("behind the write", nmi_ip >= at && nmi_ip <= at + 3);
	trap_handler(X_NMI, NULL);
	trap_handler(X_BP, NULL);
}

void guest_main(void)
{
	apic_enable();
	trap_handler(X_DB, on_db);
	trap_handler(V_IPI, on_ipi);
	RUN(repeated);
	RUN(repeated_breakpoint);
	RUN(exits);
	RUN(frames);
	RUN(breakpoint_and_fault);
	RUN(behind_mov_ss);
	RUN(system_calls);
	RUN(trap_and_interrupt);
	RUN(nmi_blocking);
}
