#include "root/exit.h"
#include "root/inject.h"

int exit_hlt(struct vcpu *v)
{
	struct cpu *c = v->cpu;

	c->halted = true;
	dbt_commit(c); /* a #DB for TF is an event, too */
	if (!v->apic) {
		v->uexit.kind = UEXIT_HLT;
		return TO_USER;
	}
	if (c->halted && !vcpu_has_event(v))
		v->mp_state = MP_HALTED;
	v->pv_kicked = false;
	return RESUME;
}
