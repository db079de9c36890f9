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
	bool sleep;	    /* it can wake up from S3 */
};

/*
 * The tables as one piece.  Pointers hold addresses that count from @base; for
 * firmware that puts the piece elsewhere, @refs and @sums say what to correct.
 */
#define ACPI_MAX      0x3000
#define ACPI_REFS_MAX 16
#define ACPI_SUMS_MAX 8

struct acpi_tables {
	gpa_t base;
	uint8_t data[ACPI_MAX];
	size_t len;
	struct acpi_ref {
		uint32_t at;
		uint8_t width;
	} refs[ACPI_REFS_MAX];
	unsigned nr_refs;
	struct acpi_sum {
		uint32_t start, len; /* the checksum is of this range */
		uint32_t at;
	} sums[ACPI_SUMS_MAX];
	unsigned nr_sums;
	gpa_t rsdt, xsdt, facs;
	bool overflow;
};

/* acpi_build - make them; 0 or -ENOSPC. */
int acpi_build(struct acpi_tables *t, const struct machine *m, gpa_t base);

/* The root pointer, which firmware places apart from the tables. */
struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
#define ACPI_RSDP_V1 20 /* bytes that the first checksum is of */

void acpi_fill_rsdp(struct acpi_rsdp *rsdp, const struct acpi_tables *t);

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
