#pragma once

#include "root/vcpu.h"

/*
 * vcpu_run - runs the guest on the calling thread until user mode has
 * something to do.  The caller holds v->lock and has put the answer to the
 * last exit into v->uexit.
 * Returns 0 with v->uexit filled, or
 * -EINTR   immediate_exit was set at entry (v->uexit.kind UEXIT_NONE), or a
 *          signal came (UEXIT_INTR)
 * -EAGAIN  a waiting vCPU was started by another one
 * -EFAULT  host memory behind a slot cannot be accessed
 * -EIO     the VM is broken (our bug)
 * Vector state is in cpu->xsave in all cases.
 */
int vcpu_run(struct vcpu *v);

/*
 * vcpu_run_begin, vcpu_run_end - around vcpu_run(): what vcpu_signal() hears in
 * between is a signal for @v.  With a signal mask for the run (v->has_sigmask)
 * the mask is changed inside of them, and a signal that comes too late to end
 * this run ends the next one: for Linux it would still be pending then.
 */
void vcpu_run_begin(struct vcpu *v);
void vcpu_run_end(void);

/*
 * vcpu_accept_events - lets a pending INIT or SIPI take effect; a vCPU in
 * INIT_RECEIVED becomes RUNNABLE with a SIPI.
 */
void vcpu_accept_events(struct vcpu *v);

/* vcpu_running - the vCPU in KVM_RUN on this thread; async-signal-safe. */
struct vcpu *vcpu_running(void);

/*
 * vcpu_call_begin, vcpu_call_end - around a request to the engine, on its
 * thread: what vcpu_signal() hears in between must not take the thread away.
 * What comes before vcpu_run_begin() ends the run that begins there.
 */
void vcpu_call_begin(void);
void vcpu_call_end(void);

/* vcpu_signal - see ring3_signal() in ring3.h; async-signal-safe. */
bool vcpu_signal(void);
