#include "api/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/caps.h"
#include "api/clock.h"
#include "api/coalesced.h"
#include "api/device.h"
#include "api/dirty.h"
#include "api/dirty_ring.h"
#include "api/eventfd.h"
#include "api/fd.h"
#include "api/ioctl.h"
#include "api/irq.h"
#include "api/msr_filter.h"
#include "api/stats.h"

/* vm_bus_write - eventfds first: they are faster than a coalesced zone. */
static bool vm_bus_write(void *owner, bool pio, uint64_t addr, unsigned int len,
			 const void *data)
{
	struct api_vm *avm = owner;

	return ioeventfd_write(avm, pio, addr, len, data) ||
	       coalesced_write(avm, pio, addr, len, data);
}

static const struct vm_ops api_vm_ops = {
	.bus_write = vm_bus_write,
	.irq_ack = irqfd_ack,
	.msr_denied = msr_filter_denied,
};

static void api_vm_free(struct api_vm *avm)
{
	eventfds_destroy(avm);
	if (avm->vm) {
		for (uint32_t i = 0; i < avm->vm->nr_vcpus; i++)
			api_vcpu_free(avm->vm->vcpu[i]->owner);
		vm_destroy(avm->vm);
	}
	stats_free_vm(avm);
	msr_filter_free(avm->msr_filter);
	if (avm->ring)
		munmap(avm->ring, PAGE_SIZE);
	if (avm->ring_fd >= 0)
		close(avm->ring_fd);
	pthread_mutex_destroy(&avm->ring_lock);
	free(avm);
}

struct api_vm *api_vm_get(struct api_vm *avm)
{
	__atomic_add_fetch(&avm->refs, 1, __ATOMIC_RELAXED);
	return avm;
}

void api_vm_put(struct api_vm *avm)
{
	if (!__atomic_sub_fetch(&avm->refs, 1, __ATOMIC_ACQ_REL))
		api_vm_free(avm);
}

static void vm_release(void *object)
{
	api_vm_put(object);
}

static struct api_vm *api_vm_alloc(void)
{
	struct api_vm *avm = calloc(1, sizeof(*avm));
	void *ring;

	if (!avm)
		return NULL;
	avm->refs = 1;
	pthread_mutex_init(&avm->ring_lock, NULL);
	avm->ring_fd = fd_memfd("kvm-coalesced", PAGE_SIZE);
	if (avm->ring_fd < 0)
		goto fail;
	ring = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		    avm->ring_fd, 0);
	if (ring == MAP_FAILED)
		goto fail;
	avm->ring = ring;
	avm->vm = vm_create(&api_vm_ops, avm);
	if (!avm->vm || eventfds_create(avm))
		goto fail;
	return avm;
fail:
	api_vm_free(avm);
	return NULL;
}

int api_vm_create(void)
{
	struct api_vm *avm = api_vm_alloc();
	int fd, r;

	if (!avm)
		return -ENOMEM;
	fd = fd_memfd("kvm-vm", 0);
	r = fd < 0 ? fd : fd_install(fd, FILE_VM, avm, vm_release);
	if (!r)
		return fd;
	if (fd >= 0)
		close(fd);
	api_vm_put(avm);
	return r;
}

static int check_extension(void *object, void *arg, void *user)
{
	return caps_check(object, (unsigned long)user);
}

static int enable_cap(void *object, void *arg, void *user)
{
	return caps_enable_vm(object, arg);
}

static int create_vcpu(void *object, void *arg, void *user)
{
	return api_vcpu_create(object, (unsigned long)user);
}

static uint32_t slot_flags(uint32_t kvm_flags)
{
	uint32_t flags = 0;

	if (kvm_flags & KVM_MEM_LOG_DIRTY_PAGES)
		flags |= MEMSLOT_DIRTY_LOG;
	if (kvm_flags & KVM_MEM_READONLY)
		flags |= MEMSLOT_READONLY;
	return flags;
}

/*
 * The memory must be ordinary user memory as far as its address tells; whether
 * it is mapped shows when the guest touches it.
 */
static bool user_range_ok(uint64_t addr, uint64_t size)
{
	uint64_t end;

	return !__builtin_add_overflow(addr, size, &end) && end <= BIT(47);
}

static int set_memory_region(void *object, void *arg, void *user)
{
	const struct kvm_userspace_memory_region *r = arg;
	struct api_vm *avm = object;
	bool logged;
	int err;

	if (r->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	/* One address space: there is no SMM. */
	if (r->slot >= MEMSLOT_MAX ||
	    !user_range_ok(r->userspace_addr, r->memory_size))
		return -EINVAL;
	logged = dirty_is_logged(avm, r->slot);
	err = vm_set_slot(avm->vm, r->slot, slot_flags(r->flags),
			  r->guest_phys_addr, r->memory_size,
			  (uint8_t *)r->userspace_addr);
	if (!err && !logged && (r->flags & KVM_MEM_LOG_DIRTY_PAGES))
		dirty_log_started(avm, r->slot);
	return err;
}

/* Only hardware that runs real mode in virtual-8086 mode needs these pages. */
static int set_tss_addr(void *object, void *arg, void *user)
{
	if ((unsigned long)user > 0xffffd000)
		return -EINVAL;
	return 0;
}

static int set_identity_map_addr(void *object, void *arg, void *user)
{
	struct api_vm *avm = object;
	int r = -EINVAL;

	pthread_mutex_lock(&avm->vm->lock);
	if (!avm->vm->nr_vcpus) {
		avm->identity_map = *(uint64_t *)arg;
		r = 0;
	}
	pthread_mutex_unlock(&avm->vm->lock);
	return r;
}

static int set_boot_cpu_id(void *object, void *arg, void *user)
{
	struct api_vm *avm = object;
	int r = -EBUSY;

	pthread_mutex_lock(&avm->vm->lock);
	if (!avm->vm->nr_vcpus) {
		avm->vm->bsp_id = (unsigned long)user;
		r = 0;
	}
	pthread_mutex_unlock(&avm->vm->lock);
	return r;
}

/* A hint for shadow paging; the limit itself means nothing to us. */
static int set_nr_mmu_pages(void *object, void *arg, void *user)
{
	return (unsigned long)user < 64 ? -EINVAL : 0;
}

static int get_stats_fd(void *object, void *arg, void *user)
{
	return stats_create_vm(object);
}

const struct ioctl_row vm_ioctls[] = {
	IOCTL(KVM_CHECK_EXTENSION, check_extension),
	IOCTL(KVM_ENABLE_CAP, enable_cap),
	IOCTL(KVM_CREATE_VCPU, create_vcpu),
	IOCTL(KVM_SET_USER_MEMORY_REGION, set_memory_region),
	IOCTL(KVM_SET_TSS_ADDR, set_tss_addr),
	IOCTL(KVM_SET_IDENTITY_MAP_ADDR, set_identity_map_addr),
	IOCTL(KVM_SET_BOOT_CPU_ID, set_boot_cpu_id),
	IOCTL(KVM_SET_NR_MMU_PAGES, set_nr_mmu_pages),
	IOCTL(KVM_GET_DIRTY_LOG, dirty_get),
	IOCTL_FLAGS(KVM_CLEAR_DIRTY_LOG, dirty_clear, IOCTL_IN),
	IOCTL(KVM_RESET_DIRTY_RINGS, dirty_ring_reset_all),
	IOCTL(KVM_REGISTER_COALESCED_MMIO, coalesced_register),
	IOCTL(KVM_UNREGISTER_COALESCED_MMIO, coalesced_unregister),
	IOCTL(KVM_CREATE_IRQCHIP, irq_create_full),
	IOCTL(KVM_GET_IRQCHIP, irq_get_chip),
	IOCTL_FLAGS(KVM_SET_IRQCHIP, irq_set_chip, IOCTL_IN),
	IOCTL(KVM_CREATE_PIT, irq_create_pit),
	IOCTL(KVM_CREATE_PIT2, irq_create_pit),
	IOCTL(KVM_GET_PIT, irq_get_pit),
	IOCTL_FLAGS(KVM_SET_PIT, irq_set_pit, IOCTL_IN),
	IOCTL(KVM_GET_PIT2, irq_get_pit2),
	IOCTL(KVM_SET_PIT2, irq_set_pit2),
	IOCTL_FLAGS(KVM_REINJECT_CONTROL, irq_reinject_control, IOCTL_RAW),
	IOCTL(KVM_IRQ_LINE, irq_line),
	IOCTL(KVM_IRQ_LINE_STATUS, irq_line),
	IOCTL_FLAGS(KVM_SET_GSI_ROUTING, irq_set_routing, IOCTL_RAW),
	IOCTL(KVM_SIGNAL_MSI, irq_signal_msi),
	IOCTL(KVM_IRQFD, irqfd),
	IOCTL(KVM_IOEVENTFD, ioeventfd),
	IOCTL(KVM_GET_CLOCK, vm_get_clock),
	IOCTL(KVM_SET_CLOCK, vm_set_clock),
	IOCTL_FLAGS(KVM_X86_SET_MSR_FILTER, msr_filter_set, IOCTL_RAW),
	IOCTL(KVM_CREATE_DEVICE, device_create),
	IOCTL(KVM_GET_STATS_FD, get_stats_fd),
	{ 0 },
};
