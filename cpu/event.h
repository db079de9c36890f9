#pragma once

#include "cpu/cpu.h"

/*
 * event_deliver - delivers one event through the IDT (or IVT) in the current
 * mode: gate and privilege checks, stack switch, IST, task gates, error code,
 * RF/IF/TF/NT/VM handling, CR2 and DR6.  A fault during delivery becomes a
 * contributory fault or #DF by the table in SDM 3A "Interrupt 8 - Double Fault
 * Exception"; a third one is a shutdown.
 * cpu->rip is the return address for faults and external events; soft events
 * (INT n, INT3, INTO, ICEBP) return to rip + ev->insn_len.
 * Returns CPU_OK, or CPU_EXIT with EXIT_TRIPLE_FAULT (state untouched apart
 * from CR2) or with EXIT_EPT_VIOLATION (stack or table in MMIO; retry later
 * through cpu->injecting).
 */
enum cpu_result event_deliver(struct cpu *c, const struct event *ev);

/* event_fault - event_deliver of cpu->fault. */
enum cpu_result event_fault(struct cpu *c);
