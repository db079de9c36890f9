/*
 * Control registers and EFER: every #GP condition, the switch of IA-32e mode,
 * TLB and PDPTE consequences; debug registers; reset and INIT.
 */
#include "test/unit/machine.h"

static uint64_t *pdpte(unsigned int n)
{
	return (uint64_t *)(ram + PDPT) + n;
}

static void test_cr0(void)
{
	start32(0);
	CHECK_FAULT(cpu_set_cr0(c, CR0_PG), VEC_GP);
	CHECK_FAULT(cpu_set_cr0(c, CR0_PE | CR0_NW), VEC_GP);
	CHECK_FAULT(cpu_set_cr0(c, CR0_PE | BIT(32)), VEC_GP);
	CHECK_EQ(c->cr0, CR0_PE | CR0_ET);
	CHECK_OK(cpu_set_cr0(c, CR0_PE | BIT(6) | BIT(28)));
	CHECK_EQ(c->cr0, CR0_PE | CR0_ET);
	CHECK_EQ(flushed.all, 0);
	CHECK_OK(cpu_set_cr0(c, CR0_PE | CR0_PG));
	CHECK_EQ(c->mmu.role.paging, PAGING_32);
	CHECK_EQ(flushed.all, 1);
	CHECK_OK(cpu_set_cr0(c, CR0_PE));
	CHECK_EQ(flushed.all, 2);
	CHECK_OK(cpu_set_cr0(c, 0));
	CHECK(!cpu_protected(c));
}

static void test_long_mode(void)
{
	start32(0);
	CHECK_OK(cpu_set_efer(c, EFER_LME | EFER_NX));
	CHECK_FAULT(cpu_set_cr0(c, CR0_PE | CR0_PG), VEC_GP);
	CHECK_OK(cpu_set_cr4(c, CR4_PAE));
	c->seg[SEG_TR].ar = AR_P | 3;
	CHECK_FAULT(cpu_set_cr0(c, CR0_PE | CR0_PG), VEC_GP);
	c->seg[SEG_TR].ar = AR_P | 11;
	c->seg[SEG_CS].ar |= AR_L;
	CHECK_FAULT(cpu_set_cr0(c, CR0_PE | CR0_PG), VEC_GP);
	c->seg[SEG_CS].ar &= ~AR_L;
	CHECK_OK(cpu_set_cr0(c, CR0_PE | CR0_PG));
	CHECK_EQ(c->efer, EFER_LME | EFER_LMA | EFER_NX);
	CHECK_EQ(c->mmu.role.paging, PAGING_4LEVEL);
	CHECK_EQ(c->code_size, CODE32);
	CHECK_FAULT(cpu_set_efer(c, EFER_NX), VEC_GP);
	CHECK_FAULT(cpu_set_cr4(c, 0), VEC_GP);
	CHECK_FAULT(cpu_set_cr4(c, CR4_PAE | CR4_LA57), VEC_GP);
	CHECK_OK(cpu_set_efer(c, EFER_LME | EFER_SCE));
	CHECK_EQ(c->efer, EFER_LME | EFER_LMA | EFER_SCE);
	CHECK(!c->mmu.role.nx);

	c->seg[SEG_CS].ar = (c->seg[SEG_CS].ar & ~AR_DB) | AR_L;
	cpu_derive(c);
	CHECK_EQ(c->code_size, CODE64);
	CHECK_FAULT(cpu_set_cr0(c, CR0_PE), VEC_GP);
	c->seg[SEG_CS].ar = (c->seg[SEG_CS].ar & ~AR_L) | AR_DB;
	cpu_derive(c);
	CHECK_OK(cpu_set_cr0(c, CR0_PE));
	CHECK_EQ(c->efer, EFER_LME | EFER_SCE);
}

static void test_la57(void)
{
	start32(0);
	CHECK_OK(cpu_set_cr4(c, CR4_PAE | CR4_LA57));
	CHECK_OK(cpu_set_efer(c, EFER_LME));
	CHECK_OK(cpu_set_cr0(c, CR0_PE | CR0_PG));
	CHECK_EQ(c->mmu.role.paging, PAGING_5LEVEL);
	CHECK_FAULT(cpu_set_cr4(c, CR4_PAE), VEC_GP);
}

static void test_efer(void)
{
	start32(0);
	CHECK_FAULT(cpu_set_efer(c, BIT(1)), VEC_GP);
	CHECK_FAULT(cpu_set_efer(c, EFER_SVME), VEC_GP);
	CHECK_FAULT(cpu_set_efer(c, BIT(63)), VEC_GP);
	CHECK_OK(cpu_set_efer(c, EFER_LMA | EFER_SCE));
	CHECK_EQ(c->efer, EFER_SCE);
	c->feat[FEAT_NX / 64] &= ~BIT(FEAT_NX % 64);
	CHECK_FAULT(cpu_set_efer(c, EFER_NX), VEC_GP);
}

static void test_cr3(void)
{
	start64(0);
	CHECK_OK(cpu_set_cr3(c, 0x5018));
	CHECK_EQ(c->mmu.cr3, 0x5018);
	CHECK_EQ(flushed.cr3, 1);
	CHECK(!flushed.kept);
	CHECK_FAULT(cpu_set_cr3(c, BIT(63) | 0x5000), VEC_GP);
	CHECK_FAULT(cpu_set_cr3(c, BIT(c->maxphyaddr)), VEC_GP);
	CHECK_OK(cpu_set_cr3(c, BIT(c->maxphyaddr - 1)));

	start64(0);
	CHECK_OK(cpu_set_cr4(c, c->cr4 | CR4_PCIDE));
	CHECK_OK(cpu_set_cr3(c, BIT(63) | 0x5007));
	CHECK_EQ(c->mmu.cr3, 0x5007);
	CHECK(flushed.kept);
	CHECK_FAULT(cpu_set_cr0(c, c->cr0 & ~CR0_PG), VEC_GP);
}

static void test_pae(void)
{
	start32(0);
	*pdpte(0) = PDIR | PTE_P;
	*pdpte(1) = PDIR | PTE_P | PTE_W; /* W is reserved */
	c->mmu.cr3 = PDPT;
	CHECK_OK(cpu_set_cr4(c, CR4_PAE));
	CHECK_FAULT(cpu_set_cr0(c, CR0_PE | CR0_PG), VEC_GP);
	*pdpte(1) = 0;
	CHECK_OK(cpu_set_cr0(c, CR0_PE | CR0_PG));
	CHECK_EQ(c->mmu.role.paging, PAGING_PAE);
	CHECK_EQ(c->mmu.pdptr[0], PDIR | PTE_P);
	/* A bit that has to do with paging reloads the PDPTEs. */
	*pdpte(0) = PDIR | PTE_P | PTE_PCD;
	CHECK_OK(cpu_set_cr4(c, CR4_PAE | CR4_TSD));
	CHECK_EQ(c->mmu.pdptr[0], PDIR | PTE_P);
	CHECK_OK(cpu_set_cr4(c, CR4_PAE | CR4_TSD | CR4_PGE));
	CHECK_EQ(c->mmu.pdptr[0], PDIR | PTE_P | PTE_PCD);
	*pdpte(2) = PTE_P | PTE_U;
	CHECK_FAULT(cpu_set_cr3(c, PDPT), VEC_GP);
	CHECK_FAULT(cpu_set_cr4(c, CR4_PAE), VEC_GP);
}

static void test_cr4(void)
{
	start64(0);
	CHECK_FAULT(cpu_set_cr4(c, c->cr4 | BIT(15)), VEC_GP);
	CHECK_FAULT(cpu_set_cr4(c, c->cr4 | BIT(32)), VEC_GP);
	CHECK_FAULT(cpu_set_cr4(c, c->cr4 | CR4_VMXE), VEC_GP);
	CHECK_FAULT(cpu_set_cr4(c, c->cr4 | CR4_SMXE), VEC_GP);
	CHECK_OK(cpu_set_cr4(c, c->cr4 | CR4_TSD | CR4_OSXMMEXCPT));
	CHECK_EQ(flushed.all, 0);
	CHECK_OK(cpu_set_cr4(c, c->cr4 ^ CR4_PGE));
	CHECK_EQ(flushed.all, 1);
	CHECK_OK(cpu_set_cr4(c, c->cr4 | CR4_SMEP));
	CHECK_EQ(flushed.all, 2);
	c->mmu.cr3 |= 1;
	CHECK_FAULT(cpu_set_cr4(c, c->cr4 | CR4_PCIDE), VEC_GP);
	c->mmu.cr3 &= ~1ull;
	CHECK_OK(cpu_set_cr4(c, c->cr4 | CR4_PCIDE));
	c->mmu.cr3 |= 5;
	CHECK_OK(cpu_set_cr4(c, c->cr4 & ~CR4_PCIDE));
	CHECK_EQ(flushed.all, 4);
	start32(0);
	CHECK_FAULT(cpu_set_cr4(c, CR4_PCIDE), VEC_GP);
	c->cr4_rsvd |= CR4_SMAP;
	CHECK_FAULT(cpu_set_cr4(c, CR4_SMAP), VEC_GP);
}

static void test_insns(void)
{
	start64(0);
	c->cr2 = 0x123456789abc;
	CHECK_OK(EXEC(0x0f, 0x20, 0xd0)); /* mov rax, cr2 */
	CHECK_EQ(c->gpr[RAX], 0x123456789abc);
	c->gpr[RAX] = 0x10;
	CHECK_FAULT(EXEC(0x44, 0x0f, 0x22, 0xc0), VEC_GP); /* mov cr8, rax */
	c->gpr[RAX] = 9;
	CHECK_EXIT(EXEC(0x44, 0x0f, 0x22, 0xc0), EXIT_CR_ACCESS);
	CHECK_EQ(c->exit.value, 9);
	c->cr8 = 9;
	CHECK_OK(EXEC(0x44, 0x0f, 0x20, 0xc3)); /* mov rbx, cr8 */
	CHECK_EQ(c->gpr[RBX], 9);

	/* LMSW sets PE but does not clear it. */
	start_real();
	c->gpr[RAX] = 0xffff;
	CHECK_OK(EXEC(0x0f, 0x01, 0xf0)); /* lmsw ax */
	CHECK_EQ(c->cr0, CR0_ET | CR0_PE | CR0_MP | CR0_EM | CR0_TS);
	CHECK_OK(EXEC(0x0f, 0x06)); /* clts */
	c->gpr[RAX] = 0;
	CHECK_OK(EXEC(0x0f, 0x01, 0xf0));
	CHECK_EQ(c->cr0, CR0_ET | CR0_PE);

	start64(3);
	CHECK_OK(EXEC(0x0f, 0x01, 0xe0)); /* smsw eax */
	CHECK_EQ(c->gpr[RAX], (uint32_t)c->cr0);
	c->cr4 |= CR4_UMIP;
	CHECK_FAULT(EXEC(0x0f, 0x01, 0xe0), VEC_GP);
}

static void test_debug_registers(void)
{
	start64(0);
	c->gpr[RAX] = 0x123456789a;
	CHECK_OK(EXEC(0x0f, 0x23, 0xd8)); /* mov dr3, rax */
	CHECK_EQ(c->dr[3], 0x123456789a);
	CHECK_FAULT(EXEC(0x0f, 0x23, 0xf0), VEC_GP); /* mov dr6, rax */
	c->gpr[RAX] = 0xffffffff;
	CHECK_OK(EXEC(0x0f, 0x23, 0xe0)); /* mov dr4 is dr6 */
	CHECK_EQ(c->dr6, 0xffffefff);
	c->gpr[RAX] = 0;
	CHECK_OK(EXEC(0x0f, 0x23, 0xf0));
	CHECK_EQ(c->dr6, 0xffff0ff0);
	c->gpr[RAX] = 0xffffffff & ~DR7_GD;
	CHECK_OK(EXEC(0x0f, 0x23, 0xf8)); /* mov dr7, rax */
	CHECK_EQ(c->dr7, 0xffff0fff & ~BIT(11));
	c->cr4 |= CR4_DE;
	CHECK_FAULT(EXEC(0x0f, 0x23, 0xe0), VEC_UD);
	c->dr7 |= DR7_GD;
	CHECK_FAULT(EXEC(0x0f, 0x23, 0xe8), VEC_UD);
	CHECK_FAULT(EXEC(0x0f, 0x21, 0xf8), VEC_DB); /* mov rax, dr7 */
	CHECK_EQ(c->fault.address, DR6_BD);
}

static void test_invlpg(void)
{
	start64(0);
	c->gpr[RAX] = 0xffff800012345678;
	CHECK_OK(EXEC(0x0f, 0x01, 0x38)); /* invlpg [rax] */
	CHECK_EQ(flushed.gva, 1);
	CHECK_EQ(flushed.last_gva, 0xffff800012345678);
	c->gpr[RAX] = 0x800012345678;
	CHECK_OK(EXEC(0x0f, 0x01, 0x38));
	CHECK_EQ(flushed.gva, 0);
	start32(0);
	c->seg[SEG_FS].base = 0xfffff000;
	c->gpr[RAX] = 0x2345;
	CHECK_OK(EXEC(0x64, 0x0f, 0x01, 0x38)); /* invlpg fs:[eax] */
	CHECK_EQ(flushed.last_gva, 0x1345);
}

static enum cpu_result invpcid(uint64_t type, uint64_t pcid, uint64_t gva)
{
	memcpy(ram + DATA, &pcid, 8);
	memcpy(ram + DATA + 8, &gva, 8);
	c->gpr[RAX] = type;
	c->gpr[RBX] = DATA;
	return EXEC(0x66, 0x0f, 0x38, 0x82, 0x03); /* invpcid rax, [rbx] */
}

static void test_invpcid(void)
{
	start64(0);
	CHECK_FAULT(invpcid(4, 0, 0), VEC_GP);
	CHECK_FAULT(invpcid(0, 0x1000, 0), VEC_GP);
	CHECK_FAULT(invpcid(0, 5, 0), VEC_GP); /* no PCIDE */
	CHECK_OK(invpcid(0, 0, 0x7000));
	CHECK_EQ(flushed.pcid_gva, 1);
	c->cr4 |= CR4_PCIDE;
	cpu_derive(c);
	CHECK_OK(invpcid(0, 5, 0x7000));
	CHECK_EQ(flushed.last_pcid, 5);
	CHECK_EQ(flushed.last_gva, 0x7000);
	CHECK_FAULT(invpcid(0, 5, BIT(63)), VEC_GP);
	CHECK_OK(invpcid(1, 6, BIT(63)));
	CHECK_EQ(flushed.pcid, 1);
	CHECK_OK(invpcid(2, 0, 0));
	CHECK_EQ(flushed.all, 1);
	CHECK_OK(invpcid(3, 0, 0));
	CHECK_EQ(flushed.nonglobal, 1);
	*pte(DATA) = 0;
	c->gpr[RAX] = 2;
	CHECK_FAULT(EXEC(0x66, 0x0f, 0x38, 0x82, 0x03), VEC_PF);
}

static void test_reset(void)
{
	start64(3);
	c->star = 1;
	c->pat = 0;
	c->dr7 = 0x401;
	c->cr0 |= CR0_CD;
	cpu_reset(c, true);
	CHECK_EQ(c->cr0, CR0_ET | CR0_CD);
	CHECK_EQ(c->star, 1);
	CHECK_EQ(c->efer, 0);
	CHECK_EQ(c->cpl, 0);
	CHECK_EQ(c->rip, 0xfff0);
	CHECK_EQ(c->seg[SEG_CS].base, 0xffff0000);
	CHECK_EQ(c->seg[SEG_CS].ar, 0x9b);
	CHECK_EQ(c->seg[SEG_DS].ar, 0x93);
	CHECK_EQ(c->dr7, 0x400);
	CHECK_EQ(c->code_size, CODE16);
	CHECK_EQ(c->mmu.role.paging, PAGING_NONE);
	cpu_reset(c, false);
	CHECK_EQ(c->cr0, CR0_ET | CR0_CD | CR0_NW);
	CHECK_EQ(c->star, 0);
	CHECK_EQ(c->pat, 0x0007040600070406);
	CHECK_EQ(c->xcr0, 1);
}

int main(void)
{
	machine_create();
	test_cr0();
	test_long_mode();
	test_la57();
	test_efer();
	test_cr3();
	test_pae();
	test_cr4();
	test_insns();
	test_debug_registers();
	test_invlpg();
	test_invpcid();
	test_reset();
	return test_done();
}
