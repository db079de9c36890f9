#include "dbt/dbt_int.h"

#include "cpu/op.h"
#include "mmu/dirty.h"
#include "mmu/walk.h"

/*
 * TLB misses of translated code, on the light path: no C library, general
 * registers only.
 */

/* Whether a write to the page of @w would be allowed and needs no bookkeeping,
 * so that a read may enter the write entry too. */
static bool may_prefill_write(const struct cpu *c, const struct memslot *s,
			      const struct walk *w)
{
	if (s->dirty || (s->flags & MEMSLOT_READONLY) || !w->dirty)
		return false;
	/* Protection keys and CR0.WP = 0 take the long way. */
	return w->pte_w && !c->mmu.role.pke && !c->mmu.role.pks;
}

/* Beside the code of a page with code: the addend for this access only. */
static bool permit(struct cpu *c, const struct miss_stub *s,
		   const struct memslot *slot, gva_t gva, gpa_t gpa)
{
	if (s->window ||
	    !pages_permit(c, gpa - (s->size - 1), s->size + s->ahead))
		return false;
	mmu_mark_dirty(&c->mmu, slot, gpa);
	c->dbt[D_ADDEND] = (uint64_t)memslot_hva(slot, gpa) - gva;
	return true;
}

/* Enters the page of @gva for the current mode; false: it must not be. */
static bool enter(struct cpu *c, const struct memslot *slot, gva_t gva,
		  const struct walk *w, bool writable)
{
	uint8_t *flags = &slot->page_flags[(w->gpa - slot->gpa) >> PAGE_SHIFT];
	struct tlb_table *tt;

	if (writable &&
	    !(__atomic_load_n(flags, __ATOMIC_RELAXED) & PGF_WRITABLE))
		__atomic_or_fetch(flags, PGF_WRITABLE, __ATOMIC_SEQ_CST);
	/* A translation may have begun meanwhile; it drops write entries. */
	if (writable &&
	    (__atomic_load_n(flags, __ATOMIC_SEQ_CST) & PGF_WATCHED))
		return false;
	tt = tlb_current(c->mmu.tlb, tlb_mode_of(c));
	return tt && tlb_fill(c->mmu.tlb, tt, gva,
			      memslot_hva(slot, w->gpa & PAGE_MASK), writable,
			      w->global, w->page_shift);
}

void run_enter_write(struct mmu *mmu, gva_t gva, unsigned int access,
		     const struct memslot *slot, const struct walk *w)
{
	const uint8_t *flags =
		&slot->page_flags[(w->gpa - slot->gpa) >> PAGE_SHIFT];
	struct cpu *c = container_of(mmu, struct cpu, mmu);

	/* An implicit access of the processor is of another mode. */
	if (access != (cpu_access(c) | ACCESS_WRITE) ||
	    (__atomic_load_n(flags, __ATOMIC_RELAXED) & PGF_WATCHED))
		return;
	mmu_mark_dirty(mmu, slot, w->gpa);
	enter(c, slot, gva, w, true);
}

enum filled { FILL_NOT, FILL_ENTRY, FILL_BOTH, FILL_ONCE /* D_ADDEND */ };

/* @whole: the access ends at @gva and does not cross a page. */
static enum filled fill_page(struct cpu *c, const struct miss_stub *s,
			     gva_t gva, bool whole)
{
	unsigned int access = cpu_access(c) | (s->write ? ACCESS_WRITE : 0);
	const struct memslot *slot;
	struct walk w;
	const uint8_t *flags;
	bool writable, is_code;

	/* The first access of a window need not be the one that writes. */
	if (s->window)
		access &= ~ACCESS_WRITE;
	if (!canonical(c, gva))
		return FILL_NOT;
	if (walk_gva(&c->mmu, gva, access, &w, &c->fault) != CPU_OK) {
		c->fault.address = gva - s->size + 1;
		vcpu_dbt(c)->miss_faulted = s->exact;
		return FILL_NOT;
	}
	slot = memslot_find(c->mmu.slots, w.gpa);
	if (!slot || (s->write && (slot->flags & MEMSLOT_READONLY)))
		return FILL_NOT;
	flags = &slot->page_flags[(w.gpa - slot->gpa) >> PAGE_SHIFT];
	is_code = __atomic_load_n(flags, __ATOMIC_RELAXED) & PGF_WATCHED;
	if (s->write && is_code)
		return whole && permit(c, s, slot, gva, w.gpa) ? FILL_ONCE
							       : FILL_NOT;
	writable = may_prefill_write(c, slot, &w) && !is_code;
	if (s->write && s->window && !writable)
		return FILL_NOT;
	if (s->write)
		mmu_mark_dirty(&c->mmu, slot, w.gpa);
	if (!enter(c, slot, gva, &w, writable || s->write))
		return FILL_NOT;
	c->exits[EXIT_TLB_MISS]++;
	return FILL_ENTRY;
}

/* Both pages of an access, or neither counts. */
static enum filled fill_both(struct cpu *c, const struct miss_stub *s,
			     gva_t gva)
{
	bool both = s->cross &&
		    fill_page(c, s, gva - s->size + 1, false) == FILL_ENTRY &&
		    fill_page(c, s, gva, false) == FILL_ENTRY;

	vcpu_dbt(c)->miss_faulted = false;
	return both ? FILL_BOTH : FILL_NOT;
}

static enum filled fill(struct cpu *c, const struct miss_stub *s)
{
	gva_t gva = c->dbt[D_T0];

	if ((gva & ~PAGE_MASK) + 1 < s->size)
		return fill_both(c, s, gva);
	return fill_page(c, s, gva, true);
}

void *dbt_miss(struct cpu *c, const struct miss_stub *s)
{
	enum filled how;

	c->doing = EXIT_TLB_MISS;
	vcpu_dbt(c)->miss_faulted = false;
	how = fill(c, s);
	if (how == FILL_BOTH)
		return (uint8_t *)s + s->cross;
	if (how != FILL_NOT)
		return (uint8_t *)s + s->retry +
		       (how == FILL_ONCE ? s->done : 0);
	return s->window ? (void *)(s + 1) : NULL;
}
