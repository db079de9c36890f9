#pragma once

#include "base/types.h"

/*
 * Memory slots: guest physical address -> host virtual address.
 * A struct memslots is immutable while vCPUs run; an update builds a new one
 * and publishes it while every vCPU is out of guest code.
 */
#define MEMSLOT_DIRTY_LOG BIT(0)
#define MEMSLOT_READONLY BIT(1)

struct memslot {
	uint16_t id;
	uint32_t flags;
	gpa_t gpa;
	uint64_t size; /* bytes, a multiple of PAGE_SIZE */
	uint8_t *hva;
	uint64_t *dirty; /* bit per page, NULL without MEMSLOT_DIRTY_LOG */
	/*
	 * Byte per page (PGF_*), kept by the translator: whether translated
	 * code came from the page and whether a TLB may write to it.
	 */
	uint8_t *page_flags;
};

#define PGF_CODE BIT(0)    /* blocks were translated from this page */
#define PGF_WRITABLE BIT(1) /* some TLB may hold a write entry for it */

struct memslots {
	uint32_t nr;
	uint64_t generation;
	struct memslot slot[]; /* sorted by gpa, not overlapping */
};

/* memslot_find - the slot that holds @gpa, or NULL (MMIO). */
const struct memslot *memslot_find(const struct memslots *slots, gpa_t gpa);

/*
 * memslots_update - a new set with one slot changed, after KVM's rules for
 * KVM_SET_USER_MEMORY_REGION: @size 0 deletes, an existing id may only move
 * or change its dirty-log flag, no overlap (-EEXIST), page alignment, flags
 * (-EINVAL).  The old set stays valid until memslots_free.  Bitmaps and page
 * flags of unchanged slots are shared with the old set (the new one owns them).
 * Returns 0 and *@out (== @old if nothing changes), or -errno.
 */
int memslots_update(struct memslots *old, uint32_t id, uint32_t flags,
		    gpa_t gpa, uint64_t size, uint8_t *hva,
		    struct memslots **out) __must_check;

/* memslots_retire - frees @old after @new has replaced it. */
void memslots_retire(struct memslots *old, const struct memslots *new);

/* memslots_free - frees the last set with all its bitmaps. */
void memslots_free(struct memslots *slots);

static inline uint8_t *memslot_hva(const struct memslot *s, gpa_t gpa)
{
	return s->hva + (gpa - s->gpa);
}

/* memslot_mark_dirty - logs a guest write to the page of @gpa, atomically. */
void memslot_mark_dirty(const struct memslot *s, gpa_t gpa);
