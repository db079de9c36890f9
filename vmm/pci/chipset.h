#pragma once

#include "vmm/fw/shadow.h"
#include "vmm/pci/pci.h"

/*
 * What sits at the root of the bus, as firmware and old guests expect it: an
 * Intel 82441FX host bridge (00:00.0), the ISA bridge and the power management
 * function of a PIIX (00:01.0 and 00:01.3).
 */
struct chipset;

/*
 * chipset_new - @shadow follows the host bridge's attribute registers; NULL if
 * there is only RAM below 1 MiB.
 */
struct chipset *chipset_new(struct pci *pci, struct shadow *shadow);
void chipset_free(struct chipset *c);

/* chipset_route - what firmware does: PIRQs to ISA interrupts 10 and 11. */
void chipset_route(struct chipset *c);
