#include "irqchip/pit.h"

#include <errno.h>
#include <stdlib.h>

#include "host/time.h"
#include "host/timer.h"
#include "irqchip/irqchip_int.h"

/*
 * Counters are computed from the time since they were loaded.  Only channel 0
 * has a timer; its n-th tick is due n * count input clocks after the load, so
 * that the guest's tick does not drift.
 *
 * Ticks the guest was too slow for are kept in pending and injected one by one
 * as it ends the interrupt, as KVM does: the next one only after the last was
 * acknowledged.  Masking the line and unmasking it drops them.
 */

/* Of counts in flight: rw_mode, read_state, write_state, count_latched. */
enum rw_state {
	RW_LSB = 1,
	RW_MSB = 2,
	RW_WORD0 = 3,
	RW_WORD1 = 4,
};

#define FULL_COUNT 0x10000u
#define MODE_NONE  0xff /* before the first control word */

/* 200 us, as for the local APIC's timer. */
#define MIN_PERIODIC_COUNT 239u

/*
 * If the guest has not ended its interrupt for so many ticks, the end got lost
 * (a vector changed while in service): inject regardless.
 */
#define MAX_PENDING 1000

#define PORT_CONTROL	0x43
#define PORT_SPEAKER	0x61
#define SPEAKER_CHANNEL 2

struct pit {
	struct irqchip *chip;
	pthread_mutex_t lock; /* of what follows up to the atomics */
	struct pit_channel_state channels[PIT_CHANNELS];
	uint32_t flags;
	bool speaker;
	bool armed;
	uint64_t ticks; /* of channel 0 since it was loaded */
	struct timer timer;
	pthread_mutex_t pulse_lock; /* not held together with lock */
	/* Atomics: */
	int pending;
	bool acked; /* the last injected tick has been ended */
	bool reinject;
};

static uint64_t muldiv(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}

/* Input clocks since the counter was loaded. */
static uint64_t elapsed(const struct pit_channel_state *c)
{
	uint64_t now = time_now_ns(), since = (uint64_t)c->count_load_time;

	return now > since ? muldiv(now - since, PIT_HZ, NSEC_PER_SEC) : 0;
}

static uint32_t reload_of(const struct pit_channel_state *c)
{
	return c->count ? c->count : FULL_COUNT;
}

/* Datasheet, "Mode Definitions". */
static uint16_t current_count(const struct pit_channel_state *c)
{
	uint64_t d = elapsed(c);
	uint32_t reload = reload_of(c);

	switch (c->mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return (uint16_t)(reload - d);
	case 3: /* counts by two */
		return (uint16_t)(reload - 2 * d % reload);
	default:
		return (uint16_t)(reload - d % reload);
	}
}

static bool output_of(const struct pit_channel_state *c)
{
	uint64_t d = elapsed(c);
	uint32_t reload = reload_of(c);

	switch (c->mode) {
	case 0:
		return d >= reload;
	case 1:
		return d < reload;
	case 2:
		return d % reload != reload - 1;
	case 3:
		return d % reload < (reload + 1) / 2;
	case 4:
	case 5:
		return d != reload;
	default:
		return true;
	}
}

static bool is_periodic(const struct pit_channel_state *c)
{
	return c->mode == 2 || c->mode == 3;
}

static uint32_t tick_length(const struct pit_channel_state *c)
{
	uint32_t count = reload_of(c);

	return is_periodic(c) && count < MIN_PERIODIC_COUNT ? MIN_PERIODIC_COUNT
							    : count;
}

static uint64_t tick_time(const struct pit *p, uint64_t tick)
{
	const struct pit_channel_state *c = &p->channels[0];

	return (uint64_t)c->count_load_time +
	       muldiv(tick * tick_length(c), NSEC_PER_SEC, PIT_HZ);
}

static void disarm(struct pit *p)
{
	p->armed = false;
	timer_stop(&p->timer);
}

/* Channel 0 starts to count; modes 1 and 5 would wait for a gate it has not. */
static void start_ticks(struct pit *p)
{
	uint8_t mode = p->channels[0].mode;

	p->ticks = 0;
	if (mode == MODE_NONE || mode == 5 ||
	    (p->flags & PIT_FLAG_HPET_LEGACY)) {
		disarm(p);
		return;
	}
	p->armed = true;
	__atomic_store_n(&p->pending, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->acked, true, __ATOMIC_RELAXED);
	timer_start(&p->timer, tick_time(p, 1) + 1);
}

static void load(struct pit *p, unsigned int channel, uint32_t count)
{
	struct pit_channel_state *c = &p->channels[channel];

	c->count = count ? count : FULL_COUNT;
	c->count_load_time = (int64_t)time_now_ns();
	if (channel == 0)
		start_ticks(p);
}

/* Returns how many ticks have come due since the last call. */
static uint64_t advance(struct pit *p)
{
	const struct pit_channel_state *c = &p->channels[0];
	uint64_t due, before = p->ticks;

	if (!p->armed)
		return 0;
	due = elapsed(c) / tick_length(c);
	if (due <= before) {
		timer_start(&p->timer, tick_time(p, before + 1) + 1);
		return 0;
	}
	if (!is_periodic(c)) {
		disarm(p);
		return 1;
	}
	p->ticks = due;
	timer_start(&p->timer, tick_time(p, due + 1) + 1);
	return due - before;
}

/*
 * The guest may end the interrupt, and so ask for the next one, before the line
 * is down again: without the lock the next edge would be lost.
 */
static void pulse(struct pit *p)
{
	pthread_mutex_lock(&p->pulse_lock);
	irqchip_set_irq(p->chip, 0, IRQ_SOURCE_PIT, true);
	irqchip_set_irq(p->chip, 0, IRQ_SOURCE_PIT, false);
	pthread_mutex_unlock(&p->pulse_lock);
	lapic_nmi_watchdog(p->chip);
}

static void inject_pending(struct pit *p)
{
	if (__atomic_load_n(&p->pending, __ATOMIC_SEQ_CST) > 0 &&
	    __atomic_exchange_n(&p->acked, false, __ATOMIC_SEQ_CST))
		pulse(p);
}

static void deliver(struct pit *p, uint64_t ticks)
{
	int pending;

	if (!ticks)
		return;
	if (!__atomic_load_n(&p->reinject, __ATOMIC_RELAXED)) {
		pulse(p);
		return;
	}
	if (ticks > MAX_PENDING)
		ticks = MAX_PENDING;
	pending = __atomic_add_fetch(&p->pending, (int)ticks, __ATOMIC_ACQ_REL);
	if (pending > MAX_PENDING) {
		__atomic_store_n(&p->pending, MAX_PENDING, __ATOMIC_RELEASE);
		__atomic_store_n(&p->acked, true, __ATOMIC_RELEASE);
	}
	inject_pending(p);
}

static void timer_fired(struct timer *t)
{
	struct pit *p = container_of(t, struct pit, timer);
	uint64_t ticks;

	pthread_mutex_lock(&p->lock);
	ticks = advance(p);
	pthread_mutex_unlock(&p->lock);
	deliver(p, ticks);
}

/*
 * The service may be late: who finds that the counter has run out finds the
 * interrupt, too.
 */
static void settle(struct pit *p)
{
	const struct pit_channel_state *c = &p->channels[0];
	uint64_t ticks = 0;

	pthread_mutex_lock(&p->lock);
	if (p->armed && elapsed(c) / tick_length(c) > p->ticks)
		ticks = advance(p);
	pthread_mutex_unlock(&p->lock);
	deliver(p, ticks);
}

void pit_acked(struct pit *p)
{
	int pending = __atomic_load_n(&p->pending, __ATOMIC_ACQUIRE);

	if (!__atomic_load_n(&p->reinject, __ATOMIC_RELAXED))
		return;
	while (pending > 0 && !__atomic_compare_exchange_n(
				      &p->pending, &pending, pending - 1, false,
				      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	__atomic_store_n(&p->acked, true, __ATOMIC_SEQ_CST);
	inject_pending(p);
}

void pit_unmasked(struct pit *p)
{
	__atomic_store_n(&p->pending, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&p->acked, true, __ATOMIC_RELEASE);
}

static void latch_count(struct pit_channel_state *c)
{
	if (c->count_latched)
		return;
	c->latched_count = current_count(c);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct pit_channel_state *c)
{
	if (c->status_latched)
		return;
	c->status = (uint8_t)(output_of(c) << 7 | c->rw_mode << 4 |
			      (c->mode & 7) << 1 | c->bcd);
	c->status_latched = 1;
}

/* Datasheet, "Read-Back Command". */
static void read_back(struct pit *p, uint8_t value)
{
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		if (!(value & 2u << i))
			continue;
		if (!(value & 0x20))
			latch_count(&p->channels[i]);
		if (!(value & 0x10))
			latch_status(&p->channels[i]);
	}
}

static void write_control(struct pit *p, uint8_t value)
{
	unsigned int channel = value >> 6;
	uint8_t access = value >> 4 & 3, mode = value >> 1 & 7;
	struct pit_channel_state *c;

	if (channel == 3) {
		read_back(p, value);
		return;
	}
	c = &p->channels[channel];
	if (!access) {
		latch_count(c);
		return;
	}
	c->rw_mode = access;
	c->read_state = access;
	c->write_state = access;
	c->mode = mode > 5 ? mode - 4 : mode;
	c->bcd = value & 1;
	/* Nothing counts until the count is written. */
	if (channel == 0)
		disarm(p);
}

static void write_count(struct pit *p, unsigned int channel, uint8_t value)
{
	struct pit_channel_state *c = &p->channels[channel];

	switch (c->write_state) {
	case RW_MSB:
		load(p, channel, (uint32_t)value << 8);
		break;
	case RW_WORD0:
		c->write_latch = value;
		c->write_state = RW_WORD1;
		break;
	case RW_WORD1:
		c->write_state = RW_WORD0;
		load(p, channel, c->write_latch | (uint32_t)value << 8);
		break;
	default:
		load(p, channel, value);
		break;
	}
}

static uint8_t read_latched(struct pit_channel_state *c)
{
	switch (c->count_latched) {
	case RW_MSB:
		c->count_latched = 0;
		return (uint8_t)(c->latched_count >> 8);
	case RW_WORD0:
		c->count_latched = RW_MSB;
		return (uint8_t)c->latched_count;
	default:
		c->count_latched = 0;
		return (uint8_t)c->latched_count;
	}
}

static uint8_t read_count(struct pit_channel_state *c)
{
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	switch (c->read_state) {
	case RW_MSB:
		return (uint8_t)(current_count(c) >> 8);
	case RW_WORD0:
		c->read_state = RW_WORD1;
		return (uint8_t)current_count(c);
	case RW_WORD1:
		c->read_state = RW_WORD0;
		return (uint8_t)(current_count(c) >> 8);
	default:
		return (uint8_t)current_count(c);
	}
}

/* Port 61H: gate of channel 2, speaker, output, and a bit that toggles. */
static uint8_t read_speaker(const struct pit *p)
{
	const struct pit_channel_state *c = &p->channels[SPEAKER_CHANNEL];
	unsigned int refresh = time_now_ns() >> 14 & 1;
	bool on = p->flags & PIT_FLAG_SPEAKER_ON;

	return (uint8_t)(output_of(c) << 5 | refresh << 4 | on << 1 |
			 (c->gate & 1));
}

/* A rising gate starts the modes that it triggers. */
static void write_speaker(struct pit *p, uint8_t value)
{
	struct pit_channel_state *c = &p->channels[SPEAKER_CHANNEL];
	bool gate = value & 1;

	if (gate && !c->gate && c->mode != 0 && c->mode != 4)
		c->count_load_time = (int64_t)time_now_ns();
	c->gate = gate;
	if (value & 2)
		p->flags |= PIT_FLAG_SPEAKER_ON;
	else
		p->flags &= ~(uint32_t)PIT_FLAG_SPEAKER_ON;
}

static bool is_ours(const struct pit *p, uint16_t port)
{
	return (port & ~3u) == 0x40 || (p->speaker && port == PORT_SPEAKER);
}

bool pit_pio_read(struct pit *p, uint16_t port, uint8_t *value)
{
	if (!is_ours(p, port))
		return false;
	pthread_mutex_lock(&p->lock);
	if (port == PORT_SPEAKER)
		*value = read_speaker(p);
	else if (port == PORT_CONTROL)
		*value = 0;
	else
		*value = read_count(&p->channels[port & 3]);
	pthread_mutex_unlock(&p->lock);
	settle(p);
	return true;
}

bool pit_pio_write(struct pit *p, uint16_t port, uint8_t value)
{
	if (!is_ours(p, port))
		return false;
	settle(p);
	pthread_mutex_lock(&p->lock);
	if (port == PORT_SPEAKER)
		write_speaker(p, value);
	else if (port == PORT_CONTROL)
		write_control(p, value);
	else
		write_count(p, port & 3, value);
	pthread_mutex_unlock(&p->lock);
	return true;
}

struct pit *pit_of(struct irqchip *chip)
{
	return chip->pit;
}

void pit_set_reinject(struct pit *p, bool reinject)
{
	__atomic_store_n(&p->reinject, reinject, __ATOMIC_RELAXED);
	pit_unmasked(p);
}

bool pit_reinject(struct pit *p)
{
	return __atomic_load_n(&p->reinject, __ATOMIC_RELAXED);
}

void pit_get_state(struct pit *p, struct pit_state *out)
{
	pthread_mutex_lock(&p->lock);
	*out = (struct pit_state){ .flags = p->flags };
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		out->channels[i] = p->channels[i];
	pthread_mutex_unlock(&p->lock);
}

void pit_set_state(struct pit *p, const struct pit_state *in)
{
	pthread_mutex_lock(&p->lock);
	p->flags = in->flags;
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		p->channels[i] = in->channels[i];
		load(p, i, in->channels[i].count % (FULL_COUNT + 1));
	}
	pthread_mutex_unlock(&p->lock);
}

int pit_create(struct irqchip *chip, bool speaker)
{
	struct pit *p;

	if (chip->mode == IRQCHIP_SPLIT)
		return -ENOENT;
	if (chip->pit)
		return -EEXIST;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (timer_init(&p->timer, chip->timers, timer_fired)) {
		free(p);
		return -ENOMEM;
	}
	p->chip = chip;
	p->speaker = speaker;
	p->reinject = true;
	p->acked = true;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->pulse_lock, NULL);
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		p->channels[i].mode = MODE_NONE;
		p->channels[i].gate = i != SPEAKER_CHANNEL;
		p->channels[i].count = FULL_COUNT;
		p->channels[i].count_load_time = (int64_t)time_now_ns();
	}
	__atomic_store_n(&chip->pit, p, __ATOMIC_RELEASE);
	return 0;
}

void pit_destroy(struct pit *p)
{
	pthread_mutex_lock(&p->lock);
	disarm(p);
	pthread_mutex_unlock(&p->lock);
	timer_finish(&p->timer);
	pthread_mutex_destroy(&p->pulse_lock);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
