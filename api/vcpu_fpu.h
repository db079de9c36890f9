#pragma once

#include "api/object.h"

/* Vector state: ioctl handlers on a vCPU. */
int vcpu_get_fpu(void *object, void *arg, void *user);
int vcpu_set_fpu(void *object, void *arg, void *user);
int vcpu_get_xsave(void *object, void *arg, void *user);
int vcpu_set_xsave(void *object, void *arg, void *user);
int vcpu_get_xcrs(void *object, void *arg, void *user);
int vcpu_set_xcrs(void *object, void *arg, void *user);

/* vcpu_fpu_xsave_size - KVM_CAP_XSAVE2: bytes of struct kvm_xsave, 4096 or
 * more. */
int vcpu_fpu_xsave_size(void);
