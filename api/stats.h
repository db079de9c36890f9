#pragma once

#include "api/object.h"

/*
 * KVM_GET_STATS_FD: counters of exits by reason in KVM's binary format.  The
 * file is a memory file that the vCPU's thread refreshes when KVM_RUN returns.
 */
int stats_create_vcpu(struct api_vcpu *av);
int stats_create_vm(struct api_vm *avm);

/* stats_update - brings the vCPU's open stats file up to date. */
void stats_update(struct api_vcpu *av);

void stats_free_vcpu(struct api_vcpu *av);
void stats_free_vm(struct api_vm *avm);
