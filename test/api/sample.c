#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "include/ring3.h"
#include "test/api/kt_long.h"

/* ring3_sample(): a profiler's signal meets the guest where it is. */
KT_ASM(samples_fast, "mov $300000000, %ecx\n1: dec %rcx; jnz 1b\nhlt");
KT_ASM(samples_careful, "mov $1000000, %ecx\n1: dec %rcx; jnz 1b\nhlt");

static struct {
	int all, inside, right, translated;
	const char *what;
} seen;

static void sampled(int sig, siginfo_t *info, void *uc)
{
	struct ring3_sample s;

	seen.all++;
	if (!ring3_sample(uc, &s))
		return;
	seen.inside++;
	seen.right +=
		s.rip >= KT_CODE_AT && s.rip <= KT_CODE_AT + 16 && !s.user;
	if (s.where == RING3_IN_GUEST || s.where == RING3_IN_ENTRY)
		seen.translated++;
	else if (s.where == RING3_IN_C)
		seen.what = s.what;
}

static void sample_run(int careful)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	struct kt_vm t;

	kt_vm_open(&t, 0);
	if (careful)
		KT_LONG(&t, samples_careful);
	else
		KT_LONG(&t, samples_fast);
	kt_executor(&t, careful);
	memset(&seen, 0, sizeof(seen));
	setitimer(ITIMER_PROF, &every, NULL);
	OK(kt_run(&t));
	setitimer(ITIMER_PROF, &never, NULL);
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	KT_CHECK(seen.inside > 4);
	/* Some may come while the first instruction is made ready. */
	KT_CHECK(seen.right > seen.inside / 2);
	if (careful)
		KT_CHECK(seen.what && !strcmp(seen.what, "careful"));
	else
		KT_CHECK(seen.translated > seen.inside / 2);
	kt_vm_close(&t);
}

/* What perf is told about the same code: it begins and ends with a block. */
static void perf_map(void)
{
	unsigned long long start, size;
	char path[64], name[64];
	struct kt_vm t;
	int found = 0;
	FILE *f;

	setenv("RING3_PERF_MAP", "1", 1);
	kt_vm_open(&t, 0);
	unsetenv("RING3_PERF_MAP");
	KT_LONG(&t, samples_fast);
	OK(kt_run(&t));
	kt_vm_close(&t);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	f = fopen(path, "r");
	KT_CHECK(f);
	if (!f)
		return;
	while (fscanf(f, "%llx %llx %63s", &start, &size, name) == 3)
		found += start && size &&
			 !strcmp(name, "guest_kernel_0000000000001000");
	fclose(f);
	GIVES(found, 1);
	unlink(path);
}

void test_sample(void)
{
	struct sigaction sa = { .sa_sigaction = sampled,
				.sa_flags = SA_SIGINFO | SA_RESTART };

	if (kt_real)
		return;
	sigaction(SIGPROF, &sa, NULL);
	sample_run(0);
	sample_run(1);
	perf_map();
	/* Outside of KVM_RUN there is nothing to tell. */
	memset(&seen, 0, sizeof(seen));
	raise(SIGPROF);
	GIVES(seen.all, 1);
	GIVES(seen.inside, 0);
	signal(SIGPROF, SIG_DFL);
}
