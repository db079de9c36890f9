#include "dbt/xlat_lend.h"

/*
 * In the second copy of a loop (xlat_loop.c) host registers whose guest
 * registers the loop does not use are lent: to guest registers that otherwise
 * live in memory, and to addends of the loop's windows.  What they held is
 * where struct cpu keeps it while C code runs.  Every way out of the loop, and
 * every call of C code in it, makes registers ordinary first.
 */
static uint32_t insn_regs(const struct insn *i)
{
	uint32_t regs = i->row->impl_r | i->row->impl_w;

	if (i->row->action == ACT_STACK)
		regs |= BIT(RSP) | BIT(RBP);
	if (i->row->action == ACT_BRANCH)
		regs |= BIT(RCX) | BIT(RSP);
	for (unsigned int n = 0; n < i->nops; n++)
		if (i->op[n].kind == OPK_GPR)
			regs |= BIT(i->op[n].reg);
	if (i->has_mem && i->base < NR_GPRS)
		regs |= BIT(i->base);
	if (i->has_mem && i->index < NR_GPRS)
		regs |= BIT(i->index);
	return regs;
}

static uint32_t insn_writes(const struct insn *i)
{
	uint32_t regs = i->row->impl_w;

	if (i->row->action != ACT_COPY && i->row->action != ACT_NOP)
		return insn_regs(i);
	for (unsigned int n = 0; n < i->nops; n++)
		if (i->op[n].kind == OPK_GPR && (i->op[n].access & ACC_W))
			regs |= BIT(i->op[n].reg);
	return regs;
}

/* Guest registers whose host registers are free; NR_GPRS: none is left. */
static unsigned int next_free(uint32_t *used)
{
	static const uint8_t order[] = { RDI, RSI, RBX, RDX, RAX, R8, R9,
					 R12, R13, R14, RCX, RBP, RSP };

	for (unsigned int n = 0; n < ARRAY_SIZE(order); n++) {
		if (*used & BIT(order[n]))
			continue;
		*used |= BIT(order[n]);
		return order[n];
	}
	return NR_GPRS;
}

static struct lend *lend(struct xlat *x)
{
	struct lend *l = &x->lend[x->nr_lends];
	unsigned int owner;

	if (x->nr_lends == MAX_LENDS)
		return NULL;
	owner = next_free(&x->used);
	if (owner == NR_GPRS)
		return NULL;
	x->nr_lends++;
	x->lending = true;
	*l = (struct lend){ .owner = owner,
			    .host = host_of[owner],
			    .guest = GPR_NONE,
			    .win = NO_WINDOW };
	x->loop_home[owner] = IN_MEMORY;
	return l;
}

/* How many of the loop's instructions use @reg. */
static unsigned int uses(const struct xlat *x, unsigned int reg)
{
	unsigned int n = 0;

	for (unsigned int m = 0; m <= x->loop_end; m++)
		n += (insn_regs(&x->insn[m]) & BIT(reg)) != 0;
	return n;
}

static void lend_to_registers(struct xlat *x)
{
	for (;;) {
		unsigned int best = NR_GPRS, most = 0;
		struct lend *l;

		for (unsigned int r = 0; r < NR_GPRS; r++) {
			if (x->loop_home[r] != IN_MEMORY ||
			    host_of[r] != IN_MEMORY || uses(x, r) <= most)
				continue;
			best = r;
			most = uses(x, r);
		}
		if (best == NR_GPRS)
			return;
		l = lend(x);
		if (!l)
			return;
		l->guest = best;
		l->dirty = x->written & BIT(best);
		x->loop_home[best] = l->host;
	}
}

/*
 * Whether all accesses of window @n are at a register that does not change plus
 * an index: then the register is part of what is kept.
 */
static bool has_pointer(const struct xlat *x, unsigned int n)
{
	const struct window *w = &x->window[n];

	if (w->base == GPR_NONE || w->index == GPR_NONE ||
	    (x->written & BIT(w->base)) || x->loop_home[w->base] == IN_MEMORY ||
	    x->loop_home[w->index] == IN_MEMORY)
		return false;
	for (unsigned int m = 0; m <= x->loop_end; m++) {
		const struct insn *i = &x->insn[m];

		if (x->share[2 * m + 1].win == n)
			return false;
		if (x->share[2 * m].win == n &&
		    (i->base != w->base || i->index != w->index ||
		     i->scale != w->scale || i->addrsize != 8))
			return false;
	}
	return true;
}

static unsigned int members(const struct xlat *x, unsigned int win)
{
	unsigned int n = 0;

	for (unsigned int m = 0; m <= 2 * x->loop_end + 1; m++)
		n += x->share[m].win == win;
	return n;
}

void lend_windows(struct xlat *x)
{
	for (unsigned int n = 0; n < x->nr_windows; n++)
		x->window[n].host = H_NONE;
	for (;;) {
		unsigned int best = NO_WINDOW, most = 0;
		struct lend *l;

		for (unsigned int n = 0; n < x->nr_windows; n++) {
			const struct window *w = &x->window[n];

			if (!w->loop || w->host != H_NONE ||
			    members(x, n) <= most)
				continue;
			best = n;
			most = members(x, n);
		}
		if (best == NO_WINDOW)
			return;
		l = lend(x);
		if (!l)
			return;
		l->win = best;
		x->window[best].host = l->host;
		x->window[best].pointer = has_pointer(x, best);
	}
}

void lend_registers(struct xlat *x)
{
	x->used = x->written = 0;
	for (unsigned int n = 0; n <= x->loop_end; n++) {
		x->used |= insn_regs(&x->insn[n]);
		x->written |= insn_writes(&x->insn[n]);
	}
	for (unsigned int r = 0; r < NR_GPRS; r++)
		x->loop_home[r] = host_of[r];
	lend_to_registers(x);
	x->home = x->loop_home;
}

enum hreg lend_counter(struct xlat *x)
{
	struct lend *l = lend(x);

	return l ? (enum hreg)l->host : H_NONE;
}

void lend_select(struct xlat *x, bool lent)
{
	x->home = lent ? x->loop_home : host_of;
}

void lend_in(struct xlat *x, unsigned int pushed)
{
	struct emit *e = &x->e;

	for (unsigned int n = 0; n < x->nr_lends; n++)
		emit_gs_store(e, x->lend[n].host, GPR_OFF(x->lend[n].owner), 8);
	for (unsigned int n = 0; n < x->nr_lends; n++) {
		const struct lend *l = &x->lend[n];
		const struct window *w;

		if (l->guest != GPR_NONE)
			emit_gs_load(e, l->host, GPR_OFF(l->guest), 8);
		else if (l->win == NO_WINDOW)
			emit_mov_ri(e, l->host, 0);
		if (l->win == NO_WINDOW)
			continue;
		w = &x->window[l->win];
		emit_load(e, l->host, H_RSP, H_NONE,
			  FRAME_OFF(F_WINDOW + l->win) + pushed, 8);
		if (w->pointer)
			emit_lea(e, l->host, l->host, x->home[w->base], 0, 0,
				 8);
	}
}

void lend_out(struct xlat *x)
{
	struct emit *e = &x->e;

	for (unsigned int n = 0; n < x->nr_lends; n++) {
		const struct lend *l = &x->lend[n];

		if (l->dirty)
			emit_gs_store(e, l->host, GPR_OFF(l->guest), 8);
	}
	for (unsigned int n = 0; n < x->nr_lends; n++)
		emit_gs_load(e, x->lend[n].host, GPR_OFF(x->lend[n].owner), 8);
}

void lend_routines(struct xlat *x)
{
	if (!x->nr_lends)
		return;
	lend_select(x, true);
	x->in_code = x->e.w;
	lend_in(x, 8);
	emit8(&x->e, 0xc3); /* ret */
	x->out_code = x->e.w;
	lend_out(x);
	emit8(&x->e, 0xc3);
}

void lend_call_in(struct xlat *x)
{
	emit_call(&x->e, x->in_code + x->e.xdiff);
}

void lend_call_out(struct xlat *x)
{
	emit_call(&x->e, x->out_code + x->e.xdiff);
}
