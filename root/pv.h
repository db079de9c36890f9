#pragma once

#include "base/types.h"
#include "root/steal.h"

/*
 * KVM's paravirtual MSRs beside the clock: PV EOI and steal time are
 * implemented; poll control is stored; asynchronous page faults are not offered
 * and stay disabled.  Source: Linux, Documentation/virt/kvm/x86/msr.rst.
 */
struct cpu;
struct lapic;

#define MSR_KVM_ASYNC_PF_EN	  0x4b564d02
#define MSR_KVM_EOI_EN		  0x4b564d04
#define MSR_KVM_POLL_CONTROL	  0x4b564d05
#define MSR_KVM_ASYNC_PF_INT	  0x4b564d06
#define MSR_KVM_ASYNC_PF_ACK	  0x4b564d07
#define MSR_KVM_MIGRATION_CONTROL 0x4b564d08

/* vCPU thread only. */
struct vcpu_pv {
	struct cpu *cpu;
	struct lapic *lapic; /* NULL without an in-kernel local APIC */
	uint64_t eoi_msr;
	uint64_t poll_control;
	bool eoi_offered; /* the bit in guest memory was set */
	struct vcpu_steal steal;
};

void pv_init(struct vcpu_pv *pv, struct cpu *cpu, struct lapic *lapic);
void pv_finish(struct vcpu_pv *pv);

/* pv_reset - the part that a reset of the local APIC takes along. */
void pv_reset(struct vcpu_pv *pv);

enum msr_result pv_msr_read(struct vcpu_pv *pv, uint32_t msr, uint64_t *value);
enum msr_result pv_msr_write(struct vcpu_pv *pv, uint32_t msr, uint64_t value);

/*
 * pv_eoi_collect - carries out an EOI that the guest signalled in memory.  To
 * be called before local APIC state is looked at or changed: first thing after
 * guest code, and by the ioctls that read it.
 */
void pv_eoi_collect(struct vcpu_pv *pv);

/* pv_eoi_offer - lets the guest signal the next EOI in memory, if it may.  To
 * be called last before guest code, after interrupt delivery. */
void pv_eoi_offer(struct vcpu_pv *pv);
