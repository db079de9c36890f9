#pragma once

#include "base/types.h"

/*
 * Timers of one VM, served by one thread that sleeps until the earliest
 * deadline.  Deadlines are absolute CLOCK_MONOTONIC times (time_now_ns()).
 *
 * A timer fires once and is then idle; a periodic one starts itself again from
 * its callback.  Callbacks run on the service thread, one at a time, without
 * the service's lock: they may take their device's lock and start or stop any
 * timer.  A callback can be overtaken by a timer_start or timer_stop of
 * another thread, so it must check, under its device's lock, that its deadline
 * has really come.
 */
struct timers;

struct timer {
	void (*fn)(struct timer *t);
	struct timers *service;
	uint64_t deadline_ns;
	uint32_t pos; /* heap position, from 1; 0: idle */
};

/*
 * timers_create - starts the service thread, with all signals blocked.
 * Returns 0 or -errno.
 */
int timers_create(struct timers **out) __must_check;

/* timers_destroy - ends the thread; every timer must be finished before. */
void timers_destroy(struct timers *s);

/* timer_init - prepares an idle timer.  Returns 0 or -ENOMEM. */
int timer_init(struct timer *t, struct timers *s,
	       void (*fn)(struct timer *t)) __must_check;

/*
 * timer_start - (re)starts: @t fires as soon as @deadline_ns has come.
 * UINT64_MAX is never.
 */
void timer_start(struct timer *t, uint64_t deadline_ns);

/* timer_stop - idle again; a callback may still be running. */
void timer_stop(struct timer *t);

/*
 * timer_finish - stops for good and waits for a running callback.  The caller
 * holds no lock that the callback takes and is not a callback itself.
 */
void timer_finish(struct timer *t);
