#pragma once

#include "x86/insn.h"

/*
 * Which pages of guest code may run natively, in a process of the host's: those
 * that hold no instruction whose result would be the host's (CPUID, RDTSC,
 * SGDT, ...) and that the host does not trap.  This is for fidelity, not for
 * safety: a guest may jump into the middle of an instruction.
 */

/* What the host makes fault in that process, so that pages may hold it. */
enum scan_faults {
	SCAN_TSC_FAULTS = BIT(0),   /* CR4.TSD: RDTSC, RDTSCP */
	SCAN_CPUID_FAULTS = BIT(1), /* CPUID faulting */
};

/*
 * scan_forbidden - whether @insn, decoded as 64-bit code, must not run natively
 * at CPL 3 with IOPL 0.  @faults: SCAN_*.  Of instructions that this project
 * does not offer, those that compute in registers (AVX-512) may run, and so may
 * those that need what the process does not have (AMX, ENQCMD, shadow stacks).
 */
bool scan_forbidden(const struct insn *insn, unsigned int faults);

/* So much of its neighbours matters to a page. */
#define SCAN_BEFORE 96
#define SCAN_BEHIND 15

/*
 * scan_page - whether the 4 KiB of 64-bit code at @page must not run natively.
 * @before: the page that precedes it, of which the last SCAN_BEFORE bytes tell
 * where instructions begin; NULL if it is not known, and then the first bytes
 * are judged with less certainty: by opcodes of two bytes only (0F A2), and
 * more pages wrongly.  @next: the page that follows it, of which SCAN_BEHIND
 * bytes are used for an instruction that crosses; NULL if it is not known, and
 * then all that such an instruction may be counts (one page in 30 ends
 * with 0F).  @faults: SCAN_*. An
 * instruction that begins in the page before this one belongs to that page. The
 * page may change meanwhile; the answer then is for a mix.
 */
bool scan_page(const uint8_t *page, const uint8_t *before, const uint8_t *next,
	       unsigned int faults);

/*
 * scan_list - where the instructions begin for whose sake scan_page() says so:
 * their offsets from @page to @at, in no order, @max at most; one that begins
 * in the page before has a negative one.  Returns how many; -E2BIG: more than
 * @max.  Where it is uncertain what is an instruction, some may be none.
 */
int scan_list(const uint8_t *page, const uint8_t *before, const uint8_t *next,
	      unsigned int faults, int *at, unsigned int max);
