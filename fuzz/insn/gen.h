#pragma once

#include "fuzz/insn/case.h"
#include "fuzz/insn/rng.h"

/*
 * The generator.  Instructions come from the rows of the instruction table: the
 * encoding that a row's conditions ask for, everything else at random.
 */

/* A row of the table and the opcodes it stands for. */
struct form {
	uint8_t map; /* enum insn_map */
	uint8_t first, last;
	bool used; /* reachable: some opcode leads to it */
};

/* forms_init, forms - by row number. */
void forms_init(void);
const struct form *form_of(unsigned int row);

/* Whether and how a row is compared; fuzz/insn/exclude.def. */
enum treatment {
	TREAT_NATIVE,
	TREAT_NONE,  /* careful with fast only */
	TREAT_VALUE, /* but for the values of the registers it writes */
	TREAT_UD,    /* not offered: #UD */
};
enum treatment treatment_of(const struct insn_row *row, const char **reason);

/* gen_insn.c */
/*
 * gen_form - an instruction of @row for @mode; false if none was found.
 * Its bytes are in insn->bytes, and may be followed by any others.
 */
bool gen_form(struct rng *g, unsigned int row, enum code_size mode,
	      struct insn *insn);
/* gen_noise - an instruction of random bytes, defined or not. */
void gen_noise(struct rng *g, enum code_size mode, struct insn *insn);

/* gen_state.c */
/* gen_value - a number of the kind that breaks things. */
uint64_t gen_value(struct rng *g);
/* gen_state - registers of all kinds. */
void gen_state(struct rng *g, struct fuzz_case *c);
/* gen_data - contents of memory operands. */
void gen_data(struct rng *g, uint8_t *data, unsigned int len);

/* gen.c */
#define CASE_INSNS 8

struct generated {
	struct fuzz_case c;
	unsigned int n;
	uint16_t row[CASE_INSNS]; /* row numbers, in order */
};

/* gen_code16 - all cases are 16-bit code, and not one in eight. */
extern bool gen_code16;

/* gen_case - case number @index of the run with @seed. */
void gen_case(uint64_t seed, uint64_t index, struct generated *out);

/*
 * gen_stray - whether the bytes at @code, which were not generated or have been
 * changed since, hold an instruction that has no twin.
 */
bool gen_stray(enum code_size mode, const uint8_t *code, unsigned int len);

/* gen_finish - appends the jump out; c->len bytes of code are there. */
void gen_finish(struct fuzz_case *c);

/* gen_aim.c */
/* gen_target - an address for an access of @size bytes; may change c->twin. */
uint64_t gen_target(struct rng *g, struct fuzz_case *c, unsigned int size);
/* gen_code_target - where a branch may go, as an offset in CS. */
uint64_t gen_code_target(struct rng *g, const struct fuzz_case *c);
/* segment_base - of a segment register before the case. */
uint64_t segment_base(const struct fuzz_case *c, unsigned int seg);
/*
 * aim - makes the memory operand of @insn, at c->bytes + @at, be at @target by
 * changing registers or displacement; false if that is not possible.
 */
bool aim(struct fuzz_case *c, struct insn *insn, unsigned int at,
	 uint64_t target);
