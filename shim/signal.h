#pragma once

#include <signal.h>
#include <stdbool.h>

/*
 * The client's signal handlers.  From the first open of /dev/kvm on, each is
 * called by one of the shim's own, which
 *
 *  - ends a KVM_RUN that the signal interrupts, as the real one would end, and
 *    puts the client's handler off until KVM_RUN, or any other request, has
 *    returned, where it may block, longjmp() or end the thread as it likes;
 *  - comes after the engine's for the signals that guest code raises.
 *
 * The client never sees a difference: sigaction() reports what it has set.
 */

/* signals_start - from now on; takes over what is installed already. */
void signals_start(void);

/* signals_claim - the shim's own handling of @sig comes first from now on. */
void signals_claim(int sig);

bool signals_started(void);

/* signals_before_run - before KVM_RUN, on its thread. */
void signals_before_run(void);

/* signals_after - raises again what came during a request to the engine. */
void signals_after(void);

/* SIGNAL_CANCEL - by which the C library cancels threads. */
#define SIGNAL_CANCEL __SIGRTMIN

/* signals_wrap_reserved - takes over the handler of one of the C library's own
 * signals, if it has installed it. */
void signals_wrap_reserved(int sig);

/*
 * signals_watch - KVM_SET_SIGNAL_MASK's set: signals that it unblocks end
 * KVM_RUN, even if nothing handles them.
 */
void signals_watch(const sigset_t *mask);

/* signals_mask_changed - the thread's mask is not what we know any more. */
void signals_mask_changed(void);

/* signals_sigaction - sigaction() for the client. */
int signals_sigaction(int sig, const struct sigaction *act,
		      struct sigaction *old);
