#pragma once

#include <pthread.h>

#include "base/types.h"
#include "cpu/cpu.h"
#include "host/timer.h"
#include "root/clock.h"

/*
 * Parts of the interface that Microsoft specifies for hypervisors: reference
 * time, synthetic interrupts, messages of synthetic timers, the hypercall page.
 * Hypercalls that post messages and signal events are user mode's.
 * Source: "Hypervisor Top-Level Functional Specification"; for user mode's part
 * of it Linux, Documentation/virt/kvm/api.rst, KVM_EXIT_HYPERV.
 */
struct vm;
struct vcpu;

#define HV_SINTS   16
#define HV_STIMERS 4

/* Time here is counted in units of 100 ns. */
#define HV_TICKS_PER_SEC 10000000ull
#define HV_TICK_NS	 100

/* One for all vCPUs; under lock. */
struct vm_hv {
	pthread_mutex_t lock;
	uint64_t guest_os_id, hypercall, tsc_page;
	/* What the TSC page says: time = (tsc * scale >> 64) + offset. */
	bool tsc_valid;
	uint32_t tsc_generation; /* of the vm_clock when it was made */
	uint64_t tsc_scale, tsc_offset;
};

struct hv_stimer {
	struct timer timer;
	struct vcpu *vcpu;
	bool ready;	  /* timer is initialised */
	bool msg_pending; /* its message waits for a free slot */
	uint64_t config, count;
	uint64_t expires; /* 0: not running */
};

/* vCPU thread, except as noted. */
struct vcpu_hv {
	bool synic;	 /* KVM_CAP_HYPERV_SYNIC: the registers are there */
	bool keep_pages; /* KVM_CAP_HYPERV_SYNIC2: enabling clears none */
	uint64_t control, event_page, message_page; /* control: atomic */
	uint64_t sint[HV_SINTS];		    /* atomic */
	uint32_t exit_msr; /* whose change user mode is to hear of */
	uint32_t due;	   /* timers to look at; any thread, atomic */
	struct hv_stimer stimer[HV_STIMERS];
};

/* hv_cpuid - KVM_GET_SUPPORTED_HV_CPUID: fills at most @max, returns how many.
 */
unsigned int hv_cpuid(struct cpuid_entry *out, unsigned int max);

void hv_vm_init(struct vm_hv *hv);
void hv_vcpu_init(struct vcpu *v);
void hv_vcpu_finish(struct vcpu *v);

enum msr_result hv_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value,
			    bool host);
enum msr_result hv_msr_write(struct vcpu *v, uint32_t msr, uint64_t value,
			     bool host);

/* hv_time - the partition's reference time. */
uint64_t hv_time(struct vcpu *v);

/* hv_clock_changed - to be called when the VM's clock or a TSC is another. */
void hv_clock_changed(struct vcpu *v);

/* hv_has_calls, hv_call - VMCALL of a guest that uses this interface; an exit
 * handler's answer. */
bool hv_has_calls(struct vcpu *v);
int hv_call(struct vcpu *v);

/* hv_enable_synic - KVM_CAP_HYPERV_SYNIC and, with @keep_pages, SYNIC2. */
int hv_enable_synic(struct vcpu *v, bool keep_pages) __must_check;

/*
 * hv_raise_sint - raises the interrupt of a source: KVM_IRQ_LINE's status.
 * Any thread.
 */
int hv_raise_sint(struct vcpu *v, unsigned int sint);

/* hv_vector_ended - the local APIC saw the end of a SINT's vector. */
void hv_vector_ended(struct vcpu *v, uint8_t vector);

/* hv_send_message - to the vCPU itself: 0, -EAGAIN (the slot is in use, and the
 * guest will say when it is free), other -errno. */
int hv_send_message(struct vcpu *v, unsigned int sint, const void *message,
		    unsigned int len, bool only_once);

/* hv_run_timers - sends what is due (REQ_HV_TIMER). */
void hv_run_timers(struct vcpu *v);

/* hv_sint_free - timers whose messages waited for this source may try again. */
void hv_sint_free(struct vcpu *v, unsigned int sint);

enum msr_result hv_stimer_read(struct vcpu *v, uint32_t msr, uint64_t *value);
enum msr_result hv_stimer_write(struct vcpu *v, uint32_t msr, uint64_t value,
				bool host);

#define HV_MSR_GUEST_OS_ID    0x40000000
#define HV_MSR_HYPERCALL      0x40000001
#define HV_MSR_VP_INDEX	      0x40000002
#define HV_MSR_TIME_REF_COUNT 0x40000020
#define HV_MSR_REFERENCE_TSC  0x40000021
#define HV_MSR_TSC_FREQUENCY  0x40000022
#define HV_MSR_APIC_FREQUENCY 0x40000023
#define HV_MSR_SCONTROL	      0x40000080
#define HV_MSR_SVERSION	      0x40000081
#define HV_MSR_SIEFP	      0x40000082
#define HV_MSR_SIMP	      0x40000083
#define HV_MSR_EOM	      0x40000084
#define HV_MSR_SINT0	      0x40000090
#define HV_MSR_SINT15	      0x4000009f
#define HV_MSR_STIMER0_CONFIG 0x400000b0
#define HV_MSR_STIMER3_COUNT  0x400000b7

enum msr_result hv_synic_read(struct vcpu *v, uint32_t msr, uint64_t *value,
			      bool host);
enum msr_result hv_synic_write(struct vcpu *v, uint32_t msr, uint64_t value,
			       bool host);
