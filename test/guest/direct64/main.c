/*
 * Runs what the other files test with processor state such that user
 * code fits into a host process: the selectors of Linux, FSGSBASE, all of XCR0,
 * IF set.
 */
#include "test/guest/direct64/direct.h"

volatile u64 user_mem[512] __user_data __attribute__((aligned(4096)));
volatile struct entry entry;
extern u8 user_get[], user_put[], user_do[];

u64 user_value(u64 va)
{
	CHECK_USER_OK("read", run_user(user_get, va));
	return trap.frame.ax;
}

u64 user_called(u64 va)
{
	CHECK_USER_OK("call", run_user(user_do, va));
	return trap.frame.ax;
}

int user_store(u64 va, u64 value)
{
	user_mem[510] = va;
	user_mem[511] = value;
	return run_user(user_put, (word)&user_mem[510]);
}

void put_code(u64 at, u32 v)
{
	volatile u8 *p = (volatile u8 *)at;

	p[0] = 0xb8;
	for (int i = 0; i < 4; i++)
		p[1 + i] = v >> 8 * i;
	p[5] = 0xc3;
}

static void setup(void)
{
	u32 xcr0;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE | EFER_SCE);
	wrmsr(MSR_STAR, (u64)(SEL_UCODE32) << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (word)syscall_entry);
	wrmsr(MSR_FMASK, FLAG_IF | FLAG_TF | FLAG_DF | FLAG_AC);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE |
		  (has(FEAT_FSGSBASE) ? CR4_FSGSBASE : 0));
	xcr0 = cpuid(0xd, 0).a & ~BIT(9);
	asm volatile("xsetbv" : : "a"(xcr0), "c"(0), "d"(0));
	user_flags = 2 | FLAG_IF;
	idt_set(V_DONE, idt_stub(V_DONE), 3);
}

void guest_main(void)
{
	setup();
	test_events();
	test_paging();
	test_spaces();
	test_code();
	test_state();
	test_time();
}
