#include "dbt/xlat.h"

/*
 * Accesses of the current instruction, alone or as members of a window
 * (xlat_plan.c).  The first member that is reached looks up for all: are the
 * window's bytes in one page, and what is its addend?  If they are not, or the
 * TLB has no entry that serves all of them, the block's plain translation goes
 * on from here.
 */

static uint32_t window_slot(const struct share *s)
{
	return SLOT_OFF(D_WINDOW + s->win);
}

/* t0 = last byte of the window, t1 = addend, which is kept. */
static void open_window(struct xlat *x, const struct share *s,
			const struct insn *i, struct window *w)
{
	xlat_ea(x, i, w->hi - 1 - s->off, false);
	xlat_tlb(x, w->hi - w->lo, w->write, true, true);
	emit_gs_store(&x->e, T1, window_slot(s), 8);
}

/* t1 = host address of the page, which is kept. */
static void open_page(struct xlat *x, const struct share *s, struct window *w)
{
	xlat_tlb_page(x, w->page, w->pic, 1, w->write, true);
	emit_lea(&x->e, T1, T0, T1, 0, 0, 8);
	emit_gs_store(&x->e, T1, window_slot(s), 8);
}

/* t1 = what the window's slot holds; it may be there already. */
static void load_slot(struct xlat *x, const struct share *s)
{
	if (x->t1_win != s->win)
		emit_gs_load(&x->e, T1, window_slot(s), 8);
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
			load_slot(x, s);
		return (struct memref){ T1, H_NONE, s->off };
	}
	if (first)
		open_window(x, s, i, w);
	if (direct) {
		if (!first)
			load_slot(x, s);
		return (struct memref){ host_of[i->base], T1, i->disp };
	}
	if (first)
		return (struct memref){ T0, T1, s->off - (w->hi - 1) };
	xlat_ea(x, i, 0, false);
	if (i->index != GPR_NONE && host_of[i->index] == IN_MEMORY)
		x->t1_win = NO_WINDOW;
	load_slot(x, s);
	return (struct memref){ T0, T1, 0 };
}

static struct memref shared(struct xlat *x, const struct share *s,
			    const struct insn *i)
{
	struct memref m = member(x, s, i);

	/* Nothing is known of t1 at a second access of the instruction. */
	x->t1_win = NO_WINDOW;
	x->t1_next = s->win;
	return m;
}

struct memref xlat_operand(struct xlat *x, const struct insn *i,
			   unsigned int size, bool write)
{
	uint64_t ea;

	if (x->share_insn[0].win != NO_WINDOW)
		return shared(x, &x->share_insn[0], i);
	x->t1_win = NO_WINDOW;
	if (xlat_constant_ea(x, i, &ea)) {
		xlat_tlb_page(x, ea, x->pic && i->rip_rel, size, write, false);
		return (struct memref){ T0, T1, 0 };
	}
	xlat_ea(x, i, size - 1, true);
	/* The silicon checks some itself, and then they cannot cross. */
	xlat_tlb(x, size, write, !(i->row->attr & IA_ALIGN), false);
	return (struct memref){ T0, T1, 1 - (int)size };
}

struct memref xlat_stack_operand(struct xlat *x, unsigned int reg, int disp,
				 unsigned int size, bool write)
{
	struct insn i = { .base = reg,
			  .index = GPR_NONE,
			  .disp = disp,
			  .addrsize = x->code_size };

	if (x->share_insn[1].win != NO_WINDOW)
		return shared(x, &x->share_insn[1], &i);
	x->t1_win = NO_WINDOW;
	xlat_ea(x, &i, size - 1, false);
	xlat_tlb(x, size, write, true, false);
	return (struct memref){ T0, T1, 1 - (int)size };
}
