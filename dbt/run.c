#include <errno.h>

#include "cpu/debug.h"
#include "cpu/event.h"
#include "cpu/fpu.h"
#include "cpu/mode.h"
#include "cpu/op.h"
#include "dbt/dbt_int.h"
#include "host/gsbase.h"
#include "mmu/walk.h"

/*
 * The loop of non-root mode: find or make the block at rip, run, and do the
 * light work that brought translated code back.  All of it on the light path:
 * the guest's vector state is live, no C library is called.
 */
enum leave_code dbt_enter(struct cpu *c, void *code)
{
	enum leave_code (*enter)(void) = vcpu_dbt(c)->d->thunk_enter;
	enum leave_code r;

	c->dbt[D_ENTRY] = (uintptr_t)code;
	c->dbt[D_HOST_FLAGS] =
		(c->rflags & RFLAGS_STATUS) | RFLAGS_FIXED | RFLAGS_IF;
	r = enter();
	c->rflags = (c->rflags & ~RFLAGS_STATUS) |
		    (c->dbt[D_HOST_FLAGS] & RFLAGS_STATUS);
	return r;
}

/* Whether the instruction at rip continues in the next page. */
static bool crosses(struct cpu *c, gpa_t gpa)
{
	const struct memslot *s = memslot_find(c->mmu.slots, gpa);
	struct insn *i = &vcpu_dbt(c)->insn;

	return s &&
	       insn_decode(memslot_hva(s, gpa), PAGE_SIZE - (gpa & ~PAGE_MASK),
			   c->code_size, i) == DECODE_MORE;
}

/* The instruction at rip, whose bytes go on in the next page. */
static struct block *find_crossing(struct cpu *c, uint32_t mode, struct walk *w)
{
	unsigned int access = ACCESS_FETCH | (c->cpl == 3 ? ACCESS_USER : 0);
	struct x86_fault f;
	struct walk w2;

	if (walk_gva(&c->mmu, c->rip + PAGE_SIZE, access, &w2, &f) != CPU_OK)
		return NULL;
	w->global &= w2.global;
	if (w->page_shift < w2.page_shift)
		w->page_shift = w2.page_shift;
	return pages_crossing(c, w->gpa, mode);
}

/*
 * The block at rip, or NULL: this instruction goes the careful way.  @w: the
 * translation of its page, or of both.
 */
static struct block *find_block(struct cpu *c, uint32_t mode, struct walk *w)
{
	struct dbt *d = vcpu_dbt(c)->d;
	unsigned int access = ACCESS_FETCH | (c->cpl == 3 ? ACCESS_USER : 0);
	struct x86_fault f;
	struct block *b;
	uint64_t key;

	if (c->code_size == CODE64 && !canonical(c, c->rip))
		return NULL;
	if (walk_gva(&c->mmu, c->rip, access, w, &f) != CPU_OK)
		return NULL;
	key = page_key(d, c->rip, w->gpa, &mode);
	b = block_find(d, key, w->gpa, mode);
	if (unlikely(b && !pages_fresh(c, b, true))) {
		pages_refresh(c, b);
		b = block_find(d, key, w->gpa, mode);
	}
	if (likely(b && !b->gpa2))
		return b;
	if ((c->rip & ~PAGE_MASK) > PAGE_SIZE - 15 && (b || crosses(c, w->gpa)))
		return find_crossing(c, mode, w);
	return pages_translate(c, key, w->gpa, mode);
}

struct tlb_table *run_table(struct cpu *c, uint32_t mode)
{
	struct tlb_table *tt = tlb_current(c->mmu.tlb, tlb_mode_of(c));

	if (likely(tt) && unlikely(tt->jc.mode != mode)) {
		jcache_clear(&tt->jc);
		tt->jc.mode = mode;
	}
	return tt;
}

/* The table that STAC or CLAC makes current; 0: they need a helper. */
static uint64_t table_beside(const struct cpu *c, const struct tlb_table *tt,
			     enum tlb_mode mode)
{
	const struct tlb_table *other = tlb_current(c->mmu.tlb, mode);

	return other && other->jc.mode == tt->jc.mode ? (uintptr_t)other->gs
						      : 0;
}

void run_set_table(struct cpu *c, const struct tlb_table *tt)
{
	if (c->cpl != 3 && gsbase_is_fast()) {
		bool smap = c->cr4 & CR4_SMAP;

		c->dbt[D_GS_PLAIN] = table_beside(c, tt, TLB_SUPER);
		c->dbt[D_GS_AC] =
			table_beside(c, tt, smap ? TLB_SUPER_AC : TLB_SUPER);
	}
	if (c->dbt[D_GS] == (uintptr_t)tt->gs)
		return;
	c->dbt[D_GS] = (uintptr_t)tt->gs;
	set_gs(tt->gs);
}

/* Guest memory behind a slot cannot be reached by the host. */
static bool host_memory_gone(const struct vcpu_dbt *v)
{
	return v->trapno == VEC_PF &&
	       memslots_contain(v->c->mmu.slots, (const void *)v->fault_addr);
}

/* An answered access: its instruction comes before anything else. */
static bool must_finish(const struct cpu *c)
{
	return c->mmio.nr_rd || c->io.state == 2;
}

/* Whether only the careful form may execute what comes next. */
static bool must_be_careful(const struct cpu *c)
{
	return c->sti_shadow || c->movss_shadow || c->careful ||
	       c->singlestep || must_finish(c) || (c->rflags & RFLAGS_TF) ||
	       debug_armed(c);
}

/* A direct jump came here for the first time: patch it to its target. */
static void link_jump(struct cpu *c, const struct link_stub *l, uint32_t mode)
{
	struct dbt *d = vcpu_dbt(c)->d;
	uint64_t generation = d->generation;
	struct block *b;
	struct walk w;

	if (!may_go(c))
		return;
	b = find_block(c, mode | (l->plain ? MODE_PLAIN : 0), &w);
	lock_take(&d->lock);
	/* A crossing block depends on a second mapping: never linked. */
	if (b && !b->dead && !b->gpa2 && d->generation == generation)
		block_link(d, l, b);
	lock_drop(&d->lock);
}

/* rip = the guest instruction at which translated code came back. */
static void where(struct cpu *c, enum leave_code code)
{
	struct dbt *d = vcpu_dbt(c)->d;
	const uint8_t *ra = (const uint8_t *)c->dbt[D_RA];
	const struct block *b;

	switch (code) {
	case LEAVE_LOOKUP:
		c->rip = c->dbt[D_T0];
		return;
	case LEAVE_LINK:
	case LEAVE_RIP:
	case LEAVE_CAREFUL:
	case LEAVE_CHANGED:
		/* All their stubs begin with it. */
		c->rip = stub_rip(c, (const struct rip_stub *)ra);
		return;
	case LEAVE_STALE:
		c->rip = block_rip(c, block_at(d, ra - 5));
		return;
	case LEAVE_MISS:
		/* The stub is out of line; its way back is in line. */
		ra += ((const struct miss_stub *)ra)->access;
		b = block_at(d, ra);
		c->rip = block_rip(c, b) + block_insn(b, ra)->guest;
		return;
	default: /* the signal handler has set it */
		return;
	}
}

/* The mode is not the one at dbt_enter(): IRET and its like may have led to
 * another one on the way. */
static enum careful_result light_exit(struct cpu *c, enum leave_code code,
				      enum exit_reason *reason)
{
	const void *ra = (const void *)c->dbt[D_RA];

	switch (code) {
	case LEAVE_LOOKUP:
	case LEAVE_RIP:
	case LEAVE_CHANGED:
		return CAREFUL_ON;
	case LEAVE_LINK:
		link_jump(c, ra, mode_key(c));
		vcpu_dbt(c)->plain = ((const struct link_stub *)ra)->plain;
		return CAREFUL_ON;
	case LEAVE_STALE:
		jcache_drop(&run_table(c, mode_key(c))->jc, c->rip);
		return CAREFUL_ON;
	case LEAVE_LIGHT:
		*reason = vcpu_dbt(c)->light_reason;
		return vcpu_dbt(c)->light_result;
	case LEAVE_MISS:
		return vcpu_dbt(c)->miss_faulted ? careful_fault(c, reason)
						 : careful_step(c, reason);
	case LEAVE_FAULT:
		c->exits[EXIT_HOST_FAULT]++;
		if (host_memory_gone(vcpu_dbt(c))) {
			*reason = EXIT_HOST_MEMORY;
			return CAREFUL_LEAVE;
		}
		return careful_step(c, reason);
	default:
		return careful_step(c, reason);
	}
}

/* Events that root mode wants to inject have become possible. */
static bool window_open(const struct cpu *c)
{
	if (c->sti_shadow || c->movss_shadow)
		return false;
	return (c->irq_window && (c->rflags & RFLAGS_IF)) ||
	       (c->nmi_window && !c->nmi_blocked);
}

bool run_must_leave(const struct cpu *c)
{
	return !may_go(c) || must_be_careful(c) || window_open(c);
}

/* Where to enter the code at rip. */
static void *find_code(struct cpu *c, struct tlb_table *tt, uint32_t mode)
{
	struct block *b;
	struct walk w;
	void *code;

	if (unlikely(vcpu_dbt(c)->plain)) {
		vcpu_dbt(c)->plain = false;
		b = find_block(c, mode | MODE_PLAIN, &w);
		return b ? block_enter(c, b, c->rip) : NULL;
	}
	code = jcache_get(&tt->jc, c->rip);
	if (likely(code)) {
		c->dbt[D_T0] = c->rip;
		return code;
	}
	b = find_block(c, mode, &w);
	if (!b)
		return NULL;
	return lookup_enter(c, tt, b, c->rip, &w);
}

/* One turn: some guest code, and what it came back with. */
static enum careful_result turn(struct cpu *c, enum exit_reason *reason)
{
	enum leave_code leave;
	struct tlb_table *tt;
	uint32_t mode;
	void *code;

	cpu_derive(c);
	mode = mode_key(c);
	if (must_be_careful(c) || (mode & MODE_SLOW))
		return careful_step(c, reason);
	tt = run_table(c, mode);
	code = tt ? find_code(c, tt, mode) : NULL;
	if (!code)
		return careful_step(c, reason);
	run_set_table(c, tt);
	c->rflags &= ~RFLAGS_RF; /* no breakpoint is armed that it could mask */
	leave = dbt_enter(c, code);
	c->doing = DOING_LOOP;
	where(c, leave);
	return light_exit(c, leave, reason);
}

void dbt_put_fpu(struct cpu *c)
{
	fpu_save(c);
}

/*
 * No event may come between an instruction that casts an interrupt shadow and
 * the next one, nor into an unfinished access.
 */
static bool may_leave(const struct cpu *c)
{
	return !must_finish(c) && !c->sti_shadow && !c->movss_shadow;
}

static enum exit_reason run_loop(struct cpu *c)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	enum exit_reason reason;
	int result;

	for (;;) {
		if (unlikely(v->nr_writes || v->drop_all))
			pages_pending(c);
		epoch_new(c);
		__atomic_store_n(&c->dbt[D_GO], GO, __ATOMIC_SEQ_CST);
		/* After D_GO, which a quiet holder clears to call us here. */
		if (unlikely(__atomic_load_n(&v->d->quiet, __ATOMIC_SEQ_CST))) {
			run_gate_leave(v);
			run_gate_enter(v);
			continue;
		}
		if (__atomic_load_n(&c->exit_req, __ATOMIC_SEQ_CST)) {
			if (may_leave(c))
				return EXIT_EXTERNAL_INTERRUPT;
			go_no_further(c);
		} else if (window_open(c) && !must_finish(c)) {
			return EXIT_INTERRUPT_WINDOW;
		}
		if (unlikely(direct_wanted(c)) && !run_must_leave(c) &&
		    direct_run(c, &result, &reason)) {
			if (result == CAREFUL_LEAVE)
				return reason;
		} else if (turn(c, &reason) == CAREFUL_LEAVE) {
			return reason;
		}
	}
}

int dbt_guard(struct cpu *c, void (*fn)(void *arg), void *arg)
{
	int r = 0;

	fault_set_current(c);
	if (__builtin_setjmp(vcpu_dbt(c)->recover))
		r = -EFAULT;
	else
		fn(arg);
	fault_set_current(NULL);
	return r;
}

enum exit_reason dbt_run(struct cpu *c)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	enum exit_reason reason;
	void *gs = get_gs();

	c->doing = DOING_LOOP;
	pages_sample(c);
	run_gate_enter(v);
	c->mmu.live = true;
	fault_set_current(c);
	fpu_load(c);
	/* Careful snippets need no tables, only struct cpu. */
	c->dbt[D_GS] = (uintptr_t)c;
	set_gs(c);
	if (__builtin_setjmp(v->recover)) {
		if (vcpu_dbt(c)->holds_quiet)
			quiet_self_leave(c);
		reason = EXIT_HOST_MEMORY;
	} else {
		reason = run_loop(c);
	}
	direct_ends(c);
	v = vcpu_dbt(c);
	fault_set_current(NULL);
	c->mmu.live = false;
	run_gate_leave(v);
	set_gs(gs);
	c->exits[reason]++;
	return reason;
}
