#include "dbt/xlat.h"

/*
 * Memory operands: guest address in t0, addend in t1, host address t0 + t1.
 * No instruction here changes a flag, so faults see exact flags and no
 * liveness analysis is needed.
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
	if (host_of[reg] != IN_MEMORY)
		return host_of[reg];
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

void xlat_ea(struct xlat *x, const struct insn *i, bool with_segment)
{
	struct emit *e = &x->e;
	enum hreg base, index;

	if (i->rip_rel || (i->base == GPR_NONE && i->index == GPR_NONE)) {
		emit_mov_ri(e, T0, constant_ea(x, i));
	} else {
		base = reg_or_load(x, i->base, T0);
		index = reg_or_load(x, i->index, T1);
		emit_lea(e, T0, base, index, i->scale, i->disp,
			 i->addrsize == 8 ? 8 : 4);
		if (i->addrsize == 2)
			emit_movzx16(e, T0, T0);
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
	*c = (struct cold){ .kind = kind, .site = site };
	return c;
}

/* Slot with the PEXT mask of the alignment bits that matter for @size. */
static uint32_t align_slot(unsigned int size)
{
	if (size <= 2)
		return SLOT_OFF(D_ALIGN1);
	if (size <= 4)
		return SLOT_OFF(D_ALIGN3);
	if (size <= 8)
		return SLOT_OFF(D_ALIGN7);
	return size <= 16 ? SLOT_OFF(D_ALIGN15) : SLOT_OFF(D_ALIGN31);
}

void xlat_islands(struct xlat *x, unsigned int room, bool gap)
{
	struct emit *e = &x->e;
	uint8_t *over = NULL;

	if (!x->nr_islands)
		return;
	if (!gap && !x->eager && x->nr_islands < MAX_ISLANDS &&
	    e->w - x->island[0].rel8 + room + 5 * x->nr_islands < 120)
		return;
	if (!gap)
		over = emit_jmp8(e);
	for (unsigned int n = 0; n < x->nr_islands; n++) {
		emit_here8(e, x->island[n].rel8);
		x->cold[x->island[n].cold].site = emit_jmp_patch(e);
	}
	x->nr_islands = 0;
	if (over)
		emit_here8(e, over);
}

/* Whether the instruction at rip was seen to access misaligned addresses. */
static bool often_misaligned(const struct xlat *x)
{
	unsigned int bit = dbt_rip_bit(x->rip);

	return x->d->misaligned[bit / 64] & BIT(bit % 64);
}

/* Falls through if the access may be made through one page's entry. */
static void check_alignment(struct xlat *x, unsigned int size, bool write,
			    unsigned int base, int64_t disp)
{
	struct emit *e = &x->e;
	bool strict =
		size <= 32 && !(size & (size - 1)) && !often_misaligned(x);
	struct cold *c;
	uint8_t *over = NULL;

	if (size <= 32) {
		emit_gs_pext(e, T1, T0, align_slot(size));
		over = emit_jrcxz(e);
	}
	c = xlat_cold(x, strict ? COLD_STRICT : COLD_ALIGN, emit_jmp_patch(e));
	c->rip = x->rip;
	c->size = size;
	c->write = write;
	xlat_islands(x, 0, true);
	if (over)
		emit_here8(e, over);
	c->back = e->w;
	if (strict && base != GPR_NONE)
		align_learn(x, size, base, disp);
}

/* t1 is the page number: t1 = addend, or out of line. */
static void look_up(struct xlat *x, unsigned int size, bool write,
		    uint8_t *retry)
{
	struct emit *e = &x->e;
	struct cold *miss = xlat_cold(x, COLD_MISS, NULL);
	struct island *i = &x->island[x->nr_islands++];

	if (write)
		emit_not(e, T1);
	emit_gs_load_idx(e, T1, T1, write ? 0 : TLB_R_OFF);
	i->rel8 = emit_jrcxz(e);
	i->cold = miss - x->cold;
	miss->back = retry;
	miss->size = size;
	miss->write = write;
}

/*
 *	(pext t1, t0, align; jrcxz ok; jmp cold)
 * ok:	pext t1, t0, page_mask; (not t1;) mov t1, gs:[t1 * 8 + table]
 *	jrcxz miss
 */
static void tlb_access(struct xlat *x, unsigned int size, bool write,
		       unsigned int base, int64_t disp, bool checked)
{
	uint8_t *retry;

	xlat_islands(x, 30, false);
	if (size > 1 && !checked && !align_known(x, size, base, disp))
		check_alignment(x, size, write, base, disp);
	retry = x->e.w;
	emit_gs_pext(&x->e, T1, T0, CPU_OFF(page_mask));
	look_up(x, size, write, retry);
	xlat_islands(x, 30, false);
}

void xlat_tlb(struct xlat *x, unsigned int size, bool write, unsigned int base,
	      int64_t disp)
{
	tlb_access(x, size, write, base, disp, false);
}

/* A constant address: its page number and offset are known now. */
static bool tlb_constant(struct xlat *x, const struct insn *i,
			 unsigned int size, bool write)
{
	uint64_t ea = constant_ea(x, i);
	uint8_t *retry;

	if (i->seg == SEG_FS || i->seg == SEG_GS ||
	    (ea & ~PAGE_MASK) + size > PAGE_SIZE)
		return false;
	xlat_islands(x, 30, false);
	retry = x->e.w;
	emit_mov_ri(&x->e, T1, (ea & x->c->page_mask) >> PAGE_SHIFT);
	look_up(x, size, write, retry);
	return true;
}

void xlat_tlb_insn(struct xlat *x, const struct insn *i, unsigned int size,
		   bool write)
{
	bool plain = i->index == GPR_NONE && i->seg != SEG_FS &&
		     i->seg != SEG_GS && i->addrsize >= 4 &&
		     !(i->row->attr & IA_BITOFF);

	if (!(i->row->attr & IA_BITOFF) &&
	    (i->rip_rel || (i->base == GPR_NONE && i->index == GPR_NONE)) &&
	    tlb_constant(x, i, size, write))
		return;
	/* The silicon checks these itself, and then they cannot cross. */
	tlb_access(x, size, write, plain ? i->base : GPR_NONE, i->disp,
		   i->row->attr & IA_ALIGN);
}

static void cold_miss(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;
	struct miss_stub s = { .size = c->size, .write = c->write };

	emit_call(e, x->d->thunk_miss);
	s.retry = c->back - e->w;
	emit_bytes(e, (uint8_t *)&s, sizeof(s));
}

/*
 * Page offset in the top 12 of 32 bits; adding size - 1 there carries into
 * bit 32 exactly if the access leaves the page.
 */
static void cold_align(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;
	uint8_t *within;

	emit_rorx(e, T1, T0, 12, 4);
	emit_lea(e, T1, T1, H_NONE, 0, (c->size - 1) << 20, 8);
	emit_rorx(e, T1, T1, 32, 8);
	emit_mov_rr(e, T1, T1, 4);
	within = emit_jrcxz(e);
	cold_miss(x, c);
	emit_here8(e, within);
	emit_patch32(e, emit_jmp_patch(e), c->back + e->xdiff);
}

/* Misaligned where it was not expected: the careful form, and a note. */
static void cold_strict(struct xlat *x, const struct cold *c)
{
	struct rip_stub s = { .rip = c->rip };

	emit_call(&x->e, x->d->thunk[LEAVE_MISALIGNED]);
	emit_bytes(&x->e, (uint8_t *)&s, sizeof(s));
}

static void cold_link(struct xlat *x, const struct cold *c)
{
	struct emit *e = &x->e;
	struct link_stub s = { .rip = c->rip, .back = c->kind == COLD_BACK };

	emit_here32(e, c->site);
	emit_call(e, x->d->thunk[LEAVE_LINK]);
	s.site = c->site - e->w;
	emit_bytes(e, (uint8_t *)&s, sizeof(s));
}

static void cold_rip(struct xlat *x, const struct cold *c, unsigned int code)
{
	struct rip_stub s = { .rip = c->rip };

	emit_call(&x->e, x->d->thunk[code]);
	emit_bytes(&x->e, (uint8_t *)&s, sizeof(s));
}

void xlat_emit_cold(struct xlat *x)
{
	xlat_islands(x, 0, true);
	for (unsigned int n = 0; n < x->nr_cold; n++) {
		const struct cold *c = &x->cold[n];

		if (c->kind == COLD_LINK || c->kind == COLD_BACK) {
			cold_link(x, c);
			continue;
		}
		emit_here32(&x->e, c->site);
		switch (c->kind) {
		case COLD_ALIGN:
			cold_align(x, c);
			break;
		case COLD_STRICT:
			cold_strict(x, c);
			break;
		case COLD_MISS:
			cold_miss(x, c);
			break;
		default:
			cold_rip(x, c, c->leave);
			break;
		}
	}
}
