#pragma once

#include "cpu/cpu.h"

/* MISC_ENABLE: fast strings; no branch trace store, no precise events. */
#define MISC_ENABLE_RESET (BIT(0) | BIT(11) | BIT(12))
#define MISC_ENABLE_VALID 0x400c51889ull

#define FEAT_CTL_LOCKED BIT(0)

/* PLATFORM_INFO, MISC_FEATURES_ENABLES: CPUID faulting. */
#define PLATFORM_INFO_CPUID_FAULT BIT(31)
#define MISC_FEATURES_CPUID_FAULT BIT(0)

#define MCG_CTL_P	   BIT(8)
#define MCE_BANKS(mcg_cap) ((mcg_cap)&0xff)

/* What the processor has to do with an MSR. */
enum msr_status {
	MSR_DONE,
	MSR_FAULT,   /* does not exist, or a value that is not allowed */
	MSR_TO_ROOT, /* root mode's: APIC, TSC writes, paravirtual clocks */
};

/*
 * msr_read, msr_write - one MSR.  @host: the VMM asks (KVM_GET_MSRS,
 * KVM_SET_MSRS): features do not matter, and what the guest may only read can
 * be written where KVM's API says so.
 */
enum msr_status msr_read(struct cpu *c, uint32_t index, uint64_t *value,
			 bool host);
enum msr_status msr_write(struct cpu *c, uint32_t index, uint64_t value,
			  bool host);

/*
 * msr_list - KVM_GET_MSR_INDEX_LIST: fills at most @max numbers and returns
 * how many there are.
 */
unsigned int msr_list(uint32_t *out, unsigned int max);

/*
 * msr_features - the MSRs that tell what a processor can do: at most @max
 * numbers, and how many there are.  msr_feature - such an MSR's value on this
 * host, which a vCPU takes as well; false if it is none of them.
 */
unsigned int msr_features(uint32_t *out, unsigned int max);
bool msr_feature(uint32_t index, uint64_t *value);

/* msr_reset - values after power-up. */
void msr_reset(struct cpu *c);

/* msr_table_sorted - whether the table is in order (for tests). */
bool msr_table_sorted(void);
