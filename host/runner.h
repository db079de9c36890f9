#pragma once

#include "base/types.h"
#include "host/stub.h"
#include "host/user_regs.h"

/*
 * A runner is a host process of its own, traced by the vCPU's thread, whose
 * address space holds nothing but mappings of guest memory at the guest's own
 * user addresses and a few pages of ours (the stub).  Guest user code runs in
 * it untranslated.  It can make no system call (PTRACE_SYSEMU, and a seccomp
 * filter that lets only the stub's pages make some), it never sees RDTSC or
 * CPUID of the host where the host lets us forbid them, and it dies with its
 * tracer.
 *
 * What must not be executed in it, since it would not stop or would not leave
 * all registers as they were: SYSENTER, INT 80, RDPID, and CPUID unless
 * runner_traps_cpuid(); and whatever differs between guest and host.
 *
 * The client notices this much: SIGCHLD's action gets SA_NOCLDSTOP, and a
 * SIGCHLD comes when a runner ends.  Its processor time counts as the client's
 * children's when it is destroyed.  A client that waits for any child at all in
 * another thread may take a stop from us; runner_run() notices at the next
 * signal that interrupts it.
 *
 * All functions but runner_kick() and runner_destroy() are for the thread that
 * created the runner.
 */
struct runner;

/* Where the stub's pages lie in the runner: not for guest memory. */
#define RUNNER_STUB	STUB_BASE
#define RUNNER_STUB_END STUB_END

/* One past the last address that can be mapped. */
#define RUNNER_TOP STUB_TOP

enum runner_stop {
	RUNNER_SYSCALL, /* SYSCALL: rip behind it, rax is in orig_rax */
	RUNNER_FAULT,	/* SIGSEGV or SIGBUS: see runner_info */
	RUNNER_UD,	/* SIGILL */
	RUNNER_FP,	/* SIGFPE: #DE, #MF, #XM */
	RUNNER_TRAP,	/* SIGTRAP: INT3, ICEBP, single step, runner_break() */
	RUNNER_KICKED,	/* runner_kick(), or any other signal */
	RUNNER_FAILED,	/* it did not go, all registers are as set: code is what
			   runner_sync() failed with, or -ESRCH if it is dead */
	RUNNER_GONE,	/* it died on the way (killed from outside), and its
			   registers with it: only runner_destroy() is of use */
};

struct runner_info {
	int signo, code;  /* siginfo's si_signo, si_code */
	uint64_t address; /* si_addr of RUNNER_FAULT; else 0 */
};

/*
 * runner_probe - whether this host lets us have runners: tried once, with all
 * that they need.  0, or -errno of the first thing that failed: -EPERM or
 * -EACCES where ptrace() or programs in memory files are not allowed.
 */
int runner_probe(void);

/* runner_refused - the system call that failed the probe (SYS_*); 0: none, but
 * the seccomp filter of -EACCES below, or code that does not run as it should
 * (-ENOSYS). */
int runner_refused(void);

/* runner_traps_cpuid - whether CPUID in a runner faults; after runner_probe().
 * RDTSC and RDTSCP always do. */
bool runner_traps_cpuid(void);

/*
 * runner_create - a runner with an empty address space, stopped.  It has the
 * memory files that share_fds() names at this time (host/share.h); of others
 * runner_map() knows nothing.  0; -EACCES: the calling thread is under a
 * seccomp filter of the client's, which could end the client; -errno.
 */
int runner_create(struct runner **r);

/* runner_create_with - likewise, with the memory files @fds. */
int runner_create_with(struct runner **r, const int *fds, unsigned int nr);

/* runner_try - likewise; @refused: the system call that failed, or 0. */
int runner_try(struct runner **r, const int *fds, unsigned int nr,
	       int *refused);

/* runner_destroy - kills and reaps; NULL is fine.  Any thread. */
void runner_destroy(struct runner *r);

/* runner_thread - the thread (TID) that may use @r. */
int runner_thread(const struct runner *r);

/*
 * runner_map, runner_unmap - note a change of the address space: [gva, gva +
 * len) shows @offset of the memory file @fd (number in this process) with
 * PROT_* @prot, or nothing.  Page aligned, below RUNNER_TOP and outside of the
 * stub (-EINVAL).  Done, in order, before the next runner_run(), or by
 * runner_sync(): the list is carried out by the stub in one go.  If it is
 * full it is carried out at once.  @populate: enter the pages now rather than
 * at their first touch.
 *
 * Neighbours that follow one another become one mapping.  After an error of
 * runner_sync() (-ENOMEM: too many mappings; -EPERM: an address that the host
 * reserves, below its vm.mmap_min_addr; -EIO: the guest's FS or GS base is now
 * one that runner_set_regs() does not take) what is mapped is unknown:
 * runner_clear() or runner_destroy() then.
 */
int runner_map(struct runner *r, uint64_t gva, size_t len, int fd,
	       uint64_t offset, int prot, bool populate);
int runner_unmap(struct runner *r, uint64_t gva, size_t len);
int runner_sync(struct runner *r);

/*
 * runner_clear - unmaps everything but the stub, and takes all breakpoints.
 */
int runner_clear(struct runner *r);

/* The processor's address registers. */
#define RUNNER_BREAKS 4

#define RUNNER_NO_BREAK 0

/*
 * runner_break - from now on the runner stops at @gva before the instruction
 * there is executed (RUNNER_TRAP, code TRAP_HWBKPT), or not any more at where
 * @nr, below RUNNER_BREAKS, was (RUNNER_NO_BREAK).  Stops cost one or two
 * microseconds more as long as there is a breakpoint.  0, -errno.
 */
int runner_break(struct runner *r, unsigned int nr, uint64_t gva);

/* runner_can_break - whether it works on this host; after runner_probe(). */
bool runner_can_break(void);

/*
 * runner_set, runner_get - general registers (struct user_regs_struct:
 * PTRACE_SETREGS/GETREGS; orig_rax is set to -1 by runner_set) and x87, SSE and
 * AVX state (host's standard XSAVE format, NT_X86_XSTATE; @size bytes at
 * @xsave, its header's XSTATE_BV says which components count).
 * -EIO: a register has a value that the host does not allow (FS base, say).
 */
int runner_set_regs(struct runner *r, const struct user_regs_struct *regs);
int runner_get_regs(struct runner *r, struct user_regs_struct *regs);
int runner_set_xstate(struct runner *r, const void *xsave, size_t size);
int runner_get_xstate(struct runner *r, void *xsave, size_t size);

/* runner_xstate_size - of the host's XSAVE image in bytes. */
size_t runner_xstate_size(const struct runner *r);

/*
 * runner_run - lets it go from the registers that are set until something
 * happens.  A kick since the last return, or one that comes before it goes,
 * makes it return RUNNER_KICKED soon.  Signal-safe with regard to the thread's
 * own signals (wait is restarted).
 */
enum runner_stop runner_run(struct runner *r, struct runner_info *info);

/*
 * runner_unpin - gives the calling thread its own affinity back: runner_run()
 * keeps it on one processor, together with the runner.  To be called before it
 * sleeps or returns to the client; costs nothing if there is nothing to do.
 */
void runner_unpin(void);

/*
 * runner_kick - makes runner_run() of process @pid (runner_pid()) return.  Any
 * thread, async-signal-safe.  Sends SIGURG, which harms nobody if the process
 * is another one by now.
 */
void runner_kick(int pid);
int runner_pid(const struct runner *r);
