#include <sys/mman.h>

#include "test/api/kt.h"

/* VM ioctls that are neither memory nor interrupts. */
static void requests(void)
{
	struct kt_vm t;
	uint64_t addr = 0xfeffc000;

	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(kt_ioctl(t.vm, 0xdeadbeef, NULL), ENOTTY);
	FAILS(kt_ioctl(t.vm, _IO(KVMIO, 0xfe), NULL), ENOTTY);
	FAILS(kt_ioctl(t.vm, KVM_KVMCLOCK_CTRL, NULL), ENOTTY);
	GIVES(kt_ioctl(t.vm, KVM_CHECK_EXTENSION, ARG(KVM_CAP_USER_MEMORY)), 1);
	OK(kt_ioctl(t.vm, KVM_SET_TSS_ADDR, ARG(0xfeffd000)));
	FAILS(kt_ioctl(t.vm, KVM_SET_TSS_ADDR, ARG(0xffffffffu)), EINVAL);
	OK(kt_ioctl(t.vm, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	FAILS(kt_ioctl(t.vm, KVM_SET_IDENTITY_MAP_ADDR, NULL), EFAULT);
	OK(kt_ioctl(t.vm, KVM_SET_NR_MMU_PAGES, ARG(64)));
	FAILS(kt_ioctl(t.vm, KVM_SET_NR_MMU_PAGES, ARG(1)), EINVAL);
	OK(kt_ioctl(t.vm, KVM_SET_BOOT_CPU_ID, ARG(0)));
	kt_vm_close(&t);
}

static void after_vcpu(void)
{
	uint64_t addr = 0xfeffc000;
	struct kt_vm t;

	kt_vm_open(&t, 0);
	FAILS(kt_ioctl(t.vm, KVM_SET_IDENTITY_MAP_ADDR, &addr), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_SET_BOOT_CPU_ID, ARG(0)), EBUSY);
	kt_vm_close(&t);
}

static int enable(int fd, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args[0] = arg };

	return kt_ioctl(fd, KVM_ENABLE_CAP, &c);
}

static void capabilities(void)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_EXCEPTION_PAYLOAD,
				    .flags = 1 };
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(kt_ioctl(t.vm, KVM_ENABLE_CAP, NULL), EFAULT);
	FAILS(kt_ioctl(t.vm, KVM_ENABLE_CAP, &c), EINVAL);
	FAILS(enable(t.vm, 9999, 0), EINVAL);
	FAILS(enable(t.vm, KVM_CAP_USER_MEMORY, 0), EINVAL);
	OK(enable(t.vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	OK(enable(t.vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1));
	OK(enable(t.vm, KVM_CAP_X86_USER_SPACE_MSR,
		  KVM_MSR_EXIT_REASON_FILTER));
	FAILS(enable(t.vm, KVM_CAP_X86_USER_SPACE_MSR, 1ull << 40), EINVAL);
	FAILS(enable(t.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 2), EINVAL);
	FAILS(enable(t.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 4), EINVAL);
	OK(enable(t.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3));
	FAILS(enable(t.vm, KVM_CAP_MAX_VCPU_ID, 100000), EINVAL);
	OK(enable(t.vm, KVM_CAP_MAX_VCPU_ID, 2));
	OK(enable(t.vm, KVM_CAP_MAX_VCPU_ID, 2));
	FAILS(enable(t.vm, KVM_CAP_MAX_VCPU_ID, 3), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(2)), EINVAL);
	FAILS(enable(t.vm, KVM_CAP_X2APIC_API, 1 << 20), EINVAL);
	OK(enable(t.vm, KVM_CAP_X2APIC_API, 3));
	kt_vm_close(&t);
}

static void create_vcpus(void)
{
	struct kt_vm t;
	int max, fd;

	kt_vm_open(&t, 0);
	max = kt_ioctl(t.vm, KVM_CHECK_EXTENSION, ARG(KVM_CAP_MAX_VCPU_ID));
	FAILS(kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(0)), EEXIST);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(max)), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(-1)), EINVAL);
	fd = kt_ioctl(t.vm, KVM_CREATE_VCPU, ARG(7));
	KT_CHECK(fd >= 0);
	OK(kt_close(fd));
	kt_vm_close(&t);
}

static void clock(void)
{
	struct kvm_clock_data d = { 0 }, e;
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	OK(kt_ioctl(t.vm, KVM_GET_CLOCK, &d));
	FAILS(kt_ioctl(t.vm, KVM_GET_CLOCK, NULL), EFAULT);
	FAILS(kt_ioctl(t.vm, KVM_SET_CLOCK, NULL), EFAULT);
	d.flags = 1u << 20;
	FAILS(kt_ioctl(t.vm, KVM_SET_CLOCK, &d), EINVAL);
	memset(&d, 0, sizeof(d));
	d.clock = 1ull << 40;
	OK(kt_ioctl(t.vm, KVM_SET_CLOCK, &d));
	OK(kt_ioctl(t.vm, KVM_GET_CLOCK, &e));
	KT_CHECK(e.clock >= d.clock && e.clock < d.clock + 1000000000);
	kt_vm_close(&t);
}

static void msr_filter(void)
{
	uint8_t bitmap[0x600] = { 0 };
	struct kvm_msr_filter f = { 0 };
	struct kt_vm t;

	kt_vm_open(&t, 0);
	FAILS(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, NULL), EFAULT);
	f.flags = 2;
	FAILS(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	FAILS(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.flags = 0;
	OK(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f));
	f.ranges[0].flags = KVM_MSR_FILTER_READ;
	f.ranges[0].base = 0x35;
	f.ranges[0].nmsrs = 1;
	f.ranges[0].bitmap = bitmap;
	OK(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f));
	f.ranges[0].nmsrs = 0x600 * 8 + 1;
	FAILS(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.ranges[0].nmsrs = 8;
	f.ranges[0].flags = 4;
	FAILS(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.ranges[0].flags = 3;
	f.ranges[0].bitmap = BAD_PTR;
	FAILS(kt_ioctl(t.vm, KVM_X86_SET_MSR_FILTER, &f), EFAULT);
	kt_vm_close(&t);
}

static void device(void)
{
	struct kvm_create_device d = { .type = 999 };
	struct kvm_device_attr a = { .group = 77 };
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_DEVICE, NULL), EFAULT);
	FAILS(kt_ioctl(t.vm, KVM_CREATE_DEVICE, &d), ENODEV);
	d.type = KVM_DEV_TYPE_VFIO;
	d.flags = KVM_CREATE_DEVICE_TEST;
	/* The host's kernel may lack VFIO. */
	if (!kt_ioctl(t.vm, KVM_CREATE_DEVICE, &d)) {
		d.flags = 0;
		OK(kt_ioctl(t.vm, KVM_CREATE_DEVICE, &d));
		FAILS(kt_ioctl(d.fd, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
		FAILS(kt_ioctl(d.fd, KVM_SET_DEVICE_ATTR, &a), ENXIO);
		FAILS(kt_ioctl(d.fd, KVM_HAS_DEVICE_ATTR, NULL), EFAULT);
		FAILS(kt_ioctl(d.fd, KVM_GET_API_VERSION, NULL), ENOTTY);
		OK(kt_close(d.fd));
	}
	kt_vm_close(&t);
}

static void coalesced(void)
{
	struct kvm_coalesced_mmio_zone z = { .addr = 0x10000000,
					     .size = 0x1000 };
	struct kt_vm t;

	kt_vm_open(&t, KT_NO_VCPU);
	OK(kt_ioctl(t.vm, KVM_REGISTER_COALESCED_MMIO, &z));
	OK(kt_ioctl(t.vm, KVM_UNREGISTER_COALESCED_MMIO, &z));
	OK(kt_ioctl(t.vm, KVM_UNREGISTER_COALESCED_MMIO, &z));
	z.pio = 2;
	FAILS(kt_ioctl(t.vm, KVM_REGISTER_COALESCED_MMIO, &z), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_UNREGISTER_COALESCED_MMIO, &z), EINVAL);
	FAILS(kt_ioctl(t.vm, KVM_REGISTER_COALESCED_MMIO, NULL), EFAULT);
	kt_vm_close(&t);
}

void test_vm(void)
{
	requests();
	after_vcpu();
	capabilities();
	create_vcpus();
	clock();
	msr_filter();
	device();
	coalesced();
}
