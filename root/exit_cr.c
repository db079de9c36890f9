#include "irqchip/lapic.h"
#include "root/exit.h"

/* MOV to CR8; the value was checked (SDM 3A "Task Priority in IA-32e Mode"). */
int exit_cr8(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint64_t old = c->cr8;

	c->cr8 = c->exit.value & 0xf;
	if (v->apic)
		lapic_set_cr8(v->apic, c->cr8);
	/* User mode's local APIC only cares for a lower priority. */
	if (v->apic || c->cr8 >= old)
		return exit_commit(v);
	dbt_commit(c);
	v->uexit.kind = UEXIT_SET_TPR;
	return TO_USER;
}
