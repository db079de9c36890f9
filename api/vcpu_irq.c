#include "api/vcpu_irq.h"

#include <errno.h>

#include "api/copy.h"
#include "api/object.h"
#include "irqchip/lapic.h"
#include "root/vm_irq.h"

_Static_assert(sizeof(struct lapic_state) == sizeof(struct kvm_lapic_state),
	       "lapic_state is KVM's");

int vcpu_get_lapic(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;

	if (!v->apic)
		return -EINVAL;
	pv_eoi_collect(&v->pv);
	lapic_get_state(v->apic, arg);
	return 0;
}

int vcpu_set_lapic(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	struct lapic_state state;
	int r;

	if (!v->apic)
		return -EINVAL;
	if (copy_from_user(&state, user, sizeof(state)))
		return -EFAULT;
	r = lapic_set_state(v->apic, &state);
	v->cpu->cr8 = lapic_cr8(v->apic);
	vcpu_request(v, REQ_EVENT);
	return r;
}

int vcpu_interrupt(void *object, void *arg, void *user)
{
	const struct kvm_interrupt *in = arg;
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;

	if (in->irq >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	if (vm_has_pic(v->vm))
		return -ENXIO;
	if (v->vm->irqchip && v->ext_vector >= 0)
		return -EEXIST;
	v->ext_vector = in->irq;
	vcpu_request(v, REQ_EVENT);
	return 0;
}

int vcpu_nmi(void *object, void *arg, void *user)
{
	vcpu_queue_nmi(((struct api_vcpu *)object)->vcpu);
	return 0;
}

/* A page for Windows guests' TPR patches: user mode may have none. */
int vcpu_set_vapic_addr(void *object, void *arg, void *user)
{
	return ((struct api_vcpu *)object)->vcpu->apic ? 0 : -EINVAL;
}

int vcpu_tpr_reporting(void *object, void *arg, void *user)
{
	const struct kvm_tpr_access_ctl *in = arg;

	return in->flags ? -EINVAL : 0;
}
