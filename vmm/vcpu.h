#pragma once

#include <linux/kvm.h>
#include <pthread.h>

#include "vmm/boot/entry.h"
#include "vmm/exits.h"
#include "vmm/kvmfd.h"

struct vm;

/* A virtual CPU: its KVM handle, the area shared with KVM, its thread. */
struct vcpu {
	struct vm *vm;
	unsigned id;
	struct kvmfd fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool started;
	struct kvm_sregs power_up;
	struct exits exits;
};

/*
 * vcpu_create - make it and give it its CPUID; prints what fails.  Only the
 * boot CPU (@id 0) gets registers; the others wait for INIT and SIPI.
 */
int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned id,
		const struct entry *entry);

/*
 * vcpu_reset - power-up state, while the vCPU does not run.  The boot CPU then
 * starts in real mode at @start, the others wait for INIT and SIPI.  0 or
 * -errno; prints what fails.
 */
int vcpu_reset(struct vcpu *vcpu, uint32_t start);
void vcpu_destroy(struct vcpu *vcpu);
