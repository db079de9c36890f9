#include <errno.h>
#include <string.h>

#include "api/regs.h"

/* Linux gives no SIPI vector back: it is consumed before anyone can look. */
#define VALID_FLAGS                                                            \
	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |   \
	 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |                \
	 KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

/*
 * The exception being injected, or the one that waits for it.  A client that
 * does not know payloads cannot tell the two apart and gets both as injected.
 */
static void exception_get(struct vcpu *v, struct kvm_vcpu_events *out)
{
	const struct cpu *c = v->cpu;
	const struct event *ev = &c->injecting;
	bool pending = false;

	if (ev->type != EVENT_EXCEPTION) {
		ev = &c->pending;
		pending = ev->type == EVENT_EXCEPTION;
		if (!pending)
			return;
	}
	out->exception.injected = !pending || !v->vm->exception_payload;
	out->exception.pending = pending;
	out->exception.nr = ev->vector;
	out->exception.has_error_code = ev->has_error;
	out->exception.error_code = ev->error;
}

void events_get(struct vcpu *v, struct kvm_vcpu_events *out)
{
	struct cpu *c = v->cpu;

	memset(out, 0, sizeof(*out));
	vcpu_accept_nmis(v);
	exception_get(v, out);
	if (c->injecting.type == EVENT_INTR) {
		out->interrupt.injected = 1;
		out->interrupt.nr = c->injecting.vector;
	} else if (v->ext_vector >= 0) {
		out->interrupt.injected = 1;
		out->interrupt.nr = v->ext_vector;
	}
	if (c->sti_shadow)
		out->interrupt.shadow |= KVM_X86_SHADOW_INT_STI;
	if (c->movss_shadow)
		out->interrupt.shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	out->nmi.injected = c->injecting.type == EVENT_NMI;
	out->nmi.pending = c->nmi_pending;
	out->nmi.masked = c->nmi_blocked;
	out->flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
		     KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	if (v->vm->exception_payload)
		out->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (v->vm->triple_fault_event) {
		out->triple_fault.pending = vcpu_requested(v, REQ_TRIPLE_FAULT);
		out->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

static bool events_ok(const struct vcpu *v, const struct kvm_vcpu_events *in)
{
	if (in->flags & ~VALID_FLAGS)
		return false;
	if ((in->flags & KVM_VCPUEVENT_VALID_PAYLOAD) &&
	    !v->vm->exception_payload)
		return false;
	if ((in->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) &&
	    !v->vm->triple_fault_event)
		return false;
	if ((in->exception.injected || in->exception.pending) &&
	    (in->exception.nr > 31 || in->exception.nr == VEC_NMI))
		return false;
	/* There is no SMM to be in. */
	return !(in->flags & KVM_VCPUEVENT_VALID_SMM) ||
	       !(in->smi.smm || in->smi.pending || in->smi.smm_inside_nmi);
}

static void exception_set(struct vcpu *v, const struct kvm_vcpu_events *in)
{
	bool payload = in->flags & KVM_VCPUEVENT_VALID_PAYLOAD;
	struct event ev = { .type = EVENT_EXCEPTION,
			    .vector = in->exception.nr,
			    .has_error = in->exception.has_error_code,
			    .error = in->exception.error_code };
	struct cpu *c = v->cpu;

	c->injecting.type = EVENT_NONE;
	c->pending.type = EVENT_NONE;
	if (payload && in->exception.pending) {
		c->pending = ev;
		if (in->exception_has_payload && ev.vector == VEC_PF)
			c->cr2 = in->exception_payload;
		if (in->exception_has_payload && ev.vector == VEC_DB)
			c->dr6 |= in->exception_payload;
	} else if (in->exception.injected) {
		c->injecting = ev;
	}
}

int events_set(struct vcpu *v, const struct kvm_vcpu_events *in)
{
	struct cpu *c = v->cpu;

	if (!events_ok(v, in))
		return -EINVAL;
	exception_set(v, in);
	if (in->interrupt.injected && !c->injecting.type)
		c->injecting = (struct event){ .type = EVENT_INTR,
					       .vector = in->interrupt.nr };
	v->ext_vector = -1;
	if (in->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		c->sti_shadow = in->interrupt.shadow & KVM_X86_SHADOW_INT_STI;
		c->movss_shadow =
			in->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
	}
	if (in->nmi.injected && !c->injecting.type)
		c->injecting =
			(struct event){ .type = EVENT_NMI, .vector = VEC_NMI };
	if (in->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		vcpu_drop_nmis(v);
		c->nmi_pending = in->nmi.pending < 2 ? in->nmi.pending : 2;
	}
	c->nmi_blocked = in->nmi.masked;
	if (in->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		v->sipi_vector = in->sipi_vector;
	if (in->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		vcpu_take(v, REQ_TRIPLE_FAULT);
		if (in->triple_fault.pending)
			vcpu_request(v, REQ_TRIPLE_FAULT);
	}
	vcpu_request(v, REQ_EVENT);
	return 0;
}
