#include "dbt/xlat_flags.h"

/*
 * Accesses that cross a page, out of line.  Reads and, in plain code, writes
 * are done in a bounce buffer (cross.c); a write needs a copy of the
 * instruction's code, behind which the buffer is copied back.  Other code goes
 * on in the plain translation, which is made for such places only.
 */
#define MAX_CROSS 32

enum cold_cross cross_kind(const struct xlat *x, unsigned int size, bool write)
{
	const struct insn *i = &x->insn[x->cur];

	/* Where addresses wrap at 32 bits the next page is not always next. */
	if (!x->exact || size > MAX_CROSS || x->code_size != CODE64 ||
	    i->addrsize != 8)
		return CROSS_MISS;
	/* A fault amid the bytes could not tell where registers are lent. */
	if (x->lending)
		return CROSS_LINK;
	if (!write)
		return CROSS_BOUNCE;
	if (i->row->action != ACT_COPY || i->lock ||
	    (i->row->attr & IA_XOP_NOLOCK) || !cross_commit(&x->d->cross, size))
		return CROSS_MISS;
	return x->mode & MODE_PLAIN ? CROSS_BOUNCE : CROSS_LINK;
}

void cross_insn_done(struct xlat *x, unsigned int first)
{
	for (unsigned int n = first; n < x->nr_cold; n++) {
		struct cold *c = &x->cold[n];

		if (c->kind != COLD_TLB || c->cross != CROSS_BOUNCE ||
		    !c->write)
			continue;
		if (x->last_islands <= c->op)
			c->op_end = x->e.w;
		else /* the code has jumps: it cannot be copied */
			c->cross = CROSS_MISS;
	}
}

/* Where in the block the access is, for cross_in_line(). */
static void emit_in_line(struct emit *e, const struct cold *c)
{
	emit32(e, c->back - e->w);
}

/* The instruction in the buffer, and what ends it. */
static void bounced_write(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;

	emit_bytes(e, c->op, c->op_end - c->op);
	emit_call(e, cross_commit(&x->d->cross, c->size));
	emit_patch32(e, emit_jmp_patch(e), c->op_end + e->xdiff);
	emit_in_line(e, c);
}

static uint8_t *bounce(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;
	uint8_t *call = e->w, *there_is, *over;

	emit_call(e, cross_bounce(&x->d->cross, c->size, c->write));
	there_is = emit_jmp_patch(e);
	emit_in_line(e, c);
	if (!c->write) {
		emit_patch32(e, there_is, c->done + e->xdiff);
		return call;
	}
	over = emit_jmp_patch(e);
	emit_here32(e, there_is);
	bounced_write(x, c);
	emit_here32(e, over);
	return call;
}

uint8_t *cross_cold(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;
	uint8_t *start = e->w;

	emit_patch32(e, emit_jmp_patch(e), c->back + e->xdiff);
	emit_here32(e, c->check);
	xlat_cold_span(x, c, start);
	if (c->cross == CROSS_MISS || c->other)
		return NULL;
	xlat_ordinary(x, c);
	if (c->cross == CROSS_BOUNCE)
		return bounce(x, c);
	start = e->w;
	xlat_cold_link(x, emit_jmp_link(e), c);
	return start;
}
