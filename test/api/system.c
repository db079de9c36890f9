#include <fcntl.h>
#include <stdlib.h>

#include "test/api/kt.h"

static void versions(int sys)
{
	GIVES(kt_ioctl(sys, KVM_GET_API_VERSION, NULL), 12);
	FAILS(kt_ioctl(sys, KVM_GET_API_VERSION, ARG(1)), EINVAL);
	GIVES(kt_ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, NULL), 0x3000);
	FAILS(kt_ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, ARG(1)), EINVAL);
	FAILS(kt_ioctl(sys, KVM_CREATE_VM, ARG(12345)), EINVAL);
	FAILS(kt_ioctl(sys, 0xdeadbeef, NULL), EINVAL);
	FAILS(kt_ioctl(sys, _IO(KVMIO, 0xfe), NULL), EINVAL);
}

/* Capabilities that clients insist on, or compare with 1. */
static void capabilities(int sys)
{
	static const int ones[] = {
		KVM_CAP_IRQCHIP,
		KVM_CAP_HLT,
		KVM_CAP_USER_MEMORY,
		KVM_CAP_SET_TSS_ADDR,
		KVM_CAP_EXT_CPUID,
		KVM_CAP_MP_STATE,
		KVM_CAP_SYNC_MMU,
		KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
		KVM_CAP_USER_NMI,
		KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
		KVM_CAP_IRQFD,
		KVM_CAP_PIT2,
		KVM_CAP_PIT_STATE2,
		KVM_CAP_IOEVENTFD,
		KVM_CAP_VCPU_EVENTS,
		KVM_CAP_SET_IDENTITY_MAP_ADDR,
		KVM_CAP_XSAVE,
		KVM_CAP_XCRS,
		KVM_CAP_DEBUGREGS,
		KVM_CAP_READONLY_MEM,
		KVM_CAP_SPLIT_IRQCHIP,
		KVM_CAP_IMMEDIATE_EXIT,
		KVM_CAP_SIGNAL_MSI,
		KVM_CAP_TSC_DEADLINE_TIMER,
		KVM_CAP_SREGS2,
		KVM_CAP_BINARY_STATS_FD,
		KVM_CAP_IRQ_INJECT_STATUS,
	};

	for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++)
		GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(ones[i])), 1);
	GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_COALESCED_MMIO)),
	      2);
	GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_NR_MEMSLOTS)),
	      32764);
	GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_IRQ_ROUTING)),
	      4096);
	GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_SYNC_REGS)), 7);
	KT_CHECK(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_MAX_VCPUS)) >=
		 kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_NR_VCPUS)));
	KT_CHECK(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_XSAVE2)) >=
		 4096);
	GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(KVM_CAP_MSI_DEVID)), 0);
	GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(0xffff)), 0);
	GIVES(kt_ioctl(sys, KVM_CHECK_EXTENSION, ARG(-1)), 0);
}

static void supported_cpuid(int sys)
{
	struct kvm_cpuid2 *list =
		calloc(1, sizeof(*list) + 256 * sizeof(list->entries[0]));
	unsigned int n;

	list->nent = 1;
	FAILS(kt_ioctl(sys, KVM_GET_SUPPORTED_CPUID, list), E2BIG);
	GIVES(list->nent, 1);
	list->nent = 0;
	FAILS(kt_ioctl(sys, KVM_GET_SUPPORTED_CPUID, list), E2BIG);
	list->nent = 256;
	OK(kt_ioctl(sys, KVM_GET_SUPPORTED_CPUID, list));
	n = list->nent;
	KT_CHECK(n > 10 && n <= 100);
	list->nent = n;
	OK(kt_ioctl(sys, KVM_GET_SUPPORTED_CPUID, list));
	list->nent = n - 1;
	FAILS(kt_ioctl(sys, KVM_GET_SUPPORTED_CPUID, list), E2BIG);
	FAILS(kt_ioctl(sys, KVM_GET_SUPPORTED_CPUID, NULL), EFAULT);
	FAILS(kt_ioctl(sys, KVM_GET_SUPPORTED_CPUID, BAD_PTR), EFAULT);
	FAILS(kt_ioctl(sys, KVM_GET_EMULATED_CPUID, NULL), EFAULT);
	free(list);
}

static void msr_list(int sys)
{
	struct {
		struct kvm_msr_list head;
		uint32_t indices[300];
	} list = { .head.nmsrs = 0 };
	uint32_t n;

	FAILS(kt_ioctl(sys, KVM_GET_MSR_INDEX_LIST, &list), E2BIG);
	n = list.head.nmsrs;
	KT_CHECK(n > 10 && n <= 256);
	OK(kt_ioctl(sys, KVM_GET_MSR_INDEX_LIST, &list));
	GIVES(list.head.nmsrs, n);
	list.head.nmsrs = n - 1;
	FAILS(kt_ioctl(sys, KVM_GET_MSR_INDEX_LIST, &list), E2BIG);
	GIVES(list.head.nmsrs, n);
	list.head.nmsrs = 300;
	OK(kt_ioctl(sys, KVM_GET_MSR_INDEX_LIST, &list));
	GIVES(list.head.nmsrs, n);
	FAILS(kt_ioctl(sys, KVM_GET_MSR_INDEX_LIST, NULL), EFAULT);
}

static void mce_cap(int sys)
{
	uint64_t cap = 0;

	OK(kt_ioctl(sys, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	KT_CHECK(cap & 0x100);
	FAILS(kt_ioctl(sys, KVM_X86_GET_MCE_CAP_SUPPORTED, NULL), EFAULT);
}

void test_system(void)
{
	int sys = kt_open(O_RDWR);

	KT_CHECK(sys >= 0);
	versions(sys);
	capabilities(sys);
	supported_cpuid(sys);
	msr_list(sys);
	mce_cap(sys);
	OK(kt_close(sys));
}
