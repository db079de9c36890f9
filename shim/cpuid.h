#pragma once

#include <signal.h>
#include <stdbool.h>

/*
 * Some clients execute CPUID and refuse to start where it shows no VMX or SVM.
 * In a program that `ring3 exec` names (RING3_CPUID), each CPUID instruction of
 * the executable itself, not of its libraries, is replaced by UD2, which has
 * the same length, and answered in the signal's handler, with that bit set.
 */
void cpuid_start(void);

/* cpuid_trapped - answers if the SIGILL at @uc is one of those. */
bool cpuid_trapped(void *uc);
