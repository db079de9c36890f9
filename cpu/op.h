#pragma once

#include "cpu/cpu.h"
#include "x86/feat.h"

/*
 * Helpers for ACT_HELPER instructions.  cpu_ops[row->id] executes one
 * instruction on struct cpu:
 * - before the call cpu->rip is the instruction's address (offset in CS) and
 *   cpu->next_rip the following one, cut to the code size; a control transfer
 *   writes next_rip;
 * - CPU_OK: the caller commits rip = next_rip;
 * - CPU_FAULT: nothing was changed but what the architecture says;
 * - CPU_EXIT: cpu->exit.reason tells root mode what is wanted.  By convention
 *   HLT, OUT, OUTS, WRMSR and MOV to CR8 exits have *not* advanced rip either;
 *   root mode commits with next_rip after it has done the work.  IN, INS and
 *   RDMSR leave the answer for a second execution (cpu->io.state) or are
 *   completed by root mode (RDMSR: writes EAX and EDX, commits).
 * Feature gating, CPL 0 checks (IA_CPL0), NO64/ONLY64, LOCK and the x87/SSE/AVX
 * availability checks are done by the caller from the row.
 */
typedef enum cpu_result (*cpu_op_fn)(struct cpu *c, const struct insn *i);

extern const cpu_op_fn cpu_ops[NR_INSN_IDS];

/* Registers by operand size; writing 4 bytes clears the upper half. */
uint64_t gpr_read(const struct cpu *c, unsigned int reg, unsigned int size,
		  bool high8);
void gpr_write(struct cpu *c, unsigned int reg, unsigned int size, bool high8,
	       uint64_t value);

/*
 * cpu_lea - offset of the ModRM memory operand (without the segment base), cut
 * to the address size.
 */
uint64_t cpu_lea(const struct cpu *c, const struct insn *i);

/*
 * cpu_linear - linear address of an access of @size bytes at @seg:@off with
 * all segment checks of the current mode (limit, type, null, canonical):
 * CPU_FAULT is #GP(0) or #SS(0), or #AC where that comes before them.
 * @access: ACC_R, ACC_W, ACC_RW, and ACC_UNALIGNED if it never raises #AC.
 */
#define ACC_UNALIGNED 4
enum cpu_result cpu_linear(struct cpu *c, unsigned int seg, uint64_t off,
			   unsigned int size, unsigned int access, gva_t *gva);

/* cpu_access - ACCESS_USER and ACCESS_AC as CPL and RFLAGS.AC ask. */
unsigned int cpu_access(const struct cpu *c);

/* cpu_read, cpu_write - memory at seg:off; faults and exits as mem_read. */
enum cpu_result cpu_read(struct cpu *c, unsigned int seg, uint64_t off,
			 void *buf, unsigned int size);
enum cpu_result cpu_write(struct cpu *c, unsigned int seg, uint64_t off,
			  const void *buf, unsigned int size);

/*
 * cpu_read_sys, cpu_write_sys - implicit supervisor accesses to descriptor
 * tables, TSS and shadow stacks at a linear address, whatever the CPL.
 */
enum cpu_result cpu_read_sys(struct cpu *c, gva_t gva, void *buf,
			     unsigned int size);
enum cpu_result cpu_write_sys(struct cpu *c, gva_t gva, const void *buf,
			      unsigned int size);

/* Operand access for helpers: register or memory, @op is insn->op[n]. */
enum cpu_result op_read(struct cpu *c, const struct insn *i, unsigned int n,
			uint64_t *value);
enum cpu_result op_write(struct cpu *c, const struct insn *i, unsigned int n,
			 uint64_t value);

/* Stack of the current mode: width by SS.B, size 2, 4, 8. */
enum cpu_result cpu_push(struct cpu *c, uint64_t value, unsigned int size);
enum cpu_result cpu_pop(struct cpu *c, uint64_t *value, unsigned int size);

static inline bool canonical_bits(uint64_t a, unsigned int bits)
{
	return (uint64_t)((int64_t)(a << (64 - bits)) >> (64 - bits)) == a;
}

static inline bool canonical(const struct cpu *c, uint64_t a)
{
	return canonical_bits(a, c->cr4 & CR4_LA57 ? 57 : 48);
}

/*
 * canonical_cpu - the same for addresses that are loaded into a register (MSRs,
 * descriptor tables, TR, LDTR) or invalidated: their width is the processor's,
 * not that of the current paging mode.
 */
static inline bool canonical_cpu(const struct cpu *c, uint64_t a)
{
	return canonical_bits(a, has_feat(c, FEAT_LA57) ? 57 : 48);
}
