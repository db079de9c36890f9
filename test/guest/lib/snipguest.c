/* The guest's side of the snippets: run each one, compare with the host's. */
#include "test/guest/lib/snip.h"
#include "test/guest/lib/trap.h"

extern const struct snip_result snip_golden[];
static unsigned current, absent;

/* A trap fails the snippet, not the run. */
static void guarded(word code)
{
#ifdef __x86_64__
	int v = TRY("mov %0, %%rdi; call snip_enter",
		    :
		    : "r"(code)
		    : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
		      "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
#else
	int v = TRY("push %0; call snip_enter",
		    :
		    : "a"(code)
		    : "ebx", "ecx", "edx", "esi", "edi", "memory", "cc");
#endif

	if (v == NO_TRAP)
		return;
	test_fail("trap", v, NO_TRAP);
	print("  at %lx, offset %lx\n", trap.frame.ip, trap.frame.ip - code);
}

static void snippet(void)
{
	static const char regs[][4] = { "ax",  "cx",  "dx",  "bx", "sp",  "bp",
					"si",  "di",  "r8",  "r9", "r10", "r11",
					"r12", "r13", "r14", "r15" };
	const struct snip_result *want;
	struct snip_result got;

	want = &snip_golden[current * ROUNDS + test_round];
	if (!want->mem || !snip_run(current, test_round, &got)) {
		absent++;
		return;
	}
	if (!memcmp(&got, want, sizeof(got)))
		return;
	for (unsigned i = 0; i < SNIP_NREGS; i++)
		CHECK_EQ(regs[i], got.regs[i], want->regs[i]);
	CHECK_EQ("flags", got.flags, want->flags);
	CHECK_EQ("memory", got.mem, want->mem);
}

void guest_main(void)
{
	unsigned all = snip_tab_end - snip_tab;

	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
#ifdef __x86_64__
	wrmsr(MSR_FS_BASE, SNIP_FS_BASE);
	wrmsr(MSR_GS_BASE, SNIP_GS_BASE);
#endif
	if (has(FEAT_XSAVE)) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		asm volatile("xsetbv"
			     :
			     : "a"(has(FEAT_AVX) ? 7 : 3), "d"(0), "c"(0));
	}
	snip_call = guarded;
	for (current = 0; current < all; current++)
		test_quiet((const char *)(word)snip_tab[current].name, snippet);
	print("%u snippets, %u runs left out for missing features\n", all,
	      absent);
	test_end();
}
