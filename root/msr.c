#include "root/msr.h"

#include <errno.h>

#include "cpu/msr.h"
#include "cpu/op.h"
#include "irqchip/lapic.h"
#include "root/exit.h"
#include "root/inject.h"

/*
 * MSRs from root mode's side: those of the local APIC, of guest time and of
 * paravirtual features are here, all others the processor knows itself.
 */
#define MSR_APIC_BASE	 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_FIRST 0x800
#define MSR_X2APIC_LAST	 0x8ff
#define MSR_X2APIC_COUNT 0x839 /* the timer's current count */

static enum msr_result gp_unless(bool ok)
{
	return ok ? MSR_OK : MSR_GP;
}

static bool is_x2apic(uint32_t index)
{
	return index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST;
}

static enum msr_result apic_read(struct vcpu *v, uint32_t index,
				 uint64_t *value)
{
	if (index == MSR_APIC_BASE) {
		*value = v->apic ? lapic_base(v->apic) : v->cpu->apic_base;
		return MSR_OK;
	}
	if (index == MSR_TSC_DEADLINE) {
		*value = v->apic ? lapic_tsc_deadline(v->apic) : 0;
		return MSR_OK;
	}
	if (is_x2apic(index))
		return gp_unless(v->apic &&
				 !lapic_msr_read(v->apic, index, value));
	return MSR_UNKNOWN;
}

static enum msr_result write_apic_base(struct vcpu *v, uint64_t value,
				       bool host)
{
	if (v->apic && lapic_set_base(v->apic, value, host))
		return MSR_GP;
	v->cpu->apic_base = value;
	return MSR_OK;
}

static enum msr_result apic_write(struct vcpu *v, uint32_t index,
				  uint64_t value, bool host)
{
	enum msr_result r;

	if (index == MSR_APIC_BASE)
		return write_apic_base(v, value, host);
	if (index == MSR_TSC_DEADLINE) {
		if (v->apic)
			lapic_set_tsc_deadline(v->apic, value);
		return MSR_OK;
	}
	if (!is_x2apic(index))
		return MSR_UNKNOWN;
	r = gp_unless(v->apic && !lapic_msr_write(v->apic, index, value));
	if (v->apic)
		v->cpu->cr8 = lapic_cr8(v->apic);
	return r;
}

/* from_cpu - the processor's own answer. */
static enum msr_result from_cpu(enum msr_status s)
{
	return gp_unless(s == MSR_DONE);
}

static enum msr_result do_read(struct vcpu *v, uint32_t index, uint64_t *value,
			       bool host)
{
	enum msr_result r = apic_read(v, index, value);

	if (r == MSR_UNKNOWN)
		r = clock_msr_read(&v->clock, index, value);
	if (r == MSR_UNKNOWN)
		r = pv_msr_read(&v->pv, index, value);
	if (r == MSR_UNKNOWN)
		r = hv_msr_read(v, index, value, host);
	if (r == MSR_UNKNOWN)
		r = from_cpu(msr_read(v->cpu, index, value, host));
	return r;
}

static enum msr_result do_write(struct vcpu *v, uint32_t index, uint64_t value,
				bool host)
{
	enum msr_result r = apic_write(v, index, value, host);

	if (r == MSR_UNKNOWN)
		r = clock_msr_write(&v->clock, index, value, host);
	if (r == MSR_UNKNOWN)
		r = pv_msr_write(&v->pv, index, value);
	if (r == MSR_UNKNOWN)
		r = hv_msr_write(v, index, value, host);
	if (r == MSR_UNKNOWN)
		r = from_cpu(msr_write(v->cpu, index, value, host));
	return r;
}

int vcpu_msr_get(struct vcpu *v, uint32_t index, uint64_t *value)
{
	return do_read(v, index, value, true) == MSR_OK ? 0 : -EINVAL;
}

int vcpu_msr_set(struct vcpu *v, uint32_t index, uint64_t value)
{
	return do_write(v, index, value, true) == MSR_OK ? 0 : -EINVAL;
}

static int answer_read(struct vcpu *v, uint64_t value)
{
	struct cpu *c = v->cpu;

	c->gpr[RAX] = (uint32_t)value;
	c->gpr[RDX] = value >> 32;
	return exit_commit(v);
}

static int complete_read(struct vcpu *v)
{
	if (!v->uexit.msr.error)
		return answer_read(v, v->uexit.msr.data);
	inject_gp(v);
	return RESUME;
}

static int complete_write(struct vcpu *v)
{
	if (!v->uexit.msr.error)
		return exit_commit(v);
	inject_gp(v);
	return RESUME;
}

/* fail - user mode decides what becomes of the access, if it wants to. */
static int fail(struct vcpu *v, uint32_t reason, bool write)
{
	if (!(v->vm->user_msr & reason)) {
		inject_gp(v);
		return RESUME;
	}
	v->uexit.kind = write ? UEXIT_WRMSR : UEXIT_RDMSR;
	v->uexit.msr.index = v->cpu->exit.msr;
	v->uexit.msr.reason = reason;
	v->uexit.msr.data = write ? v->cpu->exit.value : 0;
	v->uexit.msr.error = false;
	v->complete = write ? complete_write : complete_read;
	return TO_USER;
}

/* denied - the VM's MSR filter keeps the guest from it. */
static bool denied(struct vcpu *v, bool write)
{
	return v->cpu->msr_exits &&
	       v->vm->ops->msr_denied(v->vm->owner, v->cpu->exit.msr, write);
}

int exit_rdmsr(struct vcpu *v)
{
	uint64_t value = 0;

	if (denied(v, false))
		return fail(v, USER_MSR_FILTER, false);
	if (v->cpu->exit.msr == MSR_X2APIC_COUNT)
		vcpu_polls_timer(v);
	if (do_read(v, v->cpu->exit.msr, &value, false) == MSR_OK)
		return answer_read(v, value);
	return fail(v, USER_MSR_UNKNOWN, false);
}

int exit_wrmsr(struct vcpu *v)
{
	uint64_t value;

	if (denied(v, true))
		return fail(v, USER_MSR_FILTER, true);
	if (do_write(v, v->cpu->exit.msr, v->cpu->exit.value, false) == MSR_OK)
		return exit_commit(v);
	/* A bad value, or no such register? */
	if (vcpu_msr_get(v, v->cpu->exit.msr, &value))
		return fail(v, USER_MSR_UNKNOWN, true);
	return fail(v, USER_MSR_INVAL, true);
}
