#pragma once

#include <pthread.h>

#include "base/types.h"
#include "host/time.h"

/*
 * Guest time: the guest's TSC (an offset to the host's) and kvmclock, the
 * paravirtual clock.  One VM has one linear relation between host TSC and
 * guest nanoseconds, so that all its vCPUs agree to the nanosecond.
 * Source: Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst.
 */
struct cpu;
struct lapic;
struct vcpu_clock;

#define MSR_TSC			0x10
#define MSR_TSC_ADJUST		0x3b
#define MSR_KVM_WALL_CLOCK	0x11
#define MSR_KVM_SYSTEM_TIME	0x12
#define MSR_KVM_WALL_CLOCK_NEW	0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01

/* How a module answers an MSR access. */
enum msr_result {
	MSR_OK,
	MSR_UNKNOWN, /* not mine */
	MSR_GP,
};

struct vm_clock {
	pthread_mutex_t lock;
	struct vcpu_clock *vcpus;
	/* Guest time is base_ns when the host's TSC is base_tsc. */
	uint64_t base_tsc, base_ns;
	struct time_scale scale; /* TSC to ns, as the guest computes it */
	uint32_t generation;	 /* bumped when vCPUs must publish anew */
	bool tsc_synced;	 /* all vCPUs have the same TSC offset */
	/* Last TSC write by user mode, for KVM's synchronisation rule. */
	uint64_t write_ns, write_value, write_offset;
	bool user_wrote;
	uint64_t wall_clock_msr;
};

/* A vCPU's share; vCPU thread, unless the comment says otherwise. */
struct vcpu_clock {
	struct vm_clock *vm;
	struct vcpu_clock *next;
	struct cpu *cpu;
	struct lapic *lapic; /* told of TSC offset changes; may be NULL */
	uint64_t tsc_offset; /* as in cpu; written under vm->lock */
	uint64_t system_time_msr;
	uint32_t generation; /* of the vm_clock when last published */
	uint32_t version;    /* of the guest's time page */
	bool guest_stopped;  /* KVM_KVMCLOCK_CTRL, not yet published */
};

/* clock_vm_init - guest time starts at 0 now. */
void clock_vm_init(struct vm_clock *vm);
void clock_vm_finish(struct vm_clock *vm);

/* clock_vcpu_init - adds a vCPU; its TSC is in step with the VM's others. */
void clock_vcpu_init(struct vcpu_clock *vc, struct vm_clock *vm,
		     struct cpu *cpu, struct lapic *lapic);
void clock_vcpu_finish(struct vcpu_clock *vc);

/* clock_guest_tsc - what RDTSC would read. */
uint64_t clock_guest_tsc(const struct vcpu_clock *vc);

/*
 * clock_msr_read, clock_msr_write - the MSRs above.  @host: KVM_SET_MSRS, for
 * which TSC writes of the same value (or one in step with the last write) give
 * all vCPUs the same offset.
 */
enum msr_result clock_msr_read(struct vcpu_clock *vc, uint32_t msr,
			       uint64_t *value);
enum msr_result clock_msr_write(struct vcpu_clock *vc, uint32_t msr,
				uint64_t value, bool host);

/* clock_set_tsc_offset - KVM_VCPU_TSC_OFFSET. */
void clock_set_tsc_offset(struct vcpu_clock *vc, uint64_t offset);

/* clock_stale - whether clock_publish has to run before guest code. */
static inline bool clock_stale(const struct vcpu_clock *vc)
{
	return vc->generation !=
	       __atomic_load_n(&vc->vm->generation, __ATOMIC_ACQUIRE);
}

/* clock_publish - writes the guest's time page. */
void clock_publish(struct vcpu_clock *vc);

/* clock_stop_notice - KVM_KVMCLOCK_CTRL.  0, or -EINVAL without a time page. */
int clock_stop_notice(struct vcpu_clock *vc) __must_check;

/* KVM_GET_CLOCK, KVM_SET_CLOCK: any thread. */
struct clock_reading {
	uint64_t guest_ns;
	uint64_t realtime_ns; /* host's CLOCK_REALTIME at that moment */
	uint64_t host_tsc;
	bool tsc_stable; /* guest_ns follows from the TSC on all vCPUs */
};

void clock_get(struct vm_clock *vm, struct clock_reading *out);

/*
 * clock_set - guest time becomes @guest_ns, plus the time since @realtime_ns
 * unless that is 0.  vCPUs publish at their next entry; kick them.
 */
void clock_set(struct vm_clock *vm, uint64_t guest_ns, uint64_t realtime_ns);
