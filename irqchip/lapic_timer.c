#include "host/time.h"
#include "irqchip/lapic_int.h"

/*
 * The timer counts a bus clock of 1 GHz, as KVM's does: a count is a length in
 * nanoseconds, times the divisor.  Nothing ticks: the current count is computed
 * from the deadline, and the host's timer service is asked for the deadline
 * only.  A periodic timer's deadlines are multiples of its period from the
 * start, so that it does not drift; ticks that were missed altogether are
 * dropped.
 */

/* KVM's limit (its min_timer_period_us), against interrupt storms. */
#define MIN_PERIOD_NS 200000ull

static uint32_t timer_mode(const struct lapic *l)
{
	return reg_get(l, APIC_LVTT) & LVT_TIMER_MODE;
}

static uint64_t period_ns(const struct lapic *l)
{
	uint64_t ns = (uint64_t)reg_get(l, APIC_TMICT) << l->timer_shift;

	if (timer_mode(l) == LVT_TIMER_PERIODIC && ns < MIN_PERIOD_NS)
		return MIN_PERIOD_NS;
	return ns;
}

/* All functions from here to the callback need timer_lock. */
static void disarm(struct lapic *l)
{
	l->timer_armed = false;
	l->deadline_tsc = 0;
	timer_stop(&l->timer);
}

static void arm(struct lapic *l, uint64_t deadline_ns)
{
	l->timer_armed = true;
	l->deadline_ns = deadline_ns;
	timer_start(&l->timer, deadline_ns);
}

/* Returns whether the deadline has passed: the timer is then disarmed. */
static bool arm_deadline(struct lapic *l)
{
	uint64_t host_tsc = l->deadline_tsc - l->tsc_offset;
	uint64_t guest_now = tsc_read() + l->tsc_offset;
	uint64_t deadline_ns;

	if (guest_now >= l->deadline_tsc) {
		disarm(l);
		return true;
	}
	deadline_ns = tsc_deadline_ns(host_tsc);
	arm(l, deadline_ns == UINT64_MAX ? UINT64_MAX : deadline_ns + 1);
	return false;
}

/* Returns whether a tick is due at @now. */
static bool expire_counter(struct lapic *l, uint64_t now)
{
	uint64_t period;

	if (now < l->deadline_ns)
		return false;
	if (timer_mode(l) != LVT_TIMER_PERIODIC) {
		disarm(l);
		return true;
	}
	period = period_ns(l);
	arm(l, l->deadline_ns + ((now - l->deadline_ns) / period + 1) * period);
	return true;
}

/*
 * The service may be late.  What the vCPU sees of the timer, and what it
 * changes, must not depend on that: a tick that is due at @now comes first.
 * Raised under the lock: who finds the counter at 0 finds the interrupt.
 */
static void settle_at(struct lapic *l, uint64_t now)
{
	bool tick = false;

	if (l->timer_armed && timer_mode(l) == LVT_TIMER_DEADLINE)
		tick = arm_deadline(l);
	else if (l->timer_armed)
		tick = expire_counter(l, now);
	if (tick)
		lapic_raise_lvt(l, LVT_TIMER);
}

static uint64_t lock_and_settle(struct lapic *l)
{
	uint64_t now;

	pthread_mutex_lock(&l->timer_lock);
	now = time_now_ns();
	settle_at(l, now);
	return now;
}

static void timer_fired(struct timer *t)
{
	struct lapic *l = container_of(t, struct lapic, timer);

	lock_and_settle(l);
	pthread_mutex_unlock(&l->timer_lock);
}

int lapic_timer_init(struct lapic *l)
{
	pthread_mutex_init(&l->timer_lock, NULL);
	return timer_init(&l->timer, l->chip->timers, timer_fired);
}

void lapic_timer_finish(struct lapic *l)
{
	pthread_mutex_lock(&l->timer_lock);
	disarm(l);
	pthread_mutex_unlock(&l->timer_lock);
	timer_finish(&l->timer);
}

/* SDM 3A "Divide Configuration Register": bits 3, 1 and 0; 111B is 1. */
static uint8_t divider_shift(uint32_t tdcr)
{
	uint32_t field = (tdcr & 3) | (tdcr >> 1 & 4);

	return (field + 1) & 7;
}

void lapic_timer_reset(struct lapic *l)
{
	pthread_mutex_lock(&l->timer_lock);
	disarm(l);
	reg_set(l, APIC_TMICT, 0);
	reg_set(l, APIC_TDCR, 0);
	l->timer_shift = divider_shift(0);
	pthread_mutex_unlock(&l->timer_lock);
}

/*
 * One-shot and periodic mode share the counter, which goes on; into and out of
 * deadline mode the timer stops.
 */
void lapic_timer_set_lvt(struct lapic *l, uint32_t lvt)
{
	lock_and_settle(l);
	if ((timer_mode(l) == LVT_TIMER_DEADLINE) !=
	    ((lvt & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE)) {
		disarm(l);
		reg_set(l, APIC_TMICT, 0);
	}
	reg_set(l, APIC_LVTT, lvt);
	pthread_mutex_unlock(&l->timer_lock);
}

void lapic_timer_set_count(struct lapic *l, uint32_t count)
{
	uint64_t now;

	if (timer_mode(l) == LVT_TIMER_DEADLINE)
		return;
	now = lock_and_settle(l);
	reg_set(l, APIC_TMICT, count);
	if (count)
		arm(l, now + period_ns(l));
	else
		disarm(l);
	pthread_mutex_unlock(&l->timer_lock);
}

static uint64_t remaining_ns(const struct lapic *l, uint64_t now)
{
	uint64_t period;

	if (!l->timer_armed || timer_mode(l) == LVT_TIMER_DEADLINE)
		return 0;
	if (now < l->deadline_ns)
		return l->deadline_ns - now;
	if (timer_mode(l) != LVT_TIMER_PERIODIC)
		return 0;
	period = period_ns(l);
	return period - (now - l->deadline_ns) % period;
}

uint32_t lapic_timer_count(struct lapic *l)
{
	uint64_t now = lock_and_settle(l);
	uint64_t step = 1ull << l->timer_shift;
	/* Rounded up: only a counter that has expired reads 0. */
	uint64_t count = (remaining_ns(l, now) + step - 1) >> l->timer_shift;

	pthread_mutex_unlock(&l->timer_lock);
	return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

/* The count stays what it is and goes on at the new rate. */
void lapic_timer_set_divider(struct lapic *l, uint32_t tdcr)
{
	uint8_t old, shift = divider_shift(tdcr);
	uint64_t now = lock_and_settle(l);

	old = l->timer_shift;
	if (shift != old && l->timer_armed &&
	    timer_mode(l) != LVT_TIMER_DEADLINE) {
		uint64_t left = remaining_ns(l, now);

		l->timer_shift = shift;
		arm(l, now + (left >> old << shift));
	}
	l->timer_shift = shift;
	reg_set(l, APIC_TDCR, tdcr & 0xb);
	pthread_mutex_unlock(&l->timer_lock);
}

void lapic_timer_resume(struct lapic *l)
{
	uint64_t left;

	pthread_mutex_lock(&l->timer_lock);
	disarm(l);
	l->timer_shift = divider_shift(reg_get(l, APIC_TDCR));
	left = (uint64_t)reg_get(l, APIC_TMCCT) << l->timer_shift;
	reg_set(l, APIC_TMCCT, 0);
	if (!left && timer_mode(l) == LVT_TIMER_PERIODIC &&
	    reg_get(l, APIC_TMICT))
		left = period_ns(l);
	if (left && timer_mode(l) != LVT_TIMER_DEADLINE)
		arm(l, time_now_ns() + left);
	pthread_mutex_unlock(&l->timer_lock);
}

uint64_t lapic_tsc_deadline(struct lapic *l)
{
	uint64_t v;

	lock_and_settle(l);
	v = timer_mode(l) == LVT_TIMER_DEADLINE ? l->deadline_tsc : 0;
	pthread_mutex_unlock(&l->timer_lock);
	return v;
}

void lapic_set_tsc_deadline(struct lapic *l, uint64_t guest_tsc)
{
	lock_and_settle(l);
	if (is_hw_enabled(l) && timer_mode(l) == LVT_TIMER_DEADLINE) {
		l->deadline_tsc = guest_tsc;
		if (!guest_tsc)
			disarm(l);
		else if (arm_deadline(l))
			lapic_raise_lvt(l, LVT_TIMER);
	}
	pthread_mutex_unlock(&l->timer_lock);
}

void lapic_set_tsc_offset(struct lapic *l, uint64_t offset)
{
	pthread_mutex_lock(&l->timer_lock);
	l->tsc_offset = offset;
	if (l->timer_armed && timer_mode(l) == LVT_TIMER_DEADLINE &&
	    arm_deadline(l))
		lapic_raise_lvt(l, LVT_TIMER);
	pthread_mutex_unlock(&l->timer_lock);
}
