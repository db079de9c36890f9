/*
 * Port instructions: privilege and the I/O bitmap, the restart protocol of
 * inputs, batches of REP INS and OUTS in both directions, breakpoints.
 */
#include "test/unit/machine.h"

enum { ASKED = 1, ANSWERED = 2 };

static void bitmap(uint16_t base, uint16_t port, bool deny)
{
	uint8_t *byte = ram + TSS + base + port / 8;

	memcpy(ram + TSS + 102, &base, 2);
	*byte = deny ? *byte | 1 << (port & 7) : *byte & ~(1 << (port & 7));
}

static void test_permission(void)
{
	start64(3);
	cpu_set_rflags(c, RFLAGS_IOPL);
	CHECK_EXIT(EXEC(0xe6, 0x80), EXIT_IO);
	cpu_set_rflags(c, 0);
	bitmap(0x68, 0x80, false);
	CHECK_EXIT(EXEC(0xe6, 0x80), EXIT_IO);
	bitmap(0x68, 0x83, true);
	CHECK_EXIT(EXEC(0x66, 0xe7, 0x80), EXIT_IO);
	CHECK_FAULT(EXEC(0xe7, 0x80), VEC_GP);
	CHECK_FAULT(EXEC(0xe4, 0x83), VEC_GP);
	/* Both bytes of the bitmap must lie within the limit. */
	c->seg[SEG_TR].limit = 0x68 + 0x80 / 8;
	CHECK_FAULT(EXEC(0xe6, 0x80), VEC_GP);
	c->seg[SEG_TR].limit++;
	CHECK_EXIT(EXEC(0xe6, 0x80), EXIT_IO);
	c->seg[SEG_TR].limit = 0x66;
	CHECK_FAULT(EXEC(0xe6, 0x80), VEC_GP);
	c->seg[SEG_TR].limit = 0x2067;
	c->seg[SEG_TR].ar = AR_P | 3; /* 16-bit TSS */
	CHECK_FAULT(EXEC(0xe6, 0x80), VEC_GP);
	/* The bitmap is asked as a supervisor, and may fault. */
	c->seg[SEG_TR].ar = AR_P | 11;
	*pte(TSS) &= ~PTE_U;
	CHECK_EXIT(EXEC(0xe6, 0x80), EXIT_IO);
	*pte(TSS) = 0;
	CHECK_FAULT(EXEC(0xe6, 0x80), VEC_PF);
	CHECK_EQ(c->fault.address, TSS + 102);
	CHECK_EQ(c->fault.error, 0);

	start_vm86(3);
	bitmap(0x68, 0x70, true);
	CHECK_FAULT(EXEC(0xe4, 0x70), VEC_GP);
	CHECK_EXIT(EXEC(0xe4, 0x71), EXIT_IO);
	start_real();
	CHECK_EXIT(EXEC(0xe4, 0x70), EXIT_IO);
}

/* Two ports are open to everyone if user mode asked for it. */
static void test_vmware_backdoor(void)
{
	start64(3);
	c->seg[SEG_TR].limit = 0; /* no bitmap */
	for (unsigned int on = 0; on <= 1; on++) {
		c->vmware_backdoor = on;
		for (unsigned int port = 0x5657; port <= 0x565a; port++) {
			bool open = on && (port & 0xfffe) == 0x5658;

			c->gpr[RDX] = port;
			if (open)
				CHECK_EXIT(EXEC(0xed), EXIT_IO);
			else
				CHECK_FAULT(EXEC(0xed), VEC_GP);
		}
	}
	c->vmware_backdoor = false;
}

static void test_in_out(void)
{
	start64(0);
	c->gpr[RAX] = 0x1122334455667788;
	c->gpr[RDX] = 0xdead03f8;
	CHECK_EXIT(EXEC(0xef), EXIT_IO);
	CHECK_EQ(c->io.port, 0x3f8);
	CHECK_EQ(c->io.size, 4);
	CHECK_EQ(c->io.count, 1);
	CHECK(!c->io.in && !c->io.string);
	CHECK(!memcmp(c->io.data, "\x88\x77\x66\x55", 4));
	CHECK_EQ(c->rip, CODE);
	CHECK_EQ(c->next_rip, CODE + 1);

	CHECK_EXIT(EXEC(0xec), EXIT_IO); /* in al, dx */
	CHECK_EQ(c->io.state, ASKED);
	CHECK_EXIT(EXEC(0xec), EXIT_IO);
	c->io.state = ANSWERED;
	c->io.data[0] = 0x42;
	CHECK_OK(EXEC(0xec));
	CHECK_EQ(c->gpr[RAX], 0x1122334455667742);
	CHECK_EQ(c->io.state, 0);
	/* The answer of another access is no answer. */
	CHECK_EXIT(EXEC(0xe5, 0x60), EXIT_IO);
	c->io.state = ANSWERED;
	CHECK_EXIT(EXEC(0xe5, 0x64), EXIT_IO);
	CHECK_EQ(c->io.port, 0x64);
	memcpy(c->io.data, "\x01\x02\x03\x84", 4);
	c->io.state = ANSWERED;
	CHECK_OK(EXEC(0xe5, 0x64));
	CHECK_EQ(c->gpr[RAX], 0x84030201);
}

static void test_outs(void)
{
	start64(0);
	for (unsigned int n = 0; n < 64; n++)
		ram[DATA + 0xff0 + n] = n;
	c->gpr[RSI] = DATA + 0xff0;
	c->gpr[RCX] = 20;
	c->gpr[RDX] = 0x1f0;
	/* To the end of the page, then the rest. */
	CHECK_EXIT(EXEC(0xf3, 0x66, 0x6f), EXIT_IO);
	CHECK_EQ(c->io.count, 8);
	CHECK_EQ(c->io.size, 2);
	CHECK(c->io.string && !c->io.in);
	CHECK(!memcmp(c->io.data, ram + DATA + 0xff0, 16));
	CHECK_EQ(c->gpr[RSI], DATA + 0x1000);
	CHECK_EQ(c->gpr[RCX], 12);
	CHECK_EQ(c->next_rip, c->rip);
	CHECK_EXIT(EXEC(0xf3, 0x66, 0x6f), EXIT_IO);
	CHECK_EQ(c->io.count, 12);
	CHECK_EQ(c->gpr[RCX], 0);
	CHECK_EQ(c->next_rip, c->rip + 3);
	CHECK_OK(EXEC(0xf3, 0x66, 0x6f));
	/* Down, across a page: a crossing element goes alone. */
	cpu_set_rflags(c, RFLAGS_DF);
	c->gpr[RSI] = DATA + 0x1001;
	c->gpr[RCX] = 3;
	CHECK_EXIT(EXEC(0xf3, 0x66, 0x6f), EXIT_IO);
	CHECK_EQ(c->io.count, 1);
	CHECK_EQ(c->gpr[RSI], DATA + 0xfff);
	CHECK_EXIT(EXEC(0xf3, 0x66, 0x6f), EXIT_IO);
	CHECK_EQ(c->io.count, 1);
	CHECK(!memcmp(c->io.data, "\x0f\x10", 2));
	CHECK_EXIT(EXEC(0xf3, 0x66, 0x6f), EXIT_IO);
	CHECK(!memcmp(c->io.data, "\x0d\x0e", 2));
	CHECK_EQ(c->gpr[RCX], 0);
	/* At most what fits cpu->io. */
	cpu_set_rflags(c, 0);
	*pte(DATA) = 0;
	c->gpr[RSI] = DATA;
	c->gpr[RCX] = 1;
	CHECK_FAULT(EXEC(0xf3, 0x6e), VEC_PF);
	CHECK_EQ(c->gpr[RCX], 1);
}

static void answer(void)
{
	for (unsigned int n = 0; n < c->io.count * c->io.size; n++)
		c->io.data[n] = n + 1;
	c->io.state = ANSWERED;
}

static void test_ins(void)
{
	start64(0);
	c->gpr[RDI] = DATA;
	c->gpr[RCX] = 0x100000004;
	c->gpr[RDX] = 0x1f0;
	*pte(DATA) &= ~PTE_W;
	CHECK_FAULT(EXEC(0x67, 0xf3, 0x6d), VEC_PF); /* before the port */
	CHECK_EQ(c->io.state, 0);
	*pte(DATA) |= PTE_W;
	CHECK_EXIT(EXEC(0x67, 0xf3, 0x6d), EXIT_IO);
	CHECK_EQ(c->io.count, 4);
	CHECK_EQ(c->gpr[RCX], 0x100000004);
	answer();
	CHECK_OK(EXEC(0x67, 0xf3, 0x6d));
	CHECK_EQ(ram[DATA], 1);
	CHECK_EQ(ram[DATA + 15], 16);
	CHECK_EQ(c->gpr[RDI], DATA + 16);
	CHECK_EQ(c->gpr[RCX], 0);
	CHECK_EQ(c->rip, CODE + 3);

	/* Down: the first element is the highest. */
	start64(0);
	cpu_set_rflags(c, RFLAGS_DF);
	c->gpr[RDI] = DATA + 4;
	c->gpr[RCX] = 5;
	CHECK_EXIT(EXEC(0xf3, 0x66, 0x6d), EXIT_IO);
	CHECK_EQ(c->io.count, 3);
	answer();
	CHECK_OK(EXEC(0xf3, 0x66, 0x6d));
	CHECK(!memcmp(ram + DATA, "\x05\x06\x03\x04\x01\x02", 6));
	CHECK_EQ(c->gpr[RDI], DATA - 2);
	CHECK_EQ(c->gpr[RCX], 2);
	CHECK_EQ(c->rip, CODE);

	/* User mode lowered RCX meanwhile: no more than that is stored. */
	start64(0);
	c->gpr[RDI] = DATA;
	c->gpr[RCX] = 10;
	CHECK_EXIT(EXEC(0xf3, 0x6c), EXIT_IO);
	answer();
	c->gpr[RCX] = 2;
	CHECK_OK(EXEC(0xf3, 0x6c));
	CHECK(!memcmp(ram + DATA, "\x01\x02\x00", 3));
	CHECK_EQ(c->gpr[RCX], 0);

	/* To MMIO one by one. */
	c->gpr[RDI] = MMIO;
	c->gpr[RCX] = 2;
	CHECK_EXIT(EXEC(0xf3, 0x6c), EXIT_IO);
	CHECK_EQ(c->io.count, 1);
	answer();
	CHECK_OK(EXEC(0xf3, 0x6c));
	CHECK_EQ(c->mmio.nr_wr, 1);
	CHECK_EQ(c->mmio.wr[0].gpa, MMIO);
	CHECK_EQ(c->gpr[RCX], 1);
}

static void test_breakpoints(void)
{
	start64(0);
	c->cr4 |= CR4_DE;
	c->dr[1] = 0x80;
	c->dr7 = 0x400 | BIT(2) | 2ull << 20 | 3ull << 22; /* I/O, 4 bytes */
	CHECK_EXIT(EXEC(0xe6, 0x82), EXIT_IO);
	CHECK_EQ(c->pending_dbg, 2);
	c->pending_dbg = 0;
	CHECK_EXIT(EXEC(0xe6, 0x84), EXIT_IO);
	CHECK_EQ(c->pending_dbg, 0);
	CHECK_EXIT(EXEC(0xe7, 0x7e), EXIT_IO);
	CHECK_EQ(c->pending_dbg, 2);
	c->pending_dbg = 0;
	CHECK_EXIT(EXEC(0xe4, 0x80), EXIT_IO);
	CHECK_EQ(c->pending_dbg, 0);
	c->io.state = ANSWERED;
	CHECK_OK(EXEC(0xe4, 0x80));
	CHECK_EQ(c->pending_dbg, 2);
}

int main(void)
{
	machine_create();
	test_permission();
	test_vmware_backdoor();
	test_in_out();
	test_outs();
	test_ins();
	test_breakpoints();
	return test_done();
}
