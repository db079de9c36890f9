#pragma once

#include "base/types.h"

/*
 * Two cascaded 8259A interrupt controllers (Intel 8259A datasheet) with the
 * edge/level registers of PCI chipsets at ports 4D0H and 4D1H.
 */
struct irqchip;
struct pic;

#define PIC_PINS 16

/* One of the two, as struct kvm_pic_state. */
struct pic_state {
	uint8_t last_irr; /* edge detection */
	uint8_t irr;
	uint8_t imr;
	uint8_t isr;
	uint8_t priority_add; /* lowest priority is pin priority_add - 1 */
	uint8_t irq_base;
	uint8_t read_reg_select;
	uint8_t poll;
	uint8_t special_mask;
	uint8_t init_state;
	uint8_t auto_eoi;
	uint8_t rotate_on_auto_eoi;
	uint8_t special_fully_nested_mode;
	uint8_t init4; /* ICW1 asked for ICW4 */
	uint8_t elcr;
	uint8_t elcr_mask;
};

int pic_create(struct irqchip *chip, struct pic **out) __must_check;
void pic_destroy(struct pic *p);

/* pic_set_pin - @level of one source of a pin.  Status as irqchip_set_irq. */
int pic_set_pin(struct pic *p, unsigned int pin, unsigned int source,
		bool level);

/* pic_output - INT, the wire to the processors.  Cheap, any thread. */
bool pic_output(const struct pic *p);

/* pic_take_vector - the INTA cycle; IRQ7's vector if nothing is there. */
uint8_t pic_take_vector(struct pic *p);

/* pic_pio_read, pic_pio_write - byte accesses; whether the port is a PIC's. */
bool pic_pio_read(struct pic *p, uint16_t port, uint8_t *value);
bool pic_pio_write(struct pic *p, uint16_t port, uint8_t value);

void pic_get_state(struct pic *p, bool slave, struct pic_state *out);
void pic_set_state(struct pic *p, bool slave, const struct pic_state *in);
