#pragma once

#include "vmm/bus.h"
#include "vmm/dev/power.h"

/*
 * PCI configuration access through ports 0xcf8 and 0xcfc ("Configuration
 * Mechanism #1"), with nothing on the bus but its host bridge.  The reset
 * control register shares the ports: byte accesses of 0xcf9.
 */
struct pci;

struct pci *pci_new(struct bus *pio, struct power *power);
void pci_free(struct pci *pci);
