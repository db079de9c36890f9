#include "vmm/profile.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "vmm/log.h"
#include "vmm/status.h"
#include "vmm/vm.h"

/* The kernel looks at such timers at its tick, so this is an upper bound. */
#define PROFILE_INTERVAL_NS 1000000

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static __thread struct profile_thread *profile_self
	__attribute__((tls_model("initial-exec")));

static void profile_tick(int sig, siginfo_t *info, void *uc)
{
	const ucontext_t *u = uc;
	struct profile_thread *t = profile_self;
	struct profile_sample *s;

	if (!t)
		return;
	if (t->nr == PROFILE_SAMPLES) {
		t->lost++;
		return;
	}
	s = &t->sample[t->nr++];
	s->pc = u->uc_mcontext.gregs[REG_RIP];
	if (!kvmfd_sample(u, s)) {
		s->where = PROFILE_USER;
		s->exit = t->vcpu ? t->vcpu->run->exit_reason : 0;
	}
}

static uint64_t profile_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void profile_begin(struct vm *vm, struct vcpu *vcpu)
{
	struct profile *p = &vm->profile;
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID,
			       .sigev_signo = SIGPROF };
	struct itimerspec when = { .it_interval.tv_nsec = PROFILE_INTERVAL_NS,
				   .it_value.tv_nsec = PROFILE_INTERVAL_NS };
	struct profile_thread *t;

	if (!p->thread)
		return;
	t = &p->thread[vcpu ? vcpu->id : p->nr_threads - 1];
	t->vcpu = vcpu;
	ev.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &t->timer))
		return;
	t->begun = true;
	t->cpu_ns = profile_clock(CLOCK_THREAD_CPUTIME_ID);
	t->wall_ns = profile_clock(CLOCK_MONOTONIC);
	profile_self = t;
	timer_settime(t->timer, 0, &when, NULL);
}

void profile_end(void)
{
	struct profile_thread *t = profile_self;

	if (!t)
		return;
	timer_delete(t->timer);
	profile_self = NULL;
	t->cpu_ns = profile_clock(CLOCK_THREAD_CPUTIME_ID) - t->cpu_ns;
	t->wall_ns = profile_clock(CLOCK_MONOTONIC) - t->wall_ns;
}

static int profile_map(struct profile_thread *t)
{
	void *m = mmap(NULL, PROFILE_SAMPLES * sizeof(*t->sample),
		       PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (m == MAP_FAILED)
		return -errno;
	t->sample = m;
	return 0;
}

int profile_init(struct vm *vm)
{
	struct sigaction sa = { .sa_sigaction = profile_tick,
				.sa_flags = SA_SIGINFO | SA_RESTART };
	const struct profile_config *config = &vm->config->profile;
	struct profile *p = &vm->profile;
	int r = 0;

	if (!config->on)
		return 0;
	if (strcmp(kvmfd_name(&vm->sys), "ring3"))
		return log_error(STATUS_USAGE, "--profile needs --accel ring3");
	if (config->symbols && symbols_read(&p->guest, config->symbols))
		return STATUS_INPUT;
	p->out = config->file ? fopen(config->file, "we") : stderr;
	if (!p->out)
		return log_error(STATUS_INPUT, "cannot write \"%s\": %s",
				 config->file, strerror(errno));
	p->nr_threads = vm->nr_vcpus + 1;
	p->thread = calloc(p->nr_threads, sizeof(p->thread[0]));
	if (!p->thread)
		r = -ENOMEM;
	for (unsigned i = 0; i < p->nr_threads && !r; i++)
		r = profile_map(&p->thread[i]);
	if (!r && sigaction(SIGPROF, &sa, NULL) < 0)
		r = -errno;
	if (!r)
		return 0;
	return log_error(STATUS_HOST, "cannot profile: %s", strerror(-r));
}

void profile_free(struct vm *vm)
{
	struct profile *p = &vm->profile;

	for (unsigned i = 0; p->thread && i < p->nr_threads; i++)
		if (p->thread[i].sample)
			munmap(p->thread[i].sample,
			       PROFILE_SAMPLES * sizeof(struct profile_sample));
	free(p->thread);
	symbols_free(&p->guest);
	if (p->out && p->out != stderr)
		fclose(p->out);
}
