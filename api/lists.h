#pragma once

/* What the engine supports on this host: handlers on the system descriptor. */
int list_supported_cpuid(void *object, void *arg, void *user);
int list_emulated_cpuid(void *object, void *arg, void *user);
int list_hv_cpuid(void *object, void *arg, void *user);
int list_msrs(void *object, void *arg, void *user);
int list_msr_features(void *object, void *arg, void *user);
