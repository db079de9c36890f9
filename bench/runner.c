/*
 * What runners cost: the way there and back, registers, mappings.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "host/runner.h"

#define CODE   0x400000ull
#define MEMORY 0x10000000ull
#define PAGES  4096u

static struct runner *r;
static int file;
static char xstate[16384] __attribute__((aligned(64)));

/* Processor time of ours and of the runner. */
static double cpu_us(void)
{
	clockid_t clock;
	double sum = 0;

	for (int i = 0; i < 2; i++) {
		struct timespec t = { 0 };

		if (!clock_getcpuclockid(i ? runner_pid(r) : 0, &clock))
			clock_gettime(clock, &t);
		sum += (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
	}
	return sum;
}

/* The best of five averages counts. */
static void measure(const char *name, unsigned int count, unsigned int per,
		    void (*fn)(unsigned int arg), unsigned int arg)
{
	double best = 1e9;

	for (int round = 0; round < 5; round++) {
		double start = cpu_us(), each;

		for (unsigned int i = 0; i < count; i++)
			fn(arg);
		each = (cpu_us() - start) / count / per;
		best = each < best ? each : best;
	}
	printf("%-40s %8.2f us\n", name, best);
}

static void stop_plain(unsigned int arg)
{
	struct runner_info info;

	runner_run(r, &info);
}

static void stop_regs(unsigned int arg)
{
	struct user_regs_struct regs;
	struct runner_info info;

	runner_run(r, &info);
	runner_get_regs(r, &regs);
	regs.rip = CODE;
	runner_set_regs(r, &regs);
}

static void stop_xstate(unsigned int arg)
{
	runner_get_xstate(r, xstate, sizeof(xstate));
	if (arg)
		runner_set_xstate(r, xstate, sizeof(xstate));
	stop_regs(0);
}

static void stop_kicked(unsigned int arg)
{
	runner_kick(runner_pid(r));
	stop_plain(0);
}

static void maps(unsigned int nr, bool populate)
{
	for (unsigned int i = 0; i < nr; i++)
		runner_map(r, MEMORY + i * 2 * PAGE_SIZE, PAGE_SIZE, file,
			   (i + 1) * 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   populate);
	runner_sync(r);
}

static void map_area(unsigned int pages)
{
	runner_unmap(r, MEMORY, PAGES * PAGE_SIZE);
	runner_map(r, MEMORY, pages * PAGE_SIZE, file, PAGE_SIZE,
		   PROT_READ | PROT_WRITE, true);
	runner_sync(r);
}

static void map_plain(unsigned int nr)
{
	maps(nr, false);
}

static void map_populate(unsigned int nr)
{
	maps(nr, true);
}

/* Maps a page, and touches it on the way to the next stop. */
static void map_touch(unsigned int populate)
{
	static unsigned int i;
	struct user_regs_struct regs;
	struct runner_info info;

	i = (i + 1) % 1024;
	runner_map(r, MEMORY + i * 2 * PAGE_SIZE, PAGE_SIZE, file,
		   (i + 1) * 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, populate);
	runner_get_regs(r, &regs);
	regs.rip = CODE;
	regs.rdi = MEMORY + i * 2 * PAGE_SIZE;
	runner_set_regs(r, &regs);
	runner_run(r, &info);
}

static void map_unmap(unsigned int nr)
{
	maps(nr, true);
	for (unsigned int i = 0; i < nr; i++)
		runner_unmap(r, MEMORY + i * 2 * PAGE_SIZE, PAGE_SIZE);
	runner_sync(r);
}

static void create_destroy(unsigned int arg)
{
	struct runner *other;

	if (!runner_create_with(&other, &file, 1))
		runner_destroy(other);
}

static void put_code(const char *code, size_t len)
{
	if (pwrite(file, code, len, 0) != (ssize_t)len)
		perror("pwrite");
}

static void start(void)
{
	struct user_regs_struct regs;

	runner_map(r, CODE, PAGE_SIZE, file, 0, PROT_READ | PROT_EXEC, true);
	runner_get_regs(r, &regs);
	regs.rip = CODE;
	runner_set_regs(r, &regs);
}

int main(void)
{
	static const unsigned int sizes[] = { 1, 16, 256 };
	int err = runner_probe();
	char name[64];

	if (err) {
		printf("no runners: %s\n", strerror(-err));
		return 0;
	}
	file = memfd_create("bench", MFD_CLOEXEC);
	if (ftruncate(file, (off_t)(PAGES * PAGE_SIZE)) ||
	    runner_create_with(&r, &file, 1))
		return 1;
	/* 1: syscall; jmp 1b */
	put_code("\x0f\x05\xeb\xfc", 4);
	start();
	measure("syscall stop", 20000, 1, stop_plain, 0);
	measure("... and new registers", 20000, 1, stop_regs, 0);
	measure("... and reading xstate", 20000, 1, stop_xstate, 0);
	measure("... and writing xstate", 20000, 1, stop_xstate, 1);
	runner_break(r, 0, CODE + 64);
	measure("... with a breakpoint elsewhere", 20000, 1, stop_regs, 0);
	runner_break(r, 0, CODE);
	measure("stop at a breakpoint", 20000, 1, stop_regs, 0);
	runner_break(r, 0, RUNNER_NO_BREAK);
	put_code("\x0f\x0b", 2);
	start();
	measure("#UD stop", 20000, 1, stop_plain, 0);
	put_code("\xeb\xfe", 2);
	start();
	measure("kicked at once", 20000, 1, stop_kicked, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned int nr = sizes[i];

		snprintf(name, sizeof(name), "map, %u in a list", nr);
		measure(name, 5120 / nr, nr, map_plain, nr);
		snprintf(name, sizeof(name), "map and populate, %u in a list",
			 nr);
		measure(name, 5120 / nr, nr, map_populate, nr);
		snprintf(name, sizeof(name), "... and unmap, %u in a list", nr);
		measure(name, 5120 / nr, nr, map_unmap, nr);
	}
	measure("per page, 256 in one mapping", 20, 256, map_area, 256);
	/* incl (%rdi); syscall */
	put_code("\xff\x07\x0f\x05", 4);
	runner_clear(r);
	start();
	measure("map a page, touch it, stop", 1000, 1, map_touch, false);
	runner_clear(r);
	start();
	measure("... with populate", 1000, 1, map_touch, true);
	put_code("\xcc\xeb\xfd", 3);
	start();
	measure("INT3 stop", 20000, 1, stop_plain, 0);
	put_code("\xf7\xf0", 3);
	start();
	measure("#DE stop", 20000, 1, stop_plain, 0);
	put_code("\x48\x8b\x00", 3);
	start();
	measure("#PF stop", 20000, 1, stop_plain, 0);
	put_code("\xfa", 3);
	start();
	measure("#GP stop", 20000, 1, stop_plain, 0);
	measure("create and destroy", 50, 1, create_destroy, 0);
	runner_destroy(r);
	runner_unpin();
	return 0;
}
