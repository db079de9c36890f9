#pragma once

#include <pthread.h>

#include "irqchip/irqchip.h"
#include "irqchip/route.h"

/* Shared by the files of irqchip/ only. */
struct ioapic;
struct pic;
struct pit;
struct route_table;

struct irqchip {
	const struct irqchip_ops *ops;
	void *vm;
	struct timers *timers;
	enum irqchip_mode mode;
	bool ids_32bit, no_broadcast_quirk;
	uint32_t split_pins;

	struct ioapic *ioapic; /* NULL in split mode, as pic and pit */
	struct pic *pic;
	struct pit *pit;

	/*
	 * Local APICs: @lapics in order of creation, entries are only added;
	 * @by_id is NULL where there is none.  Read without a lock.
	 */
	pthread_mutex_t lapics_lock;
	uint32_t nr_lapics;
	struct lapic *lapics[IRQCHIP_MAX_CPUS];
	struct lapic *by_id[IRQCHIP_MAX_CPU_ID];

	pthread_rwlock_t route_lock;
	struct route_table *routes;
	uint32_t watched[ROUTE_MAX / 32]; /* GSIs with ops->ack; atomic */

	/*
	 * Vectors whose end of interrupt the I/O APIC (or user mode's) has to
	 * hear of even if they are edge triggered; atomic.
	 */
	uint32_t eoi_vectors[256 / 32];
};

enum delivery_mode {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_REMOTE_READ,
	DELIVER_NMI,
	DELIVER_INIT,
	DELIVER_SIPI,
	DELIVER_EXTINT,
};

enum shorthand {
	SHORTHAND_NONE,
	SHORTHAND_SELF,
	SHORTHAND_ALL,
	SHORTHAND_OTHERS,
};

/* A message on the APIC bus. */
struct irq_msg {
	uint32_t dest;
	uint8_t vector;
	uint8_t mode;	   /* enum delivery_mode */
	uint8_t shorthand; /* enum shorthand */
	bool logical;
	bool level; /* level triggered */
	bool asserted;
	bool lowest; /* arbitrate, whatever the mode */
};

/*
 * lapic_deliver - carries @m to all local APICs it is for.  @source: who sent
 * it, NULL for an I/O APIC or MSI.  Status as irqchip_set_irq.
 */
int lapic_deliver(struct irqchip *chip, struct lapic *source,
		  const struct irq_msg *m);

/* lapic_nmi_watchdog - the PIT's tick reaches LINT0 pins in NMI mode. */
void lapic_nmi_watchdog(struct irqchip *chip);

/* irqchip_acked - a pin's interrupt ended; no lock of irqchip/ is held. */
void irqchip_acked(struct irqchip *chip, enum route_chip which,
		   unsigned int pin);

/* irqchip_kick_pic - the PICs' INT line went up. */
void irqchip_kick_pic(struct irqchip *chip);

void pit_destroy(struct pit *p);
bool pit_pio_read(struct pit *p, uint16_t port, uint8_t *value);
bool pit_pio_write(struct pit *p, uint16_t port, uint8_t value);
/* pit_acked - the guest ended GSI 0's interrupt. */
void pit_acked(struct pit *p);
/* pit_unmasked - GSI 0's pin was unmasked: old ticks are forgotten. */
void pit_unmasked(struct pit *p);

int msi_decode(const struct irqchip *chip, uint32_t address_lo,
	       uint32_t address_hi, uint32_t data, struct irq_msg *m);
void route_free(struct irqchip *chip);
/* route_gsi_of - the GSI that a pin belongs to, or -1. */
int route_gsi_of(struct irqchip *chip, enum route_chip which, unsigned int pin);

static inline bool bitmap_test(const uint32_t *map, unsigned int bit)
{
	return __atomic_load_n(&map[bit / 32], __ATOMIC_RELAXED) >> bit % 32 &
	       1;
}

static inline void bitmap_assign(uint32_t *map, unsigned int bit, bool on)
{
	if (on)
		__atomic_fetch_or(&map[bit / 32], 1u << bit % 32,
				  __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&map[bit / 32], ~(1u << bit % 32),
				   __ATOMIC_RELAXED);
}
