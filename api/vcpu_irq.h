#pragma once

/* Interrupt state of a vCPU: ioctl handlers. */
int vcpu_get_lapic(void *object, void *arg, void *user);
int vcpu_set_lapic(void *object, void *arg, void *user);
int vcpu_interrupt(void *object, void *arg, void *user);
int vcpu_nmi(void *object, void *arg, void *user);
int vcpu_set_vapic_addr(void *object, void *arg, void *user);
int vcpu_tpr_reporting(void *object, void *arg, void *user);
