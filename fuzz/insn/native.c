#include "fuzz/insn/native.h"

#include <asm/ldt.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "fuzz/insn/arena.h"
#include "fuzz/insn/native_asm.h"

/*
 * In the child nothing that a case may have spoiled is relied on: between two
 * cases it makes no call into the C library, and thread-local storage is only
 * there after the way out has put FS back.
 */
struct shared {
	volatile unsigned int at; /* case under way */
	unsigned int n;
	struct fuzz_case cases[NATIVE_BATCH];
	struct result results[NATIVE_BATCH];
};

static struct shared *shared;
static pid_t child;
static int to_child[2], from_child[2];
static struct arena arena;
static uint8_t handler_stack[65536] __attribute__((aligned(64)));
static struct result *current;

#define AT(type, addr) (*(volatile type *)(uintptr_t)(addr))

#define STATUS_FAULT   1
#define STATUS_TIMEOUT 2
/* "Vector" of a system call that the filter caught. */
#define VECTOR_SYSCALL 0xf0

/* C code's registers, in the order of enum gpr. */
static const uint8_t gregs[NR_GPRS] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

void native_on_signal(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	const greg_t *g = uc->uc_mcontext.gregs;
	struct result *r = current;

	/* Not in a case: too late for the clock, or a bug of ours. */
	if (!r || (uint64_t)g[REG_RIP] >> 44 == 5) {
		if (sig == SIGUSR1)
			return;
		_exit(98);
	}
	for (unsigned int n = 0; n < NR_GPRS; n++)
		r->gpr[n] = g[gregs[n]];
	r->rip = g[REG_RIP];
	r->rflags = g[REG_EFL];
	r->seg[SEG_CS] = g[REG_CSGSFS];
	r->seg[SEG_SS] = (uint64_t)g[REG_CSGSFS] >> 48;
	r->vector = sig == SIGSYS ? VECTOR_SYSCALL : g[REG_TRAPNO];
	r->error = g[REG_ERR];
	r->cr2 = g[REG_CR2];
	__builtin_memcpy(r->fpu, uc->uc_mcontext.fpregs, FPU_BYTES);
	native_fault_out(sig == SIGUSR1 ? STATUS_TIMEOUT : STATUS_FAULT);
}

static void load(const struct fuzz_case *c)
{
	__builtin_memcpy((void *)N_GPR, c->gpr, sizeof(c->gpr));
	AT(uint64_t, N_RFLAGS) = c->rflags;
	AT(uint64_t, N_RIP) = c->rip - case_code_base(c);
	AT(uint64_t, N_CS) = case_code_sel(c);
	AT(uint64_t, N_SS) = case_stack_sel(c);
	AT(uint64_t, N_FS_BASE) = c->fs_base;
	AT(uint64_t, N_GS_BASE) = c->gs_base;
	__builtin_memcpy((void *)N_SEG, c->seg, sizeof(c->seg));
	__builtin_memcpy((void *)N_XSAVE, c->fpu, FPU_BYTES);
	__builtin_memset((void *)(N_OUT_XSAVE + 512), 0, 64);
}

static void store_done(struct result *r)
{
	r->kind = RESULT_DONE;
	r->rip = 0;
	__builtin_memcpy(r->gpr, (void *)N_OUT_GPR, sizeof(r->gpr));
	r->rflags = AT(uint64_t, N_OUT_RFLAGS);
	r->vector = 0;
	r->error = 0;
	r->cr2 = 0;
	r->seg[SEG_SS] = r->seg[SEG_CS] = 0;
	__builtin_memcpy(r->fpu, (void *)N_OUT_XSAVE, FPU_BYTES);
}

static void run(const struct fuzz_case *c, struct result *r)
{
	static const uint8_t data_segs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	int status;

	if (c->twin != TWIN_NATIVE) {
		r->kind = RESULT_NONE;
		return;
	}
	arena_enter(&arena, c);
	load(c);
	current = r;
	status = native_enter();
	current = NULL;
	if (!status)
		store_done(r);
	else
		r->kind =
			status == STATUS_FAULT ? RESULT_FAULT : RESULT_TIMEOUT;
	for (unsigned int n = 0; n < sizeof(data_segs); n++)
		r->seg[data_segs[n]] =
			AT(uint16_t, N_OUT_SEG + 2 * data_segs[n]);
	r->fs_base = AT(uint64_t, N_OUT_FS_BASE);
	r->gs_base = AT(uint64_t, N_OUT_GS_BASE);
	r->mmio_hash = 0;
	arena_leave(&arena, r);
}

static void serve(void)
{
	char byte;

	while (read(to_child[0], &byte, 1) == 1) {
		for (shared->at = 0; shared->at < shared->n; shared->at++)
			run(&shared->cases[shared->at],
			    &shared->results[shared->at]);
		if (write(from_child[1], &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static void die(const char *what)
{
	dprintf(2, "fuzz_insn: native: %s: %s\n", what, strerror(errno));
	_exit(99);
}

static void *map_fixed(uint64_t addr, size_t size, int prot, int fd, off_t off)
{
	void *p =
		mmap((void *)addr, size, prot,
		     MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, off);

	if (p != (void *)addr || mlock(p, size))
		die("mapping of a page under test");
	return p;
}

/* Pages under test, and all of them writable elsewhere. */
static void map_arena(void)
{
	static const int prot[] = {
		[ARENA_RW] = PROT_READ | PROT_WRITE,
		[ARENA_RO] = PROT_READ,
		[ARENA_CODE_RWX] = PROT_READ | PROT_WRITE | PROT_EXEC,
	};
	int fd = memfd_create("arena", 0);
	uint8_t *all;

	if (fd < 0 || ftruncate(fd, (arena_nr_pages + 2) * PAGE_SIZE))
		die("memfd");
	all = mmap(NULL, (arena_nr_pages + 2) * PAGE_SIZE,
		   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (all == MAP_FAILED)
		die("memory");
	for (unsigned int n = 0; n < arena_nr_pages; n++) {
		if (arena_pages[n].kind == ARENA_MMIO)
			continue;
		arena.page[n] = all + n * PAGE_SIZE;
		memcpy(arena.page[n], arena_template(n), PAGE_SIZE);
		map_fixed(arena_pages[n].addr, PAGE_SIZE,
			  prot[arena_pages[n].kind], fd, n * PAGE_SIZE);
	}
	all += arena_nr_pages * PAGE_SIZE;
	memset(all, 0xcc, PAGE_SIZE);
	memcpy(all, native_out,
	       (uintptr_t)native_out_end - (uintptr_t)native_out);
	map_fixed(OUT, PAGE_SIZE, PROT_READ | PROT_EXEC, fd,
		  arena_nr_pages * PAGE_SIZE);
	map_fixed(OUT_HIGH, PAGE_SIZE, PROT_READ | PROT_EXEC, fd,
		  arena_nr_pages * PAGE_SIZE);
	close(fd);
}

static void map_data(void)
{
	void *p = mmap((void *)NATIVE_DATA, NATIVE_PAGES * PAGE_SIZE,
		       PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
			       MAP_POPULATE,
		       -1, 0);

	if (p != (void *)NATIVE_DATA || mlock(p, NATIVE_PAGES * PAGE_SIZE))
		die("mapping of the harness");
}

/* The 32-bit request: it takes 32-bit pointers and is all there is. */
static void set_tls(unsigned int entry, uint32_t base, uint32_t limit,
		    bool pages)
{
	struct user_desc *d = (void *)NATIVE_DATA;
	long r;

	*d = (struct user_desc){ .entry_number = entry,
				 .base_addr = base,
				 .limit = limit,
				 .seg_32bit = 1,
				 .limit_in_pages = pages,
				 .useable = 1 };
	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(243l), "b"(d)
			 : "memory", "r8", "r9", "r10", "r11");
	if (r) {
		errno = -r;
		die("set_thread_area");
	}
}

/* A 16-bit segment in the local descriptor table. */
static void set_ldt(uint16_t sel, uint32_t base, uint32_t limit,
		    unsigned int contents)
{
	struct user_desc d = { .entry_number = sel >> 3,
			       .base_addr = base,
			       .limit = limit,
			       .contents = contents,
			       .useable = 1 };

	if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)))
		die("modify_ldt");
}

static void catch_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS,	 SIGFPE, SIGILL,
				       SIGTRAP, SIGUSR1, SIGSYS };
	stack_t ss = { .ss_sp = handler_stack,
		       .ss_size = sizeof(handler_stack) };
	struct sigaction sa = { .sa_flags =
					SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sa.sa_sigaction = (void (*)(int, siginfo_t *, void *))native_signal;
	sigemptyset(&sa.sa_mask);
	if (sigaltstack(&ss, NULL))
		die("sigaltstack");
	for (unsigned int n = 0; n < ARRAY_SIZE(signals); n++)
		if (sigaction(signals[n], &sa, NULL))
			die("sigaction");
}

/* No system call from a case; what the harness itself needs is little. */
static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 8),
		/* The upper half of the instruction pointer. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, instruction_pointer) +
				 4),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x5000, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	struct sock_fprog prog = { ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		die("seccomp");
}

static unsigned int cpu_number;

unsigned int native_cpu(void)
{
	return cpu_number;
}

/* Linux keeps the processor's number in a segment limit: it may not change. */
static void stay(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu_number, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static void child_main(pid_t parent)
{
	stay();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	map_arena();
	map_data();
	set_tls(12, TLS0_BASE, 0xfffff, true);
	set_tls(13, TLS1_BASE, TLS1_LIMIT, false);
	set_ldt(SEL_CODE16, CODE16_BASE, CODE16_LIMIT,
		MODIFY_LDT_CONTENTS_CODE);
	set_ldt(SEL_DATA16, DATA16_BASE, DATA16_LIMIT,
		MODIFY_LDT_CONTENTS_DATA);
	catch_signals();
	close(to_child[1]);
	close(from_child[0]);
	filter();
	serve();
}

static int spawn(void)
{
	pid_t parent = getpid();

	if (pipe(to_child) || pipe(from_child))
		return -1;
	child = fork();
	if (!child)
		child_main(parent);
	if (child < 0)
		return -1;
	close(to_child[0]);
	close(from_child[1]);
	return 0;
}

int native_start(void)
{
	cpu_number = sched_getcpu();
	signal(SIGPIPE, SIG_IGN);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return shared == MAP_FAILED ? -1 : spawn();
}

static int reap(void)
{
	int status = 0;

	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(to_child[1]);
	close(from_child[0]);
	child = 0;
	return status;
}

void native_stop(void)
{
	if (child)
		reap();
}

void native_post(const struct fuzz_case *c, unsigned int n)
{
	char byte = 1;

	if (!child && spawn())
		return;
	memcpy(shared->cases, c, n * sizeof(*c));
	shared->n = n;
	shared->at = 0;
	if (write(to_child[1], &byte, 1) != 1)
		reap();
}

uint64_t cpu_time_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* The case that does not end gets a signal; one that survives it, another. */
static void hurry(unsigned int *at, uint64_t *since)
{
	clockid_t clock;
	uint64_t now;

	if (clock_getcpuclockid(child, &clock))
		return;
	now = cpu_time_ns(clock);
	if (shared->at != *at) {
		*at = shared->at;
		*since = now;
	} else if (now - *since > PATIENCE_NS) {
		kill(child, SIGUSR1);
	}
}

const struct result *native_wait(unsigned int *lost)
{
	struct pollfd p = { .fd = from_child[0], .events = POLLIN };
	unsigned int before = ~0u, waited = 0;
	uint64_t since = 0;
	char byte;

	*lost = 0;
	while (child) {
		int n = poll(&p, 1, 100);

		if (n > 0 && read(from_child[0], &byte, 1) == 1)
			return shared->results;
		waited = shared->at == before ? waited + 1 : 0;
		*lost = shared->at;
		if (n > 0 || waited > PATIENCE_POLLS) {
			reap();
			break;
		}
		hurry(&before, &since);
	}
	return NULL;
}
