#pragma once

#include "vmm/bus.h"
#include "vmm/ram.h"
#include "vmm/slots.h"

/*
 * Guest memory from 768 KiB to 1 MiB as the "Programmable Attribute Map" of a
 * 82441FX has it: thirteen pieces, each read and written as RAM or, instead,
 * as what lies on the bus: the end of the firmware's ROM from 896 KiB on,
 * nothing below.
 */
#define SHADOW_START 0xc0000ull
#define SHADOW_END   0x100000ull
#define SHADOW_ROM   0xe0000ull
#define SHADOW_REGS  7 /* PAM0 to PAM6 */

struct shadow {
	struct slots *slots;
	const struct ram *ram;
	uint8_t *rom; /* what reads see at SHADOW_ROM */
	uint64_t rom_size;
	uint8_t state[13]; /* bit 0: reads see RAM; bit 1: writes reach it */
};

/*
 * shadow_init - all pieces read as the bus; @rom holds the firmware, whose end
 * is seen at 1 MiB.  0 or -errno.
 */
int shadow_init(struct shadow *s, struct slots *slots, const struct ram *ram,
		struct bus *mmio, uint8_t *rom, uint64_t rom_size);

/* shadow_set - the attribute registers have changed. */
void shadow_set(struct shadow *s, const uint8_t regs[SHADOW_REGS]);
