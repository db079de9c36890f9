#include <pthread.h>
#include <unistd.h>

#include "shim/real.h"
#include "shim/signal.h"

/*
 * A thread that is cancelled while it is in KVM_RUN.  The C library sends it a
 * signal, whose handler may unwind the thread's stack; like all handlers it is
 * put off until the engine has returned.  The C library installs it when the
 * first thread is cancelled, and sigaction() does not show it.
 */
static void *victim(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* take_handler - has the C library install its handler, and takes it over. */
static void take_handler(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, victim, NULL))
		return;
	real()->pthread_cancel(thread);
	pthread_join(thread, NULL);
	signals_wrap_reserved(SIGNAL_CANCEL);
}

EXPORT int pthread_cancel(pthread_t thread)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (signals_started())
		pthread_once(&once, take_handler);
	return real()->pthread_cancel(thread);
}
