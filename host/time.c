#include "host/time.h"

#include <cpuid.h>
#include <pthread.h>
#include <time.h>

/*
 * Cycles and nanoseconds convert by a 128-bit product and a shift.  With 60
 * fraction bits the multiplier fits 64 bits for every rate above 62.5 MHz and
 * its rounding costs less than a nanosecond a century.
 */
#define FRACTION_BITS 60

/* Between the two ends of a measurement, and how well an end is known. */
#define CALIBRATE_QUICK_NS (12 * 1000000ull)
#define CALIBRATE_FULL_NS  (40 * 1000000ull)
#define SAMPLE_TRIES	   24

/* A rate that CPUID claims is believed if the measurement agrees this well. */
#define CPUID_TOLERANCE_PPM 200

#define PLAUSIBLE_MIN_HZ 100000000ull
#define PLAUSIBLE_MAX_HZ 20000000000ull

static struct {
	pthread_once_t once;
	uint64_t hz;
	uint64_t ns_per_cycle; /* fixed point, FRACTION_BITS */
} tsc = { .once = PTHREAD_ONCE_INIT };

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

uint64_t time_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t time_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t time_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

struct sample {
	uint64_t tsc, ns;
};

/* The tightest of some pairs: the clock was read in the middle of the cycles.
 */
static struct sample take_sample(void)
{
	struct sample best = { 0, 0 };
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t t0 = tsc_read();
		uint64_t ns = clock_ns(CLOCK_MONOTONIC_RAW);
		uint64_t t1 = tsc_read();

		if (t1 - t0 >= best_width)
			continue;
		best_width = t1 - t0;
		best.tsc = t0 + best_width / 2;
		best.ns = ns;
	}
	return best;
}

static uint64_t rate_since(const struct sample *from, uint64_t length_ns)
{
	struct timespec pause = { .tv_nsec = (long)length_ns };
	struct sample to;

	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	to = take_sample();
	return (uint64_t)((unsigned __int128)(to.tsc - from->tsc) *
			  NSEC_PER_SEC / (to.ns - from->ns));
}

/*
 * Source: SDM 2A "CPUID-CPU Identification", leaf 15H; leaf 40000010H is the
 * hypervisors' common timing leaf (kHz).
 */
static uint64_t cpuid_rate(void)
{
	uint32_t a, b, c, d;

	if (__get_cpuid_max(0, NULL) >= 0x15) {
		__cpuid_count(0x15, 0, a, b, c, d);
		if (a && b && c)
			return (uint64_t)c * b / a;
	}
	__cpuid(1, a, b, c, d);
	if (!(c & BIT(31)))
		return 0;
	__cpuid(0x40000000, a, b, c, d);
	if (a < 0x40000010 || a > 0x400000ff)
		return 0;
	__cpuid(0x40000010, a, b, c, d);
	return (uint64_t)a * 1000;
}

static bool rates_agree(uint64_t a, uint64_t b)
{
	uint64_t diff = a > b ? a - b : b - a;

	return diff < b / 1000000 * CPUID_TOLERANCE_PPM;
}

static void calibrate(void)
{
	struct sample start = take_sample();
	uint64_t claimed = cpuid_rate();
	uint64_t hz = rate_since(&start, CALIBRATE_QUICK_NS);

	if (claimed && rates_agree(claimed, hz))
		hz = claimed;
	else
		hz = rate_since(&start, CALIBRATE_FULL_NS - CALIBRATE_QUICK_NS);
	if (hz < PLAUSIBLE_MIN_HZ)
		hz = PLAUSIBLE_MIN_HZ;
	if (hz > PLAUSIBLE_MAX_HZ)
		hz = PLAUSIBLE_MAX_HZ;
	tsc.ns_per_cycle =
		(uint64_t)(((unsigned __int128)NSEC_PER_SEC << FRACTION_BITS) /
			   hz);
	tsc.hz = hz;
}

uint64_t tsc_hz(void)
{
	pthread_once(&tsc.once, calibrate);
	return tsc.hz;
}

uint32_t tsc_khz(void)
{
	return (uint32_t)((tsc_hz() + 500) / 1000);
}

uint64_t tsc_to_ns(uint64_t cycles)
{
	tsc_hz();
	return (uint64_t)((unsigned __int128)cycles * tsc.ns_per_cycle >>
			  FRACTION_BITS);
}

uint64_t ns_to_tsc(uint64_t ns)
{
	unsigned __int128 cycles =
		(unsigned __int128)ns * tsc_hz() / NSEC_PER_SEC;

	return cycles > UINT64_MAX ? UINT64_MAX : (uint64_t)cycles;
}

uint64_t tsc_deadline_ns(uint64_t deadline)
{
	uint64_t now_tsc = tsc_read();
	uint64_t now_ns = time_now_ns();
	uint64_t wait;

	if (deadline <= now_tsc)
		return now_ns;
	wait = tsc_to_ns(deadline - now_tsc);
	return wait > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + wait;
}

/*
 * The multiplier is normalised to [2^31, 2^32): shift the input until the
 * quotient is in that range.
 */
struct time_scale time_scale_init(uint64_t from_hz, uint64_t to_hz)
{
	struct time_scale s = { 0, 0 };
	uint64_t from = from_hz, to = to_hz;

	while (from > to * 2 || from > UINT32_MAX) {
		from >>= 1;
		s.shift--;
	}
	while (to >= from || to > UINT32_MAX) {
		if (to > UINT32_MAX || (from & BIT(31)))
			to >>= 1;
		else
			from <<= 1;
		s.shift++;
	}
	s.mul = (uint32_t)((to << 32) / from);
	return s;
}

uint64_t time_scale(struct time_scale s, uint64_t value)
{
	if (s.shift < 0)
		value >>= -s.shift;
	else
		value <<= s.shift;
	return (uint64_t)((unsigned __int128)value * s.mul >> 32);
}
