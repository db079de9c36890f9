#include "root/pv.h"

#include "cpu/cpu.h"
#include "irqchip/lapic.h"
#include "mmu/access.h"

#define PV_ENABLED	BIT(0)
#define POLL_ENABLED	BIT(0)
#define MIGRATION_READY BIT(0)

/* KVM_MSR_EOI_EN: bit 1 must be 0, the byte is 4-byte aligned. */
#define EOI_RESERVED BIT(1)
/* The bit in the guest's byte: "need not write the EOI register". */
#define EOI_LAZY 1

void pv_init(struct vcpu_pv *pv, struct cpu *cpu, struct lapic *lapic)
{
	*pv = (struct vcpu_pv){
		.cpu = cpu,
		.lapic = lapic,
		.poll_control = POLL_ENABLED,
	};
	steal_init(&pv->steal, cpu);
}

void pv_finish(struct vcpu_pv *pv)
{
	steal_finish(&pv->steal);
}

void pv_reset(struct vcpu_pv *pv)
{
	pv->eoi_msr = 0;
	pv->eoi_offered = false;
	steal_reset(&pv->steal);
}

static gpa_t eoi_gpa(const struct vcpu_pv *pv)
{
	return pv->eoi_msr & ~PV_ENABLED;
}

static enum msr_result write_eoi_msr(struct vcpu_pv *pv, uint64_t value)
{
	if ((value & EOI_RESERVED) || ((value & PV_ENABLED) && !pv->lapic))
		return MSR_GP;
	pv_eoi_collect(pv);
	pv->eoi_msr = value;
	return MSR_OK;
}

static enum msr_result ok_if(bool ok)
{
	return ok ? MSR_OK : MSR_GP;
}

enum msr_result pv_msr_read(struct vcpu_pv *pv, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_KVM_EOI_EN:
		*value = pv->eoi_msr;
		return MSR_OK;
	case MSR_KVM_POLL_CONTROL:
		*value = pv->poll_control;
		return MSR_OK;
	case MSR_KVM_STEAL_TIME:
		*value = pv->steal.msr;
		return MSR_OK;
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		*value = 0;
		return MSR_OK;
	default:
		return MSR_UNKNOWN;
	}
}

/* What is not offered can only be switched off. */
enum msr_result pv_msr_write(struct vcpu_pv *pv, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_KVM_EOI_EN:
		return write_eoi_msr(pv, value);
	case MSR_KVM_POLL_CONTROL:
		if (value & ~POLL_ENABLED)
			return MSR_GP;
		pv->poll_control = value;
		return MSR_OK;
	case MSR_KVM_MIGRATION_CONTROL:
		return ok_if(!(value & ~MIGRATION_READY));
	case MSR_KVM_STEAL_TIME:
		return steal_msr_write(&pv->steal, value);
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return ok_if(!value);
	default:
		return MSR_UNKNOWN;
	}
}

/*
 * The guest clears the bit where it would have written the EOI register.  If it
 * has not yet, the offer is withdrawn: an interrupt that arrives meanwhile
 * needs a real end.
 */
void pv_eoi_collect(struct vcpu_pv *pv)
{
	struct mmu *mmu = &pv->cpu->mmu;
	uint8_t byte;

	if (!pv->eoi_offered)
		return;
	pv->eoi_offered = false;
	if (mem_read_phys(mmu, eoi_gpa(pv), &byte, sizeof(byte)))
		return;
	if (!(byte & EOI_LAZY)) {
		lapic_eoi(pv->lapic);
		return;
	}
	byte &= (uint8_t)~EOI_LAZY;
	mem_write_phys(mmu, eoi_gpa(pv), &byte, sizeof(byte));
}

void pv_eoi_offer(struct vcpu_pv *pv)
{
	uint8_t byte = EOI_LAZY;

	if (!(pv->eoi_msr & PV_ENABLED) || !lapic_lazy_eoi(pv->lapic))
		return;
	pv->eoi_offered = !mem_write_phys(&pv->cpu->mmu, eoi_gpa(pv), &byte,
					  sizeof(byte));
}
