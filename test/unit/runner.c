/*
 * Runners: what stops them, what they report, and that nothing gets out.  The
 * expectations are the processor's and Linux's.
 */
#include "host/runner.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/stub_image.h"
#include "test/test.h"

#define CODE   0x400000ull
#define DATA   0x7fff00000000ull
#define OFFSET (16 * PAGE_SIZE) /* of the data in the file */

/* Programs, each at an own label; position independent. */
/* clang-format off */
#define PROGRAM(name, text)						\
	__asm__(".pushsection .rodata\n"				\
		".global prog_" #name ", prog_" #name "_end\n"		\
		"prog_" #name ":\n" text "\nprog_" #name "_end:\n"	\
		".popsection\n");					\
	extern const char prog_##name[], prog_##name##_end[]

PROGRAM(syscall, "lea 7(%rax), %rbx; syscall; mov %rax, %rsi; syscall");
PROGRAM(ud, "ud2");
PROGRAM(divide, "xor %ecx, %ecx; div %ecx");
PROGRAM(int3, "nop; int3");
PROGRAM(loop, "1: inc %rax; jmp 1b");
PROGRAM(load, "mov (%rdi), %rax; ud2");
PROGRAM(store, "movq $0x55, (%rdi); ud2");
PROGRAM(jump, "jmp *%rdi");
PROGRAM(call, "call *%rdi; ud2");
PROGRAM(ymm, "vxorps %ymm1, %ymm2, %ymm3; ud2");
PROGRAM(rdtsc, "rdtsc; ud2");
PROGRAM(rdtscp, "rdtscp; ud2");
PROGRAM(cpuid, "cpuid; ud2");
PROGRAM(int80, "int $0x80; ud2");
PROGRAM(sysenter, "sysenter");
PROGRAM(cli, "cli");
/* clang-format on */

static int file;
static struct runner *r;
static struct runner_info info;
static struct user_regs_struct regs;

static void put_program(const char *start, const char *end)
{
	CHECK_EQ(pwrite(file, start, (size_t)(end - start), 0), end - start);
}

#define PUT(name) put_program(prog_##name, prog_##name##_end)

static void map_all(void)
{
	CHECK_EQ(runner_map(r, CODE, PAGE_SIZE, file, 0, PROT_READ | PROT_EXEC,
			    false),
		 0);
	CHECK_EQ(runner_map(r, DATA, 4 * PAGE_SIZE, file, OFFSET,
			    PROT_READ | PROT_WRITE, true),
		 0);
}

static void start_regs(void)
{
	CHECK_EQ(runner_get_regs(r, &regs), 0);
	regs.rip = CODE;
	regs.rsp = DATA + PAGE_SIZE;
	regs.eflags = 0x202;
	regs.cs = 0x33;
	regs.ss = 0x2b;
}

static enum runner_stop run(void)
{
	enum runner_stop stop;

	CHECK_EQ(runner_set_regs(r, &regs), 0);
	stop = runner_run(r, &info);
	CHECK_EQ(runner_get_regs(r, &regs), 0);
	return stop;
}

static void test_syscall(void)
{
	PUT(syscall);
	start_regs();
	regs.rax = SYS_exit_group;
	regs.rdi = 1;
	regs.r15 = 0x123456789abcdef0;
	regs.fs_base = 0x7ffff7d81740;
	regs.gs_base = 0x1000;
	CHECK_EQ(run(), RUNNER_SYSCALL);
	CHECK_EQ(regs.rip, CODE + 6);
	CHECK_EQ(regs.orig_rax, SYS_exit_group);
	CHECK_EQ(regs.rbx, SYS_exit_group + 7);
	CHECK_EQ(regs.rcx, CODE + 6);
	CHECK_EQ(regs.rdi, 1);
	CHECK_EQ(regs.r15, 0x123456789abcdef0);
	CHECK_EQ(regs.fs_base, 0x7ffff7d81740);
	CHECK_EQ(regs.gs_base, 0x1000);
	/* The result goes on, whatever it is: -ERESTARTSYS is none of ours. */
	regs.rax = (uint64_t)-512;
	CHECK_EQ(run(), RUNNER_SYSCALL);
	CHECK_EQ(regs.rsi, (uint64_t)-512);
	CHECK_EQ(regs.orig_rax, (uint64_t)-512);
	CHECK_EQ(regs.rip, CODE + 11);
}

static void test_exceptions(void)
{
	PUT(ud);
	start_regs();
	CHECK_EQ(run(), RUNNER_UD);
	CHECK_EQ(regs.rip, CODE);
	PUT(divide);
	start_regs();
	CHECK_EQ(run(), RUNNER_FP);
	CHECK_EQ(info.code, FPE_INTDIV);
	CHECK_EQ(regs.rip, CODE + 2);
	PUT(int3);
	start_regs();
	CHECK_EQ(run(), RUNNER_TRAP);
	CHECK_EQ(regs.rip, CODE + 2);
	start_regs();
	regs.eflags |= 0x100;
	CHECK_EQ(run(), RUNNER_TRAP);
	CHECK_EQ(regs.rip, CODE + 1);
	PUT(cli);
	start_regs();
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.code, SI_KERNEL);
	CHECK_EQ(info.address, 0);
	CHECK_EQ(regs.rip, CODE);
}

static void test_page_faults(void)
{
	static const struct {
		uint64_t gva;
		int code;
		uint64_t address;
	} cases[] = {
		{ 0x12345678, SEGV_MAPERR, 0x12345678 },
		{ DATA + 4 * PAGE_SIZE - 4, SEGV_MAPERR, DATA + 4 * PAGE_SIZE },
		{ 0x7ffffffff000, SEGV_MAPERR, 0x7ffffffff000 },
		{ 0xffff888000000000, SEGV_MAPERR, 0xffff888000000000 },
		{ 0x8000000000000000, SI_KERNEL, 0 },
	};

	PUT(load);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		start_regs();
		regs.rdi = cases[i].gva;
		CHECK_EQ(run(), RUNNER_FAULT);
		CHECK_EQ(info.signo, SIGSEGV);
		CHECK_EQ(info.code, cases[i].code);
		CHECK_EQ(info.address, cases[i].address);
		CHECK_EQ(regs.rip, CODE);
		CHECK_EQ(regs.rdi, cases[i].gva);
	}
	/* Behind the end of the file. */
	CHECK_EQ(runner_map(r, 0x10000000, PAGE_SIZE, file, 1ull << 30,
			    PROT_READ, false),
		 0);
	start_regs();
	regs.rdi = 0x10000008;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.signo, SIGBUS);
	CHECK_EQ(info.address, 0x10000008);
	/* The code's page is not for writing. */
	PUT(store);
	start_regs();
	regs.rdi = CODE + 0x100;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.code, SEGV_ACCERR);
	CHECK_EQ(info.address, CODE + 0x100);
	/* Nor that of the data for execution. */
	PUT(jump);
	start_regs();
	regs.rdi = DATA;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.code, SEGV_ACCERR);
	CHECK_EQ(info.address, DATA);
	CHECK_EQ(regs.rip, DATA);
}

static void test_map(void)
{
	uint64_t value = 0x1122334455667788;

	PUT(load);
	CHECK_EQ(pwrite(file, &value, 8, OFFSET + 3 * PAGE_SIZE), 8);
	start_regs();
	regs.rdi = DATA + 3 * PAGE_SIZE;
	CHECK_EQ(run(), RUNNER_UD);
	CHECK_EQ(regs.rax, value);
	PUT(store);
	start_regs();
	regs.rdi = DATA + PAGE_SIZE;
	CHECK_EQ(run(), RUNNER_UD);
	CHECK_EQ(pread(file, &value, 8, OFFSET + PAGE_SIZE), 8);
	CHECK_EQ(value, 0x55);
	/* A sync in between keeps the registers. */
	regs.r8 = 77;
	CHECK_EQ(runner_set_regs(r, &regs), 0);
	CHECK_EQ(runner_unmap(r, DATA, 2 * PAGE_SIZE), 0);
	CHECK_EQ(runner_unmap(r, DATA + 2 * PAGE_SIZE, 2 * PAGE_SIZE), 0);
	CHECK_EQ(runner_sync(r), 0);
	CHECK_EQ(runner_get_regs(r, &regs), 0);
	CHECK_EQ(regs.r8, 77);
	regs.rip = CODE;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, DATA + PAGE_SIZE);
	CHECK_EQ(regs.r8, 77);
	map_all();
	CHECK_EQ(run(), RUNNER_UD);
	/* Nothing is left, but the runner lives. */
	CHECK_EQ(runner_clear(r), 0);
	start_regs();
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, CODE);
	map_all();
	start_regs();
	regs.rdi = DATA;
	CHECK_EQ(run(), RUNNER_UD);
}

static void test_bad_map(void)
{
	int prot = PROT_READ;

	CHECK_EQ(runner_map(r, 1, PAGE_SIZE, file, 0, prot, false), -EINVAL);
	CHECK_EQ(runner_map(r, CODE, 1, file, 0, prot, false), -EINVAL);
	CHECK_EQ(runner_map(r, CODE, 0, file, 0, prot, false), -EINVAL);
	CHECK_EQ(runner_map(r, CODE, PAGE_SIZE, file, 1, prot, false), -EINVAL);
	CHECK_EQ(runner_map(r, CODE, PAGE_SIZE, 0, 0, prot, false), -EINVAL);
	CHECK_EQ(runner_map(r, RUNNER_TOP, PAGE_SIZE, file, 0, prot, false),
		 -EINVAL);
	CHECK_EQ(runner_map(r, PAGE_SIZE, 0 - 2 * PAGE_SIZE, file, 0, prot,
			    false),
		 -EINVAL);
	CHECK_EQ(runner_map(r, RUNNER_STUB, PAGE_SIZE, file, 0, prot, false),
		 -EINVAL);
	CHECK_EQ(runner_unmap(r, RUNNER_STUB - PAGE_SIZE, 2 * PAGE_SIZE),
		 -EINVAL);
	CHECK_EQ(runner_unmap(r, RUNNER_STUB_END - PAGE_SIZE, PAGE_SIZE),
		 -EINVAL);
	/* What the kernel refuses comes back, and it goes on after a clear. */
	CHECK_EQ(runner_map(r, CODE, PAGE_SIZE, file, 0, 1 << 30, false), 0);
	CHECK_EQ(runner_map(r, DATA, PAGE_SIZE, file, 0, prot, false), 0);
	CHECK_EQ(runner_map(r, DATA, PAGE_SIZE, file, BIT(63), prot, false), 0);
	CHECK_EQ(runner_sync(r), -EOVERFLOW);
	CHECK_EQ(runner_map(r, DATA, PAGE_SIZE, file, BIT(63), prot, false), 0);
	start_regs();
	regs.r14 = 14;
	CHECK_EQ(run(), RUNNER_FAILED);
	CHECK_EQ(info.code, -EOVERFLOW);
	CHECK_EQ(regs.r14, 14);
	CHECK_EQ(regs.rip, CODE);
	CHECK_EQ(runner_clear(r), 0);
	map_all();
	CHECK_EQ(runner_sync(r), 0);
}

/* More than one list can hold, nothing contiguous. */
static void test_many(void)
{
	unsigned int nr = STUB_CALLS * 2 + 5, good = 0;

	CHECK_EQ(ftruncate(file, (off_t)(nr + 64) * 8192), 0);
	PUT(load);
	for (uint64_t i = 0; i < nr; i++) {
		CHECK_EQ(pwrite(file, &i, 8, (off_t)((i + 32) * 8192)), 8);
		CHECK_EQ(runner_map(r, 0x10000000 + i * 8192, PAGE_SIZE, file,
				    (i + 32) * 8192, PROT_READ, i & 1),
			 0);
	}
	for (uint64_t i = 0; i < nr; i += 97) {
		start_regs();
		regs.rdi = 0x10000000 + i * 8192;
		if (run() == RUNNER_UD && regs.rax == i)
			good++;
	}
	CHECK_EQ(good, nr / 97 + 1);
	CHECK_EQ(runner_clear(r), 0);
	map_all();
}

/* More mappings than the host lets a process have. */
static void test_too_many(void)
{
	unsigned int most = 0, nr = 0;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	int err = 0;

	if (!f || fscanf(f, "%u", &most) != 1 || most > 100000) {
		printf("SKIP: too many mappings are allowed\n");
		most = 0;
	}
	if (f)
		fclose(f);
	while (nr < most && !err)
		err = runner_map(r, 0x10000000 + nr++ * 8192ull, PAGE_SIZE,
				 file, 0, PROT_READ, false);
	if (!err)
		err = runner_sync(r);
	CHECK_EQ(err, most ? -ENOMEM : 0);
	CHECK_EQ(runner_clear(r), 0);
	map_all();
	CHECK_EQ(runner_sync(r), 0);
}

static void *kicker(void *arg)
{
	usleep(20000);
	runner_kick(runner_pid(r));
	return NULL;
}

static void test_kick(void)
{
	pthread_t t;

	PUT(loop);
	start_regs();
	regs.rax = 0;
	CHECK_EQ(pthread_create(&t, NULL, kicker, NULL), 0);
	CHECK_EQ(run(), RUNNER_KICKED);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK(regs.rax > 1000);
	/* Before it goes: not one instruction. */
	start_regs();
	regs.rax = 0;
	runner_kick(runner_pid(r));
	CHECK_EQ(run(), RUNNER_KICKED);
	CHECK_EQ(regs.rax, 0);
	CHECK_EQ(regs.rip, CODE);
	/* A list in between does not lose it. */
	runner_kick(runner_pid(r));
	CHECK_EQ(runner_unmap(r, 0x10000000, PAGE_SIZE), 0);
	CHECK_EQ(runner_sync(r), 0);
	CHECK_EQ(run(), RUNNER_KICKED);
	CHECK_EQ(regs.rax, 0);
	/* A fault's signal from outside is no fault, nor does one end it. */
	kill(runner_pid(r), SIGSEGV);
	CHECK_EQ(run(), RUNNER_KICKED);
	kill(runner_pid(r), SIGTRAP);
	CHECK_EQ(run(), RUNNER_KICKED);
	kill(runner_pid(r), SIGTERM);
	CHECK_EQ(run(), RUNNER_KICKED);
	kill(runner_pid(r), SIGSTOP);
	CHECK_EQ(run(), RUNNER_KICKED);
	kill(runner_pid(r), SIGTRAP);
	CHECK_EQ(runner_unmap(r, 0x10000000, PAGE_SIZE), 0);
	CHECK_EQ(runner_sync(r), 0);
	CHECK_EQ(run(), RUNNER_KICKED);
	CHECK_EQ(regs.rip, CODE);
}

static void test_xstate(void)
{
	static uint32_t image[4096] __attribute__((aligned(64)));
	size_t size = runner_xstate_size(r);
	uint32_t *xmm = image + 160 / 4, *high = image + 576 / 4;

	if (!__builtin_cpu_supports("avx"))
		return;
	PUT(ymm);
	CHECK(size >= 832 && size <= sizeof(image));
	CHECK_EQ(runner_get_xstate(r, image, sizeof(image)), 0);
	image[512 / 4] = 7;
	for (uint32_t i = 0; i < 4; i++) {
		xmm[4 + i] = i;
		xmm[8 + i] = 0x100;
		high[4 + i] = 4 + i;
		high[8 + i] = 0x200;
	}
	CHECK_EQ(runner_set_xstate(r, image, 832), 0);
	start_regs();
	/* Lists leave it alone. */
	CHECK_EQ(runner_unmap(r, 0x10000000, PAGE_SIZE), 0);
	CHECK_EQ(run(), RUNNER_UD);
	memset(image, 0, sizeof(image));
	CHECK_EQ(runner_get_xstate(r, image, size), 0);
	for (uint32_t i = 0; i < 4; i++) {
		CHECK_EQ(xmm[12 + i], 0x100 + i);
		CHECK_EQ(high[12 + i], 0x204 + i);
	}
	CHECK_EQ(runner_set_xstate(r, image, size), 0);
}

/* The thread may go where it might before, or where somebody put it since. */
static void test_affinity(void)
{
	cpu_set_t own, set, moved;

	runner_unpin();
	CHECK_EQ(sched_getaffinity(0, sizeof(own), &own), 0);
	PUT(ud);
	start_regs();
	CHECK_EQ(run(), RUNNER_UD);
	CHECK_EQ(sched_getaffinity(runner_pid(r), sizeof(set), &set), 0);
	CHECK_EQ(CPU_COUNT(&set), 1);
	CHECK(CPU_ISSET(sched_getcpu(), &set));
	runner_unpin();
	CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
	CHECK(CPU_EQUAL(&set, &own));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &own))
			continue;
		start_regs();
		CHECK_EQ(run(), RUNNER_UD);
		CPU_ZERO(&moved);
		CPU_SET(cpu, &moved);
		CHECK_EQ(sched_setaffinity(0, sizeof(moved), &moved), 0);
		start_regs();
		CHECK_EQ(run(), RUNNER_UD);
		CHECK_EQ(sched_getaffinity(runner_pid(r), sizeof(set), &set),
			 0);
		CHECK(CPU_EQUAL(&set, &moved));
	}
	CHECK_EQ(sched_setaffinity(0, sizeof(own), &own), 0);
	runner_unpin();
	CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
	CHECK(CPU_EQUAL(&set, &own));
}

static void test_refused_regs(void)
{
	start_regs();
	regs.fs_base = 0xffff888000000000;
	CHECK_EQ(runner_set_regs(r, &regs), -EIO);
	start_regs();
	regs.gs_base = RUNNER_TOP;
	CHECK_EQ(runner_set_regs(r, &regs), -EIO);
	start_regs();
	regs.cs = 0x10;
	CHECK_EQ(runner_set_regs(r, &regs), -EIO);
	start_regs();
	regs.rip = 0xffffffff81000000;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, 0xffffffff81000000);
	start_regs();
	regs.rip = 0x1234000000000000;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, 0);
}

/* The stub is no way to a system call, nor its list to be written. */
static void test_isolation(void)
{
	PUT(jump);
	start_regs();
	regs.rdi = stub_syscall();
	regs.rax = SYS_exit_group;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, stub_syscall());
	CHECK_EQ(regs.rip, stub_syscall());
	CHECK_EQ(regs.rax, SYS_exit_group);
	start_regs();
	regs.rdi = stub_loop();
	regs.rbx = RUNNER_STUB + STUB_LIST - STUB_BASE;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, stub_syscall());
	start_regs();
	regs.rdi = stub_after_int3() - 1;
	CHECK_EQ(run(), RUNNER_FAULT);
	PUT(store);
	start_regs();
	regs.rdi = STUB_LIST;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.code, SEGV_ACCERR);
	CHECK_EQ(info.address, STUB_LIST);
	start_regs();
	regs.rdi = RUNNER_STUB;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.code, SEGV_ACCERR);
	/* It lives, and does what it is told. */
	map_all();
	CHECK_EQ(runner_sync(r), 0);
	PUT(int80);
	start_regs();
	regs.rax = 1;
	CHECK_EQ(run(), RUNNER_SYSCALL);
	/* It is #UD, or Linux takes it for one of 32-bit code and forgets where
	 * it was. */
	PUT(sysenter);
	start_regs();
	regs.rax = 1;
	CHECK(run() != RUNNER_GONE);
	/* The host's vsyscalls: gettimeofday() would answer. */
	PUT(call);
	start_regs();
	regs.rdi = 0xffffffffff600000;
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, 0xffffffffff600000);
	CHECK_EQ(regs.rip, 0xffffffffff600000);
	CHECK_EQ(regs.rsp, DATA + PAGE_SIZE - 8);
}

static void test_host_secrets(void)
{
	PUT(rdtsc);
	start_regs();
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(info.address, 0);
	CHECK_EQ(regs.rip, CODE);
	PUT(rdtscp);
	start_regs();
	CHECK_EQ(run(), RUNNER_FAULT);
	PUT(cpuid);
	start_regs();
	CHECK_EQ(run(), runner_traps_cpuid() ? RUNNER_FAULT : RUNNER_UD);
	CHECK_EQ(regs.rip, runner_traps_cpuid() ? CODE : CODE + 2);
}

/* Also where a fault has come first, which leaves RF set. */
static void test_break(void)
{
	if (!runner_can_break()) {
		printf("no breakpoints on this host\n");
		return;
	}
	PUT(loop);
	start_regs();
	regs.rax = 5;
	CHECK_EQ(runner_break(r, 3, CODE + 3), 0);
	for (unsigned int i = 6; i < 9; i++) {
		CHECK_EQ(run(), RUNNER_TRAP);
		CHECK_EQ(info.code, TRAP_HWBKPT);
		CHECK_EQ(regs.rip, CODE + 3);
		CHECK_EQ(regs.rax, i);
		regs.rip = CODE;
	}
	CHECK_EQ(runner_break(r, 3, RUNNER_NO_BREAK), 0);
	PUT(ud);
	CHECK_EQ(runner_unmap(r, CODE, PAGE_SIZE), 0);
	start_regs();
	CHECK_EQ(run(), RUNNER_FAULT);
	CHECK_EQ(runner_break(r, 1, CODE), 0);
	map_all();
	CHECK_EQ(runner_run(r, &info), RUNNER_TRAP);
	CHECK_EQ(info.code, TRAP_HWBKPT);
	CHECK_EQ(runner_clear(r), 0);
	map_all();
	start_regs();
	CHECK_EQ(run(), RUNNER_UD);
	CHECK(runner_break(r, 0, 1ull << 63));
	CHECK_EQ(run(), RUNNER_UD);
}

/* Nothing but the memory files is open, nothing but the stub mapped. */
static void test_bare(void)
{
	char path[64], line[256];
	unsigned int nr = 0, maps = 0;
	struct dirent *e;
	struct runner *b;
	FILE *f;
	DIR *d;

	CHECK_EQ(runner_create_with(&b, &file, 1), 0);
	snprintf(path, sizeof(path), "/proc/%d/fd", runner_pid(b));
	d = opendir(path);
	while (d && (e = readdir(d)))
		nr += e->d_name[0] != '.';
	if (d)
		closedir(d);
	CHECK_EQ(nr, 1);
	snprintf(path, sizeof(path), "/proc/%d/maps", runner_pid(b));
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		maps += !strstr(line, "[vsyscall]");
	if (f)
		fclose(f);
	CHECK_EQ(maps, 2);
	runner_destroy(b);
}

static bool no_child(void)
{
	return waitpid(-1, NULL, __WALL | WNOHANG) < 0 && errno == ECHILD;
}

static void test_death(void)
{
	struct rusage before, after;
	struct runner *b;
	int pid;

	CHECK_EQ(runner_create_with(&b, &file, 1), 0);
	kill(runner_pid(b), SIGKILL);
	CHECK_EQ(runner_run(b, &info), RUNNER_FAILED);
	CHECK_EQ(info.code, -ESRCH);
	CHECK_EQ(runner_run(b, &info), RUNNER_FAILED);
	runner_destroy(b);
	CHECK_EQ(runner_create_with(&b, &file, 1), 0);
	kill(runner_pid(b), SIGKILL);
	runner_destroy(b);
	runner_destroy(NULL);
	pid = runner_pid(r);
	PUT(loop);
	start_regs();
	CHECK_EQ(runner_set_regs(r, &regs), 0);
	getrusage(RUSAGE_CHILDREN, &before);
	if (!fork()) {
		usleep(100000);
		kill(pid, SIGKILL);
		_exit(0);
	}
	CHECK_EQ(runner_run(r, &info), RUNNER_GONE);
	CHECK_EQ(runner_map(r, CODE, PAGE_SIZE, file, 0, PROT_READ, false), 0);
	CHECK(runner_sync(r) < 0);
	runner_destroy(r);
	getrusage(RUSAGE_CHILDREN, &after);
	CHECK(after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec >
	      before.ru_utime.tv_sec * 1000000 + before.ru_utime.tv_usec +
		      20000);
	wait(NULL);
	CHECK(no_child());
}

static int thefts;

static void *thief(void *arg)
{
	for (;;)
		if (waitpid(-1, NULL, 0) > 0)
			thefts++;
	return NULL;
}

static void on_alarm(int sig)
{
}

/* A client that waits for whatever child takes stops from us. */
static void test_thief(void)
{
	struct itimerval ms = { { 0, 1000 }, { 0, 1000 } };
	struct itimerval off = { { 0, 0 }, { 0, 0 } };
	struct sigaction act = { .sa_handler = on_alarm };
	sigset_t alarm;
	pthread_t t;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	CHECK_EQ(sigaction(SIGALRM, &act, NULL), 0);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	CHECK_EQ(pthread_create(&t, NULL, thief, NULL), 0);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	setitimer(ITIMER_REAL, &ms, NULL);
	PUT(syscall);
	for (int i = 0; i < 500; i++) {
		start_regs();
		CHECK_EQ(run(), RUNNER_SYSCALL);
		CHECK_EQ(regs.rip, CODE + 6);
		PUT(ud);
		start_regs();
		CHECK_EQ(run(), RUNNER_UD);
		PUT(syscall);
	}
	CHECK_EQ(pthread_cancel(t), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	setitimer(ITIMER_REAL, &off, NULL);
	printf("%d stops stolen\n", thefts);
}

static void *in_thread(void *arg)
{
	CHECK_EQ(runner_create_with(arg, &file, 1), 0);
	CHECK_EQ(runner_thread(*(struct runner **)arg), gettid());
	return NULL;
}

static void test_hundred(void)
{
	struct runner *b[100];
	pthread_t t;

	for (int i = 0; i < 50; i++)
		CHECK_EQ(runner_create_with(&b[i], &file, 1), 0);
	for (int i = 0; i < 50; i++)
		runner_destroy(b[i]);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(runner_create_with(&b[i], &file, 1), 0);
		runner_destroy(b[i]);
	}
	/* Its thread has ended, another one cleans up. */
	CHECK_EQ(pthread_create(&t, NULL, in_thread, &b[0]), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	runner_destroy(b[0]);
	CHECK(no_child());
}

static bool forbid(uint32_t nr, uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int exit_status(void)
{
	int status = 0;

	CHECK(wait(&status) > 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int create_error(void)
{
	struct runner *b;
	int err = runner_create_with(&b, &file, 1);

	if (!err)
		runner_destroy(b);
	return no_child() ? -err : ECHILD;
}

/*
 * System calls of ours that are not allowed: by the client's own filter, which
 * is not put to the test, and by one from outside, in a container say.
 */
static void test_filter(void)
{
	static const struct {
		uint32_t nr;
		int err;
	} cases[] = {
		{ SYS_swapon, 0 },
		{ SYS_clone, EAGAIN },
		{ SYS_ptrace, EPERM },
		{ SYS_execveat, EACCES },
		{ SYS_memfd_create, ENFILE },
		{ SYS_seccomp, EINVAL },
	};

	if (!fork()) {
		forbid(SYS_clone, SECCOMP_RET_KILL_PROCESS);
		_exit(create_error());
	}
	CHECK_EQ(exit_status(), EACCES);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		int err = cases[i].err;

		if (!fork()) {
			forbid(cases[i].nr, SECCOMP_RET_ERRNO | (uint32_t)err);
			/* Not by SYS_clone. */
			if (!syscall(SYS_fork))
				_exit(create_error());
			_exit(exit_status());
		}
		CHECK_EQ(exit_status(), err);
	}
}

int main(void)
{
	cpu_set_t before, after;
	int err;

	sched_getaffinity(0, sizeof(before), &before);
	err = runner_probe();
	sched_getaffinity(0, sizeof(after), &after);
	CHECK(CPU_EQUAL(&before, &after));
	if (err) {
		printf("SKIP: no runners on this host: %s\n", strerror(-err));
		return 0;
	}
	file = memfd_create("test", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(file, 64 * PAGE_SIZE), 0);
	CHECK_EQ(runner_create_with(&r, &file, 1), 0);
	map_all();
	test_syscall();
	test_exceptions();
	test_page_faults();
	test_map();
	test_bad_map();
	test_many();
	test_too_many();
	test_kick();
	test_xstate();
	test_affinity();
	test_refused_regs();
	test_isolation();
	test_host_secrets();
	test_break();
	test_bare();
	test_thief();
	test_death();
	test_hundred();
	test_filter();
	return test_done();
}
