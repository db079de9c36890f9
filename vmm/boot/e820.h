#pragma once

#include "vmm/ram.h"

/* The memory map that guests get, in the types of "INT 15h, E820h". */
enum { E820_RAM = 1, E820_RESERVED = 2 };

struct e820_entry {
	gpa_t gpa;
	uint64_t size;
	uint32_t type;
};

#define E820_MAX 8

struct e820 {
	struct e820_entry entry[E820_MAX];
	unsigned nr;
};

/* e820_build - the map of a machine with this RAM, sorted by address. */
void e820_build(struct e820 *map, const struct ram *ram);
