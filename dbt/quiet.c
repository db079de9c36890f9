#include "dbt/dbt_int.h"

/*
 * Stop the world: a vCPU thread announces in_run before it touches anything
 * that a quiet holder may change, and looks at `quiet` after that; the holder
 * does the same the other way round.
 */

static void wait_quiet(struct dbt *d)
{
	uint32_t q;

	while ((q = __atomic_load_n(&d->quiet, __ATOMIC_SEQ_CST)))
		futex_wait(&d->quiet, q);
}

void run_gate_enter(struct vcpu_dbt *v)
{
	for (;;) {
		__atomic_store_n(&v->in_run, 1, __ATOMIC_SEQ_CST);
		if (likely(!__atomic_load_n(&v->d->quiet, __ATOMIC_SEQ_CST)))
			return;
		__atomic_store_n(&v->in_run, 0, __ATOMIC_SEQ_CST);
		futex_wake(&v->in_run, 1);
		wait_quiet(v->d);
	}
}

void run_gate_leave(struct vcpu_dbt *v)
{
	__atomic_store_n(&v->in_run, 0, __ATOMIC_SEQ_CST);
	if (unlikely(__atomic_load_n(&v->d->quiet, __ATOMIC_SEQ_CST)))
		futex_wake(&v->in_run, 1);
}

void dbt_kick(struct cpu *c)
{
	__atomic_store_n(&c->exit_req, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->dbt[D_GO], 0, __ATOMIC_SEQ_CST);
	direct_kick(c);
}

void run_ring_full(struct mmu *mmu)
{
	dbt_kick(container_of(mmu, struct cpu, mmu));
}

void dbt_enter_quiet(struct dbt *d)
{
	lock_take(&d->quiet_lock);
	__atomic_store_n(&d->quiet, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < d->nr_cpus; i++) {
		struct vcpu_dbt *v = d->cpu[i] ? vcpu_dbt(d->cpu[i]) : NULL;

		while (v && __atomic_load_n(&v->in_run, __ATOMIC_SEQ_CST)) {
			__atomic_store_n(&v->c->dbt[D_GO], 0, __ATOMIC_SEQ_CST);
			direct_kick(v->c);
			futex_wait(&v->in_run, 1);
		}
	}
}

void dbt_leave_quiet(struct dbt *d)
{
	__atomic_store_n(&d->quiet, 0, __ATOMIC_SEQ_CST);
	futex_wake(&d->quiet, 1 << 30);
	lock_drop(&d->quiet_lock);
}

void quiet_self_enter(struct cpu *c)
{
	struct vcpu_dbt *v = vcpu_dbt(c);

	run_gate_leave(v);
	dbt_enter_quiet(v->d);
	v->in_run = 1;
	v->holds_quiet = true;
}

void quiet_self_leave(struct cpu *c)
{
	vcpu_dbt(c)->holds_quiet = false;
	dbt_leave_quiet(vcpu_dbt(c)->d);
	run_gate_enter(vcpu_dbt(c));
}
