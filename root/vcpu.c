#include "root/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "cpu/mode.h"
#include "host/time.h"
#include "irqchip/lapic.h"

struct vcpu *vcpu_create(struct vm *vm, uint32_t id,
			 volatile uint8_t *immediate_exit)
{
	struct vcpu *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->vm = vm;
	v->id = id;
	v->immediate_exit = immediate_exit;
	v->ext_vector = -1;
	pthread_mutex_init(&v->lock, NULL);
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->cpu = dbt_cpu_create(vm->dbt);
	if (v->wake_fd < 0 || !v->cpu) {
		vcpu_destroy(v);
		return NULL;
	}
	v->cpu->vcpu = v;
	cpuid_default(v->cpu);
	v->cpu->tsc_khz = tsc_khz();
	v->cpu->spin.window = SPIN_WINDOW;
	cpu_reset(v->cpu, false);
	return v;
}

/* attach_apic - the local APIC, and the activity state that goes with it. */
static int attach_apic(struct vcpu *v)
{
	bool bsp = v->id == v->vm->bsp_id;
	int r;

	v->cpu->apic_base = APIC_DEFAULT_BASE | APIC_BASE_ENABLE |
			    (bsp ? APIC_BASE_BSP : 0);
	if (!v->vm->irqchip)
		return 0;
	r = lapic_create(v->vm->irqchip, v->id, v, bsp, &v->apic);
	if (!r && !bsp)
		v->mp_state = MP_UNINITIALIZED;
	return r;
}

void vcpu_destroy(struct vcpu *v)
{
	hv_vcpu_finish(v);
	if (v->clock.vm)
		clock_vcpu_finish(&v->clock);
	if (v->pv.cpu)
		pv_finish(&v->pv);
	if (v->apic)
		lapic_destroy(v->apic);
	if (v->cpu)
		dbt_cpu_destroy(v->cpu);
	if (v->wake_fd >= 0)
		close(v->wake_fd);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int vcpu_publish(struct vcpu *v)
{
	struct vm *vm = v->vm;
	int r = 0;

	/* slots_lock: a change of slots must find all vCPUs or none of it. */
	pthread_mutex_lock(&vm->slots_lock);
	if (vm_vcpu_by_id(vm, v->id)) {
		r = -EEXIST;
	} else if (vm->nr_vcpus >= MAX_VCPUS) {
		r = -EINVAL;
	} else if (!(r = attach_apic(v))) {
		clock_vcpu_init(&v->clock, &vm->clock, v->cpu, v->apic);
		pv_init(&v->pv, v->cpu, v->apic);
		hv_vcpu_init(v);
		v->idx = vm->nr_vcpus;
		v->cpu->mmu.slots = vm->slots;
		v->cpu->msr_exits = vm->msr_exits;
		vm->vcpu[v->idx] = v;
		__atomic_store_n(&vm->nr_vcpus, v->idx + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&vm->slots_lock);
	return r;
}

void vcpu_kick(struct vcpu *v)
{
	uint64_t one = 1;

	dbt_kick(v->cpu);
	/* The sleeper sets the flag before its last look at the requests. */
	if (__atomic_load_n(&v->sleeping, __ATOMIC_SEQ_CST))
		(void)!write(v->wake_fd, &one, sizeof(one));
}

void vcpu_request(struct vcpu *v, uint64_t req)
{
	__atomic_fetch_or(&v->requests, req, __ATOMIC_SEQ_CST);
	vcpu_kick(v);
}

void vcpu_queue_nmi(struct vcpu *v)
{
	__atomic_fetch_add(&v->nmis, 1, __ATOMIC_SEQ_CST);
	vcpu_request(v, REQ_NMI);
}

void vcpu_accept_nmis(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	bool busy = c->nmi_blocked || c->injecting.type == EVENT_NMI;
	uint32_t nmis, most = busy ? 1 : 2;

	if (!vcpu_take(v, REQ_NMI))
		return;
	nmis = __atomic_exchange_n(&v->nmis, 0, __ATOMIC_SEQ_CST);
	c->nmi_pending = nmis < most ? c->nmi_pending + nmis : most;
	if (c->nmi_pending > most)
		c->nmi_pending = most;
}

void vcpu_drop_nmis(struct vcpu *v)
{
	vcpu_take(v, REQ_NMI);
	__atomic_store_n(&v->nmis, 0, __ATOMIC_SEQ_CST);
	v->cpu->nmi_pending = 0;
}

void vcpu_cancel_io(struct vcpu *v)
{
	struct cpu *c = v->cpu;

	v->complete = NULL;
	v->mmio_pos = 0;
	c->io.state = 0;
	c->mmio.nr_rd = 0;
	c->mmio.nr_wr = 0;
	c->mmio.wants = false;
	c->pending_dbg = 0;
}
