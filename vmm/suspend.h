#pragma once

#include <linux/kvm.h>
#include <pthread.h>

#include "base/types.h"

struct vcpu;
struct vm;

/*
 * Suspend to RAM (ACPI S3): all vCPUs leave the guest and wait; when the
 * machine wakes up they and the interrupt controllers are as after power-up,
 * memory is as it was, and the boot CPU goes on at the FACS's waking vector in
 * real mode, as firmware would have it do.
 */
struct suspend {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	volatile bool asleep;
	bool wake, over;
	unsigned nr_parked;
	/* Interrupt controllers as firmware leaves them. */
	struct kvm_irqchip chips[3];
	struct kvm_pit_state2 pit;
};

/* suspend_init - before the vCPUs run; keeps the state of the controllers. */
void suspend_init(struct vm *vm);

/* suspend_sleep - from a device, any thread: all vCPUs are to stop. */
void suspend_sleep(void *vm);

/* suspend_wake - from a device, any thread. */
void suspend_wake(void *vm);

/* suspend_end - after vm_end(): no vCPU stays parked. */
void suspend_end(struct vm *vm);

/*
 * suspend_wait - on the vCPU's thread, out of KVM_RUN: if the machine sleeps,
 * wait until it does not and reset the vCPU.
 */
void suspend_wait(struct vcpu *vcpu);
