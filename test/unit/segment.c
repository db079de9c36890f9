/*
 * Segment loads, memory accesses through segments, descriptor-table
 * instructions and the instructions that ask about selectors.
 */
#include "cpu/segment.h"

#include "cpu/op.h"
#include "test/machine.h"

#define MOV_DS_AX 0x8e, 0xd8
#define MOV_ES_AX 0x8e, 0xc0
#define MOV_SS_AX 0x8e, 0xd0
#define MOV_FS_AX 0x8e, 0xe0
#define MOV_GS_AX 0x8e, 0xe8

static void ax(uint64_t v)
{
	cpu.gpr[RAX] = v;
}

/* Expects an access to fault, or to hit linear address @want. */
static void linear(unsigned int seg, uint64_t off, unsigned int size,
		   unsigned int access, uint64_t want)
{
	gva_t gva = 0;

	CHECK_EQ(cpu_linear(&cpu, seg, off, size, access, &gva), CPU_OK);
	CHECK_EQ(gva, want);
}

static void no_linear(unsigned int seg, uint64_t off, unsigned int size,
		      unsigned int access, uint8_t vector)
{
	gva_t gva;

	CHECK_EQ(cpu_linear(&cpu, seg, off, size, access, &gva), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, vector);
	CHECK(cpu.fault.has_error && !cpu.fault.error);
}

static void test_linear_real(void)
{
	machine_real();
	cpu.seg[SEG_DS].base = 0x70000;
	linear(SEG_DS, 0, 4, ACC_RW, 0x70000);
	linear(SEG_DS, 0xfffc, 4, ACC_RW, 0x7fffc);
	no_linear(SEG_DS, 0xfffd, 4, ACC_R, VEC_GP);
	no_linear(SEG_DS, 0xffff, 2, ACC_W, VEC_GP);
	no_linear(SEG_SS, 0xffff, 2, ACC_W, VEC_SS);
	linear(SEG_CS, 0x10, 2, ACC_W, CODE + 0x10);
	/* "unreal": a limit set in protected mode stays */
	cpu.seg[SEG_DS].limit = ~0u;
	linear(SEG_DS, 0x100000, 4, ACC_RW, 0x170000);
	/* at the end of the megabyte, and beyond */
	cpu.seg[SEG_ES].base = 0xffff0;
	linear(SEG_ES, 0xffff, 1, ACC_R, 0x10ffef);
}

static void test_linear_protected(void)
{
	machine_prot(0);
	linear(SEG_DS, 0x1234, 4, ACC_RW, 0x1234);
	linear(SEG_DS, 0xfffffffc, 4, ACC_RW, 0xfffffffc);
	/* a flat segment has no end, any other has */
	linear(SEG_DS, 0xfffffffd, 4, ACC_R, 0xfffffffd);
	cpu.seg[SEG_DS].base = 0x1000;
	no_linear(SEG_DS, 0xfffffffd, 4, ACC_R, VEC_GP);
	set_seg(SEG_DS, D_RO);
	linear(SEG_DS, 0, 4, ACC_R, 0);
	no_linear(SEG_DS, 0, 4, ACC_W, VEC_GP);
	no_linear(SEG_DS, 0, 4, ACC_RW, VEC_GP);
	no_linear(SEG_CS, 0, 4, ACC_W, VEC_GP);
	linear(SEG_CS, 0, 4, ACC_R, 0);
	set_seg(SEG_CS, C_XO);
	no_linear(SEG_CS, 0, 4, ACC_R, VEC_GP);
	set_seg(SEG_ES, D16);
	linear(SEG_ES, 0xffff, 1, ACC_W, 0x4ffff);
	no_linear(SEG_ES, 0xffff, 2, ACC_W, VEC_GP);
	/* expand-down: limit 0xfffff in bytes, 4 GiB up */
	set_seg(SEG_ES, D_DOWN);
	cpu.seg[SEG_ES].limit = 0xfffff;
	no_linear(SEG_ES, 0xfffff, 1, ACC_R, VEC_GP);
	linear(SEG_ES, 0x100000, 4, ACC_RW, 0x100000);
	linear(SEG_ES, 0xfffffffc, 4, ACC_RW, 0xfffffffc);
	no_linear(SEG_ES, 0xfffffffe, 4, ACC_RW, VEC_GP);
	/* expand-down with B = 0 ends at 64 KiB */
	cpu.seg[SEG_ES].limit = 0xfff;
	cpu.seg[SEG_ES].ar &= ~AR_DB;
	linear(SEG_ES, 0x1000, 4, ACC_RW, 0x1000);
	linear(SEG_ES, 0xfffc, 4, ACC_RW, 0xfffc);
	no_linear(SEG_ES, 0xfffd, 4, ACC_RW, VEC_GP);
	no_linear(SEG_ES, 0xfff, 1, ACC_RW, VEC_GP);
	seg_null(&cpu, SEG_FS, 0);
	no_linear(SEG_FS, 0, 1, ACC_R, VEC_GP);
	/* base plus offset wraps at 4 GiB */
	set_seg(SEG_GS, D0);
	cpu.seg[SEG_GS].base = 0xfffff000;
	linear(SEG_GS, 0x2000, 4, ACC_R, 0x1000);
}

static void test_linear_long(void)
{
	machine_long(0);
	seg_null(&cpu, SEG_SS, 0);
	linear(SEG_DS, 0x1234, 8, ACC_RW, 0x1234);
	linear(SEG_SS, 0xffff800000000000, 8, ACC_RW, 0xffff800000000000);
	linear(SEG_DS, 0x00007ffffffffff8, 8, ACC_R, 0x00007ffffffffff8);
	no_linear(SEG_DS, 0x00007ffffffffff9, 8, ACC_R, VEC_GP);
	no_linear(SEG_DS, 0x0000800000000000, 1, ACC_R, VEC_GP);
	no_linear(SEG_SS, 0x0000800000000000, 1, ACC_R, VEC_SS);
	no_linear(SEG_DS, 0xffff7fffffffffff, 1, ACC_R, VEC_GP);
	cpu.seg[SEG_FS].base = 0xffff888000000000;
	linear(SEG_FS, 0x10, 8, ACC_RW, 0xffff888000000010);
	cpu.seg[SEG_GS].base = 0x10;
	linear(SEG_GS, -0x8ull, 8, ACC_RW, 0x8);
	no_linear(SEG_GS, 0x00007fffffffffff, 1, ACC_R, VEC_GP);
	cpu.seg[SEG_DS].base = 0x5000; /* ignored */
	linear(SEG_DS, 0, 1, ACC_R, 0);
	cpu.cr4 |= CR4_LA57;
	linear(SEG_DS, 0x0000800000000000, 1, ACC_R, 0x0000800000000000);
	no_linear(SEG_DS, 0x0100000000000000, 1, ACC_R, VEC_GP);
	/* compatibility mode: bases cut to 32 bits, limits hold */
	machine_compat(3);
	cpu.seg[SEG_FS].base = 0xffff888000001000;
	linear(SEG_FS, 0x10, 8, ACC_RW, 0x1010);
	set_seg(SEG_DS, D16U);
	no_linear(SEG_DS, 0x10000, 1, ACC_R, VEC_GP);
}

static void test_access(void)
{
	uint32_t v = 0x11223344, w;

	machine_long(3);
	CHECK_EQ(cpu_access(&cpu), ACCESS_USER);
	CHECK_EQ(cpu_write(&cpu, SEG_DS, DATA + 1, &v, 4), CPU_OK);
	CHECK_EQ(peek(DATA + 1, 4), 0x11223344);
	/* alignment checks: CPL 3, AM and AC */
	cpu.cr0 |= CR0_AM;
	cpu.rflags |= RFLAGS_AC;
	CHECK_EQ(cpu_read(&cpu, SEG_DS, DATA + 1, &w, 4), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_AC);
	CHECK_EQ(cpu.fault.error, 0);
	v = 0;
	CHECK_EQ(cpu_write(&cpu, SEG_DS, DATA + 1, &v, 4), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_AC);
	CHECK_EQ(peek(DATA + 1, 4), 0x11223344);
	CHECK_EQ(cpu_read(&cpu, SEG_DS, DATA + 4, &w, 4), CPU_OK);
	/* #AC goes before a page fault */
	page_unmap(DATA + 0x1000);
	CHECK_EQ(cpu_write(&cpu, SEG_DS, DATA + 0xffe, &v, 4), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_AC);
	cpu.rflags &= ~RFLAGS_AC;
	CHECK_EQ(cpu_write(&cpu, SEG_DS, DATA + 0xffe, &v, 4), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_PF);
	CHECK_EQ(cpu.fault.address, DATA + 0x1000);
	CHECK_EQ(cpu.fault.error, PFEC_W | PFEC_U);
	cpu.rflags |= RFLAGS_AC;
	cpu.cpl = 0;
	CHECK_EQ(cpu_access(&cpu), ACCESS_AC);
	CHECK_EQ(cpu_read(&cpu, SEG_DS, DATA + 1, &w, 4), CPU_OK);
	CHECK_EQ(w, 0x11223344);
	/* not RAM */
	poke(PT + 0x1000 / 4096 * 8, 0x7ff00067, 8);
	CHECK_EQ(cpu_read(&cpu, SEG_DS, 0x1000, &w, 4), CPU_EXIT);
	CHECK_EQ(cpu.exit.reason, EXIT_EPT_VIOLATION);
	CHECK(cpu.mmio.wants);
	CHECK_EQ(cpu.mmio.want.gpa, 0x7ff00000);
}

static void test_stack(void)
{
	uint64_t v;

	machine_prot(0);
	CHECK_EQ(cpu_push(&cpu, 0x12345678, 4), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], STACK - 4);
	CHECK_EQ(peek(STACK - 4, 4), 0x12345678);
	CHECK_EQ(cpu_pop(&cpu, &v, 2), CPU_OK);
	CHECK_EQ(v, 0x5678);
	CHECK_EQ(cpu.gpr[RSP], STACK - 2);
	/* a 16-bit stack: only SP changes, and it wraps */
	set_seg(SEG_SS, D16);
	cpu.gpr[RSP] = 0xabcd0000;
	CHECK_EQ(cpu_push(&cpu, 0x1122, 2), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], 0xabcdfffe);
	CHECK_EQ(peek(0x4fffe, 2), 0x1122);
	CHECK_EQ(cpu_pop(&cpu, &v, 2), CPU_OK);
	CHECK_EQ(cpu.gpr[RSP], 0xabcd0000);
	CHECK_EQ(v, 0x1122);
	cpu.gpr[RSP] = 1;
	CHECK_EQ(cpu_push(&cpu, 0, 2), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_SS);
	CHECK_EQ(cpu.gpr[RSP], 1);
	/* 64-bit */
	machine_long(3);
	CHECK_EQ(cpu_push(&cpu, 0x1122334455667788, 8), CPU_OK);
	CHECK_EQ(peek(STACK - 8, 8), 0x1122334455667788);
	cpu.gpr[RSP] = 0x0000800000000008;
	CHECK_EQ(cpu_push(&cpu, 0, 8), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_SS);
	/* across a page: nothing moves if one page is missing */
	cpu.gpr[RSP] = STACK + 4;
	page_unmap(STACK - 8);
	CHECK_EQ(cpu_push(&cpu, 0, 8), CPU_FAULT);
	CHECK_EQ(cpu.fault.vector, VEC_PF);
	CHECK_EQ(cpu.gpr[RSP], STACK + 4);
}

static void test_operands(void)
{
	struct insn i = { .base = RBX,
			  .index = RSI,
			  .scale = 2,
			  .disp = -4,
			  .addrsize = 8,
			  .len = 5 };

	machine_long(0);
	CHECK_EQ((cpu.gpr[RAX] = 0x1122334455667788), gpr_read(&cpu, 0, 8, 0));
	CHECK_EQ(gpr_read(&cpu, RAX, 4, false), 0x55667788);
	CHECK_EQ(gpr_read(&cpu, RAX, 2, false), 0x7788);
	CHECK_EQ(gpr_read(&cpu, RAX, 1, false), 0x88);
	CHECK_EQ(gpr_read(&cpu, RAX, 1, true), 0x77);
	gpr_write(&cpu, RAX, 1, true, 0xaa);
	CHECK_EQ(cpu.gpr[RAX], 0x112233445566aa88);
	gpr_write(&cpu, RAX, 1, false, 0xbb);
	CHECK_EQ(cpu.gpr[RAX], 0x112233445566aabb);
	gpr_write(&cpu, RAX, 2, false, 0x1ffff);
	CHECK_EQ(cpu.gpr[RAX], 0x112233445566ffff);
	gpr_write(&cpu, RAX, 4, false, ~0ull);
	CHECK_EQ(cpu.gpr[RAX], 0xffffffff);
	cpu.gpr[RBX] = 0x7fffffff0;
	cpu.gpr[RSI] = 5;
	CHECK_EQ(cpu_lea(&cpu, &i), 0x800000000);
	i.addrsize = 4;
	CHECK_EQ(cpu_lea(&cpu, &i), 0);
	i.base = i.index = GPR_NONE;
	i.rip_rel = true;
	i.addrsize = 8;
	cpu.next_rip = 0x99; /* a helper may have set it already */
	CHECK_EQ(cpu_lea(&cpu, &i), CODE + 1);
}

static void test_load_data(void)
{
	machine_prot(0);
	ax(D0);
	OK(MOV_DS_AX);
	CHECK_EQ(cpu.seg[SEG_DS].sel, D0);
	CHECK_EQ(cpu.seg[SEG_DS].limit, ~0u);
	CHECK_EQ(cpu.seg[SEG_DS].ar, 0xc093);
	CHECK_EQ(cpu.rip, CODE + 2);
	ax(0x12340000 | D_RO | 3);
	FAULT(VEC_GP, D_RO, MOV_DS_AX); /* RPL 3 over DPL 0 */
	ax(D_RO);
	OK(MOV_DS_AX);
	ax(C32);
	OK(MOV_DS_AX); /* readable code */
	ax(C_XO);
	FAULT(VEC_GP, C_XO, MOV_DS_AX);
	ax(TR);
	FAULT(VEC_GP, TR, MOV_DS_AX);
	ax(D_NP);
	FAULT(VEC_NP, D_NP, MOV_ES_AX);
	ax(GDT_END);
	FAULT(VEC_GP, GDT_END, MOV_ES_AX);
	ax(0xfffb);
	FAULT(VEC_GP, 0xfff8, MOV_ES_AX);
	ax(0x1c); /* LDT, which is null */
	FAULT(VEC_GP, 0x1c, MOV_ES_AX);
	ax(3);
	OK(MOV_FS_AX);
	CHECK_EQ(cpu.seg[SEG_FS].sel, 3);
	CHECK(cpu.seg[SEG_FS].ar & AR_UNUSABLE);
	ax(D3 | 3);
	OK(MOV_GS_AX);
	FAULT(VEC_UD, -1, 0x8e, 0xc8); /* MOV CS */
	/* the descriptor's last byte beyond the limit */
	cpu.gdt.limit = D3 + 6;
	FAULT(VEC_GP, D3, MOV_GS_AX);
	cpu.gdt.limit = D3 + 7;
	OK(MOV_GS_AX);
}

static void test_load_data_user(void)
{
	machine_prot(3);
	ax(D0);
	FAULT(VEC_GP, D0, MOV_DS_AX);
	ax(D3);
	OK(MOV_DS_AX); /* RPL below CPL is fine */
	ax(CONF | 3);
	OK(MOV_DS_AX); /* conforming: no level check */
	ax(C32 | 3);
	FAULT(VEC_GP, C32, MOV_DS_AX);
	ax(C32U | 3);
	OK(MOV_DS_AX);
	ax(D_NP | 3);
	FAULT(VEC_GP, D_NP, MOV_DS_AX); /* level before presence */
	/* in the LDT */
	set_seg(SEG_LDTR, LDTS);
	poke(LDT + 8, make_desc(0x70000, 0xf, 0x40f3), 8);
	ax(0xf);
	OK(MOV_DS_AX);
	CHECK_EQ(cpu.seg[SEG_DS].base, 0x70000);
	CHECK_EQ(cpu.seg[SEG_DS].limit, 0xf);
	ax(0x107);
	FAULT(VEC_GP, 0x104, MOV_DS_AX);
	/* index 0 of the LDT is no null selector */
	poke(LDT, make_desc(0x1000, 0xf, 0x40f3), 8);
	ax(7);
	OK(MOV_DS_AX);
	CHECK_EQ(cpu.seg[SEG_DS].base, 0x1000);
}

static void test_accessed(void)
{
	machine_prot(0);
	set_desc(D3, 0, 0xfffff, (AR_DATA32 | AR_U) & ~AR_ACCESSED);
	ax(D3);
	OK(MOV_DS_AX);
	CHECK_EQ(peek(GDT + D3 + 5, 1), 0xf3);
	CHECK_EQ(cpu.seg[SEG_DS].ar, 0xc0f3);
	/* the write may fault; a set bit is not written again */
	machine_long(0);
	set_desc(D3, 0, 0xfffff, (AR_DATA32 | AR_U) & ~AR_ACCESSED);
	page_read_only(GDT);
	cpu.mmu.role.wp = true;
	ax(D3);
	FAULT(VEC_PF, PFEC_P | PFEC_W, MOV_DS_AX);
	CHECK_EQ(cpu.fault.address, GDT + D3 + 5);
	ax(D0);
	OK(MOV_DS_AX);
	page_unmap(GDT);
	FAULT(VEC_PF, 0, MOV_DS_AX);
	CHECK_EQ(cpu.fault.address, GDT + D0);
	/* an implicit access is a supervisor one at CPL 3 too */
	machine_long(3);
	poke(PT + GDT / 4096 * 8, GDT | 0x63, 8);
	ax(D3 | 3);
	OK(MOV_DS_AX);
}

static void test_load_ss(void)
{
	machine_prot(0);
	ax(D0);
	OK(MOV_SS_AX);
	CHECK(cpu.movss_shadow);
	ax(0);
	FAULT(VEC_GP, 0, MOV_SS_AX);
	ax(D0 | 1);
	FAULT(VEC_GP, D0, MOV_SS_AX);
	ax(D3);
	FAULT(VEC_GP, D3, MOV_SS_AX);
	ax(D_RO);
	FAULT(VEC_GP, D_RO, MOV_SS_AX);
	ax(C32);
	FAULT(VEC_GP, C32, MOV_SS_AX);
	ax(D_NP);
	FAULT(VEC_SS, D_NP, MOV_SS_AX);
	machine_prot(3);
	ax(D3 | 3);
	OK(MOV_SS_AX);
	ax(D3);
	FAULT(VEC_GP, D3, MOV_SS_AX);
	ax(D_RO3 | 3);
	FAULT(VEC_GP, D_RO3, MOV_SS_AX);
	/* null in 64-bit mode */
	machine_long(0);
	ax(0);
	OK(MOV_SS_AX);
	CHECK_EQ(cpu.seg[SEG_SS].ar, AR_UNUSABLE);
	ax(3);
	FAULT(VEC_GP, 0, MOV_SS_AX);
	cpu.cpl = 1;
	ax(1);
	OK(MOV_SS_AX);
	CHECK_EQ(AR_DPL(cpu.seg[SEG_SS].ar), 1);
	machine_long(3);
	ax(3);
	FAULT(VEC_GP, 0, MOV_SS_AX);
	machine_compat(0);
	ax(0);
	FAULT(VEC_GP, 0, MOV_SS_AX);
}

static void test_load_real(void)
{
	machine_real();
	ax(0x1234);
	cpu.seg[SEG_DS].limit = ~0u;
	OK(MOV_DS_AX);
	CHECK_EQ(cpu.seg[SEG_DS].base, 0x12340);
	CHECK_EQ(cpu.seg[SEG_DS].limit, ~0u); /* unreal mode */
	OK(MOV_SS_AX);
	CHECK(cpu.movss_shadow);
	ax(0);
	OK(MOV_SS_AX);
	CHECK_EQ(cpu.seg[SEG_SS].base, 0);
	machine_vm86(0);
	ax(0xffff);
	OK(MOV_DS_AX);
	CHECK_EQ(cpu.seg[SEG_DS].base, 0xffff0);
	CHECK_EQ(cpu.seg[SEG_DS].limit, 0xffff);
	CHECK_EQ(cpu.seg[SEG_DS].ar, 0xf3);
}

static void test_long_bases(void)
{
	machine_long(0);
	set_desc(D3, 0x89abcdef, 0xfffff, AR_DATA32 | AR_U);
	ax(D3);
	OK(MOV_FS_AX);
	CHECK_EQ(cpu.seg[SEG_FS].base, 0x89abcdef);
	ax(0);
	OK(MOV_FS_AX);
	CHECK_EQ(cpu.seg[SEG_FS].base, 0);
}

static void test_mov_from(void)
{
	machine_long(3);
	cpu.gpr[RAX] = ~0ull;
	OK(0x66, 0x8c, 0xc8); /* mov ax, cs */
	CHECK_EQ(cpu.gpr[RAX], 0xffffffffffff0033);
	OK(0x8c, 0xc8); /* mov eax, cs */
	CHECK_EQ(cpu.gpr[RAX], 0x33);
	cpu.gpr[RAX] = ~0ull;
	OK(0x48, 0x8c, 0xd0); /* mov rax, ss */
	CHECK_EQ(cpu.gpr[RAX], 0x23);
	poke(DATA, ~0ull, 8);
	cpu.gpr[RBX] = DATA;
	OK(0x48, 0x8c, 0x13); /* memory: always a word */
	CHECK_EQ(peek(DATA, 8), 0xffffffffffff0023);
	cpu.gpr[RBX] = DATA + 8;
	poke(DATA + 8, D3 | 3, 2);
	OK(0x8e, 0x1b);
	CHECK_EQ(cpu.seg[SEG_DS].sel, 0x23);
	page_unmap(DATA);
	FAULT(VEC_PF, PFEC_U, 0x8e, 0x1b);
}

static void test_push_pop(void)
{
	machine_prot(0);
	OK(0x0e); /* push cs */
	CHECK_EQ(cpu.gpr[RSP], STACK - 4);
	CHECK_EQ(peek(STACK - 4, 4), C32);
	poke(STACK - 4, D3, 4);
	OK(0x1f); /* pop ds */
	CHECK_EQ(cpu.seg[SEG_DS].sel, D3);
	CHECK_EQ(cpu.gpr[RSP], STACK);
	poke(STACK, D3, 4);
	FAULT(VEC_GP, D3, 0x17); /* pop ss */
	poke(STACK, D0, 4);
	OK(0x17);
	CHECK(cpu.movss_shadow);
	CHECK_EQ(cpu.gpr[RSP], STACK + 4);
	OK(0x66, 0x06); /* push es, 16 bits */
	CHECK_EQ(cpu.gpr[RSP], STACK + 2);
	/* the width of the stack that was popped from counts */
	poke(STACK + 2, D16, 2);
	cpu.gpr[RSP] = STACK + 2;
	OK(0x66, 0x17);
	CHECK_EQ(cpu.gpr[RSP], STACK + 4);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D16);
	machine_long(0);
	ax(D3);
	OK(MOV_FS_AX);
	OK(0x0f, 0xa0); /* push fs: 8 bytes */
	CHECK_EQ(cpu.gpr[RSP], STACK - 8);
	CHECK_EQ(peek(STACK - 8, 8), D3);
	OK(0x0f, 0xa9); /* pop gs */
	CHECK_EQ(cpu.seg[SEG_GS].sel, D3);
	CHECK_EQ(cpu.gpr[RSP], STACK);
	FAULT(VEC_UD, -1, 0x1f);
}

static void test_far_pointers(void)
{
	machine_prot(0);
	cpu.gpr[RBX] = DATA;
	poke(DATA, 0x12345678, 4);
	poke(DATA + 4, D0, 2);
	OK(0xc4, 0x03); /* les eax, [ebx] */
	CHECK_EQ(cpu.gpr[RAX], 0x12345678);
	CHECK_EQ(cpu.seg[SEG_ES].sel, D0);
	poke(DATA + 2, D3, 2);
	OK(0x66, 0xc5, 0x03); /* lds ax, [ebx] */
	CHECK_EQ(cpu.gpr[RAX], 0x12345678);
	CHECK_EQ(cpu.seg[SEG_DS].sel, D3);
	poke(DATA + 4, D0, 2);
	OK(0x0f, 0xb2, 0x23); /* lss esp, [ebx] */
	CHECK_EQ(cpu.gpr[RSP], D3 << 16 | 0x5678);
	CHECK_EQ(cpu.seg[SEG_SS].sel, D0);
	CHECK(!cpu.movss_shadow);
	poke(DATA + 4, D_NP, 2);
	FAULT(VEC_NP, D_NP, 0x0f, 0xb4, 0x03); /* lfs */
	cpu.seg[SEG_DS].limit = DATA + 4;      /* selector cut off */
	FAULT(VEC_GP, 0, 0x0f, 0xb5, 0x03);    /* lgs */
	machine_long(0);
	cpu.gpr[RBX] = DATA;
	poke(DATA, 0x1122334455667788, 8);
	poke(DATA + 8, D3, 2);
	OK(0x48, 0x0f, 0xb5, 0x03);
	CHECK_EQ(cpu.gpr[RAX], 0x1122334455667788);
	CHECK_EQ(cpu.seg[SEG_GS].sel, D3);
}

static void test_dtables(void)
{
	machine_prot(0);
	cpu.gpr[RBX] = DATA;
	poke(DATA, 0x7f, 2);
	poke(DATA + 2, 0x12345678, 4);
	OK(0x0f, 0x01, 0x13); /* lgdt */
	CHECK_EQ(cpu.gdt.limit, 0x7f);
	CHECK_EQ(cpu.gdt.base, 0x12345678);
	OK(0x66, 0x0f, 0x01, 0x1b); /* lidt, 24-bit base */
	CHECK_EQ(cpu.idt.base, 0x345678);
	cpu.gpr[RBX] = DATA + 16;
	poke(DATA + 16, ~0ull, 8);
	OK(0x0f, 0x01, 0x03); /* sgdt */
	CHECK_EQ(peek(DATA + 16, 8), 0xffff12345678007f);
	OK(0x66, 0x0f, 0x01, 0x0b); /* sidt */
	CHECK_EQ(peek(DATA + 18, 4), 0x345678);

	machine_long(0);
	cpu.gpr[RBX] = DATA;
	poke(DATA, 0xff, 2);
	poke(DATA + 2, 0xfffffe0000001000, 8);
	OK(0x66, 0x0f, 0x01, 0x13); /* 66 changes nothing */
	CHECK_EQ(cpu.gdt.base, 0xfffffe0000001000);
	poke(DATA + 2, 0x00fffe0000001000, 8);
	cpu.feat[FEAT_LA57 / 64] |= BIT(FEAT_LA57 % 64);
	OK(0x0f, 0x01, 0x1b);
	CHECK_EQ(cpu.idt.base, 0x00fffe0000001000);
	cpu.feat[FEAT_LA57 / 64] &= ~BIT(FEAT_LA57 % 64);
	FAULT(VEC_GP, 0, 0x0f, 0x01, 0x1b);
	cpu.gpr[RBX] = DATA + 32;
	OK(0x0f, 0x01, 0x03);
	CHECK_EQ(peek(DATA + 34, 8), 0xfffffe0000001000);

	machine_long(3);
	cpu.gpr[RBX] = DATA;
	FAULT(VEC_GP, 0, 0x0f, 0x01, 0x13);
	OK(0x0f, 0x01, 0x03);
	OK(0x0f, 0x00, 0xc0); /* sldt eax */
	OK(0x0f, 0x00, 0xc8); /* str eax */
	CHECK_EQ(cpu.gpr[RAX], TR);
	cpu.cr4 |= CR4_UMIP;
	FAULT(VEC_GP, 0, 0x0f, 0x01, 0x03);
	FAULT(VEC_GP, 0, 0x0f, 0x01, 0x0b);
	FAULT(VEC_GP, 0, 0x0f, 0x00, 0xc0);
	FAULT(VEC_GP, 0, 0x0f, 0x00, 0xc8);

	machine_real();
	FAULT(VEC_UD, -1, 0x0f, 0x00, 0xc0);
	poke(0x100, 0x3ff, 2);
	poke(0x102, 0xff001000, 4);
	OK(0x66, 0x0f, 0x01, 0x16, 0x00, 0x01); /* lgdtd [100h] */
	CHECK_EQ(cpu.gdt.base, 0xff001000);
}

static void test_store_sel(void)
{
	machine_long(0);
	cpu.gpr[RAX] = ~0ull;
	OK(0x66, 0x0f, 0x00, 0xc8); /* str ax */
	CHECK_EQ(cpu.gpr[RAX], 0xffffffffffff0040);
	OK(0x48, 0x0f, 0x00, 0xc8); /* str rax */
	CHECK_EQ(cpu.gpr[RAX], TR);
	cpu.gpr[RBX] = DATA;
	poke(DATA, ~0ull, 8);
	OK(0x48, 0x0f, 0x00, 0x0b); /* memory: a word */
	CHECK_EQ(peek(DATA, 8), 0xffffffffffff0040);
}

static void test_lldt(void)
{
	machine_prot(0);
	ax(LDTS);
	OK(0x0f, 0x00, 0xd0);
	CHECK_EQ(cpu.seg[SEG_LDTR].base, LDT);
	CHECK_EQ(cpu.seg[SEG_LDTR].limit, 0xff);
	ax(TR);
	FAULT(VEC_GP, TR, 0x0f, 0x00, 0xd0);
	ax(LDTS | 4);
	FAULT(VEC_GP, LDTS | 4, 0x0f, 0x00, 0xd0);
	ax(GDT_END | 1);
	FAULT(VEC_GP, GDT_END, 0x0f, 0x00, 0xd0);
	set_desc(LDTS, LDT, 0xff, 2);
	ax(LDTS);
	FAULT(VEC_NP, LDTS, 0x0f, 0x00, 0xd0);
	ax(2);
	OK(0x0f, 0x00, 0xd0);
	CHECK(cpu.seg[SEG_LDTR].ar & AR_UNUSABLE);
	machine_prot(3);
	FAULT(VEC_GP, 0, 0x0f, 0x00, 0xd0);
	machine_vm86(3);
	FAULT(VEC_UD, -1, 0x0f, 0x00, 0xd0);
	/* 16 bytes in 64-bit mode */
	machine_long(0);
	poke(GDT + LDTS + 8, 0xffff8000, 8);
	ax(LDTS);
	OK(0x0f, 0x00, 0xd0);
	CHECK_EQ(cpu.seg[SEG_LDTR].base, 0xffff800000002000);
	poke(GDT + LDTS + 8, 0x00ff8000, 8); /* canonical in 57 bits only */
	cpu.feat[FEAT_LA57 / 64] |= BIT(FEAT_LA57 % 64);
	OK(0x0f, 0x00, 0xd0);
	CHECK_EQ(cpu.seg[SEG_LDTR].base, 0x00ff800000002000);
	ax(8 | 4); /* which the paging there is cannot reach */
	FAULT(VEC_GP, 0, MOV_DS_AX);
	ax(LDTS);
	cpu.feat[FEAT_LA57 / 64] &= ~BIT(FEAT_LA57 % 64);
	FAULT(VEC_GP, LDTS, 0x0f, 0x00, 0xd0);
	poke(GDT + LDTS + 8, 0x0000010000000000, 8); /* type not 0 */
	FAULT(VEC_GP, LDTS, 0x0f, 0x00, 0xd0);
	cpu.gdt.limit = LDTS + 14;
	FAULT(VEC_GP, LDTS, 0x0f, 0x00, 0xd0);
}

static void test_ltr(void)
{
	machine_prot(0);
	ax(TR);
	FAULT(VEC_GP, TR, 0x0f, 0x00, 0xd8); /* busy */
	set_desc(TR, TSS, 103, 0x89);
	OK(0x0f, 0x00, 0xd8);
	CHECK_EQ(peek(GDT + TR + 5, 1), 0x8b);
	CHECK_EQ(cpu.seg[SEG_TR].ar, 0x8b);
	set_desc(TR, TSS, 103, 0x81);
	OK(0x0f, 0x00, 0xd8); /* 16-bit TSS */
	CHECK_EQ(cpu.seg[SEG_TR].ar, 0x83);
	set_desc(TR, TSS, 103, 0x09);
	FAULT(VEC_NP, TR, 0x0f, 0x00, 0xd8);
	ax(0);
	FAULT(VEC_GP, 0, 0x0f, 0x00, 0xd8);
	ax(TR | 4);
	FAULT(VEC_GP, TR | 4, 0x0f, 0x00, 0xd8);
	ax(D0);
	FAULT(VEC_GP, D0, 0x0f, 0x00, 0xd8);
	machine_long(0);
	set_desc(TR, TSS, 103, 0x89);
	poke(GDT + TR + 8, 0xfffffe00, 8);
	ax(TR);
	OK(0x0f, 0x00, 0xd8);
	CHECK_EQ(cpu.seg[SEG_TR].base, 0xfffffe0000004000);
	CHECK_EQ(peek(GDT + TR + 5, 1), 0x8b);
	set_desc(TR, TSS, 103, 0x81);
	FAULT(VEC_GP, TR, 0x0f, 0x00, 0xd8); /* no 16-bit TSS */
	machine_long(3);
	FAULT(VEC_GP, 0, 0x0f, 0x00, 0xd8);
}

static bool zf(void)
{
	return cpu.rflags & RFLAGS_ZF;
}

static void test_lar_lsl(void)
{
	static const struct {
		uint16_t sel;
		bool lar, lsl;
		uint32_t rights, limit;
	} rows[] = {
		{ C32 | 3, false, false, 0, 0 }, /* RPL over DPL */
		{ C32U, true, true, 0xcffb00, ~0u },
		{ C16U | 3, true, true, 0xfb00, 0xffff },
		{ CONF, true, true, 0xcf9f00, ~0u },
		{ D0, false, false, 0, 0 },
		{ 0, false, false, 0, 0 },
		{ GDT_END, false, false, 0, 0 },
		{ TR, false, false, 0, 0 },
	};

	machine_prot(3);
	for (unsigned int n = 0; n < ARRAY_SIZE(rows); n++) {
		cpu.gpr[RCX] = rows[n].sel;
		cpu.gpr[RAX] = 0x5555;
		OK(0x0f, 0x02, 0xc1);
		CHECK_EQ(zf(), rows[n].lar);
		CHECK_EQ(cpu.gpr[RAX], zf() ? rows[n].rights : 0x5555);
		cpu.gpr[RAX] = 0x5555;
		OK(0x0f, 0x03, 0xc1);
		CHECK_EQ(zf(), rows[n].lsl);
		CHECK_EQ(cpu.gpr[RAX], zf() ? rows[n].limit : 0x5555);
	}
	OK(0x66, 0x0f, 0x02, 0xc1);
}

/* Which system types LAR and LSL answer for. */
static void test_lar_types(void)
{
	static const uint16_t lar[2] = { 0x1a3e, 0x1a04 };
	static const uint16_t lsl[2] = { 0x0a0e, 0x0a04 };

	for (int lm = 0; lm < 2; lm++) {
		lm ? machine_long(0) : machine_prot(0);
		for (unsigned int type = 0; type < 16; type++) {
			set_desc(GATE, 0, 0x1234, 0x80 | type);
			poke(GDT + GATE + 8, 0, 8);
			cpu.gpr[RCX] = GATE;
			OK(0x0f, 0x02, 0xc1);
			CHECK_EQ(zf(), lar[lm] >> type & 1);
			OK(0x0f, 0x03, 0xc1);
			CHECK_EQ(zf(), lsl[lm] >> type & 1);
		}
	}
	/* a 16-byte descriptor that is not whole */
	set_desc(GATE, 0, 0x1234, 0x89);
	poke(GDT + GATE + 8, 0x0000010000000000, 8);
	OK(0x0f, 0x02, 0xc1);
	CHECK(!zf());
	machine_real();
	FAULT(VEC_UD, -1, 0x0f, 0x02, 0xc1);
}

static void verify(uint16_t sel, bool read, bool write)
{
	ax(sel);
	OK(0x0f, 0x00, 0xe0);
	CHECK_EQ(zf(), read);
	OK(0x0f, 0x00, 0xe8);
	CHECK_EQ(zf(), write);
}

static void test_verify(void)
{
	machine_prot(0);
	verify(D0, true, true);
	verify(D0 | 1, false, false);
	verify(D_RO, true, false);
	verify(C32, true, false);
	verify(C_XO, false, false);
	verify(TR, false, false);
	verify(0, false, false);
	verify(GDT_END, false, false);
	verify(D_NP, true, true); /* presence does not matter */
	machine_prot(3);
	verify(D0, false, false);
	verify(D3 | 3, true, true);
	verify(CONF | 3, true, false);
	machine_vm86(3);
	FAULT(VEC_UD, -1, 0x0f, 0x00, 0xe0);
}

static void test_arpl(void)
{
	machine_prot(0);
	ax(0x11110010);
	cpu.gpr[RCX] = 3;
	OK(0x63, 0xc8); /* arpl ax, cx */
	CHECK_EQ(cpu.gpr[RAX], 0x11110013);
	CHECK(zf());
	OK(0x63, 0xc8);
	CHECK_EQ(cpu.gpr[RAX], 0x11110013);
	CHECK(!zf());
	cpu.gpr[RBX] = DATA;
	poke(DATA, 0xffff0001, 4);
	OK(0x63, 0x0b);
	CHECK_EQ(peek(DATA, 4), 0xffff0003);
	machine_real();
	FAULT(VEC_UD, -1, 0x63, 0xc8);
}

int main(void)
{
	test_linear_real();
	test_linear_protected();
	test_linear_long();
	test_access();
	test_stack();
	test_operands();
	test_load_data();
	test_load_data_user();
	test_accessed();
	test_load_ss();
	test_load_real();
	test_long_bases();
	test_mov_from();
	test_push_pop();
	test_far_pointers();
	test_dtables();
	test_store_sel();
	test_lldt();
	test_ltr();
	test_lar_lsl();
	test_lar_types();
	test_verify();
	test_arpl();
	return test_done();
}
