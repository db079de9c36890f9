#pragma once

#include "cpu/cpu.h"

/*
 * Direct execution: 64-bit user code of a guest process that has been computing
 * for a while runs untranslated in a runner (host/runner.h) that maps what the
 * guest's page tables say (mmu/mirror.h).  Whatever it cannot do there (system
 * calls, faults, instructions that the host would answer for itself) stops it,
 * at some ten microseconds a stop; so the translator keeps guest kernels, and
 * processes that enter theirs all the time.
 */
enum direct_mode {
	DIRECT_OFF,
	DIRECT_AUTO,
	DIRECT_ALWAYS, /* for tests */
};

struct direct {
	uint8_t mode;  /* enum direct_mode */
	bool want;     /* the loop should try */
	bool fsgsbase; /* the host lets user code use RDFSBASE and its like */
	uint8_t failures; /* to get a runner, in a row */
	volatile int pid; /* of the runner that runs; 0: none */
	struct mirror *mirror;
	/* a page fault of the guest: when it is back it will touch it again */
	uint64_t fault_root;
	gva_t fault_gva;
	bool fault_fetch; /* ... as an instruction */
	uint64_t since;	  /* TSC when the guest entered user mode; or 0 */
	uint64_t burst;	  /* cycles that it was there the last time */
	struct mirror_load *load; /* of the process that was */
	uint64_t stop;		  /* cycles of a runner's stop alone */
	uint64_t us;		  /* cycles of a microsecond */
};

/* Which process uses runners: direct_when.c. */

/* direct_burst - user code has run for a time that would be @cycles in
 * translated form. */
void direct_burst(struct direct *d, uint64_t cycles);

/* direct_stay - it has run in a runner, to the next stop; @cycles with all that
 * comes with one. */
void direct_stay(struct direct *d, uint64_t cycles);

/* direct_stays - whether the present process should use its runner on. */
bool direct_stays(const struct direct *d);

/* direct_turn - from one return to user mode to the next event that a runner
 * cannot serve it took @cycles. */
void direct_turn(struct direct *d, uint64_t cycles);

/* direct_init - for a vCPU whose TLB there is; without memory, off. */
void direct_init(struct cpu *c);
void direct_exit(struct cpu *c);

/*
 * direct_ends - translated user code has come to an event that the guest's
 * kernel or root mode may have to serve.  On the light path.
 */
void direct_ends(struct cpu *c);

/*
 * direct_returns - C code is about to go to guest user code; whether the loop
 * should have direct_run() take over.  On the light path.
 */
bool direct_returns(struct cpu *c);

/* direct_kick - makes direct_run() of a vCPU that has been told to leave do so.
 * Any thread, async-signal-safe. */
void direct_kick(struct cpu *c);

/*
 * direct_run - runs the user code at rip in a runner until something is to be
 * done in this process.  False: there is no runner for it, nothing happened.
 * Else *@r and *@reason are as of careful_step().
 */
bool direct_run(struct cpu *c, int *r, enum exit_reason *reason);
