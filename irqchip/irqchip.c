#include "irqchip/irqchip.h"

#include <errno.h>
#include <stdlib.h>

#include "host/time.h"
#include "irqchip/ioapic.h"
#include "irqchip/lapic_int.h"
#include "irqchip/pic.h"
#include "irqchip/pit.h"

static int create_controllers(struct irqchip *chip)
{
	int err = route_set_default(chip);

	if (err || chip->mode == IRQCHIP_SPLIT)
		return err;
	err = pic_create(chip, &chip->pic);
	if (!err)
		err = ioapic_create(chip, &chip->ioapic);
	return err;
}

int irqchip_create(enum irqchip_mode mode, const struct irqchip_ops *ops,
		   void *vm, struct timers *timers, struct irqchip **out)
{
	struct irqchip *chip = calloc(1, sizeof(*chip));
	int err;

	if (!chip)
		return -ENOMEM;
	chip->mode = mode;
	chip->ops = ops;
	chip->vm = vm;
	chip->timers = timers;
	chip->split_pins = IOAPIC_PINS;
	tsc_hz(); /* calibrate now, not when a vCPU sets a deadline */
	pthread_mutex_init(&chip->lapics_lock, NULL);
	pthread_rwlock_init(&chip->route_lock, NULL);
	err = create_controllers(chip);
	if (err) {
		irqchip_destroy(chip);
		return err;
	}
	*out = chip;
	return 0;
}

void irqchip_destroy(struct irqchip *chip)
{
	if (chip->pit)
		pit_destroy(chip->pit);
	for (uint32_t i = 0; i < chip->nr_lapics; i++)
		if (!chip->lapics[i]->dead)
			lapic_destroy(chip->lapics[i]);
	if (chip->ioapic)
		ioapic_destroy(chip->ioapic);
	if (chip->pic)
		pic_destroy(chip->pic);
	for (uint32_t i = 0; i < chip->nr_lapics; i++) {
		pthread_mutex_destroy(&chip->lapics[i]->timer_lock);
		free(chip->lapics[i]);
	}
	route_free(chip);
	pthread_rwlock_destroy(&chip->route_lock);
	pthread_mutex_destroy(&chip->lapics_lock);
	free(chip);
}

bool irqchip_is_split(const struct irqchip *chip)
{
	return chip->mode == IRQCHIP_SPLIT;
}

void irqchip_set_split_pins(struct irqchip *chip, uint32_t pins)
{
	chip->split_pins = pins;
}

void irqchip_set_x2apic_api(struct irqchip *chip, bool ids_32bit,
			    bool no_broadcast_quirk)
{
	chip->ids_32bit |= ids_32bit;
	chip->no_broadcast_quirk |= no_broadcast_quirk;
}

int irqchip_watch_ack(struct irqchip *chip, uint32_t gsi, bool watch)
{
	if (gsi >= ROUTE_MAX)
		return -EINVAL;
	bitmap_assign(chip->watched, gsi, watch);
	return 0;
}

void irqchip_acked(struct irqchip *chip, enum route_chip which,
		   unsigned int pin)
{
	struct pit *pit = __atomic_load_n(&chip->pit, __ATOMIC_ACQUIRE);
	int gsi = route_gsi_of(chip, which, pin);

	if (gsi < 0)
		return;
	if (gsi == 0 && pit)
		pit_acked(pit);
	if (bitmap_test(chip->watched, (unsigned int)gsi))
		chip->ops->ack(chip->vm, (uint32_t)gsi);
}

void irqchip_kick_pic(struct irqchip *chip)
{
	uint32_t nr = __atomic_load_n(&chip->nr_lapics, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < nr; i++) {
		struct lapic *l = chip->lapics[i];

		if (!lapic_accepts_pic(l) ||
		    __atomic_load_n(&l->dead, __ATOMIC_RELAXED))
			continue;
		chip->ops->kick(l->vcpu);
		return;
	}
}

static bool pic_waits(struct lapic *l)
{
	return l->chip->pic && pic_output(l->chip->pic) && lapic_accepts_pic(l);
}

bool irqchip_has_irq(struct lapic *l)
{
	return pic_waits(l) || lapic_pending_vector(l) >= 0;
}

int irqchip_take_irq(struct lapic *l)
{
	if (pic_waits(l))
		return pic_take_vector(l->chip->pic);
	return lapic_take_vector(l);
}

/* All devices are a byte wide; the upper bytes of wider reads are zero. */
bool irqchip_pio_read(struct irqchip *chip, uint16_t port, unsigned int len,
		      uint32_t *value)
{
	struct pit *pit = __atomic_load_n(&chip->pit, __ATOMIC_ACQUIRE);
	uint8_t byte;

	if (chip->pic && pic_pio_read(chip->pic, port, &byte)) {
		*value = byte;
		return true;
	}
	if (pit && pit_pio_read(pit, port, &byte)) {
		*value = byte;
		return true;
	}
	return false;
}

bool irqchip_pio_write(struct irqchip *chip, uint16_t port, unsigned int len,
		       uint32_t value)
{
	struct pit *pit = __atomic_load_n(&chip->pit, __ATOMIC_ACQUIRE);

	return (chip->pic && pic_pio_write(chip->pic, port, (uint8_t)value)) ||
	       (pit && pit_pio_write(pit, port, (uint8_t)value));
}

bool irqchip_mmio_read(struct irqchip *chip, gpa_t gpa, unsigned int len,
		       void *data)
{
	return chip->ioapic && ioapic_mmio_read(chip->ioapic, gpa, len, data);
}

bool irqchip_mmio_write(struct irqchip *chip, gpa_t gpa, unsigned int len,
			const void *data)
{
	return chip->ioapic && ioapic_mmio_write(chip->ioapic, gpa, len, data);
}

void irqchip_get_pic(struct irqchip *chip, bool slave, struct pic_state *out)
{
	pic_get_state(chip->pic, slave, out);
}

void irqchip_set_pic(struct irqchip *chip, bool slave,
		     const struct pic_state *in)
{
	pic_set_state(chip->pic, slave, in);
}

void irqchip_get_ioapic(struct irqchip *chip, struct ioapic_state *out)
{
	ioapic_get_state(chip->ioapic, out);
}

void irqchip_set_ioapic(struct irqchip *chip, const struct ioapic_state *in)
{
	ioapic_set_state(chip->ioapic, in);
}
