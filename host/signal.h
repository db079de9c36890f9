#pragma once

#include <signal.h>

#include "base/types.h"

/*
 * Signals of the host that belong to guest code: SIGSEGV, SIGBUS, SIGFPE,
 * SIGILL and SIGTRAP raised by translated code.  All others go on to the
 * handler that was there before.
 */

/*
 * host_signal_init - installs the handlers, once per process.  @claim answers
 * whether a signal was the engine's (it then has changed the context).
 * Returns 0 or -errno.
 */
int host_signal_init(bool (*claim)(int sig, siginfo_t *info, void *ucontext));
