/*
 * Breakpoint matches: kinds, lengths and alignment, overlap, enables; what the
 * debug registers keep of a value; DR6 after an exception.
 */
#include "cpu/debug.h"

#include "test/unit/machine.h"

/* DR7 with breakpoint @n enabled locally: @rw 0 code, 1 write, 2 I/O, 3 any. */
static uint64_t dr7(unsigned int n, uint64_t rw, uint64_t len)
{
	const uint64_t bits = len == 1 ? 0 : len == 2 ? 1 : len == 8 ? 2 : 3;

	return DR7_FIXED | BIT(2 * n) | rw << (16 + 4 * n) |
	       bits << (18 + 4 * n);
}

static void test_code(void)
{
	start64(0);
	CHECK(!debug_armed(c));
	c->dr[2] = 0x1000;
	c->dr7 = dr7(2, 0, 1);
	CHECK(debug_armed(c));
	CHECK_EQ(debug_match_code(c, 0x1000), 4);
	CHECK_EQ(debug_match_code(c, 0xfff), 0);
	CHECK_EQ(debug_match_data(c, 0x1000, 1, true), 0);
	c->rflags |= RFLAGS_RF;
	CHECK_EQ(debug_match_code(c, 0x1000), 0);
	c->rflags &= ~RFLAGS_RF;
	c->dr7 &= ~BIT(4);
	CHECK_EQ(debug_match_code(c, 0x1000), 0);
	c->dr7 |= BIT(5); /* globally */
	CHECK_EQ(debug_match_code(c, 0x1000), 4);
}

static void test_data(void)
{
	start64(0);
	c->dr[0] = 0x1006;
	c->dr7 = dr7(0, 1, 4); /* 0x1004 to 0x1007 */
	CHECK_EQ(debug_match_data(c, 0x1004, 1, true), 1);
	CHECK_EQ(debug_match_data(c, 0x1004, 1, false), 0);
	CHECK_EQ(debug_match_data(c, 0x1003, 1, true), 0);
	CHECK_EQ(debug_match_data(c, 0x1003, 2, true), 1);
	CHECK_EQ(debug_match_data(c, 0x1007, 8, true), 1);
	CHECK_EQ(debug_match_data(c, 0x1008, 8, true), 0);
	CHECK_EQ(debug_match_data(c, 0xff0, 64, true), 1);
	c->dr7 = dr7(0, 3, 8);
	CHECK_EQ(debug_match_data(c, 0x1000, 1, false), 1);
	CHECK_EQ(debug_match_data(c, 0x1008, 1, false), 0);
	/* Several at once. */
	c->dr[3] = 0x1001;
	c->dr7 |= dr7(3, 3, 1);
	CHECK_EQ(debug_match_data(c, 0x1000, 2, false), 9);
	CHECK_EQ(debug_match_data(c, 0x1002, 2, false), 1);
	/* The end of the address space. */
	c->dr[0] = ~7ull;
	CHECK_EQ(debug_match_data(c, ~0ull, 1, false), 1);
	CHECK_EQ(debug_match_data(c, 0, 1, false), 0);
}

static void test_io(void)
{
	start64(0);
	c->dr[1] = 0x3f8;
	c->dr7 = dr7(1, 2, 1);
	CHECK_EQ(debug_match_io(c, 0x3f8, 1), 0); /* without CR4.DE */
	c->cr4 |= CR4_DE;
	CHECK_EQ(debug_match_io(c, 0x3f8, 1), 2);
	CHECK_EQ(debug_match_io(c, 0x3f5, 4), 2);
	CHECK_EQ(debug_match_io(c, 0x3f9, 1), 0);
	CHECK_EQ(debug_match_data(c, 0x3f8, 1, true), 0);
}

static void test_dr6(void)
{
	CHECK_EQ(debug_dr6(0), DR6_FIXED);
	CHECK_EQ(debug_dr6(~0ull), 0xffffefff);
	CHECK_EQ(debug_dr7(0), DR7_FIXED);
	CHECK_EQ(debug_dr7(~0ull), 0xffff27ff);
	c->dr6 = DR6_FIXED | DR6_BS | 3;
	CHECK_EQ(debug_dr6_merge(c, 4), DR6_FIXED | DR6_BS | 4);
	CHECK_EQ(debug_dr6_merge(c, DR6_BD), DR6_FIXED | DR6_BS | DR6_BD);
}

int main(void)
{
	machine_create();
	test_code();
	test_data();
	test_io();
	test_dr6();
	return test_done();
}
