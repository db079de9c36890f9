/*
 * PAE paging: page-directory-pointer entries that are loaded with CR3, 2 MiB
 * pages, NX, reserved bits, addresses above 4 GiB in entries.
 */
#include "test/guest/lib/access.h"

#define P   1ull
#define W   2ull
#define U   4ull
#define A   0x20ull
#define D   0x40ull
#define PS  0x80ull
#define NX  BIT(63)
#define RWU (P | W | U)
#define VA  0x40003000ul

static volatile u64 *const pdpt = (u64 *)0x800020;
static volatile u64 *const pd0 = (u64 *)0x801000;
static volatile u64 *const pd1 = (u64 *)0x802000;
static volatile u64 *const pt = (u64 *)0x803000;
static u8 *const page = (u8 *)0x804000;
#define PTE pt[VA >> 12 & 511]
#define PDE pd1[VA >> 21 & 511]

static void set(u64 pte)
{
	PTE = pte;
	invlpg(VA);
}

static void reload(void)
{
	write_cr3((word)pdpt);
}

static void paging_on(void)
{
	memset((void *)0x800000, 0, 0x5000);
	for (u32 i = 0; i < 128; i++)
		pd0[i] = (u64)i << 21 | P | W | PS | (i == 2 ? U : 0);
	pdpt[0] = (word)pd0 | P;
	pdpt[1] = (word)pd1 | P;
	PDE = (word)pt | RWU;
	write_cr4(read_cr4() | CR4_PAE);
	reload();
	if (has(FEAT_NX))
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static u32 ibit(void)
{
	return has(FEAT_NX) ? PF_I : 0;
}

static void error_codes(void)
{
	set(0);
	CHECK_PF("read", try_read(VA + 5), 0, VA + 5);
	CHECK_PF("fetch", try_call(VA), ibit(), VA);
	CHECK_PF("user write", run_user(user_write, VA), PF_U | PF_W, VA);
	set((word)page | P);
	CHECK_PF("ro", try_write(VA), PF_P | PF_W, VA);
	CHECK_PF("user", run_user(user_read, VA), PF_P | PF_U, VA);
	set((word)page | RWU);
	CHECK_USER_OK("user", run_user(user_write, VA));
	page[0] = 0xc3;
	CHECK_OK("fetch", try_call(VA));
	CHECK_PF("no pdpte", try_read(0x80000000), 0, 0x80000000);
}

static void no_execute(void)
{
	page[0] = 0xc3;
	set((word)page | RWU | NX);
	CHECK_PF("fetch", try_call(VA), PF_P | PF_I, VA);
	CHECK_OK("read", try_read(VA));
	PTE = (word)page | RWU;
	PDE |= NX;
	reload();
	CHECK_PF("pde", try_call(VA), PF_P | PF_I, VA);
	PDE &= ~NX;
	reload();
	CHECK_OK("again", try_call(VA));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
	set((word)page | RWU | NX);
	CHECK_PF("reserved", try_read(VA), PF_P | PF_RSVD, VA);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	set((word)page | RWU);
}

static void accessed_dirty(void)
{
	set((word)page | RWU);
	PDE &= ~A;
	reload();
	try_read(VA);
	CHECK_EQ("read", PTE & (A | D), A);
	CHECK_EQ("pde", PDE & A, A);
	CHECK_EQ("pdpte", pdpt[1] & A, 0);
	try_rmw(VA);
	CHECK_EQ("write", PTE & (A | D), A | D);
	pd1[100] = 0x800000 | P | W | PS;
	u32 va = 0x40000000 + 100 * 0x200000;

	invlpg(va);
	try_read(va);
	CHECK_EQ("2M read", pd1[100] & (A | D), A);
	try_write(va + 0x1fffff);
	CHECK_EQ("2M write", pd1[100] & (A | D), A | D);
	pd1[100] |= BIT(13);
	invlpg(va);
	CHECK_PF("2M reserved", try_read(va), PF_P | PF_RSVD, va);
	pd1[100] = 0;
	invlpg(va);
}

/* The four entries live in registers: memory counts at the next CR3 load. */
static void pdptes(void)
{
	set((word)page | RWU);
	CHECK_OK("before", try_read(VA));
	pdpt[1] = 0;
	invlpg(VA);
	CHECK_OK("still loaded", try_read(VA));
	reload();
	CHECK_PF("gone", try_read(VA), 0, VA);
	pdpt[1] = (word)pd1 | P;
	invlpg(VA);
	CHECK_PF("still gone", try_read(VA), 0, VA);
	reload();
	CHECK_OK("back", try_read(VA));
	/* Reserved bits make the load fault. */
	pdpt[1] = (word)pd1 | P | W;
	CHECK_TRAP("bit 1",
		   TRY("mov %0, %%cr3",
		       :
		       : "r"((word)pdpt)
		       : "memory"),
		   X_GP, 0);
	pdpt[1] = (word)pd1 | P | BIT(63);
	CHECK_TRAP("bit 63",
		   TRY("mov %0, %%cr3",
		       :
		       : "r"((word)pdpt)
		       : "memory"),
		   X_GP, 0);
	pdpt[1] = (word)pd1 | W;
	CHECK_EQ("not present",
		 TRY("mov %0, %%cr3",
		     :
		     : "r"((word)pdpt)
		     : "memory"),
		 NO_TRAP);
	pdpt[1] = (word)pd1 | P;
	reload();
	CHECK_OK("good", try_read(VA));
	/* Bits 3 and 4 (PWT, PCD) are allowed; a change of CR4.PGE reloads. */
	pdpt[2] = (word)pd1 | P | 0x18;
	reload();
	CHECK_OK("alias", try_read(VA + 0x40000000));
	pdpt[2] = 0;
	write_cr4(read_cr4() ^ CR4_PGE);
	CHECK_PF("PGE reloads", try_read(VA + 0x40000000), 0, VA + 0x40000000);
	write_cr4(read_cr4() ^ CR4_PGE);
	/* CR3 keeps bits 5 and up: the table is aligned to 32 bytes. */
	CHECK_EQ("cr3", read_cr3(), (word)pdpt);
}

static void high_memory(void)
{
	/* Beyond RAM, above 4 GiB: no fault, the access goes to nothing. */
	set(0x100000000000ull | RWU);
	if ((cpuid(0x80000008, 0).a & 0xff) > 45)
		CHECK_OK("nothing there", try_read(VA));
	set(BIT(51) | (word)page | RWU);
	CHECK_PF("reserved", try_read(VA), PF_P | PF_RSVD, VA);
	set((word)page | RWU);
}

void guest_main(void)
{
	paging_on();
	RUN(error_codes);
	RUN_IF(has(FEAT_NX), no_execute);
	RUN(accessed_dirty);
	RUN(pdptes);
	RUN(high_memory);
}
