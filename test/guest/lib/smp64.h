#pragma once

/*
 * Application processors of 64-bit guests: started by INIT and SIPI, each with
 * a stack of its own, then waiting in HLT for a function to run.  They share
 * the boot CPU's GDT and IDT and have no TSS: they must stay in ring 0.
 */
#include "test/guest/lib/apic.h"
#include "test/guest/lib/paging64.h"

#define SMP_MAX	       16
#define SMP_TRAMPOLINE 0x8000ul
#define SMP_WAKE       0xf0

extern volatile u32 smp_online;

/* smp_start - starts all others; the number of CPUs within @ms milliseconds. */
unsigned smp_start(unsigned want, u32 ms);
/* smp_run - makes CPU @cpu (1...) run @fn(@cpu) once; does not wait. */
void smp_run(unsigned cpu, void (*fn)(unsigned));
/* smp_done - whether CPU @cpu is idle; smp_join waits for that. */
bool smp_done(unsigned cpu);
void smp_join(unsigned cpu);
/* APIC id of CPU @cpu. */
u32 smp_apic_id(unsigned cpu);
