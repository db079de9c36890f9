/*
 * Two CPUs in user mode, which the engine may run in host processes: what one
 * changes and flushes, in page tables and in code, the other one must go by.
 */
#include "test/guest/lib/smp64.h"

#define VA     (TEST_VA + 0x9000)
#define CODE   (TEST_VA + 0x20000)
#define ALIAS  (TEST_VA + 0x3000000)
#define RWU    (PTE_P | PTE_W | PTE_U)
#define V_SHOT 0x61
#define V_STOP 0x62
/* A page with INT 80 is not for a host process. */
#undef USER_EXIT
#define USER_EXIT "int $0x90"
#define V_DONE	  0x90
#define ROUNDS_OF 60

void ap_user(void *entry, u64 arg, volatile void *seen, u64 sp);
extern u8 ap_back[], loop_data[], loop_code[];
extern volatile u64 ap_saved_sp;

/* loops, value seen last */
static volatile u64 seen[64] __user_data __attribute__((aligned(4096)));
static u8 ap_stack[4096] __user_data __attribute__((aligned(4096)));
static u8 ap_kernel_stack[8192] __attribute__((aligned(16)));
static struct tss64 ap_tss;

static u64 page[4], home, other;
static volatile u64 shot_va, acks;
static void *volatile ap_entry;
static volatile u64 ap_arg, ap_root;

static void on_shot(struct frame *f)
{
	if (shot_va)
		invlpg(shot_va);
	else
		flush_tlb();
	apic_eoi();
	acks++;
}

static void on_stop(struct frame *f)
{
	apic_eoi();
	if ((f->cs & 3) != 3)
		return;
	f->ip = (word)ap_back;
	f->cs = SEL_CODE;
	f->ss = SEL_DATA;
	f->sp = ap_saved_sp;
	f->flags = 2;
}

static void set_state(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE | EFER_SCE);
	write_cr0((read_cr0() | CR0_NE | CR0_MP | CR0_WP) & ~CR0_TS);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE |
		  (has(FEAT_FSGSBASE) ? CR4_FSGSBASE : 0));
	asm volatile("xsetbv"
		     :
		     : "a"(cpuid(0xd, 0).a & ~BIT(9)), "c"(0), "d"(0));
}

static void ap_main(unsigned cpu)
{
	write_cr3(ap_root);
	ap_user(ap_entry, ap_arg, seen, (word)ap_stack + sizeof(ap_stack) - 64);
	write_cr3(home);
}

static void ap_setup(unsigned cpu)
{
	set_state();
	ap_tss.rsp[0] = (word)ap_kernel_stack + sizeof(ap_kernel_stack);
	ap_tss.iomap = sizeof(ap_tss);
	gdt_system(SEL_FREE, (word)&ap_tss, sizeof(ap_tss) - 1, TYPE_TSS, 0);
	ltr(SEL_FREE);
}

static bool reaches(volatile u64 *p, u64 least)
{
	u64 end = rdtsc() + 5000 * tsc_per_ms();

	while (*p < least && rdtsc() < end)
		cpu_pause();
	return *p >= least;
}

static bool shows(u64 value)
{
	u64 end = rdtsc() + 5000 * tsc_per_ms();

	while (seen[1] != value && rdtsc() < end)
		cpu_pause();
	return seen[1] == value;
}

static void ap_start(void *entry, u64 arg, u64 root)
{
	ap_entry = entry;
	ap_arg = arg;
	ap_root = root;
	seen[0] = 0;
	smp_run(1, ap_main);
	CHECK("started", reaches(&seen[0], 10));
}

static void ap_stop(void)
{
	while (!smp_done(1)) {
		apic_send(smp_apic_id(1), ICR_ASSERT | V_STOP);
		for (int i = 0; i < 1000; i++)
			cpu_pause();
	}
}

/* As a kernel does it: the entry, here, there, and only then goes on. */
static void shoot(u64 va)
{
	u64 want = acks + 1;

	shot_va = va;
	if (va)
		invlpg(va);
	else
		flush_tlb();
	apic_send(smp_apic_id(1), ICR_ASSERT | V_SHOT);
	CHECK("answered", reaches(&acks, want));
}

static void user_store(u64 va, u64 value)
{
	seen[62] = va;
	seen[63] = value;
	CHECK_EQ("store",
		 run_user(USER_CODE("mov (%%rdi), %%rax; "
				    "mov 8(%%rdi), %%rbx; "
				    "mov %%rbx, (%%rax)"),
			  (word)&seen[62]),
		 V_DONE);
}

static void shootdown(void)
{
	volatile u64 *pte = pte_at(home, VA, 1);

	map4k(VA, page[0], RWU);
	ap_start(loop_data, VA, home);
	for (u64 i = 1; i < ROUNDS_OF; i++) {
		volatile u64 *now = (u64 *)page[i & 1];
		volatile u64 *old = (u64 *)page[(i & 1) ^ 1];
		u64 stands;

		*now = i;
		*old = 0xdead;
		*pte = page[i & 1] | RWU;
		shoot(i & 2 ? VA : 0);
		stands = old[2];
		CHECK("seen", shows(i));
		CHECK("goes on", reaches(&seen[0], seen[0] + 100));
		CHECK_EQ("old page", old[2], stands);
		/* The same by user code on this side. */
		user_store(VA, i + 0x10000);
		CHECK_EQ("stored", *now, i + 0x10000);
		CHECK("seen", shows(i + 0x10000));
	}
	ap_stop();
}

static void accessed_dirty(void)
{
	volatile u64 *pte = pte_at(home, VA, 1);

	map4k(VA, page[0], RWU);
	ap_start(loop_data, VA, home);
	for (int i = 0; i < ROUNDS_OF; i++) {
		u64 end;

		asm volatile("lock andq %1, %0"
			     : "+m"(*pte)
			     : "r"(~(PTE_A | PTE_D))
			     : "memory", "cc");
		shoot(VA);
		CHECK("goes on", reaches(&seen[0], seen[0] + 100));
		end = rdtsc() + 1000 * tsc_per_ms();
		while ((*pte & (PTE_A | PTE_D)) != (PTE_A | PTE_D) &&
		       rdtsc() < end)
			cpu_pause();
		CHECK_EQ("set again", *pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	}
	ap_stop();
}

/* nop; nop; nop; mov $v, %eax, all in 8 bytes that are written at once; ret */
#define TEXT(v) (0xb8909090 | (u64)(v) << 32)

static void cross_modifying(void)
{
	*(u64 *)(page[2] + 8) = 0xc3;
	*(u64 *)page[2] = TEXT(0);
	map4k(CODE, page[2], RWU);
	map4k(ALIAS, page[2], RWU | PTE_NX);
	ap_start(loop_code, CODE, home);
	for (u32 i = 1; i < ROUNDS_OF; i++) {
		switch (i % 3) {
		case 0:
			*(volatile u64 *)page[2] = TEXT(i);
			break;
		case 1:
			user_store(ALIAS, TEXT(i));
			break;
		case 2:
			user_store(CODE, TEXT(i));
			break;
		}
		CHECK("seen", shows(i));
	}
	ap_stop();
}

static void own_spaces(void)
{
	map4k(VA, page[0], RWU);
	*pte_make(other, VA, 1) = page[1] | RWU;
	*(u64 *)page[0] = 1;
	*(u64 *)page[1] = 2;
	ap_start(loop_data, VA, other);
	for (u64 i = 0; i < ROUNDS_OF; i++) {
		user_store(VA, i);
		CHECK_EQ("here", *(u64 *)page[0], i);
		*(u64 *)page[1] = i + 0x100;
		CHECK("there", shows(i + 0x100));
		/* Here alone. */
		*pte_at(home, VA, 1) = page[i & 1 ? 0 : 3] | RWU;
		invlpg(VA);
		user_store(VA, i);
		CHECK_EQ("moved", *(u64 *)page[i & 1 ? 0 : 3], i);
		map4k(VA, page[0], RWU);
	}
	ap_stop();
}

void guest_main(void)
{
	set_state();
	user_flags = 2 | FLAG_IF;
	idt_set(V_DONE, idt_stub(V_DONE), 3);
	if (smp_start(2, 1000) < 2) {
		test_skip("all", "one CPU");
		return;
	}
	trap_handler(V_SHOT, on_shot);
	trap_handler(V_STOP, on_stop);
	home = cr3_root();
	pte_make(home, VA, 1);
	pte_make(home, CODE, 1);
	pte_make(home, ALIAS, 1);
	for (int i = 0; i < 4; i++)
		page[i] = page_alloc();
	other = page_alloc();
	memcpy((void *)other, (void *)home, PAGE);
	((u64 *)other)[VA >> 39] = 0;
	pte_make(other, VA, 1);
	smp_run(1, ap_setup);
	smp_join(1);
	RUN(shootdown);
	RUN(accessed_dirty);
	RUN(cross_modifying);
	RUN(own_spaces);
}
