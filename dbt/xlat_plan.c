#include "dbt/xlat_plan.h"

/*
 * Which memory accesses of a block share a look-up.  Registers are followed
 * symbolically: a version, which changes with every write that is not
 * understood, plus a constant.  Accesses whose addresses differ by a constant
 * only are members of one window; a window with several members is looked up
 * once, for all its bytes, and its addend is kept in a slot.
 */
#define MAX_SPAN   512
#define MAX_OFFSET (1 << 20) /* of a register from its version */
#define MAX_DISP   ((1u << 31) - (1 << 20))
#define MAX_NEW	   48 /* windows considered in a block */

struct sym {
	uint16_t version; /* 0: there is no register */
	int32_t off;
};

struct candidate {
	uint16_t base, index; /* versions; both 0: the page of an address */
	uint8_t scale;
	uint64_t page;
	bool pic; /* relative to D_PIC */
	uint8_t n;
	uint8_t first; /* index of the first member's instruction */
	struct window w;
};

struct planner {
	struct xlat *x;
	struct sym reg[NR_GPRS];
	struct sym turn[NR_GPRS]; /* behind the jump back to the entry */
	uint16_t bound[NR_GPRS];  /* the register is at most so; 0: not known */
	uint16_t next_version;
	unsigned int cur;   /* index of the instruction */
	unsigned int first; /* older candidates cannot be joined */
	unsigned int n;
	struct candidate cand[MAX_NEW];
};

static void sym_new(struct planner *p, unsigned int reg)
{
	p->reg[reg] = (struct sym){ .version = p->next_version++ };
	p->bound[reg] = 0;
}

static void sym_copy(struct planner *p, unsigned int to, unsigned int from,
		     int64_t add)
{
	int64_t off = p->reg[from].off + add;

	if (off > MAX_OFFSET || off < -MAX_OFFSET) {
		sym_new(p, to);
		return;
	}
	p->reg[to].version = p->reg[from].version;
	p->reg[to].off = off;
	p->bound[to] = 0;
}

/* What @i leaves in its first operand is at most this; 0: not known. */
static uint16_t bound_of(const struct planner *p, const struct insn *i)
{
	const struct operand *a = &i->op[0], *b = &i->op[1];

	if (i->nops != 2 || a->kind != OPK_GPR || a->size < 4)
		return 0;
	switch (i->row->id) {
	case ID_MOVZX:
		return b->size == 1 ? 0xff : 0;
	case ID_MOV:
		return b->kind == OPK_GPR && b->size >= 4 ? p->bound[b->reg]
							  : 0;
	case ID_AND:
		return b->kind == OPK_IMM && i->imm > 0 && i->imm < 4096
			       ? i->imm
			       : 0;
	default:
		return 0;
	}
}

/* Results that are a register plus a constant; false: not one of them. */
static bool sym_follows(struct planner *p, const struct insn *i)
{
	const struct operand *a = &i->op[0], *b = &i->op[1];
	unsigned int id = i->row->id;

	if (i->nops < 1 || a->kind != OPK_GPR || a->size != p->x->code_size)
		return false;
	if (id == ID_INC || id == ID_DEC) {
		sym_copy(p, a->reg, a->reg, id == ID_INC ? 1 : -1);
		return true;
	}
	if (id == ID_LEA) {
		if (i->base == GPR_NONE || i->index != GPR_NONE || i->rip_rel ||
		    i->addrsize != p->x->code_size)
			return false;
		sym_copy(p, a->reg, i->base, i->disp);
		return true;
	}
	if (i->nops < 2)
		return false;
	if (b->kind == OPK_IMM && (id == ID_ADD || id == ID_SUB)) {
		sym_copy(p, a->reg, a->reg, id == ID_ADD ? i->imm : -i->imm);
		return true;
	}
	if (b->kind == OPK_GPR && b->size == a->size && id == ID_MOV) {
		sym_copy(p, a->reg, b->reg, 0);
		return true;
	}
	return false;
}

static void sym_insn(struct planner *p, const struct insn *i)
{
	uint32_t written = i->row->impl_w;
	uint16_t bound = bound_of(p, i);

	if (sym_follows(p, i)) {
		p->bound[i->op[0].reg] = bound;
		return;
	}
	for (unsigned int n = 0; n < i->nops; n++)
		if (i->op[n].kind == OPK_GPR && (i->op[n].access & ACC_W))
			written |= BIT(i->op[n].reg);
	for (unsigned int r = 0; r < NR_GPRS; r++)
		if (written & BIT(r))
			sym_new(p, r);
	if (bound)
		p->bound[i->op[0].reg] = bound;
}

static void sym_stack(struct planner *p, const struct insn *i)
{
	switch (i->row->id) {
	case ID_PUSH:
		sym_copy(p, RSP, RSP, -(int)i->opsize);
		return;
	case ID_POP:
		if (i->op[0].kind == OPK_GPR)
			sym_new(p, i->op[0].reg);
		if (i->op[0].kind != OPK_GPR || i->op[0].reg != RSP)
			sym_copy(p, RSP, RSP, i->opsize);
		return;
	case ID_LEAVE:
		sym_copy(p, RSP, RBP, i->opsize);
		sym_new(p, RBP);
		return;
	default:
		sym_new(p, RSP);
		sym_new(p, RBP);
	}
}

static bool fits(const struct window *w, int32_t off, unsigned int size)
{
	int64_t lo = off < w->lo ? off : w->lo;
	int64_t hi = off + (int)size > w->hi ? off + (int)size : w->hi;

	return hi - lo <= MAX_SPAN;
}

static bool same_key(const struct candidate *a, const struct candidate *b)
{
	return a->base == b->base && a->index == b->index &&
	       a->scale == b->scale && a->page == b->page && a->pic == b->pic;
}

/* The candidate that takes the access; NO_WINDOW: none. */
static uint8_t join(struct planner *p, const struct candidate *key, int32_t off,
		    unsigned int size, bool write)
{
	struct candidate *k;
	unsigned int n;

	for (n = p->first; n < p->n; n++)
		if (same_key(&p->cand[n], key) &&
		    (key->page || fits(&p->cand[n].w, off, size)))
			break;
	if (n == MAX_NEW)
		return NO_WINDOW;
	k = &p->cand[n];
	if (n == p->n) {
		p->n++;
		*k = *key;
		k->w = (struct window){ .lo = off, .hi = off };
		k->first = p->cur;
	}
	k->n++;
	k->w.write |= write;
	if (off < k->w.lo)
		k->w.lo = off;
	if (off + (int)size > k->w.hi)
		k->w.hi = off + size;
	return n;
}

static struct share share_access(struct planner *p, struct candidate key,
				 int64_t off, unsigned int size, bool write)
{
	if (off > MAX_DISP || off < -(int64_t)MAX_DISP || !size || size > 64)
		return (struct share){ .win = NO_WINDOW };
	return (struct share){ .win = join(p, &key, off, size, write),
			       .off = off };
}

static struct share share_stack(struct planner *p, unsigned int reg, int disp,
				unsigned int size, bool write)
{
	struct candidate key = { .base = p->reg[reg].version };

	return share_access(p, key, p->reg[reg].off + disp, size, write);
}

static struct share share_constant(struct planner *p, const struct insn *i)
{
	uint64_t ea = i->disp;
	struct candidate key = { .base = 0 };

	if (i->rip_rel)
		ea += p->x->next;
	if (i->addrsize == 4)
		ea = (uint32_t)ea;
	key.page = ea & PAGE_MASK;
	key.pic = p->x->pic && i->rip_rel;
	if (!key.page || (ea & ~PAGE_MASK) + i->mem_size > PAGE_SIZE)
		return (struct share){ .win = NO_WINDOW };
	return share_access(p, key, ea & ~PAGE_MASK, i->mem_size,
			    i->mem_access & ACC_W);
}

/* A table at a known address, in one page, with an index that is in bounds. */
static bool share_table(struct planner *p, const struct insn *i,
			struct share *s)
{
	uint64_t ea = i->addrsize == 4 ? (uint32_t)i->disp : (uint64_t)i->disp;
	struct candidate key = { .page = ea & PAGE_MASK };
	unsigned int off = ea & ~PAGE_MASK, size;

	if (i->base != GPR_NONE || i->index == GPR_NONE ||
	    !p->bound[i->index] || !key.page)
		return false;
	size = (p->bound[i->index] << i->scale) + i->mem_size;
	if (off + size > PAGE_SIZE)
		return false;
	s->win = join(p, &key, off, size, i->mem_access & ACC_W);
	s->off = off;
	s->indexed = true;
	return true;
}

/* The ModRM operand. */
static struct share share_operand(struct planner *p, const struct insn *i)
{
	const struct share none = { .win = NO_WINDOW };
	struct candidate key = { .base = 0 };
	int64_t off = i->disp;
	struct share s;

	if (!i->has_mem || !i->mem_access || !xlat_seg_ok(p->x, i) ||
	    i->seg == SEG_FS || i->seg == SEG_GS || i->addrsize < 4 ||
	    (i->row->attr & (IA_BITOFF | IA_VSIB | IA_COND | IA_NOMEM)))
		return none;
	if (i->rip_rel || (i->base == GPR_NONE && i->index == GPR_NONE))
		return share_constant(p, i);
	if (share_table(p, i, &s))
		return s;
	if (i->addrsize != p->x->code_size)
		return none;
	if (i->base != GPR_NONE) {
		key.base = p->reg[i->base].version;
		off += p->reg[i->base].off;
	}
	if (i->index != GPR_NONE) {
		key.index = p->reg[i->index].version;
		key.scale = i->scale;
		off += (int64_t)p->reg[i->index].off * (1 << i->scale);
	}
	return share_access(p, key, off, i->mem_size, i->mem_access & ACC_W);
}

static struct share share_implicit(struct planner *p, const struct insn *i)
{
	unsigned int size = i->opsize;

	switch (i->row->id) {
	case ID_PUSH:
		return share_stack(p, RSP, -(int)size, size, true);
	case ID_POP:
		return share_stack(p, RSP, 0, size, false);
	case ID_LEAVE:
		return share_stack(p, RBP, 0, size, false);
	case ID_CALL:
		size = p->x->code_size;
		return share_stack(p, RSP, -(int)size, size, true);
	case ID_RET:
		return share_stack(p, RSP, 0, p->x->code_size, false);
	default:
		return (struct share){ .win = NO_WINDOW };
	}
}

static void plan_insn(struct planner *p, unsigned int n)
{
	const struct insn *i = &p->x->insn[n];
	struct share *s = &p->x->share[2 * n];

	s[0] = s[1] = (struct share){ .win = NO_WINDOW };
	switch (i->row->action) {
	case ACT_NOP:
		return;
	case ACT_COPY:
		s[0] = share_operand(p, i);
		sym_insn(p, i);
		return;
	case ACT_STACK:
		s[0] = share_operand(p, i);
		s[1] = share_implicit(p, i);
		sym_stack(p, i);
		return;
	case ACT_BRANCH:
		s[0] = share_operand(p, i);
		s[1] = share_implicit(p, i);
		if (i->row->id != ID_JCC)
			sym_new(p, RCX);
		return;
	default:
		/* Mappings or segments may be others behind it. */
		for (unsigned int r = 0; r < NR_GPRS; r++)
			sym_new(p, r);
		p->first = p->n;
	}
}

/* The register whose value at entry @version stands for, if it moves by a
 * constant with each turn. */
static bool turns(const struct planner *p, uint16_t version, uint8_t *reg,
		  int32_t *stride)
{
	*reg = GPR_NONE;
	*stride = 0;
	if (!version)
		return true;
	if (version > NR_GPRS || p->turn[version - 1].version != version)
		return false;
	*reg = version - 1;
	*stride = p->turn[*reg].off;
	return true;
}

/* Whether a look-up serves more than one turn of the loop. */
static void find_stride(struct planner *p, const struct candidate *k,
			struct window *w)
{
	int32_t base, index;
	int64_t stride;

	w->scale = k->scale;
	if (p->x->loop_end == NO_LOOP || !turns(p, k->base, &w->base, &base) ||
	    !turns(p, k->index, &w->index, &index))
		return;
	stride = base + (int64_t)index * (1 << k->scale);
	if (stride > MAX_SPAN || stride < -MAX_SPAN)
		return;
	w->stride = stride;
	w->loop = k->first <= p->x->loop_end;
}

/* Windows that pay get a slot; the members of others are on their own. */
static void choose(struct planner *p)
{
	struct xlat *x = p->x;
	uint8_t slot_of[MAX_NEW];

	x->nr_windows = 0;
	for (unsigned int n = 0; n < p->n; n++) {
		slot_of[n] = NO_WINDOW;
		find_stride(p, &p->cand[n], &p->cand[n].w);
		if ((p->cand[n].n < 2 && !p->cand[n].w.loop) ||
		    x->nr_windows == MAX_WINDOWS)
			continue;
		slot_of[n] = x->nr_windows;
		x->window[x->nr_windows] = p->cand[n].w;
		x->window[x->nr_windows].page = p->cand[n].page;
		x->window[x->nr_windows++].pic = p->cand[n].pic;
	}
	for (unsigned int n = 0; n < 2 * x->nr_decoded; n++)
		if (x->share[n].win != NO_WINDOW)
			x->share[n].win = slot_of[x->share[n].win];
}

void plan_none(struct xlat *x)
{
	x->nr_windows = 0;
	for (unsigned int n = 0; n < 2 * x->nr_decoded; n++)
		x->share[n].win = NO_WINDOW;
}

void plan_block(struct xlat *x)
{
	struct planner p;
	uint64_t next = x->next;

	p.x = x;
	p.next_version = 1;
	p.first = p.n = 0;
	for (unsigned int r = 0; r < NR_GPRS; r++)
		sym_new(&p, r);
	for (unsigned int n = 0; n < x->nr_decoded; n++) {
		x->next += x->insn[n].len;
		p.cur = n;
		plan_insn(&p, n);
		if (n == x->loop_end)
			__builtin_memcpy(p.turn, p.reg, sizeof(p.turn));
	}
	x->next = next;
	choose(&p);
}
