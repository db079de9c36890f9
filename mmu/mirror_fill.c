#include "mmu/mirror_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "host/runner.h"
#include "host/share.h"
#include "mmu/walk.h"
#include "x86/scan.h"

/*
 * What a runner lacks.  The walker decides whether an access is allowed and
 * sets A and D; then the entries that it went by are remembered.
 */

/* Pages that are mapped together with one that is touched. */
#define AROUND 32

static const uint64_t *entry_at(struct mmu *mmu, gpa_t gpa)
{
	const struct memslot *s = mmu_slot(mmu, gpa);

	return s ? (const uint64_t *)memslot_hva(s, gpa) : NULL;
}

/* The way to the 2 MiB at @t->gva; false: there is none (any more). */
static bool table_walk(struct mmu *mmu, struct mirror_table *t)
{
	unsigned int level = mmu->role.paging == PAGING_5LEVEL ? 5 : 4;
	gpa_t table = mirror_root(mmu->cr3);

	t->w = t->u = true;
	for (; level > 1; level--) {
		unsigned int shift = 3 + 9 * level;
		const uint64_t *at =
			entry_at(mmu, table + ((t->gva >> shift) & 511) * 8);
		uint64_t e = at ? __atomic_load_n(at, __ATOMIC_RELAXED) : 0;

		if (!(e & PTE_P) || !(e & PTE_A))
			return false;
		t->up[t->nr_up].at = at;
		t->up[t->nr_up++].was = e & PTE_KEEP;
		t->w = t->w && (e & PTE_W);
		t->u = t->u && (e & PTE_U);
		t->nx = t->nx || (e & PTE_NX);
		if (e & PTE_PS) {
			t->shift = shift;
			return true;
		}
		table = e & MASK(52) & PAGE_MASK;
	}
	t->ptes = entry_at(mmu, table);
	return t->ptes;
}

static struct mirror_table *table_make(struct mirror_space *s, struct mmu *mmu,
				       gva_t gva)
{
	struct mirror_table *t = calloc(1, sizeof(*t));
	struct mirror_table **bucket = mirror_bucket(s, gva);

	if (!t)
		return NULL;
	t->gva = gva & ~MASK(21);
	if (!table_walk(mmu, t)) {
		free(t);
		return NULL;
	}
	t->next = *bucket;
	*bucket = t;
	s->giant |= !t->ptes && t->shift > 21;
	return t;
}

/* The table of @gva as it is now; what an older one has mapped goes. */
static struct mirror_table *table_get(struct mirror_space *s, struct mmu *mmu,
				      gva_t gva)
{
	struct mirror_table *t = mirror_find(s, gva), **pt;

	if (t && mirror_table_ok(t))
		return t;
	if (t) {
		for (pt = mirror_bucket(s, gva); *pt != t; pt = &(*pt)->next)
			;
		*pt = t->next;
		free(t);
		if (runner_unmap(s->runner, gva & ~MASK(21), MASK(21) + 1))
			return NULL;
	}
	return table_make(s, mmu, gva);
}

/* Whether runners may write to the page; notes that one may. */
static bool may_write(const struct memslot *slot, gpa_t gpa)
{
	uint8_t *flags = &slot->page_flags[(gpa - slot->gpa) >> PAGE_SHIFT];
	const uint8_t note = PGF_WRITABLE | PGF_MIRRORED;

	if (slot->dirty || (slot->flags & MEMSLOT_READONLY))
		return false;
	if ((__atomic_load_n(flags, __ATOMIC_RELAXED) & note) != note)
		__atomic_or_fetch(flags, note, __ATOMIC_SEQ_CST);
	/* A translation may have begun meanwhile; it looks at the note. */
	return !(__atomic_load_n(flags, __ATOMIC_SEQ_CST) & PGF_CODE);
}

/* The bytes of page @i, or NULL. */
static const uint8_t *page_bytes(struct mmu *mmu, const struct mirror_table *t,
				 unsigned int i)
{
	uint64_t e = i < 512 ? mirror_entry(t, i) : 0;
	gpa_t gpa = e & MASK(52) & PAGE_MASK;
	const struct memslot *slot = e & PTE_P ? mmu_slot(mmu, gpa) : NULL;

	return slot ? memslot_hva(slot, gpa) : NULL;
}

/* Whether its code may run natively. */
static bool may_execute(struct mmu *mmu, const struct mirror_table *t,
			unsigned int i)
{
	unsigned int faults = SCAN_TSC_FAULTS;

	if (runner_traps_cpuid())
		faults |= SCAN_CPUID_FAULTS;
	return !scan_page(page_bytes(mmu, t, i), page_bytes(mmu, t, i - 1),
			  page_bytes(mmu, t, i + 1), faults);
}

/* Entries that are not for user memory, or not for memory at all. */
static bool entry_fits(const struct mmu *mmu, const struct mirror_table *t,
		       uint64_t e)
{
	return (e & PTE_P) && (e & PTE_A) && (e & PTE_U) && t->u &&
	       !(e & PTE_G) && (mmu->role.nx || !(e & PTE_NX)) &&
	       !((e & MASK(52)) >> mmu->role.maxphyaddr);
}

/*
 * How page @i of @t is to be mapped by entry @e: bits of PTE_KEEP and MAPPED_*.
 * What is for code and writable is either.
 */
static uint64_t map_kind(const struct mirror_table *t, unsigned int i,
			 uint64_t e, const struct memslot *slot, gpa_t gpa,
			 enum mirror_access access)
{
	bool w = (e & PTE_W) && t->w && (e & PTE_D);
	bool x = !(e & PTE_NX) && !t->nx;

	if (w && x && access != MIRROR_FETCH &&
	    (access == MIRROR_WRITE || !(t->pte[i] & MAPPED_CODE)))
		x = false;
	if (w && !x && may_write(slot, gpa))
		return (e & PTE_KEEP) | MAPPED_W;
	return (e & PTE_KEEP) | (x ? MAPPED_CODE : 0);
}

/* Whether page @i is mapped as @rec says; @again: denials do not count. */
static bool same(const struct mirror_table *t, unsigned int i, uint64_t rec,
		 bool again)
{
	return (t->pte[i] & ~MAPPED_DENIED) == rec &&
	       !(again && (t->pte[i] & MAPPED_DENIED));
}

/*
 * Maps page @i of @t or gives it more rights; false: no need, or no way.  What
 * may not run may do so when more is known of its neighbours: a fetch asks
 * anew.
 */
static bool page_fill(struct mirror *m, struct mmu *mmu, struct mirror_table *t,
		      unsigned int i, enum mirror_access access)
{
	uint64_t e = mirror_entry(t, i), rec;
	gpa_t gpa = e & MASK(52) & PAGE_MASK;
	const struct memslot *slot;
	int prot = PROT_READ;
	struct share share;

	if (!entry_fits(mmu, t, e))
		return false;
	slot = mmu_slot(mmu, gpa);
	if (!slot || !share_find(memslot_hva(slot, gpa), &share))
		return false;
	rec = map_kind(t, i, e, slot, gpa, access);
	if (same(t, i, rec, access == MIRROR_FETCH))
		return false;
	if (rec & MAPPED_W)
		prot |= PROT_WRITE;
	if ((rec & MAPPED_CODE) && may_execute(mmu, t, i))
		prot |= PROT_EXEC;
	else if (rec & MAPPED_CODE)
		rec |= MAPPED_DENIED;
	if (t->pte[i] == rec)
		return false;
	if (runner_map(m->cur->runner, t->gva + i * PAGE_SIZE, PAGE_SIZE,
		       share.fd, share.offset, prot, false))
		return false;
	if (t->pte[i] && ((t->pte[i] ^ rec) & MAPPED_CODE))
		m->turns++;
	t->pte[i] = rec;
	return true;
}

/* Lower addresses a host may reserve (vm.mmap_min_addr). */
#define LOWEST 0x10000

static bool fillable(const struct mmu *mmu, gva_t gva)
{
	return gva >= LOWEST && gva < RUNNER_TOP &&
	       (gva < RUNNER_STUB || gva >= RUNNER_STUB_END) &&
	       mmu->role.paging >= PAGING_4LEVEL && !mmu->role.pke;
}

bool mirror_fill(struct mirror *m, struct mmu *mmu, gva_t gva,
		 enum mirror_access access)
{
	static const unsigned int how[] = {
		[MIRROR_ANY] = ACCESS_USER,
		[MIRROR_WRITE] = ACCESS_USER | ACCESS_WRITE,
		[MIRROR_FETCH] = ACCESS_USER | ACCESS_FETCH,
	};
	struct mirror_space *s = m->cur;
	unsigned int i = gva >> PAGE_SHIFT & 511, first, n;
	struct mirror_table *t;
	struct x86_fault f;
	struct walk w;

	if (!fillable(mmu, gva) ||
	    walk_gva(mmu, gva, how[access], &w, &f) != CPU_OK)
		return false;
	t = table_get(s, mmu, gva);
	if (!t || !page_fill(m, mmu, t, i, access))
		return false;
	n = t->ptes ? AROUND : 512;
	first = i & ~(n - 1);
	for (unsigned int k = first; k < first + n; k++)
		if (k != i && fillable(mmu, t->gva + k * PAGE_SIZE))
			page_fill(m, mmu, t, k, MIRROR_ANY);
	return true;
}
