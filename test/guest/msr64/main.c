/*
 * CPUID, time stamp counter and model-specific registers: what must be there,
 * what reads back, what must raise #GP.
 */
#include "test/guest/lib/paging64.h"

static int try_rdmsr(u32 msr)
{
	return TRY("rdmsr", : : "c"(msr) : "rax", "rdx", "memory");
}

static int try_wrmsr(u32 msr, u64 v)
{
	return TRY("wrmsr",
		   :
		   : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32))
		   : "memory");
}

static void cpuid_leaves(void)
{
	struct cpuid r;

	CHECK("max", cpuid_max(0) >= 7);
	CHECK("extended", cpuid_max(0x80000000) >= 0x80000008);
	CHECK("long mode", has(FEAT_LM));
	CHECK("apic", cpuid(1, 0).d & BIT(9));
	CHECK("hypervisor", cpuid(1, 0).c & BIT(31));
	r = cpuid(0x80000008, 0);
	CHECK("phys bits", (r.a & 0xff) >= 36 && (r.a & 0xff) <= 52);
	CHECK("virt bits", (r.a >> 8 & 0xff) == 48 || (r.a >> 8 & 0xff) == 57);
	/* CPUID zeroes the upper halves. */
	u64 a = -1ull << 32, b = -1ull, c = -1ull << 32, d = -1ull;

	asm volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	CHECK_EQ("upper halves", (a | b | c | d) >> 32, 0);
	/* Control register bits show up. */
	CHECK_EQ("osxsave", cpuid(1, 0).c & BIT(27), 0);
}

static void time_stamps(void)
{
	u64 a = rdtsc(), b;

	for (int i = 0; i < 1000; i++) {
		b = rdtsc();
		CHECK("monotonic", b >= a);
		a = b;
	}
	wrmsr(MSR_TSC, 1000);
	b = rdtsc();
	CHECK("written", b >= 1000 && b < 0x100000000000);
	wrmsr(MSR_TSC, 0x700000000000);
	b = rdmsr(MSR_TSC);
	CHECK("large", b >= 0x700000000000 && b < 0x700100000000);
	wrmsr(MSR_TSC, a);
}

static void round_trip(u32 msr, u64 v)
{
	u64 old = rdmsr(msr);

	wrmsr(msr, v);
	CHECK_EQ("reads back", rdmsr(msr), v);
	wrmsr(msr, old);
}

static void read_back(void)
{
	round_trip(MSR_STAR, 0x1122334455667788);
	round_trip(MSR_LSTAR, 0xffff800012345678);
	round_trip(MSR_CSTAR, 0x00007fff12345678);
	round_trip(MSR_FMASK, 0x47700);
	round_trip(MSR_FS_BASE, 0x00007fffffffffff);
	round_trip(MSR_GS_BASE, 0xffff800000000000);
	round_trip(MSR_KERNEL_GS_BASE, 0xffffffffffffffff);
	round_trip(MSR_SYSENTER_CS, 0x10);
	round_trip(MSR_SYSENTER_ESP, 0xffff880000000000);
	round_trip(MSR_SYSENTER_EIP, 0x1234567);
	round_trip(MSR_PAT, 0x0007040600070406);
	CHECK_EQ("lma", rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA),
		 EFER_LME | EFER_LMA);
	if (has(FEAT_RDTSCP))
		round_trip(MSR_TSC_AUX, 0x12345678);
}

static void bad_values(void)
{
	CHECK_TRAP("pat type 2", try_wrmsr(MSR_PAT, 0x0007040600070402), X_GP,
		   0);
	CHECK_TRAP("pat type 8", try_wrmsr(MSR_PAT, 0x0807040600070406), X_GP,
		   0);
	CHECK_TRAP("lstar", try_wrmsr(MSR_LSTAR, BIT(60)), X_GP, 0);
	CHECK_TRAP("cstar", try_wrmsr(MSR_CSTAR, BIT(60)), X_GP, 0);
	CHECK_TRAP("gs base", try_wrmsr(MSR_GS_BASE, BIT(60)), X_GP, 0);
	CHECK_TRAP("kernel gs", try_wrmsr(MSR_KERNEL_GS_BASE, BIT(60)), X_GP,
		   0);
	CHECK_TRAP("sysenter eip", try_wrmsr(MSR_SYSENTER_EIP, BIT(60)), X_GP,
		   0);
	CHECK_TRAP("efer", try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | BIT(40)), X_GP,
		   0);
	CHECK_TRAP("apic base",
		   try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(60)),
		   X_GP, 0);
	if (has(FEAT_RDTSCP))
		CHECK_TRAP("tsc aux", try_wrmsr(MSR_TSC_AUX, BIT(32)), X_GP, 0);
}

static void unknown(void)
{
	static const u32 none[] = { 0x2, 0x7fffffff, 0xc0000fff, 0x12345678,
				    0xc0012345 };

	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		CHECK_TRAP("rdmsr", try_rdmsr(none[i]), X_GP, 0);
		CHECK_TRAP("wrmsr", try_wrmsr(none[i], 0), X_GP, 0);
	}
}

/* EFER.LMA is not writable, LME not changeable with paging on. */
static void efer(void)
{
	u64 v = rdmsr(MSR_EFER);

	wrmsr(MSR_EFER, v | EFER_NXE);
	CHECK_EQ("nxe", rdmsr(MSR_EFER), v | EFER_NXE);
	wrmsr(MSR_EFER, (v & ~EFER_NXE) & ~EFER_LMA);
	CHECK_EQ("lma stays", rdmsr(MSR_EFER) & EFER_LMA, EFER_LMA);
	wrmsr(MSR_EFER, v);
}

static void paravirtual(void)
{
	struct cpuid r = cpuid(0x40000000, 0);

	CHECK_EQ("KVMK", r.b, 0x4b4d564b);
	CHECK_EQ("VMKV", r.c, 0x564b4d56);
	CHECK_EQ("M", r.d, 0x4d);
	CHECK("features", r.a >= 0x40000001);
}

/* kvmclock: the version is even and the scaled time moves on. */
struct pvclock {
	u32 version, pad;
	u64 tsc, ns;
	u32 mul;
	s8 shift;
	u8 flags, pad2[2];
};

static void kvmclock(void)
{
	static struct pvclock clock __attribute__((aligned(64)));
	volatile struct pvclock *c = &clock;

	if (!(cpuid(0x40000001, 0).a & BIT(3)))
		return;
	wrmsr(0x4b564d01, (u64)&clock | 1);
	CHECK_EQ("msr", rdmsr(0x4b564d01), (u64)&clock | 1);
	CHECK("filled", c->version && !(c->version & 1));
	CHECK("scale", c->mul != 0);
	u64 a = c->ns;

	wrmsr(0x4b564d01, (u64)&clock | 1);
	CHECK("moves on", c->ns >= a);
	wrmsr(0x4b564d01, 0);
}

static bool is_kvm(void)
{
	return (cpuid(1, 0).c & BIT(31)) &&
	       cpuid(0x40000000, 0).b == 0x4b4d564b;
}

void guest_main(void)
{
	RUN(cpuid_leaves);
	RUN(time_stamps);
	RUN(read_back);
	RUN(bad_values);
	RUN(unknown);
	RUN(efer);
	RUN_IF(is_kvm(), paravirtual);
	RUN_IF(is_kvm(), kvmclock);
}
