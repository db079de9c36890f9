#pragma once

#include "base/types.h"

/* GSI routing: which controller pins or which message a line stands for. */
struct irqchip;

/* KVM_MAX_IRQ_ROUTES. */
#define ROUTE_MAX 4096

enum route_type {
	ROUTE_PIN,
	ROUTE_MSI,
	ROUTE_SINT, /* source "pin" of vCPU "data" */
};

/* Pins 0-7 of each PIC, 0-23 of the I/O APIC; numbers are KVM_IRQCHIP_*. */
enum route_chip {
	ROUTE_PIC_MASTER,
	ROUTE_PIC_SLAVE,
	ROUTE_IOAPIC,
	NR_ROUTE_CHIPS,
};

struct route {
	uint32_t gsi;
	uint8_t type; /* enum route_type */
	uint8_t chip; /* enum route_chip */
	uint32_t pin;
	uint32_t address_lo, address_hi, data;
};

/*
 * route_set - replaces the whole table, as KVM_SET_GSI_ROUTING.  Returns 0,
 * -ENOMEM, or -EINVAL: a GSI or pin out of range, one chip twice for a GSI, or
 * anything beside an MSI or a SINT.
 */
int route_set(struct irqchip *chip, const struct route *routes,
	      uint32_t nr) __must_check;

/* route_set_default - the table that KVM_CREATE_IRQCHIP makes. */
int route_set_default(struct irqchip *chip) __must_check;
