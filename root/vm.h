#pragma once

#include <pthread.h>

#include "cpu/cpu.h"
#include "dbt/dbt.h"
#include "root/clock.h"
#include "root/hv.h"

/*
 * A virtual machine: memory slots, vCPUs, interrupt controllers.
 *
 * Locks, outermost first
 * - vm->lock: vCPU and irqchip creation, capabilities.
 * - vcpu->lock: one ioctl at a time on a vCPU; held throughout KVM_RUN.
 * - vm->slots_lock: the set of slots and everything that stops the world.
 * - the stopped world (dbt_enter_quiet), then every vcpu->mem_lock.
 * Locks of irqchip/ are innermost.
 */
#define MAX_VCPUS   256
#define MAX_VCPU_ID 256

struct vcpu;
struct irqchip;
struct timers;

/* What the API attached to a VM; called by vCPU threads in root mode. */
struct vm_ops {
	/*
	 * A guest write that no in-kernel device took: true if an ioeventfd
	 * or a coalesced zone consumed it.
	 */
	bool (*bus_write)(void *owner, bool pio, uint64_t addr,
			  unsigned int len, const void *data);
	/* An interrupt line that irqchip_watch_ack watches was acknowledged. */
	void (*irq_ack)(void *owner, uint32_t gsi);
	/* Whether user mode wants to see an MSR access (MSR filter). */
	bool (*msr_denied)(void *owner, uint32_t msr, bool write);
};

/* Reasons of struct vm.user_msr, KVM_MSR_EXIT_REASON_* values. */
#define USER_MSR_INVAL	 BIT(0)
#define USER_MSR_UNKNOWN BIT(1)
#define USER_MSR_FILTER	 BIT(2)

struct vm {
	struct dbt *dbt;
	const struct vm_ops *ops;
	void *owner;

	pthread_mutex_t lock;
	pthread_mutex_t slots_lock;
	struct memslots *slots;

	struct vcpu *vcpu[MAX_VCPUS]; /* by index, in order of creation */
	uint32_t nr_vcpus;	      /* published after the entry */
	uint32_t bsp_id;

	struct irqchip *irqchip; /* NULL: user mode has the controllers */
	struct timers *timers;	 /* NULL until needed */
	bool x2apic_ids, x2apic_no_broadcast; /* KVM_CAP_X2APIC_API */

	struct vm_clock clock;
	struct vm_hv hv;

	bool bugged; /* an invariant of ours broke: KVM_RUN answers -EIO */
	bool exception_payload;
	bool triple_fault_event;
	bool msr_exits;	   /* an MSR filter is active: cpu->msr_exits */
	uint32_t user_msr; /* USER_MSR_*: accesses that exit to user mode */
};

/* vm_create - an empty VM, or NULL if memory runs out. */
struct vm *vm_create(const struct vm_ops *ops, void *owner);

/* vm_destroy - no vCPU may be running; destroys the vCPUs too. */
void vm_destroy(struct vm *vm);

/* vm_vcpu_by_id - NULL if there is none. */
struct vcpu *vm_vcpu_by_id(struct vm *vm, uint32_t id);

/*
 * vm_set_slot - KVM_SET_USER_MEMORY_REGION; see memslots_update.  When it
 * returns no vCPU uses the old mapping any more.
 */
int vm_set_slot(struct vm *vm, uint32_t id, uint32_t flags, gpa_t gpa,
		uint64_t size, uint8_t *hva) __must_check;

/*
 * vm_quiesce, vm_resume - stop the world and start it again: between them no
 * vCPU touches guest memory, neither in translated nor in C code.  The caller
 * holds slots_lock and no vcpu->mem_lock.
 */
void vm_quiesce(struct vm *vm);
void vm_resume(struct vm *vm);

#define vcpu_for_each(v, vm)                                                   \
	for (uint32_t i_ = 0;                                                  \
	     i_ < __atomic_load_n(&(vm)->nr_vcpus, __ATOMIC_ACQUIRE) &&        \
	     ((v) = (vm)->vcpu[i_], true);                                     \
	     i_++)
