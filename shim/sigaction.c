#include <errno.h>
#include <signal.h>

#include "shim/real.h"
#include "shim/signal.h"

/* The C library's ways to install a handler and to change the mask. */

EXPORT int __sigaction(int sig, const struct sigaction *act,
		       struct sigaction *old);
EXPORT sighandler_t bsd_signal(int sig, sighandler_t fn);
EXPORT sighandler_t __sysv_signal(int sig, sighandler_t fn);

EXPORT int sigaction(int sig, const struct sigaction *act,
		     struct sigaction *old)
{
	return signals_sigaction(sig, act, old);
}

EXPORT int __sigaction(int sig, const struct sigaction *act,
		       struct sigaction *old)
{
	return signals_sigaction(sig, act, old);
}

static sighandler_t install(int sig, sighandler_t fn, int flags)
{
	struct sigaction act = { .sa_handler = fn, .sa_flags = flags }, old;

	if (fn == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&act.sa_mask);
	return signals_sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

EXPORT sighandler_t signal(int sig, sighandler_t fn)
{
	return install(sig, fn, SA_RESTART);
}

EXPORT sighandler_t bsd_signal(int sig, sighandler_t fn)
{
	return install(sig, fn, SA_RESTART);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t fn)
{
	return install(sig, fn, SA_RESTART);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t fn)
{
	return install(sig, fn, (int)(SA_RESETHAND | SA_NODEFER));
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t fn)
{
	return install(sig, fn, (int)(SA_RESETHAND | SA_NODEFER));
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (set)
		signals_mask_changed();
	return real()->pthread_sigmask(how, set, old);
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	int r;

	if (set)
		signals_mask_changed();
	r = real()->pthread_sigmask(how, set, old);
	if (!r)
		return 0;
	errno = r;
	return -1;
}
