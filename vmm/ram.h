#pragma once

#include "base/types.h"

/*
 * The guest's RAM, laid out as on a PC: up to 3 GiB below the hole that
 * devices use, the rest from 4 GiB up; no RAM behind the VGA window.
 */
#define RAM_MIN	       (1ull << 20)
#define RAM_MAX	       (1ull << 40)
#define RAM_HOLE_START 0xc0000000ull
#define RAM_HIGH_START 0x100000000ull
#define RAM_VGA_START  0xa0000ull
#define RAM_VGA_END    0xc0000ull

struct ram {
	uint8_t *base; /* all RAM in one mapping, low part first */
	uint64_t size;
	uint64_t low_size, high_size;
};

struct ram_region {
	gpa_t gpa;
	uint64_t size;
	uint8_t *hva;
};
#define RAM_REGIONS_MAX 3

/* ram_init - map @size bytes (a multiple of 4 KiB), not yet populated. */
int ram_init(struct ram *ram, uint64_t size);
void ram_exit(struct ram *ram);

/* ram_regions - the pieces for memory slots; returns how many. */
int ram_regions(const struct ram *ram, struct ram_region r[RAM_REGIONS_MAX]);

/* ram_ptr - host address of @len guest bytes; NULL if not wholly RAM. */
void *ram_ptr(const struct ram *ram, gpa_t gpa, uint64_t len);

/* ram_write - copy into the guest; 0, or -EFAULT if not wholly RAM. */
int ram_write(const struct ram *ram, gpa_t gpa, const void *data, uint64_t len);
