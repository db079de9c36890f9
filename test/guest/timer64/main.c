/*
 * Timers neither storm nor starve, and HLT misses none of their interrupts:
 * the local APIC's with tiny periods and with deadlines in the past, the PIT at
 * its highest rate, its ticks that were missed.  Rates are counted against the
 * time that passed, so that a slow host does not matter.
 */
#include "test/guest/lib/apic.h"

#define V_TIMER 0x60
#define V_TICK	0x40
/* Both timers are limited to 5 kHz, as in KVM. */
#define MAX_PER_MS 5

static volatile u32 ticks;

static void on_timer(struct frame *f)
{
	ticks++;
	apic_eoi();
}

static void on_tick(struct frame *f)
{
	ticks++;
	outb(0x20, 0x20);
}

static u64 rounds;

/*
 * Runs with interrupts on until @ms milliseconds have passed since @start;
 * gives the milliseconds.
 */
static u32 spin_from(u64 start, u32 ms)
{
	u64 per_ms = tsc_per_ms(), now;

	rounds = 0;
	sti();
	do {
		rounds++;
		now = rdtsc();
	} while (now < start + per_ms * ms);
	cli();
	return (u32)((now - start) / per_ms) + 1;
}

static u32 spin(u32 ms)
{
	return spin_from(rdtsc(), ms);
}

/*
 * Ticks for 30 ms: never more than the limit allows; and some, while the rest
 * gets on, unless the host was elsewhere five times in a row.
 */
static void check_rate(const char *what, void (*start)(u32), u32 arg)
{
	bool got_on = false;

	for (int i = 0; i < 5 && !got_on; i++) {
		u64 begin = rdtsc();
		u32 ms;

		ticks = 0;
		start(arg);
		ms = spin_from(begin, 30);
		/* The guest's own measure of time is a few percent off. */
		if (ticks > ms * MAX_PER_MS + ms / 3 + 2)
			test_fail(what, ticks, ms * MAX_PER_MS);
		got_on = ticks >= 3 && rounds > 30;
		start(0);
	}
	CHECK(what, got_on);
}

static void periodic(u32 count)
{
	apic_timer(APIC_PERIODIC | V_TIMER, count);
}

static void tiny_periods(void)
{
	static const u32 counts[] = { 1, 2, 100, 10000 };

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++)
		check_rate("periodic", periodic, counts[i]);
	spin(1);
}

static volatile u32 rearm;

static void on_rearm(struct frame *f)
{
	ticks++;
	if (rearm) {
		rearm--;
		apic_write(APIC_TMICT, 1);
	}
	apic_eoi();
}

/* One-shot after one-shot, each an interrupt. */
static void chained(void)
{
	trap_handler(V_TIMER, on_rearm);
	ticks = 0;
	rearm = 200;
	apic_timer(V_TIMER, 1);
	sti();
	CHECK("all", wait_until(&ticks, 201, 5000));
	spin(2);
	CHECK_EQ("no more", ticks, 201);
	trap_handler(V_TIMER, on_timer);
}

static void past_deadlines(void)
{
	static const u64 past[] = { 1, 2, 1000 };

	ticks = 0;
	apic_write(APIC_LVTT, APIC_DEADLINE | V_TIMER);
	asm volatile("mfence");
	for (u32 i = 0; i < 600; i++) {
		wrmsr(MSR_TSC_DEADLINE,
		      i & 1 ? rdtsc() - 1 - (i << 4) : past[i % 3]);
		CHECK_EQ("disarmed", rdmsr(MSR_TSC_DEADLINE), 0);
		asm volatile("sti; nop; nop; cli");
		if (ticks != i + 1) {
			test_fail("one each", ticks, i + 1);
			break;
		}
	}
	spin(2);
	CHECK_EQ("no more", ticks, 600);
	apic_write(APIC_LVTT, APIC_MASKED);
}

static u32 odd(void)
{
	static u32 state = 12345;

	state = state * 1664525 + 1013904223;
	return state >> 16;
}

/*
 * The timer fires before, in and after HLT.  A wake-up that is lost leaves the
 * guest asleep for good.
 */
static void halts(void)
{
	ticks = 0;
	for (u32 i = 0; i < 500; i++) {
		u32 n = ticks;

		apic_timer(V_TIMER, 1 + odd() % 30000);
		for (u32 d = odd() % 512; d; d--)
			cpu_pause();
		cli();
		while (ticks == n)
			asm volatile("sti; hlt; cli" : : : "memory");
		if (ticks != n + 1) {
			test_fail("one each", ticks, n + 1);
			break;
		}
	}
	cli();
}

static void deadline_halts(void)
{
	ticks = 0;
	apic_write(APIC_LVTT, APIC_DEADLINE | V_TIMER);
	asm volatile("mfence");
	for (u32 i = 0; i < 500; i++) {
		u32 n = ticks;

		wrmsr(MSR_TSC_DEADLINE, rdtsc() + odd());
		for (u32 d = odd() % 512; d; d--)
			cpu_pause();
		while (ticks == n)
			asm volatile("sti; hlt; cli" : : : "memory");
		if (ticks != n + 1) {
			test_fail("one each", ticks, n + 1);
			break;
		}
	}
	apic_write(APIC_LVTT, APIC_MASKED);
}

static void pit_on(void)
{
	pic_init(V_TICK);
	trap_handler(V_TICK, on_tick);
	apic_write(APIC_LVT0, 0x700); /* ExtINT */
	outb(0x21, 0xfe);
}

/* One tick may be under way; nothing comes any more. */
static void pit_off(void)
{
	outb(0x21, 0xff);
	pit_start(0, 1);
	spin(1);
	apic_write(APIC_LVT0, APIC_MASKED);
}

/* Mode and count, or 0 to stop. */
static void pit_rate(u32 arg)
{
	if (!arg) {
		pit_off();
		return;
	}
	pit_on();
	pit_start(arg >> 16, (u16)arg);
}

static void pit_rates(void)
{
	static const u16 counts[] = { 1, 2, 10, 300 };

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		check_rate("mode 2", pit_rate, 2 << 16 | counts[i]);
		check_rate("mode 3", pit_rate, 3 << 16 | counts[i]);
	}
}

/* Ticks that came while interrupts were off are made up for, one by one. */
static void pit_missed(void)
{
	u64 start, end;
	u32 ms;

	pit_on();
	ticks = 0;
	start = rdtsc();
	pit_start(2, 1193); /* 1 kHz */
	for (end = start + 20 * tsc_per_ms(); rdtsc() < end;)
		;
	CHECK_EQ("off", ticks, 0);
	spin(30);
	ms = (u32)((rdtsc() - start) / tsc_per_ms());
	if (ticks < 15 || ticks > ms + ms / 16 + 2)
		test_fail("made up", ticks, ms);
	pit_off();
	ticks = 0;
	spin(5);
	CHECK_EQ("over", ticks, 0);
}

/* An interrupt storm by a level line that nobody lowers ends with it. */
static void on_level(struct frame *f)
{
	if (++ticks == 500)
		outb(0x2000 + 11, 0);
	apic_eoi();
}

static void level_storm(void)
{
	trap_handler(V_TIMER, on_level);
	ticks = 0;
	ioapic_route(11, ICR_LEVEL | V_TIMER, apic_id());
	outb(0x2000 + 11, 1);
	sti();
	CHECK("500", wait_until(&ticks, 500, 5000));
	spin(2);
	CHECK_EQ("over", ticks, 500);
	ioapic_route(11, APIC_MASKED, 0);
	trap_handler(V_TIMER, on_timer);
}

void guest_main(void)
{
	apic_enable();
	pic_init(0x20);
	tsc_per_ms();
	trap_handler(V_TIMER, on_timer);
	RUN(tiny_periods);
	RUN(chained);
	RUN_IF(has(FEAT_TSC_DEADLINE), past_deadlines);
	RUN(halts);
	RUN_IF(has(FEAT_TSC_DEADLINE), deadline_halts);
	RUN(pit_rates);
	RUN(pit_missed);
	RUN(level_storm);
}
