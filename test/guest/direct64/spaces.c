/*
 * User pages in several address spaces: CR3 loads, PCIDs, INVPCID, global
 * pages.
 */
#include "test/guest/direct64/direct.h"

#define VA	(TEST_VA + 0x30000000)
#define NOFLUSH BIT(63)

static u64 page[4], root[10];

static volatile u64 *pte(int n)
{
	return pte_at(root[n], VA, 1);
}

/* More spaces than the engine keeps. */
static void many_spaces(void)
{
	const u64 home = read_cr3();

	for (int n = 0; n < 10; n++)
		*pte(n) = page[n & 3] | RWU;
	for (int k = 0; k < 25; k++) {
		int n = k * 7 % 10;

		write_cr3(root[n]);
		*(u64 *)page[n & 3] = k;
		CHECK_EQ("value", user_value(VA), k);
		user_store(VA + 8, k);
		CHECK_EQ("stored", *(u64 *)(page[n & 3] + 8), k);
	}
	/* Changed while another one is loaded. */
	write_cr3(root[1]);
	user_value(VA);
	write_cr3(root[2]);
	*pte(1) = page[0] | RWU;
	*(u64 *)page[0] = 0x4444;
	user_value(VA);
	write_cr3(root[1]);
	CHECK_EQ("changed", user_value(VA), 0x4444);
	write_cr3(home);
}

static void pcids(void)
{
	const u64 home = read_cr3();

	for (int n = 0; n < 4; n++) {
		*pte(n) = page[n] | RWU;
		*(u64 *)page[n] = 0x20 + n;
	}
	write_cr4(read_cr4() | CR4_PCIDE);
	for (int k = 0; k < 12; k++) {
		int n = k % 3;

		write_cr3(root[n] | (n + 1) | (k > 2 ? NOFLUSH : 0));
		CHECK_EQ("value", user_value(VA), 0x20 + n);
	}
	/* A load without bit 63. */
	*pte(0) = page[3] | RWU;
	write_cr3(root[0] | 1);
	CHECK_EQ("flushed", user_value(VA), 0x23);
	/* One root under two PCIDs: each has its own entries. */
	write_cr3(root[0] | 5);
	CHECK_EQ("other pcid", user_value(VA), 0x23);
	*pte(0) = page[1] | RWU;
	write_cr3(root[0] | 1);
	write_cr3(root[0] | 5 | NOFLUSH);
	user_value(VA);
	write_cr3(root[0] | 1 | NOFLUSH);
	CHECK_EQ("first pcid", user_value(VA), 0x21);
	/* One PCID under two roots: INVLPG is for the PCID. */
	write_cr3(root[1] | 6);
	CHECK_EQ("root 1", user_value(VA), 0x21);
	write_cr3(root[2] | 6 | NOFLUSH);
	*pte(1) = page[3] | RWU;
	invlpg(VA);
	write_cr3(root[1] | 6 | NOFLUSH);
	CHECK_EQ("invlpg", user_value(VA), 0x23);
	write_cr3(home);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}

static void invpcid(u64 type, u64 id, u64 va)
{
	u64 desc[2] = { id, va };

	asm volatile("invpcid %1, %0" : : "r"(type), "m"(desc) : "memory");
}

static void invpcids(void)
{
	const u64 home = read_cr3();

	write_cr4(read_cr4() | CR4_PCIDE);
	for (u64 type = 0; type < 4; type++)
		for (int same = 0; same < 2; same++) {
			*pte(1) = page[1] | RWU;
			*(u64 *)page[1] = 0x31;
			*(u64 *)page[2] = 0x32;
			write_cr3(root[1] | 2);
			CHECK_EQ("old", user_value(VA), 0x31);
			if (!same)
				write_cr3(root[0] | 1);
			else
				write_cr3(root[1] | 3);
			user_value(VA);
			*pte(1) = page[2] | RWU;
			invpcid(type, type < 2 ? 2 : 0, type ? 0 : VA);
			write_cr3(root[1] | 2 | NOFLUSH);
			CHECK_EQ("new", user_value(VA), 0x32);
		}
	write_cr3(home);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}

static void globals(void)
{
	const u64 home = read_cr3();

	write_cr4(read_cr4() | CR4_PGE);
	*(u64 *)page[0] = 0x40;
	*(u64 *)page[1] = 0x41;
	*pte(0) = page[0] | RWU | PTE_G;
	*pte(1) = page[0] | RWU | PTE_G;
	write_cr3(root[0]);
	CHECK_EQ("first", user_value(VA), 0x40);
	write_cr3(root[1]);
	CHECK_EQ("second", user_value(VA), 0x40);
	*pte(0) = page[1] | RWU | PTE_G;
	*pte(1) = page[1] | RWU | PTE_G;
	invlpg(VA);
	CHECK_EQ("invlpg", user_value(VA), 0x41);
	write_cr3(root[0]);
	CHECK_EQ("invlpg", user_value(VA), 0x41);
	*pte(0) = page[0] | RWU;
	write_cr4(read_cr4() & ~CR4_PGE);
	CHECK_EQ("toggled", user_value(VA), 0x40);
	write_cr3(home);
}

/* INVLPG and CR3 loads in the middle of much else. */
static void mixed(void)
{
	const u64 home = read_cr3();
	u32 random = 12345;

	for (int n = 0; n < 4; n++)
		*(u64 *)page[n] = n;
	for (int n = 0; n < 10; n++)
		*pte(n) = page[0] | RWU;
	for (int k = 0; k < 300; k++) {
		int n, p;

		random = random * 1103515245 + 12345;
		n = (random >> 16) % 3;
		p = (random >> 20) % 4;
		if (cr3_root() != root[n])
			write_cr3(root[n]);
		*pte(n) = page[p] | RWU;
		if (random & BIT(25))
			invlpg(VA);
		else
			write_cr3(root[n]);
		CHECK_EQ("value", user_value(VA), p);
	}
	write_cr3(home);
}

void test_spaces(void)
{
	u64 home = cr3_root();

	pte_make(home, VA, 1);
	for (int n = 0; n < 4; n++)
		page[n] = page_alloc();
	for (int n = 0; n < 10; n++) {
		root[n] = page_alloc();
		memcpy((void *)root[n], (void *)home, PAGE);
		((u64 *)root[n])[VA >> 39] = 0;
		pte_make(root[n], VA, 1);
	}
	RUN(many_spaces);
	RUN_IF(has(FEAT_PCID), pcids);
	RUN_IF(has(FEAT_PCID) && has(FEAT_INVPCID), invpcids);
	RUN(globals);
	RUN(mixed);
}
