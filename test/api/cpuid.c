#include <stdlib.h>

#include "test/api/kt.h"

static struct kvm_cpuid2 *list, *out;

static struct kvm_cpuid2 *alloc(void)
{
	return calloc(1, sizeof(*list) + 256 * sizeof(list->entries[0]));
}

static void arguments(struct kt_vm *t)
{
	list->nent = 257;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_CPUID2, list), E2BIG);
	FAILS(kt_ioctl(t->vcpu, KVM_SET_CPUID, list), E2BIG);
	list->nent = 0;
	OK(kt_ioctl(t->vcpu, KVM_SET_CPUID2, list));
}

static void round_trip(struct kt_vm *t)
{
	uint32_t n;

	list->nent = 256;
	OK(kt_ioctl(t->sys, KVM_GET_SUPPORTED_CPUID, list));
	n = list->nent;
	OK(kt_ioctl(t->vcpu, KVM_SET_CPUID2, list));
	out->nent = n - 1;
	FAILS(kt_ioctl(t->vcpu, KVM_GET_CPUID2, out), E2BIG);
	out->nent = 256;
	OK(kt_ioctl(t->vcpu, KVM_GET_CPUID2, out));
	GIVES(out->entries[0].function, list->entries[0].function);
	GIVES(out->entries[0].ebx, list->entries[0].ebx);
	GIVES(out->entries[n - 1].function, list->entries[n - 1].function);
}

/* What follows CR4 and XCR0 is shown as it is, not as it was set. */
static void state_bits(struct kt_vm *t)
{
	struct kvm_sregs s;

	for (unsigned int i = 0; i < list->nent; i++) {
		if (list->entries[i].function == 1)
			list->entries[i].ecx |= 1u << 27; /* OSXSAVE */
	}
	OK(kt_ioctl(t->vcpu, KVM_SET_CPUID2, list));
	out->nent = 256;
	OK(kt_ioctl(t->vcpu, KVM_GET_CPUID2, out));
	OK(kt_ioctl(t->vcpu, KVM_GET_SREGS, &s));
	for (unsigned int i = 0; i < list->nent; i++) {
		if (out->entries[i].function == 1)
			GIVES(out->entries[i].ecx >> 27 & 1, (s.cr4 >> 18) & 1);
	}
}

/* Once the guest has run, only the same content again is accepted. */
static void fixed_by_run(struct kt_vm *t)
{
	KT_CODE(t, 0xf4);
	OK(kt_run(t));
	out->nent = list->nent;
	OK(kt_ioctl(t->vcpu, KVM_SET_CPUID2, out));
	out->nent--;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_CPUID2, out), EINVAL);
	out->nent++;
	out->entries[0].eax ^= 1;
	FAILS(kt_ioctl(t->vcpu, KVM_SET_CPUID2, out), EINVAL);
}

void test_cpuid(void)
{
	struct kt_vm t;

	list = alloc();
	out = alloc();
	kt_vm_open(&t, 0);
	arguments(&t);
	round_trip(&t);
	state_bits(&t);
	fixed_by_run(&t);
	kt_vm_close(&t);
	free(list);
	free(out);
}
