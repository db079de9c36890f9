#pragma once

#include "cpu/cpu.h"

/*
 * cpu_derive - recomputes what follows from other state: code_size, df_step,
 * mmu.role.  Flushes the TLB if the role changed.  To be called after any
 * change of CR0, CR4, EFER, CS, RFLAGS by C code; cheap.
 */
void cpu_derive(struct cpu *c);
/* cpu_derive_role - mmu.role alone, also after a change of CPUID. */
void cpu_derive_role(struct cpu *c);

/*
 * cpu_set_cr0, cpu_set_cr3, cpu_set_cr4, cpu_set_efer - MOV to CR and WRMSR
 * EFER with all checks (#GP), TLB and PDPTE consequences, LMA switching.
 * @c->next_rip etc. are not touched.  Source: SDM 3A "Control Registers".
 */
enum cpu_result cpu_set_cr0(struct cpu *c, uint64_t v);
enum cpu_result cpu_set_cr3(struct cpu *c, uint64_t v);
enum cpu_result cpu_set_cr4(struct cpu *c, uint64_t v);
enum cpu_result cpu_set_efer(struct cpu *c, uint64_t v);

/* cpu_set_rflags - sets rflags (bit 1 forced) and df_step. */
void cpu_set_rflags(struct cpu *c, uint64_t v);

/* cpu_set_pkru - WRPKRU and XRSTOR: protection-key rights, and the TLB. */
void cpu_set_pkru(struct cpu *c, uint32_t v);
/* cpu_set_pkrs - IA32_PKRS: the same for supervisor pages. */
void cpu_set_pkrs(struct cpu *c, uint32_t v);

/* cpu_reset - power-up (@init false) or INIT state; SDM 3A "Processor State
 * After Reset". CPUID and mmu.slots stay. */
void cpu_reset(struct cpu *c, bool init);
