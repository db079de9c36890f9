#pragma once

#include "mmu/dirty_ring.h"
#include "mmu/mmu.h"

/*
 * mmu_mark_dirty - logs a write by the guest to the page of @gpa in slot @s: in
 * the bitmap, and if it was not there, in the vCPU's ring.  The vCPU's thread.
 */
void mmu_mark_dirty(struct mmu *mmu, const struct memslot *s, gpa_t gpa);

/*
 * mmu_wrote - C code has written @len bytes at @gpa in slot @s, within one
 * page: logs the page as dirty and reports writes to translated code.
 *
 * The caller must have put a full fence (or a locked instruction) after its
 * write: the translator sets PGF_CODE first and reads the page's bytes then, so
 * that either this side sees the flag or the translator sees the new bytes.
 */
static inline void mmu_wrote(struct mmu *mmu, const struct memslot *s,
			     gpa_t gpa, unsigned int len)
{
	const uint8_t *pgf = &s->page_flags[(gpa - s->gpa) >> PAGE_SHIFT];

	if (unlikely(s->dirty))
		mmu_mark_dirty(mmu, s, gpa);
	if (unlikely(__atomic_load_n(pgf, __ATOMIC_RELAXED) & PGF_WATCHED))
		mmu->ops->code_write(mmu, gpa, len);
}
