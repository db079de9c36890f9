#pragma once

#include <linux/kvm.h>

#include "base/types.h"

/*
 * VMware's backdoor: an IN from port 0x5658 with a magic number in EAX is a
 * call, with its number in CX and results in other registers.
 */
#define VMPORT 0x5658

/*
 * vmport_call - the call that @regs make; returns what EAX becomes.  @changed
 * tells whether other registers did.
 */
uint32_t vmport_call(struct kvm_regs *regs, bool *changed);
