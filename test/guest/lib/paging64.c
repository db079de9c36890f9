#include "test/guest/lib/paging64.h"

static u64 next_page = 0x800000;

u64 page_alloc(void)
{
	u64 pa = next_page;

	next_page += PAGE;
	memset((void *)pa, 0, PAGE);
	return pa;
}

u64 page_mark(void)
{
	return next_page;
}

void page_release(u64 mark)
{
	next_page = mark;
}

static volatile u64 *walk(u64 root, u64 va, int level, bool make)
{
	volatile u64 *table = (volatile u64 *)root;
	int top = read_cr4() & CR4_LA57 ? 5 : 4;

	for (int l = top;; l--) {
		volatile u64 *e = &table[va >> (12 + 9 * (l - 1)) & 511];

		if (l == level)
			return e;
		if (!(*e & PTE_P)) {
			if (!make)
				return NULL;
			*e = page_alloc() | PTE_P | PTE_W | PTE_U;
		}
		if (*e & PTE_PS)
			return NULL;
		table = (volatile u64 *)(*e & PTE_ADDR);
	}
}

volatile u64 *pte_at(u64 root, u64 va, int level)
{
	return walk(root, va, level, false);
}

volatile u64 *pte_make(u64 root, u64 va, int level)
{
	return walk(root, va, level, true);
}

void map(u64 va, u64 pa, u64 flags, int level)
{
	*pte_make(cr3_root(), va, level) =
		pa | flags | (level > 1 ? PTE_PS : 0);
	invlpg(va);
}

void map4k(u64 va, u64 pa, u64 flags)
{
	map(va, pa, flags, 1);
}

void unmap4k(u64 va)
{
	*pte_make(cr3_root(), va, 1) = 0;
	invlpg(va);
}
