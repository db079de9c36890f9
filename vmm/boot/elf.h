#pragma once

#include "vmm/boot/image.h"

/*
 * ELF kernels: vmlinux by Linux's 64-bit entry or by PVH ("x86/HVM direct boot
 * ABI" of Xen), and the segments of multiboot images.
 */

/* elf_is_elf - an ELF magic; the rest may yet be wrong. */
bool elf_is_elf(const struct boot *boot);

/* elf_protocol - PVH if a note names its entry point, else Linux's own. */
enum boot_protocol elf_protocol(const struct boot *boot);

/*
 * elf_load - check the file and copy its segments to their physical
 * addresses.  @entry gets the file's entry point, @end the end of the highest
 * segment.
 */
int elf_load(const struct boot *boot, gpa_t *entry, gpa_t *end);

int elf_load_linux(struct boot *boot, enum boot_protocol protocol);
int elf_load_pvh(struct boot *boot);
