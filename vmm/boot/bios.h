#pragma once

#include "vmm/kvmfd.h"
#include "vmm/ram.h"

/*
 * What a BIOS leaves behind for code that runs in real mode: its data area, an
 * interrupt table whose handlers end the interrupt and return, and the
 * interrupt controllers and timer set up.  There are no BIOS services.
 */

/* bios_write - data area, vectors, handlers; 0 or -EFAULT. */
int bios_write(const struct ram *ram);

/*
 * bios_init_chips - PIC vectors at 0x08 and 0x70, PIT channel 0 at 18.2 Hz.
 * 0 or -errno.
 */
int bios_init_chips(const struct kvmfd *vm);
