#pragma once

#include "base/types.h"

/*
 * The I/O APIC: 24 pins (Intel 82093AA datasheet; version 11H, so ends of
 * interrupt come by broadcast from the local APICs).
 */
struct irqchip;
struct ioapic;

#define IOAPIC_PINS 24
#define IOAPIC_BASE 0xfec00000ull

/* Redirection table entry. */
#define REDIR_VECTOR	 0xffull
#define REDIR_MODE_SHIFT 8
#define REDIR_LOGICAL	 BIT(11)
#define REDIR_PENDING	 BIT(12)
#define REDIR_ACTIVE_LOW BIT(13)
#define REDIR_REMOTE_IRR BIT(14)
#define REDIR_LEVEL	 BIT(15)
#define REDIR_MASKED	 BIT(16)
#define REDIR_DEST_SHIFT 56

/* As struct kvm_ioapic_state. */
struct ioapic_state {
	uint64_t base_address;
	uint32_t ioregsel;
	uint32_t id;
	uint32_t irr;
	uint32_t pad;
	uint64_t redirtbl[IOAPIC_PINS];
};

int ioapic_create(struct irqchip *chip, struct ioapic **out) __must_check;
void ioapic_destroy(struct ioapic *io);

/* ioapic_set_pin - @level of one source of a pin.  Status as irqchip_set_irq.
 */
int ioapic_set_pin(struct ioapic *io, unsigned int pin, unsigned int source,
		   bool level);

/* ioapic_eoi - a local APIC ended @vector, which was @level triggered. */
void ioapic_eoi(struct ioapic *io, uint8_t vector, bool level);

bool ioapic_mmio_read(struct ioapic *io, gpa_t gpa, unsigned int len,
		      void *data);
bool ioapic_mmio_write(struct ioapic *io, gpa_t gpa, unsigned int len,
		       const void *data);

void ioapic_get_state(struct ioapic *io, struct ioapic_state *out);
void ioapic_set_state(struct ioapic *io, const struct ioapic_state *in);
