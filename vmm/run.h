#pragma once

#include "vmm/vcpu.h"

/*
 * run_start - start a vCPU's thread, which runs the guest and serves its exits
 * until vm_end(); 0 or -errno.
 */
int run_start(struct vcpu *vcpu);

/*
 * run_stop - make the thread leave the guest and wait for its end; after
 * vm_end().  False if it does not come back.
 */
bool run_stop(struct vcpu *vcpu);

/* run_kick - make the vCPU leave the guest if it runs it; any thread. */
void run_kick(struct vcpu *vcpu);

/* run_init - once, before any thread: the signal that run_stop() sends. */
int run_init(void);
