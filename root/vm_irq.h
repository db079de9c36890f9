#pragma once

#include "irqchip/irqchip.h"
#include "root/vm.h"

/*
 * vm_create_irqchip - KVM_CREATE_IRQCHIP, or with @split only local APICs (and
 * @pins GSIs of user mode's I/O APIC).  -EEXIST if there is one already;
 * -EINVAL (@split: -EEXIST) once there are vCPUs; -ENOMEM, -EAGAIN.
 */
int vm_create_irqchip(struct vm *vm, bool split, uint32_t pins) __must_check;

void vm_destroy_irqchip(struct vm *vm);

/* vm_has_pic - PICs, I/O APIC and PIT are the engine's. */
static inline bool vm_has_pic(const struct vm *vm)
{
	return vm->irqchip && !irqchip_is_split(vm->irqchip);
}
