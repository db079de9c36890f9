/*
 * What comes from outside while user code computes: the timer, NMIs, and that
 * nothing of it is lost or late.
 */
#include "test/guest/direct64/direct.h"

#define V_TIMER 0x60
#define TICKS	20
#define VA	(TEST_VA + 0x60000000)

static volatile unsigned ticks, nmis;
static volatile u64 last, longest;

static void on_tick(struct frame *f)
{
	u64 now = rdtsc();

	if (ticks && now - last > longest)
		longest = now - last;
	last = now;
	apic_eoi();
	if (++ticks >= TICKS && (f->cs & 3) == 3)
		f->r15 = 1;
}

/* Until R15 is set; R14 counts. */
#define CLEAR "xor %%r15d, %%r15d; xor %%r14d, %%r14d; "
#define LOOP  "1: inc %%r14; test %%r15, %%r15; jz 1b"

static void timer(void)
{
	apic_enable();
	ticks = longest = 0;
	trap_handler(V_TIMER, on_tick);
	/* 2 ms at 1 GHz. */
	apic_timer(APIC_PERIODIC | V_TIMER, 2000000);
	CHECK_USER_OK("loop", U(CLEAR LOOP));
	apic_write(APIC_LVTT, APIC_MASKED);
	CHECK("ticks", ticks >= TICKS);
	CHECK("worked", trap.frame.r14 > 1000);
	CHECK("in time", longest < 500 * tsc_per_ms());
	trap_handler(V_TIMER, NULL);
}

/* One shot each, armed by what the last one interrupted. */
static void on_shot(struct frame *f)
{
	apic_eoi();
	if (++ticks >= 200)
		f->r15 = 1;
	else
		apic_write(APIC_TMICT, 1000 + ticks * 300);
}

static void one_shots(void)
{
	ticks = 0;
	trap_handler(V_TIMER, on_shot);
	apic_timer(V_TIMER, 1000);
	CHECK_USER_OK("loop", U(CLEAR LOOP));
	CHECK_EQ("ticks", ticks, 200);
	apic_write(APIC_LVTT, APIC_MASKED);
	trap_handler(V_TIMER, NULL);
}

static void on_nmi(struct frame *f)
{
	nmis++;
	CHECK_EQ("from user", f->cs, SEL_UCODE);
	f->r15 = 1;
}

/* User code that sends itself interrupts, with the APIC in its space. */
static void self_sent(void)
{
	map4k(VA, APIC_BASE, RWU | PTE_PCD);
	nmis = 0;
	trap_handler(X_NMI, on_nmi);
	user_mem[0] = VA + APIC_ICR;
	for (int i = 0; i < 20; i++)
		CHECK_USER_OK("nmi", U(CLEAR "mov (%%rdi), %%rax; "
					     "movl $0x44400, (%%rax); " LOOP));
	CHECK_EQ("nmis", nmis, 20);
	trap_handler(X_NMI, NULL);
	ticks = TICKS;
	trap_handler(V_TIMER, on_tick);
	for (int i = 0; i < 20; i++)
		CHECK_USER_OK("ipi", U(CLEAR "mov (%%rdi), %%rax; "
					     "movl $0x44060, (%%rax); " LOOP));
	CHECK_EQ("ticks", ticks, TICKS + 20);
	trap_handler(V_TIMER, NULL);
	unmap4k(VA);
}

/* User code, sleep, user code. */
static void halts(void)
{
	ticks = 0;
	longest = 0;
	trap_handler(V_TIMER, on_tick);
	for (int i = 0; i < 5; i++) {
		unsigned before = ticks;

		CHECK_USER_OK("user", U("mov $1000, %%ecx; 1: loop 1b"));
		apic_timer(V_TIMER, 1000000);
		asm volatile("sti; hlt; cli" : : : "memory");
		CHECK_EQ("woken", ticks, before + 1);
	}
	trap_handler(V_TIMER, NULL);
}

void test_time(void)
{
	pte_make(cr3_root(), VA, 1);
	tsc_per_ms();
	RUN(timer);
	RUN(one_shots);
	RUN(self_sent);
	RUN(halts);
}
