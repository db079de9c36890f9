#pragma once

#include "vmm/boot/image.h"

/* "Multiboot Specification version 0.6.96", ELF images only. */

/* multiboot_find - whether a valid header stands in the first 8 KiB. */
bool multiboot_find(const uint8_t *data, uint64_t size);

int multiboot_load(struct boot *boot);
