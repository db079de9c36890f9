#include "dbt/xlat.h"

/*
 * Accesses of the current instruction, alone or as members of a window
 * (xlat_plan.c).  The first member that is reached looks up for all: are the
 * window's bytes in one page, and what is its addend?  If they are not, or the
 * TLB has no entry that serves all of them, the block's plain translation goes
 * on from here.
 */

/* The address of an access: a ModRM operand, or the stack. */
static void window_ea(struct xlat *x, const struct insn *i, int32_t add)
{
	struct insn moved = *i;

	moved.disp += add;
	xlat_ea(x, &moved, false);
}

static uint32_t window_slot(const struct share *s)
{
	return SLOT_OFF(D_WINDOW + s->win);
}

static struct cold *cold_window(struct xlat *x, const struct window *w,
				uint8_t *retry)
{
	struct cold *c = xlat_cold(x, COLD_WINDOW, NULL);

	c->back = retry;
	c->rip = x->rip;
	c->size = w->hi - w->lo;
	c->write = w->write;
	return c;
}

/* Smallest span whose mask covers @bytes. */
static uint32_t span_slot(unsigned int bytes)
{
	unsigned int n = D_SPAN8;

	while (bytes > 8u << (n - D_SPAN8))
		n++;
	return SLOT_OFF(n);
}

/* t0 = last byte of the window, t1 = addend, which is kept. */
static void open_window(struct xlat *x, const struct share *s,
			const struct insn *i, struct window *w)
{
	struct emit *e = &x->e;
	struct cold *c;
	uint8_t *check = NULL;

	window_ea(x, i, w->hi - 1 - s->off);
	xlat_islands(x, 60, false);
	if (w->hi - w->lo > 1) {
		emit_gs_pext(e, T1, T0, span_slot(w->hi - w->lo));
		check = emit_jrcxz(e);
	}
	c = cold_window(x, w, e->w);
	if (check)
		xlat_island(x, check, c, true);
	emit_gs_pext(e, T1, T0, CPU_OFF(page_mask));
	xlat_table_load(x, w->write, c);
	emit_gs_store(e, T1, window_slot(s), 8);
	xlat_islands(x, 30, false);
}

/* t1 = host address of the page, which is kept. */
static void open_page(struct xlat *x, const struct share *s, struct window *w)
{
	struct emit *e = &x->e;
	struct cold *c;

	xlat_islands(x, 60, false);
	emit_mov_ri(e, T0, w->page);
	c = cold_window(x, w, e->w);
	c->size = 1;
	emit_mov_ri(e, T1, (w->page & x->c->page_mask) >> PAGE_SHIFT);
	xlat_table_load(x, w->write, c);
	emit_lea(e, T1, T0, T1, 0, 0, 8);
	emit_gs_store(e, T1, window_slot(s), 8);
	xlat_islands(x, 30, false);
}

static struct memref member(struct xlat *x, const struct share *s,
			    const struct insn *i)
{
	struct window *w = &x->window[s->win];
	bool first = !w->open;
	bool direct = i->addrsize == 8 && i->index == GPR_NONE &&
		      i->base != GPR_NONE && host_of[i->base] != IN_MEMORY;

	w->open = true;
	if (w->page) {
		if (first)
			open_page(x, s, w);
		else
			emit_gs_load(&x->e, T1, window_slot(s), 8);
		return (struct memref){ T1, H_NONE, s->off };
	}
	if (first)
		open_window(x, s, i, w);
	if (direct) {
		if (!first)
			emit_gs_load(&x->e, T1, window_slot(s), 8);
		return (struct memref){ host_of[i->base], T1, i->disp };
	}
	if (first)
		return (struct memref){ T0, T1, s->off - (w->hi - 1) };
	xlat_ea(x, i, false);
	emit_gs_load(&x->e, T1, window_slot(s), 8);
	return (struct memref){ T0, T1, 0 };
}

struct memref xlat_operand(struct xlat *x, const struct insn *i,
			   unsigned int size, bool write)
{
	if (x->share_insn[0].win != NO_WINDOW)
		return member(x, &x->share_insn[0], i);
	xlat_ea(x, i, true);
	xlat_tlb_insn(x, i, size, write);
	return (struct memref){ T0, T1, 0 };
}

struct memref xlat_stack_operand(struct xlat *x, unsigned int reg, int disp,
				 unsigned int size, bool write)
{
	struct insn i = { .base = reg,
			  .index = GPR_NONE,
			  .disp = disp,
			  .addrsize = x->code_size };

	if (x->share_insn[1].win != NO_WINDOW)
		return member(x, &x->share_insn[1], &i);
	xlat_ea(x, &i, false);
	xlat_tlb(x, size, write, reg, disp);
	return (struct memref){ T0, T1, 0 };
}

/*
 * Two ways in.  A miss calls dbt_miss, which comes back behind its stub if
 * the entry cannot be made.  The other way is for the first bytes of a page:
 * they may hold the window's end only if all of it is there.
 */
void xlat_cold_window(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;
	struct miss_stub s = { .size = 1, .write = c->write, .window = 1 };
	uint8_t *plain, *within;

	emit_here32(e, c->site);
	emit_call(e, x->d->thunk_miss);
	s.retry = c->back - e->w;
	emit_bytes(e, (uint8_t *)&s, sizeof(s));
	plain = e->w;
	xlat_cold_link(x, emit_jmp_link(e), c);
	if (!c->check)
		return;
	emit_here32(e, c->check);
	emit_rorx(e, T1, T0, 12, 4);
	emit_lea(e, T1, T1, H_NONE, 0, -((c->size - 1) << 20), 8);
	emit_rorx(e, T1, T1, 32, 8);
	emit_mov_rr(e, T1, T1, 4);
	within = emit_jrcxz(e);
	emit_patch32(e, emit_jmp_patch(e), plain + e->xdiff);
	emit_here8(e, within);
	emit_patch32(e, emit_jmp_patch(e), c->back + e->xdiff);
}
