#include "dbt/xlat_loop.h"

#include "dbt/xlat_flags.h"

/*
 * Loops of one block.  A block that jumps back to its own entry is translated
 * twice.  The first copy opens all windows; the jump back leads to the second,
 * where windows that move by a constant with each turn keep their addends: all
 * there is to check is that they have not left their page.  If one has, the
 * turn is made by the first copy.  The second copy also knows an instruction
 * that has written the flags at its entry: the one before the jump.
 */
#define MAX_LOOP_INSNS 40

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
	x->in_loop = false;
	if (x->self)
		return;
	for (unsigned int n = 0; n < x->nr_decoded && n < MAX_LOOP_INSNS; n++) {
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
		emit_patch32(e, emit_jcc(e, cc), x->loop_head + e->xdiff);
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
	struct emit *e = &x->e;
	struct rip_stub s = xlat_rip_stub(x, x->block_rip);
	uint8_t *out = e->w, *stop;

	emit_call(e, x->d->thunk[LEAVE_RIP]);
	emit_bytes(e, (uint8_t *)&s, sizeof(s));
	x->loop_head = e->w;
	emit_here32(e, x->loop_site);
	emit_gs_load(e, T1, SLOT_OFF(D_GO), 8);
	stop = emit_jrcxz(e);
	if (!e->overflow)
		*stop = out - (stop + 1);
}

/* The far end of what the window moved over must be as far into its page. */
static void check_window(struct xlat *x, const struct window *w)
{
	struct insn i = { .base = w->base,
			  .index = w->index,
			  .scale = w->scale,
			  .disp = w->hi - 1,
			  .addrsize = x->code_size };
	struct cold *c = xlat_cold(x, COLD_LOOP, NULL);

	xlat_ea(x, &i, w->stride < 0 ? -w->stride : 0, false);
	xlat_islands(x, 30, false);
	c->recipe = x->flag_form ? x->recipe[0] : NO_RECIPE;
	c->size = distance(w);
	xlat_span_test(x, c->size, c);
	c->back = x->e.w;
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
	if (!x->eager)
		plan_flags(x, x->loop_end + 1, x->recipe[x->loop_end]);
	x->flag_form = x->clobber[0] && x->recipe[0] != NO_RECIPE;
	xlat_islands(x, 0, true);
	check_go(x);
	for (unsigned int n = 0; n < x->nr_windows; n++) {
		struct window *w = &x->window[n];

		w->open = w->loop;
		if (w->loop && w->stride)
			check_window(x, w);
	}
	loop_body(x);
	x->next = next;
	x->done = true;
}
