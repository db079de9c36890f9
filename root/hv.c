#include "root/hv.h"

#include "cpu/cpuid.h"
#include "host/time.h"
#include "mmu/access.h"
#include "root/vcpu.h"

/* Reference time, hypercall page, and who serves which MSR. */

#define PAGE_ENABLED  BIT(0)
#define APIC_TIMER_HZ 1000000000ull
#define SIG_INTERFACE 0x31237648 /* "Hv#1" */

/* The TSC page. */
struct tsc_page {
	uint32_t sequence; /* 0: not valid, read the MSR */
	uint32_t reserved;
	uint64_t scale;
	uint64_t offset;
};

/* Leaf 40000003H. EAX: reference counter, SynIC, synthetic timers, hypercalls,
 * VP index, TSC page, frequencies. */
#define HAS_MSRS (BIT(1) | BIT(2) | BIT(3) | BIT(5) | BIT(6) | BIT(9) | BIT(11))
/* EBX: may post messages and signal events.  EDX: frequency MSRs, timers in
 * direct mode. */
#define MAY_CALL (BIT(4) | BIT(5))
#define HAS_MISC (BIT(8) | BIT(19))
/* Leaf 40000004H, EAX: relaxed timing; EBX: never report spinning. */
#define RELAXED_TIMING BIT(5)

static const struct cpuid_entry leaves[] = {
	/* "Linux KVM Hv", as clients of KVM expect. */
	{ .function = 0x40000000,
	  .eax = 0x40000005,
	  .ebx = 0x756e694c,
	  .ecx = 0x564b2078,
	  .edx = 0x7648204d },
	{ .function = 0x40000001, .eax = SIG_INTERFACE },
	{ .function = 0x40000002, .eax = 0x3839, .ebx = 0xa0000 },
	{ .function = 0x40000003,
	  .eax = HAS_MSRS,
	  .ebx = MAY_CALL,
	  .edx = HAS_MISC },
	{ .function = 0x40000004, .eax = RELAXED_TIMING, .ebx = ~0u },
	{ .function = 0x40000005, .eax = MAX_VCPUS, .ebx = 64 },
};

unsigned int hv_cpuid(struct cpuid_entry *out, unsigned int max)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(leaves) && i < max; i++)
		out[i] = leaves[i];
	return ARRAY_SIZE(leaves);
}

void hv_vm_init(struct vm_hv *hv)
{
	pthread_mutex_init(&hv->lock, NULL);
}

/* --- Time --- */

static uint64_t mul_high(uint64_t a, uint64_t b)
{
	return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* @num * 2^64 / @den, for @num < @den. */
static uint64_t fraction(uint64_t num, uint64_t den)
{
	uint64_t quotient, rest;

	__asm__("divq %4"
		: "=a"(quotient), "=d"(rest)
		: "a"(0ull), "d"(num), "rm"(den)
		: "cc");
	return quotient;
}

/* @hv->lock is held. */
static uint64_t time_locked(struct vcpu *v)
{
	struct vm_hv *hv = &v->vm->hv;
	struct clock_reading now;

	if (hv->tsc_valid)
		return mul_high(clock_guest_tsc(&v->clock), hv->tsc_scale) +
		       hv->tsc_offset;
	clock_get(&v->vm->clock, &now);
	return now.guest_ns / HV_TICK_NS;
}

uint64_t hv_time(struct vcpu *v)
{
	struct vm_hv *hv = &v->vm->hv;
	uint64_t t;

	pthread_mutex_lock(&hv->lock);
	t = time_locked(v);
	pthread_mutex_unlock(&hv->lock);
	return t;
}

static uint32_t clock_generation(struct vcpu *v)
{
	return __atomic_load_n(&v->vm->clock.generation, __ATOMIC_ACQUIRE);
}

/*
 * Writes the page so that time goes on from what it is now.  If the vCPUs' TSCs
 * differ, one page cannot serve them.  @hv->lock is held.
 */
static void make_tsc_page(struct vcpu *v)
{
	struct vm_hv *hv = &v->vm->hv;
	gpa_t gpa = hv->tsc_page & ~(PAGE_SIZE - 1);
	struct mmu *mmu = &v->cpu->mmu;
	struct tsc_page page = { 0 };
	struct clock_reading now;

	hv->tsc_generation = clock_generation(v);
	clock_get(&v->vm->clock, &now);
	hv->tsc_valid = false;
	if (mem_write_phys(mmu, gpa, &page, sizeof(page)) || !now.tsc_stable)
		return;
	hv->tsc_scale = fraction(HV_TICKS_PER_SEC, tsc_hz());
	hv->tsc_offset =
		now.guest_ns / HV_TICK_NS -
		mul_high(now.host_tsc + v->clock.tsc_offset, hv->tsc_scale);
	hv->tsc_valid = true;
	page.scale = hv->tsc_scale;
	page.offset = hv->tsc_offset;
	mem_write_phys(mmu, gpa, &page, sizeof(page));
	__asm__ volatile("" : : : "memory");
	page.sequence = 1;
	mem_write_phys(mmu, gpa, &page.sequence, sizeof(page.sequence));
}

void hv_clock_changed(struct vcpu *v)
{
	struct vm_hv *hv = &v->vm->hv;

	pthread_mutex_lock(&hv->lock);
	if ((hv->tsc_page & PAGE_ENABLED) &&
	    hv->tsc_generation != clock_generation(v))
		make_tsc_page(v);
	pthread_mutex_unlock(&hv->lock);
}

static void write_tsc_page(struct vcpu *v, uint64_t value)
{
	struct vm_hv *hv = &v->vm->hv;

	hv->tsc_page = value;
	if (value & PAGE_ENABLED)
		make_tsc_page(v);
	else
		hv->tsc_valid = false;
}

/* --- Hypercall page --- */

static enum msr_result write_hypercall(struct vcpu *v, uint64_t value)
{
	static const uint8_t intel[] = { 0x0f, 0x01, 0xc1, 0xc3 };
	static const uint8_t amd[] = { 0x0f, 0x01, 0xd9, 0xc3 };
	struct vm_hv *hv = &v->vm->hv;

	if (!hv->guest_os_id) /* the guest has to introduce itself first */
		return MSR_OK;
	if ((value & PAGE_ENABLED) &&
	    mem_write_phys(&v->cpu->mmu, value & ~(PAGE_SIZE - 1),
			   cpuid_is_intel(v->cpu) ? intel : amd, sizeof(intel)))
		return MSR_GP;
	hv->hypercall = value;
	return MSR_OK;
}

bool hv_has_calls(struct vcpu *v)
{
	struct cpuid_entry e;

	if (!__atomic_load_n(&v->vm->hv.guest_os_id, __ATOMIC_RELAXED))
		return false;
	cpuid_read(v->cpu, 0x40000001, 0, &e);
	return e.eax == SIG_INTERFACE;
}

/* --- MSRs --- */

static enum msr_result vm_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	struct vm_hv *hv = &v->vm->hv;

	switch (msr) {
	case HV_MSR_GUEST_OS_ID:
		*value = hv->guest_os_id;
		return MSR_OK;
	case HV_MSR_HYPERCALL:
		*value = hv->hypercall;
		return MSR_OK;
	case HV_MSR_VP_INDEX:
		*value = v->idx;
		return MSR_OK;
	case HV_MSR_TIME_REF_COUNT:
		*value = time_locked(v);
		return MSR_OK;
	case HV_MSR_REFERENCE_TSC:
		*value = hv->tsc_page;
		return MSR_OK;
	case HV_MSR_TSC_FREQUENCY:
		*value = v->cpu->tsc_khz * 1000ull;
		return MSR_OK;
	case HV_MSR_APIC_FREQUENCY:
		*value = APIC_TIMER_HZ;
		return MSR_OK;
	default:
		return MSR_UNKNOWN;
	}
}

/* What is read-only takes no harm from being restored by user mode. */
static enum msr_result vm_write(struct vcpu *v, uint32_t msr, uint64_t value,
				bool host)
{
	struct vm_hv *hv = &v->vm->hv;

	switch (msr) {
	case HV_MSR_GUEST_OS_ID:
		__atomic_store_n(&hv->guest_os_id, value, __ATOMIC_RELAXED);
		if (!value)
			hv->hypercall &= ~PAGE_ENABLED;
		return MSR_OK;
	case HV_MSR_HYPERCALL:
		return write_hypercall(v, value);
	case HV_MSR_REFERENCE_TSC:
		write_tsc_page(v, value);
		return MSR_OK;
	case HV_MSR_VP_INDEX:
	case HV_MSR_TIME_REF_COUNT:
	case HV_MSR_TSC_FREQUENCY:
	case HV_MSR_APIC_FREQUENCY:
		return host ? MSR_OK : MSR_GP;
	default:
		return MSR_UNKNOWN;
	}
}

static bool is_synic(uint32_t msr)
{
	return (msr >= HV_MSR_SCONTROL && msr <= HV_MSR_EOM) ||
	       (msr >= HV_MSR_SINT0 && msr <= HV_MSR_SINT15);
}

static bool is_stimer(uint32_t msr)
{
	return msr >= HV_MSR_STIMER0_CONFIG && msr <= HV_MSR_STIMER3_COUNT;
}

enum msr_result hv_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value,
			    bool host)
{
	enum msr_result r;

	if (msr >> 12 != HV_MSR_GUEST_OS_ID >> 12)
		return MSR_UNKNOWN;
	if (is_synic(msr))
		return hv_synic_read(v, msr, value, host);
	if (is_stimer(msr))
		return hv_stimer_read(v, msr, value);
	pthread_mutex_lock(&v->vm->hv.lock);
	r = vm_read(v, msr, value);
	pthread_mutex_unlock(&v->vm->hv.lock);
	return r;
}

enum msr_result hv_msr_write(struct vcpu *v, uint32_t msr, uint64_t value,
			     bool host)
{
	enum msr_result r;

	if (msr >> 12 != HV_MSR_GUEST_OS_ID >> 12)
		return MSR_UNKNOWN;
	if (is_synic(msr))
		return hv_synic_write(v, msr, value, host);
	if (is_stimer(msr))
		return hv_stimer_write(v, msr, value, host);
	pthread_mutex_lock(&v->vm->hv.lock);
	r = vm_write(v, msr, value, host);
	pthread_mutex_unlock(&v->vm->hv.lock);
	return r;
}
