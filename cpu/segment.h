#pragma once

#include "cpu/cpu.h"

struct desc;

/*
 * seg_load - MOV/POP/Lxx to a data segment register or SS with all checks
 * (SDM 2 "MOV"), sets the accessed bit; not for CS.
 */
enum cpu_result seg_load(struct cpu *c, unsigned int reg, uint16_t sel);

/*
 * seg_real - real-mode and VM86 load: base = sel << 4.  Real mode keeps limit
 * and attributes ("unreal" mode), VM86 sets them.
 */
void seg_real(struct cpu *c, unsigned int reg, uint16_t sel);

/* seg_from_desc - unpacks an 8-byte descriptor (not 64-bit system ones). */
void seg_from_desc(struct seg *s, uint16_t sel, uint64_t desc);

/* seg_null - loads a null selector; SS keeps the CPL as its DPL. */
void seg_null(struct cpu *c, unsigned int reg, uint16_t sel);

/*
 * seg_flat - the fixed flat segment that SYSCALL, SYSENTER and their returns
 * load; @ar: its attributes.
 */
void seg_flat(struct cpu *c, unsigned int reg, uint16_t sel, uint32_t ar);

/*
 * seg_null_inner - after a return to the current, outer CPL: nulls DS, ES, FS
 * and GS where the new level may not use them (SDM 2 "RET").
 */
void seg_null_inner(struct cpu *c);

/*
 * seg_check_rip - #GP(0) unless @rip is canonical (64-bit @cs) or within the
 * limit of @cs, the code segment that is about to be loaded.
 */
enum cpu_result seg_check_rip(struct cpu *c, const struct seg *cs,
			      uint64_t rip);

/* seg_is_64 - whether @cs makes the processor run in 64-bit mode. */
static inline bool seg_is_64(const struct cpu *c, const struct seg *cs)
{
	return cpu_long_mode(c) && (cs->ar & AR_L);
}

/*
 * seg_ss_desc - reads and checks a stack segment for privilege level @cpl.
 * A bad selector, type or level is @vector(sel), one not present #SS(sel).
 * Null selectors are refused with @vector(0).
 */
enum cpu_result seg_ss_desc(struct cpu *c, uint16_t sel, unsigned int cpl,
			    uint8_t vector, struct desc *d);
