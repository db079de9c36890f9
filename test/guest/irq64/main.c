/*
 * Interrupts as the processor sees them: ticks of the PIT through the PIC,
 * delivery into tight and chained loops, into REP, into ring 3; the shadows of
 * STI; HLT; masking by TPR and CR8; order of pending vectors; NMI.  The bound
 * on latency is loose, but an interrupt that never comes hangs the guest.
 */
#include "test/guest/lib/apic.h"

#define V_TICK 0x40
#define V_IPI  0x51
#define V_LOW  0x31
#define V_HIGH 0x91

static volatile u32 ticks, ipis;
static volatile word irq_ip, irq_cx, resume_at;

static void on_tick(struct frame *f)
{
	ticks++;
	irq_ip = f->ip;
	irq_cx = f->cx;
	if (resume_at)
		f->ip = resume_at;
	outb(0x20, 0x20);
}

static void on_ipi(struct frame *f)
{
	ipis++;
	irq_ip = f->ip;
	irq_cx = f->cx;
	if (resume_at)
		f->ip = resume_at;
	apic_eoi();
}

static void delay(u32 ms)
{
	u64 end = rdtsc() + tsc_per_ms() * ms;

	while (rdtsc() < end)
		cpu_pause();
}

static void pic_ticks(void)
{
	pic_init(V_TICK);
	trap_handler(V_TICK, on_tick);
	apic_write(APIC_LVT0, 0x700); /* ExtINT */
	outb(0x21, 0xfe);
	pit_start(2, 1193); /* 1 kHz */
	ticks = 0;
	sti();
	while (ticks < 5)
		asm volatile("hlt");
	CHECK("spinning", wait_until(&ticks, 10, 1000));
	cli();
	u32 seen = ticks;

	for (volatile int i = 0; i < 10000; i++)
		;
	CHECK_EQ("cli", ticks, seen);
	outb(0x21, 0xff);
	sti();
	for (volatile int i = 0; i < 10000; i++)
		;
	cli();
	CHECK("masked", ticks <= seen + 1);
	pit_start(0, 1193);
	ticks = 0;
	outb(0x21, 0xfe);
	sti();
	CHECK("one-shot", wait_until(&ticks, 1, 1000));
	/* A tick of the old rate may have been pending. */
	delay(5);
	seen = ticks;
	delay(5);
	cli();
	CHECK_EQ("once", ticks, seen);
	outb(0x21, 0xff);
	apic_write(APIC_LVT0, APIC_MASKED);
}

/* Loops that never end by themselves; the handler resumes behind them. */
#define ENDLESS(name, body)                                                    \
	do {                                                                   \
		u32 n_ = ipis;                                                 \
		asm volatile("movq $9f, resume_at\n\t" ::: "memory");          \
		apic_timer(V_IPI, 20000);                                      \
		asm volatile("mov %%rsp, %%r15; sti\n" body                    \
			     "\n9: cli; mov %%r15, %%rsp" ::                   \
				     : "rax", "rcx", "rdx", "rbx", "r15",      \
				       "memory", "cc");                        \
		resume_at = 0;                                                 \
		CHECK_EQ(name, ipis, n_ + 1);                                  \
	} while (0)

static void endless_loops(void)
{
	ENDLESS("jmp .", "1: jmp 1b");
	ENDLESS("two blocks", "1: inc %%rax; jmp 2f; nop; 2: jmp 1b");
	ENDLESS("conditional", "1: add $2, %%rax; jnc 1b; jmp 1b");
	ENDLESS("loop", "1: mov $3, %%ecx; 2: loop 2b; jmp 1b");
	ENDLESS("call", "1: call 2f; jmp 1b; 2: ret");
	ENDLESS("indirect", "lea 1f(%%rip), %%rax; 1: jmp *%%rax");
	ENDLESS("indirect call",
		"lea 2f(%%rip), %%rax; 1: call *%%rax; jmp 1b; 2: ret");
	ENDLESS("push ret", "lea 1f(%%rip), %%rax; 1: push %%rax; ret");
	ENDLESS("memory", "1: push %%rax; pop %%rax; jmp 1b");
	ENDLESS("hlt", "1: hlt; jmp 1b");
	ENDLESS("pause", "1: pause; jmp 1b");
	ENDLESS("cpuid", "1: xor %%eax, %%eax; cpuid; jmp 1b");
	ENDLESS("io", "1: in $0x80, %%al; jmp 1b");
	ENDLESS("across pages",
		"jmp 1f; .balign 4096; 2: jmp 3f; .balign 4096; 3: jmp 1f; "
		".balign 4096; 1: jmp 2b");
}

/* An endless loop in ring 3. */
static void ring3_loop(void)
{
	u8 *p = USER_CODE("1: jmp 1b; 2:");

	resume_at = (word)p + 2;
	user_flags = 2 | FLAG_IF;
	u32 n = ipis;

	apic_timer(V_IPI, 20000);
	CHECK_EQ("vector", run_user(p, 0), V_USER);
	CHECK_EQ("irqs", ipis, n + 1);
	CHECK_EQ("ip", irq_ip, p);
	resume_at = 0;
	user_flags = 2;
}

/* REP is interruptible: registers show the progress, then it goes on. */
static void rep_string(void)
{
	u8 *buf = (u8 *)0x1000000;
	u64 left, di, rip;
	u32 n = ipis;

	apic_timer(V_IPI, 50000);
	asm volatile("sti; 1: rep stosb; cli; lea 1b(%%rip), %0"
		     : "=r"(rip), "=c"(left), "=D"(di)
		     : "1"(0x2000000), "2"(buf), "a"(0x5a)
		     : "memory");
	CHECK_EQ("count", left, 0);
	CHECK_EQ("di", di, (u64)buf + 0x2000000);
	sti();
	CHECK("irq", wait_until(&ipis, n + 1, 1000));
	cli();
	/* Fast machines may be done before the timer fires. */
	if (irq_ip == rip)
		CHECK("progress", irq_cx > 0 && irq_cx <= 0x2000000);
	CHECK_EQ("last", buf[0x1ffffff], 0x5a);
	CHECK_EQ("beyond", buf[0x2000000], 0);
}

static void self_ipi(u32 vector)
{
	apic_send(0, ICR_SELF | vector);
	while (!apic_bit(APIC_IRR, vector))
		cpu_pause();
}

/* The instruction behind STI still runs without interrupts. */
static void sti_shadow(void)
{
	u64 first, after;
	u32 n = ipis;

	self_ipi(V_IPI);
	CHECK_EQ("held by IF", ipis, n);
	asm volatile("sti\n"
		     "1: inc %%rcx\n"
		     "2: nop; nop; nop; nop; nop; nop; nop; nop; nop; nop\n"
		     "cli; lea 1b(%%rip), %0; lea 2b(%%rip), %1"
		     : "=r"(first), "=r"(after)
		     :
		     : "rcx", "cc", "memory");
	CHECK_EQ("delivered", ipis, n + 1);
	CHECK("not in the shadow", irq_ip != first);
	CHECK("soon", irq_ip >= after && irq_ip <= after + 11);
	/* STI; CLI leaves no gap at all. */
	n = ipis;
	self_ipi(V_IPI);
	for (int i = 0; i < 50; i++)
		asm volatile("sti; cli" : : : "memory");
	CHECK_EQ("sti; cli", ipis, n);
	/* A second STI has no shadow. */
	asm volatile("sti; sti; nop; nop; cli" : : : "memory");
	CHECK_EQ("sti; sti", ipis, n + 1);
	/* STI; HLT wakes up, whenever the interrupt came. */
	n = ipis;
	self_ipi(V_IPI);
	asm volatile("sti; hlt; cli" : : : "memory");
	CHECK_EQ("sti; hlt", ipis, n + 1);
}

/* POPF and IRET open the gate for a pending interrupt at once. */
static void popf_iret(void)
{
	u64 at;
	u32 n = ipis;

	self_ipi(V_IPI);
	asm volatile("pushfq; orl $0x200, (%%rsp); popfq\n"
		     "1: nop; nop; nop; nop; nop; nop; nop; nop; cli\n"
		     "lea 1b(%%rip), %0"
		     : "=r"(at)
		     :
		     : "memory", "cc");
	CHECK_EQ("popf", ipis, n + 1);
	CHECK("popf ip", irq_ip >= at && irq_ip <= at + 9);
	self_ipi(V_IPI);
	asm volatile("mov %%rsp, %%rax; mov %%ss, %%ecx; push %%rcx; "
		     "push %%rax; push $0x202; mov %%cs, %%ecx; push %%rcx; "
		     "lea 1f(%%rip), %%rcx; push %%rcx; iretq\n"
		     "1: nop; nop; nop; nop; nop; nop; nop; nop; cli\n"
		     "lea 1b(%%rip), %0"
		     : "=r"(at)
		     :
		     : "rax", "rcx", "memory", "cc");
	CHECK_EQ("iret", ipis, n + 2);
	CHECK("iret ip", irq_ip >= at && irq_ip <= at + 9);
}

static volatile u8 order[8];
static volatile u32 orders;

static void on_order(struct frame *f)
{
	order[orders++ & 7] = f->vector;
	apic_eoi();
}

static void on_nested(struct frame *f)
{
	u32 before = orders;

	order[orders++ & 7] = f->vector;
	/* A higher class gets through before the EOI, a lower one does not. */
	apic_send(0, ICR_SELF | V_HIGH);
	apic_send(0, ICR_SELF | V_LOW);
	asm volatile("sti; nop; nop; nop; nop; nop; nop; cli");
	CHECK_EQ("nested", orders, before + 2);
	CHECK("isr", apic_bit(APIC_ISR, V_IPI));
	CHECK("irr", apic_bit(APIC_IRR, V_LOW));
	CHECK_EQ("ppr", apic_read(APIC_PPR) >> 4, V_IPI >> 4);
	apic_eoi();
}

static void priorities(void)
{
	orders = 0;
	self_ipi(V_LOW);
	self_ipi(V_HIGH);
	self_ipi(V_LOW + 1);
	CHECK_EQ("held", orders, 0);
	asm volatile("sti; nop; nop; nop; nop; nop; nop; nop; nop; cli");
	CHECK_EQ("all", orders, 3);
	CHECK_EQ("first", order[0], V_HIGH);
	CHECK_EQ("second", order[1], V_LOW + 1);
	CHECK_EQ("third", order[2], V_LOW);
	orders = 0;
	trap_handler(V_IPI, on_nested);
	self_ipi(V_IPI);
	asm volatile("sti; nop; nop; nop; nop; nop; nop; nop; nop; cli");
	trap_handler(V_IPI, on_ipi);
	CHECK_EQ("all", orders, 3);
	CHECK_EQ("first", order[0], V_IPI);
	CHECK_EQ("second", order[1], V_HIGH);
	CHECK_EQ("third", order[2], V_LOW);
}

static void task_priority(void)
{
	u32 n = ipis;

	write_cr8(V_IPI >> 4);
	CHECK_EQ("tpr", apic_read(APIC_TPR), V_IPI & 0xf0);
	self_ipi(V_IPI);
	asm volatile("sti; nop; nop; nop; nop; cli");
	CHECK_EQ("masked", ipis, n);
	apic_write(APIC_TPR, (V_IPI & 0xf0) - 0x10);
	CHECK_EQ("cr8", read_cr8(), (V_IPI >> 4) - 1);
	asm volatile("sti; nop; nop; nop; nop; cli");
	CHECK_EQ("delivered", ipis, n + 1);
	write_cr8(15);
	self_ipi(V_IPI);
	asm volatile("sti; nop; nop; nop; nop");
	CHECK_EQ("masked by 15", ipis, n + 1);
	write_cr8(0);
	asm volatile("nop; nop; nop; nop; cli");
	CHECK_EQ("cr8 = 0 opens", ipis, n + 2);
}

static volatile u32 nmis, nmi_nested;

static void on_nmi(struct frame *f)
{
	nmis++;
	if (nmis == 1 && nmi_nested) {
		/* Blocked until the IRET of this one. */
		apic_send(apic_id(), ICR_NMI);
		for (volatile int i = 0; i < 1000; i++)
			;
		CHECK_EQ("nmi blocked", nmis, 1);
	}
}

static void nmi(void)
{
	trap_handler(X_NMI, on_nmi);
	nmis = nmi_nested = 0;
	/* Not held by IF = 0. */
	apic_send(apic_id(), ICR_NMI);
	CHECK("arrived", wait_until(&nmis, 1, 1000));
	CHECK_EQ("once", nmis, 1);
	nmis = 0;
	nmi_nested = 1;
	apic_send(apic_id(), ICR_NMI);
	CHECK("second", wait_until(&nmis, 2, 1000));
	CHECK_EQ("twice", nmis, 2);
	trap_handler(X_NMI, NULL);
}

void guest_main(void)
{
	apic_enable();
	trap_handler(V_IPI, on_ipi);
	trap_handler(V_LOW, on_order);
	trap_handler(V_LOW + 1, on_order);
	trap_handler(V_HIGH, on_order);
	RUN(pic_ticks);
	RUN(endless_loops);
	RUN(ring3_loop);
	RUN(rep_string);
	RUN(sti_shadow);
	RUN(popf_iret);
	RUN(priorities);
	RUN(task_priority);
	RUN(nmi);
}
