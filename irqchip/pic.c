#include "irqchip/pic.h"

#include <errno.h>
#include <stdlib.h>

#include "irqchip/irqchip_int.h"

#define CASCADE	 2 /* the master's pin that the slave drives */
#define SPURIOUS 7

#define ICW1		  0x10
#define ICW1_ICW4	  0x01
#define ICW4_AUTO_EOI	  0x02
#define ICW4_NESTED	  0x10
#define OCW3		  0x08
#define OCW3_READ	  0x02
#define OCW3_POLL	  0x04
#define OCW3_SPECIAL_MASK 0x40

enum { MASTER, SLAVE };

struct pic {
	struct irqchip *chip;
	pthread_mutex_t lock;
	struct pic_state chips[2];
	uint8_t sources[PIC_PINS]; /* bit per irq_source that holds it high */
	uint16_t acked;		   /* pins to report once unlocked */
	bool output;		   /* atomic */
};

/* Distance of the most urgent pin in @mask from the top, or 8. */
static unsigned int priority_of(const struct pic_state *s, uint8_t mask)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		if (mask & 1u << ((i + s->priority_add) & 7))
			break;
	return i;
}

static unsigned int pin_at(const struct pic_state *s, unsigned int priority)
{
	return (priority + s->priority_add) & 7;
}

/* The pin this chip wants served, or -1. */
static int pending_pin(const struct pic *p, unsigned int which)
{
	const struct pic_state *s = &p->chips[which];
	unsigned int want = priority_of(s, s->irr & (uint8_t)~s->imr);
	uint8_t isr = s->isr;

	if (want == 8)
		return -1;
	if (s->special_mask)
		isr &= (uint8_t)~s->imr;
	if (s->special_fully_nested_mode && which == MASTER)
		isr &= (uint8_t) ~(1u << CASCADE);
	if (want >= priority_of(s, isr))
		return -1;
	return (int)pin_at(s, want);
}

/* Returns whether it became a new request. */
static bool drive(struct pic_state *s, unsigned int pin, bool level)
{
	uint8_t bit = (uint8_t)(1u << pin);
	bool edge = !(s->elcr & bit);
	bool request = level && !(s->irr & bit);

	if (edge && (s->last_irr & bit))
		request = false;
	if (level)
		s->last_irr |= bit;
	else
		s->last_irr &= (uint8_t)~bit;
	if (request)
		s->irr |= bit;
	if (!level && !edge)
		s->irr &= (uint8_t)~bit;
	return request;
}

/* Recomputes INT; p->lock is held. */
static void update(struct pic *p)
{
	bool output, rose;

	if (pending_pin(p, SLAVE) >= 0) {
		drive(&p->chips[MASTER], CASCADE, true);
		drive(&p->chips[MASTER], CASCADE, false);
	}
	output = pending_pin(p, MASTER) >= 0;
	rose = output && !p->output;
	/* The vCPU that is kicked must find INT set already. */
	__atomic_store_n(&p->output, output, __ATOMIC_SEQ_CST);
	if (rose)
		irqchip_kick_pic(p->chip);
}

/* Unlocks and tells who watches that interrupts have ended. */
static void unlock(struct pic *p)
{
	uint16_t acked = p->acked;

	p->acked = 0;
	pthread_mutex_unlock(&p->lock);
	for (; acked; acked &= acked - 1) {
		unsigned int pin = (unsigned int)__builtin_ctz(acked);

		irqchip_acked(p->chip,
			      pin < 8 ? ROUTE_PIC_MASTER : ROUTE_PIC_SLAVE,
			      pin & 7);
	}
}

static void end_interrupt(struct pic *p, unsigned int which, unsigned int pin)
{
	p->chips[which].isr &= (uint8_t) ~(1u << pin);
	p->acked |= (uint16_t)(1u << (which * 8 + pin));
}

static void acknowledge(struct pic *p, unsigned int which, unsigned int pin)
{
	struct pic_state *s = &p->chips[which];
	uint8_t bit = (uint8_t)(1u << pin);

	s->isr |= bit;
	if (!(s->elcr & bit))
		s->irr &= (uint8_t)~bit;
	if (!s->auto_eoi)
		return;
	if (s->rotate_on_auto_eoi)
		s->priority_add = (pin + 1) & 7;
	end_interrupt(p, which, pin);
}

int pic_set_pin(struct pic *p, unsigned int pin, unsigned int source,
		bool level)
{
	struct pic_state *s = &p->chips[pin / 8];
	int status;

	pthread_mutex_lock(&p->lock);
	if (level)
		p->sources[pin] |= (uint8_t)(1u << source);
	else
		p->sources[pin] &= (uint8_t) ~(1u << source);
	status = drive(s, pin & 7, p->sources[pin]) || !level;
	if (s->imr & 1u << (pin & 7))
		status = -1;
	update(p);
	unlock(p);
	return status;
}

bool pic_output(const struct pic *p)
{
	return __atomic_load_n(&p->output, __ATOMIC_ACQUIRE);
}

uint8_t pic_take_vector(struct pic *p)
{
	unsigned int which = MASTER;
	int pin;
	uint8_t vector;

	pthread_mutex_lock(&p->lock);
	pin = pending_pin(p, MASTER);
	if (pin >= 0)
		acknowledge(p, MASTER, (unsigned int)pin);
	if (pin == CASCADE) {
		which = SLAVE;
		pin = pending_pin(p, SLAVE);
		if (pin >= 0)
			acknowledge(p, SLAVE, (unsigned int)pin);
	}
	vector = (uint8_t)(p->chips[which].irq_base +
			   (pin < 0 ? SPURIOUS : pin));
	update(p);
	unlock(p);
	return vector;
}

/* ICW1: everything but the level-triggered requests is forgotten. */
static void start_init(struct pic_state *s, uint8_t icw1)
{
	*s = (struct pic_state){
		.irr = s->irr & s->elcr,
		.irq_base = s->irq_base,
		.elcr = s->elcr,
		.elcr_mask = s->elcr_mask,
		.init4 = icw1 & ICW1_ICW4,
		.init_state = 1,
	};
}

/* OCW2; "Operation Command Words" of the datasheet. */
static void write_ocw2(struct pic *p, unsigned int which, uint8_t value)
{
	struct pic_state *s = &p->chips[which];
	bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
	unsigned int pin = value & 7;

	if (!eoi && !specific) {
		s->rotate_on_auto_eoi = rotate;
		return;
	}
	if (!eoi) { /* set priority, or no operation */
		if (rotate)
			s->priority_add = (pin + 1) & 7;
		return;
	}
	if (!specific) {
		unsigned int priority = priority_of(s, s->isr);

		if (priority == 8)
			return;
		pin = pin_at(s, priority);
	}
	if (rotate)
		s->priority_add = (pin + 1) & 7;
	end_interrupt(p, which, pin);
}

static void write_command(struct pic *p, unsigned int which, uint8_t value)
{
	struct pic_state *s = &p->chips[which];

	if (value & ICW1) {
		start_init(s, value);
	} else if (value & OCW3) {
		if (value & OCW3_POLL)
			s->poll = 1;
		if (value & OCW3_READ)
			s->read_reg_select = value & 1;
		if (value & OCW3_SPECIAL_MASK)
			s->special_mask = value >> 5 & 1;
	} else {
		write_ocw2(p, which, value);
	}
}

static void write_mask(struct pic *p, unsigned int which, uint8_t value)
{
	struct pic_state *s = &p->chips[which];

	if (which == MASTER && (s->imr & 1) && !(value & 1) && p->chip->pit)
		pit_unmasked(p->chip->pit);
	s->imr = value;
}

static void write_data(struct pic *p, unsigned int which, uint8_t value)
{
	struct pic_state *s = &p->chips[which];

	switch (s->init_state) {
	case 1:
		s->irq_base = value & 0xf8;
		s->init_state = 2;
		break;
	case 2: /* ICW3: the cascade is wired */
		s->init_state = s->init4 ? 3 : 0;
		break;
	case 3:
		s->special_fully_nested_mode = !!(value & ICW4_NESTED);
		s->auto_eoi = !!(value & ICW4_AUTO_EOI);
		s->init_state = 0;
		break;
	default:
		write_mask(p, which, value);
		break;
	}
}

/* A read after the poll command is an acknowledge cycle. */
static uint8_t read_poll(struct pic *p, unsigned int which)
{
	int pin = pending_pin(p, which);

	p->chips[which].poll = 0;
	if (pin < 0)
		return SPURIOUS;
	acknowledge(p, which, (unsigned int)pin);
	return (uint8_t)(0x80 | pin);
}

static bool decode_port(uint16_t port, unsigned int *which, bool *data,
			bool *elcr)
{
	*elcr = (port & ~1u) == 0x4d0;
	*which = *elcr ? port & 1 : port >> 7;
	*data = port & 1;
	return *elcr || (port & ~0x81u) == 0x20;
}

bool pic_pio_read(struct pic *p, uint16_t port, uint8_t *value)
{
	unsigned int which;
	bool data, elcr;
	struct pic_state *s;

	if (!decode_port(port, &which, &data, &elcr))
		return false;
	s = &p->chips[which];
	pthread_mutex_lock(&p->lock);
	if (elcr)
		*value = s->elcr;
	else if (s->poll)
		*value = read_poll(p, which);
	else if (data)
		*value = s->imr;
	else
		*value = s->read_reg_select ? s->isr : s->irr;
	update(p);
	unlock(p);
	return true;
}

bool pic_pio_write(struct pic *p, uint16_t port, uint8_t value)
{
	unsigned int which;
	bool data, elcr;

	if (!decode_port(port, &which, &data, &elcr))
		return false;
	pthread_mutex_lock(&p->lock);
	if (elcr)
		p->chips[which].elcr = value & p->chips[which].elcr_mask;
	else if (data)
		write_data(p, which, value);
	else
		write_command(p, which, value);
	update(p);
	unlock(p);
	return true;
}

void pic_get_state(struct pic *p, bool slave, struct pic_state *out)
{
	pthread_mutex_lock(&p->lock);
	*out = p->chips[slave];
	pthread_mutex_unlock(&p->lock);
}

void pic_set_state(struct pic *p, bool slave, const struct pic_state *in)
{
	struct pic_state *s = &p->chips[slave];
	uint8_t elcr_mask = s->elcr_mask;

	pthread_mutex_lock(&p->lock);
	*s = *in;
	s->elcr_mask = elcr_mask;
	s->priority_add &= 7;
	update(p);
	unlock(p);
}

int pic_create(struct irqchip *chip, struct pic **out)
{
	struct pic *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->chip = chip;
	pthread_mutex_init(&p->lock, NULL);
	/* IRQ 0, 1, 2, 8 and 13 are edge triggered for good. */
	p->chips[MASTER].elcr_mask = 0xf8;
	p->chips[SLAVE].elcr_mask = 0xde;
	*out = p;
	return 0;
}

void pic_destroy(struct pic *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p);
}
