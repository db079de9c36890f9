/*
 * Five-level paging: switching it on and off, addresses of 57 bits, canonical
 * checks, error codes and accessed bits at the new level.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/paging64.h"

#define RWU (PTE_P | PTE_W | PTE_U)
/* Beyond 47 bits, and in the upper half of 57 bits. */
#define HIGH 0x0012345678000000ul
#define TOP  0xff00000000003000ul

void la57_switch(u64 cr3, u64 cr4);

static u64 root4, root5, page;

static void on(void)
{
	la57_switch(root5, read_cr4() | CR4_LA57);
}

static void off(void)
{
	la57_switch(root4, read_cr4() & ~CR4_LA57);
}

static void toggle(void)
{
	on();
	CHECK_EQ("cr4", read_cr4() & CR4_LA57, CR4_LA57);
	CHECK_EQ("lma", rdmsr(MSR_EFER) & EFER_LMA, EFER_LMA);
	CHECK_TRAP("not while paging",
		   TRY("mov %0, %%cr4",
		       :
		       : "r"(read_cr4() & ~CR4_LA57)),
		   X_GP, 0);
	off();
	CHECK_EQ("cr4", read_cr4() & CR4_LA57, 0);
	CHECK_TRAP("not while paging",
		   TRY("mov %0, %%cr4",
		       :
		       : "r"(read_cr4() | CR4_LA57)),
		   X_GP, 0);
	CHECK_TRAP("48 bits again", try_read(HIGH), X_GP, 0);
}

static void high_addresses(void)
{
	on();
	map4k(HIGH, page, RWU);
	map4k(TOP, page, RWU);
	*(volatile u64 *)(HIGH + 8) = 0x1122334455667788;
	CHECK_EQ("high", *(volatile u64 *)(page + 8), 0x1122334455667788);
	CHECK_EQ("top", *(volatile u64 *)(TOP + 8), 0x1122334455667788);
	*(u8 *)page = 0xc3;
	CHECK_OK("call", try_call(HIGH));
	CHECK_USER_OK("user", run_user(user_write, HIGH + 16));
	CHECK_PF("absent", try_read(HIGH + PAGE), 0, HIGH + PAGE);
	unmap4k(HIGH);
	CHECK_PF("write", try_write(HIGH), PF_W, HIGH);
	off();
}

static void canonical(void)
{
	on();
	CHECK_TRAP("bit 56", try_read(BIT(56)), X_GP, 0);
	CHECK_TRAP("bit 57", try_write(BIT(57)), X_GP, 0);
	CHECK_PF("bit 55", try_read(BIT(55)), 0, BIT(55));
	CHECK_PF("bit 47", try_read(BIT(47)), 0, BIT(47));
	CHECK_EQ("jmp", TRY("jmp *%0", : : "r"(BIT(56))), X_GP);
	off();
}

static void top_level(void)
{
	volatile u64 *e;

	on();
	map4k(HIGH, page, RWU);
	e = pte_at(root5, HIGH, 5);
	*e &= ~PTE_A;
	flush_tlb();
	try_read(HIGH);
	CHECK_EQ("accessed", *e & PTE_A, PTE_A);
	*e &= ~PTE_W;
	flush_tlb();
	CHECK_PF("ro", try_write(HIGH), PF_P | PF_W, HIGH);
	*e = (*e | PTE_W) & ~PTE_U;
	flush_tlb();
	CHECK_PF("user", run_user(user_read, HIGH), PF_P | PF_U, HIGH);
	*e |= PTE_U | PTE_PS;
	flush_tlb();
	CHECK_PF("reserved", try_read(HIGH), PF_P | PF_RSVD, HIGH);
	*e &= ~PTE_PS;
	flush_tlb();
	CHECK_OK("good", try_write(HIGH));
	off();
}

void guest_main(void)
{
	root4 = cr3_root();
	root5 = page_alloc();
	*(u64 *)root5 = root4 | RWU;
	page = page_alloc();
	if (!has(FEAT_LA57)) {
		test_skip("la57", "not in CPUID");
		test_end();
	}
	RUN(toggle);
	RUN(high_addresses);
	RUN(canonical);
	RUN(top_level);
}
