#pragma once

#include "cpu/cpu.h"

static inline uint64_t host_rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

/* cpu_tsc - the guest's time-stamp counter. */
static inline uint64_t cpu_tsc(const struct cpu *c)
{
	return host_rdtsc() + c->tsc_offset;
}
