/*
 * User pages of one address space: error codes, A and D, what INVLPG makes
 * come into force and what needs none, large pages, and addresses at which a
 * host process cannot have them.
 */
#include "test/guest/direct64/direct.h"

#define VA (TEST_VA + 0x9000)
#define PF (X_PF)

static u64 page[4];

static void error_codes(void)
{
	map4k(VA, page[0], RWU);
	CHECK_USER_OK("read", run_user(do_read, VA));
	CHECK_USER_OK("write", run_user(do_write, VA + 8));
	set_pte(VA, page[0] | RU);
	CHECK_PF("ro", run_user(do_write, VA + 8), PF_P | PF_W | PF_U, VA + 8);
	CHECK_PF("ro rmw", run_user(do_rmw, VA + 8), PF_P | PF_W | PF_U,
		 VA + 8);
	CHECK_USER_OK("ro read", run_user(do_read, VA));
	set_pte(VA, page[0] | RU | PTE_NX);
	CHECK_USER_OK("nx read", run_user(do_read, VA));
	CHECK_PF("nx", run_user(do_call, VA + 0x100), PF_P | PF_U | PF_I,
		 VA + 0x100);
	CHECK_EQ("nx rip", trap.frame.ip, VA + 0x100);
	set_pte(VA, page[0] | PTE_P | PTE_W);
	CHECK_PF("super", run_user(do_read, VA), PF_P | PF_U, VA);
	CHECK_PF("super", run_user(do_write, VA), PF_P | PF_U | PF_W, VA);
	CHECK_PF("super", run_user(do_call, VA), PF_P | PF_U | PF_I, VA);
	set_pte(VA, 0);
	CHECK_PF("absent", run_user(do_read, VA + 5), PF_U, VA + 5);
	CHECK_PF("absent", run_user(do_write, VA), PF_U | PF_W, VA);
	CHECK_PF("absent", run_user(do_call, VA), PF_U | PF_I, VA);
	CHECK_EQ("absent rip", trap.frame.ip, VA);
	set_pte(VA, page[0] | RWU | BIT(51));
	CHECK_PF("reserved", run_user(do_read, VA), PF_P | PF_U | PF_RSVD, VA);
	set_pte(VA, page[0] | RWU);
	CHECK_USER_OK("back", run_user(do_write, VA + 8));
}

/* Of an entry that says NX while EFER.NXE is clear. */
static void no_nxe(void)
{
	map4k(VA, page[0], RWU | PTE_NX);
	map4k(VA + PAGE, page[1], RWU);
	CHECK_USER_OK("nxe", run_user(do_read, VA));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
	CHECK_USER_OK("other", run_user(do_read, VA + PAGE));
	CHECK_PF("reserved", run_user(do_read, VA), PF_P | PF_U | PF_RSVD, VA);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	CHECK_USER_OK("again", run_user(do_read, VA));
}

static void check_ad(const char *what, u64 va, u64 want)
{
	CHECK_EQ(what, *pte_of(va) & (PTE_A | PTE_D), want);
}

static void accessed_dirty(void)
{
	for (int i = 0; i < 4; i++)
		map4k(VA + i * PAGE, page[i], RWU);
	check_ad("new", VA, 0);
	user_value(VA);
	check_ad("read", VA, PTE_A);
	check_ad("neighbour", VA + PAGE, 0);
	user_store(VA + 8, 1);
	check_ad("written", VA, PTE_A | PTE_D);
	/* Cleared, one after the other and together. */
	set_pte(VA, page[0] | RWU | PTE_A);
	user_value(VA);
	check_ad("clean", VA, PTE_A);
	user_store(VA + 8, 2);
	check_ad("dirty again", VA, PTE_A | PTE_D);
	set_pte(VA, page[0] | RWU | PTE_D);
	user_value(VA);
	check_ad("old", VA, PTE_A | PTE_D);
	for (int i = 0; i < 6; i++) {
		set_pte(VA, page[0] | RWU);
		if (i & 1)
			flush_tlb();
		check_ad("cleared", VA, 0);
		user_value(VA);
		check_ad("read again", VA, PTE_A);
		user_store(VA + 8, 3);
		check_ad("written again", VA, PTE_A | PTE_D);
	}
	/* The one that leads to the page's table. */
	*pte_at(cr3_root(), VA, 2) &= ~PTE_A;
	*pte_of(VA) &= ~(PTE_A | PTE_D);
	flush_tlb();
	user_store(VA + 8, 4);
	CHECK_EQ("upper", *pte_at(cr3_root(), VA, 2) & PTE_A, PTE_A);
	check_ad("lower", VA, PTE_A | PTE_D);
}

/* Execution is no write, whatever else keeps it from running natively. */
static void executed(void)
{
	put_code(page[1] + 0x100, 7);
	/* cpuid; ret */
	*(volatile u32 *)(page[1] + 0x200) = 0xc3a20f;
	map4k(VA, page[1], RWU);
	CHECK_EQ("call", user_called(VA + 0x100), 7);
	check_ad("executed", VA, PTE_A);
	user_called(VA + 0x200);
	check_ad("sensitive", VA, PTE_A);
	*pte_of(VA) = page[1] | RWU | PTE_NX;
	invlpg(VA);
	user_value(VA);
	*pte_of(VA) &= ~PTE_NX;
	CHECK_EQ("widened", user_called(VA + 0x100), 7);
	check_ad("no write", VA, PTE_A);
	CHECK_USER_OK("store", user_store(VA + 0x80, 1));
	CHECK_EQ("mixed", user_called(VA + 0x100), 7);
	check_ad("write", VA, PTE_A | PTE_D);
}

static unsigned nr_faults;

static void on_fault(struct frame *f)
{
	nr_faults++;
	CHECK_EQ("error", f->error, PF_P | PF_W | PF_U);
	/* A copy. */
	memcpy((void *)page[1], (void *)page[0], PAGE);
	set_pte(VA, page[1] | RWU);
}

static void copy_on_write(void)
{
	*(u64 *)page[0] = 0x1111;
	*(u64 *)page[1] = 0;
	map4k(VA, page[0], RU);
	CHECK_EQ("before", user_value(VA), 0x1111);
	nr_faults = 0;
	trap_handler(X_PF, on_fault);
	CHECK_USER_OK("write", user_store(VA + 8, 0x2222));
	trap_handler(X_PF, NULL);
	CHECK_EQ("faults", nr_faults, 1);
	CHECK_EQ("copy", *(u64 *)page[1], 0x1111);
	CHECK_EQ("written", *(u64 *)(page[1] + 8), 0x2222);
	CHECK_EQ("not there", *(u64 *)(page[0] + 8) != 0x2222, 1);
	*(u64 *)page[1] = 0x3333;
	CHECK_EQ("new", user_value(VA), 0x3333);
}

static void remap(void)
{
	map4k(VA, page[0], RWU);
	for (u64 i = 0; i < 24; i++) {
		*(u64 *)page[i & 3] = 0x1000 + i;
		*pte_of(VA) = page[i & 3] | RWU;
		if (i & 4)
			flush_tlb();
		else
			invlpg(VA + 0x234);
		CHECK_EQ("remapped", user_value(VA), 0x1000 + i);
		user_store(VA + 16, i);
		CHECK_EQ("stored", *(u64 *)(page[i & 3] + 16), i);
	}
	/* What there was no entry for, or less, needs no flush. */
	set_pte(VA, 0);
	CHECK_EQ("gone", run_user(do_read, VA), X_PF);
	*pte_of(VA) = page[1] | RU;
	CHECK_USER_OK("there", run_user(do_read, VA));
	CHECK_EQ("ro", run_user(do_write, VA + 24), X_PF);
	*pte_of(VA) = page[1] | RWU;
	CHECK_USER_OK("rw", run_user(do_write, VA + 24));
}

/* More INVLPGs than anybody wants to remember. */
static void many_invlpgs(void)
{
	const u64 base = TEST_VA + 0x400000;

	for (u64 i = 0; i < 100; i++)
		map4k(base + i * PAGE, page[i & 1], RWU);
	for (int n = 0; n < 2; n++) {
		*(u64 *)page[0] = 0x50;
		*(u64 *)page[1] = 0x51;
		for (u64 i = 0; i < 100; i++)
			CHECK_EQ("value", user_value(base + i * PAGE),
				 0x50 + ((i + n) & 1));
		for (u64 i = 0; i < 100; i++)
			set_pte(base + i * PAGE, page[(i + n + 1) & 1] | RWU);
	}
}

static void upper_levels(void)
{
	const u64 root = cr3_root(), mark = page_mark();

	for (int level = 2; level <= 4; level++) {
		volatile u64 *e = pte_at(root, VA, level);
		u64 old = *e, table = page_alloc(), was = table;

		map4k(VA, page[0], RWU);
		for (int l = level - 1; l > 1; l--) {
			u64 next = page_alloc();

			((u64 *)table)[VA >> (3 + 9 * l) & 511] = next | RWU;
			table = next;
		}
		((u64 *)table)[VA >> 12 & 511] = page[1] | RWU;
		*(u64 *)page[0] = 0x70;
		*(u64 *)page[1] = 0x71;
		CHECK_EQ("old", user_value(VA), 0x70);
		*e = was | RWU;
		invlpg(VA);
		CHECK_EQ("new", user_value(VA), 0x71);
		*e = (old & ~PTE_W);
		invlpg(VA);
		CHECK_PF("ro", run_user(do_write, VA), PF_P | PF_W | PF_U, VA);
		CHECK_EQ("back", user_value(VA), 0x70);
		*e = old & ~PTE_U;
		invlpg(VA);
		CHECK_PF("super", run_user(do_read, VA), PF_P | PF_U, VA);
		*e = old | PTE_NX;
		invlpg(VA);
		CHECK_EQ("data", user_value(VA), 0x70);
		CHECK_PF("nx", run_user(do_call, VA), PF_P | PF_U | PF_I, VA);
		*e = 0;
		invlpg(VA);
		CHECK_PF("absent", run_user(do_read, VA), PF_U, VA);
		*e = old;
		flush_tlb();
		CHECK_EQ("back", user_value(VA), 0x70);
	}
	page_release(mark);
}

#define BIG   (TEST_VA + BIT(30))
#define FRAME 0x4000000ul

static void large_pages(void)
{
	const u64 at[] = { 0, 0x5000, 0x1ff000 };
	volatile u64 *pde = pte_make(cr3_root(), BIG, 2);
	u64 table = page_alloc();

	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		*(u64 *)(FRAME + at[i]) = i;
		*(u64 *)(FRAME + 0x200000 + at[i]) = 0x10 + i;
	}
	for (int n = 0; n < 4; n++) {
		*pde = (FRAME + (n & 1) * 0x200000) | RWU | PTE_PS;
		invlpg(BIG + at[n % 3]);
		for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
			CHECK_EQ("value", user_value(BIG + at[i]),
				 (n & 1) * 0x10 + i);
		CHECK_EQ("clean", *pde & PTE_D, 0);
		user_store(BIG + 0x6008, n);
		CHECK_EQ("dirty", *pde & PTE_D, PTE_D);
		CHECK_EQ("stored",
			 *(u64 *)(FRAME + (n & 1) * 0x200000 + 0x6008), n);
	}
	/* Split, with one page elsewhere. */
	for (u64 i = 0; i < 512; i++)
		((u64 *)table)[i] = (FRAME + i * PAGE) | RWU;
	((u64 *)table)[5] = page[0] | RWU;
	*(u64 *)page[0] = 0x99;
	*pde = table | RWU;
	invlpg(BIG + 0x8000);
	CHECK_EQ("split", user_value(BIG), 0);
	CHECK_EQ("split", user_value(BIG + 0x5000), 0x99);
	CHECK_EQ("split", user_value(BIG + 0x1ff000), 2);
	*pde = 0;
	flush_tlb();
	CHECK_PF("gone", run_user(do_read, BIG + 0x5000), PF_U, BIG + 0x5000);
	page_release(table);
}

/* An INVLPG anywhere in it drops all of a large page. */
static void giant_pages(void)
{
	const u64 va = TEST_VA + 2 * BIT(30);
	volatile u64 *e = pte_make(cr3_root(), va, 3);
	u64 dir = page_alloc();

	*(u64 *)FRAME = 0x31;
	*(u64 *)(FRAME + 0x600000) = 0x32;
	*e = 0 | RWU | PTE_PS;
	invlpg(va);
	for (int n = 0; n < 3; n++) {
		CHECK_EQ("value", user_value(va + FRAME), 0x31);
		CHECK_EQ("value", user_value(va + FRAME + 0x600000), 0x32);
		*e = (BIT(30) * 3) | RWU | PTE_PS;
		invlpg(va + 0x10000000 * n);
		CHECK_EQ("other", user_value(va + FRAME) != 0x31, 1);
		CHECK_EQ("other", user_value(va + FRAME + 0x600000) != 0x32, 1);
		*e = 0 | RWU | PTE_PS;
		invlpg(va + 0x20000000);
	}
	for (u64 i = 0; i < 512; i++)
		((u64 *)dir)[i] = (i * 0x200000) | RWU | PTE_PS;
	((u64 *)dir)[(FRAME >> 21) + 3] = FRAME | RWU | PTE_PS;
	*e = dir | RWU;
	invlpg(va);
	CHECK_EQ("split", user_value(va + FRAME), 0x31);
	CHECK_EQ("split", user_value(va + FRAME + 0x600000), 0x31);
	*e = 0;
	flush_tlb();
	page_release(dir);
}

/* One frame at two addresses, one of them read-only. */
static void aliases(void)
{
	map4k(VA, page[2], RWU);
	map4k(VA + PAGE, page[2], RU);
	map4k(VA + 0x7000000, page[2], RWU);
	for (u64 i = 0; i < 5; i++) {
		user_store(VA + 8, i);
		CHECK_EQ("second", user_value(VA + PAGE + 8), i);
		user_store(VA + 0x7000008, i + 100);
		CHECK_EQ("first", user_value(VA + 8), i + 100);
		*(u64 *)(page[2] + 8) = i + 200;
		CHECK_EQ("kernel", user_value(VA + PAGE + 8), i + 200);
	}
	CHECK_EQ("ro", run_user(do_write, VA + PAGE), X_PF);
}

/* User code that writes its own page tables. */
static void own_tables(void)
{
	const u64 table = *pte_at(cr3_root(), VA, 2) & PTE_ADDR;
	const u64 window = VA + 0x10000, slot = window + (VA >> 12 & 511) * 8;

	map4k(window, table, RWU);
	map4k(VA, page[0], RWU);
	*(u64 *)page[0] = 0x60;
	*(u64 *)page[1] = 0x61;
	CHECK_EQ("first", user_value(VA), 0x60);
	for (int i = 0; i < 4; i++) {
		user_store(slot, page[1] | RWU);
		invlpg(VA);
		CHECK_EQ("second", user_value(VA), 0x61);
		user_store(slot, 0);
		invlpg(VA);
		CHECK_PF("none", run_user(do_read, VA), PF_U, VA);
		/* From none to some, all in user mode. */
		user_mem[0] = page[0] | RWU;
		user_mem[1] = slot;
		user_mem[2] = VA;
		CHECK_USER_OK("own", U("mov (%%rdi), %%rax; mov 8(%%rdi), "
				       "%%rbx; mov 16(%%rdi), %%rcx; "
				       "mov %%rax, (%%rbx); mov (%%rcx), "
				       "%%rdx"));
		CHECK_EQ("own", trap.frame.dx, 0x60);
	}
	unmap4k(window);
}

static const u64 odd[] = {
	0,
	0x1000,
	0xf000,
	0x10000,
	/* where the engine may have pages of its own */
	0x6ba5e0000000,
	0x6ba5e0010000,
	0x6ba5e001f000,
	0x6ba5e0020000,
	0x7fffffffe000,
	0x7ffffffff000,
	0xffff800000000000,
	0xffffffffff600000,
};

static void odd_address(u64 va)
{
	volatile u64 *pml4e = pte_at(cr3_root(), va, 4), *pte;

	if (va < BIT(22)) {
		/* In the large pages of the boot tables. */
		volatile u64 *pde = pte_at(cr3_root(), va, 2);
		u64 was = *pde, table = page_alloc();

		for (u64 i = 0; i < 512; i++)
			((u64 *)table)[i] = i * PAGE | PTE_P | PTE_W;
		*pde = table | RWU;
		map4k(va, page[3], RWU);
		put_code(page[3] + 0x100, 0x77);
		*(u64 *)page[3] = va + 5;
		CHECK_EQ("low", user_value(va), va + 5);
		CHECK_USER_OK("low", user_store(va + 8, va));
		CHECK_EQ("low", *(u64 *)(page[3] + 8), va);
		CHECK_EQ("low code", user_called(va + 0x100), 0x77);
		*pde = was;
		flush_tlb();
		page_release(table);
		return;
	}
	pte = pte_make(cr3_root(), va, 1);
	*pml4e |= PTE_U;
	*pte = page[3] | RWU;
	invlpg(va);
	put_code(page[3] + 0x100, 0x77);
	*(u64 *)page[3] = va + 5;
	CHECK_EQ("value", user_value(va), va + 5);
	CHECK_USER_OK("store", user_store(va + 8, va));
	CHECK_EQ("stored", *(u64 *)(page[3] + 8), va);
	CHECK_EQ("code", user_called(va + 0x100), 0x77);
	*pte = 0;
	invlpg(va);
	CHECK_PF("gone", run_user(do_write, va), PF_U | PF_W, va);
}

/* With page tables there the engine would rather not use a host process. */
static u64 engine_pml4e;

static void odd_addresses(void)
{
	volatile u64 *pml4e = pte_at(cr3_root(), 0x6ba5e0000000, 4);

	*pml4e = engine_pml4e;
	for (unsigned i = 0; i < ARRAY_SIZE(odd); i++)
		odd_address(odd[i]);
	*pml4e = 0;
	flush_tlb();
	CHECK_PF("high", run_user(do_read, 0xffff900000000000), PF_U,
		 0xffff900000000000);
	CHECK_EQ("no address", run_user(do_read, 0x800000000000), X_GP);
	CHECK_EQ("no address", run_user(do_call, 0x800000000000), X_GP);
	/* The host may have something there; the guest has not. */
	CHECK_PF("vsyscall", run_user(do_call, 0xffffffffff600000), PF_U | PF_I,
		 0xffffffffff600000);
	CHECK_EQ("vsyscall rip", trap.frame.ip, 0xffffffffff600000);
	CHECK_EQ("vsyscall rsp", trap.frame.sp, user_sp - 8);
	CHECK_PF("vsyscall", run_user(do_read, 0xffffffffff600000), PF_U,
		 0xffffffffff600000);
}

/* Neither a device nor nothing is memory; and too many pieces of memory. */
static void not_memory(void)
{
	map4k(VA, APIC_BASE, RWU | PTE_PCD);
	user_mem[0] = VA;
	CHECK_USER_OK("apic", U("mov (%%rdi), %%rax; mov 0x30(%%rax), %%ecx; "
				"movl $0x55000000, 0x380(%%rax); "
				"mov 0x380(%%rax), %%edx"));
	CHECK_EQ("version", trap.frame.cx, apic_read(APIC_VERSION));
	CHECK_EQ("count", trap.frame.dx, 0x55000000);
	map4k(VA, 0xe0000000, RWU);
	CHECK_USER_OK("nothing", run_user(do_read, VA));
	map4k(VA, page[0], RWU);
}

static void many_mappings(void)
{
	const u64 base = TEST_VA + 8 * BIT(30), nr = 70000;
	u64 mark = page_mark();

	*(u64 *)page[0] = 1;
	*(u64 *)page[1] = 2;
	for (u64 i = 0; i < nr; i++)
		*pte_make(cr3_root(), base + i * PAGE, 1) =
			page[i & 1] | RWU | PTE_NX;
	flush_tlb();
	user_mem[0] = base;
	user_mem[1] = nr;
	for (int n = 0; n < 2; n++) {
		CHECK_USER_OK("all", U("mov (%%rdi), %%rsi; mov 8(%%rdi), "
				       "%%rcx; xor %%eax, %%eax; "
				       "1: add (%%rsi), %%rax; "
				       "add $4096, %%rsi; dec %%rcx; jnz 1b"));
		CHECK_EQ("sum", trap.frame.ax, nr / 2 * 3);
	}
	set_pte(base + 50000 * PAGE, page[1] | RWU);
	CHECK_EQ("changed", user_value(base + 50000 * PAGE), 2);
	*pte_at(cr3_root(), base, 3) = 0;
	flush_tlb();
	page_release(mark);
}

void test_paging(void)
{
	for (int i = 0; i < 4; i++)
		page[i] = page_alloc();
	pte_make(cr3_root(), VA, 1);
	pte_make(cr3_root(), VA + 0x7000000, 1);
	for (u64 i = 0; i < 100; i++)
		pte_make(cr3_root(), TEST_VA + 0x400000 + i * PAGE, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(odd); i++)
		if (odd[i] >= BIT(22))
			pte_make(cr3_root(), odd[i], 1);
	engine_pml4e = *pte_at(cr3_root(), 0x6ba5e0000000, 4);
	*pte_at(cr3_root(), 0x6ba5e0000000, 4) = 0;
	RUN(error_codes);
	RUN(no_nxe);
	RUN(accessed_dirty);
	RUN(executed);
	RUN(copy_on_write);
	RUN(remap);
	RUN(many_invlpgs);
	RUN(upper_levels);
	RUN(large_pages);
	RUN_IF(has(FEAT_PDPE1GB), giant_pages);
	RUN(aliases);
	RUN(own_tables);
	RUN(odd_addresses);
	RUN(not_memory);
	RUN_ONCE(many_mappings);
}
