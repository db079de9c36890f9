#pragma once

#include "dbt/xlat.h"

/*
 * lend_registers - lends registers that the loop does not use to guest
 * registers that it uses and that live in memory.  From here on x->home is the
 * loop's.
 */
void lend_registers(struct xlat *x);
/* lend_counter - the same to a number that may be lost, 0 then; H_NONE: no
 * register is left. */
enum hreg lend_counter(struct xlat *x);
/* lend_windows - the same to the loop's windows. */
void lend_windows(struct xlat *x);
/* lend_select - x->home = the loop's or the ordinary one. */
void lend_select(struct xlat *x, bool lent);
/* lend_in, lend_out - code between the two; changes neither flags nor t0 and
 * t1.  The windows of the loop are open.  @pushed: bytes on the stack. */
void lend_in(struct xlat *x, unsigned int pushed);
void lend_out(struct xlat *x);
/* lend_routines - the same out of line; lend_call_*: calls of them. */
void lend_routines(struct xlat *x);
void lend_call_in(struct xlat *x);
void lend_call_out(struct xlat *x);
