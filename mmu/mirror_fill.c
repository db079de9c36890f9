#include "mmu/mirror_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "host/share.h"
#include "mmu/tlb.h"
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

static uint8_t *flags_of(const struct memslot *slot, gpa_t gpa)
{
	return &slot->page_flags[(gpa - slot->gpa) >> PAGE_SHIFT];
}

/* Whether runners may write to the page; notes that one may. */
static bool may_write(const struct memslot *slot, gpa_t gpa)
{
	uint8_t *flags = flags_of(slot, gpa);
	const uint8_t note = PGF_WRITABLE | PGF_MIRRORED;

	if (slot->dirty || (slot->flags & MEMSLOT_READONLY) ||
	    (__atomic_load_n(flags, __ATOMIC_RELAXED) & PGF_WATCHED))
		return false;
	if ((__atomic_load_n(flags, __ATOMIC_RELAXED) & note) != note)
		__atomic_or_fetch(flags, note, __ATOMIC_SEQ_CST);
	/* A translation may have begun meanwhile; it looks at the note. */
	return !(__atomic_load_n(flags, __ATOMIC_SEQ_CST) & PGF_WATCHED);
}

/* Whether a write to the page as it is now would be noticed, without anything
 * being dropped for it. */
static bool is_watched(const struct memslot *slot, gpa_t gpa)
{
	const uint8_t writable = PGF_WRITABLE | PGF_PERMITTED;
	uint8_t *flags = flags_of(slot, gpa);

	if (!(__atomic_load_n(flags, __ATOMIC_RELAXED) & writable))
		__atomic_or_fetch(flags, PGF_EXEC, __ATOMIC_SEQ_CST);
	return (__atomic_load_n(flags, __ATOMIC_SEQ_CST) &
		(writable | PGF_EXEC)) == PGF_EXEC;
}

const uint8_t *mirror_bytes(struct mmu *mmu, const struct mirror_table *t,
			    unsigned int i)
{
	uint64_t e = i < 512 ? mirror_entry(t, i) : 0;
	gpa_t gpa = e & MASK(52) & PAGE_MASK;
	const struct memslot *slot = e & PTE_P ? mmu_slot(mmu, gpa) : NULL;

	return slot ? memslot_hva(slot, gpa) : NULL;
}

static unsigned int scan_faults(void)
{
	return SCAN_TSC_FAULTS | (runner_traps_cpuid() ? SCAN_CPUID_FAULTS : 0);
}

/* Whether the code at @page, which is page @i, may run natively. */
static bool may_execute(struct mmu *mmu, const struct mirror_table *t,
			unsigned int i, const uint8_t *page)
{
	return !mirror_scan(mmu->tlb->mirror, page, mirror_bytes(mmu, t, i - 1),
			    mirror_bytes(mmu, t, i + 1), scan_faults());
}

/* What the guest's tables allow of a page, and what the runner gets of it. */
struct rights {
	gpa_t gpa;
	uint64_t rec; /* for mirror_table.pte */
	bool w, x;
	bool alone; /* if both are allowed, one at a time */
};

/* Likewise, with breakpoints if it is needed now. */
static bool make_executable(struct mirror_space *s, struct mmu *mmu,
			    struct mirror_table *t, unsigned int i,
			    const uint8_t *page, const struct rights *r,
			    enum mirror_access access)
{
	if (may_execute(mmu, t, i, page)) {
		mirror_stops_drop(s, t->gva + i * PAGE_SIZE);
		return true;
	}
	/* For other accesses it may stay mapped as it is, with those it has. */
	return access == MIRROR_FETCH && !r->alone &&
	       mirror_stops_set(s, mmu, t, i, page, scan_faults());
}

static bool rights_get(const struct mirror_space *s, const struct mmu *mmu,
		       const struct mirror_table *t, unsigned int i,
		       struct rights *r)
{
	uint64_t e = mirror_entry(t, i);

	*r = (struct rights){
		.gpa = e & MASK(52) & PAGE_MASK,
		.rec = e & PTE_KEEP,
		.w = (e & PTE_W) && t->w && (e & PTE_D),
		.x = !(e & PTE_NX) && !t->nx,
	};
	r->alone = (e & PTE_W) && t->w && r->x && s->flips < MIRROR_FLIPS;
	return (e & PTE_P) && (e & PTE_A) && (e & PTE_U) && t->u &&
	       !(e & PTE_G) && (mmu->role.nx || !(e & PTE_NX)) &&
	       !((e & MASK(52)) >> mmu->role.maxphyaddr);
}

/*
 * A page that the guest may write and execute is written, or it is looked at
 * and executed, and a fault changes it: so code is seen that has been made
 * since.  Where that happens again and again it is believed to be harmless.
 */
static void choose(struct mirror_space *s, struct mmu *mmu, struct rights *r,
		   uint64_t was, enum mirror_access access)
{
	const struct memslot *slot = mmu_slot(mmu, r->gpa);

	if (r->alone && access == MIRROR_FETCH) {
		r->w = false;
	} else if (r->alone) {
		r->x = false;
		s->flips += !!(was & MAPPED_X);
	}
	if (access == MIRROR_FETCH && r->x && s->flips < MIRROR_FLIPS)
		mmu->ops->exec_watch(mmu, r->gpa);
	if (access == MIRROR_WRITE && r->w && slot &&
	    (__atomic_load_n(flags_of(slot, r->gpa), __ATOMIC_RELAXED) &
	     PGF_EXEC)) {
		mmu->ops->exec_unwatch(mmu, r->gpa);
		s->flips += !r->alone;
	}
}

/* Page @i is executed in its present form; what begins before it may be
 * another instruction now. */
static void look_before(struct mirror_space *s, struct mmu *mmu,
			struct mirror_table *t, unsigned int i)
{
	const uint8_t *page;

	if (!i || !(t->pte[i - 1] & MAPPED_X))
		return;
	/* Another vCPU may have unmapped it. */
	page = mirror_bytes(mmu, t, i - 1);
	if (page && may_execute(mmu, t, i - 1, page))
		return;
	t->pte[i - 1] &= ~PTE_P;
	s->stale = true;
}

/* The protection of page @i, and the rest of @r->rec. */
static int protection(struct mirror_space *s, struct mmu *mmu,
		      struct mirror_table *t, unsigned int i,
		      const struct memslot *slot, struct rights *r,
		      enum mirror_access access)
{
	int prot = PROT_READ;

	if (r->w && may_write(slot, r->gpa)) {
		prot |= PROT_WRITE;
		r->rec |= MAPPED_W;
	}
	if (!r->x)
		return prot;
	/* Before the look: what is written then is noticed. */
	if (!(prot & PROT_WRITE) && is_watched(slot, r->gpa))
		r->rec |= MAPPED_WATCH;
	else if (access != MIRROR_FETCH && s->flips < MIRROR_FLIPS)
		return prot;
	if (!make_executable(s, mmu, t, i, memslot_hva(slot, r->gpa), r,
			     access)) {
		r->rec |= MAPPED_DENIED;
		return prot;
	}
	r->rec |= MAPPED_X;
	if (r->alone)
		look_before(s, mmu, t, i);
	return prot | PROT_EXEC;
}

/* Whether a page that is mapped as @was may be had otherwise. */
static bool may_better(const struct rights *r, uint64_t was,
		       enum mirror_access access)
{
	/* What may not run may do so when more is known of its neighbours. */
	if (access == MIRROR_FETCH)
		return true;
	return r->w && !(was & MAPPED_W) &&
	       (access == MIRROR_WRITE || !r->alone);
}

/* Maps page @i of @t or gives it other rights; false: no need, or no way. */
static bool page_fill(struct mirror_space *s, struct mmu *mmu,
		      struct mirror_table *t, unsigned int i,
		      enum mirror_access access)
{
	uint64_t was = t->pte[i];
	const struct memslot *slot;
	struct share share;
	struct rights r;
	int prot;

	if (!rights_get(s, mmu, t, i, &r))
		return false;
	if ((was & PTE_KEEP) == r.rec && !may_better(&r, was, access))
		return false;
	choose(s, mmu, &r, was, access);
	if (s->gone)
		return false;
	slot = mmu_slot(mmu, r.gpa);
	if (!slot || !share_find(memslot_hva(slot, r.gpa), &share))
		return false;
	prot = protection(s, mmu, t, i, slot, &r, access);
	if (was == r.rec || (access == MIRROR_WRITE && !(prot & PROT_WRITE)))
		return false;
	if (runner_map(s->runner, t->gva + i * PAGE_SIZE, PAGE_SIZE, share.fd,
		       share.offset, prot, false))
		return false;
	t->pte[i] = r.rec;
	return access != MIRROR_FETCH || (prot & PROT_EXEC);
}

/* Lower addresses a host may reserve (vm.mmap_min_addr). */
#define LOWEST 0x10000

static bool fillable(const struct mmu *mmu, gva_t gva)
{
	return gva >= LOWEST && gva < RUNNER_TOP &&
	       (gva < RUNNER_STUB || gva >= RUNNER_STUB_END) &&
	       mmu->role.paging >= PAGING_4LEVEL && !mmu->role.pke;
}

/* Page @i and some that lie about it. */
static bool fill_around(struct mirror_space *s, struct mmu *mmu,
			struct mirror_table *t, unsigned int i,
			enum mirror_access access)
{
	unsigned int n = t->ptes ? AROUND : 512, first = i & ~(n - 1);

	if (!page_fill(s, mmu, t, i, access))
		return false;
	for (unsigned int k = first; k < first + n && !s->gone; k++)
		if (k != i && fillable(mmu, t->gva + k * PAGE_SIZE))
			page_fill(s, mmu, t, k, MIRROR_ANY);
	return true;
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
	struct mirror_table *t = mirror_find(s, gva);
	unsigned int i = gva >> PAGE_SHIFT & 511;
	struct x86_fault f;
	struct walk w;
	bool done;

	/* It was no fetch then. */
	if (access == MIRROR_FETCH && t && (t->pte[i] & MAPPED_X))
		access = MIRROR_WRITE;
	if (!fillable(mmu, gva) ||
	    walk_gva(mmu, gva, how[access], &w, &f) != CPU_OK)
		return false;
	t = table_get(s, mmu, gva);
	if (!t)
		return false;
	done = fill_around(s, mmu, t, i, access);
	/* Other mappings of the pages had to go. */
	if (s->stale || __atomic_load_n(&s->written, __ATOMIC_RELAXED))
		s->gone = mirror_settle(s, mmu) || s->gone;
	return done && !s->gone;
}
