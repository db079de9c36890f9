#include "api/vcpu_msr.h"

#include <errno.h>
#include <string.h>

#include "api/copy.h"
#include "api/cpuid.h"
#include "api/object.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "irqchip/lapic.h"
#include "root/msr.h"

#define MAX_MSRS 256 /* exclusive */

typedef bool (*msr_fn)(void *object, uint32_t index, uint64_t *value);

static bool get_msr(void *object, uint32_t index, uint64_t *value)
{
	return !vcpu_msr_get(((struct api_vcpu *)object)->vcpu, index, value);
}

static bool set_msr(void *object, uint32_t index, uint64_t *value)
{
	return !vcpu_msr_set(((struct api_vcpu *)object)->vcpu, index, *value);
}

static bool get_feature(void *object, uint32_t index, uint64_t *value)
{
	return msr_feature(index, value);
}

/*
 * msrs - both directions: entries up to the first that fails are done, the
 * answer is their number.
 */
static int msrs(void *object, struct kvm_msrs *user, msr_fn fn)
{
	struct kvm_msr_entry entries[MAX_MSRS];
	struct kvm_msrs head;
	uint64_t value;
	uint32_t n;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_MSRS)
		return -E2BIG;
	if (copy_from_user(entries, user->entries,
			   head.nmsrs * sizeof(entries[0])))
		return -EFAULT;
	for (n = 0; n < head.nmsrs; n++) {
		value = entries[n].data;
		if (!fn(object, entries[n].index, &value))
			break;
		entries[n].data = value;
	}
	if (fn != set_msr && copy_to_user(user->entries, entries,
					  head.nmsrs * sizeof(entries[0])))
		return -EFAULT;
	return n;
}

int msrs_get(void *object, void *arg, void *user)
{
	return msrs(object, user, get_msr);
}

int msrs_set(void *object, void *arg, void *user)
{
	return msrs(object, user, set_msr);
}

int msrs_get_features(void *object, void *arg, void *user)
{
	return msrs(object, user, get_feature);
}

static bool find_feature(const struct cpuid_entry *e, uint32_t n, uint32_t leaf,
			 unsigned int bit)
{
	for (uint32_t i = 0; i < n; i++) {
		if (e[i].function == leaf)
			return e[i].ecx & BIT(bit);
	}
	return false;
}

static void tell_lapic(struct vcpu *v, const struct cpuid_entry *e, uint32_t n)
{
	struct lapic_features f = {
		.x2apic = find_feature(e, n, 1, 21),
		.tsc_deadline = find_feature(e, n, 1, 24),
		.maxphyaddr = v->cpu->maxphyaddr,
	};

	if (v->apic)
		lapic_set_features(v->apic, &f);
}

/* same_entry - apart from the bits that follow the processor's state. */
static bool same_entry(const struct cpu *c, struct cpuid_entry a,
		       struct cpuid_entry b)
{
	cpuid_update(c, &a);
	cpuid_update(c, &b);
	return a.function == b.function && a.index == b.index &&
	       a.indexed == b.indexed && a.eax == b.eax && a.ebx == b.ebx &&
	       a.ecx == b.ecx && a.edx == b.edx;
}

/* same_cpuid - once the guest has run, its CPUID may not change any more. */
static bool same_cpuid(const struct cpu *c, const struct cpuid_entry *e,
		       uint32_t n)
{
	if (n != c->nr_cpuid)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!same_entry(c, c->cpuid[i], e[i]))
			return false;
	}
	return true;
}

/* A linear address width other than 48 and 57 bits does not exist. */
static bool cpuid_ok(const struct cpuid_entry *e, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t bits = e[i].eax >> 8 & 0xff;

		if (e[i].function == 0x80000008 && bits && bits != 48 &&
		    bits != 57)
			return false;
	}
	return true;
}

static int apply_cpuid(struct vcpu *v, const struct cpuid_entry *e, uint32_t n)
{
	int r;

	if (v->started)
		return same_cpuid(v->cpu, e, n) ? 0 : -EINVAL;
	if (!cpuid_ok(e, n))
		return -EINVAL;
	r = cpuid_set(v->cpu, e, n);
	if (!r)
		tell_lapic(v, e, n);
	return r;
}

int cpuid_set_v2(void *object, void *arg, void *user)
{
	struct kvm_cpuid_entry2 in[MAX_CPUID_ENTRIES];
	struct cpuid_entry e[MAX_CPUID_ENTRIES];
	struct kvm_cpuid2 *list = user, head;

	if (copy_from_user(&head, list, sizeof(head)))
		return -EFAULT;
	if (head.nent > MAX_CPUID_ENTRIES)
		return -E2BIG;
	if (copy_from_user(in, list->entries, head.nent * sizeof(in[0])))
		return -EFAULT;
	for (uint32_t i = 0; i < head.nent; i++)
		cpuid_entry_set(&e[i], &in[i]);
	return apply_cpuid(((struct api_vcpu *)object)->vcpu, e, head.nent);
}

/* The first version of the call knows no subleaves. */
int cpuid_set_v1(void *object, void *arg, void *user)
{
	struct kvm_cpuid_entry in[MAX_CPUID_ENTRIES];
	struct cpuid_entry e[MAX_CPUID_ENTRIES];
	struct kvm_cpuid *list = user, head;

	if (copy_from_user(&head, list, sizeof(head)))
		return -EFAULT;
	if (head.nent > MAX_CPUID_ENTRIES)
		return -E2BIG;
	if (copy_from_user(in, list->entries, head.nent * sizeof(in[0])))
		return -EFAULT;
	for (uint32_t i = 0; i < head.nent; i++)
		e[i] = (struct cpuid_entry){ .function = in[i].function,
					     .eax = in[i].eax,
					     .ebx = in[i].ebx,
					     .ecx = in[i].ecx,
					     .edx = in[i].edx };
	return apply_cpuid(((struct api_vcpu *)object)->vcpu, e, head.nent);
}

int cpuid_get_v2(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	struct kvm_cpuid_entry2 out[MAX_CPUID_ENTRIES];
	struct kvm_cpuid2 *list = user, head;
	const struct cpu *c = v->cpu;
	struct cpuid_entry e;

	if (copy_from_user(&head, list, sizeof(head)))
		return -EFAULT;
	if (head.nent < c->nr_cpuid)
		return -E2BIG;
	for (uint32_t i = 0; i < c->nr_cpuid; i++) {
		e = c->cpuid[i];
		cpuid_update(c, &e);
		cpuid_entry_get(&e, &out[i]);
	}
	head.nent = c->nr_cpuid;
	if (copy_to_user(list->entries, out, c->nr_cpuid * sizeof(out[0])) ||
	    copy_to_user(list, &head, sizeof(head)))
		return -EFAULT;
	return 0;
}
