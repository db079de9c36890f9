#include "irqchip/route.h"

#include <errno.h>
#include <stdlib.h>

#include "irqchip/ioapic.h"
#include "irqchip/irqchip_int.h"
#include "irqchip/pic.h"

#define MSI_LOGICAL	     BIT(2)
#define MSI_REDIRECTION_HINT BIT(3)
#define MSI_LEVEL	     BIT(15)

/* A GSI reaches each controller at most once. */
#define MAX_PER_GSI NR_ROUTE_CHIPS

struct gsi_routes {
	uint8_t nr;
	struct route route[MAX_PER_GSI];
};

struct route_table {
	uint32_t nr_gsis;
	int32_t gsi_of[NR_ROUTE_CHIPS][IOAPIC_PINS]; /* -1: not routed */
	struct gsi_routes gsis[];
};

/* SDM 3A "Message Signalled Interrupts". */
int msi_decode(const struct irqchip *chip, uint32_t address_lo,
	       uint32_t address_hi, uint32_t data, struct irq_msg *m)
{
	if (chip->ids_32bit && (address_hi & 0xff))
		return -EINVAL;
	*m = (struct irq_msg){
		.dest = address_lo >> 12 & 0xff,
		.vector = (uint8_t)data,
		.mode = data >> 8 & 7,
		.logical = !!(address_lo & MSI_LOGICAL),
		.level = !!(data & MSI_LEVEL),
		.asserted = true,
		.lowest = !!(address_lo & MSI_REDIRECTION_HINT),
	};
	if (chip->ids_32bit)
		m->dest |= address_hi & 0xffffff00;
	return 0;
}

int irqchip_send_msi(struct irqchip *chip, uint32_t address_lo,
		     uint32_t address_hi, uint32_t data)
{
	struct irq_msg m;

	if (msi_decode(chip, address_lo, address_hi, data, &m))
		return -1;
	return lapic_deliver(chip, NULL, &m);
}

static int set_pin(struct irqchip *chip, const struct route *r,
		   enum irq_source source, bool level)
{
	if (r->chip == ROUTE_IOAPIC)
		return ioapic_set_pin(chip->ioapic, r->pin, source, level);
	return pic_set_pin(chip->pic, r->chip * 8 + r->pin, source, level);
}

static struct gsi_routes routes_of(struct irqchip *chip, uint32_t gsi)
{
	struct gsi_routes routes = { 0 };

	pthread_rwlock_rdlock(&chip->route_lock);
	if (gsi < chip->routes->nr_gsis)
		routes = chip->routes->gsis[gsi];
	pthread_rwlock_unlock(&chip->route_lock);
	return routes;
}

int irqchip_set_irq(struct irqchip *chip, uint32_t gsi, enum irq_source source,
		    bool level)
{
	struct gsi_routes routes = routes_of(chip, gsi);
	int status = -1;

	for (unsigned int i = 0; i < routes.nr; i++) {
		const struct route *r = &routes.route[i];
		int one = -1;

		if (r->type == ROUTE_PIN)
			one = set_pin(chip, r, source, level);
		else if (level && r->type == ROUTE_SINT)
			one = chip->ops->sint(chip->vm, r->data, r->pin);
		else if (level)
			one = irqchip_send_msi(chip, r->address_lo,
					       r->address_hi, r->data);
		if (one >= 0)
			status = one + (status < 0 ? 0 : status);
	}
	return status;
}

int route_gsi_of(struct irqchip *chip, enum route_chip which, unsigned int pin)
{
	int gsi;

	pthread_rwlock_rdlock(&chip->route_lock);
	gsi = chip->routes->gsi_of[which][pin];
	pthread_rwlock_unlock(&chip->route_lock);
	return gsi;
}

/* The first GSI from @gsi on that leads to the source, or -1. */
static int find_sint(struct irqchip *chip, uint32_t gsi, uint32_t vcpu,
		     uint32_t sint)
{
	const struct route *r;
	int found = -1;

	pthread_rwlock_rdlock(&chip->route_lock);
	for (; found < 0 && gsi < chip->routes->nr_gsis; gsi++) {
		r = &chip->routes->gsis[gsi].route[0];
		if (chip->routes->gsis[gsi].nr && r->type == ROUTE_SINT &&
		    r->data == vcpu && r->pin == sint)
			found = (int)gsi;
	}
	pthread_rwlock_unlock(&chip->route_lock);
	return found;
}

void irqchip_sint_acked(struct irqchip *chip, uint32_t vcpu, uint32_t sint)
{
	int gsi = -1;

	while ((gsi = find_sint(chip, (uint32_t)(gsi + 1), vcpu, sint)) >= 0)
		if (bitmap_test(chip->watched, (unsigned int)gsi))
			chip->ops->ack(chip->vm, (uint32_t)gsi);
}

static bool is_valid(const struct irqchip *chip, const struct route *r)
{
	if (r->gsi >= ROUTE_MAX)
		return false;
	if (r->type == ROUTE_MSI)
		return !chip->ids_32bit || !(r->address_hi & 0xff);
	if (r->type == ROUTE_SINT)
		return r->pin < 16;
	return r->type == ROUTE_PIN && chip->mode == IRQCHIP_FULL &&
	       r->chip < NR_ROUTE_CHIPS &&
	       r->pin < (r->chip == ROUTE_IOAPIC ? IOAPIC_PINS : 8);
}

static int add_route(struct route_table *t, const struct route *r)
{
	struct gsi_routes *g = &t->gsis[r->gsi];

	for (unsigned int i = 0; i < g->nr; i++)
		if (g->route[i].type != ROUTE_PIN || r->type != ROUTE_PIN ||
		    g->route[i].chip == r->chip)
			return -EINVAL;
	g->route[g->nr++] = *r;
	if (r->type == ROUTE_PIN)
		t->gsi_of[r->chip][r->pin] = (int32_t)r->gsi;
	return 0;
}

static int build(const struct irqchip *chip, const struct route *routes,
		 uint32_t nr, struct route_table **out)
{
	struct route_table *t;
	uint32_t nr_gsis = 0;

	for (uint32_t i = 0; i < nr; i++) {
		if (!is_valid(chip, &routes[i]))
			return -EINVAL;
		if (routes[i].gsi >= nr_gsis)
			nr_gsis = routes[i].gsi + 1;
	}
	t = calloc(1, sizeof(*t) + nr_gsis * sizeof(t->gsis[0]));
	if (!t)
		return -ENOMEM;
	t->nr_gsis = nr_gsis;
	for (unsigned int c = 0; c < NR_ROUTE_CHIPS; c++)
		for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
			t->gsi_of[c][pin] = -1;
	for (uint32_t i = 0; i < nr; i++) {
		if (add_route(t, &routes[i])) {
			free(t);
			return -EINVAL;
		}
	}
	*out = t;
	return 0;
}

/* Split mode: vectors whose end user mode's I/O APIC has to hear of. */
static void publish_vectors(struct irqchip *chip, const struct route_table *t)
{
	uint32_t map[ARRAY_SIZE(chip->eoi_vectors)] = { 0 };

	for (uint32_t gsi = 0; gsi < t->nr_gsis && gsi < chip->split_pins;
	     gsi++) {
		const struct route *r = &t->gsis[gsi].route[0];
		uint8_t vector = (uint8_t)r->data;

		if (t->gsis[gsi].nr && r->type == ROUTE_MSI &&
		    (r->data & MSI_LEVEL))
			map[vector / 32] |= 1u << vector % 32;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		__atomic_store_n(&chip->eoi_vectors[i], map[i],
				 __ATOMIC_RELAXED);
}

int route_set(struct irqchip *chip, const struct route *routes, uint32_t nr)
{
	struct route_table *t, *old;
	int err;

	if (nr > ROUTE_MAX)
		return -EINVAL;
	err = build(chip, routes, nr, &t);
	if (err)
		return err;
	pthread_rwlock_wrlock(&chip->route_lock);
	old = chip->routes;
	chip->routes = t;
	if (chip->mode == IRQCHIP_SPLIT)
		publish_vectors(chip, t);
	pthread_rwlock_unlock(&chip->route_lock);
	free(old);
	return 0;
}

/* The ISA lines reach both the PICs and the I/O APIC; split mode has none. */
int route_set_default(struct irqchip *chip)
{
	struct route routes[16 + IOAPIC_PINS];
	uint32_t nr = 0;

	if (chip->mode == IRQCHIP_SPLIT)
		return route_set(chip, NULL, 0);
	for (uint32_t gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		routes[nr++] = (struct route){ .gsi = gsi,
					       .chip = ROUTE_IOAPIC,
					       .pin = gsi };
		if (gsi < PIC_PINS)
			routes[nr++] = (struct route){ .gsi = gsi,
						       .chip = gsi / 8,
						       .pin = gsi % 8 };
	}
	return route_set(chip, routes, nr);
}

void route_free(struct irqchip *chip)
{
	free(chip->routes);
}
