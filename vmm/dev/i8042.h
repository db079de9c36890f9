#pragma once

#include "vmm/bus.h"
#include "vmm/dev/power.h"
#include "vmm/irq.h"

/*
 * The keyboard controller at ports 0x60 and 0x64, without a keyboard or a
 * mouse: it answers its own commands and can reset the machine.
 */
struct i8042;

struct i8042 *i8042_new(struct bus *pio, const struct irq_sink *irq,
			struct power *power);
void i8042_free(struct i8042 *k);
