#include <stdlib.h>
#include <unistd.h>

#include "test/api/kt.h"

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{ "fd", test_fd },
	{ "system", test_system },
	{ "vm", test_vm },
	{ "memory", test_memory },
	{ "vcpu", test_vcpu },
	{ "regs", test_regs },
	{ "cpuid", test_cpuid },
	{ "msr", test_msr },
	{ "irq", test_irq },
	{ "eventfd", test_eventfd },
	{ "run", test_run },
	{ "io", test_io },
	{ "signal", test_signal },
	{ "dirty", test_dirty },
	{ "dirty_ring", test_dirty_ring },
	{ "pv", test_pv },
	{ "stats", test_stats },
	{ "smp", test_smp },
	{ "churn", test_churn },
	{ "latency", test_latency },
	{ "exact", test_exact },
	{ "wake", test_wake },
	{ "dma", test_dma },
	{ "sample", test_sample },
	{ "hv", test_hv },
	{ "direct", test_direct },
};

/* api [--kvm] [test ...] */
int main(int argc, char **argv)
{
	int first = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "--kvm")) {
		kt_real = true;
		first = 2;
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		bool wanted = first == argc;

		for (int a = first; a < argc; a++)
			wanted |= !strcmp(argv[a], tests[i].name);
		if (!wanted)
			continue;
		alarm(60);
		printf("== %s on %s\n", tests[i].name,
		       kt_real ? "/dev/kvm" : "ring3");
		tests[i].fn();
	}
	printf("%d passed, %d failed\n", kt_passed, kt_failed);
	return kt_failed ? 1 : 0;
}
