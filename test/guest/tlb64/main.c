/*
 * Translation caches: after INVLPG, a load of CR3, a change of CR4.PGE or
 * INVPCID the new entry must be used, for data, for code and for code that
 * jumps directly to a remapped page; PCIDs must not see each other's entries;
 * permissions are those of the entry in force.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/paging64.h"

#define VA  (TEST_VA + 0x9000)
#define RW  (PTE_P | PTE_W)
#define RWU (PTE_P | PTE_W | PTE_U)

static u64 page[4], root2;

static volatile u64 *pte(void)
{
	return pte_at(cr3_root(), VA, 1);
}

static u64 load(void)
{
	return *(volatile u64 *)VA;
}

static void invlpg_data(void)
{
	map4k(VA, page[0], RW);
	for (int i = 0; i < 8; i++) {
		CHECK_EQ("load", load(), *(u64 *)page[i & 3]);
		*pte() = page[(i + 1) & 3] | RW;
		invlpg(VA + 0x123);
	}
	*(volatile u64 *)VA = 0x55;
	CHECK_EQ("stored", *(volatile u64 *)page[0], 0x55);
	*(u64 *)page[0] = 0x1000;
}

static void cr3_data(void)
{
	map4k(VA, page[0], RW);
	for (int i = 0; i < 8; i++) {
		CHECK_EQ("load", load(), *(u64 *)page[i & 3]);
		*pte() = page[(i + 1) & 3] | RW;
		flush_tlb();
	}
}

/* An upper-level entry: INVLPG drops the paging-structure caches too. */
static void upper_level(void)
{
	volatile u64 *pde = pte_at(cr3_root(), VA, 2);
	u64 old = *pde, table = page_alloc();

	map4k(VA, page[0], RW);
	((u64 *)table)[(VA >> 12) & 511] = page[1] | RW;
	CHECK_EQ("old", load(), *(u64 *)page[0]);
	*pde = table | RWU;
	invlpg(VA);
	CHECK_EQ("new", load(), *(u64 *)page[1]);
	*pde = old;
	flush_tlb();
	CHECK_EQ("back", load(), *(u64 *)page[0]);
	page_release(table);
}

static void permissions(void)
{
	map4k(VA, page[0], RWU);
	CHECK_OK("write", try_write(VA + 8));
	*pte() = page[0] | PTE_P | PTE_U;
	invlpg(VA);
	CHECK_PF("ro", try_write(VA + 8), PF_P | PF_W, VA + 8);
	CHECK_OK("read", try_read(VA));
	*pte() = page[0] | RW;
	invlpg(VA);
	CHECK_PF("user", run_user(user_read, VA), PF_P | PF_U, VA);
	CHECK_OK("kernel", try_write(VA + 8));
	*pte() = page[0] | RWU;
	invlpg(VA);
	CHECK_USER_OK("user", run_user(user_write, VA + 8));
	*pte() = 0;
	invlpg(VA);
	CHECK_PF("gone", try_read(VA), 0, VA);
	CHECK_PF("user gone", run_user(user_read, VA), PF_U, VA);
}

/* A fault drops the entry it was based on: a wider one needs no flush. */
static void widened(void)
{
	map4k(VA, page[0], PTE_P);
	CHECK_OK("read", try_read(VA));
	CHECK_PF("write", try_write(VA + 8), PF_P | PF_W, VA + 8);
	*pte() = page[0] | RWU;
	CHECK_OK("write", try_write(VA + 8));
	CHECK_USER_OK("user", run_user(user_write, VA + 8));
}

/* Each page holds mov $n, %eax; ret at 0x100. */
static u32 call(u64 va)
{
	u32 v;

	asm volatile("call *%1" : "=a"(v) : "r"(va) : "memory");
	return v;
}

static void code_remap(void)
{
	map4k(VA, page[0], RW);
	for (int i = 0; i < 12; i++) {
		CHECK_EQ("value", call(VA + 0x100), i & 3);
		*pte() = page[(i + 1) & 3] | RW;
		invlpg(VA);
	}
	for (int i = 0; i < 12; i++) {
		CHECK_EQ("value, cr3", call(VA + 0x100), i & 3);
		*pte() = page[(i + 1) & 3] | RW;
		flush_tlb();
	}
}

/* A byte of a large page stands for all of it, in data and in code. */
static void large_pages(void)
{
	static const u64 at[] = { 0, 0x5000, 0x1ff000 };
	const u64 va = TEST_VA + BIT(30), pa[2] = { 0x4000000, 0x4200000 };

	for (int k = 0; k < 2; k++)
		for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
			u8 *p = (u8 *)(pa[k] + at[i]);

			*(u64 *)p = 0x100 * k + i;
			p[0x100] = 0xb8; /* mov $k, %eax; ret */
			*(u32 *)(p + 0x101) = k;
			p[0x105] = 0xc3;
		}
	for (int n = 0; n < 12; n++) {
		int k = n & 1;

		*pte_make(cr3_root(), va, 2) = pa[k] | RW | PTE_PS;
		invlpg(va + at[n % 3] + 0x18);
		for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
			CHECK_EQ("load", *(volatile u64 *)(va + at[i]),
				 0x100 * k + i);
			CHECK_EQ("call", call(va + at[i] + 0x100), k);
		}
		/* The neighbours stay as they are. */
		CHECK_EQ("small", load(), *(u64 *)page[0]);
	}
	*pte_at(cr3_root(), va, 2) = 0;
	invlpg(va + 0x5000);
	CHECK_PF("gone", try_read(va), 0, va);
	CHECK_PF("gone", try_call(va + 0x1ff100), PF_I, va + 0x1ff100);
}

/*
 * A page whose code jumps directly into the page behind it, which is
 * remapped while a loop runs through both.
 */
static void chained_remap(void)
{
	u64 from = VA - PAGE;

	map4k(from, page[3] + PAGE, RW);
	/* e9 rel32: from VA-PAGE+0x800 to VA+0x100 */
	*(u8 *)(from + 0x800) = 0xe9;
	*(u32 *)(from + 0x801) = (u32)(VA + 0x100 - (from + 0x805));
	map4k(VA, page[0], RW);
	for (int i = 0; i < 12; i++) {
		for (int k = 0; k < 5; k++)
			CHECK_EQ("value", call(from + 0x800), i & 3);
		*pte() = page[(i + 1) & 3] | RW;
		invlpg(VA);
	}
	unmap4k(VA);
	CHECK_EQ("absent", try_call(from + 0x800), X_PF);
	CHECK_EQ("absent cr2", trap.cr2, VA + 0x100);
	CHECK_EQ("absent rip", trap.frame.ip, VA + 0x100);
	map4k(VA, page[1], RW);
	CHECK_EQ("again", call(from + 0x800), 1);
}

/* The same linear address under two roots; code and data. */
static void two_roots(void)
{
	u64 root1 = cr3_root();

	map4k(VA, page[1], RW);
	*pte_make(root2, VA, 1) = page[2] | RW;
	for (int i = 0; i < 10; i++) {
		write_cr3(root2);
		CHECK_EQ("data 2", load(), *(u64 *)page[2]);
		CHECK_EQ("code 2", call(VA + 0x100), 2);
		write_cr3(root1);
		CHECK_EQ("data 1", load(), *(u64 *)page[1]);
		CHECK_EQ("code 1", call(VA + 0x100), 1);
	}
}

static void global_pages(void)
{
	u64 cr4 = read_cr4();

	write_cr4(cr4 | CR4_PGE);
	map4k(VA, page[0], RW | PTE_G);
	CHECK_EQ("load", load(), *(u64 *)page[0]);
	/* May survive a CR3 load; must not survive INVLPG or PGE toggling. */
	*pte() = page[1] | RW | PTE_G;
	flush_tlb();
	invlpg(VA);
	CHECK_EQ("invlpg", load(), *(u64 *)page[1]);
	*pte() = page[2] | RW | PTE_G;
	write_cr4(cr4);
	CHECK_EQ("pge off", load(), *(u64 *)page[2]);
	write_cr4(cr4 | CR4_PGE);
	CHECK_EQ("code", call(VA + 0x100), 2);
	*pte() = page[3] | RW;
	write_cr4(cr4);
	write_cr4(cr4 | CR4_PGE);
	CHECK_EQ("toggled", load(), *(u64 *)page[3]);
	CHECK_EQ("toggled code", call(VA + 0x100), 3);
	write_cr4(cr4);
	map4k(VA, page[0], RW);
}

#define NOFLUSH BIT(63)

static void pcid(void)
{
	u64 root1 = cr3_root();

	CHECK_TRAP("pcide with pcid",
		   TRY_AT("mov %0, %%cr3", "mov %1, %%cr4",
			  :
			  : "r"(root1 | 5), "r"(read_cr4() | CR4_PCIDE)
			  : "memory"),
		   X_GP, 0);
	write_cr3(root1);
	write_cr4(read_cr4() | CR4_PCIDE);
	map4k(VA, page[1], RW);
	*pte_make(root2, VA, 1) = page[2] | RW;
	write_cr3(root1 | 1);
	write_cr3(root2 | 2);
	for (int i = 0; i < 10; i++) {
		write_cr3(root1 | 1 | NOFLUSH);
		CHECK_EQ("cr3 reads", read_cr3(), root1 | 1);
		CHECK_EQ("data 1", load(), *(u64 *)page[1]);
		CHECK_EQ("code 1", call(VA + 0x100), 1);
		write_cr3(root2 | 2 | NOFLUSH);
		CHECK_EQ("data 2", load(), *(u64 *)page[2]);
		CHECK_EQ("code 2", call(VA + 0x100), 2);
	}
	/* A load without NOFLUSH drops the entries of its own PCID. */
	*pte_at(root1, VA, 1) = page[3] | RW;
	write_cr3(root1 | 1);
	CHECK_EQ("flushed", load(), *(u64 *)page[3]);
	CHECK_EQ("flushed code", call(VA + 0x100), 3);
	/* INVLPG drops the current PCID's. */
	*pte_at(root1, VA, 1) = page[0] | RW;
	invlpg(VA);
	CHECK_EQ("invlpg", load(), *(u64 *)page[0]);
	write_cr3(root2 | 2 | NOFLUSH);
	CHECK_EQ("other pcid", load(), *(u64 *)page[2]);
	/* Clearing PCIDE drops all; PCID must be 0 by then or not: allowed. */
	*pte_at(root1, VA, 1) = page[1] | RW;
	write_cr3(root1);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	CHECK_EQ("pcide off", load(), *(u64 *)page[1]);
	CHECK_TRAP("bit 63 without pcide",
		   TRY("mov %0, %%cr3",
		       :
		       : "r"(root1 | NOFLUSH)
		       : "memory"),
		   X_GP, 0);
}

/*
 * Many switches, with a page that is global and one that is not: tables that
 * PCIDs share must lose the one and may keep the other, and code that is not
 * global must be the current PCID's.
 */
static void pcid_switches(void)
{
	u64 root1 = cr3_root(), cr4 = read_cr4(), va = VA + PAGE;

	write_cr4(cr4 | CR4_PCIDE | CR4_PGE);
	map4k(VA, page[1], RW);
	map4k(va, page[3], RW | PTE_G);
	*pte_make(root2, VA, 1) = page[2] | RW;
	*pte_make(root2, va, 1) = page[3] | RW | PTE_G;
	write_cr3(root2 | 2);
	write_cr3(root1 | 1);
	for (int i = 0; i < 200; i++) {
		CHECK_EQ("data 1", load(), *(u64 *)page[1]);
		CHECK_EQ("global", *(volatile u64 *)va, *(u64 *)page[3]);
		if (i & 1)
			CHECK_EQ("code 1", call(VA + 0x100), 1);
		write_cr3(root2 | 2 | NOFLUSH);
		CHECK_EQ("data 2", load(), *(u64 *)page[2]);
		CHECK_EQ("code 2", call(VA + 0x100), 2);
		CHECK_EQ("global code", call(va + 0x100), 3);
		write_cr3(root1 | 1 | NOFLUSH);
	}
	write_cr3(root1);
	write_cr4(cr4);
	unmap4k(va);
}

static int invpcid(u64 type, u64 id, u64 va)
{
	u64 desc[2] = { id, va };

	return TRY("invpcid %1, %0", : : "r"(type), "m"(desc) : "memory");
}

static void invpcid_types(void)
{
	u64 root1 = cr3_root();

	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3(root1 | 1);
	map4k(VA, page[1], RW);
	*pte_make(root2, VA, 1) = page[2] | RW;
	write_cr3(root2 | 2);
	for (u64 type = 0; type < 4; type++) {
		CHECK_EQ("data 2", load(), *(u64 *)page[2]);
		CHECK_EQ("code 2", call(VA + 0x100), 2);
		write_cr3(root1 | 1 | NOFLUSH);
		*pte_at(root2, VA, 1) = page[3] | RW;
		CHECK_OK("invpcid",
			 invpcid(type, type < 2 ? 2 : 0, type == 0 ? VA : 0));
		CHECK_EQ("data 1", load(), *(u64 *)page[1]);
		write_cr3(root2 | 2 | NOFLUSH);
		CHECK_EQ("new data 2", load(), *(u64 *)page[3]);
		CHECK_EQ("new code 2", call(VA + 0x100), 3);
		*pte_at(root2, VA, 1) = page[2] | RW;
		invlpg(VA);
	}
	CHECK_TRAP("type 4", invpcid(4, 0, 0), X_GP, 0);
	CHECK_TRAP("pcid 4096", invpcid(1, 4096, 0), X_GP, 0);
	CHECK_TRAP("non-canonical", invpcid(0, 0, BIT(60)), X_GP, 0);
	write_cr3(root1);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	CHECK_TRAP("pcid without pcide", invpcid(0, 1, VA), X_GP, 0);
	CHECK_OK("no pcide", invpcid(0, 0, VA));
}

/* Many pages: more than any table of entries holds. */
static void many_pages(void)
{
	u64 mark = page_mark(), base = TEST_VA + 0x10000000, sum = 0;

	for (u64 i = 0; i < 2048; i++)
		*pte_make(cr3_root(), base + i * PAGE, 1) =
			(i & 3 ? page[i & 3] : page[0]) | RW;
	flush_tlb();
	for (u64 i = 0; i < 2048; i++)
		sum += *(volatile u64 *)(base + i * PAGE);
	CHECK_EQ("sum", sum, 512 * (0x1000 + 0x1001 + 0x1002 + 0x1003));
	for (u64 i = 0; i < 2048; i++)
		*pte_at(cr3_root(), base + i * PAGE, 1) = page[2] | RW;
	flush_tlb();
	sum = 0;
	for (u64 i = 0; i < 2048; i++)
		sum += *(volatile u64 *)(base + i * PAGE);
	CHECK_EQ("sum 2", sum, 2048 * 0x1002);
	*pte_at(cr3_root(), base, 2) = 0;
	flush_tlb();
	page_release(mark);
}

void guest_main(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	pte_make(cr3_root(), VA, 1);
	pte_make(cr3_root(), TEST_VA + 0x10000000, 3);
	root2 = page_alloc();
	memcpy((void *)root2, (void *)cr3_root(), PAGE);
	((u64 *)root2)[TEST_VA >> 39] = 0;
	for (u64 i = 0; i < 4; i++) {
		page[i] = page_alloc();
		*(u64 *)page[i] = 0x1000 + i;
		memcpy((void *)(page[i] + 0x100), "\xb8\x00\x00\x00\x00\xc3",
		       6);
		*(u8 *)(page[i] + 0x101) = i;
	}
	page_alloc();
	pte_make(root2, VA, 1);
	RUN(invlpg_data);
	RUN(cr3_data);
	RUN(upper_level);
	RUN(permissions);
	RUN(widened);
	RUN(code_remap);
	RUN(large_pages);
	RUN(chained_remap);
	RUN(two_roots);
	RUN_IF(has(FEAT_PGE), global_pages);
	RUN_IF(has(FEAT_PCID), pcid);
	RUN_IF(has(FEAT_PCID), pcid_switches);
	RUN_IF(has(FEAT_PCID) && has(FEAT_INVPCID), invpcid_types);
	RUN(many_pages);
}
