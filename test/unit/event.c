/*
 * Delivery of events: gates, stacks, frames, flags, INT n and its like, and
 * what becomes of faults during delivery.
 */
#include "cpu/event.h"

#include "test/machine.h"

static enum cpu_result send(enum event_type type, uint8_t vector)
{
	const struct event ev = { .type = type, .vector = vector };

	return event_deliver(&cpu, &ev);
}

static enum cpu_result send_error(uint8_t vector, uint32_t error)
{
	cpu_raise_error(&cpu, vector, error);
	return event_fault(&cpu);
}

/* Expects that the handler of @vector was entered. */
static void entered(uint8_t vector)
{
	CHECK_EQ(cpu.rip, HANDLER + vector * 16);
}

static uint64_t pushed(unsigned int n, unsigned int size)
{
	uint64_t sp = cpu.gpr[RSP];

	if (!cpu_64bit(&cpu)) {
		if (!(cpu.seg[SEG_SS].ar & AR_DB))
			sp &= 0xffff;
		sp += cpu.seg[SEG_SS].base;
	}
	return peek(sp + n * size, size);
}

/*
 * Expects @vector with error code @error after an event that could not be
 * delivered as it was.
 */
static void nested(uint8_t vector, uint32_t error)
{
	entered(vector);
	CHECK_EQ(pushed(0, cpu_long_mode(&cpu) ? 8 : 4), error);
}

static void test_real(void)
{
	machine_real();
	poke(8 * 4, 0x50001234, 4);
	cpu.rflags |= RFLAGS_TF | RFLAGS_AC | RFLAGS_CF;
	cpu.halted = cpu.sti_shadow = cpu.movss_shadow = true;
	CHECK_EQ(send(EVENT_INTR, 8), CPU_OK);
	CHECK_EQ(cpu.rip, 0x1234);
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x50000);
	CHECK_EQ(cpu.gpr[RSP], 0x7ffa);
	CHECK_EQ(pushed(0, 2), 0x100);
	CHECK_EQ(pushed(1, 2), 0x2000);
	CHECK_EQ(pushed(2, 2), 0x303);
	CHECK_EQ(cpu.rflags, RFLAGS_FIXED | RFLAGS_CF);
	CHECK(!cpu.halted && !cpu.sti_shadow && !cpu.movss_shadow);
	/* no error code in real mode */
	poke(VEC_GP * 4, 0x60000010, 4);
	CHECK_EQ(send_error(VEC_GP, 0x1234), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], 0x7ff4);
	CHECK_EQ(pushed(0, 2), 0x1234);
	/* beyond the table: #GP instead */
	cpu.idt.limit = 0x7f;
	CHECK_EQ(send(EVENT_INTR, 0x20), CPU_OK);
	CHECK_EQ(cpu.rip, 0x10);
	/* too small for #GP: #DF; for #DF too: shutdown */
	cpu.idt.limit = VEC_GP * 4 + 2;
	poke(VEC_DF * 4, 0x70000020, 4);
	CHECK_EQ(send(EVENT_INTR, 0x20), CPU_OK);
	CHECK_EQ(cpu.rip, 0x20);
	cpu.idt.limit = VEC_DF * 4 + 2;
	CHECK_EQ(send(EVENT_INTR, 0x20), CPU_EXIT);
	CHECK_EQ(cpu.exit.reason, EXIT_TRIPLE_FAULT);
	CHECK_EQ(cpu.rip, 0x20);
	/* stack: SP 1 cannot hold a word */
	machine_real();
	cpu.gpr[RSP] = 5;
	CHECK_EQ(send(EVENT_INTR, 0x20), CPU_EXIT);
	CHECK_EQ(cpu.gpr[RSP], 5);
	cpu.gpr[RSP] = 4; /* wraps after two words */
	CHECK_EQ(send(EVENT_INTR, 0x20), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], 0xfffe);
	/* INT n returns behind itself */
	machine_real();
	OK(0xcd, 0x21);
	CHECK_EQ(pushed(0, 2), 0x102);
	CHECK_EQ(cpu.rip, 0);
	machine_real();
	OK(0xcc);
	CHECK_EQ(pushed(0, 2), 0x101);
	machine_real();
	cpu.idt.base = 0x1000;
	poke(0x1000 + 0x21 * 4, 0x40000055, 4);
	OK(0xcd, 0x21);
	CHECK_EQ(cpu.rip, 0x55);
}

static void test_prot_same(void)
{
	machine_prot(0);
	cpu.rflags |= RFLAGS_TF | RFLAGS_NT | RFLAGS_AC | RFLAGS_RF;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	entered(0x30);
	CHECK_EQ(cpu.gpr[RSP], STACK - 12);
	CHECK_EQ(pushed(0, 4), CODE);
	CHECK_EQ(pushed(1, 4), C32);
	CHECK_EQ(pushed(2, 4), 0x54302);
	CHECK_EQ(cpu.rflags, RFLAGS_FIXED | RFLAGS_AC);
	/* trap gate: IF stays */
	machine_prot(0);
	set_gate(0x30, C32, 0x22000, 0x8f, 0);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK(cpu.rflags & RFLAGS_IF);
	/* error code and RF for faults */
	machine_prot(0);
	CHECK_EQ(send_error(VEC_GP, 0x1234), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], STACK - 16);
	CHECK_EQ(pushed(0, 4), 0x1234);
	CHECK_EQ(pushed(3, 4), 0x10202);
	/* 16-bit gates push words and jump to 16 bits */
	machine_prot(0);
	set_gate(0x30, C16, 0x12340100, 0x86, 0);
	set_gate(VEC_GP, C16, 0x200, 0x87, 0);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(cpu.rip, 0x100);
	CHECK_EQ(cpu.code_size, CODE16);
	CHECK_EQ(cpu.gpr[RSP], STACK - 6);
	CHECK_EQ(pushed(1, 2), C32);
	CHECK_EQ(send_error(VEC_GP, 0x1234), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], STACK - 14);
	CHECK_EQ(pushed(0, 2), 0x1234);
	/* conforming handler: CPL stays */
	machine_prot(3);
	set_gate(0x30, CONF, 0x22000, 0x8e, 0);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.seg[SEG_CS].sel, CONF | 3);
	CHECK_EQ(cpu.gpr[RSP], STACK - 12);
}

static void test_prot_inner(void)
{
	machine_prot(3);
	CHECK_EQ(send_error(VEC_GP, 0x44), CPU_OK);
	entered(VEC_GP);
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.seg[SEG_CS].sel, C32);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D0);
	CHECK_EQ(cpu.gpr[RSP], STACK0 - 24);
	CHECK_EQ(pushed(0, 4), 0x44);
	CHECK_EQ(pushed(1, 4), CODE);
	CHECK_EQ(pushed(2, 4), C32U | 3);
	CHECK_EQ(pushed(3, 4), 0x10202);
	CHECK_EQ(pushed(4, 4), STACK);
	CHECK_EQ(pushed(5, 4), D3 | 3);
	CHECK_EQ(cpu.seg[SEG_DS].sel, D3 | 3);
	/* and back */
	cpu.gpr[RSP] += 4;
	OK(0xcf);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.gpr[RSP], STACK);
	CHECK_EQ(cpu.rip, CODE);
	/* to level 1 through a 16-bit gate */
	machine_prot(3);
	set_gate(0x30, C1, 0x2200, 0x86, 0);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(cpu.cpl, 1);
	CHECK_EQ(cpu.gpr[RSP], STACK1 - 10);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D1 | 1);
}

static void test_vm86(void)
{
	machine_vm86(3);
	cpu.rflags |= RFLAGS_CF;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	entered(0x30);
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.gpr[RSP], STACK0 - 36);
	CHECK_EQ(pushed(0, 4), 0x100);
	CHECK_EQ(pushed(1, 4), 0x2000);
	CHECK_EQ(pushed(2, 4), RFLAGS_VM | 0x3203);
	CHECK_EQ(pushed(3, 4), 0x8000);
	CHECK_EQ(pushed(4, 4), 0x3000);
	CHECK_EQ(pushed(5, 4), 0x7001);
	CHECK_EQ(pushed(6, 4), 0x7000);
	CHECK_EQ(pushed(7, 4), 0x7002);
	CHECK_EQ(pushed(8, 4), 0x7003);
	CHECK(!cpu_vm86(&cpu));
	for (unsigned int reg = SEG_DS; reg <= SEG_GS; reg++)
		CHECK_EQ(cpu.seg[reg].ar, AR_UNUSABLE);
	CHECK_EQ(cpu.seg[SEG_ES].sel, 0);
	CHECK_EQ(cpu.code_size, CODE32);
	OK(0xcf); /* IRET restores it all */
	CHECK(cpu_vm86(&cpu));
	CHECK_EQ(cpu.seg[SEG_GS].base, 0x70030);
	CHECK_EQ(cpu.rip, 0x100);
	/* handler not at level 0, or conforming: #GP(sel + EXT) */
	machine_vm86(3);
	set_gate(0x30, C1, 0x22000, 0x8e, 0);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_GP, C1 | 1);
	machine_vm86(3);
	set_gate(0x30, CONF, 0x22000, 0x8e, 0);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_GP, CONF | 1);
	/* INT n is IOPL sensitive, INT3 and INTO are not */
	machine_vm86(2);
	FAULT(VEC_GP, 0, 0xcd, 0x30);
	set_gate(3, C32, HANDLER + 48, 0xee, 0);
	OK(0xcc);
	entered(3);
	machine_vm86(3);
	set_gate(0x30, C32, HANDLER + 0x300, 0xee, 0);
	OK(0xcd, 0x30);
	entered(0x30);
	CHECK_EQ(pushed(0, 4), 0x102);
}

/* CR4.VME: INT n by the redirection map, IF kept in VIF. */
static void test_vme(void)
{
	machine_vm86(0);
	cpu.cr4 |= CR4_VME;
	cpu.seg[SEG_TR].limit = 0xff;
	poke(TSS + 102, 0x88, 2);
	memset(ram + TSS + 0x68, 0xff, 32);
	poke(0x21 * 4, 0x50001234, 4);
	FAULT(VEC_GP, 0, 0xcd, 0x21);
	poke(TSS + 0x68 + 4, 0xfd, 1);
	OK(0xcd, 0x21);
	CHECK(cpu_vm86(&cpu));
	CHECK_EQ(cpu.rip, 0x1234);
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x50000);
	CHECK_EQ(cpu.gpr[RSP], 0x7ffa);
	CHECK_EQ(peek(0x37ffa, 2), 0x102);
	CHECK_EQ(peek(0x37ffc, 2), 0x2000);
	CHECK_EQ(peek(0x37ffe, 2), 0x3002); /* VIF is clear, IOPL reads 3 */
	CHECK(cpu.rflags & RFLAGS_IF);
	/* IRET: IF to VIF */
	poke(0x37ffe, 0x3203, 2);
	OK(0xcf);
	CHECK_EQ(cpu.rflags, RFLAGS_VM | RFLAGS_VIF | 0x203);
	CHECK_EQ(cpu.rip, 0x102);
	OK(0xcd, 0x21);
	CHECK_EQ(peek(0x37ffe, 2), 0x3203);
	CHECK(!(cpu.rflags & RFLAGS_VIF));
	cpu.rflags |= RFLAGS_VIP;
	FAULT(VEC_GP, 0, 0xcf);
	cpu.rflags &= ~RFLAGS_VIP;
	poke(0x37ffe, 0x3103, 2);
	FAULT(VEC_GP, 0, 0xcf); /* TF */
	FAULT(VEC_GP, 0, 0x66, 0xcf);
	/* the map must be in the TSS */
	cpu.seg[SEG_TR].limit = 0x6b;
	FAULT(VEC_GP, 0, 0xcd, 0x21);
	cpu.seg[SEG_TR].limit = 0x66;
	FAULT(VEC_GP, 0, 0xcd, 0x21);
	/* IOPL 3: IF itself; a set bit goes to the IDT */
	machine_vm86(3);
	cpu.cr4 |= CR4_VME;
	cpu.seg[SEG_TR].limit = 0xff;
	poke(TSS + 102, 0x88, 2);
	poke(TSS + 0x68 + 6, 1, 1);
	set_gate(0x30, C32, HANDLER + 0x300, 0xee, 0);
	OK(0xcd, 0x21);
	CHECK_EQ(cpu.rflags, RFLAGS_VM | 0x3002);
	CHECK_EQ(peek(0x37ffe, 2), 0x3202);
	OK(0xcd, 0x30);
	entered(0x30);
}

static void test_long(void)
{
	machine_long(0);
	cpu.gpr[RSP] = STACK - 5; /* aligned down to 16 */
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	entered(0x30);
	CHECK_EQ(cpu.gpr[RSP], STACK - 16 - 40);
	CHECK_EQ(pushed(0, 8), CODE);
	CHECK_EQ(pushed(1, 8), C64);
	CHECK_EQ(pushed(2, 8), 0x202);
	CHECK_EQ(pushed(3, 8), STACK - 5);
	CHECK_EQ(pushed(4, 8), D0);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D0); /* no change of level */
	OK(0x48, 0xcf);
	CHECK_EQ(cpu.gpr[RSP], STACK - 5);

	machine_long(3);
	CHECK_EQ(send_error(VEC_GP, 0x55), CPU_OK);
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.gpr[RSP], STACK0 - 48);
	CHECK_EQ(pushed(0, 8), 0x55);
	CHECK_EQ(pushed(3, 8), 0x10202);
	CHECK_EQ(pushed(4, 8), STACK);
	CHECK_EQ(pushed(5, 8), D3 | 3);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 0);
	CHECK(cpu.seg[SEG_SS].ar & AR_UNUSABLE);
	/* IST, with and without a change of level; upper half of the offset */
	for (unsigned int cpl = 0; cpl <= 3; cpl += 3) {
		machine_long(cpl);
		set_gate(2, C64, 0xffffffff81000000, 0x8e, 1);
		CHECK_EQ(send(EVENT_NMI, 2), CPU_OK);
		CHECK_EQ(cpu.rip, 0xffffffff81000000);
		CHECK_EQ(cpu.gpr[RSP], IST1 - 40);
		CHECK_EQ(cpu.seg[SEG_SS].sel, cpl ? 0 : D0);
		CHECK(cpu.nmi_blocked);
	}
	/* from compatibility mode, with a kernel stack above 4 GiB */
	machine_compat(3);
	poke(PML4 + 256 * 8, PDPT | 0x67, 8);
	poke(TSS + 4, 0xffff800000000000 + STACK0, 8);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], 0xffff800000000000 + STACK0 - 40);
	CHECK_EQ(peek(STACK0 - 40, 8), CODE);
	CHECK_EQ(cpu.code_size, CODE64);
	/* a conforming handler keeps level and stack */
	machine_long(3);
	set_gate(0x30, CONF64, 0x22000, 0x8e, 0);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.gpr[RSP], STACK - 40);
}

/* Which events push RF. */
static void test_rf(void)
{
	for (unsigned int v = 0; v < 32; v++) {
		bool fault = !(v == 1 || v == 2 || v == 3 || v == 4 || v == 8 ||
			       v == 18);

		machine_long(0);
		CHECK_EQ(send(EVENT_EXCEPTION, v), CPU_OK);
		CHECK_EQ(pushed(2, 8), fault ? 0x10202 : 0x202);
		CHECK(!(cpu.rflags & RFLAGS_RF));
		machine_long(0);
		CHECK_EQ(send(EVENT_INTR, v), CPU_OK);
		CHECK_EQ(pushed(2, 8), 0x202);
	}
	machine_long(0);
	cpu.rflags |= RFLAGS_RF;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(pushed(2, 8), 0x10202);
}

static void test_debug(void)
{
	machine_long(0);
	cpu.dr6 = DR6_FIXED | 5 | DR6_BT;
	cpu.dr7 = DR7_FIXED | DR7_GD | 1;
	cpu_raise(&cpu, VEC_DB);
	cpu.fault.address = DR6_BS | 2;
	CHECK_EQ(event_fault(&cpu), CPU_OK);
	entered(1);
	CHECK_EQ(cpu.dr6, DR6_FIXED | 2 | DR6_BS | DR6_BT);
	CHECK_EQ(cpu.dr7, DR7_FIXED | 1);
	CHECK_EQ(pushed(2, 8), 0x202);
	/* general detect is a fault: RF */
	machine_long(0);
	cpu_raise(&cpu, VEC_DB);
	cpu.fault.address = DR6_BD;
	CHECK_EQ(event_fault(&cpu), CPU_OK);
	CHECK_EQ(pushed(2, 8), 0x10202);
	/* ICEBP: no DR6, no DPL check, behind the instruction */
	machine_long(3);
	OK(0xf1);
	entered(1);
	CHECK_EQ(cpu.dr6, DR6_FIXED);
	CHECK_EQ(pushed(0, 8), CODE + 1);
	CHECK_EQ(pushed(2, 8), 0x202);
}

static void test_page_fault(void)
{
	machine_long(3);
	cpu_raise_error(&cpu, VEC_PF, 7);
	cpu.fault.address = 0xdeadbeef000;
	CHECK_EQ(event_fault(&cpu), CPU_OK);
	entered(VEC_PF);
	CHECK_EQ(cpu.cr2, 0xdeadbeef000);
	CHECK_EQ(pushed(0, 8), 7);
}

static void test_soft(void)
{
	machine_long(3);
	set_gate(0x80, C64, HANDLER + 0x800, 0xee, 0);
	OK(0xcd, 0x80);
	entered(0x80);
	CHECK_EQ(pushed(0, 8), CODE + 2);
	CHECK_EQ(pushed(2, 8), 0x202);
	/* DPL below CPL: #GP with the IDT bit, without EXT; at the INT */
	machine_long(3);
	OK(0xcd, 0x81);
	nested(VEC_GP, 0x81 * 8 + 2);
	CHECK_EQ(pushed(1, 8), CODE);
	CHECK_EQ(pushed(3, 8), 0x10202);
	machine_long(3);
	OK(0xcc);
	nested(VEC_GP, 3 * 8 + 2);
	machine_long(3);
	set_gate(3, C64, HANDLER + 48, 0xee, 0);
	OK(0xcc);
	entered(3);
	CHECK_EQ(pushed(0, 8), CODE + 1);
	/* not for hardware events */
	machine_long(3);
	CHECK_EQ(send(EVENT_EXCEPTION, VEC_BP), CPU_OK);
	entered(3);
	machine_prot(3);
	set_gate(4, C32, HANDLER + 64, 0xee, 0);
	OK(0xce); /* INTO without OF */
	CHECK_EQ(cpu.rip, CODE + 1);
	cpu.rflags |= RFLAGS_OF;
	OK(0xce);
	entered(4);
	CHECK_EQ(pushed(0, 4), CODE + 2);
	machine_long(3);
	FAULT(VEC_UD, -1, 0xce);
}

/* Faults in gates and handler segments, hardware event and INT n. */
static void test_bad_gates(void)
{
	static const struct {
		uint16_t sel;
		uint32_t off, ar;
		uint8_t vector;
		uint32_t error;
	} rows[] = {
		{ C32, 0x22000, 0xe0, VEC_GP, 0x30 * 8 + 2 }, /* type 0 */
		{ C32, 0x22000, 0xe9, VEC_GP, 0x30 * 8 + 2 }, /* TSS */
		{ C32, 0x22000, 0xec, VEC_GP, 0x30 * 8 + 2 }, /* call gate */
		{ C32, 0x22000, 0xfe, VEC_GP, 0x30 * 8 + 2 }, /* S = 1 */
		{ C32, 0x22000, 0x6e, VEC_NP, 0x30 * 8 + 2 },
		{ 0, 0x22000, 0xee, VEC_GP, 0 },
		{ 3, 0x22000, 0xee, VEC_GP, 0 },
		{ GDT_END, 0x22000, 0xee, VEC_GP, GDT_END },
		{ D0, 0x22000, 0xee, VEC_GP, D0 },
		{ TR, 0x22000, 0xee, VEC_GP, TR },
		{ C32U, 0x22000, 0xee, VEC_GP, C32U }, /* outward */
		{ C_NP, 0x22000, 0xee, VEC_NP, C_NP },
		{ SMALL, 0x1000, 0xee, VEC_GP, 0 }, /* beyond the limit */
	};

	for (unsigned int n = 0; n < ARRAY_SIZE(rows); n++) {
		machine_prot(0);
		set_gate(0x30, rows[n].sel, rows[n].off, rows[n].ar, 0);
		CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
		nested(rows[n].vector, rows[n].error | 1);
		CHECK_EQ(pushed(1, 4), CODE);
		machine_prot(0);
		set_gate(0x30, rows[n].sel, rows[n].off, rows[n].ar, 0);
		OK(0xcd, 0x30);
		nested(rows[n].vector, rows[n].error);
		CHECK_EQ(pushed(1, 4), CODE);
	}
	machine_prot(0);
	cpu.idt.limit = 0x30 * 8 + 6;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_GP, 0x30 * 8 + 3);
	machine_prot(0);
	cpu.idt.limit = 0x30 * 8 + 7;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	entered(0x30);
}

static void test_bad_gates_long(void)
{
	static const struct {
		uint16_t sel;
		uint64_t off;
		uint32_t ar;
		uint8_t vector;
		uint32_t error;
	} rows[] = {
		{ C64, 0x22000, 0xe6, VEC_GP, 0x30 * 8 + 2 }, /* 16-bit */
		{ C64, 0x22000, 0xe7, VEC_GP, 0x30 * 8 + 2 },
		{ TR, 0, 0xe5, VEC_GP, 0x30 * 8 + 2 }, /* task gate */
		{ C32, 0x22000, 0xee, VEC_GP, C32 },   /* not 64-bit code */
		{ C_LD, 0x22000, 0xee, VEC_GP, C_LD },
		{ C64U, 0x22000, 0xee, VEC_GP, C64U },
		{ C64, 0x0000800000000000, 0xee, VEC_GP, 0 },
	};

	for (unsigned int n = 0; n < ARRAY_SIZE(rows); n++) {
		machine_long(0);
		set_gate(0x30, rows[n].sel, rows[n].off, rows[n].ar, 0);
		CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
		nested(rows[n].vector, rows[n].error | 1);
	}
	machine_long(0);
	cpu.idt.limit = 0x30 * 16 + 14;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_GP, 0x30 * 8 + 3);
}

static void test_bad_stacks(void)
{
	static const struct {
		uint16_t ss;
		uint8_t vector;
		uint32_t error;
	} rows[] = {
		{ 0, VEC_TS, 0 },	{ 0xff8, VEC_TS, 0xff8 },
		{ D0 | 1, VEC_TS, D0 }, { D3, VEC_TS, D3 },
		{ D_RO, VEC_TS, D_RO }, { D_NP, VEC_SS, D_NP },
	};

	/* the handlers of #TS and #SS are conforming: they need no stack */
	for (unsigned int n = 0; n < ARRAY_SIZE(rows); n++) {
		machine_prot(3);
		set_gate(rows[n].vector, CONF, HANDLER + rows[n].vector * 16,
			 0x8e, 0);
		poke(TSS + 8, rows[n].ss, 2);
		CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
		nested(rows[n].vector, rows[n].error | 1);
	}
	machine_prot(3);
	set_gate(VEC_TS, CONF, HANDLER + VEC_TS * 16, 0x8e, 0);
	cpu.seg[SEG_TR].limit = 8;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_TS, TR | 1);
	/* inner stack too small: #SS(SS); the current one: #SS(0) */
	machine_prot(3);
	set_gate(VEC_SS, CONF, HANDLER + VEC_SS * 16, 0x8e, 0);
	poke(TSS + 8, D16, 2);
	poke(TSS + 4, 0x12, 4);
	set_desc(D16, 0x40000, 0x0fff, AR_DATA16);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_SS, D16 | 1);
	machine_long(3);
	set_gate(VEC_TS, CONF64, HANDLER + VEC_TS * 16, 0x8e, 0);
	set_gate(0x30, C64, 0x22000, 0x8e, 7);
	cpu.seg[SEG_TR].limit = 0x5a;
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_TS, TR | 1);
	machine_long(3);
	set_gate(VEC_SS, CONF64, HANDLER + VEC_SS * 16, 0x8e, 0);
	poke(TSS + 4, 0x0000900000000000, 8);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	nested(VEC_SS, 1);
}

/* Makes delivery of @vector raise #GP, #PF or nothing special. */
static void break_gate(uint8_t vector, uint8_t with)
{
	if (with == VEC_GP)
		set_gate(vector, D0, 0, 0x8e, 0);
	else if (with == VEC_PF)
		set_gate(vector, C64, 0x1000, 0x8e, 1); /* IST1 is absent */
}

static void test_double_fault(void)
{
	/* first, fault during its delivery, what is delivered then */
	static const struct {
		uint8_t first, with, want;
	} rows[] = {
		{ VEC_DE, VEC_GP, VEC_DF }, { VEC_TS, VEC_GP, VEC_DF },
		{ VEC_NP, VEC_GP, VEC_DF }, { VEC_SS, VEC_GP, VEC_DF },
		{ VEC_GP, VEC_GP, VEC_DF }, { VEC_DE, VEC_PF, VEC_PF },
		{ VEC_GP, VEC_PF, VEC_PF }, { VEC_PF, VEC_GP, VEC_DF },
		{ VEC_PF, VEC_PF, VEC_DF }, { VEC_UD, VEC_GP, VEC_GP },
		{ VEC_UD, VEC_PF, VEC_PF }, { VEC_BP, VEC_GP, VEC_GP },
		{ VEC_AC, VEC_PF, VEC_PF }, { VEC_MC, VEC_GP, VEC_GP },
	};

	for (unsigned int n = 0; n < ARRAY_SIZE(rows); n++) {
		machine_long(0);
		page_unmap(IST1 - 8);
		break_gate(rows[n].first, rows[n].with);
		CHECK_EQ(send(EVENT_EXCEPTION, rows[n].first), CPU_OK);
		entered(rows[n].want);
		CHECK_EQ(cpu.cr2, rows[n].with == VEC_PF ? IST1 - 8 : 0);
		if (rows[n].want == VEC_DF) {
			CHECK_EQ(pushed(0, 8), 0);
			CHECK_EQ(pushed(3, 8), 0x202);
		} else if (rows[n].want == VEC_PF) {
			CHECK_EQ(pushed(0, 8), PFEC_W); /* no EXT */
		}
	}
	/* interrupts of the same numbers are benign */
	machine_long(0);
	break_gate(VEC_GP + 32, VEC_GP);
	CHECK_EQ(send(EVENT_INTR, VEC_GP + 32), CPU_OK);
	entered(VEC_GP);
	machine_long(0);
	page_unmap(IST1 - 8);
	break_gate(VEC_GP, VEC_PF);
	CHECK_EQ(send(EVENT_INTR, VEC_GP), CPU_OK);
	entered(VEC_PF);
}

static void test_triple_fault(void)
{
	machine_long(3);
	break_gate(VEC_GP, VEC_GP);
	break_gate(VEC_DF, VEC_GP);
	const struct cpu old = cpu;
	CHECK_EQ(send_error(VEC_GP, 0), CPU_EXIT);
	CHECK_EQ(cpu.exit.reason, EXIT_TRIPLE_FAULT);
	CHECK(same_state(&old));
	/* #PF while #DF is delivered: CR2 tells */
	machine_long(3);
	break_gate(VEC_GP, VEC_GP);
	page_unmap(STACK0 - 8);
	CHECK_EQ(send_error(VEC_GP, 0), CPU_EXIT);
	CHECK_EQ(cpu.exit.reason, EXIT_TRIPLE_FAULT);
	CHECK_EQ(cpu.cr2, STACK0 - 8);
	CHECK_EQ(cpu.cpl, 3);
	/* an empty IDT */
	machine_long(0);
	cpu.idt.limit = 0;
	CHECK_EQ(send(EVENT_INTR, 0x20), CPU_EXIT);
	CHECK_EQ(cpu.exit.reason, EXIT_TRIPLE_FAULT);
	CHECK_EQ(cpu.injecting.type, EVENT_NONE);
}

/* A page boundary inside the frame: the upper page's fault comes first. */
static void test_frame_across_pages(void)
{
	machine_long(3);
	poke(TSS + 4, STACK0 + 16, 8);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(peek(STACK0 - 24, 8), CODE);
	CHECK_EQ(peek(STACK0 + 8, 8), D3 | 3);
	machine_long(3);
	poke(TSS + 4, STACK0 + 16, 8);
	set_gate(VEC_PF, CONF64, HANDLER + VEC_PF * 16, 0x8e, 0);
	page_unmap(STACK0);
	page_unmap(STACK0 - 8);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	entered(VEC_PF);
	CHECK_EQ(cpu.cr2, STACK0 + 8);
}

/* A stack that is not RAM: the write is MMIO; tables that are not: a read. */
static void test_mmio(void)
{
	machine_long(0);
	poke(PT + IDT / 4096 * 8, 0x7ff00067, 8);
	CHECK_EQ(send_error(VEC_GP, 0x77), CPU_EXIT);
	CHECK_EQ(cpu.exit.reason, EXIT_EPT_VIOLATION);
	CHECK(cpu.mmio.wants);
	CHECK_EQ(cpu.injecting.type, EVENT_EXCEPTION);
	CHECK_EQ(cpu.injecting.vector, VEC_GP);
	CHECK_EQ(cpu.injecting.error, 0x77);
	CHECK_EQ(cpu.rip, CODE);
	for (unsigned int n = 0; n < 2; n++) {
		const uint64_t gate[2] = { make_gate(C64, HANDLER + VEC_GP * 16,
						     0x8e, 0) };
		struct mmio_frag *f = &cpu.mmio.rd[cpu.mmio.nr_rd++];

		CHECK(cpu.mmio.wants);
		*f = cpu.mmio.want;
		memcpy(f->data, &gate[n], 8);
		CHECK_EQ(event_deliver(&cpu, &cpu.injecting),
			 n ? CPU_OK : CPU_EXIT);
	}
	nested(VEC_GP, 0x77);
	CHECK_EQ(cpu.injecting.type, EVENT_NONE);

	machine_long(3);
	poke(PT + (STACK0 - 8) / 4096 * 8, 0x7ff00067, 8);
	CHECK_EQ(send(EVENT_INTR, 0x30), CPU_OK);
	CHECK_EQ(cpu.mmio.nr_wr, 5);
}

int main(void)
{
	test_real();
	test_prot_same();
	test_prot_inner();
	test_vm86();
	test_vme();
	test_long();
	test_rf();
	test_debug();
	test_page_fault();
	test_soft();
	test_bad_gates();
	test_bad_gates_long();
	test_bad_stacks();
	test_double_fault();
	test_triple_fault();
	test_frame_across_pages();
	test_mmio();
	return test_done();
}
