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

/*
 * acpi_write - write the tables; @rsdp gets where they start, @facs where the
 * FACS is.  0 or -errno.
 */
int acpi_write(const struct ram *ram, const struct machine *m, gpa_t *rsdp,
	       gpa_t *facs);

/*
 * acpi_waking_vector - where the guest wants to go on in real mode when it
 * wakes up from S3; 0 if it has not said so.
 */
uint32_t acpi_waking_vector(const struct ram *ram, gpa_t facs);
