/*
 * exit [--kvm] - what an exit to user mode costs, in CPU time: a guest in long
 * mode exits, user mode does nothing and enters again.  On the soft KVM, or on
 * the host's /dev/kvm; beside it what a system call costs here.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "test/api/kt_long.h"

#define ROUNDS 7
#define TURNS  50000

KT_ASM(bench_out, "1: out %al, $0x10\n"
		  "jmp 1b\n");
KT_ASM(bench_mmio, "mov $0x200000, %edi\n"
		   "1: mov (%rdi), %eax\n"
		   "jmp 1b\n");
/* Handled in root mode; what is timed is 100 of them and one OUT. */
KT_ASM(bench_cpuid, "1: mov $100, %esi\n"
		    "2: mov $1, %eax\n"
		    "cpuid\n"
		    "dec %esi\n"
		    "jnz 2b\n"
		    "out %al, $0x10\n"
		    "jmp 1b\n");
KT_ASM(bench_vmcall, "1: mov $100, %esi\n"
		     "2: mov $1, %eax\n"
		     "vmcall\n"
		     "dec %esi\n"
		     "jnz 2b\n"
		     "out %al, $0x10\n"
		     "jmp 1b\n");

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int order(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), order);
	return v[ROUNDS / 2];
}

static double syscall_ns(void)
{
	double v[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double start = cpu_ns();

		for (int i = 0; i < TURNS; i++)
			syscall(SYS_getppid);
		v[r] = (cpu_ns() - start) / TURNS;
	}
	return median(v);
}

/* ns for one of the @each exits of a turn, less @out for the OUT that ends it
 */
static double exit_ns(const void *code, size_t len, unsigned int reason,
		      int each, double out)
{
	const int turns = TURNS / each;
	double v[ROUNDS];
	struct kt_vm t;

	kt_vm_open(&t, 0);
	kt_long(&t, code, len);
	for (int r = -1; r < ROUNDS; r++) {
		double start = cpu_ns();

		for (int i = 0; i < turns; i++) {
			if (!kt_run(&t) && t.run->exit_reason == reason)
				continue;
			printf("KVM_RUN ends with exit %u, errno %d\n",
			       t.run->exit_reason, errno);
			exit(1);
		}
		if (r >= 0)
			v[r] = ((cpu_ns() - start) / turns - out) / each;
	}
	kt_vm_close(&t);
	return median(v);
}

static double syscall_cost;

static double show(const char *what, double ns)
{
	printf("%-38s %7.0f %7.1f\n", what, ns, ns / syscall_cost);
	return ns;
}

#define EXIT_NS(name, reason, each, out)                                       \
	exit_ns(code64_##name##_start, KT_ASM_LEN(name), reason, each, out)

int main(int argc, char **argv)
{
	double out;

	kt_real = argc > 1 && !strcmp(argv[1], "--kvm");
	syscall_cost = syscall_ns();
	printf("%-38s %7s %7s\n", kt_real ? "/dev/kvm" : "ring3", "ns",
	       "syscalls");
	show("system call", syscall_cost);
	out = show("OUT to user mode and back",
		   EXIT_NS(bench_out, KVM_EXIT_IO, 1, 0));
	show("MMIO read to user mode and back",
	     EXIT_NS(bench_mmio, KVM_EXIT_MMIO, 1, 0));
	show("VMCALL", EXIT_NS(bench_vmcall, KVM_EXIT_IO, 100, out));
	show("CPUID", EXIT_NS(bench_cpuid, KVM_EXIT_IO, 100, out));
	return 0;
}
