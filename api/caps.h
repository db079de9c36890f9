#pragma once

#include "api/object.h"

/* caps_check - KVM_CHECK_EXTENSION; @avm is NULL on the system descriptor. */
int caps_check(struct api_vm *avm, unsigned long cap);

/* caps_enable_vm, caps_enable_vcpu - KVM_ENABLE_CAP. */
int caps_enable_vm(struct api_vm *avm, const struct kvm_enable_cap *cap);
int caps_enable_vcpu(struct api_vcpu *av, const struct kvm_enable_cap *cap);
