#include "host/time.h"
#include "irqchip/lapic.h"
#include "root/hv.h"
#include "root/vcpu.h"

/*
 * Synthetic timers.  The timer service only says which timer to look at; the
 * vCPU's own thread does the rest, before it enters the guest.
 */

#define ENABLED	    BIT(0)
#define PERIODIC    BIT(1)
#define LAZY	    BIT(2)
#define AUTO_ENABLE BIT(3)
#define DIRECT	    BIT(12)
#define VECTOR(c)   ((uint8_t)((c) >> 4))
#define SINT(c)	    ((unsigned int)((c) >> 16 & 15))

/* Against interrupt storms: 200 us, as for the local APIC's timer. */
#define MIN_PERIOD 2000ull

/* "Timer expired", with what it says. */
#define MSG_TIMER_EXPIRED 0x80000010

struct timer_message {
	uint32_t type;
	uint8_t size, flags, reserved[2];
	uint64_t sender;
	uint32_t index, zero;
	uint64_t expired, delivered;
};

static unsigned int index_of(const struct hv_stimer *s)
{
	return (unsigned int)(s - s->vcpu->hv.stimer);
}

/* Any thread. */
static void look_at(struct hv_stimer *s)
{
	__atomic_fetch_or(&s->vcpu->hv.due, 1u << index_of(s),
			  __ATOMIC_SEQ_CST);
	vcpu_request(s->vcpu, REQ_HV_TIMER);
}

static void timer_fired(struct timer *t)
{
	look_at(container_of(t, struct hv_stimer, timer));
}

static void stop(struct hv_stimer *s)
{
	if (s->ready)
		timer_stop(&s->timer);
	s->msg_pending = false;
	s->expires = 0;
}

void hv_vcpu_finish(struct vcpu *v)
{
	for (unsigned int i = 0; i < HV_STIMERS; i++)
		if (v->hv.stimer[i].ready)
			timer_finish(&v->hv.stimer[i].timer);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

/* The next time of a periodic timer, after those that were missed. */
static uint64_t next_period(const struct hv_stimer *s, uint64_t now)
{
	uint64_t period = s->count < MIN_PERIOD ? MIN_PERIOD : s->count;

	if (!s->expires)
		return sum(now, period);
	if (now < s->expires)
		return s->expires;
	return sum(now, period - (now - s->expires) % period);
}

static void start(struct hv_stimer *s)
{
	uint64_t now = hv_time(s->vcpu);
	uint64_t ahead;

	s->expires = s->config & PERIODIC ? next_period(s, now) : s->count;
	if (now >= s->expires) {
		look_at(s);
		return;
	}
	ahead = s->expires - now;
	timer_start(&s->timer, ahead > UINT64_MAX / 2 / HV_TICK_NS
				       ? UINT64_MAX
				       : time_now_ns() + ahead * HV_TICK_NS);
}

static int send(struct hv_stimer *s)
{
	struct timer_message m = {
		.type = MSG_TIMER_EXPIRED,
		.size = 24,
		.index = index_of(s),
		.expired = s->expires,
		.delivered = hv_time(s->vcpu),
	};

	if (s->config & DIRECT)
		return lapic_raise(s->vcpu->apic, VECTOR(s->config)) < 0;
	/* A lazy periodic timer leaves out what nobody has read. */
	return hv_send_message(s->vcpu, SINT(s->config), &m, sizeof(m),
			       (s->config & PERIODIC) && (s->config & LAZY));
}

static void expire(struct hv_stimer *s)
{
	s->msg_pending = send(s) != 0;
	if (!s->msg_pending && !(s->config & PERIODIC))
		s->config &= ~ENABLED;
}

static void run(struct hv_stimer *s)
{
	if (!(s->config & ENABLED))
		return;
	if (s->expires && hv_time(s->vcpu) >= s->expires)
		expire(s);
	if (!(s->config & ENABLED) || !s->count)
		stop(s);
	else if (!s->msg_pending)
		start(s);
}

void hv_run_timers(struct vcpu *v)
{
	uint32_t due = __atomic_exchange_n(&v->hv.due, 0, __ATOMIC_SEQ_CST);

	for (unsigned int i = 0; i < HV_STIMERS; i++)
		if (due & 1u << i)
			run(&v->hv.stimer[i]);
}

void hv_sint_free(struct vcpu *v, unsigned int sint)
{
	for (unsigned int i = 0; i < HV_STIMERS; i++) {
		struct hv_stimer *s = &v->hv.stimer[i];

		if (s->msg_pending && (s->config & ENABLED) &&
		    !(s->config & DIRECT) && SINT(s->config) == sint)
			look_at(s);
	}
}

/* A timer that sends messages to source 0 cannot be enabled. */
static void write_config(struct hv_stimer *s, uint64_t value)
{
	stop(s);
	if (!(value & DIRECT) && !SINT(value))
		value &= ~ENABLED;
	s->config = value;
}

static void write_count(struct hv_stimer *s, uint64_t value, bool host)
{
	stop(s);
	s->count = value;
	if (host)
		return;
	if (!value)
		s->config &= ~ENABLED;
	else if (s->config & AUTO_ENABLE)
		s->config |= ENABLED;
}

static bool get_ready(struct hv_stimer *s)
{
	if (!s->ready)
		s->ready = !timer_init(&s->timer, s->vcpu->vm->timers,
				       timer_fired);
	return s->ready;
}

enum msr_result hv_stimer_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	unsigned int n = msr - HV_MSR_STIMER0_CONFIG;
	const struct hv_stimer *s = &v->hv.stimer[n / 2];

	*value = n & 1 ? s->count : s->config;
	return MSR_OK;
}

enum msr_result hv_stimer_write(struct vcpu *v, uint32_t msr, uint64_t value,
				bool host)
{
	unsigned int n = msr - HV_MSR_STIMER0_CONFIG;
	struct hv_stimer *s = &v->hv.stimer[n / 2];

	if (!v->hv.synic || !get_ready(s))
		return host && !value ? MSR_OK : MSR_GP;
	if (n & 1)
		write_count(s, value, host);
	else
		write_config(s, value);
	if (s->config & ENABLED)
		look_at(s);
	return MSR_OK;
}
