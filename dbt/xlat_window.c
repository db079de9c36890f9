#include "dbt/xlat.h"

/*
 * Accesses of the current instruction, alone or as members of a window
 * (xlat_plan.c).  The first member that is reached looks up for all: are the
 * window's bytes in one page, and what is its addend?  If they are not, or the
 * TLB has no entry that serves all of them, the block's plain translation goes
 * on from here.
 */

static void store_slot(struct xlat *x, const struct share *s)
{
	emit_store(&x->e, T1, H_RSP, H_NONE, FRAME_OFF(F_WINDOW + s->win), 8);
}

/* t0 = last byte of the window, t1 = addend, which is kept. */
static void open_window(struct xlat *x, const struct share *s,
			const struct insn *i, struct window *w)
{
	xlat_ea(x, i, w->hi - 1 - s->off, false);
	xlat_tlb(x, w->hi - w->lo, w->write, true, true);
	store_slot(x, s);
}

/* t1 = host address of the page, which is kept. */
static void open_page(struct xlat *x, const struct share *s, struct window *w)
{
	xlat_tlb_page(x, w->page, w->pic, 1, w->write, true);
	emit_lea(&x->e, T1, T0, T1, 0, 0, 8);
	store_slot(x, s);
}

/* t1 = what the window's slot holds; it may be there already. */
static void load_slot(struct xlat *x, const struct share *s)
{
	if (x->t1_win != s->win)
		emit_load(&x->e, T1, H_RSP, H_NONE,
			  FRAME_OFF(F_WINDOW + s->win), 8);
}

/* The address is a register and a displacement. */
static bool is_direct(const struct xlat *x, const struct insn *i)
{
	return i->addrsize == 8 && i->index == GPR_NONE &&
	       i->base != GPR_NONE && x->home[i->base] != IN_MEMORY;
}

/* A member that is not direct, with its window's addend in @addend. */
static struct memref member_ea(struct xlat *x, const struct insn *i,
			       enum hreg addend)
{
	if (i->addrsize == 8 && i->index == GPR_NONE && i->base != GPR_NONE) {
		emit_gs_load(&x->e, T0, GPR_OFF(i->base), 8);
		return (struct memref){ T0, addend, i->disp, 0 };
	}
	xlat_ea(x, i, 0, false);
	if (i->index != GPR_NONE && x->home[i->index] == IN_MEMORY)
		x->t1_win = NO_WINDOW;
	return (struct memref){ T0, addend, 0, 0 };
}

/* In the page that starts at host address @page. */
static struct memref in_page(struct xlat *x, const struct share *s,
			     const struct insn *i, enum hreg page)
{
	enum hreg index;

	if (!s->indexed)
		return (struct memref){ page, H_NONE, s->off, 0 };
	index = x->home[i->index];
	if (index == IN_MEMORY) {
		index = T0;
		emit_gs_load(&x->e, T0, GPR_OFF(i->index), 8);
	}
	return (struct memref){ page, index, s->off, i->scale };
}

/* Whether a register holds the window's addend; it is open then. */
static bool is_lent(const struct xlat *x, const struct window *w)
{
	return x->lending && w->host != H_NONE;
}

static struct memref lent_member(struct xlat *x, const struct share *s,
				 const struct insn *i, const struct window *w)
{
	if (w->page)
		return in_page(x, s, i, w->host);
	if (w->pointer)
		return (struct memref){ w->host, x->home[i->index], i->disp,
					i->scale };
	if (is_direct(x, i))
		return (struct memref){ x->home[i->base], w->host, i->disp, 0 };
	return member_ea(x, i, w->host);
}

static struct memref member(struct xlat *x, const struct share *s,
			    const struct insn *i)
{
	struct window *w = &x->window[s->win];
	bool first = !w->open, direct = is_direct(x, i);
	struct memref m;

	w->open = true;
	if (w->page) {
		if (first)
			open_page(x, s, w);
		else
			load_slot(x, s);
		return in_page(x, s, i, T1);
	}
	if (first)
		open_window(x, s, i, w);
	if (direct) {
		if (!first)
			load_slot(x, s);
		return (struct memref){ x->home[i->base], T1, i->disp, 0 };
	}
	if (first)
		return (struct memref){ T0, T1, s->off - (w->hi - 1), 0 };
	m = member_ea(x, i, T1);
	load_slot(x, s);
	return m;
}

static struct memref shared(struct xlat *x, const struct share *s,
			    const struct insn *i)
{
	const struct window *w = &x->window[s->win];
	struct memref m;

	if (is_lent(x, w)) {
		m = lent_member(x, s, i, w);
		x->t1_next = x->t1_win;
	} else {
		m = member(x, s, i);
		x->t1_next = s->win;
	}
	/* Nothing is known of t1 at a second access of the instruction. */
	x->t1_win = NO_WINDOW;
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
		return (struct memref){ T0, T1, 0, 0 };
	}
	xlat_ea(x, i, size - 1, true);
	/* The silicon checks some itself, and then they cannot cross. */
	xlat_tlb(x, size, write, !(i->row->attr & IA_ALIGN), false);
	return (struct memref){ T0, T1, 1 - (int)size, 0 };
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
	return (struct memref){ T0, T1, 1 - (int)size, 0 };
}
