#pragma once

#include <linux/kvm.h>

#include "vmm/kvmfd.h"

/*
 * routing_set - a PC's interrupt lines, and @nr more routes, whose GSIs start
 * at ROUTING_FREE_GSI.  0 or -errno; a KVM without routing has the timer at pin
 * 0 of the I/O APIC instead of 2.
 */
#define ROUTING_FREE_GSI 24
int routing_set(const struct kvmfd *vm,
		const struct kvm_irq_routing_entry *extra, unsigned nr);
