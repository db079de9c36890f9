#pragma once

#include "base/types.h"

/*
 * A vCPU's dirty ring (KVM_CAP_DIRTY_LOG_RING): the pages that it was the first
 * to write since they were last reset.  User mode reads entries in the shared
 * memory, marks them harvested, and has them reset.
 *
 * The vCPU pushes at @head; whoever resets takes from @tail.  There is always
 * room: a vCPU leaves the guest soon after the ring has become full, which is
 * DIRTY_RING_RESERVED entries before its end.
 */
struct dirty_gfn {
	uint32_t flags; /* DIRTY_GFN_* */
	uint32_t slot;
	uint64_t page; /* in the slot */
};

#define DIRTY_GFN_DIRTY BIT(0) /* set by the vCPU */
#define DIRTY_GFN_RESET BIT(1) /* set by user mode, harvested */

/* As many as Linux reserves on processors with page-modification logging. */
#define DIRTY_RING_RESERVED 576

struct dirty_ring {
	struct dirty_gfn *gfn;
	uint32_t size; /* entries, a power of two */
	uint32_t head, tail;
};

/* dirty_ring_full - whether user mode has to do something before it goes on. */
static inline bool dirty_ring_full(const struct dirty_ring *r)
{
	return r->head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) >=
	       r->size - DIRTY_RING_RESERVED;
}

/* dirty_ring_push - page @page of slot @slot was written.  The vCPU's thread.
 */
void dirty_ring_push(struct dirty_ring *r, uint32_t slot, uint64_t page);

/*
 * dirty_ring_harvested - whether the oldest entry waits to be reset; its page
 * is in *@slot and *@page.
 */
bool dirty_ring_harvested(const struct dirty_ring *r, uint32_t *slot,
			  uint64_t *page);

/* dirty_ring_reset - takes the oldest entry away. */
void dirty_ring_reset(struct dirty_ring *r);
