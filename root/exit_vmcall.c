#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "irqchip/lapic.h"
#include "root/exit.h"
#include "root/vm_irq.h"

/* Hypercall numbers and errors are KVM's guest ABI (Linux,
 * Documentation/virt/kvm/x86/hypercalls.rst). */
#define HC_VAPIC_POLL_IRQ 1
#define HC_KICK_CPU	  5
#define HC_SEND_IPI	  10
#define HC_SCHED_YIELD	  11
#define HC_ENOSYS	  1000

/* kick_cpu - wakes the vCPU with APIC id @id from its HLT. */
static void kick_cpu(struct vcpu *v, uint64_t id)
{
	struct vcpu *t = id < MAX_VCPU_ID ? vm_vcpu_by_id(v->vm, id) : NULL;

	if (!t)
		return;
	__atomic_store_n(&t->pv_kicked, true, __ATOMIC_SEQ_CST);
	vcpu_kick(t);
}

static int64_t hypercall(struct vcpu *v, uint64_t nr, const uint64_t a[4])
{
	unsigned int bits = cpu_64bit(v->cpu) ? 64 : 32;

	if (v->cpu->cpl)
		return -EPERM;
	switch (nr) {
	case HC_VAPIC_POLL_IRQ:
		return 0;
	case HC_KICK_CPU:
		kick_cpu(v, a[1]);
		return 0;
	case HC_SCHED_YIELD:
		/* The vCPU that is meant may get the processor then. */
		syscall(SYS_sched_yield);
		return 0;
	case HC_SEND_IPI:
		if (!v->apic)
			break;
		return lapic_pv_ipi(v->vm->irqchip, a[0], a[1], a[2], a[3],
				    bits);
	}
	return -HC_ENOSYS;
}

int exit_vmcall(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint64_t mask = cpu_64bit(c) ? ~0ull : 0xffffffff;
	const uint64_t args[4] = { c->gpr[RBX] & mask, c->gpr[RCX] & mask,
				   c->gpr[RDX] & mask, c->gpr[RSI] & mask };

	if (hv_has_calls(v))
		return hv_call(v);
	c->gpr[RAX] = hypercall(v, c->gpr[RAX] & mask, args) & mask;
	return exit_commit(v);
}
