#pragma once

#include "root/vcpu.h"

/*
 * inject_events - brings what is due into the guest before it is entered: an
 * interrupted delivery first, then a queued exception, an NMI, an external
 * interrupt; asks for a window where something has to wait.
 * Returns as an exit handler.
 * Source: SDM 3A "Priority Among Concurrent Events".
 */
int inject_events(struct vcpu *v);

/* inject_exception - queues an exception for the next entry. */
void inject_exception(struct vcpu *v, uint8_t vector, bool has_error,
		      uint32_t error);

/* inject_gp - queues #GP(0). */
void inject_gp(struct vcpu *v);

/* vcpu_has_event - whether something would end a HLT. */
bool vcpu_has_event(struct vcpu *v);

/* vcpu_irq_allowed - IF is set and no shadow covers the next instruction. */
bool vcpu_irq_allowed(const struct vcpu *v);

/*
 * vcpu_ready_for_irq - kvm_run.ready_for_interrupt_injection: KVM_INTERRUPT
 * would be taken at once.
 */
bool vcpu_ready_for_irq(struct vcpu *v);
