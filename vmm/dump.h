#pragma once

#include "vmm/vcpu.h"

/*
 * dump_vcpu - the state of a vCPU whose run is over: a headline on stderr, and
 * below it mode, registers, code at RIP, and the latest exits.
 */
void dump_vcpu(struct vcpu *vcpu, const char *headline);
