#include "mmu/mirror_int.h"

#include <string.h>

#include "x86/scan.h"

/*
 * Each process has the pages of its libraries looked at, and each compiler run
 * those of the compiler.  What was found is remembered by what the pages hold,
 * and so it never becomes wrong.
 */

#define LANES 4
_Static_assert(!(SCAN_BEFORE % 8) && !((SCAN_BEHIND + 1) % 8), "whole words");

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

/* @len: a multiple of 8. */
static uint64_t hash(uint64_t h, const uint8_t *bytes, size_t len)
{
	uint64_t word;

	for (size_t i = 0; i < len; i += 8) {
		memcpy(&word, bytes + i, 8);
		h = mix(h, word);
	}
	return h;
}

/* Lanes of their own wait for one another's multiplications less. */
static uint64_t hash_page(const uint8_t *page)
{
	uint64_t lane[LANES] = { 1, 2, 3, 4 }, word, h = 0;

	for (size_t i = 0; i < PAGE_SIZE; i += 8 * LANES) {
		for (size_t k = 0; k < LANES; k++) {
			memcpy(&word, page + i + 8 * k, 8);
			lane[k] = mix(lane[k], word);
		}
	}
	for (size_t k = 0; k < LANES; k++)
		h = mix(h, lane[k]);
	return h;
}

/* Bit 0 is free for the answer, and no key is 0. */
static uint64_t key_of(const uint8_t *page, const uint8_t *before,
		       const uint8_t *next, unsigned int faults)
{
	uint64_t h = mix(hash_page(page), faults);

	if (before)
		h = hash(mix(h, 1), before + PAGE_SIZE - SCAN_BEFORE,
			 SCAN_BEFORE);
	if (next)
		h = hash(mix(h, 2), next, SCAN_BEHIND + 1);
	return (h | 2) & ~1ull;
}

bool mirror_scan(struct mirror *m, const uint8_t *page, const uint8_t *before,
		 const uint8_t *next, unsigned int faults)
{
	const uint64_t key = key_of(page, before, next, faults);
	uint64_t *seen = &m->seen[key >> 32 & (MIRROR_SEEN - 1)];
	bool forbidden;

	if ((*seen & ~1ull) == key)
		return *seen & 1;
	forbidden = scan_page(page, before, next, faults);
	/* It may have been changed meanwhile. */
	if (key_of(page, before, next, faults) == key)
		*seen = key | forbidden;
	return forbidden;
}
