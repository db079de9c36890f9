/*
 * The page walker: guest linear to guest physical, for C code and for the
 * software TLB's misses.  It runs while the guest's vector state is live and
 * other vCPUs run, holds no lock and may be left by a non-local jump where it
 * touches guest memory.
 *
 * 1. The whole walk and the permission check come first, then accessed and
 *    dirty bits are set; a faulting access sets none, as in Linux's KVM.
 * 2. Bits are set by compare-and-exchange on the entry as it was read; if it
 *    has changed, the walk starts anew.
 * 3. In PAE paging the page-directory pointers come from mmu->pdptr, which
 *    holds what the last load from memory found (the SDM's rule; AMD processors
 *    may read them at each walk).
 * 4. Bit 8 of upper entries is ignored (SDM; the APM reserves it in some).
 */
#include "mmu/walk.h"

#include "mmu/dirty.h"
#include "x86/defs.h"

#define PTE_ADDR       (MASK(52) & PAGE_MASK)
#define PTE_PKEY_SHIFT 59
#define PDPTE_RSVD     (BIT(1) | BIT(2) | (MASK(9) & ~MASK(5)) | BIT(63))
#define MAX_LEVELS     5

/* The entries one walk has used, from the root down. */
struct path {
	struct step {
		const struct memslot *slot; /* NULL: outside, reads as ones */
		gpa_t gpa;
		uint64_t pte;
	} step[MAX_LEVELS];
	unsigned int nr;
	uint64_t all; /* bits that every entry has */
	uint64_t any; /* bits that some entry has */
	uint8_t page_shift;
	gpa_t gpa;	/* the page's */
	uint32_t error; /* of a failed walk: 0 or P | RSVD */
};

/* Low bits that are reserved in an entry of a level (1 = PTE) with PS. */
static const uint64_t ps_rsvd[MAX_LEVELS + 1] = {
	[2] = MASK(21) & ~MASK(13),
	[3] = MASK(30) & ~MASK(13),
	[4] = PTE_PS,
	[5] = PTE_PS,
};

static __always_inline uint64_t path_read(struct mmu *mmu, struct path *p,
					  gpa_t gpa, unsigned int size)
{
	struct step *st = &p->step[p->nr++];
	const struct memslot *s = mmu_slot(mmu, gpa);
	const void *hva;

	st->slot = s;
	st->gpa = gpa;
	st->pte = MASK(size * 8);
	if (likely(s)) {
		hva = memslot_hva(s, gpa);
		if (size == 8)
			st->pte = __atomic_load_n((const uint64_t *)hva,
						  __ATOMIC_RELAXED);
		else
			st->pte = __atomic_load_n((const uint32_t *)hva,
						  __ATOMIC_RELAXED);
	}
	p->all &= st->pte;
	p->any |= st->pte;
	return st->pte;
}

static bool path_fail(struct path *p, uint32_t error)
{
	p->error = error;
	return false;
}

static __always_inline bool path_end(struct path *p, gpa_t page,
				     unsigned int shift)
{
	p->page_shift = shift;
	p->gpa = page;
	return true;
}

/*
 * PAE, 4-level and 5-level paging from @level down; @rsvd: the reserved
 * address bits.
 */
static __always_inline bool path_walk64(struct mmu *mmu, struct path *p,
					gva_t gva, gpa_t table,
					unsigned int level, uint64_t rsvd)
{
	uint64_t e;

	if (!mmu->role.nx)
		rsvd |= PTE_NX;
	for (;; level--) {
		unsigned int shift = 3 + 9 * level;

		e = path_read(mmu, p, table + ((gva >> shift) & 511) * 8, 8);
		if (unlikely(!(e & PTE_P)))
			return path_fail(p, 0);
		if (unlikely(e & rsvd))
			return path_fail(p, PFEC_P | PFEC_RSVD);
		if (level == 1)
			return path_end(p, e & PTE_ADDR, shift);
		if (e & PTE_PS) {
			if (unlikely(e & ps_rsvd[level]) ||
			    (level == 3 && !mmu->role.gb_pages))
				return path_fail(p, PFEC_P | PFEC_RSVD);
			return path_end(p, e & PTE_ADDR & ~MASK(shift), shift);
		}
		table = e & PTE_ADDR;
	}
}

static bool path_walk_pae(struct mmu *mmu, struct path *p, gva_t gva)
{
	uint64_t pdpte = mmu->pdptr[(gva >> 30) & 3];

	if (!(pdpte & PTE_P))
		return path_fail(p, 0);
	/* Here bits 62:52 are reserved, too. */
	return path_walk64(mmu, p, gva, pdpte & PTE_ADDR, 2,
			   MASK(63) & ~MASK(mmu->role.maxphyaddr));
}

/* A 4 MiB page: bits 20:13 of the entry are address bits 39:32 (PSE-36). */
static bool path_end_4m(struct mmu *mmu, struct path *p, uint64_t pde)
{
	gpa_t page = (pde & 0xffc00000) | ((pde >> 13 & 0xff) << 32);

	if ((pde & BIT(21)) || page & ~MASK(mmu->role.maxphyaddr))
		return path_fail(p, PFEC_P | PFEC_RSVD);
	return path_end(p, page, 22);
}

static bool path_walk32(struct mmu *mmu, struct path *p, gva_t gva)
{
	gpa_t table = mmu->cr3 & 0xfffff000;
	uint64_t e;

	e = path_read(mmu, p, table + (gva >> 22 & 1023) * 4, 4);
	if (!(e & PTE_P))
		return path_fail(p, 0);
	if ((e & PTE_PS) && mmu->role.pse)
		return path_end_4m(mmu, p, e);
	table = e & 0xfffff000;
	e = path_read(mmu, p, table + (gva >> 12 & 1023) * 4, 4);
	if (!(e & PTE_P))
		return path_fail(p, 0);
	return path_end(p, e & 0xfffff000, 12);
}

static bool path_walk(struct mmu *mmu, struct path *p, gva_t gva)
{
	uint64_t rsvd = MASK(52) & ~MASK(mmu->role.maxphyaddr);
	gpa_t root = mmu->cr3 & PTE_ADDR;

	p->nr = 0;
	p->all = ~0ull;
	p->any = 0;
	switch (mmu->role.paging) {
	case PAGING_4LEVEL:
		return path_walk64(mmu, p, gva, root, 4, rsvd);
	case PAGING_5LEVEL:
		return path_walk64(mmu, p, gva, root, 5, rsvd);
	case PAGING_PAE:
		return path_walk_pae(mmu, p, gva);
	default:
		return path_walk32(mmu, p, gva);
	}
}

static bool step_exchange(const struct step *st, uint64_t new, bool wide)
{
	void *hva = memslot_hva(st->slot, st->gpa);
	uint64_t old = st->pte;
	uint32_t low = (uint32_t)old;

	if (wide)
		return __atomic_compare_exchange_n((uint64_t *)hva, &old, new,
						   false, __ATOMIC_SEQ_CST,
						   __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((uint32_t *)hva, &low,
					   (uint32_t) new, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/*
 * Sets A in all entries and, for a write, D in the last.  Returns false if an
 * entry is no longer what it was.  A read-only slot swallows the bits.
 */
static bool path_set_ad(struct mmu *mmu, struct path *p, bool write)
{
	bool wide = mmu->role.paging != PAGING_32;

	for (unsigned int i = 0; i < p->nr; i++) {
		struct step *st = &p->step[i];
		uint64_t new = st->pte | PTE_A;

		if (write && i == p->nr - 1)
			new |= PTE_D;
		if (new == st->pte || (st->slot->flags & MEMSLOT_READONLY))
			continue;
		if (!step_exchange(st, new, wide))
			return false;
		st->pte = new;
		mmu_wrote(mmu, st->slot, st->gpa, wide ? 8 : 4);
	}
	return true;
}

static __always_inline void walk_fill(const struct mmu *mmu,
				      const struct path *p, gva_t gva,
				      struct walk *out)
{
	uint64_t leaf = p->step[p->nr - 1].pte;

	out->gpa = p->gpa | (gva & MASK(p->page_shift));
	out->page_shift = p->page_shift;
	out->global = (leaf & PTE_G) && mmu->role.pge;
	out->pte_w = p->all & PTE_W;
	out->pte_u = p->all & PTE_U;
	out->pte_nx = p->any & PTE_NX;
	/* Reserved bits, so zero, in PAE paging; beyond 32-bit entries. */
	out->pkey = leaf >> PTE_PKEY_SHIFT & 15;
}

/* Whether protection keys refuse a data access; @strict: writes, too. */
static bool walk_key_denied(const struct mmu *mmu, const struct walk *w,
			    bool strict)
{
	uint32_t rights = (w->pte_u ? mmu->pkru : mmu->pkrs) >> 2 * w->pkey;

	if (mmu->role.paging < PAGING_4LEVEL ||
	    !(w->pte_u ? mmu->role.pke : mmu->role.pks))
		return false;
	return (rights & BIT(0)) || ((rights & BIT(1)) && strict);
}

/*
 * The access rights rules: 0 if the access is allowed, else the error code's
 * P and PK bits.
 */
static uint32_t walk_denied(const struct mmu *mmu, const struct walk *w,
			    unsigned int access)
{
	const struct mmu_role *role = &mmu->role;
	bool user = access & ACCESS_USER;
	bool strict = user || role->wp; /* read-only pages resist writes */
	uint32_t error = 0;

	if (access & ACCESS_FETCH) {
		if (w->pte_nx || (user ? !w->pte_u : w->pte_u && role->smep))
			return PFEC_P;
		return 0;
	}
	if ((access & ACCESS_WRITE) && !w->pte_w && strict)
		error = PFEC_P;
	if (!w->pte_u && user)
		return PFEC_P;
	if (w->pte_u && !user && role->smap && !(access & ACCESS_AC))
		error = PFEC_P;
	if (unlikely(role->pke || role->pks) &&
	    walk_key_denied(mmu, w, strict && (access & ACCESS_WRITE)))
		error = PFEC_P | PFEC_PK;
	return error;
}

static enum cpu_result walk_fault(const struct mmu *mmu, gva_t gva,
				  unsigned int access, uint32_t error,
				  struct x86_fault *f)
{
	const struct mmu_role *role = &mmu->role;

	error |= access & (PFEC_W | PFEC_U);
	if ((access & ACCESS_FETCH) &&
	    (role->smep || (role->nx && role->paging != PAGING_32)))
		error |= PFEC_I;
	*f = (struct x86_fault){
		.vector = VEC_PF,
		.has_error = true,
		.error = error,
		.address = gva,
	};
	return CPU_FAULT;
}

static enum cpu_result walk_nopaging(gva_t gva, struct walk *out)
{
	*out = (struct walk){
		.gpa = gva,
		.page_shift = PAGE_SHIFT,
		.pte_w = true,
		.pte_u = true,
		.dirty = true,
	};
	return CPU_OK;
}

enum cpu_result walk_gva(struct mmu *mmu, gva_t gva, unsigned int access,
			 struct walk *out, struct x86_fault *f)
{
	bool write = access & ACCESS_WRITE;
	struct path p;
	uint32_t error;
	uint64_t leaf;

	if (mmu->role.paging == PAGING_NONE)
		return walk_nopaging(gva, out);
	for (;;) {
		if (unlikely(!path_walk(mmu, &p, gva)))
			return walk_fault(mmu, gva, access, p.error, f);
		walk_fill(mmu, &p, gva, out);
		error = walk_denied(mmu, out, access);
		if (unlikely(error))
			return walk_fault(mmu, gva, access, error, f);
		leaf = p.step[p.nr - 1].pte;
		if (likely((p.all & PTE_A) && (!write || (leaf & PTE_D))))
			break;
		if ((access & ACCESS_NO_AD) || path_set_ad(mmu, &p, write))
			break;
	}
	out->dirty = p.step[p.nr - 1].pte & PTE_D;
	return CPU_OK;
}

bool walk_load_pdptrs(struct mmu *mmu, uint64_t cr3)
{
	uint64_t rsvd = PDPTE_RSVD | (MASK(63) & ~MASK(mmu->role.maxphyaddr));
	gpa_t gpa = cr3 & 0xffffffe0;
	const struct memslot *s = mmu_slot(mmu, gpa);
	const uint64_t *table;
	uint64_t e[4];

	if (!s)
		return false;
	table = (const uint64_t *)memslot_hva(s, gpa);
	for (int i = 0; i < 4; i++) {
		e[i] = __atomic_load_n(&table[i], __ATOMIC_RELAXED);
		if ((e[i] & PTE_P) && (e[i] & rsvd))
			return false;
	}
	for (int i = 0; i < 4; i++)
		mmu->pdptr[i] = e[i];
	return true;
}
