#pragma once

#include "root/vcpu.h"

/*
 * vcpu_msr_get, vcpu_msr_set - KVM_GET_MSRS and KVM_SET_MSRS: any MSR of the
 * vCPU, with the VMM's rights.  The vCPU is not running, mem_lock is held.
 * Return 0 or -EINVAL.
 */
int vcpu_msr_get(struct vcpu *v, uint32_t index, uint64_t *value);
int vcpu_msr_set(struct vcpu *v, uint32_t index, uint64_t value);
