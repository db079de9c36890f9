#include "vmm/routing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NR_PIC_PINS    16
#define NR_IOAPIC_PINS ROUTING_FREE_GSI

static void add_pin(struct kvm_irq_routing *t, unsigned gsi, unsigned chip,
		    unsigned pin)
{
	t->entries[t->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/*
 * Interrupt 0, the timer, is at pin 2 of the I/O APIC, and pin 2 of the PIC is
 * the cascade.
 */
int routing_set(const struct kvmfd *vm,
		const struct kvm_irq_routing_entry *extra, unsigned nr)
{
	struct kvm_irq_routing *t;
	int r;

	t = calloc(1, sizeof(*t) + (NR_PIC_PINS + NR_IOAPIC_PINS + nr) *
					   sizeof(t->entries[0]));
	if (!t)
		return -ENOMEM;
	for (unsigned i = 0; i < NR_PIC_PINS; i++)
		if (i != 2)
			add_pin(t, i,
				i < 8 ? KVM_IRQCHIP_PIC_MASTER
				      : KVM_IRQCHIP_PIC_SLAVE,
				i % 8);
	for (unsigned i = 0; i < NR_IOAPIC_PINS; i++)
		if (i != 2)
			add_pin(t, i, KVM_IRQCHIP_IOAPIC, i ? i : 2);
	if (nr)
		memcpy(&t->entries[t->nr], extra, nr * sizeof(extra[0]));
	t->nr += nr;
	r = kvmfd_ioctl(vm, KVM_SET_GSI_ROUTING, t);
	free(t);
	return r < 0 ? r : 0;
}
