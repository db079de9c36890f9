#include <stdlib.h>

#include "test/api/kt.h"

/* The older requests show the same channels, without flags. */
static void pit_state(struct kt_vm *t)
{
	struct kvm_pit_state old;
	struct kvm_pit_state2 new;

	OK(kt_ioctl(t->vm, KVM_GET_PIT2, &new));
	new.channels[0].mode = 2;
	new.channels[0].count = 0x4a9;
	new.channels[2].count = 0x1234;
	OK(kt_ioctl(t->vm, KVM_SET_PIT2, &new));
	OK(kt_ioctl(t->vm, KVM_GET_PIT, &old));
	GIVES(old.channels[0].mode, 2);
	GIVES(old.channels[0].count, 0x4a9);
	GIVES(old.channels[2].count, 0x1234);
	old.channels[2].count = 0x4321;
	OK(kt_ioctl(t->vm, KVM_SET_PIT, &old));
	OK(kt_ioctl(t->vm, KVM_GET_PIT2, &new));
	GIVES(new.channels[0].count, 0x4a9);
	GIVES(new.channels[2].count, 0x4321);
	FAILS(kt_ioctl(t->vm, KVM_GET_PIT, NULL), EFAULT);
	FAILS(kt_ioctl(t->vm, KVM_SET_PIT, NULL), EFAULT);
}

static void creation(void)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP,
					.args[0] = 24 };
	struct kvm_pit_config pit = { 0 };
	struct kt_vm t;

	/* After a vCPU it is too late. */
	kt_vm_open(&t, 0);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_ENABLE_CAP, &split), EEXIST);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_PIT2, &pit), ENOENT);
	kt_vm_close(&t);

	kt_vm_open(&t, KT_NO_VCPU);
	OK(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL));
	FAILS(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL), EEXIST);
	FAILS(kt_ioctl(t.vm, KVM_ENABLE_CAP, &split), EEXIST);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_PIT2, NULL), EFAULT);
	OK(kt_ioctl(t.vm, KVM_CREATE_PIT2, &pit));
	FAILS(kt_ioctl(t.vm, KVM_CREATE_PIT2, &pit), EEXIST);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_PIT, NULL), EEXIST);
	kt_vm_close(&t);

	kt_vm_open(&t, KT_NO_VCPU);
	split.args[0] = 5000;
	FAILS(kt_ioctl(t.vm, KVM_ENABLE_CAP, &split), EINVAL);
	split.args[0] = 24;
	OK(kt_ioctl(t.vm, KVM_ENABLE_CAP, &split));
	FAILS(kt_ioctl(t.vm, KVM_ENABLE_CAP, &split), EEXIST);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL), EEXIST);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_PIT2, &pit), ENOENT);
	kt_vm_close(&t);
}

static void state(void)
{
	struct kvm_reinject_control control = { 0 };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_pit_config pit = { 0 };
	struct kvm_pit_state2 ps;
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(kt_ioctl(t.vm, KVM_GET_IRQCHIP, &chip), ENXIO);
	FAILS(kt_ioctl(t.vm, KVM_SET_IRQCHIP, &chip), ENXIO);
	FAILS(kt_ioctl(t.vm, KVM_GET_PIT2, &ps), ENXIO);
	FAILS(kt_ioctl(t.vm, KVM_SET_PIT2, &ps), ENXIO);
	FAILS(kt_ioctl(t.vm, KVM_REINJECT_CONTROL, &control), ENXIO);
	OK(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL));
	OK(kt_ioctl(t.vm, KVM_GET_IRQCHIP, &chip));
	GIVES(chip.chip.ioapic.base_address, 0xfec00000);
	GIVES(chip.chip.ioapic.redirtbl[0].fields.mask, 1);
	chip.chip.ioapic.redirtbl[5].bits = 0x10031;
	OK(kt_ioctl(t.vm, KVM_SET_IRQCHIP, &chip));
	memset(&chip.chip, 0, sizeof(chip.chip));
	OK(kt_ioctl(t.vm, KVM_GET_IRQCHIP, &chip));
	GIVES(chip.chip.ioapic.redirtbl[5].bits, 0x10031);
	for (chip.chip_id = 0; chip.chip_id < 2; chip.chip_id++) {
		OK(kt_ioctl(t.vm, KVM_GET_IRQCHIP, &chip));
		OK(kt_ioctl(t.vm, KVM_SET_IRQCHIP, &chip));
	}
	chip.chip_id = 3;
	FAILS(kt_ioctl(t.vm, KVM_GET_IRQCHIP, &chip), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_SET_IRQCHIP, &chip), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_GET_IRQCHIP, NULL), EFAULT);
	FAILS(kt_ioctl(t.vm, KVM_SET_IRQCHIP, NULL), EFAULT);
	OK(kt_ioctl(t.vm, KVM_CREATE_PIT2, &pit));
	OK(kt_ioctl(t.vm, KVM_GET_PIT2, &ps));
	OK(kt_ioctl(t.vm, KVM_SET_PIT2, &ps));
	FAILS(kt_ioctl(t.vm, KVM_GET_PIT2, NULL), EFAULT);
	OK(kt_ioctl(t.vm, KVM_REINJECT_CONTROL, &control));
	FAILS(kt_ioctl(t.vm, KVM_REINJECT_CONTROL, NULL), EFAULT);
	pit_state(&t);
	kt_vm_close(&t);
}

static void lines(void)
{
	struct kvm_irq_level line = { .irq = 4, .level = 1 };
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(kt_ioctl(t.vm, KVM_IRQ_LINE, &line), ENXIO);
	FAILS(kt_ioctl(t.vm, KVM_IRQ_LINE_STATUS, &line), ENXIO);
	FAILS(kt_ioctl(t.vm, KVM_IRQ_LINE, NULL), EFAULT);
	OK(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL));
	OK(kt_ioctl(t.vm, KVM_IRQ_LINE, &line));
	OK(kt_ioctl(t.vm, KVM_IRQ_LINE_STATUS, &line));
	line.level = 0;
	OK(kt_ioctl(t.vm, KVM_IRQ_LINE_STATUS, &line));
	line.irq = 5000;
	OK(kt_ioctl(t.vm, KVM_IRQ_LINE_STATUS, &line));
	KT_CHECK((int32_t)line.status < 0);
	FAILS(kt_ioctl(t.vm, KVM_IRQ_LINE_STATUS, NULL), EFAULT);
	kt_vm_close(&t);
}

static struct kvm_irq_routing *table;

static int route(struct kt_vm *t, uint32_t nr)
{
	table->nr = nr;
	table->flags = 0;
	return kt_ioctl(t->vm, KVM_SET_GSI_ROUTING, table);
}

static void routing(void)
{
	struct kvm_irq_routing_entry *e;
	struct kt_vm t;

	table = calloc(1, sizeof(*table) + 5000 * sizeof(table->entries[0]));
	e = table->entries;
	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(kt_ioctl(t.vm, KVM_SET_GSI_ROUTING, NULL), EFAULT);
	FAILS(route(&t, 0), EINVAL); /* no irqchip */
	OK(kt_ioctl(t.vm, KVM_CREATE_IRQCHIP, NULL));
	OK(route(&t, 0));
	FAILS(route(&t, 4097), EINVAL);
	table->nr = 0;
	table->flags = 1;
	FAILS(kt_ioctl(t.vm, KVM_SET_GSI_ROUTING, table), EINVAL);
	e[0].gsi = 4;
	e[0].type = 77;
	FAILS(route(&t, 1), EINVAL);
	e[0].type = KVM_IRQ_ROUTING_IRQCHIP;
	e[0].u.irqchip.irqchip = 3;
	FAILS(route(&t, 1), EINVAL);
	e[0].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	e[0].u.irqchip.pin = 24;
	FAILS(route(&t, 1), EINVAL);
	e[0].u.irqchip.pin = 4;
	OK(route(&t, 1));
	e[0].flags = 1;
	FAILS(route(&t, 1), EINVAL);
	e[0].flags = 0;
	e[0].u.irqchip.irqchip = KVM_IRQCHIP_PIC_MASTER;
	e[0].u.irqchip.pin = 8;
	FAILS(route(&t, 1), EINVAL);
	e[0].u.irqchip.pin = 4;
	e[1] = e[0];
	e[1].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	OK(route(&t, 2)); /* both chips for one GSI */
	e[1] = e[0];
	FAILS(route(&t, 2), EINVAL); /* one chip twice */
	e[1].type = KVM_IRQ_ROUTING_MSI;
	FAILS(route(&t, 2), EINVAL); /* a pin and a message */
	e[0] = e[1];
	FAILS(route(&t, 2), EINVAL); /* two messages */
	e[1].gsi = 5;
	memset(&e[1].u, 0, sizeof(e[1].u));
	OK(route(&t, 2)); /* an empty message is a placeholder */
	e[1].gsi = 4096;
	FAILS(route(&t, 2), EINVAL);
	kt_vm_close(&t);
	free(table);
}

static void msi(void)
{
	struct kvm_msi m = { .address_lo = 0xfee00000, .data = 0x4041 };
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(kt_ioctl(t.vm, KVM_SIGNAL_MSI, &m), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_SIGNAL_MSI, NULL), EFAULT);
	kt_vm_close(&t);
	kt_vm_open(&t, KT_IRQCHIP);
	m.flags = 2;
	FAILS(kt_ioctl(t.vm, KVM_SIGNAL_MSI, &m), EINVAL);
	kt_vm_close(&t);
}

/* sti; nop; hlt; then the handler of vector 0x30 at 0x2000 sets BX. */
static void delivery(void)
{
	struct kvm_interrupt irq = { .irq = 0x30 };
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	/* sti; jmp $ */
	KT_CODE(&t, 0xfb, 0xf4, 0xf4);
	/* mov bx,0x55; hlt */
	memcpy(t.mem + 0x2000, "\xbb\x55\x00\xf4", 4);
	*(uint32_t *)(t.mem + 0x30 * 4) = 0x2000;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	GIVES(t.run->if_flag, 1);
	GIVES(t.run->ready_for_interrupt_injection, 1);
	OK(kt_ioctl(t.vcpu, KVM_INTERRUPT, &irq));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rbx, 0x55);
	GIVES(regs.rip, 0x2004);
	GIVES(t.run->if_flag, 0);
	kt_vm_close(&t);
}

/* The window opens when the guest sets IF. */
static void window(void)
{
	struct kt_vm t;

	/* Hosts that emulate guest kernel code stop too late. */
	if (kt_real)
		return;
	kt_vm_open(&t, 0);
	KT_CODE(&t, 0x90, 0x90, 0xfb, 0x90, 0x90, 0xf4);
	t.run->request_interrupt_window = 1;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
	GIVES(t.run->if_flag, 1);
	GIVES(t.run->ready_for_interrupt_injection, 1);
	t.run->request_interrupt_window = 0;
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	kt_vm_close(&t);
}

static void nmi(void)
{
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xf4, 0xf4);
	memcpy(t.mem + 0x2000, "\xbb\x66\x00\xcf", 4);
	*(uint32_t *)(t.mem + 2 * 4) = 0x2000;
	OK(kt_ioctl(t.vcpu, KVM_NMI, NULL));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	GIVES(regs.rbx, 0x66);
	kt_vm_close(&t);
}

/*
 * Two can wait, but only one while another is being handled.  Hosts that
 * emulate guest kernel code notice the second too late.
 */
static void nmis(void)
{
	struct kvm_vcpu_events e;
	struct kvm_regs regs;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	KT_CODE(&t, 0xf4, 0xf4);
	memcpy(t.mem + 0x2000, "\x43\xcf", 2); /* inc bx; iret */
	*(uint32_t *)(t.mem + 2 * 4) = 0x2000;
	for (int i = 0; i < 3; i++)
		OK(kt_ioctl(t.vcpu, KVM_NMI, NULL));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HLT);
	OK(kt_ioctl(t.vcpu, KVM_GET_REGS, &regs));
	if (!kt_real)
		GIVES(regs.rbx, 2);
	OK(kt_ioctl(t.vcpu, KVM_GET_VCPU_EVENTS, &e));
	e.nmi.masked = 1;
	OK(kt_ioctl(t.vcpu, KVM_SET_VCPU_EVENTS, &e));
	OK(kt_ioctl(t.vcpu, KVM_NMI, NULL));
	OK(kt_ioctl(t.vcpu, KVM_NMI, NULL));
	OK(kt_ioctl(t.vcpu, KVM_GET_VCPU_EVENTS, &e));
	GIVES(e.nmi.pending, 1);
	kt_vm_close(&t);
}

void test_irq(void)
{
	creation();
	state();
	lines();
	routing();
	msi();
	delivery();
	window();
	nmi();
	nmis();
}
