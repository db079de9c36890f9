#include "mmu/dirty_ring.h"

#include "mmu/dirty.h"

static struct dirty_gfn *entry(const struct dirty_ring *r, uint32_t index)
{
	return &r->gfn[index & (r->size - 1)];
}

void dirty_ring_push(struct dirty_ring *r, uint32_t slot, uint64_t page)
{
	struct dirty_gfn *e = entry(r, r->head);

	e->slot = slot;
	e->page = page;
	/* User mode reads the rest once it sees this. */
	__atomic_store_n(&e->flags, DIRTY_GFN_DIRTY, __ATOMIC_RELEASE);
	r->head++;
}

bool dirty_ring_harvested(const struct dirty_ring *r, uint32_t *slot,
			  uint64_t *page)
{
	const struct dirty_gfn *e = entry(r, r->tail);

	if (!(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & DIRTY_GFN_RESET))
		return false;
	*slot = e->slot;
	*page = e->page;
	return true;
}

void dirty_ring_reset(struct dirty_ring *r)
{
	__atomic_store_n(&entry(r, r->tail)->flags, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE);
}

void mmu_mark_dirty(struct mmu *mmu, const struct memslot *s, gpa_t gpa)
{
	struct dirty_ring *r = mmu->dirty_ring;

	if (!memslot_mark_dirty(s, gpa) || !r)
		return;
	dirty_ring_push(r, s->id, (gpa - s->gpa) >> PAGE_SHIFT);
	if (dirty_ring_full(r))
		mmu->ops->ring_full(mmu);
}
