#include "dbt/xlat_flags.h"

#include <stdlib.h>

#include "dbt/xlat_loop.h"
#include "dbt/xlat_plan.h"

/*
 * A block: guest code from one entry to a branch that always leaves, an
 * instruction for root mode, the page's end or MAX_INSNS.  Host code:
 *
 *	ientry:	t0 == rip? else leave to look up
 *	checked: D_GO? else leave
 *	entry:	the instructions
 *		out-of-line code (misses, links, ways out)
 */

static bool insn_offered(const struct xlat *x, const struct insn *i)
{
	const struct insn_row *row = i->row;

	if (row->action == ACT_UD || !has_feat(x->c, row->feat))
		return false;
	if ((row->attr & IA_CPL0) && (x->mode & MODE_USER))
		return false;
	return insn_allowed(row, x->mode);
}

/* The current instruction is one for the careful form. */
static void not_here(struct xlat *x)
{
	x->spill = H_NONE;
	if (!flags_exact(x))
		x->e.overflow = true; /* try again without clobbered flags */
	xlat_leave(x, LEAVE_CAREFUL, x->rip);
}

static void xlat_insn(struct xlat *x, const struct insn *i)
{
	bool ok;

	/* An address that is cut depends on more than D_PIC. */
	if (!insn_offered(x, i) || (x->pic && i->rip_rel && i->addrsize != 8)) {
		not_here(x);
		return;
	}
	switch (i->row->action) {
	case ACT_NOP:
		x->t1_next = x->t1_win;
		return;
	case ACT_COPY:
		ok = xlat_copy(x, i);
		break;
	case ACT_STACK:
		ok = xlat_stack(x, i);
		break;
	case ACT_BRANCH:
		ok = xlat_branch(x, i);
		break;
	default:
		xlat_event(x, i, x->self || i + 1 == &x->insn[x->nr_decoded]);
		return;
	}
	if (!ok)
		not_here(x);
}

struct rip_stub xlat_rip_stub(const struct xlat *x, uint64_t rip)
{
	return (struct rip_stub){ .rip = rip, .pic = x->pic };
}

/* t1 = 0 if t0 is the block's address. */
static void compare_rip(struct xlat *x)
{
	emit_mov_ri(&x->e, T1, -x->block_rip);
	emit_lea(&x->e, T1, T1, T0, 0, 0, 8);
}

/*
 * t1 = 0 if t0 is @rip, and D_GO is GO.  With D_GO = 0 the address one below
 * would do, too, but it does not come here: no two such addresses have one
 * index in the jump cache.
 */
static void compare_rip_and_go(struct xlat *x, int32_t one_less_rip)
{
	emit_gs_load(&x->e, T1, SLOT_OFF(D_GO), 8);
	emit_lea(&x->e, T1, T1, T0, 0, one_less_rip, 8);
}

/* The same for one that is at several addresses: the jump cache knows what it
 * has led here for. */
static void compare_entered_rip(struct xlat *x)
{
	struct emit *e = &x->e;

	xlat_jc_index(x);
	emit_gs_load_idx(e, T1, T1, JC_RIP_OFF);
	emit_not(e, T1);
	emit_lea(e, T1, T1, T0, 0, 1, 8);
}

/* Indirect entry: t0 holds the rip that the jump wants. */
static void emit_ientry(struct xlat *x)
{
	int64_t less = 1 - x->block_rip;
	bool both = !x->pic && less == (int32_t)less;
	struct rip_stub s = xlat_rip_stub(x, x->block_rip);
	struct emit *e = &x->e;
	uint8_t *match, *out, *stop;

	if (x->pic)
		compare_entered_rip(x);
	else if (both)
		compare_rip_and_go(x, less);
	else
		compare_rip(x);
	match = emit_jrcxz(e);
	emit_jmp(e, x->d->thunk[LEAVE_LOOKUP]);
	out = e->w;
	emit_call(e, x->d->thunk[LEAVE_RIP]);
	emit_bytes(e, (uint8_t *)&s, sizeof(s));
	if (!both)
		emit_here8(e, match);
	if (x->pic) {
		emit_lea(e, T0, T0, H_NONE, 0, -(int64_t)x->block_rip, 8);
		emit_gs_store(e, T0, SLOT_OFF(D_PIC), 8);
	}
	x->checked = e->w;
	emit_gs_load(e, T1, SLOT_OFF(D_GO), 8);
	stop = emit_jrcxz(e);
	if (!e->overflow)
		*stop = out - (stop + 1);
	if (both)
		emit_here8(e, match);
}

static const struct share no_share[2] = { { .win = NO_WINDOW },
					  { .win = NO_WINDOW } };

/* The current instruction, and the end of the shadow that STI before it cast.
 */
static void insn_in_shadow(struct xlat *x, const struct insn *i)
{
	bool shadow = x->shadow;
	bool branch = i->row->action == ACT_BRANCH;

	x->shadow = false;
	if (shadow) {
		/* Nothing may look at D_GO before this one is done. */
		x->share_insn = no_share;
		if (branch)
			xlat_end_shadow(x);
	}
	xlat_insn(x, i);
	if (shadow && !branch && !x->done)
		xlat_end_shadow(x);
}

/*
 * Whether a page fault of its memory operand is all that happens.  x87 and MMX
 * instructions may have an exception that waits, and what converts and stores
 * has set MXCSR.
 */
static bool faults_plainly(const struct insn_row *row)
{
	return !(row->attr &
		 (IA_ALIGN | IA_COND | IA_VSIB | IA_X87 | IA_MMX)) &&
	       row->id != ID_VCVTPS2PH;
}

void xlat_one_insn(struct xlat *x, unsigned int n)
{
	struct pcmap *m = &x->map[x->nr_insns];
	unsigned int first_cold = x->nr_cold;

	x->rip = x->next;
	x->next += x->insn[n].len;
	*m = (struct pcmap){ .host = x->e.w - x->loop_entry,
			     .guest = x->rip - x->block_rip };
	if (x->self) {
		xlat_check(x, n);
		x->t1_win = NO_WINDOW;
	}
	x->share_insn = &x->share[2 * n];
	x->spill = H_NONE;
	x->exact = faults_plainly(x->insn[n].row);
	x->cur = n;
	x->flag_form = x->clobber[n];
	x->t1_next = NO_WINDOW;
	xlat_islands(x, 45, false);
	insn_in_shadow(x, &x->insn[n]);
	x->t1_win = x->t1_next;
	cross_insn_done(x, first_cold);
	flags_insn_done(x, &x->insn[n]);
	m->spill = x->spill;
	x->nr_insns++;
}

/* Whether translation may go on behind the instruction. */
static bool goes_on(const struct xlat *x, const struct insn *i)
{
	switch (i->row->action) {
	case ACT_NOP:
	case ACT_COPY:
	case ACT_STACK:
		return true;
	case ACT_BRANCH:
		return i->row->id == ID_JCC || i->row->id == ID_LOOP ||
		       i->row->id == ID_JRCXZ;
	default:
		return event_goes_on(x, i);
	}
}

/*
 * Offsets in the block that forward jumps in it lead to.  The block ends there:
 * what follows would be translated once for each way to it.
 */
struct joins {
	uint64_t at[(MAX_INSNS * 15 + 63) / 64];
};

static void note_join(struct joins *j, const struct insn *i, unsigned int next)
{
	uint64_t to = next + i->imm;

	if (i->row->id == ID_JCC && i->imm > 0 && to < MAX_INSNS * 15)
		j->at[to / 64] |= BIT(to % 64);
}

/*
 * Decodes the instructions of the block at x->next.  False: what comes next
 * crosses the page or is too long.
 */
static bool decode_block(struct xlat *x, const uint8_t *hva)
{
	unsigned int room = PAGE_SIZE - (x->block_rip & ~PAGE_MASK);
	struct joins joins = { { 0 } };
	unsigned int off = 0;
	struct insn *i;

	x->nr_decoded = 0;
	x->src[0] = *hva;
	do {
		i = &x->insn[x->nr_decoded];
		if (insn_decode(hva + off, room - off, x->code_size, i) !=
		    DECODE_OK)
			return false;
		__builtin_memcpy(x->src + off, i->bytes, 15);
		off += i->len;
		note_join(&joins, i, off);
	} while (++x->nr_decoded < MAX_INSNS && off < room && goes_on(x, i) &&
		 !(joins.at[off / 64] & BIT(off % 64)));
	return true;
}

/* A block without a single instruction that can be translated. */
static void xlat_not_here(struct xlat *x)
{
	x->restore[0] = NO_RECIPE;
	x->lent[0] = false;
	x->map[x->nr_insns++] = (struct pcmap){ .spill = H_NONE };
	xlat_leave(x, LEAVE_CAREFUL, x->rip);
}

static void plan(struct xlat *x)
{
	loop_find(x);
	if (x->mode & MODE_PLAIN)
		plan_none(x);
	else
		plan_block(x);
	loop_windows(x);
	/* Each turn compares at the entry. */
	if (x->self)
		x->loop_end = NO_LOOP;
	if (x->eager || x->self)
		flags_none(x);
	else
		plan_flags(x, x->nr_decoded, NO_RECIPE);
}

static void xlat_insns(struct xlat *x, const uint8_t *hva)
{
	bool whole = decode_block(x, hva);

	plan(x);
	for (unsigned int n = 0; n < x->nr_decoded && !x->done; n++)
		xlat_one_insn(x, n);
	if (x->done || x->failed)
		return;
	x->rip = x->next;
	if (whole)
		xlat_jump(x, x->rip);
	else if (x->nr_insns)
		xlat_jump_far(x, x->rip);
	else
		xlat_not_here(x);
}

/* @mem: guest memory, which others may be writing. */
__attribute__((no_sanitize("thread"))) static bool same_bytes(
	const uint8_t *mem, const uint8_t *src, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (mem[i] != src[i])
			return false;
	return true;
}

/*
 * Whether memory still holds what was translated, now that the pages tell that
 * there is code in them.  User mode writes without a notice: if it has
 * meanwhile, somebody may have compared the pages behind the write, but before
 * they knew of this block.
 */
static bool still_there(const struct xlat *x, const struct block *b)
{
	unsigned int room = PAGE_SIZE - (b->gpa & ~PAGE_MASK);
	unsigned int n = b->len < room ? b->len : room;

	return same_bytes(x->hva, x->src, n) &&
	       (!b->gpa2 || same_bytes(x->hva2, x->src + n, b->len - n));
}

/* What a look-up needs is then in one line of the cache. */
static struct block *block_alloc(struct dbt *d)
{
	uint8_t *p = meta_alloc(d, sizeof(struct block) + 48);

	return p ? (struct block *)(((uintptr_t)p + 63) & ~63ul) : NULL;
}

static struct block *finish(struct xlat *x, gpa_t gpa, gpa_t gpa2,
			    uint8_t *ientry, uint8_t *entry)
{
	struct dbt *d = x->d;
	struct block *b = block_alloc(d);
	size_t map_size = x->nr_insns * sizeof(x->map[0]);
	struct pcmap *map = meta_alloc(d, map_size);

	if (!b || !map || x->e.overflow || x->failed)
		return NULL;
	__builtin_memcpy(map, x->map, map_size);
	for (unsigned int n = 0; n < x->nr_insns; n++) {
		map[n].host += entry - ientry;
		if (map[n].restore)
			map[n].restore += entry - ientry;
	}
	*b = (struct block){ .rip = x->block_rip,
			     .gpa = gpa,
			     .gpa2 = gpa2,
			     .mode = x->mode,
			     .self = x->self,
			     .len = x->next - x->block_rip,
			     .nr_insns = x->nr_insns,
			     .cold = x->cold_at - ientry,
			     .ientry = ientry + x->e.xdiff,
			     .checked = x->checked + x->e.xdiff,
			     .entry = entry + x->e.xdiff,
			     .end = emit_x(&x->e),
			     .map = map };
	if (!b->len)
		b->len = 1;
	if (block_note(d, b, x->src))
		return NULL;
	if (!b->self && !still_there(x, b)) {
		d->conflict = true;
		b->dead = true;
		return NULL;
	}
	block_add(d, b);
	d->code_w_next = (uint8_t *)(((uintptr_t)x->e.w + 15) & ~15ul);
	return b;
}

struct xlat *xlat_alloc(void)
{
	return calloc(1, sizeof(struct xlat));
}

/* Sets up the fields that matter; the arrays need no clearing. */
void xlat_begin(struct xlat *x, struct dbt *d, struct cpu *c, uint32_t mode)
{
	x->d = d;
	x->c = c;
	x->mode = mode;
	x->code_size = mode & MODE_CODE_SIZE;
	x->spill = H_NONE;
	x->snippet = x->done = x->failed = x->eager = x->shadow = false;
	x->self = false;
	x->pic = mode & MODE_PIC;
	x->nr_insns = x->nr_cold = x->nr_islands = x->nr_lends = 0;
	x->home = host_of;
	x->lending = x->in_loop = false;
	x->last_islands = NULL;
	x->share_insn = no_share;
	x->flag_form = x->dirty = false;
	x->t1_win = x->t1_next = NO_WINDOW;
	x->e.xdiff = d->code_x - d->code_w;
	x->e.overflow = false;
}

/* False: no room left for a block. */
static bool xlat_start(struct xlat *x, struct dbt *d, struct cpu *c,
		       uint64_t rip, uint32_t mode)
{
	xlat_begin(x, d, c, mode);
	x->e.w = d->code_w_next;
	x->e.end = d->code_w + CODE_SIZE - SNIPPET_SIZE * MAX_VCPUS;
	x->block_rip = x->rip = x->next = rip;
	if (x->e.w + BLOCK_ROOM > x->e.end)
		return false;
	emit_ientry(x);
	x->entry = x->e.w;
	return true;
}

static bool compares(struct dbt *d, gpa_t gpa)
{
	const struct code_page *p = page_find(d, gpa);

	return p && p->self;
}

/* What does not work out is tried again in a form that does (@eager). */
static struct block *make_block(struct dbt *d, struct cpu *c, uint64_t rip,
				gpa_t gpa, const uint8_t *hva, uint32_t mode,
				bool eager)
{
	struct xlat *x = d->xlat;
	uint8_t *ientry = d->code_w_next, *entry;

	if (!xlat_start(x, d, c, rip, mode))
		return NULL;
	x->eager = eager;
	x->self = compares(d, gpa);
	x->hva = hva;
	entry = x->loop_entry = x->e.w;
	xlat_insns(x, hva);
	xlat_loop(x);
	xlat_emit_cold(x);
	flags_emit_restore(x);
	if (unlikely(x->e.overflow) && !eager)
		return make_block(d, c, rip, gpa, hva, mode, true);
	return finish(x, gpa, 0, ientry, entry);
}

struct block *xlat_block(struct dbt *d, struct cpu *c, uint64_t rip, gpa_t gpa,
			 const uint8_t *hva, uint32_t mode)
{
	return make_block(d, c, rip, gpa, hva, mode, false);
}

struct block *xlat_crossing(struct dbt *d, struct cpu *c, uint64_t rip,
			    gpa_t gpa, gpa_t gpa2, const uint8_t *hva,
			    const uint8_t *hva2, const struct insn *i,
			    uint32_t mode)
{
	struct xlat *x = d->xlat;
	uint8_t *ientry = d->code_w_next, *entry;

	if (!xlat_start(x, d, c, rip, mode))
		return NULL;
	entry = x->loop_entry = x->e.w;
	x->insn[0] = *i;
	x->nr_decoded = 1;
	x->hva = hva;
	x->hva2 = hva2;
	x->self = compares(d, gpa) || compares(d, gpa2);
	__builtin_memcpy(x->src, i->bytes, sizeof(i->bytes));
	x->loop_end = NO_LOOP;
	plan_none(x);
	flags_none(x);
	xlat_one_insn(x, 0);
	if (!x->done)
		xlat_jump_far(x, x->next);
	xlat_emit_cold(x);
	return finish(x, gpa, gpa2, ientry, entry);
}
