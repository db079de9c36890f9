#pragma once

#include "api/object.h"

/* api_vm_create - KVM_CREATE_VM: a VM descriptor, or -errno. */
int api_vm_create(void);

/* api_vcpu_create - KVM_CREATE_VCPU: a vCPU descriptor, or -errno. */
int api_vcpu_create(struct api_vm *avm, unsigned long id);

/* api_vcpu_free - called with the VM, when no vCPU can be used any more. */
void api_vcpu_free(struct api_vcpu *av);
