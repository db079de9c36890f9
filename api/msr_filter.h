#pragma once

#include "api/object.h"

/* msr_filter_set - KVM_X86_SET_MSR_FILTER: ioctl handler on a VM. */
int msr_filter_set(void *object, void *arg, void *user);

/* msr_filter_denied - vm_ops.msr_denied. */
bool msr_filter_denied(void *owner, uint32_t msr, bool write);

void msr_filter_free(struct msr_filter *f);
