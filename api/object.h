#pragma once

#include <linux/kvm.h>
#include <pthread.h>

#include "mmu/dirty_ring.h"
#include "root/vcpu.h"
#include "root/vm.h"

/*
 * What stands behind VM and vCPU descriptors: the engine's object and what
 * only the API knows of it.
 */
#define VCPU_MMAP_SIZE (3 * PAGE_SIZE)

struct eventfds;
struct stat_file;

struct msr_filter {
	bool active, default_deny;
	struct {
		uint32_t base, nmsrs, flags;
		uint8_t *bitmap;
	} range[KVM_MSR_FILTER_MAX_RANGES];
};

#define MAX_COALESCED_ZONES 128

struct api_vm {
	struct vm *vm;
	int refs; /* the VM descriptor and each vCPU and device descriptor */

	int ring_fd; /* memfd of the coalesced ring, page 2 of vCPU mappings */
	struct kvm_coalesced_mmio_ring *ring;
	pthread_mutex_t ring_lock;
	struct kvm_coalesced_mmio_zone zones[MAX_COALESCED_ZONES];
	uint32_t nr_zones;

	struct eventfds *eventfds;
	struct msr_filter *msr_filter; /* replaced with the world stopped */
	uint64_t dirty_manual;	       /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
	uint32_t dirty_ring_bytes;     /* KVM_CAP_DIRTY_LOG_RING; 0: the log */
	uint64_t identity_map;
	uint32_t max_vcpu_id;
	struct stat_file *stats; /* as in struct api_vcpu */
	int stats_fd;
};

struct api_vcpu {
	struct vcpu *vcpu;
	struct api_vm *avm;
	struct kvm_run *run;
	int mem_fd; /* own descriptor of the kvm_run memory */
	struct dirty_ring dirty_ring;
	int dirty_fd;		 /* memfd of the ring, or -1 */
	struct stat_file *stats; /* NULL if nobody asked */
	int stats_fd;
};

struct api_vm *api_vm_get(struct api_vm *avm);
void api_vm_put(struct api_vm *avm);

/* PIO data and coalesced ring within a vCPU's mapping. */
static inline uint8_t *pio_page(const struct api_vcpu *av)
{
	return (uint8_t *)av->run + KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
}
