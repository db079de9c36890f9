#pragma once

#include "base/types.h"
#include "root/clock.h"

/*
 * KVM's steal time: a structure in guest memory says how long the vCPU could
 * have run but did not, and whether it runs now.  Other vCPUs ask one that does
 * not to flush its TLB when it comes back, instead of interrupting it.
 * Source: Linux, Documentation/virt/kvm/x86/msr.rst.
 */
#define MSR_KVM_STEAL_TIME 0x4b564d03

struct cpu;

/* vCPU thread only. */
struct vcpu_steal {
	struct cpu *cpu;
	uint64_t msr;
	bool away; /* the guest's byte says so */
	uint64_t sampled_tsc;
	uint64_t delay_ns;  /* the thread's run delay then */
	const void *thread; /* whose it is: an address of the thread's own */
	int fd;		    /* its run delay, or -1 */
};

void steal_init(struct vcpu_steal *s, struct cpu *cpu);
void steal_finish(struct vcpu_steal *s);
/* steal_reset - as a reset of the vCPU leaves it. */
void steal_reset(struct vcpu_steal *s);

enum msr_result steal_msr_write(struct vcpu_steal *s, uint64_t value);

/* steal_enter - before guest code; does what was asked for meanwhile. */
void steal_enter_slow(struct vcpu_steal *s);
static inline void steal_enter(struct vcpu_steal *s)
{
	if (s->msr)
		steal_enter_slow(s);
}

/* steal_leave - the vCPU goes to sleep or to user mode. */
void steal_leave_slow(struct vcpu_steal *s);
static inline void steal_leave(struct vcpu_steal *s)
{
	if (s->msr && !s->away)
		steal_leave_slow(s);
}
