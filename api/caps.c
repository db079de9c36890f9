#include "api/caps.h"

#include <errno.h>
#include <unistd.h>

#include "api/dirty_ring.h"
#include "api/irq.h"
#include "api/msr_filter.h"
#include "api/vcpu_fpu.h"
#include "include/ring3.h"
#include "root/vm_irq.h"

#define MAX_GSI_ROUTES 4096
#define MCE_BANKS      32
#define DIRTY_MANUAL                                                           \
	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)
#define USER_MSR_REASONS                                                       \
	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |             \
	 KVM_MSR_EXIT_REASON_FILTER)
#define GUESTDBG                                                               \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |                       \
	 KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |                     \
	 KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |                     \
	 KVM_GUESTDBG_BLOCKIRQ)

static int enable_split(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	if (c->args[0] > MAX_GSI_ROUTES)
		return -EINVAL;
	return irq_create_split(avm, c->args[0]);
}

static int enable_x2apic(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	struct vm *vm = avm->vm;

	if (c->args[0] & ~(uint64_t)(KVM_X2APIC_API_USE_32BIT_IDS |
				     KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	vm->x2apic_ids |= c->args[0] & KVM_X2APIC_API_USE_32BIT_IDS;
	vm->x2apic_no_broadcast |=
		c->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
	if (vm->irqchip)
		irqchip_set_x2apic_api(vm->irqchip, vm->x2apic_ids,
				       vm->x2apic_no_broadcast);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

static int enable_payload(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	avm->vm->exception_payload = c->args[0];
	return 0;
}

static int enable_triple(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	avm->vm->triple_fault_event = c->args[0];
	return 0;
}

static int enable_user_msr(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	if (c->args[0] & ~(uint64_t)USER_MSR_REASONS)
		return -EINVAL;
	pthread_mutex_lock(&avm->vm->slots_lock);
	msr_filter_apply(avm, avm->msr_filter, c->args[0]);
	pthread_mutex_unlock(&avm->vm->slots_lock);
	return 0;
}

static int enable_dirty(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	uint64_t allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (c->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed = DIRTY_MANUAL;
	if (c->flags || (c->args[0] & ~allowed))
		return -EINVAL;
	avm->dirty_manual = c->args[0];
	return 0;
}

static int enable_max_id(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	int r = -EINVAL;

	pthread_mutex_lock(&avm->vm->lock);
	if (avm->max_vcpu_id == c->args[0]) {
		r = 0;
	} else if (!avm->max_vcpu_id && c->args[0] <= MAX_VCPU_ID &&
		   !avm->vm->nr_vcpus) {
		avm->max_vcpu_id = c->args[0];
		r = 0;
	}
	pthread_mutex_unlock(&avm->vm->lock);
	return r;
}

static int nr_host_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		return 1;
	return n < MAX_VCPUS ? n : MAX_VCPUS;
}

struct cap {
	int value;
	int (*fn)(void); /* computes the value instead */
	int (*enable)(struct api_vm *avm, const struct kvm_enable_cap *c);
};

/* Only what works is listed; the rest reads 0. */
static const struct cap caps[] = {
	[KVM_CAP_IRQCHIP] = { .value = 1 },
	[KVM_CAP_HLT] = { .value = 1 },
	[KVM_CAP_USER_MEMORY] = { .value = 1 },
	[KVM_CAP_SET_TSS_ADDR] = { .value = 1 },
	[KVM_CAP_EXT_CPUID] = { .value = 1 },
	[KVM_CAP_CLOCKSOURCE] = { .value = 1 },
	[KVM_CAP_NR_VCPUS] = { .fn = nr_host_cpus },
	[KVM_CAP_NR_MEMSLOTS] = { .value = MEMSLOT_MAX },
	[KVM_CAP_NOP_IO_DELAY] = { .value = 1 },
	[KVM_CAP_MP_STATE] = { .value = 1 },
	[KVM_CAP_COALESCED_MMIO] = { .value = KVM_COALESCED_MMIO_PAGE_OFFSET },
	[KVM_CAP_SYNC_MMU] = { .value = 1 },
	[KVM_CAP_HYPERV] = { .value = 1 },
	[KVM_CAP_HYPERV_TIME] = { .value = 1 },
	[KVM_CAP_HYPERV_SYNIC] = { .value = 1 },
	[KVM_CAP_HYPERV_SYNIC2] = { .value = 1 },
	[KVM_CAP_HYPERV_VP_INDEX] = { .value = 1 },
	[KVM_CAP_HYPERV_CPUID] = { .value = 1 },
	[KVM_CAP_SYS_HYPERV_CPUID] = { .value = 1 },
	[KVM_CAP_DESTROY_MEMORY_REGION_WORKS] = { .value = 1 },
	[KVM_CAP_USER_NMI] = { .value = 1 },
	[KVM_CAP_SET_GUEST_DEBUG] = { .value = 1 },
	[KVM_CAP_REINJECT_CONTROL] = { .value = 1 },
	[KVM_CAP_IRQ_ROUTING] = { .value = MAX_GSI_ROUTES },
	[KVM_CAP_IRQ_INJECT_STATUS] = { .value = 1 },
	[KVM_CAP_JOIN_MEMORY_REGIONS_WORKS] = { .value = 1 },
	[KVM_CAP_GET_MSR_FEATURES] = { .value = 1 },
	[KVM_CAP_MCE] = { .value = MCE_BANKS },
	[KVM_CAP_IRQFD] = { .value = 1 },
	[KVM_CAP_PIT2] = { .value = 1 },
	[KVM_CAP_SET_BOOT_CPU_ID] = { .value = 1 },
	[KVM_CAP_PIT_STATE2] = { .value = 1 },
	[KVM_CAP_IOEVENTFD] = { .value = 1 },
	[KVM_CAP_SET_IDENTITY_MAP_ADDR] = { .value = 1 },
	[KVM_CAP_ADJUST_CLOCK] = { .value = KVM_CLOCK_TSC_STABLE |
					    KVM_CLOCK_REALTIME |
					    KVM_CLOCK_HOST_TSC },
	[KVM_CAP_INTERNAL_ERROR_DATA] = { .value = 1 },
	[KVM_CAP_VCPU_EVENTS] = { .value = 1 },
	[KVM_CAP_DEBUGREGS] = { .value = 1 },
	[KVM_CAP_X86_ROBUST_SINGLESTEP] = { .value = 1 },
	[KVM_CAP_XSAVE] = { .value = 1 },
	[KVM_CAP_XCRS] = { .value = 1 },
	[KVM_CAP_GET_TSC_KHZ] = { .value = 1 },
	[KVM_CAP_MAX_VCPUS] = { .value = MAX_VCPUS },
	[KVM_CAP_TSC_DEADLINE_TIMER] = { .value = 1 },
	[KVM_CAP_SYNC_REGS] = { .value = KVM_SYNC_X86_VALID_FIELDS },
	[KVM_CAP_KVMCLOCK_CTRL] = { .value = 1 },
	[KVM_CAP_SIGNAL_MSI] = { .value = 1 },
	[KVM_CAP_READONLY_MEM] = { .value = 1 },
	[KVM_CAP_IRQFD_RESAMPLE] = { .value = 1 },
	[KVM_CAP_DEVICE_CTRL] = { .value = 1 },
	[KVM_CAP_IOAPIC_POLARITY_IGNORED] = { .value = 1 },
	[KVM_CAP_ENABLE_CAP_VM] = { .value = 1 },
	[KVM_CAP_IOEVENTFD_NO_LENGTH] = { .value = 1 },
	[KVM_CAP_CHECK_EXTENSION_VM] = { .value = 1 },
	[KVM_CAP_SPLIT_IRQCHIP] = { .value = 1, .enable = enable_split },
	[KVM_CAP_IOEVENTFD_ANY_LENGTH] = { .value = 1 },
	[KVM_CAP_VCPU_ATTRIBUTES] = { .value = 1 },
	[KVM_CAP_MAX_VCPU_ID] = { .value = MAX_VCPU_ID,
				  .enable = enable_max_id },
	[KVM_CAP_X2APIC_API] = { .value =
					 KVM_X2APIC_API_USE_32BIT_IDS |
					 KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
				 .enable = enable_x2apic },
	[KVM_CAP_IMMEDIATE_EXIT] = { .value = 1 },
	[KVM_CAP_COALESCED_PIO] = { .value = 1 },
	[KVM_CAP_EXCEPTION_PAYLOAD] = { .value = 1, .enable = enable_payload },
	[KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2] = { .value = DIRTY_MANUAL,
						.enable = enable_dirty },
	[KVM_CAP_DIRTY_LOG_RING] = { .value = DIRTY_RING_MAX_BYTES,
				     .enable = dirty_ring_enable },
	[KVM_CAP_DIRTY_LOG_RING_ACQ_REL] = { .value = DIRTY_RING_MAX_BYTES,
					     .enable = dirty_ring_enable },
	[KVM_CAP_X86_USER_SPACE_MSR] = { .value = 1,
					 .enable = enable_user_msr },
	[KVM_CAP_X86_MSR_FILTER] = { .value = 1 },
	[KVM_CAP_SET_GUEST_DEBUG2] = { .value = GUESTDBG },
	[KVM_CAP_SREGS2] = { .value = 1 },
	[KVM_CAP_BINARY_STATS_FD] = { .value = 1 },
	[KVM_CAP_XSAVE2] = { .fn = vcpu_fpu_xsave_size },
	[KVM_CAP_X86_TRIPLE_FAULT_EVENT] = { .value = 1,
					     .enable = enable_triple },
};

int caps_check(struct api_vm *avm, unsigned long cap)
{
	if (cap >= RING3_CAP_CAREFUL && cap <= RING3_CAP_VMWARE_BACKDOOR)
		return 1;
	if (cap >= ARRAY_SIZE(caps))
		return 0;
	return caps[cap].fn ? caps[cap].fn() : caps[cap].value;
}

int caps_enable_vm(struct api_vm *avm, const struct kvm_enable_cap *c)
{
	if (c->cap >= ARRAY_SIZE(caps) || !caps[c->cap].enable)
		return -EINVAL;
	if (c->flags)
		return -EINVAL;
	return caps[c->cap].enable(avm, c);
}

int caps_enable_vcpu(struct api_vcpu *av, const struct kvm_enable_cap *c)
{
	struct cpu *cpu = av->vcpu->cpu;

	if (c->flags)
		return -EINVAL;
	if (c->cap == KVM_CAP_HYPERV_SYNIC || c->cap == KVM_CAP_HYPERV_SYNIC2)
		return hv_enable_synic(av->vcpu,
				       c->cap == KVM_CAP_HYPERV_SYNIC2);
	if (c->args[0] > 1)
		return -EINVAL;
	switch (c->cap) {
	case RING3_CAP_CAREFUL:
		cpu->careful = c->args[0];
		return 0;
	case RING3_CAP_FORCED_EMULATION:
		cpu->fep = c->args[0];
		return 0;
	case RING3_CAP_VMWARE_BACKDOOR:
		cpu->vmware_backdoor = c->args[0];
		return 0;
	}
	return -EINVAL;
}
