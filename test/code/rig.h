#pragma once

#include "dbt/dbt_int.h"

/* A vCPU in 64-bit kernel mode whose code is translated, but never run. */
extern struct cpu *rig_cpu;

void rig_setup(void);

/* rig_translate - the block made of @n bytes, then HLT; NULL: none. */
const struct block *rig_translate(const uint8_t *code, size_t n,
				  uint32_t extra_mode);

/* rig_code - the guest's code where it was put. */
const uint8_t *rig_code(void);

/* Where guest code is. */
#define RIG_CODE 0x10000ul
