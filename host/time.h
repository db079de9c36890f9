#pragma once

#include "base/types.h"

/*
 * The host's clocks and its time-stamp counter.  The TSC is taken to run at
 * one constant rate on all processors, as on every x86-64 processor that is
 * still in use.
 */
#define NSEC_PER_SEC 1000000000ull

/* time_now_ns - CLOCK_MONOTONIC, the clock of host/timer.h. */
uint64_t time_now_ns(void);

/* time_boot_ns - CLOCK_BOOTTIME: monotonic, and runs on during suspend. */
uint64_t time_boot_ns(void);

/* time_real_ns - CLOCK_REALTIME. */
uint64_t time_real_ns(void);

/* tsc_read - the host's TSC, not earlier than what precedes it in program
 * order. */
static inline uint64_t tsc_read(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/* tsc_rough - likewise, without a wait for what precedes it. */
static inline uint64_t tsc_rough(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

/*
 * tsc_hz - the host TSC's rate, within 20 ppm of CLOCK_MONOTONIC_RAW.  The
 * first call in a process calibrates and takes up to 45 ms.
 */
uint64_t tsc_hz(void);

/* tsc_khz - likewise in kHz, rounded. */
uint32_t tsc_khz(void);

/*
 * tsc_to_ns, ns_to_tsc - lengths of time; the whole 64-bit range of TSC cycles
 * is fine, ns_to_tsc saturates.
 */
uint64_t tsc_to_ns(uint64_t cycles);
uint64_t ns_to_tsc(uint64_t ns);

/*
 * tsc_deadline_ns - the CLOCK_MONOTONIC time at which the host's TSC reaches
 * @tsc; now if it has passed already, UINT64_MAX if it is centuries away.
 */
uint64_t tsc_deadline_ns(uint64_t tsc);

/*
 * A conversion as paravirtual clocks publish it (struct
 * pvclock_vcpu_time_info): out = ((shift < 0 ? in >> -shift : in << shift) *
 * mul) >> 32.
 */
struct time_scale {
	uint32_t mul;
	int8_t shift;
};

/* time_scale_init - from units of 1/@from_hz s to units of 1/@to_hz s. */
struct time_scale time_scale_init(uint64_t from_hz, uint64_t to_hz);

uint64_t time_scale(struct time_scale s, uint64_t value);
