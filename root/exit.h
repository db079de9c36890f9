#pragma once

#include "root/vcpu.h"

/*
 * What an exit handler answers: go back into the guest, leave to user mode
 * with v->uexit filled, or (below zero) fail KVM_RUN with -errno.
 */
enum { TO_USER = 0, RESUME = 1 };

/* States of cpu->io.state. */
enum { IO_NONE, IO_ASKED, IO_ANSWERED };

/* exit_handle - the handler of @reason. */
int exit_handle(struct vcpu *v, enum exit_reason reason);

/* Handlers, one a reason. */
int exit_io(struct vcpu *v);
int exit_mmio(struct vcpu *v);
int exit_hlt(struct vcpu *v);
int exit_pause(struct vcpu *v);
int exit_vmcall(struct vcpu *v);
int exit_cr8(struct vcpu *v);
int exit_rdmsr(struct vcpu *v);
int exit_wrmsr(struct vcpu *v);

/*
 * vcpu_polls_timer - the guest is about to read a count that changes with time
 * alone; if it does nothing else and the host is busy, it naps before.
 */
void vcpu_polls_timer(struct vcpu *v);

/*
 * exit_commit - the instruction that exited is done; an exit handler's answer,
 * for a debugger may want to see each.
 */
int exit_commit(struct vcpu *v);

/*
 * mmio_finish - carries out what is left of cpu->mmio.wr[] after a completed
 * instruction; an exit handler's answer.
 */
int mmio_finish(struct vcpu *v);
