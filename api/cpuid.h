#pragma once

#include <linux/kvm.h>

#include "cpu/cpu.h"

/* struct cpuid_entry <-> KVM's. */
static inline void cpuid_entry_get(const struct cpuid_entry *e,
				   struct kvm_cpuid_entry2 *out)
{
	*out = (struct kvm_cpuid_entry2){
		.function = e->function,
		.index = e->index,
		.flags = e->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = e->eax,
		.ebx = e->ebx,
		.ecx = e->ecx,
		.edx = e->edx,
	};
}

static inline void cpuid_entry_set(struct cpuid_entry *e,
				   const struct kvm_cpuid_entry2 *in)
{
	*e = (struct cpuid_entry){
		.function = in->function,
		.index = in->index,
		.indexed = in->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = in->eax,
		.ebx = in->ebx,
		.ecx = in->ecx,
		.edx = in->edx,
	};
}
