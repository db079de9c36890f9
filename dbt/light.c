#include "cpu/op.h"
#include "dbt/dbt_int.h"

/*
 * Instructions that C code executes in the middle of translated code: all of
 * the guest's general registers are in struct cpu, vector state is live, no C
 * library is called.  The block under way may not go away: what needs the
 * world stopped waits until translated code is left, for which D_GO is zero
 * then.
 */

/* Status flags for the registers' way back. */
static void give_flags(struct cpu *c)
{
	c->dbt[D_HOST_FLAGS] = c->rflags & RFLAGS_STATUS;
}

static void *leave(struct cpu *c, enum careful_result result,
		   enum exit_reason reason)
{
	struct vcpu_dbt *v = vcpu_dbt(c);

	v->light_result = result;
	v->light_reason = reason;
	give_flags(c);
	return v->d->thunk[LEAVE_LIGHT];
}

/* To the code at rip, whatever mode the guest is in now. */
static void *go(struct cpu *c)
{
	struct tlb_table *tt;
	uint32_t mode;
	void *code;

	if (unlikely(run_must_leave(c)) ||
	    (c->cpl == 3 && unlikely(direct_returns(c))))
		return leave(c, CAREFUL_ON, 0);
	mode = mode_key(c);
	if (unlikely(mode & MODE_SLOW))
		return leave(c, CAREFUL_ON, 0);
	tt = run_table(c, mode);
	if (unlikely(!tt))
		return leave(c, CAREFUL_ON, 0);
	run_set_table(c, tt);
	code = jcache_get(&tt->jc, c->rip);
	if (unlikely(!code))
		code = dbt_lookup(c, c->rip);
	if (unlikely(!code))
		return leave(c, CAREFUL_ON, 0);
	c->dbt[D_T0] = c->rip;
	c->dbt[D_ENTRY] = (uintptr_t)code;
	c->rflags &= ~RFLAGS_RF; /* no breakpoint is armed that it could mask */
	give_flags(c);
	return vcpu_dbt(c)->d->thunk_go;
}

void *dbt_light(struct cpu *c, const struct light_site *s)
{
	bool sti_shadow = c->sti_shadow, user = c->cpl == 3;
	enum exit_reason reason;
	enum cpu_result r;
	uint64_t next;

	sees_made(vcpu_dbt(c)->d);

	c->sti_shadow = false;
	c->rflags = (c->rflags & ~RFLAGS_STATUS) |
		    (c->dbt[D_HOST_FLAGS] & RFLAGS_STATUS);
	c->rip = stub_rip(c, &s->at);
	c->next_rip = next = c->rip + (s->next - s->at.rip);
	c->mmio.pos_rd = 0;
	c->mmio.nr_wr = 0;
	c->mmio.wants = false;
	c->exits[s->reason]++;
	c->doing = s->reason;
	if (unlikely(s->cpl0 && c->cpl))
		r = cpu_raise_gp(c);
	else
		r = s->op(c, &s->insn);
	if (user && c->cpl != 3)
		direct_ends(c);
	if (careful_conclude(c, &s->insn, r, sti_shadow, &reason) ==
	    CAREFUL_LEAVE)
		return leave(c, CAREFUL_LEAVE, reason);
	if (s->goes_on && r == CPU_OK && likely(c->rip == next) &&
	    likely(may_go(c))) {
		give_flags(c);
		return NULL;
	}
	return go(c);
}
