#include "dbt/xlat_flags.h"
#include "dbt/xlat_lend.h"

/*
 * Memory operands: guest address in t0, addend in t1, host address t0 + t1.
 * There are two forms of each test: one that changes no flag, and a cheaper
 * one for places where flags may be clobbered (xlat_flags.c).
 */

bool xlat_seg_ok(const struct xlat *x, const struct insn *i)
{
	if (i->seg >= SEG_LDTR || !(x->mode & MODE_SEG_FLAT(i->seg)))
		return false;
	/* Code segments cannot be written outside 64-bit mode. */
	return i->seg != SEG_CS || x->code_size == CODE64 ||
	       !(i->mem_access & ACC_W);
}

/* Host register of a guest one; IN_MEMORY ones are loaded into @temp. */
static enum hreg reg_or_load(struct xlat *x, unsigned int reg, enum hreg temp)
{
	if (reg == GPR_NONE)
		return H_NONE;
	if (x->home[reg] != IN_MEMORY)
		return x->home[reg];
	emit_gs_load(&x->e, temp, GPR_OFF(reg), 8);
	return temp;
}

static void add_segment_base(struct xlat *x, const struct insn *i)
{
	if (i->seg != SEG_FS && i->seg != SEG_GS)
		return;
	emit_gs_load(&x->e, T1, CPU_OFF(seg) + sizeof(struct seg) * i->seg, 8);
	emit_lea(&x->e, T0, T0, T1, 0, 0, x->code_size == CODE64 ? 8 : 4);
}

static uint64_t constant_ea(const struct xlat *x, const struct insn *i)
{
	uint64_t ea = i->disp;

	if (i->rip_rel)
		ea += x->next;
	if (i->addrsize == 4)
		ea = (uint32_t)ea;
	else if (i->addrsize == 2)
		ea = (uint16_t)ea;
	return ea;
}

void xlat_address(struct xlat *x, enum hreg reg, uint64_t gva, bool pic)
{
	int64_t disp = gva;
	struct emit *e = &x->e;

	if (!pic) {
		emit_mov_ri(e, reg, gva);
		return;
	}
	emit_gs_load(e, reg, SLOT_OFF(D_PIC), 8);
	if (disp != (int32_t)disp) {
		emit_lea(e, reg, reg, H_NONE, 0, 0x7fffffff, 8);
		disp -= 0x7fffffff;
	}
	emit_lea(e, reg, reg, H_NONE, 0, disp, 8);
}

void xlat_ea(struct xlat *x, const struct insn *i, int32_t add,
	     bool with_segment)
{
	struct emit *e = &x->e;
	enum hreg base, index;

	if (i->rip_rel || (i->base == GPR_NONE && i->index == GPR_NONE)) {
		xlat_address(x, T0, constant_ea(x, i) + add,
			     x->pic && i->rip_rel);
	} else {
		/* The address is cut before @add, which may go beyond. */
		bool late = i->addrsize == 2 ||
			    (i->addrsize == 4 && x->code_size == CODE64 &&
			     (i->seg == SEG_FS || i->seg == SEG_GS));

		base = reg_or_load(x, i->base, T0);
		index = reg_or_load(x, i->index, T1);
		emit_lea(e, T0, base, index, i->scale,
			 i->disp + (late ? 0 : add), i->addrsize == 8 ? 8 : 4);
		if (i->addrsize == 2)
			emit_movzx16(e, T0, T0);
		if (late && add)
			emit_lea(e, T0, T0, H_NONE, 0, add, 8);
	}
	if (with_segment)
		add_segment_base(x, i);
}

struct cold *xlat_cold(struct xlat *x, enum cold_kind kind, uint8_t *site)
{
	struct cold *c;

	if (x->nr_cold == MAX_COLD) {
		x->failed = true;
		return &x->cold[0];
	}
	c = &x->cold[x->nr_cold++];
	*c = (struct cold){ .kind = kind,
			    .site = site,
			    .recipe = NO_RECIPE,
			    .lent = x->lending };
	return c;
}

/* The smallest span mask that covers @bytes. */
static unsigned int span_word(unsigned int bytes)
{
	unsigned int n = F_SPAN8;

	while (bytes > 8u << (n - F_SPAN8))
		n++;
	return n;
}

void xlat_islands(struct xlat *x, unsigned int room, bool gap)
{
	struct emit *e = &x->e;
	uint8_t *over = NULL, *site;

	if (!x->nr_islands)
		return;
	if (!gap && !x->eager && x->nr_islands + 2 <= MAX_ISLANDS &&
	    e->w - x->island[0].rel8 + room + 5 * x->nr_islands < 120)
		return;
	if (!gap)
		over = emit_jmp8(e);
	for (unsigned int n = 0; n < x->nr_islands; n++) {
		emit_here8(e, x->island[n].rel8);
		site = emit_jmp_patch(e);
		if (x->island[n].check)
			x->cold[x->island[n].cold].check = site;
		else
			x->cold[x->island[n].cold].site = site;
	}
	x->nr_islands = 0;
	x->last_islands = e->w;
	if (over)
		emit_here8(e, over);
}

void xlat_island(struct xlat *x, uint8_t *rel8, const struct cold *c,
		 bool check)
{
	x->island[x->nr_islands++] = (struct island){ .rel8 = rel8,
						      .cold = c - x->cold,
						      .check = check };
}

/* t1 is the page number: t1 = addend, or out of line. */
static void table_load(struct xlat *x, struct cold *c)
{
	struct emit *e = &x->e;
	bool copied;

	if (c->write)
		emit_not(e, T1);
	emit_gs_load_idx(e, T1, T1, c->write ? 0 : TLB_R_OFF);
	if (x->flag_form) {
		emit_test_rr(e, T1, T1);
		c->site = emit_jcc(e, CC_Z);
		x->dirty = true;
	} else {
		xlat_island(x, emit_jrcxz(e), c, false);
	}
	c->done = e->w;
	/* Code that is copied may have no jumps. */
	copied = c->cross == CROSS_BOUNCE && c->write;
	xlat_islands(x, copied ? 255 : 30, false);
	c->op = e->w;
}

void xlat_span_test(struct xlat *x, unsigned int size, struct cold *c)
{
	struct emit *e = &x->e;
	unsigned int n = span_word(size);

	if (x->flag_form) {
		emit_test_ri(e, T0, ~PAGE_MASK & ~MASK(3 + n - F_SPAN8));
		c->check = emit_jcc(e, CC_Z);
		x->dirty = true;
	} else {
		emit_pext(e, T1, T0, H_RSP, FRAME_OFF(n));
		xlat_island(x, emit_jrcxz(e), c, true);
	}
}

static struct cold *cold_access(struct xlat *x, unsigned int size, bool write,
				bool window)
{
	struct cold *c = xlat_cold(x, COLD_TLB, NULL);

	c->size = size;
	c->write = write;
	c->window = window;
	c->exact = x->exact && !window;
	c->cross = window ? CROSS_LINK : cross_kind(x, size, write);
	c->rip = x->rip;
	c->recipe = x->flag_form ? x->recipe[x->cur] : NO_RECIPE;
	return c;
}

/*
 *	(pext t1, t0, span; jrcxz cold)
 *	pext t1, t0, page_mask; (not t1;) mov t1, gs:[t1 * 8 + table]
 *	jrcxz cold
 * or
 *	(test t0, span; jz cold)
 *	pext t1, t0, page_mask; (not t1;) mov t1, gs:[t1 * 8 + table]
 *	test t1, t1; jz cold
 */
struct cold *xlat_tlb(struct xlat *x, unsigned int size, bool write,
		      bool may_cross, bool window)
{
	struct emit *e = &x->e;
	struct cold *c;

	xlat_islands(x, 60, false);
	c = cold_access(x, size, write, window);
	if (size > 1 && may_cross)
		xlat_span_test(x, size, c);
	c->back = e->w;
	emit_pext(e, T1, T0, H_RSP, FRAME_OFF(F_PAGE_MASK));
	table_load(x, c);
	return c;
}

void xlat_tlb_page(struct xlat *x, uint64_t ea, bool pic, unsigned int size,
		   bool write, bool window)
{
	struct cold *c;

	xlat_islands(x, 60, false);
	xlat_address(x, T0, ea, pic);
	c = cold_access(x, 1, write, window);
	c->ahead = size - 1;
	c->back = x->e.w;
	if (pic || x->d->mixed_tables)
		emit_pext(&x->e, T1, T0, H_RSP, FRAME_OFF(F_PAGE_MASK));
	else
		emit_mov_ri(&x->e, T1, (ea & x->c->page_mask) >> PAGE_SHIFT);
	table_load(x, c);
}

bool xlat_constant_ea(const struct xlat *x, const struct insn *i, uint64_t *ea)
{
	if ((!i->rip_rel && (i->base != GPR_NONE || i->index != GPR_NONE)) ||
	    i->seg == SEG_FS || i->seg == SEG_GS)
		return false;
	*ea = constant_ea(x, i);
	return (*ea & ~PAGE_MASK) + i->mem_size <= PAGE_SIZE;
}

/*
 * An end in the first bytes of a page is good if all the bytes are there.  With
 * the page offset in the top 12 of 32 bits, a subtraction borrows from the
 * upper half if they are not.
 */
void xlat_cold_span(struct xlat *x, const struct cold *c, uint8_t *within)
{
	struct emit *e = &x->e;
	uint8_t *zero;

	emit_rorx(e, T1, T0, 12, 4);
	emit_lea(e, T1, T1, H_NONE, 0, -((c->size - 1) << 20), 8);
	emit_rorx(e, T1, T1, 32, 8);
	emit_mov_rr(e, T1, T1, 4);
	zero = emit_jrcxz(e);
	if (!e->overflow)
		*zero = within - (zero + 1);
}

void xlat_ordinary(struct xlat *x, const struct cold *c)
{
	if (c->recipe != NO_RECIPE)
		flags_restore(x, c->recipe);
	if (c->lent)
		lend_call_out(x);
}

/* Back to @main, where registers are lent; its size. */
static unsigned int cold_again(struct xlat *x, const uint8_t *main)
{
	struct emit *e = &x->e;
	uint8_t *start = e->w;

	lend_call_in(x);
	emit_jmp(e, main + e->xdiff);
	return e->w - start;
}

/*
 * Two ways in.  A miss calls dbt_miss, which comes back behind its stub if the
 * entry of a window cannot be made, and leaves for others.  The other way is
 * for an end in the first bytes of a page.
 */
static void cold_tlb(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;
	struct miss_stub s = { .size = c->size,
			       .ahead = c->ahead,
			       .write = c->write,
			       .done = c->done - c->back,
			       .window = c->window,
			       .exact = c->exact };
	uint8_t *back = c->back, *cross;

	if (c->lent) {
		back = e->w;
		s.done = cold_again(x, c->back);
		cold_again(x, c->done);
	}
	/* What it does not do itself goes on behind it. */
	cross = c->check ? cross_cold(x, c) : NULL;
	emit_here32(e, c->site);
	xlat_ordinary(x, c);
	emit_call(e, x->d->thunk_miss);
	s.access = c->back - e->w;
	s.retry = back - e->w;
	if (cross && c->cross == CROSS_BOUNCE)
		s.cross = cross - e->w;
	emit_bytes(e, (uint8_t *)&s, sizeof(s));
	if (c->other)
		emit_patch32(e, emit_jmp_patch(e), c->other + e->xdiff);
	else if (c->window && cross)
		emit_patch32(e, emit_jmp_patch(e), cross + e->xdiff);
	else if (c->window)
		xlat_cold_link(x, emit_jmp_link(e), c);
}

void xlat_cold_link(struct xlat *x, uint8_t *site, const struct cold *c)
{
	struct emit *e = &x->e;
	struct link_stub s = { .at = xlat_rip_stub(x, c->rip),
			       .block = x->d->nr_blocks,
			       .back = c->kind == COLD_BACK,
			       .plain = c->kind == COLD_TLB };

	emit_here32(e, site);
	emit_call(e, x->d->thunk[LEAVE_LINK]);
	s.site = site - e->w;
	emit_bytes(e, (uint8_t *)&s, sizeof(s));
}

static void cold_link(struct xlat *x, const struct cold *c)
{
	uint8_t *site = c->site;

	if (c->lent) {
		emit_here32(&x->e, site);
		lend_call_out(x);
		site = emit_jmp_link(&x->e);
	}
	xlat_cold_link(x, site, c);
}

static void cold_changed(struct xlat *x, const struct cold *c)
{
	struct changed_stub s = { .at = xlat_rip_stub(x, c->rip),
				  .block = x->d->nr_blocks };

	emit_call(&x->e, x->d->thunk[LEAVE_CHANGED]);
	emit_bytes(&x->e, (uint8_t *)&s, sizeof(s));
}

static void cold_rip(struct xlat *x, const struct cold *c, unsigned int code)
{
	struct rip_stub s = xlat_rip_stub(x, c->rip);

	xlat_ordinary(x, c);
	emit_call(&x->e, x->d->thunk[code]);
	emit_bytes(&x->e, (uint8_t *)&s, sizeof(s));
}

static void cold_loop(struct xlat *x, const struct cold *c)
{
	uint8_t *within = x->e.w;

	emit_patch32(&x->e, emit_jmp_patch(&x->e), c->back + x->e.xdiff);
	emit_here32(&x->e, c->check);
	xlat_cold_span(x, c, within);
	xlat_ordinary(x, c);
	emit_patch32(&x->e, emit_jmp_patch(&x->e), x->loop_entry + x->e.xdiff);
}

void xlat_emit_cold(struct xlat *x)
{
	x->cold_at = x->e.w;
	xlat_islands(x, 0, true);
	lend_routines(x);
	for (unsigned int n = 0; n < x->nr_cold; n++) {
		const struct cold *c = &x->cold[n];

		lend_select(x, c->lent);
		if (c->kind == COLD_LINK || c->kind == COLD_BACK) {
			cold_link(x, c);
			continue;
		}
		if (c->kind == COLD_TLB) {
			cold_tlb(x, c);
			continue;
		}
		if (c->kind == COLD_LOOP) {
			cold_loop(x, c);
			continue;
		}
		emit_here32(&x->e, c->site);
		if (c->kind == COLD_LIGHT)
			xlat_cold_light(x, c);
		else if (c->kind == COLD_CHANGED)
			cold_changed(x, c);
		else
			cold_rip(x, c, c->leave);
	}
}
