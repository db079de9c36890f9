#include "api/debug.h"

#include <errno.h>
#include <string.h>

#include "api/object.h"
#include "cpu/debug.h"
#include "mmu/walk.h"
#include "root/inject.h"

int debug_get_regs(void *object, void *arg, void *user)
{
	const struct cpu *c = ((struct api_vcpu *)object)->vcpu->cpu;
	struct kvm_debugregs *out = arg;

	memcpy(out->db, c->dr, sizeof(out->db));
	out->dr6 = c->dr6;
	out->dr7 = c->dr7;
	return 0;
}

int debug_set_regs(void *object, void *arg, void *user)
{
	struct cpu *c = ((struct api_vcpu *)object)->vcpu->cpu;
	const struct kvm_debugregs *in = arg;

	if (in->flags || in->dr6 >> 32 || in->dr7 >> 32)
		return -EINVAL;
	memcpy(c->dr, in->db, sizeof(c->dr));
	c->dr6 = debug_dr6(in->dr6);
	c->dr7 = debug_dr7(in->dr7);
	return 0;
}

int debug_set_guest(void *object, void *arg, void *user)
{
	struct vcpu *v = ((struct api_vcpu *)object)->vcpu;
	const struct kvm_guest_debug *in = arg;
	uint32_t on = in->control & KVM_GUESTDBG_ENABLE ? in->control : 0;

	if (in->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (v->cpu->pending.type || v->cpu->injecting.type)
			return -EBUSY;
		inject_exception(v,
				 in->control & KVM_GUESTDBG_INJECT_DB ? VEC_DB
								      : VEC_BP,
				 false, 0);
	}
	v->cpu->singlestep = on & KVM_GUESTDBG_SINGLESTEP;
	v->cpu->debug_bp = on & KVM_GUESTDBG_USE_SW_BP;
	v->block_irq = on & KVM_GUESTDBG_BLOCKIRQ;
	memcpy(v->cpu->host_dr, in->arch.debugreg, sizeof(v->cpu->host_dr));
	v->cpu->host_dr7 = 0;
	if (on & KVM_GUESTDBG_USE_HW_BP)
		v->cpu->host_dr7 = debug_dr7(in->arch.debugreg[7]);
	return 0;
}

struct translation {
	struct cpu *c;
	struct kvm_translation *tr;
};

/* A supervisor's read that leaves no trace. */
static void translate(void *arg)
{
	const struct translation *t = arg;
	struct x86_fault fault;
	struct walk w;

	if (walk_gva(&t->c->mmu, t->tr->linear_address, ACCESS_NO_AD, &w,
		     &fault) != CPU_OK)
		return;
	t->tr->valid = 1;
	t->tr->physical_address = w.gpa;
}

int debug_translate(void *object, void *arg, void *user)
{
	struct translation t = {
		.c = ((struct api_vcpu *)object)->vcpu->cpu,
		.tr = arg,
	};

	t.tr->valid = 0;
	t.tr->physical_address = ~0ull;
	t.tr->writeable = 1;
	t.tr->usermode = 0;
	return dbt_guard(t.c, translate, &t);
}
