/*
 * Far JMP, CALL and RET, IRET, SYSCALL, SYSENTER and their returns, SWAPGS,
 * the FS and GS base.
 */
#include "cpu/far.h"

#include "test/machine.h"

#define JMP_FAR32(sel, off)  0xea, IMM32(off), IMM16(sel)
#define CALL_FAR32(sel, off) 0x9a, IMM32(off), IMM16(sel)
#define JMP_FAR_MEM	     0xff, 0x2b /* [rbx], 16:32 */
#define CALL_FAR_MEM	     0xff, 0x1b
#define RETF		     0xcb
#define RETF_IMM(n)	     0xca, IMM16(n)
#define IRET		     0xcf
#define IRETQ		     0x48, 0xcf

/* A far pointer at DATA, addressed by RBX. */
static void pointer(uint16_t sel, uint64_t off, unsigned int size)
{
	cpu.gpr[RBX] = DATA;
	poke(DATA, off, size);
	poke(DATA + size, sel, 2);
}

/* Values on the current stack, in the order they are popped. */
static void stack(unsigned int size, unsigned int n, const uint64_t *v)
{
	uint64_t sp = cpu.seg[SEG_SS].base + cpu.gpr[RSP];

	if (cpu_64bit(&cpu))
		sp = cpu.gpr[RSP];
	for (unsigned int k = 0; k < n; k++)
		poke(sp + k * size, v[k], size);
}

#define ON_STACK(size, ...)                                                    \
	stack(size, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8,                   \
	      (uint64_t[]){ __VA_ARGS__ })

static void test_jmp_direct(void)
{
	machine_prot(0);
	OK(JMP_FAR32(C32, 0x22000));
	CHECK_EQ(cpu.rip, 0x22000);
	OK(JMP_FAR32(C32 | 0, 0xfffffff0));
	OK(0x66, 0xea, IMM16(0x10), IMM16(C16)); /* ptr16:16 */
	CHECK_EQ(cpu.rip, 0x10);
	CHECK_EQ(cpu.code_size, CODE16);
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x20000);
	machine_prot(0);
	FAULT(VEC_GP, 0, JMP_FAR32(0, 0));
	FAULT(VEC_GP, 0, JMP_FAR32(3, 0));
	FAULT(VEC_GP, GDT_END, JMP_FAR32(GDT_END, 0));
	FAULT(VEC_GP, D0, JMP_FAR32(D0, 0));
	FAULT(VEC_GP, C32, JMP_FAR32(C32 | 3, 0)); /* RPL above CPL */
	FAULT(VEC_GP, C32U, JMP_FAR32(C32U, 0));   /* DPL is not CPL */
	FAULT(VEC_GP, C1, JMP_FAR32(C1, 0));
	FAULT(VEC_NP, C_NP, JMP_FAR32(C_NP, 0));
	FAULT(VEC_GP, 0, JMP_FAR32(SMALL, 0x1000)); /* beyond the limit */
	OK(JMP_FAR32(SMALL, 0xfff));
	machine_prot(0);
	OK(JMP_FAR32(CONF | 3, 0x5000)); /* conforming: RPL ignored */
	CHECK_EQ(cpu.seg[SEG_CS].sel, CONF);
	machine_prot(3);
	OK(JMP_FAR32(CONF, 0x5000)); /* stays at CPL 3 */
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.seg[SEG_CS].sel, CONF | 3);
	FAULT(VEC_GP, C32, JMP_FAR32(C32, 0));
	OK(JMP_FAR32(C32U, 0)); /* RPL 0 becomes CPL */
	CHECK_EQ(cpu.seg[SEG_CS].sel, C32U | 3);
	/* a conforming segment of an outer level */
	machine_prot(0);
	set_desc(CONF, 0, 0xfffff, AR_CODE32 | 4 | AR_U);
	FAULT(VEC_GP, CONF, JMP_FAR32(CONF, 0));
	/* accessed bit */
	set_desc(C16, 0, 0xffff, AR_CODE16 & ~1);
	OK(JMP_FAR32(C16, 0));
	CHECK_EQ(peek(GDT + C16 + 5, 1), 0x9b);
}

static void test_jmp_long(void)
{
	machine_long(0);
	FAULT(VEC_UD, -1, JMP_FAR32(C32, 0));
	pointer(C64, 0x22000, 4);
	OK(JMP_FAR_MEM);
	CHECK_EQ(cpu.rip, 0x22000);
	pointer(C64, 0xffffffff80001000, 8);
	OK(0x48, JMP_FAR_MEM);
	CHECK_EQ(cpu.rip, 0xffffffff80001000);
	pointer(C64, 0x0000800000000000, 8);
	FAULT(VEC_GP, 0, 0x48, JMP_FAR_MEM);
	pointer(C_LD, 0, 4);
	FAULT(VEC_GP, C_LD, JMP_FAR_MEM);
	pointer(TR, 0, 4);
	FAULT(VEC_GP, TR, JMP_FAR_MEM);
	/* to compatibility mode and back */
	pointer(C32, 0x12345678, 4);
	OK(JMP_FAR_MEM);
	CHECK_EQ(cpu.code_size, CODE32);
	CHECK_EQ(cpu.rip, 0x12345678);
	OK(JMP_FAR32(C64, 0x1000));
	CHECK_EQ(cpu.code_size, CODE64);
	pointer(SMALL, 0x1000, 4);
	FAULT(VEC_GP, 0, JMP_FAR_MEM);
	page_unmap(DATA);
	FAULT(VEC_PF, 0, JMP_FAR_MEM);
}

static void test_real(void)
{
	machine_real();
	OK(0xea, IMM16(0x1234), IMM16(0x5000));
	CHECK_EQ(cpu.rip, 0x1234);
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x50000);
	OK(0x9a, IMM16(0x10), IMM16(0x6000));
	CHECK_EQ(cpu.rip, 0x10);
	CHECK_EQ(cpu.gpr[RSP], 0x7ffc);
	CHECK_EQ(peek(0x47ffc, 4), 0x50001239);
	OK(RETF);
	CHECK_EQ(cpu.rip, 0x1239);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x5000);
	CHECK_EQ(cpu.gpr[RSP], 0x8000);
	FAULT(VEC_GP, 0, 0x66, 0xea, IMM32(0x10000), IMM16(0x5000));
	OK(0x66, 0x9a, IMM32(0x100), IMM16(0x1000));
	CHECK_EQ(cpu.gpr[RSP], 0x7ff8);
	CHECK_EQ(peek(0x47ffc, 4), 0x5000);
	OK(0x66, RETF_IMM(6));
	CHECK_EQ(cpu.gpr[RSP], 0x8006);
	ON_STACK(4, 0x10000, 0x2000);
	FAULT(VEC_GP, 0, 0x66, RETF);
	cpu.gpr[RSP] = 1;
	FAULT(VEC_SS, 0, 0x9a, IMM16(0), IMM16(0));
	cpu.gpr[RSP] = 0; /* wraps */
	OK(0x9a, IMM16(0), IMM16(0x2000));
	CHECK_EQ(cpu.gpr[RSP], 0xfffc);
	cpu.gpr[RSP] = 0xffff;
	FAULT(VEC_SS, 0, RETF);
	machine_vm86(0);
	OK(0xea, IMM16(0x1234), IMM16(0x5000));
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x50000);
	CHECK_EQ(cpu.seg[SEG_CS].ar, 0xf3);
	OK(0x9a, IMM16(0x10), IMM16(0x6000));
	OK(RETF);
	CHECK_EQ(cpu.rip, 0x1239);
}

static void test_call_direct(void)
{
	machine_prot(0);
	OK(CALL_FAR32(CONF, 0x22000));
	CHECK_EQ(cpu.gpr[RSP], STACK - 8);
	CHECK_EQ(peek(STACK - 8, 4), CODE + 7);
	CHECK_EQ(peek(STACK - 4, 4), C32);
	CHECK_EQ(cpu.rip, 0x22000);
	OK(RETF);
	CHECK_EQ(cpu.rip, CODE + 7);
	CHECK_EQ(cpu.gpr[RSP], STACK);
	OK(0x66, 0x9a, IMM16(0x10), IMM16(C16));
	CHECK_EQ(cpu.gpr[RSP], STACK - 4);
	CHECK_EQ(peek(STACK - 4, 2), (CODE + 13) & 0xffff);
	machine_prot(0);
	FAULT(VEC_GP, 0, CALL_FAR32(0, 0));
	FAULT(VEC_GP, C32U, CALL_FAR32(C32U, 0));
	FAULT(VEC_NP, C_NP, CALL_FAR32(C_NP, 0));
	FAULT(VEC_GP, 0, CALL_FAR32(SMALL, 0x1000));
	/* no room: #SS before the check of the target */
	cpu.seg[SEG_SS].limit = STACK - 2;
	FAULT(VEC_SS, 0, CALL_FAR32(SMALL, 0x1000));
	machine_long(0);
	pointer(C64, 0x22000, 4);
	OK(CALL_FAR_MEM);
	CHECK_EQ(cpu.gpr[RSP], STACK - 8);
	CHECK_EQ(peek(STACK - 8, 4), CODE + 2);
	OK(RETF);
	CHECK_EQ(cpu.rip, CODE + 2);
	pointer(C64, 0xffffffff80000000, 8);
	OK(0x48, CALL_FAR_MEM);
	CHECK_EQ(cpu.gpr[RSP], STACK - 16);
	CHECK_EQ(peek(STACK - 16, 8), CODE + 5);
	CHECK_EQ(peek(STACK - 8, 8), C64);
	OK(0x48, RETF);
	CHECK_EQ(cpu.rip, CODE + 5);
	cpu.gpr[RSP] = STACK;
	page_unmap(STACK - 8);
	FAULT(VEC_PF, PFEC_W, 0x48, CALL_FAR_MEM);
}

static void call_gate(unsigned int dpl, uint16_t sel, uint64_t off,
		      unsigned int type, unsigned int params)
{
	poke(GDT + GATE, make_gate(sel, off, 0x80 | dpl << 5 | type, params),
	     8);
	poke(GDT + GATE + 8, off >> 32, 8);
}

static void test_gate_same(void)
{
	machine_prot(0);
	call_gate(0, C32, 0x22000, 12, 0);
	OK(JMP_FAR32(GATE, 0x999)); /* the offset is not used */
	CHECK_EQ(cpu.rip, 0x22000);
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.gpr[RSP], STACK - 8);
	CHECK_EQ(peek(STACK - 8, 4), 0x22007);
	call_gate(0, C16, 0x10022000, 4, 0); /* 16-bit gate */
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.gpr[RSP], STACK - 12);
	CHECK_EQ(cpu.rip, 0x2000);
	CHECK_EQ(cpu.code_size, CODE16);
	machine_prot(0);
	call_gate(0, C32, 0x22000, 12, 0);
	FAULT(VEC_GP, GATE, JMP_FAR32(GATE | 3, 0));
	call_gate(0, 0, 0x22000, 12, 0);
	FAULT(VEC_GP, 0, JMP_FAR32(GATE, 0));
	call_gate(0, D0, 0x22000, 12, 0);
	FAULT(VEC_GP, D0, JMP_FAR32(GATE, 0));
	call_gate(0, C_NP, 0x22000, 12, 0);
	FAULT(VEC_NP, C_NP, CALL_FAR32(GATE, 0));
	call_gate(0, SMALL, 0x1000, 12, 0);
	FAULT(VEC_GP, 0, CALL_FAR32(GATE, 0));
	call_gate(0, C32U, 0, 12, 0);
	FAULT(VEC_GP, C32U, CALL_FAR32(GATE, 0)); /* outward */
	call_gate(0, 0xff8, 0, 12, 0);
	FAULT(VEC_GP, 0xff8, CALL_FAR32(GATE, 0));
	poke(GDT + GATE, make_gate(C32, 0, 12, 0), 8);
	FAULT(VEC_NP, GATE, CALL_FAR32(GATE, 0));
	machine_prot(3);
	call_gate(0, C32, 0, 12, 0);
	FAULT(VEC_GP, GATE, CALL_FAR32(GATE, 0)); /* gate DPL below CPL */
	call_gate(3, C32, 0, 12, 0);
	FAULT(VEC_GP, C32, JMP_FAR32(GATE, 0)); /* JMP cannot go inward */
	call_gate(3, CONF, 0x5000, 12, 0);
	OK(JMP_FAR32(GATE, 0));
	CHECK_EQ(cpu.cpl, 3);
	OK(CALL_FAR32(GATE | 3, 0)); /* conforming: no stack switch */
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.gpr[RSP], STACK - 8);
}

static void test_gate_inner(void)
{
	machine_prot(3);
	call_gate(3, C32 | 3, 0x22000, 12, 3);
	ON_STACK(4, 0x11, 0x22, 0x33, 0x44);
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.seg[SEG_CS].sel, C32);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D0);
	CHECK_EQ(cpu.rip, 0x22000);
	CHECK_EQ(cpu.gpr[RSP], STACK0 - 28);
	CHECK_EQ(peek(STACK0 - 4, 4), D3 | 3);
	CHECK_EQ(peek(STACK0 - 8, 4), STACK);
	CHECK_EQ(peek(STACK0 - 12, 4), 0x33);
	CHECK_EQ(peek(STACK0 - 16, 4), 0x22);
	CHECK_EQ(peek(STACK0 - 20, 4), 0x11);
	CHECK_EQ(peek(STACK0 - 24, 4), C32U | 3);
	CHECK_EQ(peek(STACK0 - 28, 4), CODE + 7);
	/* and back, dropping the parameters on both stacks */
	set_seg(SEG_DS, D0);
	set_seg(SEG_FS, CONF);
	OK(RETF_IMM(12));
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.rip, CODE + 7);
	CHECK_EQ(cpu.gpr[RSP], STACK + 12);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D3 | 3);
	CHECK_EQ(cpu.seg[SEG_DS].sel, 0);
	CHECK(cpu.seg[SEG_DS].ar & AR_UNUSABLE);
	CHECK_EQ(cpu.seg[SEG_FS].sel, CONF); /* conforming code stays */
	CHECK_EQ(cpu.seg[SEG_ES].sel, D3 | 3);

	machine_prot(3);
	call_gate(3, C1, 0x22000, 12, 0); /* to level 1 */
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.cpl, 1);
	CHECK_EQ(cpu.seg[SEG_CS].sel, C1 | 1);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D1 | 1);
	CHECK_EQ(cpu.gpr[RSP], STACK1 - 16);
	/* a 16-bit gate pushes words */
	machine_prot(3);
	call_gate(3, C16, 0x100, 4, 2);
	ON_STACK(2, 0x1111, 0x2222, 0x3333);
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.gpr[RSP], STACK0 - 12);
	CHECK_EQ(peek(STACK0 - 8, 4), 0x22221111);
	CHECK_EQ(cpu.cpl, 0);
}

static void test_gate_inner_faults(void)
{
	machine_prot(3);
	call_gate(3, C32, 0x22000, 12, 2);
	poke(TSS + 8, 0, 2);
	FAULT(VEC_TS, 0, CALL_FAR32(GATE, 0));
	poke(TSS + 8, 0xff8, 2);
	FAULT(VEC_TS, 0xff8, CALL_FAR32(GATE, 0));
	poke(TSS + 8, D0 | 1, 2); /* RPL */
	FAULT(VEC_TS, D0, CALL_FAR32(GATE, 0));
	poke(TSS + 8, D_RO, 2);
	FAULT(VEC_TS, D_RO, CALL_FAR32(GATE, 0));
	poke(TSS + 8, C32, 2);
	FAULT(VEC_TS, C32, CALL_FAR32(GATE, 0));
	poke(TSS + 8, D3, 2); /* DPL */
	FAULT(VEC_TS, D3, CALL_FAR32(GATE, 0));
	poke(TSS + 8, D_NP, 2);
	FAULT(VEC_SS, D_NP, CALL_FAR32(GATE, 0));
	poke(TSS + 8, D_DOWN, 2); /* no room above the limit */
	poke(TSS + 4, 0x100010, 4);
	FAULT(VEC_SS, D_DOWN, CALL_FAR32(GATE, 0));
	poke(TSS + 4, STACK0, 4);
	poke(TSS + 8, D0, 2);
	/* parameters beyond the caller's stack */
	cpu.seg[SEG_SS].limit = STACK + 6;
	FAULT(VEC_SS, 0, CALL_FAR32(GATE, 0));
	/* the target's limit comes first */
	call_gate(3, SMALL, 0x1000, 12, 2);
	FAULT(VEC_GP, 0, CALL_FAR32(GATE, 0));
	cpu.seg[SEG_SS].limit = ~0u;
	call_gate(3, C32, 0x22000, 12, 0);
	cpu.seg[SEG_TR].limit = 8;
	FAULT(VEC_TS, TR, CALL_FAR32(GATE, 0));
	cpu.seg[SEG_TR].limit = 9;
	OK(CALL_FAR32(GATE, 0));
	/* stack of a 16-bit TSS */
	machine_prot(3);
	call_gate(3, C32, 0x22000, 12, 0);
	cpu.seg[SEG_TR].ar = 0x83;
	cpu.seg[SEG_TR].limit = 43;
	poke(TSS + 2, 0x8000, 2);
	poke(TSS + 4, D16, 2);
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.gpr[RSP], 0x7ff0);
	CHECK_EQ(peek(0x47ff0, 4), CODE + 7);
}

static void test_gate_long(void)
{
	machine_long(3);
	call_gate(3, C64, 0xffffffff80001000, 12, 5); /* no parameters */
	pointer(GATE, 0, 4);
	OK(CALL_FAR_MEM);
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.rip, 0xffffffff80001000);
	CHECK_EQ(cpu.gpr[RSP], STACK0 - 32);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 0);
	CHECK(cpu.seg[SEG_SS].ar & AR_UNUSABLE);
	CHECK_EQ(peek(STACK0 - 8, 8), D3 | 3);
	CHECK_EQ(peek(STACK0 - 16, 8), STACK);
	CHECK_EQ(peek(STACK0 - 24, 8), C64U | 3);
	CHECK_EQ(peek(STACK0 - 32, 8), CODE + 2);
	OK(0x48, RETF);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.rip, CODE + 2);
	CHECK_EQ(cpu.gpr[RSP], STACK);

	machine_long(3);
	pointer(GATE, 0, 4);
	call_gate(3, C32, 0x1000, 12, 0); /* must be 64-bit code */
	FAULT(VEC_GP, C32, CALL_FAR_MEM);
	call_gate(3, C_LD, 0x1000, 12, 0);
	FAULT(VEC_GP, C_LD, CALL_FAR_MEM);
	call_gate(3, C64, 0x1000, 4, 0); /* no 16-bit gates */
	FAULT(VEC_GP, GATE, CALL_FAR_MEM);
	call_gate(3, C64, 0x0000800000000000, 12, 0);
	FAULT(VEC_GP, 0, CALL_FAR_MEM);
	call_gate(3, C64, 0x1000, 12, 0);
	poke(TSS + 4, 0x0000900000000000, 8);
	FAULT(VEC_SS, 0, CALL_FAR_MEM);
	poke(TSS + 4, STACK0, 8);
	poke(GDT + GATE + 8, 0x0000010000000000, 8);
	FAULT(VEC_GP, GATE, CALL_FAR_MEM);
	call_gate(3, C64, 0x1000, 12, 0);
	cpu.seg[SEG_TR].limit = 10;
	FAULT(VEC_TS, TR, CALL_FAR_MEM);
	cpu.seg[SEG_TR].limit = 103;
	cpu.gdt.limit = GATE + 14;
	FAULT(VEC_GP, GATE, CALL_FAR_MEM);
	cpu.gdt.limit = GATE + 15;
	OK(CALL_FAR_MEM);
	/* from compatibility mode */
	machine_compat(3);
	call_gate(3, C64, 0x1000, 12, 0);
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.code_size, CODE64);
	CHECK_EQ(peek(STACK0 - 32, 8), CODE + 7);
	OK(0x48, RETF);
	CHECK_EQ(cpu.code_size, CODE32);
	/* conforming 64-bit code: 8-byte pushes on the old stack */
	call_gate(3, CONF64, 0x1000, 12, 0);
	OK(CALL_FAR32(GATE, 0));
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.gpr[RSP], STACK - 16);
}

static void test_retf(void)
{
	machine_prot(0);
	ON_STACK(4, 0x1000, C32);
	OK(RETF_IMM(0x10));
	CHECK_EQ(cpu.gpr[RSP], STACK + 0x18);
	machine_prot(0);
	ON_STACK(4, 0x1000, 0);
	FAULT(VEC_GP, 0, RETF);
	ON_STACK(4, 0x1000, D0);
	FAULT(VEC_GP, D0, RETF);
	ON_STACK(4, 0x1000, GDT_END);
	FAULT(VEC_GP, GDT_END, RETF);
	ON_STACK(4, 0x1000, C_NP);
	FAULT(VEC_NP, C_NP, RETF);
	ON_STACK(4, 0x1000, C32 | 3); /* DPL is not RPL */
	FAULT(VEC_GP, C32, RETF);
	ON_STACK(4, 0x1000, SMALL);
	FAULT(VEC_GP, 0, RETF);
	ON_STACK(4, 0x1000, C32U | 3, STACK3, D3 | 3);
	OK(RETF);
	CHECK_EQ(cpu.gpr[RSP], STACK3);
	CHECK_EQ(cpu.cpl, 3);
	ON_STACK(4, 0x1000, C32);
	FAULT(VEC_GP, C32, RETF); /* inward */
	ON_STACK(4, 0x1000, CONF | 3);
	OK(RETF);

	machine_prot(0);
	ON_STACK(4, 0x1000, C32U | 3, STACK3, 0);
	FAULT(VEC_GP, 0, RETF);
	ON_STACK(4, 0x1000, C32U | 3, STACK3, D3); /* RPL */
	FAULT(VEC_GP, D3, RETF);
	ON_STACK(4, 0x1000, C32U | 3, STACK3, D0 | 3);
	FAULT(VEC_GP, D0, RETF);
	ON_STACK(4, 0x1000, C32U | 3, STACK3, D_RO3 | 3);
	FAULT(VEC_GP, D_RO3, RETF);
	set_desc(D16U, 0, 0xffff, (AR_DATA16 | AR_U) & ~AR_P);
	ON_STACK(4, 0x1000, C32U | 3, STACK3, D16U | 3);
	FAULT(VEC_SS, D16U, RETF);
	cpu.seg[SEG_SS].limit = STACK + 10;
	FAULT(VEC_SS, 0, RETF);
	cpu.seg[SEG_SS].limit = STACK + 6;
	FAULT(VEC_SS, 0, RETF);
	/* to a 16-bit stack: the upper half of ESP stays */
	cpu.seg[SEG_SS].limit = ~0u;
	set_desc(D16U, 0x30000, 0xffff, AR_DATA16 | AR_U);
	ON_STACK(4, 0x1000, C32U | 3, 0x12345678, D16U | 3);
	OK(RETF);
	CHECK_EQ(cpu.gpr[RSP], 0x45678);

	machine_long(0);
	ON_STACK(8, 0xffff800000000000, C64);
	OK(0x48, RETF);
	machine_long(0);
	ON_STACK(8, 0x0000800000000000, C64);
	FAULT(VEC_GP, 0, 0x48, RETF);
	ON_STACK(8, 0x1000, C_LD);
	FAULT(VEC_GP, C_LD, 0x48, RETF);
	ON_STACK(8, 0x1000, C64U | 3, 0x7000, 0);
	FAULT(VEC_GP, 0, 0x48, RETF); /* null SS at CPL 3 */
	set_desc(C1, 0, 0xfffff, AR_CODE64 | 0x20);
	ON_STACK(8, 0x1000, C1 | 1, 0x7000, 1);
	OK(0x48, RETF);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 1);
	CHECK_EQ(AR_DPL(cpu.seg[SEG_SS].ar), 1);
}

static void test_iret_real(void)
{
	machine_real();
	ON_STACK(2, 0x1234, 0x5000, 0xffff);
	cpu.nmi_blocked = true;
	OK(IRET);
	CHECK_EQ(cpu.rip, 0x1234);
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x50000);
	CHECK_EQ(cpu.rflags, 0x7fd7);
	CHECK_EQ(cpu.gpr[RSP], 0x8006);
	CHECK(!cpu.nmi_blocked);
	ON_STACK(4, 0x1234, 0x5000, 0xffffffff);
	OK(0x66, IRET);
	CHECK_EQ(cpu.rflags, 0x257fd7);
	ON_STACK(4, 0x10000, 0x5000, 2);
	FAULT(VEC_GP, 0, 0x66, IRET);

	machine_vm86(3);
	ON_STACK(2, 0x1234, 0x5000, 0x0fd7);
	OK(IRET);
	CHECK_EQ(cpu.rflags, RFLAGS_VM | 0x3fd7); /* IOPL stays */
	ON_STACK(4, 0x1234, 0x5000, 0);
	OK(0x66, IRET);
	CHECK_EQ(cpu.rflags, RFLAGS_VM | 0x3002);
	CHECK_EQ(cpu.seg[SEG_CS].limit, 0xffff);
	machine_vm86(2);
	FAULT(VEC_GP, 0, IRET);
}

static void test_iret_same(void)
{
	machine_prot(0);
	ON_STACK(4, 0x1000, C32, 0x3c7fd5 | RFLAGS_RF);
	cpu.rflags &= ~RFLAGS_IF;
	OK(IRET);
	CHECK_EQ(cpu.rip, 0x1000);
	CHECK_EQ(cpu.gpr[RSP], STACK + 12);
	CHECK_EQ(cpu.rflags, 0x3d7fd7);
	cpu.rflags = RFLAGS_FIXED;
	ON_STACK(2, 0x1000, C32, 0xffff);
	OK(0x66, IRET);
	CHECK_EQ(cpu.rflags, 0x7fd7);
	machine_prot(0);
	ON_STACK(4, 0x1000, 0, 2);
	FAULT(VEC_GP, 0, IRET);
	ON_STACK(4, 0x1000, C_NP, 2);
	FAULT(VEC_NP, C_NP, IRET);
	ON_STACK(4, 0x1000, SMALL, 2);
	FAULT(VEC_GP, 0, IRET);
	cpu.seg[SEG_SS].limit = STACK + 10;
	FAULT(VEC_SS, 0, IRET);
	/* at CPL 3: no IOPL, IF only if CPL <= IOPL */
	machine_prot(3);
	ON_STACK(4, 0x1000, C32U | 3, RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VM);
	OK(IRET);
	CHECK_EQ(cpu.rflags, RFLAGS_FIXED | RFLAGS_IF);
	cpu.rflags |= RFLAGS_IOPL;
	ON_STACK(4, 0x1000, C32U | 3, 0);
	OK(IRET);
	CHECK_EQ(cpu.rflags, RFLAGS_FIXED | RFLAGS_IOPL);
}

static void test_iret_outer(void)
{
	machine_prot(0);
	set_seg(SEG_DS, D0);
	ON_STACK(4, 0x1000, C32U | 3, RFLAGS_IOPL | RFLAGS_IF, STACK3, D3 | 3);
	OK(IRET);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.gpr[RSP], STACK3);
	CHECK_EQ(cpu.rflags, RFLAGS_FIXED | RFLAGS_IOPL | RFLAGS_IF);
	CHECK(cpu.seg[SEG_DS].ar & AR_UNUSABLE);
	CHECK_EQ(cpu.seg[SEG_ES].sel, D3);
	machine_prot(0);
	ON_STACK(4, 0x1000, C32U | 3, 2, STACK3, D0 | 3);
	FAULT(VEC_GP, D0, IRET);
	ON_STACK(4, 0x1000, C32U | 3, 2, STACK3, 3);
	FAULT(VEC_GP, 0, IRET);
	/* of SS two bytes are read */
	cpu.seg[SEG_SS].limit = STACK + 16;
	FAULT(VEC_SS, 0, IRET);
}

static void test_iret_vm86(void)
{
	machine_prot(0);
	ON_STACK(4, 0x1234, 0x2000, RFLAGS_VM | 0x7202, 0xabcd8000, 0x3000,
		 0x1111, 0x2222, 0x3333, 0x4444);
	OK(IRET);
	CHECK(cpu_vm86(&cpu));
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.rip, 0x1234);
	CHECK_EQ(cpu.gpr[RSP], 0xabcd8000);
	CHECK_EQ(cpu.rflags, RFLAGS_VM | 0x7202);
	CHECK_EQ(cpu.seg[SEG_CS].base, 0x20000);
	CHECK_EQ(cpu.seg[SEG_SS].base, 0x30000);
	CHECK_EQ(cpu.seg[SEG_ES].sel, 0x1111);
	CHECK_EQ(cpu.seg[SEG_DS].sel, 0x2222);
	CHECK_EQ(cpu.seg[SEG_FS].sel, 0x3333);
	CHECK_EQ(cpu.seg[SEG_GS].base, 0x44440);
	CHECK_EQ(cpu.seg[SEG_GS].limit, 0xffff);
	CHECK_EQ(cpu.code_size, CODE16);
	machine_prot(0);
	ON_STACK(4, 0x11234, 0x2000, RFLAGS_VM);
	FAULT(VEC_GP, 0, IRET);
	cpu.seg[SEG_SS].limit = STACK + 34;
	FAULT(VEC_SS, 0, IRET);
}

static void test_iret_long(void)
{
	machine_long(0);
	/* always pops SS:RSP */
	ON_STACK(8, 0xffffffff81000000, C64, 0x3c7fd5, 0xffff888000000000, D0);
	OK(IRETQ);
	CHECK_EQ(cpu.rip, 0xffffffff81000000);
	CHECK_EQ(cpu.gpr[RSP], 0xffff888000000000);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D0);
	machine_long(0);
	ON_STACK(8, 0x1000, C64, 2, 0x7000, 0); /* null SS in ring 0 */
	OK(IRETQ);
	CHECK(cpu.seg[SEG_SS].ar & AR_UNUSABLE);
	machine_long(0);
	ON_STACK(8, 0x1000, C64U | 3, 0x202, 0x7000, D3 | 3);
	cpu.seg[SEG_FS].base = 0x1234567890;
	cpu.nmi_blocked = true;
	OK(IRETQ);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.seg[SEG_FS].base, 0x1234567890); /* already null */
	CHECK(!cpu.nmi_blocked);
	machine_long(0);
	ON_STACK(8, 0x1000, C64U | 3, 2, 0x7000, 3);
	FAULT(VEC_GP, 0, IRETQ); /* null SS in ring 3 */
	ON_STACK(8, 0x1000, C32, 2, 0x7000, 0);
	FAULT(VEC_GP, 0, IRETQ); /* null SS in compatibility mode */
	ON_STACK(8, 0x0000800000000000, C64U | 3, 2, 0x7000, D3 | 3);
	FAULT(VEC_GP, 0, IRETQ);
	ON_STACK(8, 0x1000, C_LD, 2, 0x7000, D0);
	FAULT(VEC_GP, C_LD, IRETQ);
	ON_STACK(8, 0x1000, C64U | 3, 2, 0x7000, D3);
	FAULT(VEC_GP, D3, IRETQ);
	cpu.rflags |= RFLAGS_NT;
	FAULT(VEC_GP, 0, IRETQ);
	cpu.rflags &= ~RFLAGS_NT;
	/* to compatibility mode; VM in the image means nothing */
	/* and the upper half of RIP is dropped, as silicon does */
	ON_STACK(8, 0x100001000, C32U | 3, RFLAGS_VM | 2, 0x100007000, D3 | 3);
	OK(IRETQ);
	CHECK_EQ(cpu.code_size, CODE32);
	CHECK_EQ(cpu.gpr[RSP], 0x7000);
	CHECK_EQ(cpu.rflags, 2);
	/* IRETD in 64-bit mode pops five doublewords */
	machine_long(0);
	ON_STACK(4, 0x1000, C32U | 3, 2, 0x7000, D3 | 3);
	OK(IRET);
	CHECK_EQ(cpu.rip, 0x1000);
	CHECK_EQ(cpu.cpl, 3);
	/* in compatibility mode the same level pops no stack */
	machine_compat(3);
	ON_STACK(4, 0x1000, C64U | 3, 2);
	OK(IRET);
	CHECK_EQ(cpu.gpr[RSP], STACK + 12);
	CHECK_EQ(cpu.code_size, CODE64);
	/* frame across pages, one missing */
	machine_long(0);
	cpu.gpr[RSP] = STACK - 16;
	page_unmap(STACK);
	FAULT(VEC_PF, 0, IRETQ);
	CHECK_EQ(cpu.fault.address, STACK);
}

static void test_syscall(void)
{
	machine_long(3);
	cpu.star = 0x0023001000000000 | 0x00000bad;
	cpu.lstar = 0xffffffff81800000;
	cpu.cstar = 0xffffffff81900000;
	cpu.fmask = 0x47700;
	cpu.rflags = 0x246 | RFLAGS_TF | RFLAGS_DF | RFLAGS_AC;
	const uint64_t flags = cpu.rflags;
	OK(0x0f, 0x05);
	CHECK_EQ(cpu.rip, 0xffffffff81800000);
	CHECK_EQ(cpu.gpr[RCX], CODE + 2);
	CHECK_EQ(cpu.gpr[R11], flags);
	CHECK_EQ(cpu.rflags, flags & ~0x47700ull);
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x10);
	CHECK_EQ(cpu.seg[SEG_CS].ar, 0xa09b);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 0x18);
	CHECK_EQ(cpu.seg[SEG_SS].ar, 0xc093);
	CHECK_EQ(cpu.seg[SEG_SS].limit, ~0u);
	cpu.gpr[R11] = ~0ull;
	OK(0x48, 0x0f, 0x07); /* sysretq */
	CHECK_EQ(cpu.rip, CODE + 2);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.rflags, 0x3c7fd7);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x33);
	CHECK_EQ(cpu.seg[SEG_CS].ar, 0xa0fb);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 0x2b);
	CHECK_EQ(cpu.seg[SEG_SS].ar, 0xc0f3);
	FAULT(VEC_GP, 0, 0x48, 0x0f, 0x07);
	OK(0x0f, 0x05);
	cpu.gpr[RCX] = 0x1000000010;
	OK(0x0f, 0x07); /* sysretl */
	CHECK_EQ(cpu.rip, 0x10);
	CHECK_EQ(cpu.code_size, CODE32);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x23);
	CHECK_EQ(cpu.seg[SEG_CS].ar, 0xc0fb);
	FAULT(VEC_UD, -1, 0x0f, 0x05); /* Intel: not in compatibility mode */
	cpu.nr_cpuid = 1;
	cpu.cpuid[0] = (struct cpuid_entry){ .ebx = 0x68747541,
					     .edx = 0x69746e65,
					     .ecx = 0x444d4163 };
	OK(0x0f, 0x05); /* AMD: through CSTAR */
	CHECK_EQ(cpu.rip, 0xffffffff81900000);
	CHECK_EQ(cpu.code_size, CODE64);
	CHECK_EQ(cpu.gpr[RCX], 0x12);
	cpu.gpr[RCX] = 0x0000800000000000;
	FAULT(VEC_GP, 0, 0x48, 0x0f, 0x07);
	cpu.efer &= ~EFER_SCE;
	FAULT(VEC_UD, -1, 0x0f, 0x05);
	FAULT(VEC_UD, -1, 0x0f, 0x07);
	/* legacy mode: AMD only */
	machine_prot(3);
	cpu.efer = EFER_SCE;
	cpu.star = 0x0018000812345678;
	FAULT(VEC_UD, -1, 0x0f, 0x05);
	cpu.nr_cpuid = 1;
	cpu.cpuid[0] = (struct cpuid_entry){ .ebx = 0x68747541,
					     .edx = 0x69746e65,
					     .ecx = 0x444d4163 };
	OK(0x0f, 0x05);
	CHECK_EQ(cpu.rip, 0x12345678);
	CHECK_EQ(cpu.rflags, 2);
	CHECK_EQ(cpu.seg[SEG_CS].ar, 0xc09b);
	OK(0x0f, 0x07);
	CHECK_EQ(cpu.rip, CODE + 2);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x1b);
	CHECK_EQ(cpu.rflags, 0x202);
}

static void test_sysenter(void)
{
	machine_prot(3);
	cpu.sysenter_esp = 0xffff888000001000;
	cpu.sysenter_eip = 0xffffffff81000000;
	FAULT(VEC_GP, 0, 0x0f, 0x34);
	cpu.sysenter_cs = 3;
	FAULT(VEC_GP, 0, 0x0f, 0x34);
	cpu.sysenter_cs = 0x13;
	OK(0x0f, 0x34);
	CHECK_EQ(cpu.cpl, 0);
	CHECK_EQ(cpu.rip, 0x81000000);
	CHECK_EQ(cpu.gpr[RSP], 0x1000);
	CHECK_EQ(cpu.rflags, RFLAGS_FIXED);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x10);
	CHECK_EQ(cpu.seg[SEG_CS].ar, 0xc09b);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 0x18);
	cpu.gpr[RCX] = 0x5000;
	cpu.gpr[RDX] = 0x6000;
	OK(0x0f, 0x35);
	CHECK_EQ(cpu.cpl, 3);
	CHECK_EQ(cpu.rip, 0x6000);
	CHECK_EQ(cpu.gpr[RSP], 0x5000);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x23);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 0x2b);
	FAULT(VEC_GP, 0, 0x0f, 0x35);

	machine_long(3);
	cpu.sysenter_cs = 0x10;
	cpu.sysenter_esp = 0xffff888000001000;
	cpu.sysenter_eip = 0xffffffff81000000;
	OK(0x0f, 0x34);
	CHECK_EQ(cpu.rip, 0xffffffff81000000);
	CHECK_EQ(cpu.gpr[RSP], 0xffff888000001000);
	CHECK_EQ(cpu.code_size, CODE64);
	cpu.gpr[RCX] = 0x0000800000000000;
	cpu.gpr[RDX] = 0x7fffffff0000;
	FAULT(VEC_GP, 0, 0x48, 0x0f, 0x35);
	cpu.gpr[RCX] = 0x7fff00000000;
	OK(0x48, 0x0f, 0x35);
	CHECK_EQ(cpu.rip, 0x7fffffff0000);
	CHECK_EQ(cpu.gpr[RSP], 0x7fff00000000);
	CHECK_EQ(cpu.seg[SEG_CS].sel, 0x33);
	CHECK_EQ(cpu.seg[SEG_SS].sel, 0x3b);
	OK(0x0f, 0x34);
	cpu.gpr[RDX] = 0x100001000;
	OK(0x0f, 0x35);
	CHECK_EQ(cpu.rip, 0x1000);
	CHECK_EQ(cpu.code_size, CODE32);
}

static void test_bases(void)
{
	machine_long(0);
	cpu.seg[SEG_GS].base = 0x1111;
	cpu.kernel_gs_base = 0xffff888000000000;
	OK(0x0f, 0x01, 0xf8); /* swapgs */
	CHECK_EQ(cpu.seg[SEG_GS].base, 0xffff888000000000);
	CHECK_EQ(cpu.kernel_gs_base, 0x1111);
	FAULT(VEC_UD, -1, 0xf3, 0x0f, 0xae, 0xc0); /* CR4.FSGSBASE clear */
	cpu.cr4 |= CR4_FSGSBASE;
	cpu.seg[SEG_FS].base = 0x1122334455667788;
	OK(0xf3, 0x48, 0x0f, 0xae, 0xc0); /* rdfsbase rax */
	CHECK_EQ(cpu.gpr[RAX], 0x1122334455667788);
	OK(0xf3, 0x0f, 0xae, 0xc8); /* rdgsbase eax */
	CHECK_EQ(cpu.gpr[RAX], 0);
	cpu.gpr[RAX] = 0xffff800012345678;
	OK(0xf3, 0x48, 0x0f, 0xae, 0xd0);
	CHECK_EQ(cpu.seg[SEG_FS].base, 0xffff800012345678);
	OK(0xf3, 0x0f, 0xae, 0xd8); /* wrgsbase eax: zero-extended */
	CHECK_EQ(cpu.seg[SEG_GS].base, 0x12345678);
	cpu.gpr[RAX] = 0x00ff800012345678;
	FAULT(VEC_GP, 0, 0xf3, 0x48, 0x0f, 0xae, 0xd0);
	machine_long(3);
	FAULT(VEC_GP, 0, 0x0f, 0x01, 0xf8);
	machine_compat(0);
	cpu.cr4 |= CR4_FSGSBASE;
	FAULT(VEC_UD, -1, 0x0f, 0x01, 0xf8);
	FAULT(VEC_UD, -1, 0xf3, 0x0f, 0xae, 0xc0);
}

int main(void)
{
	test_jmp_direct();
	test_jmp_long();
	test_real();
	test_call_direct();
	test_gate_same();
	test_gate_inner();
	test_gate_inner_faults();
	test_gate_long();
	test_retf();
	test_iret_real();
	test_iret_same();
	test_iret_outer();
	test_iret_vm86();
	test_iret_long();
	test_syscall();
	test_sysenter();
	test_bases();
	return test_done();
}
