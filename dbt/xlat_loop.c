#include "dbt/xlat_loop.h"

#include "dbt/xlat_flags.h"
#include "dbt/xlat_lend.h"

/*
 * Loops of one block.  A block that jumps back to its own entry is translated
 * twice.  The first copy opens all windows; the jump back leads to the second,
 * where windows that move by a constant with each turn keep their addends: all
 * there is to check is that they have not left their page.  If one has, the
 * turn is made by the first copy.  The second copy also knows an instruction
 * that has written the flags at its entry: the one before the jump.
 */
#define LEND_ROOM 150 /* bytes of lend_out() and two jumps */

static unsigned int distance(const struct window *w)
{
	int32_t step = w->stride < 0 ? -w->stride : w->stride;

	return w->hi - w->lo + step;
}

void loop_find(struct xlat *x)
{
	uint64_t next = x->block_rip;

	x->loop_end = NO_LOOP;
	x->loop_site = NULL;
	if (x->self)
		return;
	for (unsigned int n = 0; n < x->nr_decoded; n++) {
		next += x->insn[n].len;
		/* An event may change mappings. */
		if (x->insn[n].row->action == ACT_HELPER ||
		    x->insn[n].row->action == ACT_STRING)
			return;
		if (x->insn[n].row->id == ID_JCC && x->insn[n].opsize > 2 &&
		    next + x->insn[n].imm == x->block_rip) {
			x->loop_end = n;
			return;
		}
	}
}

void loop_windows(struct xlat *x)
{
	bool any = false;

	for (unsigned int n = 0; n < x->nr_windows; n++) {
		struct window *w = &x->window[n];

		w->loop &= distance(w) <= 512;
		any |= w->loop;
	}
	if (!any)
		x->loop_end = NO_LOOP;
}

bool loop_jump(struct xlat *x, unsigned int cc)
{
	struct emit *e = &x->e;

	if (x->cur != x->loop_end)
		return false;
	if (x->in_loop) {
		xlat_islands(x, LEND_ROOM, false);
		emit_patch32(e, emit_jcc(e, cc), x->loop_head + e->xdiff);
		lend_out(x);
		emit_patch32(e, emit_jmp_patch(e), x->loop_exit + e->xdiff);
	} else {
		x->loop_site = emit_jcc(e, cc);
		x->loop_exit = e->w;
	}
	return true;
}

/* The loop's head: leaves if someone wants the vCPU to. */
static void check_go(struct xlat *x)
{
	struct cold *c = xlat_cold(x, COLD_RIP, NULL);
	struct emit *e = &x->e;

	c->rip = x->block_rip;
	c->leave = LEAVE_RIP;
	if (x->flag_form) {
		c->recipe = x->recipe[0];
		emit_gs_test(e, H_RSP, SLOT_OFF(D_GO));
		c->site = emit_jcc(e, CC_Z);
		x->dirty = true;
	} else {
		emit_gs_load(e, T1, SLOT_OFF(D_GO), 8);
		xlat_island(x, emit_jrcxz(e), c, false);
	}
}

/* t0 = byte @off of the window as it is at the loop's head. */
static void window_ea(struct xlat *x, const struct window *w, int32_t off)
{
	struct insn i = { .base = w->base,
			  .index = w->index,
			  .scale = w->scale,
			  .disp = off,
			  .addrsize = x->code_size };

	xlat_ea(x, &i, 0, false);
}

/* The far end of what the window moved over must be as far into its page. */
static void check_window(struct xlat *x, const struct window *w)
{
	struct cold *c = xlat_cold(x, COLD_LOOP, NULL);

	window_ea(x, w, w->hi - 1 + (w->stride < 0 ? -w->stride : 0));
	xlat_islands(x, 30, false);
	c->recipe = x->flag_form ? x->recipe[0] : NO_RECIPE;
	c->size = distance(w);
	xlat_span_test(x, c->size, c);
	c->back = x->e.w;
}

static bool moves(const struct window *w)
{
	return w->loop && w->stride;
}

static void check_windows(struct xlat *x)
{
	for (unsigned int n = 0; n < x->nr_windows; n++)
		if (moves(&x->window[n]))
			check_window(x, &x->window[n]);
}

/* counter = the least of itself and the turns for which the window stays in
 * its page; strides count as the next power of two. */
static void count_window(struct xlat *x, const struct window *w)
{
	struct emit *e = &x->e;
	unsigned int shift = 0;
	int32_t step = w->stride < 0 ? -w->stride : w->stride;

	while (1 << shift < step)
		shift++;
	window_ea(x, w, w->stride < 0 ? w->lo : w->hi - 1);
	if (w->stride > 0)
		emit_not(e, T0);
	emit_and_ri(e, T0, ~PAGE_MASK);
	emit_shr_ri(e, T0, shift);
	emit_cmovb(e, x->counter, T0);
}

/*
 * The head of a loop with windows that move and flags that do not matter: one
 * counter says how many turns need not look at windows.
 */
static void counted_head(struct xlat *x)
{
	struct emit *e = &x->e;
	uint8_t *count = e->w, *over;

	check_windows(x);
	emit_mov_ri(e, x->counter, PAGE_SIZE);
	for (unsigned int n = 0; n < x->nr_windows; n++)
		if (moves(&x->window[n]))
			count_window(x, &x->window[n]);
	over = emit_jmp8(e);
	x->loop_head = e->w;
	emit_sub_ri(e, x->counter, 1);
	emit_patch32(e, emit_jcc(e, CC_B), count + e->xdiff);
	emit_here8(e, over);
	check_go(x);
}

static void head(struct xlat *x)
{
	bool any = false;

	for (unsigned int n = 0; n < x->nr_windows; n++)
		any |= moves(&x->window[n]);
	x->counter = any && x->flag_form ? lend_counter(x) : H_NONE;
	lend_windows(x);
	lend_in(x, 0);
	for (unsigned int n = 0; n < x->nr_windows; n++)
		x->window[n].open = x->window[n].loop;
	if (x->counter != H_NONE) {
		counted_head(x);
		return;
	}
	x->loop_head = x->e.w;
	check_go(x);
	check_windows(x);
}

static void loop_body(struct xlat *x)
{
	x->next = x->block_rip;
	for (unsigned int n = 0; n <= x->loop_end && !x->done; n++)
		xlat_one_insn(x, n);
}

void xlat_loop(struct xlat *x)
{
	uint64_t next = x->next;

	if (!x->loop_site || x->failed)
		return;
	x->in_loop = true;
	x->done = x->dirty = false;
	x->t1_win = NO_WINDOW;
	xlat_islands(x, 0, true);
	emit_here32(&x->e, x->loop_site);
	lend_registers(x);
	if (!x->eager) {
		plan_flags(x, x->loop_end + 1, NO_RECIPE);
		plan_flags(x, x->loop_end + 1, x->recipe[x->loop_end]);
	}
	x->flag_form = x->clobber[0] && x->recipe[0] != NO_RECIPE;
	head(x);
	loop_body(x);
	x->next = next;
	x->done = true;
	x->lending = false;
	lend_select(x, false);
}
