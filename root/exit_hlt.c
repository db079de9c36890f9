#include "root/exit.h"
#include "root/inject.h"

int exit_hlt(struct vcpu *v)
{
	/* A single step or a #DB that is due comes first, and ends the HLT. */
	int r = exit_commit(v);

	if (!v->apic) {
		v->uexit.kind = UEXIT_HLT;
		return TO_USER;
	}
	/* A kick that has come already is used up; one that comes now is not.
	 */
	if (vcpu_has_event(v))
		v->pv_kicked = false;
	else
		v->mp_state = MP_HALTED;
	return r;
}
