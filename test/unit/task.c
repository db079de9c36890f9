/*
 * Hardware task switches: JMP, CALL, IRET, task gates and events, with 16- and
 * 32-bit TSSs.
 */
#include "cpu/task.h"

#include "test/machine.h"

#define JMP_FAR32(sel, off)  0xea, IMM32(off), IMM16(sel)
#define CALL_FAR32(sel, off) 0x9a, IMM32(off), IMM16(sel)

/* Offsets in the 32-bit TSS. */
enum {
	T_CR3 = 0x1c,
	T_EIP = 0x20,
	T_EFLAGS = 0x24,
	T_GPR = 0x28,
	T_SEL = 0x48,
	T_LDT = 0x60,
	T_TRAP = 0x64,
};

/* A second task with a 32-bit TSS, available, at level @cpl. */
static void new_task(unsigned int cpl)
{
	const uint16_t data = cpl ? D3 | 3 : D0;

	set_desc(TR2, TSS2, 103, 0x89);
	memset(ram + TSS2, 0, 104);
	poke(TSS2 + T_EIP, 0x22000, 4);
	poke(TSS2 + T_EFLAGS, 0x202, 4);
	for (unsigned int n = 0; n < 8; n++)
		poke(TSS2 + T_GPR + n * 4, 0x1000 * n, 4);
	poke(TSS2 + T_GPR + RSP * 4, STACK3, 4);
	for (unsigned int n = 0; n < 6; n++)
		poke(TSS2 + T_SEL + n * 4, data, 4);
	poke(TSS2 + T_SEL + SEG_CS * 4, cpl ? C32U | 3 : C32, 4);
}

static void machine_task(void)
{
	machine_prot(0);
	for (unsigned int n = 0; n < 8; n++)
		cpu.gpr[n] = n == RSP ? STACK : 0x111 * n;
	new_task(0);
}

static bool busy(uint16_t sel)
{
	return peek(GDT + sel + 5, 1) & 2;
}

static void test_jmp(void)
{
	machine_task();
	cpu.rflags |= RFLAGS_CF;
	cpu.dr7 = 0x4ff | 0x300;
	OK(JMP_FAR32(TR2, 0x999));
	CHECK_EQ(cpu.rip, 0x22000);
	CHECK_EQ(cpu.seg[SEG_TR].sel, TR2);
	CHECK_EQ(cpu.seg[SEG_TR].ar, 0x8b);
	CHECK_EQ(cpu.seg[SEG_TR].base, TSS2);
	CHECK(busy(TR2) && !busy(TR));
	CHECK(cpu.cr0 & CR0_TS);
	CHECK_EQ(cpu.dr7, 0x6aa); /* local breakpoints go */
	CHECK_EQ(cpu.rflags, 0x202);
	CHECK_EQ(cpu.gpr[RBX], 0x3000);
	CHECK_EQ(cpu.gpr[RSP], STACK3);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D0);
	CHECK_EQ(peek(TSS2, 2), 0); /* no back link */
	/* what the old task saved */
	CHECK_EQ(peek(TSS + T_EIP, 4), CODE + 7);
	CHECK_EQ(peek(TSS + T_EFLAGS, 4), 0x203);
	CHECK_EQ(peek(TSS + T_GPR + RDI * 4, 4), 0x777);
	CHECK_EQ(peek(TSS + T_GPR + RSP * 4, 4), STACK);
	CHECK_EQ(peek(TSS + T_SEL + SEG_CS * 4, 2), C32);
	CHECK_EQ(peek(TSS + T_SEL + SEG_GS * 4, 2), D3);
	/* and back */
	OK(JMP_FAR32(TR, 0));
	CHECK_EQ(cpu.rip, CODE + 7);
	CHECK_EQ(cpu.gpr[RDI], 0x777);
	CHECK(busy(TR) && !busy(TR2));
}

static void test_call_iret(void)
{
	machine_task();
	OK(CALL_FAR32(TR2, 0));
	CHECK(busy(TR) && busy(TR2));
	CHECK_EQ(peek(TSS2, 2), TR);
	CHECK_EQ(cpu.rflags, 0x4202);
	CHECK_EQ(peek(TSS + T_EFLAGS, 4), 0x202);
	cpu.nmi_blocked = true;
	OK(0xcf);
	CHECK_EQ(cpu.rip, CODE + 7);
	CHECK_EQ(cpu.seg[SEG_TR].sel, TR);
	CHECK(busy(TR) && !busy(TR2));
	CHECK_EQ(cpu.rflags, 0x202);
	CHECK_EQ(peek(TSS2 + T_EFLAGS, 4), 0x202); /* NT cleared in the image */
	CHECK_EQ(peek(TSS2 + T_EIP, 4), 0x22001);
	CHECK(!cpu.nmi_blocked);
	/* bad back links */
	cpu.rflags |= RFLAGS_NT;
	poke(TSS, TR2 | 4, 2);
	FAULT(VEC_TS, TR2 | 4, 0xcf);
	poke(TSS, TR2, 2); /* not busy */
	FAULT(VEC_TS, TR2, 0xcf);
	poke(TSS, D0, 2);
	FAULT(VEC_TS, D0, 0xcf);
	poke(TSS, 0, 2);
	FAULT(VEC_TS, 0, 0xcf);
	poke(TSS, GDT_END, 2);
	FAULT(VEC_TS, GDT_END, 0xcf);
	poke(TSS, TR2, 2);
	set_desc(TR2, TSS2, 103, 0x0b);
	FAULT(VEC_NP, TR2, 0xcf);
}

static void task_gate(unsigned int dpl, uint16_t sel)
{
	poke(GDT + TGATE, make_gate(sel, 0, 0x85 | dpl << 5, 0), 8);
}

static void test_checks(void)
{
	machine_task();
	FAULT(VEC_GP, TR, JMP_FAR32(TR, 0)); /* busy */
	set_desc(TR2, TSS2, 103, 0x09);
	FAULT(VEC_NP, TR2, JMP_FAR32(TR2, 0));
	set_desc(TR2, TSS2, 102, 0x89);
	FAULT(VEC_TS, TR2, JMP_FAR32(TR2, 0));
	set_desc(TR2, TSS2, 42, 0x81);
	FAULT(VEC_TS, TR2, CALL_FAR32(TR2, 0));
	set_desc(TR2, TSS2, 103, 0x89);
	FAULT(VEC_GP, TR2, JMP_FAR32(TR2 | 3, 0)); /* RPL above DPL */
	set_seg(SEG_LDTR, LDTS);
	poke(LDT + 8, peek(GDT + TR2, 8), 8);
	FAULT(VEC_GP, 12, JMP_FAR32(12, 0)); /* TSS in the LDT */

	task_gate(0, TR2);
	OK(JMP_FAR32(TGATE, 0));
	CHECK_EQ(cpu.seg[SEG_TR].sel, TR2);
	machine_task();
	task_gate(0, TR);
	FAULT(VEC_GP, TR, JMP_FAR32(TGATE, 0));
	task_gate(0, TR2 | 4);
	FAULT(VEC_GP, TR2 | 4, JMP_FAR32(TGATE, 0));
	task_gate(0, GDT_END);
	FAULT(VEC_GP, GDT_END, JMP_FAR32(TGATE, 0));
	task_gate(0, D0);
	FAULT(VEC_GP, D0, JMP_FAR32(TGATE, 0));
	poke(GDT + TGATE, make_gate(TR2, 0, 5, 0), 8);
	FAULT(VEC_NP, TGATE, JMP_FAR32(TGATE, 0));

	machine_prot(3);
	new_task(3);
	task_gate(0, TR2);
	FAULT(VEC_GP, TGATE, JMP_FAR32(TGATE, 0));
	FAULT(VEC_GP, TR2, JMP_FAR32(TR2, 0));
	task_gate(3, TR2); /* the TSS's own DPL does not matter then */
	OK(CALL_FAR32(TGATE, 0));
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.rip, 0x22000);
}

/* Faults that are raised in the new task. */
static void fault_inside(unsigned int reg, uint16_t sel, uint8_t vector,
			 uint32_t error)
{
	machine_task();
	poke(TSS2 + T_SEL + reg * 4, sel, 4);
	CHECK_EQ(RUN(JMP_FAR32(TR2, 0)), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, vector);
	CHECK(cpu.fault.has_error);
	CHECK_EQ(cpu.fault.error, error);
	CHECK_EQ(cpu.seg[SEG_TR].sel, TR2);
	CHECK_EQ(cpu.rip, 0x22000);
	CHECK_EQ(cpu.gpr[RBX], 0x3000);
}

static void test_faults_inside(void)
{
	fault_inside(SEG_CS, 0, VEC_TS, 0);
	fault_inside(SEG_CS, GDT_END, VEC_TS, GDT_END);
	fault_inside(SEG_CS, D0, VEC_TS, D0);
	fault_inside(SEG_CS, C32 | 3, VEC_TS, C32);
	fault_inside(SEG_CS, C32U, VEC_TS, C32U);
	fault_inside(SEG_CS, C_NP, VEC_NP, C_NP);
	fault_inside(SEG_SS, 0, VEC_TS, 0);
	fault_inside(SEG_SS, D0 | 1, VEC_TS, D0);
	fault_inside(SEG_SS, D3, VEC_TS, D3);
	fault_inside(SEG_SS, D_RO, VEC_TS, D_RO);
	fault_inside(SEG_SS, D_NP, VEC_SS, D_NP);
	fault_inside(SEG_DS, D0 | 3, VEC_TS, D0);
	fault_inside(SEG_ES, C_XO, VEC_TS, C_XO);
	fault_inside(SEG_FS, GDT_END, VEC_TS, GDT_END);
	fault_inside(SEG_GS, D_NP, VEC_NP, D_NP);
	fault_inside(SEG_LDTR, TR, VEC_TS, TR); /* its slot follows GS */
	fault_inside(SEG_LDTR, LDTS | 4, VEC_TS, LDTS | 4);
	/* EIP beyond the limit */
	machine_task();
	poke(TSS2 + T_SEL + SEG_CS * 4, SMALL, 4);
	CHECK_EQ(RUN(JMP_FAR32(TR2, 0)), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_GP);
	CHECK_EQ(cpu.rip, 0x22000);
	/* null data segments and a good LDT */
	machine_task();
	poke(TSS2 + T_SEL + SEG_DS * 4, 0, 4);
	poke(TSS2 + T_LDT, LDTS, 4);
	OK(JMP_FAR32(TR2, 0));
	CHECK(cpu.seg[SEG_DS].ar & AR_UNUSABLE);
	CHECK_EQ(cpu.seg[SEG_LDTR].base, LDT);
}

static void test_trap_bit(void)
{
	machine_task();
	poke(TSS2 + T_TRAP, 1, 2);
	CHECK_EQ(RUN(JMP_FAR32(TR2, 0)), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_DB);
	CHECK_EQ(cpu.fault.address, DR6_BT);
	CHECK_EQ(event_fault(&cpu), CPU_OK);
	CHECK_EQ(cpu.rip, HANDLER + 16);
	CHECK(cpu.dr6 & DR6_BT);
	CHECK_EQ(peek(cpu.gpr[RSP], 4), 0x22000);
}

static void test_vm86_task(void)
{
	machine_task();
	poke(TSS2 + T_EFLAGS, RFLAGS_VM | 2, 4);
	poke(TSS2 + T_EIP, 0x100, 4);
	poke(TSS2 + T_SEL + SEG_CS * 4, 0x2000, 4);
	poke(TSS2 + T_SEL + SEG_DS * 4, 0x1234, 4);
	OK(JMP_FAR32(TR2, 0));
	CHECK(cpu_vm86(&cpu));
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x20000);
	CHECK_EQ(cpu.seg[SEG_DS].base, 0x12340);
	CHECK_EQ(cpu.code_size, CODE16);
}

static void test_event(void)
{
	struct event ev = { .type = EVENT_EXCEPTION,
			    .vector = VEC_DF,
			    .has_error = true };

	machine_prot(3);
	new_task(0);
	poke(IDT + VEC_DF * 8, make_gate(TR2, 0, 0x85, 0), 8);
	CHECK_EQ(event_deliver(&cpu, &ev), CPU_OK);
	CHECK_EQ(cpu.rip, 0x22000);
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.rflags, 0x4202);
	CHECK_EQ(cpu.gpr[RSP], STACK3 - 4); /* the error code */
	CHECK_EQ(peek(STACK3 - 4, 4), 0);
	CHECK_EQ(peek(TSS + T_EIP, 4), CODE);
	CHECK_EQ(peek(TSS + T_SEL + SEG_CS * 4, 2), C32U | 3);
	CHECK_EQ(peek(TSS2, 2), TR);
	CHECK(busy(TR) && busy(TR2));
	OK(0xcf);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.rip, CODE);
	/* INT n through a task gate: DPL of the gate, next RIP */
	machine_prot(3);
	new_task(0);
	poke(IDT + 0x30 * 8, make_gate(TR2, 0, 0xe5, 0), 8);
	OK(0xcd, 0x30);
	CHECK_EQ(cpu.rip, 0x22000);
	CHECK_EQ(peek(TSS + T_EIP, 4), CODE + 2);
	/* fault-class exception: RF in the saved image */
	machine_prot(0);
	new_task(0);
	poke(IDT + VEC_UD * 8, make_gate(TR2, 0, 0x85, 0), 8);
	ev = (struct event){ .type = EVENT_EXCEPTION, .vector = VEC_UD };
	CHECK_EQ(event_deliver(&cpu, &ev), CPU_OK);
	CHECK_EQ(peek(TSS + T_EFLAGS, 4), 0x10202);
	CHECK_EQ(cpu.gpr[RSP], STACK3);
	/* a gate to a busy TSS: #GP(TSS + EXT) */
	machine_prot(0);
	poke(IDT + 0x30 * 8, make_gate(TR, 0, 0x85, 0), 8);
	ev = (struct event){ .type = EVENT_INTR, .vector = 0x30 };
	CHECK_EQ(event_deliver(&cpu, &ev), CPU_OK);
	CHECK_EQ(cpu.rip, HANDLER + VEC_GP * 16);
	CHECK_EQ(peek(cpu.gpr[RSP], 4), TR | 1);
	/* a fault in the new task is delivered there */
	machine_prot(0);
	new_task(0);
	poke(TSS2 + T_SEL + SEG_GS * 4, D_NP, 4);
	poke(IDT + 0x30 * 8, make_gate(TR2, 0, 0x85, 0), 8);
	CHECK_EQ(event_deliver(&cpu, &ev), CPU_OK);
	CHECK_EQ(cpu.rip, HANDLER + VEC_NP * 16);
	CHECK_EQ(cpu.seg[SEG_TR].sel, TR2);
	CHECK_EQ(peek(cpu.gpr[RSP], 4), D_NP | 1);
	CHECK_EQ(peek(cpu.gpr[RSP] + 4, 4), 0x22000);
}

static void test_16bit(void)
{
	machine_task();
	set_desc(TR2, TSS2, 43, 0x81);
	memset(ram + TSS2, 0, 44);
	poke(TSS2 + 14, 0x100, 2);
	poke(TSS2 + 16, 0x203, 2);
	for (unsigned int n = 0; n < 8; n++)
		poke(TSS2 + 18 + n * 2, 0x2000 + n, 2);
	poke(TSS2 + 34, D3, 2);
	poke(TSS2 + 36, C16, 2);
	poke(TSS2 + 38, D16, 2);
	poke(TSS2 + 40, D0, 2);
	OK(CALL_FAR32(TR2, 0));
	CHECK_EQ(cpu.rip, 0x100);
	CHECK_EQ(cpu.code_size, CODE16);
	CHECK_EQ(cpu.rflags, 0x4203);
	CHECK_EQ(cpu.gpr[RDI], 0x2007);
	CHECK_EQ(cpu.seg[SEG_DS].sel, D0);
	CHECK(cpu.seg[SEG_FS].ar & AR_UNUSABLE);
	CHECK_EQ(cpu.seg[SEG_TR].ar, 0x83);
	CHECK_EQ(peek(TSS2, 2), TR);
	OK(0xcf);
	CHECK_EQ(cpu.rip, CODE + 7);
	CHECK_EQ(peek(TSS2 + 14, 2), 0x101);
	CHECK_EQ(peek(TSS2 + 16, 2), 0x203);
	CHECK_EQ(peek(TSS2 + 32, 2), 0x2007);
	CHECK_EQ(peek(TSS2 + 42, 2), 0); /* LDT is not saved */
}

static void test_cr3(void)
{
	machine_task();
	/* 32-bit paging: one 4 MiB page, then a second table alike */
	poke(0x6000, 0x87, 4);
	poke(0x7000, 0x87, 4);
	cpu.cr4 = CR4_PSE;
	cpu.cr0 |= CR0_PG;
	cpu.mmu.cr3 = 0x6000;
	cpu_derive(&cpu);
	poke(TSS2 + T_CR3, 0x7000, 4);
	OK(JMP_FAR32(TR2, 0));
	CHECK_EQ(cpu.mmu.cr3, 0x7000);
	/* the new TSS's page is absent: nothing has happened */
	machine_task();
	poke(0x6000, 0x7007, 4);
	for (uint32_t n = 0; n < 0x200; n++)
		poke(0x7000 + n * 4, n << 12 | 7, 4);
	poke(0x7000 + TSS2 / 4096 * 4, 0, 4);
	cpu.cr0 |= CR0_PG;
	cpu.mmu.cr3 = 0x6000;
	cpu_derive(&cpu);
	FAULT(VEC_PF, 0, JMP_FAR32(TR2, 0));
	CHECK(busy(TR) && !busy(TR2));
}

static void test_long(void)
{
	machine_compat(0);
	set_desc(TR2, TSS2, 103, 0x89);
	FAULT(VEC_GP, TR2, JMP_FAR32(TR2, 0));
	task_gate(0, TR2);
	FAULT(VEC_GP, TGATE, CALL_FAR32(TGATE, 0));
}

int main(void)
{
	test_jmp();
	test_call_iret();
	test_checks();
	test_faults_inside();
	test_trap_bit();
	test_vm86_task();
	test_event();
	test_16bit();
	test_cr3();
	test_long();
	return test_done();
}
