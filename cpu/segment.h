#pragma once

#include "cpu/cpu.h"

/*
 * seg_load - MOV/POP/Lxx to a data segment register or SS with all checks
 * (SDM 2 "MOV"), sets the accessed bit; not for CS.
 */
enum cpu_result seg_load(struct cpu *c, unsigned int reg, uint16_t sel);

/* seg_real - real-mode and VM86 load: base = sel << 4. */
void seg_real(struct cpu *c, unsigned int reg, uint16_t sel);

/* seg_from_desc - unpacks an 8-byte descriptor (not 64-bit system ones). */
void seg_from_desc(struct seg *s, uint16_t sel, uint64_t desc);
