#pragma once

#include <sys/types.h>

#include "base/types.h"
#include "host/user_regs.h"

/*
 * The process of a runner (host/runner.h) and the few instructions of ours in
 * it: they carry out a list of system calls that the tracer has written.
 */

/*
 * Where they lie: far from where Linux puts programs, heaps, stacks and
 * libraries of a guest process, and from the sanitizers' shadows.
 */
#define STUB_BASE     0x6ba5e0000000ull /* code, one page */
#define STUB_LIST     0x6ba5e0010000ull
#define STUB_LIST_LEN 0x10000ull
#define STUB_END      (STUB_LIST + STUB_LIST_LEN)

/* One past the last address of a process. */
#define STUB_TOP 0x7ffffffff000ull

/* Memory files a process can have. */
#define STUB_FILES 64

struct stub_call {
	uint64_t nr, arg[7]; /* arg[6]: none */
};

/* The rest of the list's memory holds what system calls point to. */
#define STUB_CALLS (15 * PAGE_SIZE / sizeof(struct stub_call))

struct stub {
	pid_t pid;
	int pidfd;
	bool gone;   /* it has died and is reaped, or was by somebody else */
	bool kicked; /* a signal came that has not been told to anybody */
	bool traps_cpuid;
	int refused;		/* what failed last: SYS_*; 0: nothing yet */
	struct stub_call *list; /* read-only in the process */
	struct user_regs_struct idle;
};

/*
 * stub_start - a process, stopped, that the calling thread traces.  It has the
 * files @fds under the numbers 0, 1, ... and nothing else: no memory but the
 * stub's, no privileges, and no system call but MMAP and MUNMAP by the stub.
 * 0, or -errno of @s->refused.
 */
int stub_start(struct stub *s, const int *fds, unsigned int nr);

/* stub_kill - ends and reaps it.  Any thread. */
void stub_kill(struct stub *s);

/* stub_free - likewise, and frees what belongs to it. */
void stub_free(struct stub *s);

/*
 * stub_wait - until it stops: 0, and the wait status; -ESRCH if it has died.
 */
int stub_wait(struct stub *s, int *status);

/*
 * stub_calls - carries out the first @nr calls of the list; the general
 * registers are arbitrary afterwards.  0; -errno of the call that failed, those
 * behind it are not done; -ESRCH if the process has died.
 */
int stub_calls(struct stub *s, unsigned int nr);

/* stub_has - whether [@start, @end) meets the stub's pages. */
static inline bool stub_has(uint64_t start, uint64_t end)
{
	return start < STUB_END && end > STUB_BASE;
}
