#pragma once

#include <stdbool.h>

/*
 * What `ring3 exec` has asked for, in environment variables:
 *
 *  RING3_EXEC=careful   vCPUs execute one instruction at a time
 *  RING3_LOG=FILE       each KVM request of the client is written there
 *  RING3_STATS=FILE     at the end, counts of requests and exits
 *  RING3_CPUID=DEV:INO  the program with this file sees hardware
 *                       virtualization in CPUID (shim/cpuid.h)
 */
enum option { OPTION_EXEC, OPTION_LOG, OPTION_STATS, OPTION_CPUID, NR_OPTIONS };

extern const char *const option_names[NR_OPTIONS];

/* option_value - NULL if it is not set. */
const char *option_value(enum option o);

/* options_apply - to a new vCPU. */
void options_apply(int vcpu_fd);
