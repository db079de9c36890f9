#pragma once

#include "fuzz/insn/case.h"

/* The engine: cases run as user-mode code of a guest in long mode. */

enum executor {
	EXEC_FAST,
	EXEC_CAREFUL,
	EXEC_DIRECT, /* fast, and in a runner where that is possible */
};

/* guest_start - after native_start; @direct: EXEC_DIRECT will be used.  0 or
 * -1.
 */
int guest_start(bool direct);

/* guest_direct_runs - how many cases a runner has had something of. */
uint64_t guest_direct_runs(void);

/* guest_clock - processor time that cases have taken in runners, in ns.  Any
 * thread. */
uint64_t guest_clock(void);

/* guest_run - runs @c from the start; all of @r is filled. */
void guest_run(const struct fuzz_case *c, enum executor exec, struct result *r);

/* guest_forget - drops translations and what was learned; TLBs too. */
void guest_forget(void);

/* guest_has - whether the guest's CPUID offers @feat (enum x86_feat). */
bool guest_has(unsigned int feat);

/* guest_disturb - from now on a thread makes all runs be interrupted, and go
 * on, again and again.  0 or an error. */
int guest_disturb(void);

/* guest_kick - makes guest_run come back with RESULT_TIMEOUT.  Any thread. */
void guest_kick(void);
