#include "cpu/cpuid.h"

#include <pthread.h>

#include "cpu/fpu.h"
#include "host/rundelay.h"

/* What this host and the engine together offer (KVM_GET_SUPPORTED_CPUID). */

#define SIG_KVM_EBX 0x4b4d564b /* "KVMK" */
#define SIG_KVM_ECX 0x564b4d56 /* "VMKV" */
#define SIG_KVM_EDX 0x4d       /* "M" */

/* CLOCKSOURCE, NOP_IO_DELAY, CLOCKSOURCE2, PV_EOI, PV_UNHALT, PV_SEND_IPI,
 * PV_SCHED_YIELD, CLOCKSOURCE_STABLE. */
#define KVM_FEATURES                                                           \
	(BIT(0) | BIT(1) | BIT(3) | BIT(6) | BIT(7) | BIT(11) | BIT(13) |      \
	 BIT(24))
/* STEAL_TIME and what needs it, PV_TLB_FLUSH. */
#define KVM_STEAL_FEATURES (BIT(5) | BIT(9))

/* 0x80000021 EAX: not vulnerable to speculative return stack overflow. */
#define SRSO_NO BIT(29)
/* 0x80000021 ECX: TSA_SQ_NO, TSA_L1_NO. */
#define TSA_NO (BIT(1) | BIT(2))

/* The local APIC's bus clock, which is also the crystal clock of leaf 0x15. */
#define CRYSTAL_HZ 1000000000u

enum source { SOURCE_NONE, SOURCE_HOST, SOURCE_SELF };

static const uint8_t offer[NR_FEATS] = {
#define OFFER(name, source) [FEAT_##name] = SOURCE_##source,
#include "cpu/cpuid.def"
#undef OFFER
};

void cpuid_host(uint32_t function, uint32_t index, struct cpuid_entry *out)
{
	*out = (struct cpuid_entry){ .function = function, .index = index };
	__asm__ volatile("cpuid"
			 : "=a"(out->eax), "=b"(out->ebx), "=c"(out->ecx),
			   "=d"(out->edx)
			 : "a"(function), "c"(index));
}

static uint32_t *entry_reg(struct cpuid_entry *e, unsigned int reg)
{
	uint32_t *regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

	return regs[reg];
}

static uint32_t host_max(uint32_t base)
{
	struct cpuid_entry e;

	cpuid_host(base, 0, &e);
	return e.eax >= base && e.eax < base + 0x10000 ? e.eax : base;
}

static bool host_has(unsigned int feat)
{
	const struct x86_feat_bit *b = &x86_feats[feat];
	struct cpuid_entry e;

	if (host_max(b->leaf & 0xffff0000) < b->leaf)
		return false;
	cpuid_host(b->leaf, b->subleaf, &e);
	return *entry_reg(&e, b->reg) & BIT(b->bit);
}

/* Features that need state a host's kernel may not have enabled. */
static uint64_t needs_xcr0(unsigned int feat)
{
	switch (feat) {
	case FEAT_AVX:
	case FEAT_FMA:
	case FEAT_F16C:
	case FEAT_AVX2:
	case FEAT_VAES:
	case FEAT_VPCLMULQDQ:
	case FEAT_AVX_VNNI:
	case FEAT_AVX_IFMA:
		return XCR0_AVX;
	case FEAT_XSAVE:
	case FEAT_XSAVEOPT:
	case FEAT_XSAVEC:
	case FEAT_XGETBV1:
	case FEAT_XSAVES:
		return XCR0_X87;
	case FEAT_PKU:
		return XCR0_PKRU;
	default:
		return 0;
	}
}

static uint64_t supported[NR_FEATS / 64 + 1];
static pthread_once_t supported_once = PTHREAD_ONCE_INIT;

static void find_supported(void)
{
	uint64_t xcr0 = fpu_supported_xcr0();

	for (unsigned int f = 1; f < NR_FEATS; f++) {
		if (offer[f] == SOURCE_NONE || (needs_xcr0(f) & ~xcr0))
			continue;
		if (offer[f] == SOURCE_SELF || host_has(f))
			supported[f / 64] |= BIT(f % 64);
	}
}

bool cpuid_feat_supported(unsigned int feat)
{
	pthread_once(&supported_once, find_supported);
	return supported[feat / 64] & BIT(feat % 64);
}

/* Replaces the registers @regs by the features that are offered in them. */
static void set_features(struct cpuid_entry *e, unsigned int regs)
{
	for (unsigned int r = 0; r < 4; r++)
		if (regs & BIT(r))
			*entry_reg(e, r) = 0;
	for (unsigned int f = 1; f < NR_FEATS; f++) {
		const struct x86_feat_bit *b = &x86_feats[f];

		if (b->leaf == e->function && b->subleaf == e->index &&
		    (regs & BIT(b->reg)) && cpuid_feat_supported(f))
			*entry_reg(e, b->reg) |= BIT(b->bit);
	}
}

#define IN_EAX BIT(CPUID_EAX)
#define IN_EBX BIT(CPUID_EBX)
#define IN_ECX BIT(CPUID_ECX)
#define IN_EDX BIT(CPUID_EDX)
#define IN_ALL (IN_EAX | IN_EBX | IN_ECX | IN_EDX)

struct list {
	struct cpuid_entry *e;
	unsigned int n, max;
	uint32_t tsc_khz;
	uint32_t max_basic, max_ext;
};

static void list_add(struct list *l, const struct cpuid_entry *e)
{
	if (l->n < l->max)
		l->e[l->n] = *e;
	l->n++;
}

static void add_plain(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	cpuid_host(function, 0, &e);
	list_add(l, &e);
}

static void add_leaf0(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	cpuid_host(0, 0, &e);
	e.eax = l->max_basic;
	list_add(l, &e);
}

static void add_leaf1(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	cpuid_host(1, 0, &e);
	/* CLFLUSH size stays; one logical processor, APIC id 0. */
	e.ebx = (e.ebx & 0xff00) | 1 << 16;
	set_features(&e, IN_ECX | IN_EDX);
	list_add(l, &e);
}

/* Deterministic cache parameters: until a level says "no more caches". */
static void add_caches(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	for (unsigned int i = 0; i < 8; i++) {
		cpuid_host(function, i, &e);
		e.indexed = true;
		list_add(l, &e);
		if (!(e.eax & 0x1f))
			break;
	}
}

/* Only features in all registers, nothing of the host's else. */
static void add_features(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	cpuid_host(function, 0, &e);
	set_features(&e, IN_ALL);
	list_add(l, &e);
}

static void add_leaf7(struct list *l, uint32_t function)
{
	const uint32_t last = 2;
	struct cpuid_entry e;

	for (uint32_t i = 0; i <= last; i++) {
		e = (struct cpuid_entry){ .function = 7,
					  .index = i,
					  .indexed = true };
		set_features(&e, IN_ALL);
		if (i == 0)
			e.eax = last;
		list_add(l, &e);
	}
}

/* Extended topology: the levels are the host's, the id is a vCPU's own. */
static void add_topology(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	for (unsigned int i = 0; i < 6; i++) {
		cpuid_host(function, i, &e);
		e.indexed = true;
		e.edx = 0;
		list_add(l, &e);
		if (!(e.ecx & 0xff00))
			break;
	}
}

static void add_xsave(struct list *l, uint32_t function)
{
	uint64_t xcr0 = fpu_supported_xcr0();
	struct cpuid_entry e;

	cpuid_host(0xd, 0, &e);
	e.indexed = true;
	e.eax = xcr0;
	e.edx = xcr0 >> 32;
	e.ebx = e.ecx = fpu_xsave_size(xcr0);
	list_add(l, &e);
	cpuid_host(0xd, 1, &e);
	e.indexed = true;
	e.ebx = fpu_compact_size(xcr0);
	e.ecx = e.edx = 0; /* no supervisor components */
	set_features(&e, IN_EAX);
	list_add(l, &e);
	for (unsigned int i = 2; i < 64; i++) {
		if (!(xcr0 & BIT(i)))
			continue;
		cpuid_host(0xd, i, &e);
		e.indexed = true;
		e.edx = 0;
		list_add(l, &e);
	}
}

/* TSC = crystal * ebx / eax, and the same in MHz. */
static void add_tsc(struct list *l, uint32_t function)
{
	struct cpuid_entry e = { .function = function };

	if (l->tsc_khz && function == 0x15) {
		e.eax = CRYSTAL_HZ / 1000;
		e.ebx = l->tsc_khz;
		e.ecx = CRYSTAL_HZ;
	} else if (l->tsc_khz) {
		e.eax = e.ebx = l->tsc_khz / 1000;
		e.ecx = 100;
	}
	list_add(l, &e);
}

static void add_kvm(struct list *l, uint32_t function)
{
	struct cpuid_entry e = { .function = function };

	if (function == 0x40000000) {
		e.eax = 0x40000001;
		e.ebx = SIG_KVM_EBX;
		e.ecx = SIG_KVM_ECX;
		e.edx = SIG_KVM_EDX;
	} else {
		e.eax = KVM_FEATURES;
		if (rundelay_available())
			e.eax |= KVM_STEAL_FEATURES;
	}
	list_add(l, &e);
}

static void add_ext0(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	cpuid_host(0x80000000, 0, &e);
	e.eax = l->max_ext;
	list_add(l, &e);
}

/* AMD repeats leaf 1's EDX in 0x80000001; Intel leaves it out. */
#define AMD_REPEATED 0x0183f3ff

static void add_ext1(struct list *l, uint32_t function)
{
	struct cpuid_entry e, leaf1;
	uint32_t repeated;

	cpuid_host(1, 0, &leaf1);
	set_features(&leaf1, IN_EDX);
	cpuid_host(0x80000001, 0, &e);
	repeated = e.edx & leaf1.edx & AMD_REPEATED;
	set_features(&e, IN_ECX | IN_EDX);
	e.edx |= repeated;
	list_add(l, &e);
}

static void add_ext8(struct list *l, uint32_t function)
{
	struct cpuid_entry e;
	bool la57 = cpuid_feat_supported(FEAT_LA57);

	cpuid_host(0x80000008, 0, &e);
	e.eax = (e.eax & 0xff) | (la57 ? 57 : 48) << 8;
	set_features(&e, IN_EBX);
	e.ecx = e.edx = 0;
	list_add(l, &e);
}

static void add_ext1e(struct list *l, uint32_t function)
{
	struct cpuid_entry e = { .function = function };

	list_add(l, &e);
}

static void add_ext21(struct list *l, uint32_t function)
{
	struct cpuid_entry e;

	cpuid_host(0x80000021, 0, &e);
	set_features(&e, IN_ALL);
	e.eax |= SRSO_NO;
	e.ecx |= TSA_NO;
	list_add(l, &e);
}

/* Leaves in the order of the answer; what is missing reads as zero. */
static const struct {
	uint32_t function;
	void (*add)(struct list *l, uint32_t function);
} leaves[] = {
	{ 0x0, add_leaf0 },	   { 0x1, add_leaf1 },
	{ 0x2, add_plain },	   { 0x4, add_caches },
	{ 0x6, add_features },	   { 0x7, add_leaf7 },
	{ 0xa, add_features },	   { 0xb, add_topology },
	{ 0xd, add_xsave },	   { 0x15, add_tsc },
	{ 0x16, add_tsc },	   { 0x1f, add_topology },
	{ 0x40000000, add_kvm },   { 0x40000001, add_kvm },
	{ 0x80000000, add_ext0 },  { 0x80000001, add_ext1 },
	{ 0x80000002, add_plain }, { 0x80000003, add_plain },
	{ 0x80000004, add_plain }, { 0x80000005, add_plain },
	{ 0x80000006, add_plain }, { 0x80000007, add_features },
	{ 0x80000008, add_ext8 },  { 0x80000019, add_plain },
	{ 0x8000001a, add_plain }, { 0x8000001d, add_caches },
	{ 0x8000001e, add_ext1e }, { 0x80000021, add_ext21 },
};

/* Highest leaf of a range that is in the table and known to the host. */
static bool leaf_present(const struct list *l, uint32_t function)
{
	if (function >= 0x80000000)
		return function <= l->max_ext;
	return function >= 0x40000000 || function <= l->max_basic;
}

unsigned int cpuid_supported(struct cpuid_entry *out, unsigned int max,
			     uint32_t tsc_khz)
{
	struct list l = { .e = out, .max = max, .tsc_khz = tsc_khz };
	uint32_t host_basic = host_max(0), host_ext = host_max(0x80000000);

	l.max_basic = host_basic < 0x1f ? host_basic : 0x1f;
	if (tsc_khz && l.max_basic < 0x16)
		l.max_basic = 0x16;
	l.max_ext = host_ext < 0x80000021 ? host_ext : 0x80000021;
	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++)
		if (leaf_present(&l, leaves[i].function))
			leaves[i].add(&l, leaves[i].function);
	return l.n;
}
