#pragma once

#include "dbt/xlat.h"

/* plan_block - finds the windows of the decoded instructions x->insn[]. */
void plan_block(struct xlat *x);
/* plan_none - every access is on its own. */
void plan_none(struct xlat *x);
