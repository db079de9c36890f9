#pragma once

/*
 * A guest that is run again and again for fuzzing: one VM and vCPU, put back
 * into the same state before each run, so that an input gives the same run in a
 * fresh process.
 */
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_MEM     0x40000u /* RAM from 0 */
#define GUEST_RUN_NS  300000
#define GUEST_MAX_MSR 512

struct guest {
	int vm, vcpu;
	struct kvm_run *run;
	uint8_t *mem;
	/* What a new vCPU has. */
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_msrs *msrs;
	bool irqchip;
};

/*
 * guest_open - @exact: leaves nothing to the guest that differs from run to
 * run: time, random numbers, the x87 unit (whose instruction pointers are the
 * host's), most MSRs.
 */
void guest_open(struct guest *g, bool irqchip, bool careful, bool exact);
/* guest_direct - user code may run natively (RING3_DIRECT=always), where the
 * x87 unit is there whatever CPUID says. */
bool guest_direct(void);
void guest_close(struct guest *g);

/* guest_reset - power-up state and zeroed memory, no translation left. */
void guest_reset(struct guest *g);

/*
 * guest_run - KVM_RUN for GUEST_RUN_NS * @patience at most; 0, or the errno
 * (EINTR: the time is up).  Aborts for what must never happen.
 */
int guest_run(struct guest *g, unsigned int patience);

/* The input, zeros behind its end. */
struct input {
	const uint8_t *p;
	size_t n;
};

uint64_t take(struct input *in, size_t n);
void take_bytes(struct input *in, void *to, size_t n);

#define REQUIRE(cond)                                                          \
	do {                                                                   \
		if (!(cond))                                                   \
			guest_fail(__FILE__, __LINE__, #cond);                 \
	} while (0)
void guest_fail(const char *file, int line, const char *what)
	__attribute__((noreturn));
