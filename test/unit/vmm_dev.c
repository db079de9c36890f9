#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test/test.h"
#include "vmm/dev/debugcon.h"
#include "vmm/dev/i8042.h"
#include "vmm/dev/power.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/testdev.h"
#include "vmm/dev/vmport.h"
#include "vmm/status.h"

static struct bus pio, mmio;
static uint32_t lines; /* levels, a bit a GSI */
static int ended = -1;
static char console[16];
static unsigned nr_console;

static void set_irq(void *arg, unsigned gsi, bool level)
{
	lines = (lines & ~BIT(gsi)) | (uint32_t)level << gsi;
}

static void end(void *arg, int status)
{
	ended = status;
}

static void send(void *arg, uint8_t byte)
{
	console[nr_console++ % sizeof(console)] = byte;
}

static const struct irq_sink irq = { set_irq, NULL };
static int sleeps, wakes;

static void note_sleep(void *arg)
{
	sleeps++;
}

static void note_wake(void *arg)
{
	wakes++;
}

static const struct power_sink sink = {
	.end = end,
	.sleep = note_sleep,
	.wake = note_wake,
};

static uint32_t in(uint16_t port, unsigned len)
{
	uint32_t val = 0;

	bus_read(&pio, port, &val, len);
	return val;
}

static void out(uint16_t port, unsigned len, uint32_t val)
{
	bus_write(&pio, port, &val, len);
}

static void setup(void)
{
	memset(&pio, 0, sizeof(pio));
	memset(&mmio, 0, sizeof(mmio));
	lines = 0;
	ended = -1;
	nr_console = 0;
}

static uint8_t cmos(uint8_t reg)
{
	out(0x70, 1, reg);
	return in(0x71, 1);
}

static void set_cmos(uint8_t reg, uint8_t val)
{
	out(0x70, 1, reg);
	out(0x71, 1, val);
}

static unsigned bcd(uint8_t val)
{
	return (val >> 4) * 10 + (val & 15);
}

static void test_rtc_time(struct rtc *rtc)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	CHECK_EQ(bcd(cmos(9)) + bcd(cmos(0x32)) * 100, tm.tm_year + 1900);
	CHECK_EQ(cmos(0x0d), 0x80);
	/* The guest's own time, 12 hours and binary. */
	set_cmos(0x0b, 0x80 | 0x04);
	set_cmos(0, 58);
	set_cmos(2, 59);
	set_cmos(4, 0x80 | 11);
	set_cmos(7, 31);
	set_cmos(8, 12);
	set_cmos(9, 99);
	set_cmos(0x32, 19);
	CHECK_EQ(cmos(4), 0x8b); /* 11 pm */
	set_cmos(0x0b, 0x04);	 /* run */
	set_cmos(0x0b, 0x06);	 /* 24 hours from now on */
	CHECK_EQ(cmos(4), 23);
	CHECK_EQ(cmos(2), 59);
	CHECK_EQ(cmos(9), 99);
	CHECK(cmos(0) >= 58);
	rtc_set_memory(rtc, 3ull << 30, 5ull << 30);
	CHECK_EQ(cmos(0x34) | cmos(0x35) << 8, ((3u << 30) - (16 << 20)) >> 16);
	CHECK_EQ(cmos(0x5b) | cmos(0x5c) << 8 | cmos(0x5d) << 16,
		 (5ull << 30) >> 16);
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void test_rtc(void)
{
	struct loop_timer stop;
	struct loop loop;
	struct rtc *rtc;

	setup();
	CHECK_EQ(loop_init(&loop), 0);
	rtc = rtc_new(&pio, &irq, &loop);
	loop_add_timer(&loop, &stop, stop_loop, &loop);
	test_rtc_time(rtc);

	/* Periodic interrupt at 1024 Hz: the line rises, RTC_C drops it. */
	cmos(0x0c);
	set_cmos(0x0b, 0x42);
	loop_set_timer(&loop, &stop, loop_now_ns() + 50000000);
	loop_run(&loop);
	CHECK_EQ(lines, BIT(8));
	CHECK_EQ(cmos(0x0c) & 0xc0, 0xc0);
	CHECK_EQ(lines, 0);

	/* An update-ended interrupt each second. */
	set_cmos(0x0b, 0x12);
	cmos(0x0c);
	loop.stop = false;
	loop_set_timer(&loop, &stop, loop_now_ns() + 1100000000);
	loop_run(&loop);
	CHECK_EQ(lines, BIT(8));
	CHECK_EQ(cmos(0x0c) & 0x90, 0x90);
	rtc_free(rtc);
	loop_exit(&loop);
}

static void test_i8042(void)
{
	struct power *power;
	struct i8042 *k;

	setup();
	power = power_new(&pio, &irq, &sink);
	k = i8042_new(&pio, &irq, power);
	out(0x64, 1, 0xaa);
	CHECK(in(0x64, 1) & 1);
	CHECK_EQ(in(0x60, 1), 0x55);
	CHECK(!(in(0x64, 1) & 1));
	out(0x64, 1, 0x60);
	out(0x60, 1, 0x44);
	out(0x64, 1, 0x20);
	CHECK_EQ(lines, 0); /* interrupt switched off just now */
	CHECK_EQ(in(0x60, 1), 0x44);
	out(0x64, 1, 0x60);
	out(0x60, 1, 0x45);
	out(0x60, 1, 0xf2); /* to a keyboard that is not there */
	CHECK_EQ(lines, BIT(1));
	CHECK_EQ(in(0x64, 1) & 0x41, 0x41);
	CHECK_EQ(in(0x60, 1), 0xfe);
	CHECK_EQ(lines, 0);
	CHECK_EQ(ended, -1);
	out(0x64, 1, 0xfe);
	CHECK_EQ(ended, STATUS_REBOOT);
	i8042_free(k);
	power_free(power);
}

static void test_power(void)
{
	struct power *power;
	uint32_t t;

	setup();
	power = power_new(&pio, &irq, &sink);
	CHECK_EQ(in(0x604, 2), 1); /* SCI_EN */
	out(0x602, 2, 0x0120);
	CHECK_EQ(in(0x600, 4), 0x01200000);
	power_press_button(power);
	CHECK_EQ(lines, BIT(9));
	CHECK_EQ(in(0x600, 2), 0x0100);
	out(0x600, 2, 0x0100);
	CHECK_EQ(lines, 0);
	t = in(0x608, 4);
	usleep(20000);
	t = in(0x608, 4) - t; /* 3.579545 MHz */
	CHECK(t > 70000 && t < 3579545);
	out(0x604, 2, 0x3c00 & ~0x2000);
	CHECK_EQ(ended, -1);
	out(0x604, 2, 0x3c00); /* a sleep type that we do not offer */
	CHECK_EQ(ended, -1);
	out(0x604, 2, 0x2000);
	CHECK_EQ(ended, STATUS_POWEROFF);
	ended = -1;
	out(0x92, 1, 0x02);
	CHECK_EQ(ended, -1);
	out(0x92, 1, 0x03);
	CHECK_EQ(ended, STATUS_REBOOT);
	power_free(power);
}

#define PM1_STS	    (POWER_PM1A_EVT)
#define PM1_EN	    (POWER_PM1A_EVT + 2)
#define PM1_RTC	    0x400
#define PM1_PWRBTN  0x100
#define PM1_WAK	    0x8000
#define PM1_SLEEP   (0x2000 | POWER_SLP_TYP_S3 << 10)
#define NEXT_SECOND 2000000000

/* S3: sleeps by SLP_EN, is woken by the RTC if enabled, and by the button. */
static void test_sleep(void)
{
	struct loop_timer stop;
	struct power *power;
	struct loop loop;
	struct rtc *rtc;

	setup();
	CHECK_EQ(loop_init(&loop), 0);
	loop_add_timer(&loop, &stop, stop_loop, &loop);
	rtc = rtc_new(&pio, &irq, &loop);
	power = power_new(&pio, &irq, &sink);
	rtc_on_alarm(rtc, power_rtc_alarm, power);
	out(POWER_PM1A_CNT, 2, PM1_SLEEP);
	CHECK_EQ(sleeps, 1);
	for (unsigned reg = 1; reg <= 5; reg += 2)
		set_cmos(reg, 0xc0); /* an alarm each second */
	set_cmos(0x0b, 0x22);
	loop_set_timer(&loop, &stop, loop_now_ns() + NEXT_SECOND);
	loop_run(&loop);
	CHECK_EQ(cmos(0x0c) & 0xa0, 0xa0);
	CHECK_EQ(in(PM1_STS, 2) & (PM1_RTC | PM1_WAK), PM1_RTC);
	CHECK_EQ(wakes, 0); /* not enabled */
	out(PM1_STS, 2, PM1_RTC);
	out(PM1_EN, 2, PM1_RTC);
	loop.stop = false;
	loop_set_timer(&loop, &stop, loop_now_ns() + NEXT_SECOND);
	loop_run(&loop);
	CHECK_EQ(wakes, 1);
	CHECK_EQ(in(PM1_STS, 2) & (PM1_RTC | PM1_WAK), PM1_RTC | PM1_WAK);
	CHECK_EQ(in(PM1_EN, 2), 0);
	CHECK_EQ(lines & BIT(POWER_SCI_IRQ), 0);
	power_press_button(power); /* awake: just a button */
	CHECK_EQ(wakes, 1);
	out(PM1_STS, 2, PM1_PWRBTN | PM1_WAK);
	out(POWER_PM1A_CNT, 2, PM1_SLEEP);
	CHECK_EQ(sleeps, 2);
	power_press_button(power);
	CHECK_EQ(wakes, 2);
	CHECK_EQ(in(PM1_STS, 2) & (PM1_PWRBTN | PM1_WAK), PM1_PWRBTN | PM1_WAK);
	CHECK_EQ(ended, -1);
	rtc_free(rtc);
	power_free(power);
	loop_exit(&loop);
}

static void test_testdev(void)
{
	struct debugcon *console_dev;
	struct testdev *t;
	struct ram ram;
	uint64_t val = 0x1122334455667788ull, back = 0;

	setup();
	CHECK_EQ(ram_init(&ram, RAM_MIN), 0);
	console_dev = debugcon_new(&pio, &sink, send, NULL);
	t = testdev_new(&pio, &mmio, &irq, &ram, console_dev);
	out(0xe0, 4, 0x44332211);
	CHECK_EQ(in(0xe1, 1), 0x22);
	CHECK_EQ(in(0xe8, 4), 0x44332211);
	out(0xe2, 2, 0xbbaa);
	CHECK_EQ(in(0xe0, 4), 0xbbaa2211);
	out(0xe9, 1, '!');
	CHECK_EQ(console[0], '!');
	CHECK_EQ(in(0xe9, 1), 0xe9);
	out(0x200b, 4, 0x00010001); /* lines 11 and 13 */
	CHECK_EQ(lines, BIT(11) | BIT(13));
	out(0x200b, 1, 0);
	CHECK_EQ(lines, BIT(13));
	bus_write(&mmio, 0xff000ffc, &val, 8);
	bus_read(&mmio, 0xff000ffc, &back, 8);
	CHECK_EQ(back, val);
	out(0xe4, 4, 0x5000);
	ram.base[0x5000] = 1; /* mapped again */
	out(0xf4, 4, 0x10);
	CHECK_EQ(ended, 0x21);
	testdev_free(t);
	debugcon_free(console_dev);
	ram_exit(&ram);
}

static void test_vmport(void)
{
	struct kvm_regs regs = { .rax = 0x564d5868, .rcx = 10, .rbx = 1 };
	bool changed;

	CHECK_EQ(vmport_call(&regs, &changed), 6);
	CHECK(changed);
	CHECK_EQ(regs.rbx, 0x564d5868);
	regs = (struct kvm_regs){ .rax = 0x564d5868, .rcx = 0xfff, .rbx = 1 };
	CHECK_EQ(vmport_call(&regs, &changed), 0x564d5868);
	CHECK(!changed && regs.rbx == 1);
	regs.rax = 0;
	CHECK_EQ(vmport_call(&regs, &changed), 0xffffffff);
}

int main(void)
{
	test_vmport();
	test_rtc();
	test_i8042();
	test_power();
	test_sleep();
	test_testdev();
	return test_done();
}
