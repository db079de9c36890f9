/*
 * CLI, STI, PUSHF, POPF in every mode and privilege, CLAC and STAC.
 * Each case gives the mode, the flags before, and what is expected.
 */
#include "test/unit/machine.h"

#define IF	RFLAGS_IF
#define VIF	RFLAGS_VIF
#define VIP	RFLAGS_VIP
#define IOPL(n) ((uint64_t)(n) << RFLAGS_IOPL_SHIFT)

enum mode { REAL, PROT0, PROT3, VM86, LONG0, LONG3 };

static void enter(enum mode m, uint64_t flags, uint64_t cr4)
{
	switch (m) {
	case REAL:
		start_real();
		break;
	case PROT0:
	case PROT3:
		start32(m == PROT3 ? 3 : 0);
		break;
	case VM86:
		start_vm86(0);
		flags |= RFLAGS_VM;
		break;
	default:
		start64(m == LONG3 ? 3 : 0);
	}
	c->cr4 |= cr4;
	cpu_set_rflags(c, flags);
}

#define GP ~0ull

static const struct if_case {
	enum mode mode;
	uint64_t cr4, before, cli, sti;
} if_cases[] = {
	{ REAL, 0, IF, 0, IF },
	{ PROT0, 0, IF, 0, IF },
	{ LONG0, 0, 0, 0, IF },
	{ PROT3, 0, IF, GP, GP },
	{ LONG3, 0, IF, GP, GP },
	{ PROT3, 0, IF | IOPL(3), IOPL(3), IF | IOPL(3) },
	{ PROT3, CR4_PVI, IF | VIF, IF, IF | VIF },
	{ PROT3, CR4_PVI, IF | VIP, IF | VIP, GP },
	{ PROT3, CR4_VME, IF, GP, GP },
	{ VM86, 0, IF, GP, GP },
	{ VM86, 0, IF | IOPL(3), IOPL(3), IF | IOPL(3) },
	{ VM86, CR4_VME, IF | VIF, IF, IF | VIF },
	{ VM86, CR4_VME, IF | VIP | VIF, IF | VIP, GP },
	{ VM86, CR4_PVI, IF, GP, GP },
};

static void check_if(const struct if_case *k, uint8_t opcode, uint64_t want)
{
	uint64_t vm = k->mode == VM86 ? RFLAGS_VM : 0;
	enum cpu_result r;

	enter(k->mode, k->before, k->cr4);
	r = EXEC(opcode);
	if (want == GP) {
		CHECK_FAULT(r, VEC_GP);
		want = k->before;
	} else {
		CHECK_OK(r);
	}
	CHECK_EQ(c->rflags, want | vm | RFLAGS_FIXED);
}

static void test_if(void)
{
	for (unsigned int n = 0; n < ARRAY_SIZE(if_cases); n++) {
		check_if(&if_cases[n], 0xfa, if_cases[n].cli);
		check_if(&if_cases[n], 0xfb, if_cases[n].sti);
	}
	enter(LONG0, 0, 0);
	CHECK_OK(EXEC(0xfb));
	CHECK(c->sti_shadow);
	c->sti_shadow = false;
	CHECK_OK(EXEC(0xfb));
	CHECK(!c->sti_shadow);
}

static uint64_t top(unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, ram + c->gpr[RSP], size);
	return v;
}

static void test_pushf(void)
{
	const uint64_t flags =
		RFLAGS_CF | IF | RFLAGS_RF | RFLAGS_AC | VIP | RFLAGS_FIXED;

	enter(LONG3, flags, 0);
	CHECK_OK(EXEC(0x9c));
	CHECK_EQ(c->gpr[RSP], STACK - 8);
	CHECK_EQ(top(8), flags & ~RFLAGS_RF);
	CHECK_OK(EXEC(0x66, 0x9c));
	CHECK_EQ(c->gpr[RSP], STACK - 10);
	CHECK_EQ(top(2), flags & 0xffff);
	enter(PROT0, flags, 0);
	CHECK_OK(EXEC(0x9c));
	CHECK_EQ(c->gpr[RSP], STACK - 4);
	CHECK_EQ(top(4), flags & ~RFLAGS_RF);
	enter(VM86, flags, 0);
	CHECK_FAULT(EXEC(0x9c), VEC_GP);
	enter(VM86, flags | IOPL(3), 0);
	CHECK_OK(EXEC(0x9c));
	CHECK_EQ(top(2), (flags & 0xffff) | IOPL(3));
	enter(VM86, (flags & ~IF) | VIF, CR4_VME);
	CHECK_OK(EXEC(0x9c));
	CHECK_EQ(top(2), (flags & 0xffff) | IOPL(3));
	enter(VM86, flags, CR4_VME);
	CHECK_OK(EXEC(0x9c));
	CHECK_EQ(top(2), (flags & 0xffff & ~IF) | IOPL(3));
	CHECK_FAULT(EXEC(0x66, 0x9c), VEC_GP);
}

static enum cpu_result popf(uint64_t image, bool p66)
{
	memcpy(ram + c->gpr[RSP], &image, 8);
	return p66 ? EXEC(0x66, 0x9d) : EXEC(0x9d);
}

#define ALL 0x3f7fd5ull

static void test_popf(void)
{
	const uint64_t plain = RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF |
			       RFLAGS_NT | RFLAGS_FIXED;
	const uint64_t wide = plain | RFLAGS_AC | RFLAGS_ID;

	enter(LONG0, 0, 0);
	CHECK_OK(popf(ALL, false));
	CHECK_EQ(c->rflags, wide | IF | RFLAGS_IOPL);
	CHECK_EQ(c->df_step, -1);
	CHECK_OK(popf(0, false));
	CHECK_EQ(c->rflags, RFLAGS_FIXED);
	CHECK_EQ(c->df_step, 1);
	enter(LONG3, 0, 0);
	CHECK_OK(popf(ALL, false));
	CHECK_EQ(c->rflags, wide);
	enter(LONG3, IOPL(3) | IF | VIF, 0);
	CHECK_OK(popf(0, false));
	CHECK_EQ(c->rflags, IOPL(3) | VIF | RFLAGS_FIXED);
	enter(LONG3, IF, 0);
	CHECK_OK(popf(0, false));
	CHECK_EQ(c->rflags, IF | RFLAGS_FIXED);
	enter(PROT0, 0, 0);
	CHECK_OK(popf(ALL, true));
	CHECK_EQ(c->rflags, plain | IF | RFLAGS_IOPL);
	CHECK_EQ(c->gpr[RSP], STACK + 2);
	/* PVI has no part in POPF. */
	enter(PROT3, VIF, CR4_PVI);
	CHECK_OK(popf(IF, false));
	CHECK_EQ(c->rflags, VIF | RFLAGS_FIXED);
	enter(REAL, 0, 0);
	CHECK_OK(popf(ALL, true));
	CHECK_EQ(c->rflags, wide | IF | RFLAGS_IOPL);
}

static void test_popf_vm86(void)
{
	enter(VM86, 0, 0);
	CHECK_FAULT(popf(0, false), VEC_GP);
	enter(VM86, IOPL(3), 0);
	CHECK_OK(popf(IF | RFLAGS_CF, false));
	CHECK_EQ(c->rflags,
		 RFLAGS_VM | IOPL(3) | IF | RFLAGS_CF | RFLAGS_FIXED);
	enter(VM86, IF, CR4_VME);
	CHECK_OK(popf(IF | RFLAGS_ZF | IOPL(3), false));
	CHECK_EQ(c->rflags, RFLAGS_VM | IF | VIF | RFLAGS_ZF | RFLAGS_FIXED);
	CHECK_OK(popf(0, false));
	CHECK_EQ(c->rflags, RFLAGS_VM | IF | RFLAGS_FIXED);
	CHECK_FAULT(popf(RFLAGS_TF, false), VEC_GP);
	CHECK_FAULT(popf(0, true), VEC_GP);
	enter(VM86, VIP, CR4_VME);
	CHECK_FAULT(popf(IF, false), VEC_GP);
	CHECK_EQ(c->gpr[RSP], 0x8000);
	CHECK_OK(popf(0, false));
}

static void test_ac_df(void)
{
	enter(LONG0, 0, 0);
	CHECK_OK(EXEC(0x0f, 0x01, 0xcb));
	CHECK_EQ(c->rflags, RFLAGS_AC | RFLAGS_FIXED);
	CHECK_OK(EXEC(0x0f, 0x01, 0xca));
	CHECK_EQ(c->rflags, RFLAGS_FIXED);
	CHECK_OK(EXEC(0xfd));
	CHECK_EQ(c->df_step, -1);
	CHECK_OK(EXEC(0xfc));
	CHECK_EQ(c->df_step, 1);
	enter(LONG3, 0, 0);
	CHECK_FAULT(EXEC(0x0f, 0x01, 0xcb), VEC_UD);
}

int main(void)
{
	machine_create();
	test_if();
	test_pushf();
	test_popf();
	test_popf_vm86();
	test_ac_df();
	return test_done();
}
