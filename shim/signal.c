#include "shim/signal.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"
#include "include/ring3.h"
#include "shim/cpuid.h"
#include "shim/engine.h"
#include "shim/real.h"

#define NR_SIGNALS  65
#define NR_DEFERRED 16

/* What the client has installed, for signals whose handler is ours. */
static struct sigaction client[NR_SIGNALS];
static bool engine_has[NR_SIGNALS]; /* the engine's handler comes first */
static bool started;
static struct lock lock;

/* Signals that came while this thread was in a request to the engine. */
struct deferred {
	unsigned int nr;
	siginfo_t info[NR_DEFERRED];
};
static __thread struct deferred deferred
	__attribute__((tls_model("initial-exec")));
/* The thread does not block the engine's signals. */
static __thread bool mask_known __attribute__((tls_model("initial-exec")));

static void handler(int sig, siginfo_t *info, void *uc);

static bool is_function(const struct sigaction *sa)
{
	return (sa->sa_flags & SA_SIGINFO) ||
	       (sa->sa_handler != SIG_DFL && sa->sa_handler != SIG_IGN);
}

static bool is_ours(const struct sigaction *sa)
{
	return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == handler;
}

/* lock_signals - a handler that calls sigaction() must not meet itself. */
static void lock_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	real()->pthread_sigmask(SIG_BLOCK, &all, old);
	lock_take(&lock);
}

static void unlock_signals(const sigset_t *old)
{
	lock_drop(&lock);
	real()->pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* resend - raises the signal once more, for this thread. */
static int resend(int sig, siginfo_t *info)
{
	return real()->syscall(SYS_rt_tgsigqueueinfo, getpid(),
			       real()->syscall(SYS_gettid), sig, info);
}

/* default_action - what no handler of the client is there for. */
static void default_action(int sig, siginfo_t *info)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	if (client[sig].sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	real()->sigaction(sig, &dfl, NULL);
	/* A fault's instruction runs again; a message would be lost. */
	if (info->si_code <= 0)
		resend(sig, info);
}

/* deliver - to the client's handler. */
static void deliver(int sig, siginfo_t *info, void *uc)
{
	struct sigaction sa = client[sig], dfl = { .sa_handler = SIG_DFL };

	if (!is_function(&sa)) {
		default_action(sig, info);
		return;
	}
	if (sa.sa_flags & SA_RESETHAND)
		signals_sigaction(sig, &dfl, NULL);
	/* One that takes the number alone ignores the rest. */
	sa.sa_sigaction(sig, info, uc);
}

static void handler(int sig, siginfo_t *info, void *uc)
{
	struct deferred *d = &deferred;

	if (ring3_signal() && d->nr < NR_DEFERRED) {
		d->info[d->nr] = *info;
		d->info[d->nr++].si_signo = sig;
		return;
	}
	deliver(sig, info, uc);
}

/* after_engine - a signal that the engine has found not to be its own. */
static void after_engine(int sig, siginfo_t *info, void *uc)
{
	const struct sigaction *sa = &client[sig];
	sigset_t mask = sa->sa_mask;

	if (sig == SIGILL && info->si_code > 0 && cpuid_trapped(uc))
		return;
	if (info->si_code <= 0) {
		/* Not a fault: somebody has sent it. */
		handler(sig, info, uc);
		return;
	}
	/* The engine's own action blocks nothing; the return restores it. */
	if (is_function(sa)) {
		if (!(sa->sa_flags & SA_NODEFER))
			sigaddset(&mask, sig);
		real()->pthread_sigmask(SIG_BLOCK, &mask, NULL);
	}
	deliver(sig, info, uc);
}

/* wrap - installs our handler for the client's; under the lock. */
static int wrap(int sig, const struct sigaction *act)
{
	struct sigaction ours = *act;

	ours.sa_sigaction = handler;
	ours.sa_flags |= SA_SIGINFO;
	/* A signal put off is raised a second time: reset it ourselves. */
	ours.sa_flags &= ~(int)SA_RESETHAND;
	return real()->sigaction(sig, &ours, NULL);
}

static int change(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction now;
	int r = 0;

	if (real()->sigaction(sig, NULL, &now))
		return -1;
	if (engine_has[sig] || is_ours(&now))
		now = client[sig];
	if (act) {
		struct sigaction before = client[sig];

		client[sig] = *act;
		if (engine_has[sig])
			r = 0;
		else if (is_function(act))
			r = wrap(sig, act);
		else
			r = real()->sigaction(sig, act, NULL);
		if (r)
			client[sig] = before;
	}
	if (!r && old)
		*old = now;
	return r;
}

void signals_wrap_reserved(int sig)
{
	struct {
		void (*handler)(int, siginfo_t *, void *);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} now;
	sigset_t mask;

	lock_signals(&mask);
	if (!real()->syscall(SYS_rt_sigaction, sig, NULL, &now, 8) &&
	    (now.flags & SA_SIGINFO) && now.handler != handler) {
		client[sig].sa_sigaction = now.handler;
		client[sig].sa_flags = SA_SIGINFO;
		now.handler = handler;
		real()->syscall(SYS_rt_sigaction, sig, &now, NULL, 8);
	}
	unlock_signals(&mask);
}

bool signals_started(void)
{
	return __atomic_load_n(&started, __ATOMIC_ACQUIRE);
}

int signals_sigaction(int sig, const struct sigaction *act,
		      struct sigaction *old)
{
	struct sigaction copy;
	sigset_t mask;
	int r;

	if (!signals_started() || sig <= 0 || sig >= NR_SIGNALS)
		return real()->sigaction(sig, act, old);
	if (act)
		copy = *act;
	lock_signals(&mask);
	r = change(sig, act ? &copy : NULL, old);
	unlock_signals(&mask);
	return r;
}

void signals_start(void)
{
	struct sigaction now;
	sigset_t mask;

	if (signals_started())
		return;
	lock_signals(&mask);
	for (int sig = 1; sig < NR_SIGNALS && !started; sig++) {
		if (real()->sigaction(sig, NULL, &now) || !is_function(&now))
			continue;
		client[sig] = now;
		wrap(sig, &now);
	}
	__atomic_store_n(&started, true, __ATOMIC_RELEASE);
	unlock_signals(&mask);
	signals_wrap_reserved(SIGNAL_CANCEL);
}

int engine_sigaction(int sig, const struct sigaction *act,
		     struct sigaction *old)
{
	struct sigaction now;
	sigset_t mask;
	int r;

	lock_signals(&mask);
	r = real()->sigaction(sig, act, &now);
	if (!r) {
		if (!is_ours(&now) && !engine_has[sig])
			client[sig] = now;
		engine_has[sig] = true;
	}
	unlock_signals(&mask);
	if (r || !old)
		return r;
	memset(old, 0, sizeof(*old));
	old->sa_flags = SA_SIGINFO;
	old->sa_sigaction = after_engine;
	return 0;
}

void signals_claim(int sig)
{
	struct sigaction act = { .sa_sigaction = after_engine,
				 .sa_flags = SA_SIGINFO | SA_NODEFER };

	signals_start();
	engine_sigaction(sig, &act, NULL);
}

void signals_mask_changed(void)
{
	mask_known = false;
}

void signals_before_run(void)
{
	sigset_t set;

	if (mask_known)
		return;
	/* The kernel ends a process that blocks a fault's signal. */
	sigemptyset(&set);
	for (int sig = 1; sig < NR_SIGNALS; sig++)
		if (engine_has[sig])
			sigaddset(&set, sig);
	real()->pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	mask_known = true;
}

void signals_after(void)
{
	struct deferred *d = &deferred;
	siginfo_t info;

	/* One at a time: a handler may leave by longjmp(). */
	while (d->nr) {
		info = d->info[0];
		memmove(d->info, d->info + 1, --d->nr * sizeof(info));
		if (resend(info.si_signo, &info))
			deliver(info.si_signo, &info, NULL);
	}
}

void signals_watch(const sigset_t *mask)
{
	struct sigaction now;
	sigset_t blocked, old;

	real()->pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	lock_signals(&old);
	for (int sig = 1; sig < NR_SIGNALS; sig++) {
		if (sigismember(mask, sig) || sigismember(&blocked, sig) != 1 ||
		    engine_has[sig] || real()->sigaction(sig, NULL, &now) ||
		    now.sa_handler != SIG_DFL)
			continue;
		client[sig] = now;
		wrap(sig, &now);
	}
	unlock_signals(&old);
}
