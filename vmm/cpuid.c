#include "vmm/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Feature bits of leaf 1. */
#define LEAF1_ECX_MONITOR	    BIT(3)
#define LEAF1_ECX_TSC_DEADLINE	    BIT(24)
#define LEAF1_ECX_HYPERVISOR	    BIT(31)
#define LEAF1_EDX_HTT		    BIT(28)
#define LEAF80000001_ECX_CMP_LEGACY BIT(1)

#define ENTRIES_FIRST 128
#define ENTRIES_MAX   4096

/* Topology levels of leaf 0xb. */
#define LEVEL_SMT  1
#define LEVEL_CORE 2

static struct kvm_cpuid2 *cpuid_alloc(unsigned nent)
{
	struct kvm_cpuid2 *list;

	list = calloc(1, sizeof(*list) + (nent + CPUID_ROOM) *
						 sizeof(list->entries[0]));
	if (list)
		list->nent = nent;
	return list;
}

int cpuid_get_supported(const struct kvmfd *sys, struct kvm_cpuid2 **list)
{
	for (unsigned nent = ENTRIES_FIRST; nent <= ENTRIES_MAX; nent *= 2) {
		struct kvm_cpuid2 *l = cpuid_alloc(nent);
		int r;

		if (!l)
			return -ENOMEM;
		r = kvmfd_ioctl(sys, KVM_GET_SUPPORTED_CPUID, l);
		if (r >= 0) {
			*list = l;
			return 0;
		}
		free(l);
		if (r != -E2BIG)
			return r;
	}
	return -E2BIG;
}

static void cpuid_remove(struct kvm_cpuid2 *list, uint32_t function)
{
	unsigned n = 0;

	for (unsigned i = 0; i < list->nent; i++)
		if (list->entries[i].function != function)
			list->entries[n++] = list->entries[i];
	list->nent = n;
}

static uint32_t cpuid_max_leaf(const struct kvm_cpuid2 *list)
{
	for (unsigned i = 0; i < list->nent; i++)
		if (list->entries[i].function == 0)
			return list->entries[i].eax;
	return 0;
}

/* Bits of an APIC id that tell cores apart. */
static unsigned cpuid_core_bits(unsigned nr_cpus)
{
	unsigned bits = 0;

	while (1u << bits < nr_cpus)
		bits++;
	return bits;
}

static void cpuid_add_topology(struct kvm_cpuid2 *list, unsigned index,
			       unsigned shift, unsigned cpus, unsigned level,
			       unsigned id)
{
	list->entries[list->nent++] = (struct kvm_cpuid_entry2){
		.function = 0xb,
		.index = index,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = shift,
		.ebx = cpus,
		.ecx = level << 8 | index,
		.edx = id,
	};
}

/* Caches of leaves 4 and 0x8000001d: all cores share the third level. */
static void cpuid_set_cache(struct kvm_cpuid_entry2 *e, unsigned nr_cpus)
{
	bool shared = (e->eax >> 5 & 7) >= 3;

	e->eax &= ~(0xfffu << 14);
	if (shared)
		e->eax |= (nr_cpus - 1) << 14;
}

static void cpuid_set_leaf1(struct kvm_cpuid_entry2 *e, unsigned id,
			    unsigned nr_cpus, bool tsc_deadline)
{
	e->ebx = (e->ebx & 0xffff) | nr_cpus << 16 | id << 24;
	e->ecx |= LEAF1_ECX_HYPERVISOR;
	e->ecx &= ~(LEAF1_ECX_MONITOR | LEAF1_ECX_TSC_DEADLINE);
	if (tsc_deadline)
		e->ecx |= LEAF1_ECX_TSC_DEADLINE;
	e->edx &= ~LEAF1_EDX_HTT;
	if (nr_cpus > 1)
		e->edx |= LEAF1_EDX_HTT;
}

static void cpuid_set_entry(struct kvm_cpuid_entry2 *e, unsigned id,
			    unsigned nr_cpus, bool tsc_deadline)
{
	switch (e->function) {
	case 1:
		cpuid_set_leaf1(e, id, nr_cpus, tsc_deadline);
		break;
	case 4:
		cpuid_set_cache(e, nr_cpus);
		e->eax &= ~(0x3fu << 26);
		if (e->eax & 0x1f) /* of a cache that exists */
			e->eax |= (nr_cpus < 64 ? nr_cpus - 1 : 63) << 26;
		break;
	case 0x80000001:
		e->ecx &= ~LEAF80000001_ECX_CMP_LEGACY;
		if (nr_cpus > 1)
			e->ecx |= LEAF80000001_ECX_CMP_LEGACY;
		break;
	case 0x80000008:
		e->ecx = cpuid_core_bits(nr_cpus) << 12 | (nr_cpus - 1);
		break;
	case 0x8000001d:
		cpuid_set_cache(e, nr_cpus);
		break;
	case 0x8000001e:
		e->eax = id;
		e->ebx = id & 0xff;
		e->ecx = 0;
		break;
	}
}

void cpuid_set_vcpu(struct kvm_cpuid2 *list, unsigned id, unsigned nr_cpus,
		    bool tsc_deadline)
{
	cpuid_remove(list, 0xb);
	cpuid_remove(list, 0x1f);
	for (unsigned i = 0; i < list->nent; i++)
		cpuid_set_entry(&list->entries[i], id, nr_cpus, tsc_deadline);
	if (cpuid_max_leaf(list) < 0xb)
		return;
	cpuid_add_topology(list, 0, 0, 1, LEVEL_SMT, id);
	cpuid_add_topology(list, 1, cpuid_core_bits(nr_cpus), nr_cpus,
			   LEVEL_CORE, id);
	cpuid_add_topology(list, 2, 0, 0, 0, id);
}

#define LEAVES_HV     0x40000000
#define LEAVES_HV_MAX (CPUID_ROOM - 4)
#define LEAVES_KVM    0x40000100

int cpuid_add_hyperv(const struct kvmfd *sys, struct kvm_cpuid2 *list)
{
	uint64_t buf[(sizeof(*list) + LEAVES_HV_MAX * sizeof(list->entries[0]) +
		      7) /
		     8] = { 0 };
	struct kvm_cpuid2 *hv = (struct kvm_cpuid2 *)buf;
	int r;

	hv->nent = LEAVES_HV_MAX;
	r = kvmfd_ioctl(sys, KVM_GET_SUPPORTED_HV_CPUID, hv);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 *e = &list->entries[i];

		if (e->function >> 8 != LEAVES_HV >> 8)
			continue;
		e->function += LEAVES_KVM - LEAVES_HV;
		if (e->function == LEAVES_KVM)
			e->eax = LEAVES_KVM + 1;
	}
	memcpy(&list->entries[list->nent], hv->entries,
	       hv->nent * sizeof(hv->entries[0]));
	list->nent += hv->nent;
	return 0;
}
