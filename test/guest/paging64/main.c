/*
 * Paging in long mode: the page-fault error code for each cause, CR2, accessed
 * and dirty bits, write protection, NX, SMEP, SMAP, large pages, reserved bits
 * at every level, canonical addresses and illegal control register values.
 * Expectations follow the SDM's chapter on 4-level paging and APM volume 2.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/paging64.h"

#define VA  (TEST_VA + 0x3000)
#define RW  (PTE_P | PTE_W)
#define RWU (PTE_P | PTE_W | PTE_U)

static u64 page, nx;
static unsigned phys_bits;

/* The I bit of an error code is only there with NX or SMEP in force. */
static u64 ibit(void)
{
	return nx || read_cr4() & CR4_SMEP ? PF_I : 0;
}

static void not_present(void)
{
	map4k(VA, page, RWU);
	unmap4k(VA);
	CHECK_PF("read", try_read(VA + 5), 0, VA + 5);
	CHECK_EQ("read rip", trap.frame.ip, trap.want);
	CHECK_PF("write", try_write(VA + 0xfff), PF_W, VA + 0xfff);
	CHECK_PF("rmw", try_rmw(VA), PF_W, VA);
	CHECK_PF("fetch", try_call(VA + 7), ibit(), VA + 7);
	CHECK_EQ("fetch rip", trap.frame.ip, VA + 7);
	CHECK_PF("user read", run_user(user_read, VA + 5), PF_U, VA + 5);
	CHECK_EQ("user read rip", trap.frame.ip, (word)user_read);
	CHECK_PF("user write", run_user(user_write, VA), PF_U | PF_W, VA);
	CHECK_PF("user fetch", run_user(user_call, VA), PF_U | ibit(), VA);
	/* No table at all. */
	CHECK_PF("no pml4e", try_read(TEST_VA * 7 + 0x123), 0,
		 TEST_VA * 7 + 0x123);
	CHECK_PF("high half", try_write(-0x7000), PF_W, -0x7000);
}

static void present_later(void)
{
	/* An entry that was not present needs no flush when it appears. */
	unmap4k(VA);
	CHECK_PF("absent", try_read(VA), 0, VA);
	*pte_at(cr3_root(), VA, 1) = page | RWU;
	CHECK_OK("present", try_read(VA));
	CHECK_OK("write", try_write(VA));
	CHECK_USER_OK("user", run_user(user_rmw, VA));
}

static void write_protect(void)
{
	map4k(VA, page, PTE_P | PTE_U);
	CHECK_OK("read", try_read(VA));
	CHECK_PF("write", try_write(VA + 9), PF_P | PF_W, VA + 9);
	CHECK_PF("rmw", try_rmw(VA + 9), PF_P | PF_W, VA + 9);
	CHECK_PF("user write", run_user(user_write, VA + 9), PF_P | PF_W | PF_U,
		 VA + 9);
	CHECK_USER_OK("user read", run_user(user_read, VA));
	write_cr0(read_cr0() & ~CR0_WP);
	CHECK_OK("write, WP=0", try_write(VA + 9));
	CHECK_PF("user write, WP=0", run_user(user_write, VA + 9),
		 PF_P | PF_W | PF_U, VA + 9);
	write_cr0(read_cr0() | CR0_WP);
	CHECK_PF("write, WP=1 again", try_write(VA + 9), PF_P | PF_W, VA + 9);
}

/* R/W and U/S of the upper levels limit those of the leaf. */
static void upper_levels(void)
{
	map4k(VA, page, RWU);
	for (int level = 2; level <= 4; level++) {
		volatile u64 *e = pte_at(cr3_root(), VA, level);

		*e &= ~PTE_W;
		flush_tlb();
		CHECK_OK("read", try_read(VA));
		CHECK_PF("write", try_write(VA), PF_P | PF_W, VA);
		*e |= PTE_W;
		*e &= ~PTE_U;
		flush_tlb();
		CHECK_PF("user read", run_user(user_read, VA), PF_P | PF_U, VA);
		CHECK_OK("kernel write", try_write(VA));
		*e |= PTE_U;
		if (nx) {
			*e |= PTE_NX;
			flush_tlb();
			CHECK_PF("fetch", try_call(VA), PF_P | PF_I, VA);
			CHECK_OK("nx read", try_read(VA));
			*e &= ~PTE_NX;
		}
		*e &= ~PTE_P;
		flush_tlb();
		CHECK_PF("absent", try_write(VA), PF_W, VA);
		*e |= PTE_P;
		flush_tlb();
		CHECK_OK("restored", try_write(VA));
	}
}

static void user_supervisor(void)
{
	map4k(VA, page, RW);
	*(volatile u8 *)VA = 0xc3;
	CHECK_OK("read", try_read(VA));
	CHECK_OK("fetch", try_call(VA));
	CHECK_PF("user read", run_user(user_read, VA), PF_P | PF_U, VA);
	CHECK_PF("user write", run_user(user_write, VA), PF_P | PF_U | PF_W,
		 VA);
	CHECK_PF("user rmw", run_user(user_rmw, VA), PF_P | PF_U | PF_W, VA);
	CHECK_PF("user fetch", run_user(user_call, VA), PF_P | PF_U | ibit(),
		 VA);
	CHECK_EQ("user fetch rip", trap.frame.ip, VA);
	CHECK_EQ("user fetch cs", trap.frame.cs, SEL_UCODE);
	map4k(VA, page, RWU);
	CHECK_USER_OK("user read", run_user(user_read, VA));
	CHECK_USER_OK("user fetch", run_user(user_call, VA));
}

static void check_reserved(const char *name, volatile u64 *e, u64 bits)
{
	u64 old = *e;

	*e = old | bits;
	flush_tlb();
	int v = try_read(VA);
	u64 error = trap.error;
	int w = try_write(VA);
	u64 werror = trap.error;
	int u = run_user(user_write, VA);
	u64 uerror = trap.error;
	int f = try_call(VA);
	u64 ferror = trap.error;

	*e = old;
	flush_tlb();
	CHECK_EQ(name, v, X_PF);
	CHECK_EQ(name, error, PF_P | PF_RSVD);
	CHECK_EQ(name, w, X_PF);
	CHECK_EQ(name, werror, PF_P | PF_RSVD | PF_W);
	CHECK_EQ(name, u, X_PF);
	CHECK_EQ(name, uerror, PF_P | PF_RSVD | PF_W | PF_U);
	CHECK_EQ(name, f, X_PF);
	CHECK_EQ(name, ferror, PF_P | PF_RSVD | ibit());
}

static void reserved_bits(void)
{
	map4k(VA, page, RWU);
	*(volatile u8 *)VA = 0xc3;
	if (phys_bits < 52) {
		for (int level = 1; level <= 4; level++)
			check_reserved("bit 51", pte_at(cr3_root(), VA, level),
				       BIT(51));
		check_reserved("first", pte_at(cr3_root(), VA, 1),
			       BIT(phys_bits));
	}
	check_reserved("PS in PML4E", pte_at(cr3_root(), VA, 4), PTE_PS);
	if (!has(FEAT_PDPE1GB))
		check_reserved("PS in PDPTE", pte_at(cr3_root(), VA, 3),
			       PTE_PS);
	/* A large page's address must be aligned (bit 12 is PAT). */
	check_reserved("2M, bit 13", pte_at(cr3_root(), VA, 2),
		       PTE_PS | BIT(13));
	check_reserved("2M, bit 20", pte_at(cr3_root(), VA, 2),
		       PTE_PS | BIT(20));
	CHECK_OK("after", try_write(VA));
}

static void reserved_nx(void)
{
	u64 efer = rdmsr(MSR_EFER);

	map4k(VA, page, RWU);
	wrmsr(MSR_EFER, efer & ~EFER_NXE);
	nx = 0;
	for (int level = 1; level <= 4; level++)
		check_reserved("NX without NXE", pte_at(cr3_root(), VA, level),
			       PTE_NX);
	wrmsr(MSR_EFER, efer);
	nx = PTE_NX;
}

static u64 level_ad(int level)
{
	return *pte_at(cr3_root(), VA, level) & (PTE_A | PTE_D);
}

static void clear_ad(void)
{
	for (int level = 1; level <= 4; level++)
		*pte_at(cr3_root(), VA, level) &= ~(PTE_A | PTE_D);
	flush_tlb();
}

static void check_ad(const char *what, u64 leaf)
{
	CHECK_EQ(what, level_ad(1), leaf);
	for (int level = 2; level <= 4; level++)
		CHECK_EQ(what, level_ad(level), leaf ? PTE_A : 0);
	clear_ad();
}

static void accessed_dirty(void)
{
	map4k(VA, page, RWU);
	*(volatile u8 *)(VA + 0x100) = 0xc3;
	clear_ad();
	check_ad("untouched", 0);
	try_read(VA);
	check_ad("read", PTE_A);
	try_write(VA);
	check_ad("write", PTE_A | PTE_D);
	try_rmw(VA);
	check_ad("rmw", PTE_A | PTE_D);
	try_call(VA + 0x100);
	check_ad("fetch", PTE_A);
	run_user(user_read, VA);
	check_ad("user read", PTE_A);
	run_user(user_write, VA);
	check_ad("user write", PTE_A | PTE_D);
	run_user(user_call, VA + 0x100);
	check_ad("user fetch", PTE_A);
	/* A read that fills the TLB, then a write: the write must set D. */
	try_read(VA);
	try_write(VA);
	check_ad("read, write", PTE_A | PTE_D);
	/* A failing CMPXCHG writes the old value back. */
	asm volatile("lock cmpxchg %%rcx, (%0)"
		     :
		     : "r"(VA), "a"(*(u64 *)page + 1), "c"(0)
		     : "memory", "cc");
	check_ad("cmpxchg", PTE_A | PTE_D);
	asm volatile("cmpb $0, (%0)" : : "r"(VA) : "memory", "cc");
	check_ad("cmp", PTE_A);
	/* PREFETCH and INVLPG of an unmapped page fault not. */
	unmap4k(VA);
	asm volatile("prefetcht0 (%0); invlpg (%0)" : : "r"(VA) : "memory");
}

static void dirty_kept_clear(void)
{
	/* A write that faults leaves D alone. */
	map4k(VA, page, PTE_P | PTE_U);
	CHECK_PF("write", try_write(VA), PF_P | PF_W, VA);
	CHECK_EQ("D", level_ad(1) & PTE_D, 0);
	map4k(VA, page, RW);
	CHECK_PF("user", run_user(user_write, VA), PF_P | PF_W | PF_U, VA);
	CHECK_EQ("D", level_ad(1) & PTE_D, 0);
}

static void no_execute(void)
{
	map4k(VA, page, RWU);
	*(volatile u8 *)VA = 0xc3;
	CHECK_OK("x", try_call(VA));
	map4k(VA, page, RWU | PTE_NX);
	CHECK_PF("fetch", try_call(VA), PF_P | PF_I, VA);
	CHECK_PF("user fetch", run_user(user_call, VA), PF_P | PF_U | PF_I, VA);
	CHECK_OK("read", try_read(VA));
	CHECK_OK("write", try_write(VA + 1));
	map4k(VA, page, RWU);
	CHECK_OK("x again", try_call(VA));
}

static void smep(void)
{
	map4k(VA, page, RWU);
	*(volatile u8 *)VA = 0xc3;
	CHECK_OK("off", try_call(VA));
	write_cr4(read_cr4() | CR4_SMEP);
	CHECK_PF("fetch", try_call(VA), PF_P | PF_I, VA);
	CHECK_EQ("rip", trap.frame.ip, VA);
	CHECK_OK("read", try_read(VA));
	CHECK_USER_OK("user fetch", run_user(user_call, VA));
	write_cr4(read_cr4() & ~CR4_SMEP);
	CHECK_OK("off again", try_call(VA));
}

static void stac(void)
{
	asm volatile("stac" : : : "memory");
}

static void clac(void)
{
	asm volatile("clac" : : : "memory");
}

static void smap(void)
{
	u64 gdt_page;

	map4k(VA, page, RWU);
	CHECK_OK("off", try_write(VA));
	write_cr4(read_cr4() | CR4_SMAP);
	CHECK_PF("read", try_read(VA), PF_P, VA);
	CHECK_PF("write", try_write(VA), PF_P | PF_W, VA);
	CHECK_PF("rmw", try_rmw(VA), PF_P | PF_W, VA);
	CHECK_USER_OK("user", run_user(user_write, VA));
	stac();
	CHECK_OK("read, AC=1", try_read(VA));
	CHECK_OK("write, AC=1", try_write(VA));
	clac();
	CHECK_PF("read, AC=0", try_read(VA), PF_P, VA);
	write_flags(read_flags() | FLAG_AC);
	CHECK_OK("read, popf", try_read(VA));
	clac();
	CHECK_EQ("clac", read_flags() & FLAG_AC, 0);
	/* Descriptor loads are supervisor accesses that AC does not excuse. */
	/* CS's descriptor stays outside the user page: delivery reads it. */
	gdt_page = VA + 0x2000 - (SEL_UDATA & ~7);
	map4k(VA + 0x1000, page_alloc(), RW);
	map4k(VA + 0x2000, page_alloc(), RW);
	memcpy((void *)gdt_page, gdt, sizeof(gdt));
	map4k(VA + 0x2000, *pte_at(cr3_root(), VA + 0x2000, 1) & PTE_ADDR, RWU);
	stac();
	lgdt((void *)gdt_page, sizeof(gdt) - 1);
	int v = TRY("mov %0, %%es", : : "r"(SEL_UDATA) : "memory");

	lgdt(gdt, sizeof(gdt) - 1);
	clac();
	write_cr4(read_cr4() & ~CR4_SMAP);
	CHECK_PF("gdt", v, PF_P, gdt_page + (SEL_UDATA & ~7));
	write_es(SEL_DATA);
}

static void large_2m(void)
{
	u64 va = TEST_VA + 0x40000000, pa = 0xa00000;

	map(va, pa, RWU, 2);
	*(volatile u64 *)(va + 0x12345) = 0x1122334455667788;
	CHECK_EQ("alias", *(volatile u64 *)(pa + 0x12345), 0x1122334455667788);
	*pte_at(cr3_root(), va, 2) &= ~(PTE_A | PTE_D);
	invlpg(va + 0x1ff000);
	try_read(va + 0x1fffff);
	CHECK_EQ("A", *pte_at(cr3_root(), va, 2) & (PTE_A | PTE_D), PTE_A);
	try_write(va + 0x1fffff);
	CHECK_EQ("D", *pte_at(cr3_root(), va, 2) & (PTE_A | PTE_D),
		 PTE_A | PTE_D);
	/* INVLPG of any address in it drops the whole page. */
	try_read(va);
	*pte_at(cr3_root(), va, 2) = 0;
	invlpg(va + 0x100000);
	CHECK_PF("gone", try_read(va), 0, va);
	CHECK_PF("gone", try_write(va + 0x1ff123), PF_W, va + 0x1ff123);
	map(va, pa, PTE_P | PTE_U, 2);
	CHECK_PF("ro", try_write(va + 0x1000), PF_P | PF_W, va + 0x1000);
	/* Back to 4 KiB pages under the same directory entry. */
	*pte_at(cr3_root(), va, 2) = 0;
	map4k(va, pa + 0x12000, RWU);
	invlpg(va);
	CHECK_EQ("split", *(volatile u64 *)(va + 0x345), 0x1122334455667788);
	*pte_at(cr3_root(), va, 2) = 0;
	flush_tlb();
}

static void large_1g(void)
{
	u64 va = TEST_VA + 0x100000000;

	map(va, 0, RW, 3);
	*(volatile u64 *)(page + 8) = 0xabcdef;
	CHECK_EQ("alias", *(volatile u64 *)(va + page + 8), 0xabcdef);
	*(volatile u64 *)(va + page + 8) = 0x123456;
	CHECK_EQ("alias", *(volatile u64 *)(page + 8), 0x123456);
	CHECK_EQ("AD", *pte_at(cr3_root(), va, 3) & (PTE_A | PTE_D),
		 PTE_A | PTE_D);
	check_reserved("1G, bit 13", pte_at(cr3_root(), VA, 3),
		       PTE_PS | BIT(13));
	check_reserved("1G, bit 29", pte_at(cr3_root(), VA, 3),
		       PTE_PS | BIT(29));
	*pte_at(cr3_root(), va, 3) = 0;
	invlpg(va + 0x12345000);
	CHECK_PF("gone", try_read(va + page), 0, va + page);
}

static void canonical(void)
{
	u64 bad = 0x800000000000, bad2 = 0xffff7fffffffffff, base;

	CHECK_TRAP("read", try_read(bad), X_GP, 0);
	CHECK_TRAP("write", try_write(bad2), X_GP, 0);
	CHECK_TRAP("straddle",
		   TRY("mov -1(%0), %%rax",
		       :
		       : "r"(bad)
		       : "rax"),
		   X_GP, 0);
	CHECK_TRAP("rbp",
		   TRY_AT("mov %0, %%rbp", "mov (%%rbp), %%rax",
			  :
			  : "r"(bad)
			  : "rax"),
		   X_SS, 0);
	CHECK_EQ("jmp", TRY("jmp *%0", : : "r"(bad)), X_GP);
	CHECK_EQ("jmp error", trap.error, 0);
	CHECK_EQ("ret", TRY("push %0; ret", : : "r"(bad)), X_GP);
	CHECK_TRAP("invlpg is silent",
		   TRY("invlpg (%0)",
		       :
		       : "r"(bad)),
		   NO_TRAP, 0);
	base = rdmsr(MSR_FS_BASE);
	CHECK_TRAP("fs base",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_FS_BASE), "a"(0), "d"(0x1000000)),
		   X_GP, 0);
	wrmsr(MSR_FS_BASE, base);
}

static void control_registers(void)
{
	u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

#define TRY_CR(n, v) TRY("mov %0, %%cr" #n, : : "r"((u64)(v)) : "memory")
	CHECK_TRAP("NW without CD", TRY_CR(0, cr0 | CR0_NW), X_GP, 0);
	CHECK_TRAP("CR0 high", TRY_CR(0, cr0 | BIT(32)), X_GP, 0);
	CHECK_TRAP("CR8", TRY_CR(8, 16), X_GP, 0);
	CHECK_TRAP("EFER bit 1",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_EFER), "d"(0), "a"((u32)rdmsr(MSR_EFER) | 2)),
		   X_GP, 0);
	CHECK_EQ("CR0", read_cr0(), cr0);
	CHECK_EQ("CR3", read_cr3(), cr3);
	CHECK_EQ("CR4", read_cr4(), cr4);
	/* ET is hardwired to 1. */
	write_cr0(cr0 & ~CR0_ET);
	CHECK_EQ("ET", read_cr0(), cr0);
}

/* Last, since a processor that lets these pass is lost. */
static void leave_long_mode(void)
{
	CHECK_TRAP("EFER LME off",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_EFER), "d"(0),
			 "a"((u32)rdmsr(MSR_EFER) & ~(u32)EFER_LME)),
		   X_GP, 0);
	CHECK_TRAP("CR3 bit 60", TRY_CR(3, read_cr3() | BIT(60)), X_GP, 0);
	if (phys_bits < 52)
		CHECK_TRAP("CR3 phys", TRY_CR(3, read_cr3() | BIT(51)), X_GP,
			   0);
	CHECK_TRAP("PG without PE", TRY_CR(0, read_cr0() & ~CR0_PE), X_GP, 0);
	CHECK_TRAP("PAE off", TRY_CR(4, read_cr4() & ~CR4_PAE), X_GP, 0);
	CHECK_TRAP("CR4 bit 63", TRY_CR(4, read_cr4() | BIT(63)), X_GP, 0);
	CHECK_TRAP("CR4 bit 15", TRY_CR(4, read_cr4() | BIT(15)), X_GP, 0);
}

#define MSR_PKRS 0x6e1
#define PKEY(n)	 ((u64)(n) << 59)
#define PK_AD(n) BIT(2 * (n))
#define PK_WD(n) BIT(2 * (n) + 1)
#define WRPKRU(rights)                                                         \
	asm volatile("wrpkru"                                                  \
		     :                                                         \
		     : "a"((u32)(rights)), "c"(0), "d"(0)                      \
		     : "memor"                                                 \
		       "y")

/* Data accesses to pages with key 3, as @set makes their rights change. */
static void keys(void (*set)(u32 rights), u64 flags, int fault)
{
	map4k(VA, page, PTE_P | PTE_W | PKEY(3) | flags);
	set(0);
	CHECK_OK("write", try_write(VA));
	set(~(u32)(PK_AD(3) | PK_WD(3) | PK_AD(0) | PK_WD(0)));
	CHECK_OK("other keys", try_rmw(VA));
	set(PK_AD(3));
	CHECK_PF("AD read", try_read(VA), fault, VA);
	CHECK_PF("AD write", try_write(VA), fault | PF_W, VA);
	*(u8 *)page = 0xc3;
	CHECK_OK("AD fetch", try_call(VA));
	set(PK_WD(3));
	CHECK_OK("WD read", try_read(VA));
	CHECK_PF("WD write", try_write(VA), fault | PF_W, VA);
	write_cr0(read_cr0() & ~CR0_WP);
	CHECK_OK("WD write, WP=0", try_write(VA));
	write_cr0(read_cr0() | CR0_WP);
	CHECK_PF("WD write", try_rmw(VA), fault | PF_W, VA);
	set(0);
	CHECK_OK("again", try_write(VA));
}

static void set_pkrs(u32 rights)
{
	wrmsr(MSR_PKRS, rights);
}

static void supervisor_keys(void)
{
	write_cr0(read_cr0() | CR0_WP);
	write_cr4(read_cr4() | CR4_PKS);
	keys(set_pkrs, 0, PF_P | PF_PK);
	set_pkrs(PK_AD(3));
	CHECK_PF("user", run_user(user_read, VA), PF_P | PF_U, VA);
	map4k(VA, page, PTE_P | PTE_W | PTE_U | PKEY(3));
	CHECK_OK("user page", try_write(VA));
	CHECK_USER_OK("user page", run_user(user_write, VA));
	map4k(VA, page, PTE_P | PTE_W | PKEY(3));
	CHECK_PF("on", try_read(VA), PF_P | PF_PK, VA);
	write_cr4(read_cr4() & ~CR4_PKS);
	CHECK_OK("off", try_read(VA));
	CHECK_TRAP("msr",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_PKRS), "a"(0), "d"(1)),
		   X_GP, 0);
	set_pkrs(0);
}

static void set_pkru(u32 rights)
{
	WRPKRU(rights);
}

static void user_keys(void)
{
	write_cr0(read_cr0() | CR0_WP);
	write_cr4(read_cr4() | CR4_PKE);
	keys(set_pkru, PTE_U, PF_P | PF_PK);
	set_pkru(PK_AD(3));
	CHECK_PF("user", run_user(user_read, VA), PF_P | PF_U | PF_PK, VA);
	set_pkru(PK_WD(3));
	CHECK_USER_OK("user", run_user(user_read, VA));
	CHECK_PF("user", run_user(user_write, VA), PF_P | PF_W | PF_U | PF_PK,
		 VA);
	set_pkru(0);
	write_cr4(read_cr4() & ~CR4_PKE);
}

void guest_main(void)
{
	phys_bits = cpuid_max(0x80000000) >= 0x80000008
			    ? cpuid(0x80000008, 0).a & 0xff
			    : 36;
	page = page_alloc();
	pte_make(cr3_root(), VA, 1);
	RUN(not_present);
	if (has(FEAT_NX)) {
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
		nx = PTE_NX;
		RUN(not_present);
	}
	RUN(present_later);
	RUN(write_protect);
	RUN(upper_levels);
	RUN(user_supervisor);
	RUN(reserved_bits);
	RUN_IF(nx, reserved_nx);
	RUN(accessed_dirty);
	RUN(dirty_kept_clear);
	RUN_IF(nx, no_execute);
	RUN_IF(has(FEAT_SMEP), smep);
	RUN_IF(has(FEAT_SMAP), smap);
	RUN_IF(has(FEAT_PKS), supervisor_keys);
	RUN_IF(has(FEAT_PKU), user_keys);
	RUN(large_2m);
	RUN_IF(has(FEAT_PDPE1GB), large_1g);
	RUN(canonical);
	RUN(control_registers);
	RUN(leave_long_mode);
}
