#pragma once

#include "dbt/xlat.h"

/* loop_find - whether the decoded block jumps back to its entry. */
void loop_find(struct xlat *x);
/* loop_windows - whether it has windows that stay open; after planning. */
void loop_windows(struct xlat *x);
/* loop_jump - translates the current Jcc if it is the jump back. */
bool loop_jump(struct xlat *x, unsigned int cc);
/* xlat_loop - the second copy of the loop, behind the first. */
void xlat_loop(struct xlat *x);
