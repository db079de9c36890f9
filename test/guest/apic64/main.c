/*
 * Local APIC and I/O APIC: timer modes, current count, IPIs by every
 * destination form, registers that read back, x2APIC mode, I/O APIC routing of
 * edge and level interrupts, the APIC base MSR.
 */
#include "test/guest/lib/apic.h"

#define V_TIMER		0x60
#define V_IPI		0x71
#define V_PIN		0x82
#define MSR_X2APIC(reg) (0x800 + ((reg) >> 4))

static volatile u32 timers, ipis, pins;
static bool x2apic;

static void eoi(void)
{
	if (x2apic)
		wrmsr(MSR_X2APIC(APIC_EOI), 0);
	else
		apic_eoi();
}

static void on_timer(struct frame *f)
{
	timers++;
	eoi();
}

static void on_ipi(struct frame *f)
{
	ipis++;
	eoi();
}

static void delay(u32 ms)
{
	u64 end = rdtsc() + tsc_per_ms() * ms;

	while (rdtsc() < end)
		cpu_pause();
}

static void registers(void)
{
	CHECK_EQ("version", apic_read(APIC_VERSION) & 0xf0, 0x10);
	CHECK("lvt entries", (apic_read(APIC_VERSION) >> 16 & 0xff) >= 3);
	CHECK_EQ("base", rdmsr(MSR_APIC_BASE) & ~0xfffull, APIC_BASE);
	CHECK_EQ("bsp, enabled", rdmsr(MSR_APIC_BASE) & 0x900, 0x900);
	apic_write(APIC_TPR, 0x35);
	CHECK_EQ("tpr", apic_read(APIC_TPR), 0x35);
	CHECK_EQ("ppr", apic_read(APIC_PPR), 0x35);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVTT, APIC_MASKED | APIC_PERIODIC | V_TIMER);
	CHECK_EQ("lvtt", apic_read(APIC_LVTT),
		 APIC_MASKED | APIC_PERIODIC | V_TIMER);
	apic_write(APIC_LDR, 0x01000000);
	CHECK_EQ("ldr", apic_read(APIC_LDR), 0x01000000);
	apic_write(APIC_DFR, 0xffffffff);
	CHECK_EQ("dfr", apic_read(APIC_DFR), 0xffffffff);
	CHECK_EQ("cpuid id", cpuid(1, 0).b >> 24, apic_id());
	CHECK("cpuid apic", cpuid(1, 0).d & BIT(9));
	/* Software-disabled: the LVTs are masked and stay so. */
	apic_write(APIC_SVR, 0xff);
	apic_write(APIC_LVTT, V_TIMER);
	CHECK_EQ("disabled lvtt", apic_read(APIC_LVTT) & APIC_MASKED,
		 APIC_MASKED);
	apic_enable();
}

static void one_shot(void)
{
	timers = 0;
	sti();
	apic_timer(V_TIMER, 10000);
	CHECK("fired", wait_until(&timers, 1, 1000));
	CHECK_EQ("count is 0", apic_read(APIC_TMCCT), 0);
	delay(2);
	CHECK_EQ("once", timers, 1);
	apic_timer(V_TIMER, 0xffffffff);
	u32 a = apic_read(APIC_TMCCT);

	delay(1);
	u32 b = apic_read(APIC_TMCCT);

	CHECK("counts down", b < a && b > 0);
	apic_write(APIC_TMICT, 0);
	CHECK_EQ("stopped", apic_read(APIC_TMCCT), 0);
	apic_timer(APIC_MASKED | V_TIMER, 1000);
	delay(2);
	CHECK_EQ("masked", timers, 1);
	/* Divide by 128 takes 128 times as long. */
	apic_timer(V_TIMER, 1000);
	CHECK("fast", wait_until(&timers, 2, 1000));
	apic_write(APIC_TDCR, 0xa);
	u64 start = rdtsc();

	apic_write(APIC_TMICT, 100000);
	CHECK("slow", wait_until(&timers, 3, 10000));
	CHECK("took its time", rdtsc() - start > tsc_per_ms());
	cli();
}

static void periodic(void)
{
	timers = 0;
	sti();
	apic_timer(APIC_PERIODIC | V_TIMER, 200000);
	CHECK("five", wait_until(&timers, 5, 5000));
	CHECK("reloads", apic_read(APIC_TMCCT) <= 200000);
	for (u32 n = timers; timers < n + 3;)
		asm volatile("hlt");
	apic_write(APIC_TMICT, 0);
	delay(1);
	u32 n = timers;

	delay(2);
	CHECK_EQ("stopped", timers, n);
	cli();
}

static void tsc_deadline(void)
{
	timers = 0;
	apic_write(APIC_LVTT, APIC_DEADLINE | V_TIMER);
	asm volatile("mfence");
	sti();
	/* Far away first: a busy host may take milliseconds to come back. */
	u64 when = rdtsc() + tsc_per_ms() * 10000;

	wrmsr(MSR_TSC_DEADLINE, when);
	CHECK_EQ("armed", rdmsr(MSR_TSC_DEADLINE), when);
	when = rdtsc() + tsc_per_ms();
	wrmsr(MSR_TSC_DEADLINE, when);
	CHECK("fired", wait_until(&timers, 1, 1000));
	CHECK("not early", rdtsc() >= when);
	CHECK_EQ("disarmed", rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, 1);
	CHECK("past fires at once", wait_until(&timers, 2, 1000));
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_per_ms() * 2);
	wrmsr(MSR_TSC_DEADLINE, 0);
	delay(4);
	CHECK_EQ("cancelled", timers, 2);
	cli();
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_per_ms());
	asm volatile("sti; hlt");
	CHECK_EQ("wakes", timers, 3);
	apic_write(APIC_TMICT, 1000);
	CHECK_EQ("TMICT ignored", apic_read(APIC_TMCCT), 0);
	apic_write(APIC_LVTT, APIC_MASKED);
	cli();
}

static void expect_ipi(const char *what, u32 dest, u32 icr, bool arrives)
{
	u32 n = ipis;

	apic_send(dest, icr | V_IPI);
	sti();
	if (arrives) {
		if (!wait_until(&ipis, n + 1, 1000))
			test_fail(what, 0, 1);
	} else {
		delay(1);
	}
	cli();
	CHECK_EQ(what, ipis, n + arrives);
}

static void destinations(void)
{
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_LDR, 0x02000000);
	expect_ipi("self", 0, ICR_SELF, true);
	expect_ipi("all", 0, ICR_ALL, true);
	expect_ipi("others", 0, ICR_OTHERS, false);
	expect_ipi("physical", apic_id(), ICR_FIXED, true);
	expect_ipi("physical other", apic_id() + 5, ICR_FIXED, false);
	expect_ipi("broadcast", 0xff, ICR_FIXED, true);
	expect_ipi("flat", 0x02, ICR_LOGICAL, true);
	expect_ipi("flat many", 0xfe, ICR_LOGICAL, true);
	expect_ipi("flat other", 0x04, ICR_LOGICAL, false);
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, 0x31000000);
	expect_ipi("cluster", 0x31, ICR_LOGICAL, true);
	expect_ipi("cluster mask", 0x33, ICR_LOGICAL, true);
	expect_ipi("cluster other bit", 0x32, ICR_LOGICAL, false);
	expect_ipi("cluster other", 0x21, ICR_LOGICAL, false);
	apic_write(APIC_DFR, 0xffffffff);
	expect_ipi("lowest priority", apic_id(), 0x100, true);
}

static void on_pin(struct frame *f)
{
	pins++;
	apic_eoi();
}

static void on_level(struct frame *f)
{
	/* The line falls before the EOI, or it would come again. */
	if (pins++ >= 2)
		outb(0x2000 + 11, 0);
	apic_eoi();
}

/* The test device raises lines by writes to ports 0x2000 + n. */
static void ioapic_lines(void)
{
	CHECK_EQ("version", ioapic_read(1) >> 16 & 0xff, 23);
	trap_handler(V_PIN, on_pin);
	pins = 0;
	ioapic_route(10, V_PIN, apic_id());
	CHECK_EQ("reads back", ioapic_read(0x10 + 2 * 10) & 0x1afff, V_PIN);
	sti();
	outb(0x2000 + 10, 1);
	CHECK("edge", wait_until(&pins, 1, 100));
	delay(1);
	CHECK_EQ("one edge", pins, 1);
	outb(0x2000 + 10, 0);
	outb(0x2000 + 10, 1);
	CHECK("second edge", wait_until(&pins, 2, 100));
	outb(0x2000 + 10, 0);
	ioapic_route(10, APIC_MASKED | V_PIN, apic_id());
	outb(0x2000 + 10, 1);
	delay(1);
	CHECK_EQ("masked", pins, 2);
	outb(0x2000 + 10, 0);
	/* Level: again after each EOI while the line is up. */
	cli();
	trap_handler(V_PIN, on_level);
	pins = 0;
	ioapic_route(11, ICR_LEVEL | V_PIN, apic_id());
	outb(0x2000 + 11, 1);
	sti();
	CHECK("level", wait_until(&pins, 3, 100));
	delay(1);
	CHECK_EQ("three", pins, 3);
	CHECK_EQ("remote irr", ioapic_read(0x10 + 2 * 11) & BIT(14), 0);
	cli();
	pins = 3;
	outb(0x2000 + 11, 1);
	CHECK("tmr", wait_until(&pins, 3, 1));
	CHECK_EQ("remote irr set", ioapic_read(0x10 + 2 * 11) & BIT(14),
		 BIT(14));
	sti();
	CHECK("level again", wait_until(&pins, 4, 100));
	cli();
	ioapic_route(11, APIC_MASKED, 0);
}

static void ioapic_pit(void)
{
	trap_handler(V_PIN, on_pin);
	pins = 0;
	ioapic_route(2, V_PIN, apic_id());
	pit_start(2, 1193);
	sti();
	CHECK("ticks", wait_until(&pins, 5, 1000));
	cli();
	ioapic_route(2, APIC_MASKED, 0);
	pit_start(0, 1);
	sti();
	delay(2);
	cli();
}

static void x2apic_mode(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);
	u32 id = apic_id();

	wrmsr(MSR_APIC_BASE, base | BIT(10));
	x2apic = true;
	CHECK_EQ("id", rdmsr(MSR_X2APIC(APIC_ID)), id);
	CHECK_EQ("version", rdmsr(MSR_X2APIC(APIC_VERSION)) & 0xf0, 0x10);
	CHECK_EQ("ldr", rdmsr(MSR_X2APIC(APIC_LDR)),
		 (id >> 4) << 16 | 1u << (id & 15));
	wrmsr(MSR_X2APIC(APIC_SVR), 0x1ff);
	ipis = timers = 0;
	sti();
	wrmsr(MSR_X2APIC(APIC_ICR), (u64)id << 32 | V_IPI);
	CHECK("icr", wait_until(&ipis, 1, 1000));
	wrmsr(0x83f, V_IPI);
	CHECK("self ipi", wait_until(&ipis, 2, 1000));
	wrmsr(MSR_X2APIC(APIC_TDCR), 0xb);
	wrmsr(MSR_X2APIC(APIC_LVTT), V_TIMER);
	wrmsr(MSR_X2APIC(APIC_TMICT), 1000);
	CHECK("timer", wait_until(&timers, 1, 1000));
	cli();
	CHECK_TRAP("reserved",
		   TRY("rdmsr",
		       :
		       : "c"(0x801)
		       : "rax", "rdx"),
		   X_GP, 0);
	CHECK_TRAP("eoi not zero",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_X2APIC(APIC_EOI)), "a"(1), "d"(0)),
		   X_GP, 0);
	CHECK_TRAP("id is read-only",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_X2APIC(APIC_ID)), "a"(1), "d"(0)),
		   X_GP, 0);
	CHECK_TRAP("back to xapic",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_APIC_BASE), "a"((u32)base),
			 "d"((u32)(base >> 32))),
		   X_GP, 0);
	/* Off, then on again as xAPIC. */
	wrmsr(MSR_APIC_BASE, base & ~(BIT(10) | BIT(11)));
	CHECK_EQ("cpuid, off", cpuid(1, 0).d & BIT(9), 0);
	wrmsr(MSR_APIC_BASE, base);
	x2apic = false;
	apic_enable();
	CHECK_EQ("xapic id", apic_id(), id);
}

void guest_main(void)
{
	apic_enable();
	pic_init(0x20);
	trap_handler(V_TIMER, on_timer);
	trap_handler(V_IPI, on_ipi);
	RUN(registers);
	RUN(one_shot);
	RUN(periodic);
	RUN_IF(has(FEAT_TSC_DEADLINE), tsc_deadline);
	RUN(destinations);
	RUN(ioapic_lines);
	RUN(ioapic_pit);
	RUN_IF(has(FEAT_X2APIC), x2apic_mode);
}
