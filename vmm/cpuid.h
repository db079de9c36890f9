#pragma once

#include <linux/kvm.h>

#include "base/types.h"
#include "vmm/kvmfd.h"

/*
 * What CPUID tells a guest: all that KVM supports, with the topology of one
 * package of @nr_cpus cores, one thread each, APIC ids counted from 0.
 */

/* cpuid_get_supported - a list in memory of malloc; 0 or -errno. */
int cpuid_get_supported(const struct kvmfd *sys, struct kvm_cpuid2 **list);

/*
 * cpuid_set_vcpu - make @list, with room for CPUID_ROOM more entries, that of
 * vCPU @id.
 */
#define CPUID_ROOM 16
void cpuid_set_vcpu(struct kvm_cpuid2 *list, unsigned id, unsigned nr_cpus,
		    bool tsc_deadline);

/*
 * cpuid_add_hyperv - Hyper-V's leaves in front of KVM's, which move up by 100H,
 * as clients of KVM have it.  0 or -errno.
 */
int cpuid_add_hyperv(const struct kvmfd *sys, struct kvm_cpuid2 *list);
