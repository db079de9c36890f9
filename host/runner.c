#include "host/runner.h"

#include <asm/processor-flags.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/filter.h"
#include "host/pin.h"
#include "host/share.h"
#include "host/stub.h"
#include "host/stub_image.h"

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

/* Room for all that processors have today, AMX among it. */
#define XSTATE_MAX 16384

/*
 * Invariants
 * 1. The guest's general registers are in regs if regs_here, and in the process
 *    if regs_there; one of them holds always.
 * 2. The first nr calls of the stub's list are to be done before the guest goes
 *    on.
 */
struct runner {
	struct stub stub;
	pid_t thread;
	struct pin_pair pair;
	unsigned int nr;
	unsigned int nr_fds;
	int fd[STUB_FILES]; /* ours; the index is the number there */
	bool regs_here, regs_there;
	struct user_regs_struct regs;
	uint64_t dr7;
	size_t xstate_size;
	void *xstate; /* for images that are shorter than the host's */
};

int runner_thread(const struct runner *r)
{
	return r->thread;
}

int runner_pid(const struct runner *r)
{
	return r->stub.pid;
}

size_t runner_xstate_size(const struct runner *r)
{
	return r->xstate_size;
}

void runner_unpin(void)
{
	pin_release();
}

void runner_kick(int pid)
{
	kill(pid, SIGURG);
}

/* Registers. */
static int fetch_regs(struct runner *r)
{
	if (!r->regs_here &&
	    ptrace(PTRACE_GETREGS, r->stub.pid, NULL, &r->regs))
		return -errno;
	r->regs_here = true;
	return 0;
}

static int load_regs(struct runner *r)
{
	if (!r->regs_there &&
	    ptrace(PTRACE_SETREGS, r->stub.pid, NULL, &r->regs))
		return -errno;
	r->regs_there = true;
	return 0;
}

/* What the kernel refuses, and it would have taken half of the registers. */
static bool allowed(const struct user_regs_struct *regs)
{
	unsigned long long other = regs->ds | regs->es | regs->fs | regs->gs;

	return regs->fs_base < STUB_TOP && regs->gs_base < STUB_TOP &&
	       (regs->cs & 3) == 3 && (regs->ss & 3) == 3 &&
	       (!other || (other & 3) == 3);
}

int runner_set_regs(struct runner *r, const struct user_regs_struct *regs)
{
	if (!allowed(regs))
		return -EIO;
	r->regs = *regs;
	r->regs.orig_rax = ~0ull;
	r->regs_here = true;
	r->regs_there = false;
	return 0;
}

int runner_get_regs(struct runner *r, struct user_regs_struct *regs)
{
	int err = fetch_regs(r);

	if (!err)
		*regs = r->regs;
	return err;
}

static int xstate(struct runner *r, int request, void *p, size_t *size)
{
	struct iovec iov = { p, *size };

	if (ptrace(request, r->stub.pid, NT_X86_XSTATE, &iov))
		return -errno;
	*size = iov.iov_len;
	return 0;
}

int runner_get_xstate(struct runner *r, void *xsave, size_t size)
{
	return xstate(r, PTRACE_GETREGSET, xsave, &size);
}

int runner_set_xstate(struct runner *r, const void *xsave, size_t size)
{
	/* The kernel takes whole images only. */
	if (size >= r->xstate_size)
		return xstate(r, PTRACE_SETREGSET, (void *)xsave, &size);
	memcpy(r->xstate, xsave, size);
	memset((char *)r->xstate + size, 0, r->xstate_size - size);
	size = r->xstate_size;
	return xstate(r, PTRACE_SETREGSET, r->xstate, &size);
}

/* Address space. */
int runner_sync(struct runner *r)
{
	unsigned int nr = r->nr;
	int err;

	if (!nr)
		return 0;
	r->nr = 0;
	err = fetch_regs(r);
	if (err)
		return err;
	/* They would not be taken back: WRFSBASE takes more than we may. */
	if (!allowed(&r->regs))
		return -EIO;
	r->regs_there = false;
	return stub_calls(&r->stub, nr);
}

/* The next call of the list. */
static int new_call(struct runner *r, struct stub_call **out)
{
	int err = r->nr == STUB_CALLS ? runner_sync(r) : 0;

	*out = &r->stub.list[r->nr];
	if (!err)
		r->nr++;
	return err;
}

static bool bad_range(uint64_t gva, uint64_t len)
{
	return (gva | len) & ~PAGE_MASK || !len || gva >= RUNNER_TOP ||
	       len > RUNNER_TOP - gva || stub_has(gva, gva + len);
}

static struct stub_call *last_call(struct runner *r, uint64_t nr)
{
	struct stub_call *last = r->nr ? &r->stub.list[r->nr - 1] : NULL;

	return last && last->nr == nr ? last : NULL;
}

int runner_map(struct runner *r, uint64_t gva, size_t len, int fd,
	       uint64_t offset, int prot, bool populate)
{
	uint64_t flags = MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0);
	struct stub_call *c = last_call(r, SYS_mmap);
	unsigned int there = 0;
	int err;

	while (there < r->nr_fds && r->fd[there] != fd)
		there++;
	if (bad_range(gva, len) || offset & ~PAGE_MASK || there == r->nr_fds)
		return -EINVAL;
	if (c && c->arg[0] + c->arg[1] == gva && c->arg[2] == (uint64_t)prot &&
	    c->arg[3] == flags && c->arg[4] == there &&
	    c->arg[5] + c->arg[1] == offset) {
		c->arg[1] += len;
		return 0;
	}
	err = new_call(r, &c);
	if (!err)
		*c = (struct stub_call){ SYS_mmap,
					 { gva, len, (uint64_t)prot, flags,
					   there, offset } };
	return err;
}

int runner_unmap(struct runner *r, uint64_t gva, size_t len)
{
	struct stub_call *c = last_call(r, SYS_munmap);
	int err;

	if (bad_range(gva, len))
		return -EINVAL;
	if (c && c->arg[0] + c->arg[1] == gva) {
		c->arg[1] += len;
		return 0;
	}
	err = new_call(r, &c);
	if (!err)
		*c = (struct stub_call){ SYS_munmap, { gva, len } };
	return err;
}

static int set_debug_reg(struct runner *r, unsigned int nr, uint64_t value)
{
	const size_t at = offsetof(struct user, u_debugreg[0]) + nr * 8;

	return ptrace(PTRACE_POKEUSER, r->stub.pid, at, value) ? -errno : 0;
}

/* Bits 0 and 1 of each pair enable; type 0 is execution (SDM 3B 18.2.4). */
static int set_dr7(struct runner *r, uint64_t dr7)
{
	int err = dr7 == r->dr7 ? 0 : set_debug_reg(r, 7, dr7);

	if (!err)
		r->dr7 = dr7;
	return err;
}

int runner_break(struct runner *r, unsigned int nr, uint64_t gva)
{
	int err = set_dr7(r, r->dr7 & ~BIT(2 * nr));

	if (!err && gva != RUNNER_NO_BREAK)
		err = set_debug_reg(r, nr, gva);
	if (!err && gva != RUNNER_NO_BREAK)
		err = set_dr7(r, r->dr7 | BIT(2 * nr));
	return err;
}

int runner_clear(struct runner *r)
{
	int err = set_dr7(r, 0);

	if (err)
		return err;
	r->nr = 0;
	err = runner_unmap(r, 0, STUB_BASE);
	return err ? err : runner_unmap(r, STUB_END, STUB_TOP - STUB_END);
}

/* Stops. */

/* It came to the stub's code by itself: for the guest there is nothing. */
static enum runner_stop in_stub(struct runner *r, struct runner_info *info,
				uint64_t rip)
{
	r->regs.rip = rip;
	r->regs_there = false;
	*info = (struct runner_info){ SIGSEGV, SEGV_MAPERR, rip };
	return RUNNER_FAULT;
}

static enum runner_stop syscall_stop(struct runner *r, struct runner_info *info)
{
	if (fetch_regs(r) || r->regs.rip != stub_after_syscall())
		return RUNNER_SYSCALL;
	r->regs.rax = r->regs.orig_rax;
	r->regs.orig_rax = ~0ull;
	return in_stub(r, info, stub_syscall());
}

static enum runner_stop trap_stop(struct runner *r, struct runner_info *info)
{
	if (fetch_regs(r) || !stub_has(r->regs.rip, r->regs.rip + 1))
		return RUNNER_TRAP;
	return in_stub(r, info, r->regs.rip);
}

/*
 * A vsyscall of the host's, which the filter has kept from happening; but the
 * kernel has returned to its caller.
 */
static enum runner_stop vsyscall_stop(struct runner *r, uint64_t rip,
				      struct runner_info *info)
{
	if (fetch_regs(r))
		return RUNNER_KICKED;
	r->regs.rip = rip;
	r->regs.rsp -= 8;
	r->regs.orig_rax = ~0ull;
	r->regs_there = false;
	*info = (struct runner_info){ SIGSEGV, SEGV_MAPERR, rip };
	return RUNNER_FAULT;
}

static enum runner_stop signal_stop(struct runner *r, struct runner_info *out)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, r->stub.pid, NULL, &info))
		return RUNNER_KICKED;
	out->signo = info.si_signo;
	out->code = info.si_code;
	/* Somebody sent it. */
	if (info.si_code <= 0)
		return RUNNER_KICKED;
	switch (info.si_signo) {
	case SIGSEGV:
	case SIGBUS:
		out->address = (uint64_t)info.si_addr;
		return RUNNER_FAULT;
	case SIGILL:
		return RUNNER_UD;
	case SIGFPE:
		return RUNNER_FP;
	case SIGTRAP:
		return trap_stop(r, out);
	case SIGSYS:
		return vsyscall_stop(r, (uint64_t)info.si_call_addr, out);
	}
	return RUNNER_KICKED;
}

/*
 * A fault leaves RF set, which keeps the instruction that is done again from
 * stopping at its breakpoint (SDM 3B 18.3.1.1).
 */
static int clear_rf(struct runner *r)
{
	int err = fetch_regs(r);

	if (err || !(r->regs.eflags & X86_EFLAGS_RF))
		return err;
	r->regs.eflags &= ~X86_EFLAGS_RF;
	r->regs_there = false;
	return 0;
}

static int let_go(struct runner *r)
{
	int err = r->dr7 ? clear_rf(r) : 0;

	if (!err)
		err = load_regs(r);
	if (err)
		return err;
	pin_together(&r->pair, r->stub.pid);
	if (ptrace(PTRACE_SYSEMU, r->stub.pid, NULL, NULL))
		return -errno;
	return 0;
}

enum runner_stop runner_run(struct runner *r, struct runner_info *info)
{
	int err = r->stub.gone ? -ESRCH : runner_sync(r), status;

	*info = (struct runner_info){ 0 };
	if (!err && r->stub.kicked) {
		r->stub.kicked = false;
		return RUNNER_KICKED;
	}
	if (!err)
		err = let_go(r);
	if (err) {
		/* It is dying, or dead. */
		if (err == -ESRCH)
			stub_kill(&r->stub);
		info->code = err;
		return RUNNER_FAILED;
	}
	if (stub_wait(&r->stub, &status))
		return RUNNER_GONE;
	r->regs_here = false;
	r->regs_there = true;
	if (WSTOPSIG(status) == (SIGTRAP | 0x80))
		return syscall_stop(r, info);
	return signal_stop(r, info);
}

/* Life. */
static bool traps_cpuid;

bool runner_traps_cpuid(void)
{
	return __atomic_load_n(&traps_cpuid, __ATOMIC_RELAXED);
}

int runner_try(struct runner **out, const int *fds, unsigned int nr,
	       int *refused)
{
	struct runner *r = calloc(1, sizeof(*r));
	int err;

	*refused = 0;
	if (!r)
		return -ENOMEM;
	if (filter_is_own()) {
		err = -EACCES;
		goto fail;
	}
	r->xstate = malloc(XSTATE_MAX);
	err = r->xstate ? stub_start(&r->stub, fds, nr) : -ENOMEM;
	if (err) {
		*refused = r->stub.refused;
		goto fail;
	}
	r->thread = gettid();
	r->nr_fds = nr;
	__atomic_store_n(&traps_cpuid, r->stub.traps_cpuid, __ATOMIC_RELAXED);
	memcpy(r->fd, fds, nr * sizeof(*fds));
	r->regs = r->stub.idle;
	r->regs_here = true;
	r->xstate_size = XSTATE_MAX;
	err = xstate(r, PTRACE_GETREGSET, r->xstate, &r->xstate_size);
	if (err)
		goto fail_kill;
	*out = r;
	return 0;
fail_kill:
	*refused = SYS_ptrace;
	stub_free(&r->stub);
fail:
	free(r->xstate);
	free(r);
	return err;
}

int runner_create_with(struct runner **r, const int *fds, unsigned int nr)
{
	int refused;

	return runner_try(r, fds, nr, &refused);
}

int runner_create(struct runner **r)
{
	int fds[STUB_FILES];

	return runner_create_with(r, fds, share_fds(fds, STUB_FILES));
}

void runner_destroy(struct runner *r)
{
	if (!r)
		return;
	stub_free(&r->stub);
	free(r->xstate);
	free(r);
}
