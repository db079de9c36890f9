#include "vmm/dev/rtc.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* Registers ("MC146818" data sheet); 0x32 is a PC's century byte. */
enum {
	RTC_SEC,
	RTC_SEC_ALARM,
	RTC_MIN,
	RTC_MIN_ALARM,
	RTC_HOUR,
	RTC_HOUR_ALARM,
	RTC_WDAY,
	RTC_MDAY,
	RTC_MONTH,
	RTC_YEAR,
	RTC_A,
	RTC_B,
	RTC_C,
	RTC_D
};
#define RTC_CENTURY 0x32

#define A_UIP	   0x80
#define B_SET	   0x80
#define B_BINARY   0x04
#define B_24H	   0x02
#define C_IRQ	   0x80
#define C_PERIODIC 0x40
#define C_ALARM	   0x20
#define C_UPDATE   0x10
#define D_VALID	   0x80

#define NS_PER_SEC 1000000000ll
/* Updates are announced this long before they happen. */
#define UIP_NS 244000

struct rtc {
	pthread_mutex_t lock;
	struct irq_line irq;
	struct loop *loop;
	struct loop_timer timer;
	uint8_t index;
	uint8_t cmos[128]; /* time registers: valid while B_SET is set */
	int64_t offset_s;  /* guest time - host time */
	int64_t seen_ns;   /* host time up to which events are in RTC_C */
	void (*alarm)(void *arg);
	void *alarm_arg;
};

static int64_t rtc_host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static uint8_t rtc_encode(const struct rtc *r, unsigned val)
{
	if (r->cmos[RTC_B] & B_BINARY)
		return val;
	return val / 10 << 4 | val % 10;
}

static unsigned rtc_decode(const struct rtc *r, uint8_t val)
{
	if (r->cmos[RTC_B] & B_BINARY)
		return val;
	return (val >> 4) * 10 + (val & 15);
}

static uint8_t rtc_encode_hour(const struct rtc *r, unsigned hour)
{
	uint8_t pm = hour >= 12 ? 0x80 : 0;

	if (r->cmos[RTC_B] & B_24H)
		return rtc_encode(r, hour);
	return rtc_encode(r, hour % 12 ? hour % 12 : 12) | pm;
}

static unsigned rtc_decode_hour(const struct rtc *r, uint8_t val)
{
	if (r->cmos[RTC_B] & B_24H)
		return rtc_decode(r, val);
	return rtc_decode(r, val & 0x7f) % 12 + (val & 0x80 ? 12 : 0);
}

/* Copies the running clock to the registers. */
static void rtc_latch(struct rtc *r)
{
	time_t now = rtc_host_ns() / NS_PER_SEC + r->offset_s;
	struct tm tm;

	gmtime_r(&now, &tm);
	r->cmos[RTC_SEC] = rtc_encode(r, tm.tm_sec);
	r->cmos[RTC_MIN] = rtc_encode(r, tm.tm_min);
	r->cmos[RTC_HOUR] = rtc_encode_hour(r, tm.tm_hour);
	r->cmos[RTC_WDAY] = rtc_encode(r, tm.tm_wday + 1);
	r->cmos[RTC_MDAY] = rtc_encode(r, tm.tm_mday);
	r->cmos[RTC_MONTH] = rtc_encode(r, tm.tm_mon + 1);
	r->cmos[RTC_YEAR] = rtc_encode(r, tm.tm_year % 100);
	r->cmos[RTC_CENTURY] = rtc_encode(r, (tm.tm_year + 1900) / 100);
}

/* Makes the clock run from what the registers hold. */
static void rtc_start(struct rtc *r)
{
	struct tm tm = {
		.tm_sec = rtc_decode(r, r->cmos[RTC_SEC]),
		.tm_min = rtc_decode(r, r->cmos[RTC_MIN]),
		.tm_hour = rtc_decode_hour(r, r->cmos[RTC_HOUR]),
		.tm_mday = rtc_decode(r, r->cmos[RTC_MDAY]),
		.tm_mon = rtc_decode(r, r->cmos[RTC_MONTH]) - 1,
		.tm_year = rtc_decode(r, r->cmos[RTC_CENTURY]) * 100 - 1900 +
			   rtc_decode(r, r->cmos[RTC_YEAR]),
	};

	r->offset_s = timegm(&tm) - rtc_host_ns() / NS_PER_SEC;
}

/* Period of the periodic interrupt; 0 if its rate is "none". */
static int64_t rtc_period_ns(const struct rtc *r)
{
	unsigned rate = r->cmos[RTC_A] & 15;

	if (!rate)
		return 0;
	if (rate < 3)
		rate += 7;
	return NS_PER_SEC * (1 << (rate - 1)) / 32768;
}

static bool rtc_alarm_at(const struct rtc *r, time_t when)
{
	uint8_t sec = r->cmos[RTC_SEC_ALARM], min = r->cmos[RTC_MIN_ALARM];
	uint8_t hour = r->cmos[RTC_HOUR_ALARM];
	struct tm tm;

	gmtime_r(&when, &tm);
	/* Both top bits set: any value matches. */
	return (sec >= 0xc0 || sec == rtc_encode(r, tm.tm_sec)) &&
	       (min >= 0xc0 || min == rtc_encode(r, tm.tm_min)) &&
	       (hour >= 0xc0 || hour == rtc_encode_hour(r, tm.tm_hour));
}

/* Notes in RTC_C the events since the last call. */
static void rtc_catch_up(struct rtc *r, int64_t now)
{
	int64_t from = r->seen_ns / NS_PER_SEC, to = now / NS_PER_SEC;
	int64_t period = rtc_period_ns(r);
	uint8_t *flags = &r->cmos[RTC_C];

	if (to - from > 24 * 3600)
		from = to - 24 * 3600; /* an alarm comes round once a day */
	for (int64_t s = from + 1; s <= to; s++) {
		if (r->cmos[RTC_B] & B_SET)
			break;
		*flags |= C_UPDATE;
		if (rtc_alarm_at(r, s + r->offset_s))
			*flags |= C_ALARM;
	}
	if (period && now / period > r->seen_ns / period)
		*flags |= C_PERIODIC;
	r->seen_ns = now;
}

/* Arms the timer for the next event that would raise the interrupt. */
static void rtc_arm(struct rtc *r, int64_t now)
{
	uint8_t wanted = r->cmos[RTC_B] & ~r->cmos[RTC_C];
	int64_t period = rtc_period_ns(r), wait = 0;

	if (r->cmos[RTC_C] & C_IRQ)
		wanted = 0; /* until the guest reads RTC_C */
	if (wanted & (C_ALARM | C_UPDATE))
		wait = NS_PER_SEC - now % NS_PER_SEC;
	if ((wanted & C_PERIODIC) && period &&
	    (!wait || period - now % period < wait))
		wait = period - now % period;
	loop_set_timer(r->loop, &r->timer, wait ? loop_now_ns() + wait : 0);
}

static void rtc_update(struct rtc *r)
{
	int64_t now = rtc_host_ns();
	uint8_t *flags = &r->cmos[RTC_C];
	bool had_alarm = *flags & r->cmos[RTC_B] & C_ALARM;

	rtc_catch_up(r, now);
	*flags &= ~C_IRQ;
	if (*flags & r->cmos[RTC_B] & (C_PERIODIC | C_ALARM | C_UPDATE))
		*flags |= C_IRQ;
	if (r->alarm && !had_alarm && (*flags & r->cmos[RTC_B] & C_ALARM))
		r->alarm(r->alarm_arg);
	irq_line_set(&r->irq, *flags & C_IRQ);
	rtc_arm(r, now);
}

static void rtc_timer(void *arg)
{
	struct rtc *r = arg;

	pthread_mutex_lock(&r->lock);
	rtc_update(r);
	pthread_mutex_unlock(&r->lock);
}

static bool rtc_is_time(unsigned reg)
{
	return reg == RTC_SEC || reg == RTC_MIN || reg == RTC_CENTURY ||
	       reg == RTC_HOUR || (reg >= RTC_WDAY && reg <= RTC_YEAR);
}

static bool rtc_updating(const struct rtc *r)
{
	return !(r->cmos[RTC_B] & B_SET) &&
	       rtc_host_ns() % NS_PER_SEC >= NS_PER_SEC - UIP_NS;
}

static uint8_t rtc_read_reg(struct rtc *r)
{
	unsigned reg = r->index;
	uint8_t val;

	if (rtc_is_time(reg) && !(r->cmos[RTC_B] & B_SET))
		rtc_latch(r);
	val = r->cmos[reg];
	if (reg == RTC_A && rtc_updating(r))
		val |= A_UIP;
	if (reg == RTC_C) {
		rtc_update(r);
		val = r->cmos[RTC_C];
		r->cmos[RTC_C] = 0;
		rtc_update(r);
	}
	return val;
}

static void rtc_write_reg(struct rtc *r, uint8_t val)
{
	unsigned reg = r->index;
	bool halted = r->cmos[RTC_B] & B_SET;

	if (reg == RTC_C || reg == RTC_D)
		return;
	if (rtc_is_time(reg) && !halted)
		rtc_latch(r);
	if (reg == RTC_B && !halted)
		rtc_latch(r); /* in the format that was valid so far */
	r->cmos[reg] = reg == RTC_A ? val & ~A_UIP : val;
	if (reg == RTC_B && halted && !(val & B_SET))
		rtc_start(r);
	if (rtc_is_time(reg) && !halted)
		rtc_start(r);
	if (reg <= RTC_B)
		rtc_update(r);
}

static uint64_t rtc_read(void *dev, uint64_t offset, unsigned len)
{
	struct rtc *r = dev;
	uint8_t val = 0xff;

	pthread_mutex_lock(&r->lock);
	if (offset == 1)
		val = rtc_read_reg(r);
	pthread_mutex_unlock(&r->lock);
	return val;
}

static void rtc_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct rtc *r = dev;

	pthread_mutex_lock(&r->lock);
	if (offset == 0)
		r->index = val & 0x7f; /* bit 7 masks NMIs */
	else
		rtc_write_reg(r, val);
	pthread_mutex_unlock(&r->lock);
}

static const struct bus_ops rtc_ops = {
	.name = "rtc",
	.read = rtc_read,
	.write = rtc_write,
	.max_len = 1,
};

struct rtc *rtc_new(struct bus *pio, const struct irq_sink *irq,
		    struct loop *loop)
{
	struct rtc *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	r->irq = (struct irq_line){ irq, 8, false };
	r->loop = loop;
	r->seen_ns = rtc_host_ns();
	r->cmos[RTC_A] = 0x26; /* 32768 Hz crystal, 1024 Hz periodic rate */
	r->cmos[RTC_B] = B_24H;
	r->cmos[RTC_D] = D_VALID;
	loop_add_timer(loop, &r->timer, rtc_timer, r);
	if (bus_add(pio, 0x70, 2, &rtc_ops, r) == 0)
		return r;
	free(r);
	return NULL;
}

void rtc_free(struct rtc *rtc)
{
	free(rtc);
}

void rtc_on_alarm(struct rtc *rtc, void (*fn)(void *arg), void *arg)
{
	rtc->alarm = fn;
	rtc->alarm_arg = arg;
}

void rtc_set_cmos(struct rtc *rtc, unsigned reg, uint8_t val)
{
	rtc->cmos[reg] = val;
}

static void rtc_set_word(struct rtc *rtc, unsigned reg, uint64_t val)
{
	if (val > 0xffff)
		val = 0xffff;
	rtc_set_cmos(rtc, reg, val);
	rtc_set_cmos(rtc, reg + 1, val >> 8);
}

void rtc_set_memory(struct rtc *rtc, uint64_t low_size, uint64_t high_size)
{
	uint64_t above_1m = low_size > 1 << 20 ? low_size - (1 << 20) : 0;
	uint64_t above_16m = low_size > 16 << 20 ? low_size - (16 << 20) : 0;

	rtc_set_word(rtc, 0x15, 640);		 /* KiB below 1 MiB */
	rtc_set_word(rtc, 0x17, above_1m >> 10); /* KiB above 1 MiB */
	rtc_set_word(rtc, 0x30, above_1m >> 10);
	rtc_set_word(rtc, 0x34, above_16m >> 16); /* 64 KiB units */
	rtc_set_cmos(rtc, 0x5b, high_size >> 16); /* 64 KiB units, 3 bytes */
	rtc_set_cmos(rtc, 0x5c, high_size >> 24);
	rtc_set_cmos(rtc, 0x5d, high_size >> 32);
}
