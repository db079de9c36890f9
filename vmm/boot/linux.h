#pragma once

#include <asm/bootparam.h>

#include "vmm/boot/image.h"

/*
 * Linux's x86 boot protocol: bzImage, and boot_params for vmlinux.  Source:
 * Linux "The Linux/x86 Boot Protocol".
 */

/* linux_is_bzimage - whether the boot sector's signature and header are. */
bool linux_is_bzimage(const uint8_t *data, uint64_t size);

/* linux_has_entry64 - a bzImage that can be entered in 64-bit mode. */
bool linux_has_entry64(const uint8_t *data);

int linux_load_bzimage(struct boot *boot, bool long64);

/*
 * linux_fill_params - what the kernel reads, apart from its own setup header:
 * memory map, command line, ACPI, a random seed; and the initrd, not below
 * @floor.  Writes all of it to the guest.
 */
int linux_fill_params(struct boot *boot, struct boot_params *params,
		      gpa_t floor);
