#pragma once

#include "cpu/cpu.h"

/*
 * Debug registers: values as MOV DR stores them, and breakpoint matches as
 * DR6.B0 to B3.
 * Code breakpoints are faults: deliver #DB with the bits before executing.
 * Data and I/O breakpoints are traps: collect them in cpu->pending_dbg and
 * deliver #DB after the instruction.
 * Source: SDM 3B "Debug Registers", "Debug Exceptions".
 */

/* debug_dr6, debug_dr7 - @v with reserved bits as the processor stores them. */
uint64_t debug_dr6(uint64_t v);
uint64_t debug_dr7(uint64_t v);

/* debug_armed - whether a breakpoint is enabled at all. */
static inline bool debug_armed(const struct cpu *c)
{
	return (c->dr7 | c->host_dr7) & 0xff;
}

/* debug_match_code - breakpoints on the instruction at linear address @gva;
 * none with RFLAGS.RF. */
uint64_t debug_match_code(const struct cpu *c, gva_t gva);

/* debug_match_data - breakpoints on @size bytes at @gva. */
uint64_t debug_match_data(const struct cpu *c, gva_t gva, unsigned int size,
			  bool write);

/* debug_match_io - breakpoints on a port access; need CR4.DE. */
uint64_t debug_match_io(const struct cpu *c, uint16_t port, unsigned int size);

/* debug_dr6_merge - DR6 after a #DB for reasons @bits (B0-B3, BD, BS, BT). */
uint64_t debug_dr6_merge(const struct cpu *c, uint64_t bits);

/* debug_data - adds the breakpoints that a data access hits to pending_dbg. */
static inline void debug_data(struct cpu *c, gva_t gva, unsigned int size,
			      bool write)
{
	if (unlikely(debug_armed(c)))
		c->pending_dbg |= debug_match_data(c, gva, size, write);
}
