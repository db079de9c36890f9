/*
 * Suspend to RAM: the machine sleeps by PM1a_CNT, the clock's alarm wakes it,
 * the guest goes on at the FACS's waking vector in real mode with its memory
 * as it was; the other processor waits for INIT and SIPI again.  Source: ACPI
 * specification, "Waking and Sleeping".
 */
#include "test/guest/lib/smp64.h"

#define WAKE_PAGE 0x9000ul

#define RTC_ALARMS                                                             \
	{                                                                      \
		1, 3, 5                                                        \
	}
#define RTC_A	     10
#define RTC_B	     11
#define RTC_C	     12
#define RTC_ANY	     0xc0
#define RTC_UPDATING 0x80
#define RTC_B_ALARM  0x20

#define PM1_RTC	      0x0400
#define PM1_WAK	      0x8000
#define PM1_SLEEP_S3  (0x2000 | 1 << 10)
#define FACS_VECTOR   12
#define FADT_FACS     36
#define FADT_PM1A_EVT 56
#define FADT_PM1A_CNT 64
#define RSDP_RSDT     16
#define ACPI_LENGTH   4
#define ACPI_ENTRIES  36

bool sleep_enter(u16 port, u16 value);
extern u8 wake_start[], wake_end[];
extern u32 smp_next;

static u32 get32(u64 addr)
{
	u32 val;

	memcpy(&val, (void *)addr, sizeof(val));
	return val;
}

/* The FADT, or 0. */
static u64 find_fadt(void)
{
	u64 rsdt = 0, table;

	for (u64 at = 0xe0000; at < 0x100000 && !rsdt; at += 16)
		if (!memcmp((void *)at, "RSD PTR ", 8))
			rsdt = get32(at + RSDP_RSDT);
	for (u64 at = rsdt + ACPI_ENTRIES;
	     rsdt && at < rsdt + get32(rsdt + ACPI_LENGTH); at += 4) {
		table = get32(at);
		if (!memcmp((void *)table, "FACP", 4))
			return table;
	}
	return 0;
}

static u8 rtc_read(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void rtc_write(u8 reg, u8 val)
{
	outb(0x70, reg);
	outb(0x71, val);
}

/* An alarm with the next second. */
static void arm_alarm(void)
{
	static const u8 alarms[] = RTC_ALARMS;

	while (rtc_read(RTC_A) & RTC_UPDATING)
		;
	for (unsigned i = 0; i < ARRAY_SIZE(alarms); i++)
		rtc_write(alarms[i], RTC_ANY);
	rtc_write(RTC_B, rtc_read(RTC_B) | RTC_B_ALARM);
	rtc_read(RTC_C);
}

static u32 in_bss, in_data = 0x12345678;

static void sleep(void)
{
	u64 fadt = find_fadt(), facs = get32(fadt + FADT_FACS);
	u16 evt = get32(fadt + FADT_PM1A_EVT);
	u16 cnt = get32(fadt + FADT_PM1A_CNT);
	const u32 vector = WAKE_PAGE;
	u16 sts;

	memcpy((void *)WAKE_PAGE, wake_start, wake_end - wake_start);
	memcpy((void *)(facs + FACS_VECTOR), &vector, sizeof(vector));
	outw(evt + 2, PM1_RTC);
	arm_alarm();
	in_bss = 0x9abcdef0;
	cli();
	CHECK("sleeps", sleep_enter(cnt, PM1_SLEEP_S3));
	lidt(idt, sizeof(idt) - 1);
	CHECK_EQ("bss", in_bss, 0x9abcdef0);
	CHECK_EQ("data", in_data, 0x12345678);
	sts = inw(evt);
	CHECK_EQ("woken by", sts & (PM1_RTC | PM1_WAK), PM1_RTC | PM1_WAK);
	outw(evt, PM1_RTC | PM1_WAK);
	rtc_write(RTC_B, rtc_read(RTC_B) & ~RTC_B_ALARM);
	rtc_read(RTC_C);
}

static volatile u32 ran;

static void note_run(unsigned cpu)
{
	ran = cpu;
}

/* The other processor, started for the first time or again. */
static void start_other(void)
{
	smp_online = smp_next = 1;
	CHECK_EQ("online", smp_start(2, 10000), 2);
	ran = 0;
	smp_run(1, note_run);
	smp_join(1);
	CHECK_EQ("ran", ran, 1);
}

void guest_main(void)
{
	RUN_ONCE(start_other);
	RUN_ONCE(sleep);
	RUN_ONCE(start_other);
	RUN_ONCE(sleep);
}
