#pragma once

/* msrs_get_features - KVM_GET_MSRS on the system descriptor. */
int msrs_get_features(void *object, void *arg, void *user);

/* MSRs and CPUID of a vCPU: ioctl handlers. */
int msrs_get(void *object, void *arg, void *user);
int msrs_set(void *object, void *arg, void *user);
int cpuid_set_v1(void *object, void *arg, void *user);
int cpuid_set_v2(void *object, void *arg, void *user);
int cpuid_get_v2(void *object, void *arg, void *user);
