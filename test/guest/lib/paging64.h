#pragma once

/*
 * Page tables of 64-bit guests.  The boot tables map the first 4 GiB one to
 * one; tests add mappings at TEST_VA and above, whose tables come from a pool.
 */
#include "test/guest/lib/trap.h"

#define PTE_P	 BIT(0)
#define PTE_W	 BIT(1)
#define PTE_U	 BIT(2)
#define PTE_PWT	 BIT(3)
#define PTE_PCD	 BIT(4)
#define PTE_A	 BIT(5)
#define PTE_D	 BIT(6)
#define PTE_PS	 BIT(7)
#define PTE_G	 BIT(8)
#define PTE_NX	 BIT(63)
#define PTE_ADDR 0x000ffffffffff000ull

/* A region no boot table covers: PML4 entry 1. */
#define TEST_VA 0x8000000000ul

extern u64 boot_pml4[512], boot_pdpt[512], boot_pd[2048];

/* page_alloc - a zeroed 4 KiB page of the pool at 8 MiB; never freed. */
u64 page_alloc(void);
/* page_mark, page_release - drops all pages allocated since the mark. */
u64 page_mark(void);
void page_release(u64 mark);
/*
 * pte_at - the entry for @va at @level (1 = page table, 2 = page directory..)
 * under the PML4 at @root, or NULL if a table above it is missing.
 */
volatile u64 *pte_at(u64 root, u64 va, int level);
/* pte_make - as pte_at, with missing tables added (P, W, U). */
volatile u64 *pte_make(u64 root, u64 va, int level);
/* map - maps the page of @level at @va to @pa with @flags, current CR3. */
void map(u64 va, u64 pa, u64 flags, int level);
/* map4k - maps a 4 KiB page and flushes its translation. */
void map4k(u64 va, u64 pa, u64 flags);
void unmap4k(u64 va);
static inline void flush_tlb(void)
{
	write_cr3(read_cr3());
}

static inline u64 cr3_root(void)
{
	return read_cr3() & PTE_ADDR;
}
