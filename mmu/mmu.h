#pragma once

#include "base/types.h"
#include "mmu/memslot.h"
#include "x86/defs.h"
#include "x86/fault.h"

enum paging {
	PAGING_NONE,
	PAGING_32,
	PAGING_PAE,
	PAGING_4LEVEL,
	PAGING_5LEVEL,
};

/*
 * Everything besides CR3 that a translation depends on.  cpu/mode.c derives it
 * from CR0, CR4, EFER; the MMU never reads control registers.
 */
struct mmu_role {
	uint8_t paging; /* enum paging */
	uint8_t maxphyaddr;
	bool wp;  /* CR0.WP */
	bool nx;  /* EFER.NXE */
	bool pse; /* CR4.PSE (32-bit paging only) */
	bool pge; /* CR4.PGE */
	bool smep, smap, pke, pks;
	bool pcide;
	bool gb_pages; /* CPUID: 1 GiB pages */
};

/* Access flags; the low ones are the page-fault error code's bits. */
#define ACCESS_READ  0
#define ACCESS_WRITE PFEC_W
#define ACCESS_USER  PFEC_U /* CPL 3 */
#define ACCESS_FETCH PFEC_I
#define ACCESS_AC    BIT(8) /* supervisor with EFLAGS.AC: SMAP is overridden */
#define ACCESS_NO_AD BIT(9) /* leave A and D bits alone (debugger) */
#define ACCESS_UNALIGNED                                                       \
	BIT(10) /* no alignment check; for cpu/, not the MMU                   \
		 */

struct mmu;
struct walk;
struct tlb;
struct dirty_ring;

struct mmu_ops {
	/* A write by C code to a page with PGF_WATCHED: translated code must
	 * go. */
	void (*code_write)(struct mmu *mmu, gpa_t gpa, unsigned int len);
	/* The dirty ring is full: leave the guest soon. */
	void (*ring_full)(struct mmu *mmu);
	/* Optional.  Enters what a write of C code to RAM that may be written,
	 * of kind @access, has found, unless it needs bookkeeping. */
	void (*enter_write)(struct mmu *mmu, gva_t gva, unsigned int access,
			    const struct memslot *slot, const struct walk *w);
	/*
	 * For runners (mirror.h), outside of translated code: sets PGF_EXEC
	 * and drops all ways to write unnoticed; clears it, and tells all
	 * mirrors.  The first may wait for other vCPUs.
	 */
	void (*exec_watch)(struct mmu *mmu, gpa_t gpa);
	void (*exec_unwatch)(struct mmu *mmu, gpa_t gpa);
};

struct mmu {
	struct mmu_role role;
	uint64_t cr3;
	uint64_t pdptr[4]; /* PAE: loaded by MOV CR3 and friends */
	uint32_t pkru;	   /* rights by protection key: user pages (CR4.PKE) */
	uint32_t pkrs;	   /* and supervisor pages (CR4.PKS) */
	struct memslots *slots;
	uint32_t
		slot_hint; /* index of the slot found last; any value is fine */
	struct tlb *tlb;
	bool live; /* nobody else changes the TLB: its entries may be used */
	struct dirty_ring *dirty_ring; /* NULL: there is the bitmap alone */
	const struct mmu_ops *ops;
};

/* mmu_slot - the slot that holds @gpa, or NULL (MMIO); remembers the last. */
static inline const struct memslot *mmu_slot(struct mmu *mmu, gpa_t gpa)
{
	return memslot_find_hint(mmu->slots, &mmu->slot_hint, gpa);
}

/*
 * A finished translation.  Without paging no access rights apply, whatever
 * the role says; pte_w and pte_u are true then.
 */
struct walk {
	gpa_t gpa;
	uint8_t page_shift; /* 12, 21, 22, 30; 12 without paging */
	bool global;
	/* rights of the leaf, all levels combined (CR0.WP etc. not applied) */
	bool pte_w, pte_u, pte_nx;
	bool dirty; /* the leaf's D bit is set (true without paging) */
	uint8_t pkey;
};
