#include "host/stub.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/stub_image.h"

#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW 4
#endif
#ifndef PTRACE_SETSIGMASK
#define PTRACE_SETSIGMASK 0x420b
#endif

/* The kernel's, in bytes. */
#define SIGSET_LEN 8

/* No errno, no cancellation point: for the child, and for what the C library
 * would keep from us (signals of its own, the state of a signal). */
static long raw_syscall(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

/*
 * Birth.  The child shares our memory until it is another program, and we wait
 * for that; it may do nothing but system calls.
 */
struct birth {
	int fd[STUB_FILES + 2]; /* memory files, list, program */
	unsigned int nr;	/* number of memory files */
	int call;		/* SYS_* that it tries, with this result */
	long err;
};

static const char *const no_strings[] = { NULL };

static int child(void *arg)
{
	struct birth *b = arg;
	unsigned int image = b->nr + 1, i;

	/* Out of the way of the numbers they are to have. */
	b->call = SYS_fcntl;
	for (i = 0; i <= image; i++) {
		b->err = raw_syscall(SYS_fcntl, b->fd[i], F_DUPFD_CLOEXEC,
				     image, 0, 0);
		if (b->err < 0)
			return 1;
		b->fd[i] = (int)b->err;
	}
	b->call = SYS_dup2;
	for (i = 0; i < image; i++) {
		b->err = raw_syscall(SYS_dup2, b->fd[i], i, 0, 0, 0);
		if (b->err < 0)
			return 1;
	}
	b->call = SYS_ptrace;
	b->err = raw_syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0);
	if (b->err)
		return 1;
	b->call = SYS_execveat;
	b->err = raw_syscall(SYS_execveat, b->fd[image], (long)"",
			     (long)no_strings, (long)no_strings, AT_EMPTY_PATH);
	return 1;
}

static int spawn(struct stub *s, struct birth *b)
{
	char stack[8192] __attribute__((aligned(16)));
	uint64_t all = ~0ull, old;
	int pid;

	/* No handler of the client's may run in the child. */
	raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old,
		    SIGSET_LEN, 0);
	pid = clone(child, stack + sizeof(stack),
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD, b, &s->pidfd);
	if (pid < 0) {
		b->call = SYS_clone;
		b->err = -errno;
	}
	s->refused = b->call;
	raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, SIGSET_LEN,
		    0);
	if (pid < 0)
		return (int)b->err;
	s->pid = pid;
	if (b->err < 0) {
		waitpid(pid, NULL, __WALL);
		close(s->pidfd);
	}
	return (int)b->err;
}

/*
 * A client that waits for any child takes a stop from us; it is to be seen by
 * its siginfo all the same.  false: it runs.
 */
static bool stolen_stop(struct stub *s, int *status)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, s->pid, NULL, &info))
		return false;
	*status = W_STOPCODE(info.si_signo);
	if (info.si_signo == SIGTRAP && info.si_code == (SIGTRAP | 0x80))
		*status = W_STOPCODE(SIGTRAP | 0x80);
	return true;
}

int stub_wait(struct stub *s, int *status)
{
	int pid;

	while ((pid = wait4(s->pid, status, __WALL, NULL)) < 0 &&
	       errno == EINTR)
		if (stolen_stop(s, status))
			return 0;
	if (pid > 0 && WIFSTOPPED(*status))
		return 0;
	s->gone = true;
	return -ESRCH;
}

void stub_kill(struct stub *s)
{
	int status;

	if (s->gone)
		return;
	/* The number may be another process's if the client has reaped ours. */
	syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
	while (!stub_wait(s, &status))
		;
}

void stub_free(struct stub *s)
{
	stub_kill(s);
	close(s->pidfd);
	munmap(s->list, STUB_LIST_LEN);
}

/* A signal stopped it amid calls; false: it is a fault of its own. */
static bool pass_signal(struct stub *s)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, s->pid, NULL, &info) || info.si_code > 0)
		return false;
	s->kicked = true;
	return true;
}

/* Until the INT3 at the end, from registers @regs. */
static int go(struct stub *s, struct user_regs_struct *regs)
{
	int status, err;

	if (ptrace(PTRACE_SETREGS, s->pid, NULL, regs))
		return -errno;
	for (;;) {
		if (ptrace(PTRACE_CONT, s->pid, NULL, NULL))
			return -errno;
		err = stub_wait(s, &status);
		if (err)
			return err;
		if (WSTOPSIG(status) == SIGTRAP &&
		    !ptrace(PTRACE_GETREGS, s->pid, NULL, regs) &&
		    regs->rip == stub_after_int3())
			break;
		if (!pass_signal(s))
			return -EFAULT;
	}
	if (!(uint32_t)regs->rbp)
		return 0;
	return (int)regs->rax;
}

int stub_calls(struct stub *s, unsigned int nr)
{
	struct user_regs_struct regs = s->idle;
	int err;

	regs.rip = stub_loop();
	regs.rbx = STUB_LIST;
	regs.rbp = nr;
	err = nr ? go(s, &regs) : 0;
	if (err)
		s->refused = (int)s->list[nr - (uint32_t)regs.rbp].nr;
	return err;
}

/* Before there is a list in the process. */
static int map_list(struct stub *s, unsigned int fd)
{
	struct user_regs_struct regs = s->idle;

	regs.rip = stub_syscall();
	regs.rbp = 1;
	regs.rax = SYS_mmap;
	regs.rdi = STUB_LIST;
	regs.rsi = STUB_LIST_LEN;
	regs.rdx = PROT_READ;
	regs.r10 = MAP_SHARED | MAP_FIXED;
	regs.r8 = fd;
	regs.r9 = 0;
	return go(s, &regs);
}

/* What calls point to, behind the calls. */
struct data {
	struct sock_fprog program;
	struct sock_filter filter[16];
	struct rlimit no_core;
	char name[16];
};

#define DATA_OFFSET (STUB_CALLS * sizeof(struct stub_call))
#define DATA(field) (STUB_LIST + DATA_OFFSET + offsetof(struct data, field))
_Static_assert(DATA_OFFSET + sizeof(struct data) <= STUB_LIST_LEN, "too long");

/*
 * Allowed: MMAP and MUNMAP by the stub's one SYSCALL instruction.  All else,
 * INT 80 and vsyscalls among it, is a signal that the tracer sees.
 */
/* clang-format off */
#define FIELD(f)   offsetof(struct seccomp_data, f)
#define LOAD(at)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define IF(v, skip)	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, skip, 0)
#define UNLESS(v, skip)	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, 0, skip)
#define RETURN(v)  BPF_STMT(BPF_RET | BPF_K, v)

static void write_data(struct data *d)
{
	uint64_t ip = stub_after_syscall();
	const struct sock_filter filter[] = {
		LOAD(FIELD(arch)),
		UNLESS(AUDIT_ARCH_X86_64, 8),
		LOAD(FIELD(instruction_pointer)),
		UNLESS((uint32_t)ip, 6),
		LOAD(FIELD(instruction_pointer) + 4),
		UNLESS((uint32_t)(ip >> 32), 4),
		LOAD(FIELD(nr)),
		IF(SYS_mmap, 1),
		UNLESS(SYS_munmap, 1),
		RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_TRAP),
	};

	*d = (struct data){
		.program.len = ARRAY_SIZE(filter),
		.program.filter = (struct sock_filter *)DATA(filter),
		.name = "ring3-runner",
	};
	for (unsigned int i = 0; i < ARRAY_SIZE(filter); i++)
		d->filter[i] = filter[i];
}

/*
 * CPUID.1:ECX[31].  Switching CPUID on and off is a write of an MSR at each
 * switch of processes, and a hypervisor below us makes that an exit: 13 us at
 * each stop where we have seen it, for a stop of 4 us.  It may well be nested.
 */
static bool under_hypervisor(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 31;
}

/* Takes everything from the process that it does not need. */
static int confine(struct stub *s, unsigned int nr_fds)
{
	const struct stub_call calls[] = {
		{ SYS_close_range, { nr_fds, ~0u } },
		{ SYS_munmap, { 0, STUB_BASE } },
		{ SYS_munmap, { STUB_BASE + PAGE_SIZE,
				STUB_LIST - STUB_BASE - PAGE_SIZE } },
		{ SYS_munmap, { STUB_END, STUB_TOP - STUB_END } },
		/* READ_IMPLIES_EXEC would be inherited. */
		{ SYS_personality, { 0 } },
		{ SYS_prctl, { PR_SET_NAME, DATA(name) } },
		{ SYS_prlimit64, { 0, RLIMIT_CORE, DATA(no_core) } },
		{ SYS_prctl, { PR_SET_TSC, PR_TSC_SIGSEGV } },
		{ SYS_prctl, { PR_SET_NO_NEW_PRIVS, 1 } },
	};
	/* Not all processors can. */
	const struct stub_call no_cpuid = {
		SYS_arch_prctl, { ARCH_SET_CPUID, 0 }
	};
	/* Speculation is as free as in the client. */
	const struct stub_call filter = {
		SYS_seccomp, { SECCOMP_SET_MODE_FILTER,
			       SECCOMP_FILTER_FLAG_SPEC_ALLOW, DATA(program) }
	};
	int err;

	write_data((struct data *)((char *)s->list + DATA_OFFSET));
	memcpy(s->list, calls, sizeof(calls));
	err = stub_calls(s, ARRAY_SIZE(calls));
	if (err)
		return err;
	s->list[0] = no_cpuid;
	s->traps_cpuid = !under_hypervisor() && !stub_calls(s, 1);
	s->list[0] = filter;
	return stub_calls(s, 1);
}
/* clang-format on */

/*
 * From the first INT3 on.  With all signals blocked the SIGTRAP of EXECVEAT is
 * still to come, or has become one with that of INT3: not a kick.
 */
static int settle(struct stub *s, unsigned int nr_fds)
{
	uint64_t no_signals = 0;
	int status, err = stub_wait(s, &status);

	if (err)
		return err;
	s->refused = SYS_ptrace;
	if (ptrace(PTRACE_SETOPTIONS, s->pid, NULL,
		   PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) ||
	    ptrace(PTRACE_SETSIGMASK, s->pid, SIGSET_LEN, &no_signals) ||
	    ptrace(PTRACE_GETREGS, s->pid, NULL, &s->idle))
		return -errno;
	s->idle.orig_rax = ~0ull;
	s->refused = SYS_mmap;
	err = map_list(s, nr_fds);
	if (!err)
		err = confine(s, nr_fds);
	s->kicked = false;
	return err;
}

static int make_list(struct stub *s)
{
	int fd = memfd_create("ring3-runner-list", MFD_CLOEXEC);
	void *p;
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, STUB_LIST_LEN))
		goto fail;
	p = mmap(NULL, STUB_LIST_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0);
	if (p == MAP_FAILED)
		goto fail;
	s->list = p;
	return fd;
fail:
	err = -errno;
	close(fd);
	return err;
}

/*
 * The process stops hundreds of thousands of times a second at worst; no
 * handler of the client's wants to hear of that.  Past the C library, which
 * keeps its own notes on actions (as the preload library does).
 */
static void silence_stops(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} action;

	if (raw_syscall(SYS_rt_sigaction, SIGCHLD, 0, (long)&action, SIGSET_LEN,
			0) ||
	    action.flags & SA_NOCLDSTOP)
		return;
	action.flags |= SA_NOCLDSTOP;
	raw_syscall(SYS_rt_sigaction, SIGCHLD, (long)&action, 0, SIGSET_LEN, 0);
}

int stub_start(struct stub *s, const int *fds, unsigned int nr)
{
	struct birth b = { .nr = nr };
	int image, list, err;

	*s = (struct stub){ .refused = SYS_memfd_create };
	if (nr > STUB_FILES)
		return -EMFILE;
	image = stub_image();
	if (image < 0)
		return image;
	list = make_list(s);
	if (list < 0) {
		close(image);
		return list;
	}
	for (unsigned int i = 0; i < nr; i++)
		b.fd[i] = fds[i];
	b.fd[nr] = list;
	b.fd[nr + 1] = image;
	silence_stops();
	err = spawn(s, &b);
	close(list);
	close(image);
	if (err) {
		munmap(s->list, STUB_LIST_LEN);
		return err;
	}
	err = settle(s, nr);
	if (err)
		stub_free(s);
	return err;
}
