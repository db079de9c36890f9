#pragma once

#include "base/types.h"

/*
 * Memory slots: guest physical address -> host virtual address.
 * A struct memslots is immutable while vCPUs run; an update builds a new one
 * and publishes it while every vCPU is out of guest code.
 */
#define MEMSLOT_DIRTY_LOG BIT(0)
#define MEMSLOT_READONLY  BIT(1)

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

#define MEMSLOT_MAX 32764 /* ids 0..32763, as KVM_CAP_NR_MEMSLOTS tells */

#define PGF_CODE      BIT(0) /* blocks were translated from this page */
#define PGF_WRITABLE  BIT(1) /* some TLB may hold a write entry for it */
#define PGF_PERMITTED BIT(2) /* a vCPU may be writing beside the code */
#define PGF_MIRRORED  BIT(3) /* a runner may write to it (mirror.h) */
#define PGF_EXEC      BIT(4) /* a runner executes it as it is now */

/* A write must be reported. */
#define PGF_WATCHED (PGF_CODE | PGF_EXEC)

struct memslots {
	uint32_t nr;
	uint64_t generation;
	struct memslot slot[]; /* sorted by gpa, not overlapping */
};

/*
 * memslot_find - the slot that holds @gpa, or NULL (MMIO).  @slots may be NULL
 * (no memory at all), as in every function here that takes a set.
 */
const struct memslot *memslot_find(const struct memslots *slots, gpa_t gpa);

/* memslot_find_from - memslot_find that stores the index found in *@hint. */
const struct memslot *memslot_find_from(const struct memslots *slots,
					uint32_t *hint, gpa_t gpa);

/*
 * memslot_find_hint - memslot_find that looks at index *@hint first (any value
 * is allowed, also after the set was replaced).
 */
static inline const struct memslot *memslot_find_hint(
	const struct memslots *slots, uint32_t *hint, gpa_t gpa)
{
	if (likely(slots && *hint < slots->nr)) {
		const struct memslot *s = &slots->slot[*hint];

		if (likely(gpa - s->gpa < s->size))
			return s;
	}
	return memslot_find_from(slots, hint, gpa);
}

/*
 * memslots_update - a new set with one slot changed, after KVM's rules for
 * KVM_SET_USER_MEMORY_REGION: @size 0 deletes, an existing id may only move
 * or change its dirty-log flag, no overlap (-EEXIST), page alignment, flags
 * (-EINVAL).  The old set stays valid until memslots_free.  Bitmaps and page
 * flags of unchanged slots are shared with the old set (the new one owns them).
 * Slot ids are below MEMSLOT_MAX.  A moved slot keeps its dirty bitmap and gets
 * fresh page flags.
 * Returns 0 and *@out (== @old if nothing changes), or -EINVAL, -EEXIST,
 * -ENOMEM with nothing changed.
 */
int memslots_update(struct memslots *old, uint32_t id, uint32_t flags,
		    gpa_t gpa, uint64_t size, uint8_t *hva,
		    struct memslots **out) __must_check;

/*
 * memslots_retire - frees @old after @new has replaced it, without what the two
 * share.  With the arguments swapped it undoes a memslots_update.
 */
void memslots_retire(struct memslots *old, const struct memslots *new);

/* memslots_free - frees the last set with all its bitmaps. */
void memslots_free(struct memslots *slots);

static inline uint8_t *memslot_hva(const struct memslot *s, gpa_t gpa)
{
	return s->hva + (gpa - s->gpa);
}

/* memslot_mark_dirty - logs a guest write to the page of @gpa, atomically.
 * Whether it is the first one; false if the slot does not log. */
bool memslot_mark_dirty(const struct memslot *s, gpa_t gpa);

/* memslots_contain - whether host address @hva is inside any slot. */
bool memslots_contain(const struct memslots *slots, const void *hva);
