#include "api/irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/copy.h"
#include "irqchip/ioapic.h"
#include "irqchip/pic.h"
#include "irqchip/pit.h"
#include "irqchip/route.h"
#include "root/vm_irq.h"

_Static_assert(sizeof(struct pic_state) == sizeof(struct kvm_pic_state) &&
		       sizeof(struct ioapic_state) ==
			       sizeof(struct kvm_ioapic_state) &&
		       sizeof(struct pit_state) ==
			       sizeof(struct kvm_pit_state2),
	       "the controllers' saved states are KVM's");

int irq_create_full(void *object, void *arg, void *user)
{
	return vm_create_irqchip(((struct api_vm *)object)->vm, false, 0);
}

int irq_create_split(struct api_vm *avm, uint32_t pins)
{
	return vm_create_irqchip(avm->vm, true, pins);
}

int irq_get_chip(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	struct kvm_irqchip *chip = arg;

	if (!vm_has_pic(vm))
		return -ENXIO;
	if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
		irqchip_get_ioapic(vm->irqchip, (void *)&chip->chip.ioapic);
	else if (chip->chip_id <= KVM_IRQCHIP_PIC_SLAVE)
		irqchip_get_pic(vm->irqchip,
				chip->chip_id == KVM_IRQCHIP_PIC_SLAVE,
				(void *)&chip->chip.pic);
	else
		return -EINVAL;
	return 0;
}

int irq_set_chip(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	const struct kvm_irqchip *chip = arg;

	if (!vm_has_pic(vm))
		return -ENXIO;
	if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
		irqchip_set_ioapic(vm->irqchip, (void *)&chip->chip.ioapic);
	else if (chip->chip_id <= KVM_IRQCHIP_PIC_SLAVE)
		irqchip_set_pic(vm->irqchip,
				chip->chip_id == KVM_IRQCHIP_PIC_SLAVE,
				(void *)&chip->chip.pic);
	else
		return -EINVAL;
	return 0;
}

/* KVM_CREATE_PIT has no argument and means a PIT with speaker port. */
int irq_create_pit(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	const struct kvm_pit_config *config = arg;
	int r;

	if (!vm_has_pic(vm))
		return -ENOENT;
	pthread_mutex_lock(&vm->lock);
	r = pit_create(vm->irqchip,
		       !config || (config->flags & KVM_PIT_SPEAKER_DUMMY));
	pthread_mutex_unlock(&vm->lock);
	return r;
}

/* pit_for - the VM's PIT, or NULL. */
static struct pit *pit_for(void *object)
{
	struct vm *vm = ((struct api_vm *)object)->vm;

	return vm_has_pic(vm) ? pit_of(vm->irqchip) : NULL;
}

int irq_get_pit2(void *object, void *arg, void *user)
{
	struct pit *pit = pit_for(object);

	if (!pit)
		return -ENXIO;
	pit_get_state(pit, arg);
	return 0;
}

int irq_set_pit2(void *object, void *arg, void *user)
{
	struct pit *pit = pit_for(object);

	if (!pit)
		return -ENXIO;
	pit_set_state(pit, arg);
	return 0;
}

int irq_get_pit(void *object, void *arg, void *user)
{
	struct pit *pit = pit_for(object);
	struct pit_state state;

	if (!pit)
		return -ENXIO;
	pit_get_state(pit, &state);
	memcpy(arg, &state, sizeof(struct kvm_pit_state));
	return 0;
}

int irq_set_pit(void *object, void *arg, void *user)
{
	struct pit *pit = pit_for(object);
	struct pit_state state;

	if (!pit)
		return -ENXIO;
	pit_get_state(pit, &state);
	memcpy(&state, arg, sizeof(struct kvm_pit_state));
	pit_set_state(pit, &state);
	return 0;
}

int irq_reinject_control(void *object, void *arg, void *user)
{
	struct kvm_reinject_control control = { 0 };
	struct pit *pit;

	if (copy_from_user(&control, user, sizeof(control)))
		return -EFAULT;
	pit = pit_for(object);
	if (!pit)
		return -ENXIO;
	pit_set_reinject(pit, control.pit_reinject);
	return 0;
}

/* KVM_IRQ_LINE and KVM_IRQ_LINE_STATUS differ in what is copied out. */
int irq_line(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	struct kvm_irq_level *line = arg;

	if (!vm->irqchip)
		return -ENXIO;
	dbt_outside(vm->dbt);
	line->status = irqchip_set_irq(vm->irqchip, line->irq, IRQ_SOURCE_USER,
				       line->level);
	return 0;
}

/* route_from - one entry of the client's; -EINVAL if we know no such route. */
static int route_from(struct route *r, const struct kvm_irq_routing_entry *e)
{
	*r = (struct route){ .gsi = e->gsi };
	if (e->type == KVM_IRQ_ROUTING_IRQCHIP) {
		if (e->flags || e->u.irqchip.irqchip >= NR_ROUTE_CHIPS)
			return -EINVAL;
		r->type = ROUTE_PIN;
		r->chip = e->u.irqchip.irqchip;
		r->pin = e->u.irqchip.pin;
		return 0;
	}
	if (e->type == KVM_IRQ_ROUTING_HV_SINT) {
		r->type = ROUTE_SINT;
		r->data = e->u.hv_sint.vcpu;
		r->pin = e->u.hv_sint.sint;
		return 0;
	}
	if (e->type != KVM_IRQ_ROUTING_MSI || (e->flags & ~KVM_MSI_VALID_DEVID))
		return -EINVAL;
	r->type = ROUTE_MSI;
	r->address_lo = e->u.msi.address_lo;
	r->address_hi = e->u.msi.address_hi;
	r->data = e->u.msi.data;
	return 0;
}

static int set_routes(struct vm *vm, const struct kvm_irq_routing_entry *e,
		      struct route *routes, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (route_from(&routes[i], &e[i]))
			return -EINVAL;
	}
	return route_set(vm->irqchip, routes, nr);
}

int irq_set_routing(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	struct kvm_irq_routing_entry *entries;
	struct kvm_irq_routing *in = user, head;
	struct route *routes;
	int r;

	if (copy_from_user(&head, in, sizeof(head)))
		return -EFAULT;
	if (!vm->irqchip || head.nr > ROUTE_MAX || head.flags)
		return -EINVAL;
	entries = calloc(head.nr + 1, sizeof(*entries));
	routes = calloc(head.nr + 1, sizeof(*routes));
	r = -ENOMEM;
	if (entries && routes) {
		r = -EFAULT;
		if (!copy_from_user(entries, in->entries,
				    head.nr * sizeof(*entries)))
			r = set_routes(vm, entries, routes, head.nr);
	}
	free(entries);
	free(routes);
	return r;
}

int irq_signal_msi(void *object, void *arg, void *user)
{
	struct vm *vm = ((struct api_vm *)object)->vm;
	const struct kvm_msi *msi = arg;

	if (!vm->irqchip || (msi->flags & ~KVM_MSI_VALID_DEVID))
		return -EINVAL;
	dbt_outside(vm->dbt);
	return irqchip_send_msi(vm->irqchip, msi->address_lo, msi->address_hi,
				msi->data);
}
