#pragma once

#include "cpu/desc.h"

/*
 * What far transfers, IRET and event delivery have in common.  "Commit" steps
 * come after every check and memory access and cannot fail.
 */

/*
 * far_return_cs - reads and checks the code segment a RETF or IRET returns to;
 * the RPL of @sel is the new CPL.  #GP or #NP.
 */
enum cpu_result far_return_cs(struct cpu *c, uint16_t sel, struct desc *d);

/*
 * far_rip - RIP of a far transfer: from 64-bit to 32-bit code the upper half of
 * it is dropped.
 */
uint64_t far_rip(const struct cpu *c, const struct desc *cs, uint64_t rip);

/*
 * far_return_ss - likewise the stack segment for the new CPL @cpl and code
 * segment @cs.  A null selector that is allowed leaves @d with .lo = 0.
 */
enum cpu_result far_return_ss(struct cpu *c, uint16_t sel, unsigned int cpl,
			      const struct desc *cs, struct desc *d);

/* far_check_rip - seg_check_rip for a descriptor that is about to be loaded. */
enum cpu_result far_check_rip(struct cpu *c, const struct desc *cs,
			      uint64_t rip);

/* far_commit_cs - loads CS at privilege level @cpl. */
void far_commit_cs(struct cpu *c, const struct desc *cs, unsigned int cpl);

/* far_commit_ss - loads SS (null if @ss->lo is 0); the CPL is the new one. */
void far_commit_ss(struct cpu *c, const struct desc *ss, uint16_t sel);

/* far_commit_sp - a popped stack pointer, in the width of the new stack. */
void far_commit_sp(struct cpu *c, uint64_t sp);
