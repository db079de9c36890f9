#pragma once

#include "vmm/boot/acpi.h"

/*
 * The MP table, for guests without ACPI.  Source: Intel MultiProcessor
 * Specification 1.4, "MP Configuration Table".
 */

/* mptable_write - 0 or -errno. */
int mptable_write(const struct ram *ram, const struct machine *m);
