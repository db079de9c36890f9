/*
 * 32-bit paging without PAE: 4 KiB and 4 MiB pages, error codes, accessed and
 * dirty bits, WP, user pages, the effect of CR4.PSE, INVLPG, code that turns
 * paging on and off.
 */
#include "test/guest/lib/access.h"

#define P   1
#define W   2
#define U   4
#define A   0x20
#define D   0x40
#define PS  0x80
#define RWU (P | W | U)
#define VA  0x40003000ul
#define BIG 0x50000000ul

static u32 *const pd = (u32 *)0x800000;
static u32 *const pt = (u32 *)0x801000;
static u8 *const page = (u8 *)0x802000;
static u8 *const page2 = (u8 *)0x803000;
#define PTE (*(volatile u32 *)&pt[VA >> 12 & 1023])
#define PDE (*(volatile u32 *)&pd[VA >> 22])

static void paging_on(void)
{
	memset(pd, 0, PAGE);
	memset(pt, 0, PAGE);
	/* Identity with 4 MiB pages; the user part of the image is at 4 MiB. */
	for (u32 i = 0; i < 64; i++)
		pd[i] = i << 22 | P | W | PS | (i == 1 ? U : 0);
	pd[0xfee00000u >> 22] = 0xfec00000 | P | W | PS;
	PDE = (u32)pt | RWU;
	write_cr4(read_cr4() | CR4_PSE);
	write_cr3((u32)pd);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static void set(u32 pte)
{
	PTE = pte;
	invlpg(VA);
}

static void error_codes(void)
{
	set(0);
	CHECK_PF("read", try_read(VA + 5), 0, VA + 5);
	CHECK_PF("write", try_write(VA + 5), PF_W, VA + 5);
	CHECK_PF("fetch", try_call(VA), 0, VA);
	CHECK_EQ("fetch ip", trap.frame.ip, VA);
	CHECK_PF("user read", run_user(user_read, VA), PF_U, VA);
	CHECK_PF("user write", run_user(user_write, VA), PF_U | PF_W, VA);
	CHECK_PF("no table", try_read(0x60000000), 0, 0x60000000);
	set((u32)page | P);
	CHECK_OK("ro read", try_read(VA));
	CHECK_PF("ro write", try_write(VA), PF_P | PF_W, VA);
	write_cr0(read_cr0() & ~CR0_WP);
	CHECK_OK("ro write, WP=0", try_write(VA));
	write_cr0(read_cr0() | CR0_WP);
	CHECK_PF("user", run_user(user_read, VA), PF_P | PF_U, VA);
	set((u32)page | P | U);
	CHECK_USER_OK("user read", run_user(user_read, VA));
	CHECK_PF("user write", run_user(user_write, VA), PF_P | PF_U | PF_W,
		 VA);
	set((u32)page | RWU);
	CHECK_USER_OK("user write", run_user(user_write, VA));
	page[0x100] = 0xc3;
	CHECK_OK("fetch", try_call(VA + 0x100));
	/* The directory entry limits too. */
	PDE &= ~W;
	write_cr3((u32)pd);
	CHECK_PF("pde ro", try_write(VA), PF_P | PF_W, VA);
	PDE = (PDE | W) & ~U;
	write_cr3((u32)pd);
	CHECK_PF("pde super", run_user(user_read, VA), PF_P | PF_U, VA);
	PDE |= U;
	write_cr3((u32)pd);
}

static void accessed_dirty(void)
{
	set((u32)page | RWU);
	PDE &= ~A;
	write_cr3((u32)pd);
	CHECK_EQ("none", PTE & (A | D), 0);
	try_read(VA);
	CHECK_EQ("read", PTE & (A | D), A);
	CHECK_EQ("pde", PDE & A, A);
	try_write(VA);
	CHECK_EQ("write", PTE & (A | D), A | D);
	CHECK_EQ("pde has no D", PDE & D, 0);
	set((u32)page | RWU);
	run_user(user_rmw, VA);
	CHECK_EQ("user rmw", PTE & (A | D), A | D);
	pd[BIG >> 22] = 0x800000 | P | W | PS;
	invlpg(BIG);
	try_read(BIG + 0x123456);
	CHECK_EQ("4M read", pd[BIG >> 22] & (A | D), A);
	try_write(BIG + 0x3fffff);
	CHECK_EQ("4M write", pd[BIG >> 22] & (A | D), A | D);
}

static void large_pages(void)
{
	volatile u32 *alias = (volatile u32 *)(BIG + 0x2000 + 8);

	pd[BIG >> 22] = 0x800000 | P | W | PS;
	invlpg(BIG);
	*alias = 0x12345678;
	CHECK_EQ("alias", *(volatile u32 *)(page + 8), 0x12345678);
	pd[BIG >> 22] = 0x800000 | P | PS;
	invlpg(BIG + 0x100000);
	CHECK_PF("ro", try_write((word)alias), PF_P | PF_W, (word)alias);
	/* Without PSE the same entry names a page table. */
	pd[BIG >> 22] = 0;
	invlpg(BIG);
	CHECK_PF("gone", try_read((word)alias), 0, (word)alias);
	/* Bit 21 is reserved in a 4 MiB entry (PSE-36 uses 13 to 20). */
	pd[BIG >> 22] = 0x800000 | 1 << 21 | P | W | PS;
	invlpg(BIG);
	CHECK_PF("reserved", try_read((word)alias), PF_P | PF_RSVD,
		 (word)alias);
	pd[BIG >> 22] = 0;
	invlpg(BIG);
}

static void remap(void)
{
	*(u32 *)page = 1;
	*(u32 *)page2 = 2;
	page[0x100] = page2[0x100] = 0xb8;
	*(u32 *)(page + 0x101) = 11;
	*(u32 *)(page2 + 0x101) = 22;
	page[0x105] = page2[0x105] = 0xc3;
	for (int i = 0; i < 10; i++) {
		u32 v;

		set((i & 1 ? (u32)page2 : (u32)page) | RWU);
		CHECK_EQ("data", *(volatile u32 *)VA, 1 + (i & 1));
		asm volatile("call *%1" : "=a"(v) : "r"(VA + 0x100) : "memory");
		CHECK_EQ("code", v, i & 1 ? 22 : 11);
	}
}

/* Off and on again, in identity-mapped code. */
static void toggle(void)
{
	for (int i = 0; i < 5; i++) {
		write_cr0(read_cr0() & ~CR0_PG);
		CHECK_EQ("off", *(volatile u32 *)page, 1);
		write_cr0(read_cr0() | CR0_PG);
		set((u32)page | RWU);
		CHECK_EQ("on", *(volatile u32 *)VA, 1);
	}
	CHECK_EQ("no PE",
		 TRY("mov %0, %%cr0",
		     :
		     : "r"((u32)(read_cr0() & ~CR0_PE))),
		 X_GP);
}

static void split(void)
{
	pt[(VA >> 12 & 1023) + 1] = (u32)page2 | RWU;
	set((u32)page | RWU);
	invlpg(VA + PAGE);
	*(volatile u32 *)(VA + PAGE - 2) = 0xaabbccdd;
	CHECK_EQ("low", *(u16 *)(page + 4094), 0xccdd);
	CHECK_EQ("high", *(u16 *)page2, 0xaabb);
	CHECK_EQ("read", *(volatile u32 *)(VA + PAGE - 2), 0xaabbccdd);
	pt[(VA >> 12 & 1023) + 1] = 0;
	invlpg(VA + PAGE);
	CHECK_PF("absent",
		 TRY("movl $0, (%0)",
		     :
		     : "r"(VA + PAGE - 2)
		     : "memory"),
		 PF_W, VA + PAGE);
	CHECK_EQ("kept", *(u16 *)(page + 4094), 0xccdd);
}

void guest_main(void)
{
	paging_on();
	RUN(error_codes);
	RUN(accessed_dirty);
	RUN(large_pages);
	RUN(remap);
	RUN(split);
	RUN(toggle);
}
