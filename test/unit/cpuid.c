/*
 * CPUID tables and MSRs: what is offered, what follows from a guest's table,
 * bits that follow the processor's state, leaves out of range; each MSR's
 * checks, and that every listed value can be set back.
 */
#include "cpu/msr.h"
#include "cpu/tsc.h"
#include "test/unit/machine.h"

static struct cpuid_entry table[MAX_CPUID_ENTRIES];
static unsigned int nr;

static struct cpuid_entry *entry(uint32_t function, uint32_t index)
{
	for (unsigned int n = 0; n < nr; n++)
		if (table[n].function == function &&
		    (!table[n].indexed || table[n].index == index))
			return &table[n];
	return NULL;
}

static void test_supported(void)
{
	const uint32_t needed[] = { 0,		1,	    4,
				    6,		7,	    0xa,
				    0xb,	0xd,	    0x15,
				    0x40000000, 0x40000001, 0x80000000,
				    0x80000001, 0x80000002, 0x80000006,
				    0x80000008 };
	struct cpuid_entry host;

	nr = cpuid_supported(table, MAX_CPUID_ENTRIES, 2300000);
	CHECK(nr <= 64);
	CHECK_EQ(cpuid_supported(table, 3, 0) > 3, true);
	nr = cpuid_supported(table, MAX_CPUID_ENTRIES, 2300000);
	for (unsigned int n = 0; n < ARRAY_SIZE(needed); n++)
		CHECK(entry(needed[n], 0));
	cpuid_host(0, 0, &host);
	CHECK_EQ(entry(0, 0)->ebx, host.ebx);
	CHECK_EQ(entry(0, 0)->edx, host.edx);
	/* Never: VMX, MONITOR, AVX-512, HLE, RTM, AMX, CET, XFD. */
	CHECK(!(entry(1, 0)->ecx & (BIT(3) | BIT(5))));
	CHECK(!(entry(7, 0)->ebx & (BIT(4) | BIT(11) | BIT(16))));
	CHECK(!(entry(7, 0)->edx & (BIT(20) | BIT(24))));
	CHECK(!(entry(7, 0)->ecx & BIT(7)));
	CHECK(!(entry(0xd, 1)->eax & BIT(4)));
	CHECK(!(entry(0xd, 0)->eax & 0xe0));
	/* Always: hypervisor, x2APIC, deadline timer, UMIP, SMEP, SMAP, NX. */
	CHECK_EQ(entry(1, 0)->ecx >> 31, 1);
	CHECK((entry(1, 0)->ecx & BIT(21)) && (entry(1, 0)->ecx & BIT(24)));
	CHECK((entry(7, 0)->ebx & BIT(7)) && (entry(7, 0)->ebx & BIT(20)));
	CHECK(entry(7, 0)->ecx & BIT(2));
	CHECK(entry(0x80000001, 0)->edx & BIT(20));
	CHECK_EQ(entry(0x40000000, 0)->ebx, 0x4b4d564b);
	/* TSC from the crystal: 2.3 GHz. */
	CHECK_EQ((uint64_t)entry(0x15, 0)->ecx * entry(0x15, 0)->ebx /
			 entry(0x15, 0)->eax,
		 2300000000);
}

static uint32_t reg(const struct cpuid_entry *e, unsigned int n)
{
	const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

	return regs[n];
}

static void test_native_subset(void)
{
	/* What runs on the silicon must be there. */
	for (unsigned int f = 1; f < NR_FEATS; f++) {
		const struct x86_feat_bit *b = &x86_feats[f];
		struct cpuid_entry *e = entry(b->leaf, b->subleaf), host;

		if (!e || !(reg(e, b->reg) & BIT(b->bit)))
			continue;
		CHECK(cpuid_feat_supported(f));
		cpuid_host(b->leaf, b->subleaf, &host);
		if (f == FEAT_AVX || f == FEAT_BMI2 || f == FEAT_SHA ||
		    f == FEAT_AVX2 || f == FEAT_GFNI || f == FEAT_XSAVE)
			CHECK(reg(&host, b->reg) & BIT(b->bit));
	}
}

static void test_set(void)
{
	fresh();
	CHECK_EQ(cpuid_set(c, table, nr), 0);
	CHECK(has_feat(c, FEAT_SMEP) && has_feat(c, FEAT_LM));
	CHECK(!has_feat(c, FEAT_VMX));
	CHECK(!(c->cr4_rsvd & CR4_SMEP));
	CHECK(c->cr4_rsvd & CR4_VMXE);
	CHECK_EQ(c->maxphyaddr, entry(0x80000008, 0)->eax & 0xff);
	entry(7, 0)->ebx &= ~BIT(7);
	entry(1, 0)->ecx |= BIT(5); /* VMX: shown, but not there */
	CHECK_EQ(cpuid_set(c, table, nr), 0);
	CHECK(!has_feat(c, FEAT_SMEP));
	CHECK(!has_feat(c, FEAT_VMX));
	CHECK(c->cr4_rsvd & CR4_SMEP);
	CHECK_EQ(cpuid_set(c, table, MAX_CPUID_ENTRIES + 1), -7);
}

static void cpuid(uint32_t eax, uint32_t ecx)
{
	c->gpr[RAX] = 0xffffffff00000000 | eax;
	c->gpr[RCX] = 0xffffffff00000000 | ecx;
	CHECK_OK(EXEC(0x0f, 0xa2));
}

static void test_insn(void)
{
	start64(3);
	CHECK_EQ(cpuid_set(c, table, nr), 0);
	cpuid(0, 0);
	CHECK_EQ(c->gpr[RAX], entry(0, 0)->eax);
	CHECK_EQ(c->gpr[RBX], entry(0, 0)->ebx);
	cpuid(1, 0);
	CHECK(c->gpr[RCX] & BIT(27)); /* OSXSAVE */
	CHECK(!(c->gpr[RDX] & BIT(9)));
	c->apic_base = BIT(11);
	c->cr4 &= ~CR4_OSXSAVE;
	cpuid(1, 0);
	CHECK(!(c->gpr[RCX] & BIT(27)));
	CHECK(c->gpr[RDX] & BIT(9));
	c->xcr0 = 1;
	cpuid(0xd, 0);
	CHECK_EQ(c->gpr[RBX], 576);
	c->xcr0 = 7;
	cpuid(0xd, 0);
	CHECK_EQ(c->gpr[RBX], 832);
	if (cpuid_is_intel(c)) {
		struct cpuid_entry last;

		cpuid_read(c, entry(0, 0)->eax, 0, &last);
		cpuid(0x1234, 0);
		CHECK_EQ(c->gpr[RAX], last.eax);
		cpuid(0x40000002, 0);
		CHECK_EQ(c->gpr[RAX], last.eax);
		cpuid(0x8fffffff, 0);
		CHECK_EQ(c->gpr[RAX], last.eax);
	}
	/* A leaf in range that is missing reads as zero. */
	cpuid(9, 0);
	CHECK_EQ(c->gpr[RAX] | c->gpr[RBX] | c->gpr[RCX] | c->gpr[RDX], 0);
	/* An index out of range of the topology leaf. */
	cpuid(0xb, 77);
	CHECK_EQ(c->gpr[RCX] & 0xff, 77);
	c->misc_features = 1;
	CHECK_FAULT(EXEC(0x0f, 0xa2), VEC_GP);
}

static enum cpu_result wrmsr(uint32_t index, uint64_t v)
{
	c->gpr[RCX] = index;
	c->gpr[RAX] = 0xabcd00000000 | (uint32_t)v;
	c->gpr[RDX] = v >> 32;
	return EXEC(0x0f, 0x30);
}

static enum cpu_result rdmsr(uint32_t index, uint64_t *v)
{
	enum cpu_result r;

	c->gpr[RCX] = index;
	r = EXEC(0x0f, 0x32);
	*v = c->gpr[RDX] << 32 | c->gpr[RAX];
	return r;
}

static uint64_t rd(uint32_t index)
{
	uint64_t v;

	CHECK_OK(rdmsr(index, &v));
	return v;
}

static void test_msr_values(void)
{
	uint64_t v;

	start64(0);
	CHECK_FAULT(rdmsr(0x12345678, &v), VEC_GP);
	CHECK_FAULT(wrmsr(0x186, 0), VEC_GP);
	CHECK_OK(wrmsr(0xc0000082, 0xffffffff81000000));
	CHECK_EQ(rd(0xc0000082), 0xffffffff81000000);
	CHECK_EQ(c->lstar, 0xffffffff81000000);
	c->feat[FEAT_LA57 / 64] &= ~BIT(FEAT_LA57 % 64);
	CHECK_FAULT(wrmsr(0xc0000082, BIT(47)), VEC_GP);
	CHECK_FAULT(wrmsr(0xc0000100, BIT(63)), VEC_GP);
	CHECK_OK(wrmsr(0xc0000101, 0x7fff12345678));
	CHECK_EQ(c->seg[SEG_GS].base, 0x7fff12345678);
	CHECK_OK(wrmsr(0x277, 0x0007010600070106));
	CHECK_FAULT(wrmsr(0x277, 2), VEC_GP);
	CHECK_FAULT(wrmsr(0x277, 8ull << 40), VEC_GP);
	CHECK_OK(wrmsr(0x2ff, 0xc06));
	CHECK_FAULT(wrmsr(0x2ff, 0x100), VEC_GP);
	CHECK_FAULT(wrmsr(0x2ff, 7), VEC_GP);
	CHECK_FAULT(wrmsr(0x201, BIT(c->maxphyaddr)), VEC_GP);
	CHECK_OK(wrmsr(0x201, 0x800));
	CHECK_FAULT(wrmsr(0x200, 0x806), VEC_GP);
	CHECK_OK(wrmsr(0x26f, 0x0606060606060606));
	CHECK_EQ(c->mtrr_fix[10], 0x0606060606060606);
	CHECK_FAULT(wrmsr(0x250, 0x0706), VEC_GP);
	CHECK_EQ(rd(0xfe), 0x508);
	CHECK_FAULT(wrmsr(0xfe, 0x508), VEC_GP);
	CHECK_FAULT(wrmsr(0x49, 2), VEC_GP);
	CHECK_OK(wrmsr(0x49, 1));
	CHECK_FAULT(rdmsr(0x49, &v), VEC_GP);
	CHECK_OK(wrmsr(0x48, 1));
	CHECK_FAULT(wrmsr(0x48, 0x100), VEC_GP);
	CHECK(rd(0x10a) & BIT(0));
	CHECK_FAULT(wrmsr(0x10a, 0), VEC_GP);
	CHECK_FAULT(wrmsr(0x3a, 5), VEC_GP);
	CHECK_FAULT(wrmsr(0xc0000080, BIT(1)), VEC_GP);
	CHECK_OK(wrmsr(0xc0000080, c->efer | EFER_SCE));
	CHECK_OK(wrmsr(0x140, 1));
	CHECK_FAULT(wrmsr(0x140, 2), VEC_GP);
	CHECK_EQ(rd(0x8b) != 0, true);
	CHECK_OK(wrmsr(0x8b, 0));
	CHECK_EQ(rd(0x8b) != 0, true);
}

static void test_msr_mce(void)
{
	uint64_t v;

	start64(0);
	CHECK_EQ(rd(0x179), 32);
	CHECK_EQ(rd(0x400), ~0ull);
	CHECK_OK(wrmsr(0x400, 0));
	CHECK_FAULT(wrmsr(0x400, 5), VEC_GP);
	CHECK_FAULT(wrmsr(0x401, 1), VEC_GP);
	CHECK_OK(wrmsr(0x401, 0));
	CHECK_EQ(msr_write(c, 0x401, 1, true), MSR_DONE);
	CHECK_FAULT(wrmsr(0x17b, 0), VEC_GP);
	c->mcg_cap = 0x100010a;
	CHECK_OK(rdmsr(0x427, &v));
	CHECK_FAULT(rdmsr(0x428, &v), VEC_GP);
	c->mcg_cap |= MCG_CTL_P;
	CHECK_OK(wrmsr(0x17b, ~0ull));
	CHECK_FAULT(wrmsr(0x17b, 1), VEC_GP);
}

static void test_msr_root(void)
{
	const uint32_t root[] = { 0x1b, 0x6e0, 0x800, 0x8ff, 0x11, 0x4b564d01 };
	uint64_t v;

	start64(0);
	for (unsigned int n = 0; n < ARRAY_SIZE(root); n++) {
		CHECK_EXIT(rdmsr(root[n], &v), EXIT_MSR_READ);
		CHECK_EQ(c->exit.msr, root[n]);
		CHECK_EXIT(wrmsr(root[n], 0x100000002), EXIT_MSR_WRITE);
		CHECK_EQ(c->exit.value, 0x100000002);
	}
	c->msr_exits = true;
	CHECK_EXIT(rdmsr(0xc0000082, &v), EXIT_MSR_READ);
	c->msr_exits = false;
}

static void test_tsc(void)
{
	uint64_t t;

	start64(3);
	c->tsc_offset = 0;
	c->gpr[RDX] = c->gpr[RAX] = ~0ull;
	t = host_rdtsc();
	CHECK_OK(EXEC(0x0f, 0x31));
	CHECK((c->gpr[RDX] << 32 | c->gpr[RAX]) - t < BIT(32));
	c->tsc_aux = 7;
	CHECK_OK(EXEC(0x0f, 0x01, 0xf9)); /* rdtscp */
	CHECK_EQ(c->gpr[RCX], 7);
	CHECK_OK(EXEC(0xf3, 0x0f, 0xc7, 0xfb)); /* rdpid rbx */
	CHECK_EQ(c->gpr[RBX], 7);
	c->cr4 |= CR4_TSD;
	CHECK_FAULT(EXEC(0x0f, 0x31), VEC_GP);
	CHECK_FAULT(EXEC(0x0f, 0x01, 0xf9), VEC_GP);
	CHECK_FAULT(EXEC(0x0f, 0x33), VEC_GP); /* rdpmc */

	/* The guest's clock follows a write: root mode's. */
	start64(0);
	CHECK_EXIT(wrmsr(0x10, 1000), EXIT_MSR_WRITE);
	CHECK_EXIT(wrmsr(0x3b, 1000), EXIT_MSR_WRITE);
	c->tsc_offset = 1000 - host_rdtsc();
	CHECK(rd(0x10) - 1000 < BIT(32));
}

/* KVM's rule: a listed MSR takes back the value that it gave. */
static void test_msr_list(void)
{
	uint32_t list[256];
	unsigned int n = msr_list(list, 256);

	CHECK(msr_table_sorted());
	CHECK(n > 20 && n < 64);
	CHECK_EQ(msr_list(list, 1), n);
	start64(0);
	for (unsigned int k = 0; k < n; k++) {
		uint64_t v;
		enum msr_status s = msr_read(c, list[k], &v, true);

		CHECK(s == MSR_DONE || s == MSR_TO_ROOT);
		if (s != MSR_DONE)
			continue;
		s = msr_write(c, list[k], v, true);
		CHECK(s == MSR_DONE || s == MSR_TO_ROOT);
	}
}

int main(void)
{
	machine_create();
	test_supported();
	test_native_subset();
	test_set();
	nr = cpuid_supported(table, MAX_CPUID_ENTRIES, 2300000);
	test_insn();
	test_msr_values();
	test_msr_mce();
	test_msr_root();
	test_tsc();
	test_msr_list();
	return test_done();
}
