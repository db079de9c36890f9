/* Signals of a client of the preload library. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>

#include "test/shim/machine.h"

static struct machine m;
static volatile int handled, value;
static sigjmp_buf back;

static void note(int sig, siginfo_t *info, void *uc)
{
	handled++;
	value = info->si_value.sival_int;
}

static void leave(int sig)
{
	handled++;
	siglongjmp(back, 1);
}

static void count(int sig)
{
	handled++;
}

static void install(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = fn,
				.sa_flags = flags | SA_SIGINFO };

	sigemptyset(&sa.sa_mask);
	CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

/* kick - sends the thread that is in KVM_RUN by then a signal with a value. */
static void *kick(void *arg)
{
	union sigval v = { .sival_int = 77 };

	usleep(30000);
	pthread_sigqueue(*(pthread_t *)arg, SIGUSR1, v);
	return NULL;
}

static int run_kicked(void)
{
	pthread_t self = pthread_self(), thread;
	int r;

	pthread_create(&thread, NULL, kick, &self);
	r = machine_run(&m);
	pthread_join(thread, NULL);
	return r;
}

/* A handler that does nothing ends KVM_RUN, and gets what was sent. */
static void kicks(void)
{
	handled = 0;
	install(SIGUSR1, note, 0);
	for (int i = 1; i <= 3; i++) {
		value = 0;
		CHECK_EQ(run_kicked(), -EINTR);
		CHECK_EQ(m.run->exit_reason, KVM_EXIT_INTR);
		CHECK_EQ(handled, i);
		CHECK_EQ(value, 77);
	}
}

/* A handler may leave KVM_RUN by a jump; the vCPU runs on afterwards. */
static void jumps(void)
{
	struct sigaction sa = { .sa_handler = leave };
	static pthread_t thread; /* outlives the jump */
	pthread_t self = pthread_self();

	handled = 0;
	sigaction(SIGUSR1, &sa, NULL);
	if (!sigsetjmp(back, 1)) {
		pthread_create(&thread, NULL, kick, &self);
		machine_run(&m);
		CHECK(!"came back");
	}
	pthread_join(thread, NULL);
	CHECK_EQ(handled, 1);
	install(SIGUSR1, note, 0);
	CHECK_EQ(run_kicked(), -EINTR);
	CHECK_EQ(handled, 2);
}

/* A thread in KVM_RUN may be cancelled; another one runs its vCPU. */
static volatile int cleaned;

static void cleanup(void *arg)
{
	cleaned++;
}

static void *runner(void *arg)
{
	int was;

	pthread_setcanceltype(*(int *)arg, &was);
	pthread_cleanup_push(cleanup, NULL);
	while (machine_run(&m) == -EINTR)
		pthread_testcancel();
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancel(int type)
{
	pthread_t thread;
	void *result;

	handled = cleaned = 0;
	CHECK_EQ(pthread_create(&thread, NULL, runner, &type), 0);
	usleep(30000);
	CHECK_EQ(pthread_cancel(thread), 0);
	/* It is no point of cancellation; something else must end it. */
	if (type == PTHREAD_CANCEL_DEFERRED)
		pthread_kill(thread, SIGUSR1);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK_EQ(cleaned, 1);
	CHECK_EQ(run_kicked(), -EINTR);
	CHECK_EQ(ioctl(m.vcpu, KVM_SET_SIGNAL_MASK, NULL), 0);
}

static void cancels(void)
{
	for (int i = 0; i < 3; i++) {
		cancel(PTHREAD_CANCEL_ASYNCHRONOUS);
		cancel(PTHREAD_CANCEL_DEFERRED);
	}
}

/* A kick always ends KVM_RUN, at whatever point of the request it comes. */
#define KICKS	   3000
#define MIN_KICKS  100 /* however busy the machine is */
#define STORM_SECS 3
#define LOST_SECS  20

static volatile int stop, stopped;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

/* Whether @handled has changed from @before; not for ever. */
static int is_handled(int before)
{
	double begin = now();

	while (handled == before && now() - begin < LOST_SECS) {
		for (int n = 0; handled == before && n < 10000; n++)
			__builtin_ia32_pause();
		/* The other thread may have this one's processor. */
		if (handled == before)
			sched_yield();
	}
	return handled != before;
}

static void *storm(void *arg)
{
	double begin = now();

	for (int i = 0; i < KICKS && !stop; i++) {
		int before = handled;

		if (i > MIN_KICKS && now() - begin > STORM_SECS)
			break;
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		if (!is_handled(before))
			return "lost";
	}
	stop = 1;
	/* It may just have looked at that, and have gone on. */
	while (!stopped) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		usleep(1000);
	}
	return NULL;
}

static void storms(void)
{
	pthread_t self = pthread_self(), thread;
	void *lost;

	handled = stop = stopped = 0;
	pthread_create(&thread, NULL, storm, &self);
	while (!stop)
		CHECK_EQ(machine_run(&m), -EINTR);
	stopped = 1;
	pthread_join(thread, &lost);
	CHECK(!lost);
}

/* What was installed is reported. */
static void reports(void)
{
	struct sigaction old;

	CHECK_EQ(sigaction(SIGUSR1, NULL, &old), 0);
	CHECK(old.sa_sigaction == note);
	CHECK(old.sa_flags & SA_SIGINFO);
	CHECK(signal(SIGUSR2, count) == SIG_DFL);
	CHECK(signal(SIGUSR2, SIG_IGN) == count);
	CHECK_EQ(raise(SIGUSR2), 0);
	CHECK(signal(SIGUSR2, count) == SIG_IGN);
	handled = 0;
	raise(SIGUSR2);
	CHECK_EQ(handled, 1);
	CHECK(signal(SIGUSR2, SIG_DFL) == count);
	/* Once only. */
	install(SIGUSR2, note, (int)SA_RESETHAND);
	raise(SIGUSR2);
	CHECK_EQ(handled, 2);
	CHECK_EQ(sigaction(SIGUSR2, NULL, &old), 0);
	CHECK(old.sa_handler == SIG_DFL);
}

/* The engine's own signals stay the client's too. */
static volatile int *bad_address;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	handled++;
	CHECK(info->si_addr == (void *)bad_address);
	mprotect((void *)bad_address, 4096, PROT_READ | PROT_WRITE);
}

static void faults(void)
{
	struct sigaction old;
	sigset_t all, was;

	bad_address =
		mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	handled = 0;
	install(SIGSEGV, on_fault, 0);
	*bad_address = 5;
	CHECK_EQ(handled, 1);
	CHECK_EQ(*bad_address, 5);
	CHECK_EQ(sigaction(SIGSEGV, NULL, &old), 0);
	CHECK(old.sa_sigaction == on_fault);
	/* Blocking them all does not stop the guest. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	m.run->immediate_exit = 1;
	CHECK_EQ(machine_run(&m), -EINTR);
	m.run->immediate_exit = 0;
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	signal(SIGSEGV, SIG_DFL);
}

/* A signal that only KVM_RUN unblocks stays pending, handler or none. */
static void masks(void)
{
	/* The length and an empty set. */
	unsigned int mask[3] = { 8 };
	sigset_t set;
	int sig = 0;

	signal(SIGUSR1, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	CHECK_EQ(ioctl(m.vcpu, KVM_SET_SIGNAL_MASK, mask), 0);
	CHECK_EQ(run_kicked(), -EINTR);
	CHECK_EQ(sigwait(&set, &sig), 0);
	CHECK_EQ(sig, SIGUSR1);
	CHECK_EQ(ioctl(m.vcpu, KVM_SET_SIGNAL_MASK, NULL), 0);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void test_signals(void)
{
	install(SIGUSR1, note, 0);
	MACHINE_OPEN(&m, 0xeb, 0xfe); /* 1: jmp 1b */
	kicks();
	jumps();
	cancels();
	storms();
	reports();
	faults();
	masks();
	machine_close(&m);
}
