#pragma once

#include <pthread.h>
#include <signal.h>

#include "base/lock.h"
#include "root/pv.h"
#include "root/vm.h"

struct lapic;

/* Activity states, numbered as KVM_MP_STATE_*. */
enum mp_state {
	MP_RUNNABLE,
	MP_UNINITIALIZED, /* AP after power-up: waits for INIT */
	MP_INIT_RECEIVED, /* waits for SIPI */
	MP_HALTED,
	MP_SIPI_RECEIVED, /* only a name in the API */
};

/* Why KVM_RUN returns to user mode; the API turns it into a kvm_run page. */
enum user_exit_kind {
	UEXIT_NONE,
	UEXIT_IO,
	UEXIT_MMIO,
	UEXIT_HLT,
	UEXIT_IRQ_WINDOW,
	UEXIT_SHUTDOWN,
	UEXIT_INTERNAL_ERROR, /* no way to execute the instruction */
	UEXIT_DEBUG,
	UEXIT_INTR,
	UEXIT_SET_TPR,
	UEXIT_RDMSR,
	UEXIT_WRMSR,
	UEXIT_IOAPIC_EOI,
	UEXIT_DIRTY_RING_FULL,
	UEXIT_HV_SYNIC, /* v->hv has it: exit_msr was changed */
	UEXIT_HV_CALL,
	NR_UEXIT_KINDS,
};

struct user_exit {
	enum user_exit_kind kind;
	union {
		/* cpu->io has the rest */
		struct {
			gpa_t gpa;
			uint8_t len;
			bool write;
			uint8_t data[8]; /* a read's answer comes back here */
		} mmio;
		struct {
			uint32_t index;
			uint32_t reason; /* USER_MSR_* */
			uint64_t data;
			bool error; /* user mode's answer: raise #GP */
		} msr;
		struct {
			uint8_t len;
			uint8_t bytes[15];
		} insn;
		struct {
			uint32_t vector;
			uint64_t pc, dr6, dr7;
		} debug;
		uint8_t ioapic_vector;
		struct {
			uint64_t input, param[2];
			uint64_t result; /* user mode's answer */
		} hv;
	};
};

struct vcpu;

/*
 * Finishes the instruction that exited to user mode, with its answer in
 * v->uexit.  Returns as an exit handler.
 */
typedef int (*complete_fn)(struct vcpu *v);

/* Request bits: work other threads leave to the vCPU's own. */
#define REQ_EVENT	 BIT(0) /* look at interrupts again */
#define REQ_NMI		 BIT(1) /* NMIs arrived, see vcpu_queue_nmi() */
#define REQ_TRIPLE_FAULT BIT(2) /* shut down at the next entry */
#define REQ_INIT	 BIT(3) /* INIT arrived */
#define REQ_SIPI	 BIT(4) /* startup IPI, see sipi_vector */
#define REQ_IOAPIC_EOI	 BIT(5) /* split irqchip: tell user mode of an EOI */
#define REQ_HV_TIMER	 BIT(6) /* a synthetic timer may be due */
#define REQ_HV_EXIT	 BIT(7) /* tell user mode of hv.exit_msr */

struct vcpu {
	struct vm *vm;
	struct cpu *cpu;
	struct lapic *apic; /* NULL without an in-kernel local APIC */
	void *owner;	    /* the API's */
	uint32_t id;	    /* APIC id */
	uint32_t idx;	    /* position in vm->vcpu[] */

	pthread_mutex_t lock; /* one ioctl at a time */
	struct lock mem_lock; /* held while C code uses memory slots */

	uint64_t requests;	       /* REQ_*, set by any thread */
	uint32_t nmis;		       /* arrived since REQ_NMI was taken */
	uint32_t sleeping;	       /* waits on wake_fd */
	uint32_t napping;	       /* in a PAUSE loop, likewise */
	int wake_fd;		       /* eventfd */
	volatile uint32_t signal_seen; /* ring3_signal() on its thread */
	volatile uint8_t *immediate_exit;

	/* exit_pause(): the thread's involuntary switches, and until when they
	 * mean a busy host. */
	long preemptions;
	uint64_t crowded_until_ns;

	struct vcpu_clock clock;
	struct vcpu_pv pv;
	struct vcpu_hv hv;

	uint8_t mp_state; /* enum mp_state */
	uint8_t sipi_vector;
	uint8_t eoi_vector; /* of REQ_IOAPIC_EOI */
	bool pv_kicked;	    /* KVM_HC_KICK_CPU ended the HLT */
	bool started;	    /* KVM_RUN was called: CPUID is fixed */
	bool has_sigmask;
	uint64_t sigmask; /* of KVM_SET_SIGNAL_MASK */

	struct user_exit uexit;
	complete_fn complete;
	uint8_t mmio_pos; /* next cpu->mmio.wr[] to carry out */

	/* Without an in-kernel PIC: */
	bool want_irq_window; /* kvm_run.request_interrupt_window */
	int ext_vector;	      /* KVM_INTERRUPT's vector, or -1 */

	bool block_irq; /* KVM_GUESTDBG_BLOCKIRQ */

	uint64_t runs;			       /* KVM_RUN calls */
	uint64_t exit_cycles[NR_EXIT_REASONS]; /* TSC ticks in root mode */
};

/*
 * vcpu_create - a vCPU in power-up state, not yet part of the VM.
 * @immediate_exit: the client's kvm_run byte, valid for the vCPU's life.
 * NULL if memory runs out.
 */
struct vcpu *vcpu_create(struct vm *vm, uint32_t id,
			 volatile uint8_t *immediate_exit);
void vcpu_destroy(struct vcpu *v);

/*
 * vcpu_publish - makes it part of its VM.  -EEXIST if the id is taken, -EINVAL
 * if the VM is full.
 */
int vcpu_publish(struct vcpu *v) __must_check;

/* vcpu_request - sets a request bit and sees to it that it is looked at soon.
 * Any thread. */
void vcpu_request(struct vcpu *v, uint64_t req);

/* vcpu_queue_nmi - an NMI for the vCPU.  Any thread. */
void vcpu_queue_nmi(struct vcpu *v);

/*
 * vcpu_accept_nmis - adds the NMIs that have arrived to cpu->nmi_pending.  Two
 * can wait, as in KVM: on a processor the first would already be in its handler
 * when the second arrives.  If one is, one can wait.
 */
void vcpu_accept_nmis(struct vcpu *v);

/* vcpu_drop_nmis - forgets all NMIs that wait. */
void vcpu_drop_nmis(struct vcpu *v);

/* vcpu_kick - makes the vCPU leave translated code or wake up.  Any thread. */
void vcpu_kick(struct vcpu *v);

/*
 * vcpu_cancel_io - forgets the answers to an unfinished IN or MMIO read: user
 * mode has moved the vCPU to another instruction.
 */
void vcpu_cancel_io(struct vcpu *v);

/* vcpu_requested - whether one of the bits is set. */
static inline bool vcpu_requested(const struct vcpu *v, uint64_t req)
{
	return __atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & req;
}

/* vcpu_take - reads and takes a request bit. */
static inline bool vcpu_take(struct vcpu *v, uint64_t req)
{
	if (!vcpu_requested(v, req))
		return false;
	return __atomic_fetch_and(&v->requests, ~req, __ATOMIC_ACQ_REL) & req;
}
