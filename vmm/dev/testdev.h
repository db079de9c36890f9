#pragma once

#include "vmm/bus.h"
#include "vmm/dev/debugcon.h"
#include "vmm/irq.h"
#include "vmm/ram.h"

/* The device that kvm-unit-tests drives ("pc-testdev"). */
struct testdev;

struct testdev *testdev_new(struct bus *pio, struct bus *mmio,
			    const struct irq_sink *irq, const struct ram *ram,
			    struct debugcon *console);
void testdev_free(struct testdev *t);
