#include "root/exit.h"

#include <errno.h>

#include "cpu/event.h"
#include "cpu/op.h"
#include "root/inject.h"
#include "root/run.h"

static int resume(struct vcpu *v)
{
	return RESUME;
}

static int exit_triple_fault(struct vcpu *v)
{
	v->uexit.kind = UEXIT_SHUTDOWN;
	return TO_USER;
}

/* A single step or a breakpoint of the debugger outside the guest. */
static int exit_debug(struct vcpu *v)
{
	const struct cpu *c = v->cpu;
	bool is_bp = c->fault.vector == VEC_BP;

	v->uexit.kind = UEXIT_DEBUG;
	v->uexit.debug.vector = c->fault.vector;
	v->uexit.debug.pc = c->seg[SEG_CS].base + c->rip;
	v->uexit.debug.dr6 = is_bp ? 0 : DR6_FIXED | c->fault.address;
	v->uexit.debug.dr7 = is_bp ? 0 : c->host_dr7 ? c->host_dr7 : c->dr7;
	return TO_USER;
}

int exit_commit(struct vcpu *v)
{
	struct cpu *c = v->cpu;

	dbt_commit(c);
	if (!c->singlestep)
		return RESUME;
	c->fault = (struct x86_fault){ .vector = VEC_DB, .address = DR6_BS };
	return exit_debug(v);
}

static int exit_host_memory(struct vcpu *v)
{
	return -EFAULT;
}

static void read_insn(void *arg)
{
	struct vcpu *v = arg;
	struct cpu *c = v->cpu;
	uint8_t *len = &v->uexit.insn.len;

	while (*len < sizeof(v->uexit.insn.bytes) &&
	       cpu_read(c, SEG_CS, c->rip + *len, &v->uexit.insn.bytes[*len],
			1) == CPU_OK)
		++*len;
}

/* An instruction nobody can execute: hand its bytes to user mode. */
static int exit_emulate(struct vcpu *v)
{
	v->uexit.kind = UEXIT_INTERNAL_ERROR;
	v->uexit.insn.len = 0;
	/* Fewer bytes if memory ends, in the guest or in the host. */
	(void)dbt_guard(v->cpu, read_insn, v);
	vcpu_cancel_io(v);
	return TO_USER;
}

static int exit_mwait(struct vcpu *v)
{
	/* A wake-up without a store is architecturally fine. */
	return exit_commit(v);
}

struct exit_handler {
	int (*fn)(struct vcpu *v);
	bool light; /* touches no vector register, not even through libc */
};

static const struct exit_handler handlers[NR_EXIT_REASONS] = {
	[EXIT_EXTERNAL_INTERRUPT] = { .fn = resume, .light = true },
	[EXIT_INTERRUPT_WINDOW] = { .fn = resume, .light = true },
	[EXIT_IO] = { .fn = exit_io },
	[EXIT_EPT_VIOLATION] = { .fn = exit_mmio },
	[EXIT_APIC_ACCESS] = { .fn = exit_mmio },
	[EXIT_HLT] = { .fn = exit_hlt },
	[EXIT_PAUSE] = { .fn = exit_pause },
	[EXIT_MSR_READ] = { .fn = exit_rdmsr },
	[EXIT_MSR_WRITE] = { .fn = exit_wrmsr },
	[EXIT_CR_ACCESS] = { .fn = exit_cr8 },
	[EXIT_VMCALL] = { .fn = exit_vmcall },
	[EXIT_MWAIT] = { .fn = exit_mwait },
	[EXIT_TRIPLE_FAULT] = { .fn = exit_triple_fault },
	[EXIT_EXCEPTION] = { .fn = exit_debug },
	[EXIT_HOST_MEMORY] = { .fn = exit_host_memory },
	[EXIT_EMULATE] = { .fn = exit_emulate },
};

int exit_handle(struct vcpu *v, enum exit_reason reason)
{
	const struct exit_handler *h = &handlers[reason];

	if (!h->light)
		dbt_put_fpu(v->cpu);
	if (!h->fn) {
		v->vm->bugged = true;
		return -EIO;
	}
	return h->fn(v);
}
