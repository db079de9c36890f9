#include "host/signal.h"

#include <errno.h>

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
static struct sigaction previous[ARRAY_SIZE(signals)];
static bool (*claim_signal)(int, siginfo_t *, void *);
static bool installed;

static void chain(const struct sigaction *old, int sig, siginfo_t *info,
		  void *uc)
{
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, uc);
		return;
	}
	if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
		old->sa_handler(sig);
		return;
	}
	/* The instruction runs again and meets the default action. */
	signal(sig, SIG_DFL);
}

static void handler(int sig, siginfo_t *info, void *uc)
{
	int saved = errno;

	if (!claim_signal(sig, info, uc)) {
		for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
			if (signals[i] == sig)
				chain(&previous[i], sig, info, uc);
	}
	errno = saved;
}

int host_signal_init(bool (*claim)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = handler,
				.sa_flags =
					SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	if (installed)
		return 0;
	claim_signal = claim;
	sigemptyset(&sa.sa_mask);
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], &sa, &previous[i]))
			return -errno;
	installed = true;
	return 0;
}
