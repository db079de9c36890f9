#include "root/vm_irq.h"

#include <errno.h>

#include "host/timer.h"
#include "irqchip/lapic.h"
#include "root/vcpu.h"

static void op_kick(void *vcpu)
{
	vcpu_request(vcpu, REQ_EVENT);
}

static void op_nmi(void *vcpu)
{
	vcpu_queue_nmi(vcpu);
}

/* System-management mode is not offered. */
static void op_smi(void *vcpu)
{
}

/* A SIPI from before does not start what waits for the next one. */
static void op_init(void *vcpu)
{
	vcpu_take(vcpu, REQ_SIPI);
	vcpu_request(vcpu, REQ_INIT);
}

static void op_sipi(void *vcpu, uint8_t vector)
{
	struct vcpu *v = vcpu;

	__atomic_store_n(&v->sipi_vector, vector, __ATOMIC_RELAXED);
	vcpu_request(v, REQ_SIPI);
}

static void op_ioapic_eoi(void *vcpu, uint8_t vector)
{
	struct vcpu *v = vcpu;

	v->eoi_vector = vector;
	vcpu_request(v, REQ_IOAPIC_EOI);
}

static void op_sint_eoi(void *vcpu, uint8_t vector)
{
	hv_vector_ended(vcpu, vector);
}

static int op_sint(void *arg, uint32_t vcpu, uint32_t sint)
{
	struct vm *vm = arg;

	if (vcpu >= __atomic_load_n(&vm->nr_vcpus, __ATOMIC_ACQUIRE))
		return -1;
	return hv_raise_sint(vm->vcpu[vcpu], sint);
}

static void op_ack(void *arg, uint32_t gsi)
{
	struct vm *vm = arg;

	vm->ops->irq_ack(vm->owner, gsi);
}

static const struct irqchip_ops ops = {
	.kick = op_kick,
	.nmi = op_nmi,
	.smi = op_smi,
	.init = op_init,
	.sipi = op_sipi,
	.ioapic_eoi = op_ioapic_eoi,
	.sint_eoi = op_sint_eoi,
	.sint = op_sint,
	.ack = op_ack,
};

int vm_create_irqchip(struct vm *vm, bool split, uint32_t pins)
{
	struct irqchip *chip;
	int r = 0;

	pthread_mutex_lock(&vm->lock);
	if (vm->irqchip)
		r = -EEXIST;
	else if (vm->nr_vcpus)
		r = split ? -EEXIST : -EINVAL;
	if (!r && !vm->timers)
		r = timers_create(&vm->timers);
	if (!r)
		r = irqchip_create(split ? IRQCHIP_SPLIT : IRQCHIP_FULL, &ops,
				   vm, vm->timers, &chip);
	if (!r) {
		if (split)
			irqchip_set_split_pins(chip, pins);
		irqchip_set_x2apic_api(chip, vm->x2apic_ids,
				       vm->x2apic_no_broadcast);
		__atomic_store_n(&vm->irqchip, chip, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}

void vm_destroy_irqchip(struct vm *vm)
{
	if (vm->irqchip)
		irqchip_destroy(vm->irqchip);
	if (vm->timers)
		timers_destroy(vm->timers);
}
