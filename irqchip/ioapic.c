#include "irqchip/ioapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/time.h"
#include "host/timer.h"
#include "irqchip/irqchip_int.h"

#define IOAPIC_SIZE 0x100
#define REG_SELECT  0x00
#define REG_WINDOW  0x10

/* Registers behind the window. */
#define IOAPIC_ID	   0x00
#define IOAPIC_VERSION	   0x01
#define IOAPIC_ARBITRATION 0x02
#define IOAPIC_REDIR	   0x10
#define VERSION_VALUE	   ((IOAPIC_PINS - 1u) << 16 | 0x11u)

#define REDIR_READ_ONLY (REDIR_PENDING | REDIR_REMOTE_IRR)
#define REDIR_LOW_BITS	0x1ffffull

/*
 * A level-triggered line that is high at each of so many ends of interrupt in a
 * row has no working handler: from then on it is served after a pause, so that
 * the guest gets on.
 */
#define STORM_EOIS     10000
#define STORM_PAUSE_NS 10000000ull

/* Everything is protected by lock. */
struct ioapic {
	struct irqchip *chip;
	pthread_mutex_t lock;
	uint64_t base;
	uint32_t select;
	uint32_t id;
	uint32_t irr;	    /* line is high (edge: since it was delivered) */
	uint32_t delivered; /* edge-triggered ones among them */
	uint64_t redir[IOAPIC_PINS];
	uint8_t sources[IOAPIC_PINS]; /* bit per irq_source holding it high */
	uint32_t eois[IOAPIC_PINS];   /* in a row, with the line still high */
	struct timer storm;
};

/* Sends @pin's message unless it is masked or waits for its EOI. */
static int service(struct ioapic *io, unsigned int pin)
{
	uint64_t e = io->redir[pin];
	struct irq_msg m = {
		.dest = (uint32_t)(e >> REDIR_DEST_SHIFT),
		.vector = (uint8_t)e,
		.mode = e >> REDIR_MODE_SHIFT & 7,
		.logical = !!(e & REDIR_LOGICAL),
		.level = !!(e & REDIR_LEVEL),
		.asserted = true,
	};
	int status;

	if ((e & REDIR_MASKED) || (m.level && (e & REDIR_REMOTE_IRR)))
		return -1;
	status = lapic_deliver(io->chip, NULL, &m);
	if (!m.level)
		io->delivered |= 1u << pin;
	else if (status >= 0 && m.mode <= DELIVER_LOWEST)
		io->redir[pin] |= REDIR_REMOTE_IRR;
	return status;
}

/* Whether a level-triggered pin is high, unmasked and not in service. */
static bool level_waits(const struct ioapic *io, unsigned int pin)
{
	return (io->irr >> pin & 1) &&
	       (io->redir[pin] &
		(REDIR_LEVEL | REDIR_MASKED | REDIR_REMOTE_IRR)) == REDIR_LEVEL;
}

static int set_level(struct ioapic *io, unsigned int pin, bool level)
{
	uint32_t bit = 1u << pin;
	bool was_high = io->irr & bit;

	if (!level) {
		io->irr &= ~bit;
		return 1;
	}
	io->irr |= bit;
	if (!(io->redir[pin] & REDIR_LEVEL)) {
		io->delivered &= ~bit;
		if (was_high)
			return 0;
	}
	return service(io, pin);
}

int ioapic_set_pin(struct ioapic *io, unsigned int pin, unsigned int source,
		   bool level)
{
	int status;

	pthread_mutex_lock(&io->lock);
	if (level)
		io->sources[pin] |= (uint8_t)(1u << source);
	else
		io->sources[pin] &= (uint8_t) ~(1u << source);
	status = set_level(io, pin, io->sources[pin]);
	pthread_mutex_unlock(&io->lock);
	return status;
}

static void end_level(struct ioapic *io, unsigned int pin)
{
	io->redir[pin] &= ~REDIR_REMOTE_IRR;
	if (!level_waits(io, pin)) {
		io->eois[pin] = 0;
	} else if (++io->eois[pin] < STORM_EOIS) {
		service(io, pin);
	} else {
		io->eois[pin] = 0;
		timer_start(&io->storm, time_now_ns() + STORM_PAUSE_NS);
	}
}

static void storm_over(struct timer *t)
{
	struct ioapic *io = container_of(t, struct ioapic, storm);

	pthread_mutex_lock(&io->lock);
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		if (level_waits(io, pin))
			service(io, pin);
	pthread_mutex_unlock(&io->lock);
}

/* Watchers hear first: they may lower the line. */
void ioapic_eoi(struct ioapic *io, uint8_t vector, bool level)
{
	uint32_t pins = 0;

	pthread_mutex_lock(&io->lock);
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		if ((io->redir[pin] & REDIR_VECTOR) == vector)
			pins |= 1u << pin;
	pthread_mutex_unlock(&io->lock);

	for (uint32_t left = pins; left; left &= left - 1)
		irqchip_acked(io->chip, ROUTE_IOAPIC,
			      (unsigned int)__builtin_ctz(left));
	if (!level)
		return;
	pthread_mutex_lock(&io->lock);
	for (; pins; pins &= pins - 1)
		end_level(io, (unsigned int)__builtin_ctz(pins));
	pthread_mutex_unlock(&io->lock);
}

/* Tells the local APICs which vectors' ends concern us. */
static void publish_vectors(struct ioapic *io)
{
	uint32_t map[ARRAY_SIZE(io->chip->eoi_vectors)] = { 0 };

	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint8_t vector = (uint8_t)io->redir[pin];

		if (vector >= 16)
			map[vector / 32] |= 1u << vector % 32;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		__atomic_store_n(&io->chip->eoi_vectors[i], map[i],
				 __ATOMIC_RELAXED);
}

/*
 * Remote IRR of a pin that becomes edge triggered is cleared: that is how
 * systems get rid of one that is stuck.
 */
static void write_redir(struct ioapic *io, unsigned int pin, bool high,
			uint32_t value)
{
	uint64_t old = io->redir[pin], e;
	struct pit *pit = io->chip->pit;

	if (high)
		e = (old & UINT32_MAX) | (uint64_t)value << 32;
	else
		e = (old & (~(uint64_t)UINT32_MAX | REDIR_READ_ONLY)) |
		    (value & REDIR_LOW_BITS & ~REDIR_READ_ONLY);
	if (!(e & REDIR_LEVEL))
		e &= ~REDIR_REMOTE_IRR;
	io->redir[pin] = e;
	publish_vectors(io);
	if (pit && (old & REDIR_MASKED) && !(e & REDIR_MASKED) &&
	    route_gsi_of(io->chip, ROUTE_IOAPIC, pin) == 0)
		pit_unmasked(pit);
	if (level_waits(io, pin))
		service(io, pin);
}

static void write_window(struct ioapic *io, uint32_t value)
{
	uint32_t index = io->select - IOAPIC_REDIR;

	if (io->select == IOAPIC_ID)
		io->id = value >> 24 & 0xf;
	else if (io->select >= IOAPIC_REDIR && index < IOAPIC_PINS * 2)
		write_redir(io, index / 2, index & 1, value);
}

static uint32_t read_window(const struct ioapic *io)
{
	uint32_t index = io->select - IOAPIC_REDIR;

	switch (io->select) {
	case IOAPIC_ID:
	case IOAPIC_ARBITRATION:
		return io->id << 24;
	case IOAPIC_VERSION:
		return VERSION_VALUE;
	default:
		if (io->select < IOAPIC_REDIR || index >= IOAPIC_PINS * 2)
			return 0;
		return (uint32_t)(io->redir[index / 2] >> (index & 1) * 32);
	}
}

static bool in_range(const struct ioapic *io, gpa_t gpa)
{
	return gpa - io->base < IOAPIC_SIZE;
}

bool ioapic_mmio_read(struct ioapic *io, gpa_t gpa, unsigned int len,
		      void *data)
{
	uint32_t value = 0;

	if (!in_range(io, gpa))
		return false;
	pthread_mutex_lock(&io->lock);
	if (gpa - io->base == REG_SELECT)
		value = io->select;
	else if (gpa - io->base == REG_WINDOW)
		value = read_window(io);
	pthread_mutex_unlock(&io->lock);
	memset(data, 0, len);
	memcpy(data, &value, len < sizeof(value) ? len : sizeof(value));
	return true;
}

bool ioapic_mmio_write(struct ioapic *io, gpa_t gpa, unsigned int len,
		       const void *data)
{
	uint32_t value = 0;

	if (!in_range(io, gpa))
		return false;
	memcpy(&value, data, len < sizeof(value) ? len : sizeof(value));
	pthread_mutex_lock(&io->lock);
	if (gpa - io->base == REG_SELECT)
		io->select = value & 0xff;
	else if (gpa - io->base == REG_WINDOW)
		write_window(io, value);
	pthread_mutex_unlock(&io->lock);
	return true;
}

/* An edge that was delivered must not be sent again by who restores this. */
void ioapic_get_state(struct ioapic *io, struct ioapic_state *out)
{
	pthread_mutex_lock(&io->lock);
	*out = (struct ioapic_state){
		.base_address = io->base,
		.ioregsel = io->select,
		.id = io->id,
		.irr = io->irr & ~io->delivered,
	};
	memcpy(out->redirtbl, io->redir, sizeof(io->redir));
	pthread_mutex_unlock(&io->lock);
}

void ioapic_set_state(struct ioapic *io, const struct ioapic_state *in)
{
	pthread_mutex_lock(&io->lock);
	io->base = in->base_address;
	io->select = in->ioregsel & 0xff;
	io->id = in->id & 0xf;
	io->irr = 0;
	io->delivered = 0;
	memcpy(io->redir, in->redirtbl, sizeof(io->redir));
	publish_vectors(io);
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		if (in->irr >> pin & 1)
			set_level(io, pin, true);
	pthread_mutex_unlock(&io->lock);
}

int ioapic_create(struct irqchip *chip, struct ioapic **out)
{
	struct ioapic *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	if (timer_init(&io->storm, chip->timers, storm_over)) {
		free(io);
		return -ENOMEM;
	}
	io->chip = chip;
	io->base = IOAPIC_BASE;
	pthread_mutex_init(&io->lock, NULL);
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		io->redir[pin] = REDIR_MASKED;
	*out = io;
	return 0;
}

void ioapic_destroy(struct ioapic *io)
{
	timer_finish(&io->storm);
	pthread_mutex_destroy(&io->lock);
	free(io);
}
