#include "test/api/kt_long.h"

/*
 * Hyper-V's interface: its CPUID leaves and registers, the exits that are user
 * mode's part of it, lines routed to synthetic sources, timers.
 */
#define GUEST_OS_ID   0x40000000
#define HYPERCALL     0x40000001
#define TIME_REF      0x40000020
#define REFERENCE_TSC 0x40000021
#define SCONTROL      0x40000080
#define SIMP	      0x40000083
#define SINT2	      0x40000092
#define STIMER0	      0x400000b0

#define CALL_PAGE    0x30000
#define MESSAGE_PAGE 0x31000
#define TSC_PAGE     0x32000
#define POST_MESSAGE 0x5c

static struct kt_vm t;

static struct {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 e[100];
} list;

static int set(uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = { { .nmsrs = 1 }, { .index = index, .data = value } };

	return kt_ioctl(t.vcpu, KVM_SET_MSRS, &m);
}

static uint64_t get(uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = { { .nmsrs = 1 }, { .index = index } };

	GIVES(kt_ioctl(t.vcpu, KVM_GET_MSRS, &m), 1);
	return m.e.data;
}

static void enable_synic(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC };

	OK(kt_ioctl(t.vcpu, KVM_ENABLE_CAP, &cap));
}

static void leaves(void)
{
	memset(&list, 0, sizeof(list));
	list.head.nent = 1;
	FAILS(kt_ioctl(t.sys, KVM_GET_SUPPORTED_HV_CPUID, &list), E2BIG);
	list.head.nent = 100;
	OK(kt_ioctl(t.vcpu, KVM_GET_SUPPORTED_HV_CPUID, &list));
	KT_CHECK(list.head.nent >= 6);
	GIVES(list.e[0].function, 0x40000000);
	GIVES(list.e[1].function, 0x40000001);
	GIVES(list.e[1].eax, 0x31237648);
}

/* The vCPU gets the leaf that makes its VMCALLs these. */
static void show_interface(void)
{
	list.head.nent = 100;
	OK(kt_ioctl(t.sys, KVM_GET_SUPPORTED_CPUID, &list));
	for (uint32_t i = 0; i < list.head.nent; i++)
		if (list.e[i].function == 0x40000001)
			list.e[i].eax = 0x31237648;
	OK(kt_ioctl(t.vcpu, KVM_SET_CPUID2, &list));
}

static void registers(void)
{
	kt_vm_open(&t, KT_IRQCHIP);
	leaves();
	/* No SynIC yet: only "off" can be restored. */
	GIVES(set(SCONTROL, 1), 0);
	enable_synic();
	GIVES(get(SINT2), 0x10000);
	GIVES(set(SINT2, 15), 0);
	GIVES(set(SINT2, 0x2000f), 0);
	GIVES(set(SINT2, 0x20), 1);
	GIVES(get(SINT2), 0x20);
	GIVES(set(SCONTROL, 1), 1);
	GIVES(get(SCONTROL), 1);
	/* Source 0 takes no timer messages: stays off. */
	GIVES(set(STIMER0, 1), 1);
	GIVES(get(STIMER0), 0);
	GIVES(set(STIMER0, 1 | 2 << 16), 1);
	GIVES(get(STIMER0), 1 | 2 << 16);
	/* Nothing enables hypercalls before the guest has a name. */
	GIVES(set(HYPERCALL, CALL_PAGE | 1), 1);
	GIVES(get(HYPERCALL), 0);
	kt_vm_close(&t);

	kt_vm_open(&t, 0);
	KT_CHECK(kt_ioctl(t.vcpu, KVM_ENABLE_CAP,
			  &(struct kvm_enable_cap){
				  .cap = KVM_CAP_HYPERV_SYNIC }) < 0);
	kt_vm_close(&t);
}

/* The page agrees with the counter and both go on. */
static void reference_clock(void)
{
	uint64_t scale, offset, before, after, tsc, page;

	kt_vm_open(&t, KT_IRQCHIP);
	GIVES(set(REFERENCE_TSC, TSC_PAGE | 1), 1);
	KT_CHECK(*(uint32_t *)(t.mem + TSC_PAGE) != 0);
	scale = kt_u64(&t, TSC_PAGE + 8);
	offset = kt_u64(&t, TSC_PAGE + 16);
	for (int i = 0; i < 100; i++) {
		before = get(TIME_REF);
		tsc = get(0x10);
		after = get(TIME_REF);
		page = (uint64_t)((unsigned __int128)tsc * scale >> 64) +
		       offset;
		KT_CHECK(before <= page && page <= after);
	}
	GIVES(set(REFERENCE_TSC, 0), 1);
	KT_CHECK(get(TIME_REF) >= after);
	kt_vm_close(&t);
}

/* Enables the message page, then calls. */
KT_ASM(hv_calls,
       "mov $0x40000083, %ecx; mov $0x31001, %eax; xor %edx, %edx; "
       "wrmsr; mov $0x5c, %ecx; mov $0x1230, %edx; mov $0x30000, %ebx; "
       "call *%rbx; hlt");

static void exits(int executor)
{
	kt_vm_open(&t, KT_IRQCHIP);
	kt_executor(&t, executor);
	enable_synic();
	KT_LONG(&t, hv_calls);
	show_interface();
	GIVES(set(GUEST_OS_ID, 1), 1);
	GIVES(set(HYPERCALL, CALL_PAGE | 1), 1);
	GIVES(t.mem[CALL_PAGE + 3], 0xc3);
	memset(t.mem + MESSAGE_PAGE, 0xff, 0x1000);

	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HYPERV);
	GIVES(t.run->hyperv.type, KVM_EXIT_HYPERV_SYNIC);
	GIVES(t.run->hyperv.u.synic.msr, SIMP);
	GIVES(t.run->hyperv.u.synic.msg_page, MESSAGE_PAGE | 1);
	GIVES(t.mem[MESSAGE_PAGE + 0xfff], 0); /* it starts empty */

	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_HYPERV);
	GIVES(t.run->hyperv.type, KVM_EXIT_HYPERV_HCALL);
	GIVES(t.run->hyperv.u.hcall.input, POST_MESSAGE);
	GIVES(t.run->hyperv.u.hcall.params[0], 0x1230);
	t.run->hyperv.u.hcall.result = 0x77;
	t.run->immediate_exit = 1;
	FAILS(kt_run(&t), EINTR);
	kt_vm_close(&t);
}

/* Waits for an interrupt. */
KT_ASM(hv_wait, "sti; 1: cmpq $0, 0x4000; je 1b; mov $1, %al; out %al, $0x80");

/* Some work with interrupts on. */
KT_ASM(hv_count, "sti; mov $1000000, %ecx; 1: loop 1b; out %al, $0x80");

static void sints(int executor)
{
	/* incq 0x4000; iretq */
	static const uint8_t handle[] = { 0x48, 0xff, 0x04, 0x25, 0x00,
					  0x40, 0x00, 0x00, 0x48, 0xcf };
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[1];
	} route = { { .nr = 1 },
		    { { .gsi = 5,
			.type = KVM_IRQ_ROUTING_HV_SINT,
			.u.hv_sint = { .vcpu = 0, .sint = 2 } } } };
	struct kvm_irq_level irq = { .irq = 5, .level = 1 };
	struct kvm_lapic_state lapic;

	kt_vm_open(&t, KT_IRQCHIP);
	kt_executor(&t, executor);
	enable_synic();
	KT_LONG(&t, hv_wait);
	kt_handler(&t, 0x24, handle, sizeof(handle));
	OK(kt_ioctl(t.vm, KVM_SET_GSI_ROUTING, &route));
	OK(kt_ioctl(t.vcpu, KVM_GET_LAPIC, &lapic));
	lapic.regs[0xf1] |= 1; /* software enable */
	OK(kt_ioctl(t.vcpu, KVM_SET_LAPIC, &lapic));

	GIVES(set(SINT2, 0x24 | 1 << 17), 1);	/* ends as it is delivered */
	OK(kt_ioctl(t.vm, KVM_IRQ_LINE, &irq)); /* SynIC is off: lost */
	GIVES(set(SCONTROL, 1), 1);
	OK(kt_ioctl(t.vcpu, KVM_GET_LAPIC, &lapic));
	GIVES(lapic.regs[0x210] & 0x10, 0);
	OK(kt_ioctl(t.vm, KVM_IRQ_LINE, &irq));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	GIVES(kt_u64(&t, KT_COUNTER), 1);
	OK(kt_ioctl(t.vcpu, KVM_GET_LAPIC, &lapic));
	GIVES(lapic.regs[0x110] & 0x10, 0);

	/* A timer in direct mode, one shot, 1 ms from now. */
	*(uint64_t *)(t.mem + KT_COUNTER) = 0;
	GIVES(set(STIMER0 + 1, get(TIME_REF) + 10000), 1);
	GIVES(set(STIMER0, 1 | 0x24 << 4 | 1 << 12), 1);
	KT_LONG(&t, hv_wait);
	kt_handler(&t, 0x24, handle, sizeof(handle));
	OK(kt_run(&t));
	GIVES(t.run->exit_reason, KVM_EXIT_IO);
	GIVES(kt_u64(&t, KT_COUNTER), 1);
	GIVES(get(STIMER0) & 1, 0);

	/* Periods that are too short, or end beyond time: the guest gets on. */
	for (int i = 0; i < 2; i++) {
		*(uint64_t *)(t.mem + KT_COUNTER) = 0;
		GIVES(set(STIMER0 + 1, i ? UINT64_MAX : 1), 1);
		GIVES(set(STIMER0, 3 | 0x24 << 4 | 1 << 12), 1);
		KT_LONG(&t, hv_count);
		kt_handler(&t, 0x24, handle, sizeof(handle));
		OK(kt_run(&t));
		GIVES(t.run->exit_reason, KVM_EXIT_IO);
		if (i)
			GIVES(kt_u64(&t, KT_COUNTER), 0);
	}
	kt_vm_close(&t);
}

void test_hv(void)
{
	registers();
	reference_clock();
	for (KT_EXECUTORS(e)) {
		exits(e);
		sints(e);
	}
}
