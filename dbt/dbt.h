#pragma once

#include "cpu/cpu.h"

/*
 * Non-root mode: runs the guest as translated native code (fast form) or one
 * instruction at a time with checked memory operands (careful form).
 */
struct dbt; /* per VM: code cache and blocks, shared by its vCPUs */

struct dbt *dbt_create(void);
void dbt_destroy(struct dbt *d);

/*
 * dbt_cpu_create - allocates a vCPU's state where translated code can reach it
 * (through GS), in power-up state but without CPUID and slots.  @d outlives it.
 * Returns NULL if memory or address space runs out.
 */
struct cpu *dbt_cpu_create(struct dbt *d);
void dbt_cpu_destroy(struct cpu *c);

/*
 * dbt_run - enters the guest on the calling thread and stays until root mode
 * has something to do.  Light work (TLB fills, translation, guest exceptions,
 * most privileged instructions) is done inside and only counted.
 * Returns:
 * EXIT_EXTERNAL_INTERRUPT  exit_req was set (root mode clears it first)
 * EXIT_INTERRUPT_WINDOW    see cpu->irq_window, nmi_window
 * EXIT_IO                  cpu->io; see cpu/op.h for who commits rip
 * EXIT_EPT_VIOLATION       cpu->mmio.wants: answer it in rd[] and enter again;
 *                          else the instruction is done, carry out wr[]
 * EXIT_HLT, EXIT_MSR_READ, EXIT_MSR_WRITE, EXIT_CR_ACCESS (CR8), EXIT_VMCALL,
 * EXIT_MWAIT: rip not advanced, commit with dbt_commit() after the work
 * EXIT_TRIPLE_FAULT        shutdown
 * EXIT_EXCEPTION           cpu->singlestep or a guest-debug breakpoint hit
 * EXIT_HOST_MEMORY         host memory of a slot cannot be accessed (-EFAULT)
 * EXIT_EMULATE             no way to execute the instruction at rip (our gap)
 * Vector state: dbt_run loads it from cpu->xsave if !fpu_live and returns with
 * fpu_live set, the state still in the host's registers; call dbt_put_fpu
 * before any code that may use vector registers (the C library included).
 */
enum exit_reason dbt_run(struct cpu *c);

/*
 * dbt_guard - calls @fn for code of root mode that touches guest memory: if
 * host memory of a slot cannot be accessed it is left on the spot, and the
 * answer is -EFAULT instead of 0.  @fn takes no lock.  On the vCPU's thread,
 * outside of dbt_run.
 */
int dbt_guard(struct cpu *c, void (*fn)(void *arg), void *arg);

/* dbt_put_fpu - saves live vector state to cpu->xsave; no-op if not live. */
void dbt_put_fpu(struct cpu *c);

/*
 * dbt_commit - rip = next_rip, shadows end; a #DB trap that is due is left in
 * cpu->pending, DR6 set, for the next entry.
 */
void dbt_commit(struct cpu *c);

/*
 * dbt_outside - somebody else than the guest may have written its memory (user
 * mode ran, or tells the guest something by an interrupt).  A vCPU that leaves
 * translated code after that executes no stale code.  Any thread.
 */
void dbt_outside(struct dbt *d);

/* dbt_kick - makes dbt_run of another thread return soon.  Any thread. */
void dbt_kick(struct cpu *c);

/*
 * dbt_enter_quiet, dbt_leave_quiet - stop the world: between them no vCPU of
 * @d is inside dbt_run.  For memslot changes, dirty-log harvests and flushes.
 * May be called by any thread that is not inside dbt_run of @d itself.
 */
void dbt_enter_quiet(struct dbt *d);
void dbt_leave_quiet(struct dbt *d);

/*
 * dbt_slots_changed - between enter and leave_quiet: drops all translations
 * and, for every vCPU, all TLB entries; @slots is the new set of all vCPUs.
 */
void dbt_slots_changed(struct dbt *d, struct memslots *slots);

/* dbt_rearm_dirty - likewise: drops write entries so that writes log again. */
void dbt_rearm_dirty(struct dbt *d);

/*
 * dbt_sample - what the thread that runs @c was doing when a signal came at
 * host address @pc; async-signal-safe.
 */
enum dbt_place {
	DBT_ENTRY, /* a block's entry of indirect jumps */
	DBT_GUEST, /* translated code */
	DBT_COLD,  /* ... out of line */
	DBT_STUB,  /* between it and C code */
	DBT_C,	   /* c->doing says what */
};

struct dbt_sample {
	enum dbt_place place;
	bool user;    /* at CPL 3 */
	uint64_t rip; /* the guest instruction; 0: not known */
};

void dbt_sample(const struct cpu *c, const void *pc, struct dbt_sample *s);
