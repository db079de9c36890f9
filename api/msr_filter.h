#pragma once

#include "api/object.h"

/* msr_filter_set - KVM_X86_SET_MSR_FILTER: ioctl handler on a VM. */
int msr_filter_set(void *object, void *arg, void *user);

/* msr_filter_denied - vm_ops.msr_denied. */
bool msr_filter_denied(void *owner, uint32_t msr, bool write);

/*
 * msr_filter_apply - makes all vCPUs' MSR instructions exits or not, after a
 * change of the filter or of vm->user_msr.  The caller holds slots_lock.
 */
void msr_filter_apply(struct api_vm *avm, struct msr_filter *f,
		      uint32_t user_msr);

void msr_filter_free(struct msr_filter *f);
