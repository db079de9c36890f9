#pragma once

#include "base/types.h"

/*
 * The host's GS base, which translated code reaches the vCPU's state by.  The
 * C library does not use GS.  Instructions where the kernel allows them
 * (FSGSBASE), else arch_prctl.
 */
void gsbase_init(void);
void set_gs(const void *base);
void *get_gs(void);

/* gsbase_is_fast - whether the instructions are allowed. */
bool gsbase_is_fast(void);
