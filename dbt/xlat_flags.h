#pragma once

#include "dbt/xlat.h"

/*
 * plan_flags - finds those of the first @nr instructions whose look-ups may
 * clobber flags.  @recipe: the instruction that has written the flags at entry,
 * or NO_RECIPE.
 */
void plan_flags(struct xlat *x, unsigned int nr, uint8_t recipe);
/* flags_none - no look-up may. */
void flags_none(struct xlat *x);
/* flags_restore - code that makes the flags of recipe @recipe; uses t1. */
void flags_restore(struct xlat *x, unsigned int recipe);
/* flags_exact - the same if flags are clobbered now; false: not possible. */
bool flags_exact(struct xlat *x);
/* flags_insn_done - bookkeeping behind each instruction. */
void flags_insn_done(struct xlat *x, const struct insn *i);
/* flags_emit_restore - out of line, for faults: ways out with exact flags. */
void flags_emit_restore(struct xlat *x);
