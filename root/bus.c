#include "root/bus.h"

#include <string.h>

#include "irqchip/irqchip.h"
#include "irqchip/lapic.h"

bool bus_pio_read(struct vcpu *v, uint16_t port, unsigned int len, void *data)
{
	struct irqchip *chip = v->vm->irqchip;
	uint32_t value = 0;

	if (!chip || !irqchip_pio_read(chip, port, len, &value))
		return false;
	memcpy(data, &value, len);
	return true;
}

bool bus_pio_write(struct vcpu *v, uint16_t port, unsigned int len,
		   const void *data)
{
	struct vm *vm = v->vm;
	uint32_t value = 0;

	memcpy(&value, data, len);
	if (vm->irqchip && irqchip_pio_write(vm->irqchip, port, len, value))
		return true;
	return vm->ops->bus_write(vm->owner, true, port, len, data);
}

bool bus_mmio_read(struct vcpu *v, gpa_t gpa, unsigned int len, void *data)
{
	struct irqchip *chip = v->vm->irqchip;

	if (v->apic && lapic_mmio_read(v->apic, gpa, len, data)) {
		v->cpu->exits[EXIT_APIC_ACCESS]++;
		return true;
	}
	return chip && irqchip_mmio_read(chip, gpa, len, data);
}

bool bus_mmio_write(struct vcpu *v, gpa_t gpa, unsigned int len,
		    const void *data)
{
	struct vm *vm = v->vm;

	if (v->apic && lapic_mmio_write(v->apic, gpa, len, data)) {
		v->cpu->exits[EXIT_APIC_ACCESS]++;
		v->cpu->cr8 = lapic_cr8(v->apic);
		return true;
	}
	if (vm->irqchip && irqchip_mmio_write(vm->irqchip, gpa, len, data))
		return true;
	return vm->ops->bus_write(vm->owner, false, gpa, len, data);
}
