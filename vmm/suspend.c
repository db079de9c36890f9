#include "vmm/suspend.h"

#include <string.h>

#include "vmm/log.h"
#include "vmm/run.h"
#include "vmm/status.h"
#include "vmm/vm.h"

void suspend_init(struct vm *vm)
{
	struct suspend *s = &vm->suspend;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(s->chips); i++) {
		s->chips[i].chip_id = i;
		kvmfd_ioctl(&vm->fd, KVM_GET_IRQCHIP, &s->chips[i]);
	}
	kvmfd_ioctl(&vm->fd, KVM_GET_PIT2, &s->pit);
}

/* Lines that devices still hold up stay up. */
static void suspend_reset_chips(struct vm *vm)
{
	struct suspend *s = &vm->suspend;
	struct kvm_irqchip now;

	for (unsigned i = 0; i < ARRAY_SIZE(s->chips); i++) {
		struct kvm_irqchip chip = s->chips[i];

		memset(&now, 0, sizeof(now));
		now.chip_id = i;
		if (kvmfd_ioctl(&vm->fd, KVM_GET_IRQCHIP, &now) < 0)
			continue;
		if (i == KVM_IRQCHIP_IOAPIC) {
			chip.chip.ioapic.irr = now.chip.ioapic.irr;
		} else {
			chip.chip.pic.irr = now.chip.pic.irr;
			chip.chip.pic.last_irr = now.chip.pic.last_irr;
		}
		kvmfd_ioctl(&vm->fd, KVM_SET_IRQCHIP, &chip);
	}
	kvmfd_ioctl(&vm->fd, KVM_SET_PIT2, &s->pit);
}

void suspend_sleep(void *arg)
{
	struct vm *vm = arg;
	struct suspend *s = &vm->suspend;

	pthread_mutex_lock(&s->lock);
	s->asleep = true;
	s->wake = false;
	for (unsigned i = 0; i < vm->nr_vcpus; i++)
		run_kick(&vm->vcpus[i]);
	pthread_mutex_unlock(&s->lock);
}

void suspend_wake(void *arg)
{
	struct vm *vm = arg;
	struct suspend *s = &vm->suspend;

	pthread_mutex_lock(&s->lock);
	s->wake = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void suspend_end(struct vm *vm)
{
	struct suspend *s = &vm->suspend;

	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* The boot CPU does what firmware would, once all the others are parked. */
static void suspend_resume(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct suspend *s = &vm->suspend;
	uint32_t vector;

	while (!s->over && !(s->wake && s->nr_parked == vm->nr_vcpus))
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->over)
		return;
	vector = acpi_waking_vector(&vm->ram, vm->facs);
	suspend_reset_chips(vm);
	if (!vector) {
		log_info("woken up without a waking vector");
		vm_end(vm, STATUS_REBOOT);
	} else if (vcpu_reset(vcpu, vector)) {
		vm_end(vm, STATUS_HOST);
	}
	s->asleep = false;
	s->nr_parked = 0;
	pthread_cond_broadcast(&s->changed);
}

void suspend_wait(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct suspend *s = &vm->suspend;

	if (!s->asleep)
		return;
	vcpu->run->immediate_exit = 0;
	if (vcpu->id && vcpu_reset(vcpu, 0))
		vm_end(vm, STATUS_HOST);
	pthread_mutex_lock(&s->lock);
	s->nr_parked++;
	if (vcpu->id == 0)
		suspend_resume(vcpu);
	else
		pthread_cond_broadcast(&s->changed);
	while (s->asleep && !s->over)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}
