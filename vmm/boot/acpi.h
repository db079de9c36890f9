#pragma once

#include "vmm/ram.h"

/*
 * ACPI tables: RSDP, RSDT and XSDT, FADT, FACS, DSDT, MADT.  Source: ACPI
 * Specification 6.4.
 */

/* What the tables, and the MP table, tell about the machine. */
struct machine {
	unsigned nr_cpus;   /* APIC ids 0 to nr_cpus - 1 */
	unsigned timer_pin; /* I/O APIC pin of ISA interrupt 0: 0 or 2 */
};

/* acpi_write - write the tables; @rsdp gets where they start.  0 or -errno. */
int acpi_write(const struct ram *ram, const struct machine *m, gpa_t *rsdp);
