#pragma once

#include "cpu/cpu.h"
#include "x86/feat.h"

#define SIG_INTEL_EBX 0x756e6547 /* "Genu", leaf 0 */

/* CR4 bits that are reserved whatever the guest's CPUID says. */
#define CPUID_CR4_NEVER                                                        \
	((~0x7fffffull & ~CR4_PKS) | BIT(15) | BIT(19) | CR4_VMXE | CR4_SMXE)

/*
 * cpuid_supported - what KVM_GET_SUPPORTED_CPUID answers: the features that
 * the engine offers on this host.  @tsc_khz is the guest's TSC frequency, or 0
 * if unknown (leaves 0x15 and 0x16 are then empty).
 * Fills at most @max entries and returns how many there are (more than @max:
 * the array is too small), 64 or fewer.
 */
unsigned int cpuid_supported(struct cpuid_entry *out, unsigned int max,
			     uint32_t tsc_khz);

/*
 * cpuid_set - gives the guest the table @e (KVM_SET_CPUID2) and derives what
 * follows from it: feat[], maxphyaddr, cr4_rsvd, supported_xcr0, the MMU's
 * role.  A feature that the table names but the engine does not support is
 * shown by CPUID and does not exist.  Returns 0, or -E2BIG if @n exceeds
 * MAX_CPUID_ENTRIES.
 */
int cpuid_set(struct cpu *c, const struct cpuid_entry *e,
	      unsigned int n) __must_check;

/* cpuid_default - no table (CPUID answers zeros), but every feature works. */
void cpuid_default(struct cpu *c);

/*
 * cpuid_read - what the CPUID instruction answers, with bits that follow the
 * processor's state and Intel's rule for leaves out of range.
 */
void cpuid_read(const struct cpu *c, uint32_t function, uint32_t index,
		struct cpuid_entry *out);

/*
 * cpuid_update - brings the state-dependent bits of one entry up to date:
 * OSXSAVE, OSPKE, APIC, the sizes of leaf 0xd.
 */
void cpuid_update(const struct cpu *c, struct cpuid_entry *e);

/* cpuid_is_intel - whether leaf 0 names Intel (or no table was set). */
bool cpuid_is_intel(const struct cpu *c);

/* cpuid_feat_supported - whether cpuid_supported offers @feat (x86_feat). */
bool cpuid_feat_supported(unsigned int feat);

/* cpuid_host - the host's own answer. */
void cpuid_host(uint32_t function, uint32_t index, struct cpuid_entry *out);
