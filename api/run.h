#pragma once

/* KVM_RUN and KVM_SET_SIGNAL_MASK: ioctl handlers on a vCPU. */
int run_vcpu(void *object, void *arg, void *user);
int run_set_signal_mask(void *object, void *arg, void *user);
