#include "test/api/kt.h"

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry e[300];
};

static struct msrs m;

static int get(struct kt_vm *t, uint32_t index, uint64_t *value)
{
	int r;

	m.head.nmsrs = 1;
	m.e[0] = (struct kvm_msr_entry){ .index = index };
	r = kt_ioctl(t->vcpu, KVM_GET_MSRS, &m);
	*value = m.e[0].data;
	return r;
}

static int set(struct kt_vm *t, uint32_t index, uint64_t value)
{
	m.head.nmsrs = 1;
	m.e[0] = (struct kvm_msr_entry){ .index = index, .data = value };
	return kt_ioctl(t->vcpu, KVM_SET_MSRS, &m);
}

static void arguments(struct kt_vm *t)
{
	m.head.nmsrs = 256;
	FAILS(kt_ioctl(t->vcpu, KVM_GET_MSRS, &m), E2BIG);
	FAILS(kt_ioctl(t->vcpu, KVM_SET_MSRS, &m), E2BIG);
	m.head.nmsrs = 0;
	OK(kt_ioctl(t->vcpu, KVM_GET_MSRS, &m));
	/* The first one that fails ends the call. */
	m.head.nmsrs = 3;
	m.e[0].index = 0xc0000081;
	m.e[1].index = 0x12345678;
	m.e[2].index = 0xc0000081;
	GIVES(kt_ioctl(t->vcpu, KVM_GET_MSRS, &m), 1);
	GIVES(kt_ioctl(t->vcpu, KVM_SET_MSRS, &m), 1);
}

static void values(struct kt_vm *t)
{
	static const struct {
		uint32_t index;
		uint64_t value;
	} v[] = {
		{ 0x174, 0x10 },
		{ 0x175, 0xffff888000001000 },
		{ 0x176, 0xffffffff81000000 },
		{ 0xc0000081, 0x0023001000000000 },
		{ 0xc0000082, 0xffffffff81000000 },
		{ 0xc0000083, 0xffffffff81000000 },
		{ 0xc0000084, 0x47700 },
		{ 0xc0000102, 0xffff888000000000 },
		{ 0xc0000100, 0x7f0000001000 },
		{ 0xc0000101, 0x7f0000002000 },
		{ 0x277, 0x0007040600070406 },
		{ 0x1a0, 1 },
	};
	uint64_t got;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		GIVES(set(t, v[i].index, v[i].value), 1);
		GIVES(get(t, v[i].index, &got), 1);
		GIVES(got, v[i].value);
	}
	/* Not canonical, not a memory type. */
	GIVES(set(t, 0xc0000082, 0x8000000000000000), 0);
	if (!kt_real)
		GIVES(set(t, 0x277, 0x0202020202020202), 0);
	/* The TSC goes on, where the host can offset it. */
	GIVES(set(t, 0x10, 1ull << 40), 1);
	GIVES(get(t, 0x10, &got), 1);
	if (!kt_real)
		KT_CHECK(got >> 40 == 1);
	GIVES(get(t, 0x1b, &got), 1);
	GIVES(got, 0xfee00900);
}

/* Whatever the list names can be read, and set to what was read. */
static void whole_list(struct kt_vm *t)
{
	struct {
		struct kvm_msr_list head;
		uint32_t indices[300];
	} list = { .head.nmsrs = 300 };
	uint64_t value;

	OK(kt_ioctl(t->sys, KVM_GET_MSR_INDEX_LIST, &list));
	for (uint32_t i = 0; i < list.head.nmsrs; i++) {
		int r = get(t, list.head.indices[i], &value);

		/* This host's KVM lists some that it does not have. */
		if (kt_real && r == 0)
			continue;
		if (r != 1)
			printf("MSR %#x\n", list.head.indices[i]);
		GIVES(r, 1);
		r = set(t, list.head.indices[i], value);
		if (kt_real && r == 0)
			continue;
		if (r != 1)
			printf("MSR %#x\n", list.head.indices[i]);
		GIVES(r, 1);
	}
}

/* QEMU sets these without looking at the list, and insists. */
static void unlisted(struct kt_vm *t)
{
	static const uint32_t index[] = {
		0x2ff, 0x250, 0x258, 0x259, 0x268, 0x26f, 0x200,
		0x201, 0x20f, 0x1b,  0x10,  0x11,  0x12,  0x17a,
		0x400, 0x401, 0x402, 0x403, 0x427,
	};
	uint64_t cap = 0x100010a, value;

	OK(kt_ioctl(t->vcpu, KVM_X86_SETUP_MCE, &cap));
	for (size_t i = 0; i < sizeof(index) / sizeof(index[0]); i++) {
		GIVES(get(t, index[i], &value), 1);
		GIVES(set(t, index[i], value), 1);
	}
}

/* What the system descriptor says of a feature fits a new vCPU. */
static void features(struct kt_vm *t)
{
	struct {
		struct kvm_msr_list head;
		uint32_t indices[100];
	} list = { .head.nmsrs = 0 };
	uint64_t value;

	GIVES(kt_ioctl(t->sys, KVM_CHECK_EXTENSION,
		       (void *)KVM_CAP_GET_MSR_FEATURES),
	      1);
	FAILS(kt_ioctl(t->sys, KVM_GET_MSR_FEATURE_INDEX_LIST, &list), E2BIG);
	KT_CHECK(list.head.nmsrs > 0 && list.head.nmsrs <= 100);
	OK(kt_ioctl(t->sys, KVM_GET_MSR_FEATURE_INDEX_LIST, &list));
	for (uint32_t i = 0; i < list.head.nmsrs; i++) {
		m.head.nmsrs = 1;
		m.e[0] = (struct kvm_msr_entry){ .index = list.indices[i] };
		GIVES(kt_ioctl(t->sys, KVM_GET_MSRS, &m), 1);
		value = m.e[0].data;
		if (list.indices[i] == 0x10a || list.indices[i] == 0x8b)
			GIVES(set(t, list.indices[i], value), 1);
	}
	/* No feature: not an error, but not done. */
	m.head.nmsrs = 1;
	m.e[0].index = 0xc0000080;
	GIVES(kt_ioctl(t->sys, KVM_GET_MSRS, &m), 0);
	FAILS(kt_ioctl(t->sys, KVM_GET_MSRS, NULL), EFAULT);
}

void test_msr(void)
{
	struct kt_vm t;

	kt_vm_open(&t, KT_IRQCHIP);
	kt_set_cpuid(&t);
	arguments(&t);
	values(&t);
	whole_list(&t);
	unlisted(&t);
	features(&t);
	kt_vm_close(&t);
}
