#include "api/lists.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "api/copy.h"
#include "api/cpuid.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "host/time.h"
#include "root/hv.h"

/* copy_cpuid - the client's array gets @n entries, its header their count. */
static int copy_cpuid(struct kvm_cpuid2 *user, const struct kvm_cpuid2 *head,
		      const struct cpuid_entry *entries, uint32_t n)
{
	struct kvm_cpuid2 out = *head;
	struct kvm_cpuid_entry2 e[MAX_CPUID_ENTRIES];

	if (head->nent < n)
		return -E2BIG;
	for (uint32_t i = 0; i < n; i++)
		cpuid_entry_get(&entries[i], &e[i]);
	out.nent = n;
	if (copy_to_user(user, &out, sizeof(out)) ||
	    copy_to_user(user->entries, e, n * sizeof(e[0])))
		return -EFAULT;
	return 0;
}

/*
 * The deadline timer is there only with an in-kernel local APIC, so clients
 * learn of it by KVM_CAP_TSC_DEADLINE_TIMER and set the bit themselves.
 */
static void hide_tsc_deadline(struct cpuid_entry *e, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (e[i].function == 1)
			e[i].ecx &= ~BIT(24);
	}
}

int list_supported_cpuid(void *object, void *arg, void *user)
{
	struct cpuid_entry entries[MAX_CPUID_ENTRIES];
	struct kvm_cpuid2 head;
	unsigned int n;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	/* No leaf 0x15: guests would take its crystal for the APIC timer. */
	n = cpuid_supported(entries, ARRAY_SIZE(entries), 0);
	hide_tsc_deadline(entries, n);
	return copy_cpuid(user, &head, entries, n);
}

int list_hv_cpuid(void *object, void *arg, void *user)
{
	struct cpuid_entry entries[16];
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	return copy_cpuid(user, &head, entries,
			  hv_cpuid(entries, ARRAY_SIZE(entries)));
}

/* Nothing is emulated that the host does not have. */
int list_emulated_cpuid(void *object, void *arg, void *user)
{
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	return copy_cpuid(user, &head, NULL, 0);
}

#define MAX_MSR_LIST 256

static int copy_msrs(struct kvm_msr_list *list, const uint32_t *indices,
		     uint32_t n)
{
	struct kvm_msr_list head;
	uint32_t offered;

	if (copy_from_user(&head, list, sizeof(head)))
		return -EFAULT;
	offered = head.nmsrs;
	head.nmsrs = n;
	/* The count is told even if the array is too small. */
	if (copy_to_user(list, &head, sizeof(head)))
		return -EFAULT;
	if (offered < n)
		return -E2BIG;
	if (copy_to_user(list->indices, indices, n * sizeof(indices[0])))
		return -EFAULT;
	return 0;
}

int list_msrs(void *object, void *arg, void *user)
{
	uint32_t indices[MAX_MSR_LIST];

	return copy_msrs(user, indices, msr_list(indices, MAX_MSR_LIST));
}

int list_msr_features(void *object, void *arg, void *user)
{
	uint32_t indices[MAX_MSR_LIST];

	return copy_msrs(user, indices, msr_features(indices, MAX_MSR_LIST));
}
