#include "test/api/kt.h"

/* Every vCPU ioctl with a structure refuses a bad pointer. */
static void bad_pointers(int vcpu)
{
	static const unsigned long requests[] = {
		KVM_GET_REGS,	     KVM_SET_REGS,
		KVM_GET_SREGS,	     KVM_SET_SREGS,
		KVM_GET_SREGS2,	     KVM_SET_SREGS2,
		KVM_GET_FPU,	     KVM_SET_FPU,
		KVM_GET_XSAVE,	     KVM_SET_XSAVE,
		KVM_GET_XSAVE2,	     KVM_GET_XCRS,
		KVM_SET_XCRS,	     KVM_GET_MSRS,
		KVM_SET_MSRS,	     KVM_SET_CPUID,
		KVM_SET_CPUID2,	     KVM_GET_CPUID2,
		KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
		KVM_GET_DEBUGREGS,   KVM_SET_DEBUGREGS,
		KVM_SET_GUEST_DEBUG, KVM_TRANSLATE,
		KVM_GET_MP_STATE,    KVM_SET_MP_STATE,
		KVM_INTERRUPT,	     KVM_X86_SETUP_MCE,
		KVM_X86_SET_MCE,     KVM_ENABLE_CAP,
		KVM_HAS_DEVICE_ATTR, KVM_TPR_ACCESS_REPORTING,
	};

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		FAILS(kt_ioctl(vcpu, requests[i], BAD_PTR), EFAULT);
		FAILS(kt_ioctl(vcpu, requests[i], NULL), EFAULT);
	}
}

static void requests(struct kt_vm *t)
{
	struct kvm_tpr_access_ctl tpr = { .enabled = 0 };
	struct kvm_enable_cap cap = { .cap = 9999 };
	struct kvm_guest_debug dbg = { 0 };
	struct kvm_interrupt irq = { .irq = 256 };

	FAILS(kt_ioctl(t->vcpu, 0xdeadbeef, NULL), EINVAL);
	FAILS(kt_ioctl(t->vcpu, _IO(KVMIO, 0xfe), NULL), EINVAL);
	FAILS(kt_ioctl(t->vcpu, KVM_RUN, ARG(1)), EINVAL);
	OK(kt_ioctl(t->vcpu, KVM_TPR_ACCESS_REPORTING, &tpr));
	tpr.flags = 1;
	FAILS(kt_ioctl(t->vcpu, KVM_TPR_ACCESS_REPORTING, &tpr), EINVAL);
	FAILS(kt_ioctl(t->vcpu, KVM_ENABLE_CAP, &cap), EINVAL);
	OK(kt_ioctl(t->vcpu, KVM_SET_GUEST_DEBUG, &dbg));
	FAILS(kt_ioctl(t->vcpu, KVM_INTERRUPT, &irq), EINVAL);
	OK(kt_ioctl(t->vcpu, KVM_NMI, NULL));
	FAILS(kt_ioctl(t->vcpu, KVM_KVMCLOCK_CTRL, NULL), EINVAL);
	KT_CHECK(kt_ioctl(t->vcpu, KVM_GET_TSC_KHZ, NULL) > 100000);
	OK(kt_ioctl(t->vcpu, KVM_SET_TSC_KHZ,
		    ARG(kt_ioctl(t->vcpu, KVM_GET_TSC_KHZ, NULL))));
	OK(kt_ioctl(t->vcpu, KVM_SET_TSC_KHZ, ARG(0)));
}

/* Without an in-kernel local APIC. */
static void no_lapic(struct kt_vm *t)
{
	struct kvm_lapic_state lapic = { 0 };
	struct kvm_mp_state mp = { .mp_state = 99 };
	struct kvm_vapic_addr va = { 0 };
	struct kvm_interrupt irq = { .irq = 0x20 };

	FAILS(kt_ioctl(t->vcpu, KVM_GET_LAPIC, &lapic), EINVAL);
	FAILS(kt_ioctl(t->vcpu, KVM_GET_LAPIC, NULL), EINVAL);
	FAILS(kt_ioctl(t->vcpu, KVM_SET_LAPIC, NULL), EINVAL);
	FAILS(kt_ioctl(t->vcpu, KVM_SET_LAPIC, &lapic), EINVAL);
	FAILS(kt_ioctl(t->vcpu, KVM_SET_VAPIC_ADDR, &va), EINVAL);
	OK(kt_ioctl(t->vcpu, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	OK(kt_ioctl(t->vcpu, KVM_SET_MP_STATE, &mp));
	mp.mp_state = KVM_MP_STATE_HALTED;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_MP_STATE, &mp), EINVAL);
	mp.mp_state = 77;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_MP_STATE, &mp), EINVAL);
	OK(kt_ioctl(t->vcpu, KVM_INTERRUPT, &irq));
	OK(kt_ioctl(t->vcpu, KVM_INTERRUPT, &irq));
}

static void with_lapic(void)
{
	struct kvm_lapic_state lapic = { 0 };
	struct kvm_mp_state mp;
	struct kvm_vapic_addr va = { 0 };
	struct kvm_interrupt irq = { .irq = 0x20 };
	struct kt_vm t;
	int ap;

	kt_vm_open(&t, KT_IRQCHIP);
	OK(kt_ioctl(t.vcpu, KVM_GET_LAPIC, &lapic));
	/* Version register: 0x14, LVT entries. */
	GIVES(lapic.regs[0x30] & 0xf0, 0x10);
	GIVES((uint8_t)lapic.regs[0xf0], 0xff);
	OK(kt_ioctl(t.vcpu, KVM_SET_LAPIC, &lapic));
	FAILS(kt_ioctl(t.vcpu, KVM_GET_LAPIC, NULL), EFAULT);
	FAILS(kt_ioctl(t.vcpu, KVM_SET_LAPIC, BAD_PTR), EFAULT);
	OK(kt_ioctl(t.vcpu, KVM_SET_VAPIC_ADDR, &va));
	FAILS(kt_ioctl(t.vcpu, KVM_INTERRUPT, &irq), ENXIO);
	OK(kt_ioctl(t.vcpu, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	ap = kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(1));
	KT_CHECK(ap >= 0);
	OK(kt_ioctl(ap, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	mp.mp_state = KVM_MP_STATE_HALTED;
	OK(kt_ioctl(ap, KVM_SET_MP_STATE, &mp));
	OK(kt_ioctl(ap, KVM_GET_MP_STATE, &mp));
	GIVES(mp.mp_state, KVM_MP_STATE_HALTED);
	mp.mp_state = 77;
	FAILS(kt_ioctl(ap, KVM_SET_MP_STATE, &mp), EINVAL);
	OK(kt_close(ap));
	kt_vm_close(&t);
}

static void mce(struct kt_vm *t)
{
	struct kvm_x86_mce mce = { .bank = 1 };
	uint64_t cap = 0;

	FAILS(kt_ioctl(t->vcpu, KVM_X86_SETUP_MCE, &cap), EINVAL);
	cap = 33;
	FAILS(kt_ioctl(t->vcpu, KVM_X86_SETUP_MCE, &cap), EINVAL);
	cap = 1ull << 50 | 10;
	FAILS(kt_ioctl(t->vcpu, KVM_X86_SETUP_MCE, &cap), EINVAL);
	cap = 0x100010a;
	OK(kt_ioctl(t->vcpu, KVM_X86_SETUP_MCE, &cap));
	FAILS(kt_ioctl(t->vcpu, KVM_X86_SET_MCE, &mce), EINVAL);
	mce.status = 1ull << 63;
	OK(kt_ioctl(t->vcpu, KVM_X86_SET_MCE, &mce));
	mce.bank = 10;
	FAILS(kt_ioctl(t->vcpu, KVM_X86_SET_MCE, &mce), EINVAL);
}

static void attributes(struct kt_vm *t)
{
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL,
				     .attr = KVM_VCPU_TSC_OFFSET };
	uint64_t offset = 0, again = 0;

	OK(kt_ioctl(t->vcpu, KVM_HAS_DEVICE_ATTR, &a));
	FAILS(kt_ioctl(t->vcpu, KVM_GET_DEVICE_ATTR, &a), EFAULT);
	a.addr = (uint64_t)&offset;
	OK(kt_ioctl(t->vcpu, KVM_GET_DEVICE_ATTR, &a));
	offset -= 1ull << 30;
	OK(kt_ioctl(t->vcpu, KVM_SET_DEVICE_ATTR, &a));
	a.addr = (uint64_t)&again;
	OK(kt_ioctl(t->vcpu, KVM_GET_DEVICE_ATTR, &a));
	/* A host without TSC offsetting keeps none. */
	if (!kt_real)
		GIVES(again, offset);
	a.attr = 77;
	FAILS(kt_ioctl(t->vcpu, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
}

static void signal_mask(struct kt_vm *t)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[16];
	} m = { .head.len = 8 };

	OK(kt_ioctl(t->vcpu, KVM_SET_SIGNAL_MASK, &m));
	m.head.len = 16;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SIGNAL_MASK, &m), EINVAL);
	FAILS(kt_ioctl(t->vcpu, KVM_SET_SIGNAL_MASK, BAD_PTR), EFAULT);
	OK(kt_ioctl(t->vcpu, KVM_SET_SIGNAL_MASK, NULL));
}

void test_vcpu(void)
{
	struct kt_vm t;

	kt_vm_open(&t, 0);
	bad_pointers(t.vcpu);
	requests(&t);
	no_lapic(&t);
	mce(&t);
	attributes(&t);
	signal_mask(&t);
	kt_vm_close(&t);
	with_lapic();
}
