#pragma once

#include "api/object.h"

/*
 * KVM's register structures <-> struct cpu.  The vCPU is not running and its
 * mem_lock is held.
 */
void regs_get(struct vcpu *v, struct kvm_regs *out);
void regs_set(struct vcpu *v, const struct kvm_regs *in);

/* -EINVAL if the values contradict each other or the guest's CPUID. */
void sregs_get(struct vcpu *v, struct kvm_sregs *out);
int sregs_set(struct vcpu *v, const struct kvm_sregs *in) __must_check;
void sregs2_get(struct vcpu *v, struct kvm_sregs2 *out);
int sregs2_set(struct vcpu *v, const struct kvm_sregs2 *in) __must_check;

void events_get(struct vcpu *v, struct kvm_vcpu_events *out);
int events_set(struct vcpu *v, const struct kvm_vcpu_events *in) __must_check;
