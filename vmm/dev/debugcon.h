#pragma once

#include "vmm/bus.h"
#include "vmm/dev/power.h"

/*
 * Debug ports without state: the console at 0xe9, which answers 0xe9, and
 * isa-debug-exit at 0xf4, which ends the run with a status.  The test device
 * owns the console's port and passes byte accesses on.
 */
#define DEBUGCON_PORT 0xe9
struct debugcon;

struct debugcon *debugcon_new(struct bus *pio, const struct power_sink *sink,
			      void (*send)(void *arg, uint8_t byte), void *arg);
void debugcon_free(struct debugcon *d);

/* debugcon_send - a byte that the guest wrote to the console. */
void debugcon_send(struct debugcon *d, uint8_t byte);
