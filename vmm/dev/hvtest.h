#pragma once

#include <linux/kvm.h>

#include "vmm/bus.h"
#include "vmm/kvmfd.h"
#include "vmm/loop.h"
#include "vmm/ram.h"

/*
 * The device that kvm-unit-tests' Hyper-V tests drive ("hyperv-testdev"), and
 * the two hypercalls that are user mode's: a message or an event goes to the
 * connection that the device has made for its number.
 */
struct hvtest;

struct hvtest *hvtest_new(struct bus *pio, struct loop *loop,
			  const struct kvmfd *vm, const struct ram *ram,
			  unsigned nr_cpus);
void hvtest_free(struct hvtest *h);

/* hvtest_exit - KVM_EXIT_HYPERV of a vCPU.  @h may be NULL. */
void hvtest_exit(struct hvtest *h, unsigned cpu, struct kvm_run *run);
