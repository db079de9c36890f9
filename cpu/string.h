#pragma once

#include "cpu/op.h"

/*
 * op_string - MOVS, STOS, LODS, SCAS, CMPS.  A repeated one returns with
 * next_rip = rip while elements remain: after 64 KiB, when exit_req is set,
 * after MMIO, after each element if TF or a breakpoint may trap.
 */
enum cpu_result op_string(struct cpu *c, const struct insn *i);

/*
 * Runs of string elements within one page, for fast copies by host address.
 */
struct str_run {
	uint8_t *
		hva; /* first element's, NULL: one element, by cpu_read/write */
	gpa_t gpa;
	uint32_t count; /* elements in the direction of DF, at least 1 */
};

/* One string instruction, decoded. */
struct str {
	unsigned int size;     /* of an element */
	unsigned int addrsize; /* of RCX, RSI, RDI */
	unsigned int seg;      /* of the source */
	uint8_t rep;
	bool down; /* DF */
};

/* str_begin - fills @s; @size: of an element. */
void str_begin(const struct cpu *c, const struct insn *i, unsigned int size,
	       struct str *s);

/* str_count - elements that remain, 1 without REP. */
uint64_t str_count(const struct cpu *c, const struct str *s);

/*
 * str_limit - at most @count elements and 64 KiB; one, if there may be a trap
 * after each (TF, data breakpoints).
 */
uint32_t str_limit(const struct cpu *c, const struct str *s, uint64_t count);

/* str_index - RSI or RDI, cut to the address size. */
uint64_t str_index(const struct cpu *c, const struct str *s, unsigned int reg);

/*
 * str_run - checks and translates the first element at @seg:@reg and finds how
 * many of @max follow it in the same page.  @access: ACC_R or ACC_W.
 */
enum cpu_result str_run(struct cpu *c, const struct str *s, unsigned int seg,
			unsigned int reg, unsigned int access, uint32_t max,
			struct str_run *run);

/* str_wrote - to be called after @count elements were written to @run. */
void str_wrote(struct cpu *c, const struct str *s, const struct str_run *run,
	       uint32_t count);

/* str_advance - moves RSI or RDI by @count elements. */
void str_advance(struct cpu *c, const struct str *s, unsigned int reg,
		 uint32_t count);

/* str_finish - RCX less @count; returns whether elements remain. */
bool str_finish(struct cpu *c, const struct str *s, uint32_t count);

/*
 * str_again - the instruction runs again for what remains.  An event that comes
 * before pushes RF set, and no breakpoint on it hits again (SDM 3B
 * "Instruction-Breakpoint Exception Condition").
 */
static inline void str_again(struct cpu *c)
{
	c->next_rip = c->rip;
	c->rflags |= RFLAGS_RF;
}

/*
 * str_across - string_across.c: all @count elements of a REP MOVS (@movs) or
 * STOS, if they are few and their pages known; false: nothing was done.  There
 * are no alignment checks, traps or changes of the instruction itself.
 */
bool str_across(struct cpu *c, const struct str *s, bool movs, uint32_t count);
