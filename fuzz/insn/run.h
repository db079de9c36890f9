#pragma once

#include "fuzz/insn/case.h"

/* Cases through all executors. */

/*
 * run_cases - runs @n cases, at most NATIVE_BATCH, and judges each: @ok[i] is
 * whether case i has no difference.  Returns how many have one.
 */
unsigned int run_cases(const struct fuzz_case *c, unsigned int stride,
		       unsigned int n, bool *ok);

/* run_explain - the differences of case @i of the last run_cases. */
void run_explain(unsigned int i, FILE *f);

/* run_one - one case; differences are printed to @f if it is not NULL. */
bool run_one(const struct fuzz_case *c, FILE *f);

/* run_show - what each executor makes of @c. */
void run_show(const struct fuzz_case *c, FILE *f);

/* run_start - everything that is needed; @direct: with runners.  0 or -1. */
int run_start(bool direct);

/* shrink - makes @c, which differs, as simple as it can be and still does. */
void shrink(struct fuzz_case *c);
