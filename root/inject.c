#include "root/inject.h"

#include <errno.h>

#include "cpu/event.h"
#include "root/exit.h"
#include "root/vm_irq.h"

bool vcpu_irq_allowed(const struct vcpu *v)
{
	const struct cpu *c = v->cpu;

	return (c->rflags & RFLAGS_IF) && !c->sti_shadow && !c->movss_shadow &&
	       !v->block_irq;
}

static bool nmi_allowed(const struct cpu *c)
{
	return !c->nmi_blocked && !c->sti_shadow && !c->movss_shadow;
}

/* has_irq - an external interrupt waits for this vCPU. */
static bool has_irq(struct vcpu *v)
{
	if (v->ext_vector >= 0)
		return true;
	return v->apic && irqchip_has_irq(v->apic);
}

bool vcpu_has_event(struct vcpu *v)
{
	const struct cpu *c = v->cpu;

	if (c->injecting.type || c->pending.type ||
	    __atomic_load_n(&v->pv_kicked, __ATOMIC_RELAXED))
		return true;
	if (vcpu_requested(v, REQ_INIT | REQ_TRIPLE_FAULT))
		return true;
	if ((c->nmi_pending || vcpu_requested(v, REQ_NMI)) && !c->nmi_blocked)
		return true;
	return vcpu_irq_allowed(v) && has_irq(v);
}

bool vcpu_ready_for_irq(struct vcpu *v)
{
	const struct cpu *c = v->cpu;

	return !vm_has_pic(v->vm) && v->ext_vector < 0 && !c->injecting.type &&
	       !c->pending.type && vcpu_irq_allowed(v) &&
	       !(v->apic && has_irq(v));
}

void inject_exception(struct vcpu *v, uint8_t vector, bool has_error,
		      uint32_t error)
{
	v->cpu->pending = (struct event){ .type = EVENT_EXCEPTION,
					  .vector = vector,
					  .has_error = has_error,
					  .error = error };
}

void inject_gp(struct vcpu *v)
{
	inject_exception(v, VEC_GP, true, 0);
}

struct delivery {
	struct cpu *c;
	struct event ev;
	enum cpu_result result;
};

static void try_deliver(void *arg)
{
	struct delivery *d = arg;

	d->result = event_deliver(d->c, &d->ev);
}

/* deliver - one event now; an exit handler's answer. */
static int deliver(struct vcpu *v, struct event ev)
{
	struct cpu *c = v->cpu;
	struct delivery d = { .c = c, .ev = ev };

	c->mmio.pos_rd = 0;
	if (dbt_guard(c, try_deliver, &d)) {
		c->injecting = ev;
		return -EFAULT;
	}
	if (d.result == CPU_OK) {
		c->mmio.nr_rd = 0;
		return c->mmio.nr_wr ? mmio_finish(v) : RESUME;
	}
	if (c->exit.reason == EXIT_EPT_VIOLATION)
		c->injecting = ev;
	return exit_handle(v, c->exit.reason);
}

static struct event take(struct event *e)
{
	struct event ev = *e;

	e->type = EVENT_NONE;
	return ev;
}

/* inject_irq - the interrupt is known to be allowed and there. */
static int inject_irq(struct vcpu *v)
{
	struct event ev = { .type = EVENT_INTR };
	int vector = v->ext_vector;

	v->ext_vector = -1;
	if (vector < 0)
		vector = irqchip_take_irq(v->apic);
	if (vector < 0) /* spurious: gone since we looked */
		return RESUME;
	ev.vector = vector;
	return deliver(v, ev);
}

int inject_events(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	int r = RESUME;

	c->irq_window = false;
	c->nmi_window = false;
	if (c->injecting.type)
		r = deliver(v, take(&c->injecting));
	else if (c->pending.type)
		r = deliver(v, take(&c->pending));
	if (r != RESUME || c->injecting.type)
		return r;
	if (c->nmi_pending && nmi_allowed(c)) {
		c->nmi_pending--;
		r = deliver(v, (struct event){ .type = EVENT_NMI,
					       .vector = VEC_NMI });
		if (r != RESUME)
			return r;
	}
	c->nmi_window = c->nmi_pending;
	if (has_irq(v)) {
		if (vcpu_irq_allowed(v))
			return inject_irq(v);
		c->irq_window = !v->block_irq;
	}
	if (v->want_irq_window && !v->block_irq)
		c->irq_window = true;
	return RESUME;
}
