#include <errno.h>

#include "irqchip/irqchip.h"
#include "irqchip/lapic.h"
#include "mmu/access.h"
#include "root/hv.h"
#include "root/vcpu.h"

/* The synthetic interrupt controller: 16 sources a vCPU, and message slots. */

#define ENABLED	       BIT(0)
#define SINT_MASKED    BIT(16)
#define SINT_AUTO_EOI  BIT(17)
#define SINT_VECTOR(s) ((uint8_t)(s))
#define VERSION	       1

/* A slot of the message page. */
#define SLOT_SIZE    256
#define FLAGS_OFFSET 5
#define FLAG_PENDING 1

static uint64_t load(const uint64_t *reg)
{
	return __atomic_load_n(reg, __ATOMIC_RELAXED);
}

static void store(uint64_t *reg, uint64_t value)
{
	__atomic_store_n(reg, value, __ATOMIC_RELAXED);
}

void hv_vcpu_init(struct vcpu *v)
{
	for (unsigned int i = 0; i < HV_SINTS; i++)
		v->hv.sint[i] = SINT_MASKED;
	for (unsigned int i = 0; i < HV_STIMERS; i++)
		v->hv.stimer[i].vcpu = v;
}

int hv_enable_synic(struct vcpu *v, bool keep_pages)
{
	if (!v->apic)
		return -EINVAL;
	v->hv.synic = true;
	v->hv.keep_pages = keep_pages;
	return 0;
}

/* The local APIC has to know which vectors are special. */
static void set_vectors(struct vcpu *v)
{
	uint32_t watched[8] = { 0 }, auto_eoi[8] = { 0 };

	for (unsigned int i = 0; i < HV_SINTS; i++) {
		uint8_t vector = SINT_VECTOR(v->hv.sint[i]);

		if (v->hv.sint[i] & SINT_MASKED)
			continue;
		watched[vector / 32] |= 1u << vector % 32;
		if (v->hv.sint[i] & SINT_AUTO_EOI)
			auto_eoi[vector / 32] |= 1u << vector % 32;
	}
	lapic_set_sint_vectors(v->apic, watched, auto_eoi);
}

int hv_raise_sint(struct vcpu *v, unsigned int sint)
{
	uint64_t value = load(&v->hv.sint[sint]);

	if (!v->hv.synic || !(load(&v->hv.control) & ENABLED) ||
	    (value & SINT_MASKED))
		return -1;
	return lapic_raise(v->apic, SINT_VECTOR(value));
}

/* Whoever waited for the end of this source's interrupt or message. */
static void acked(struct vcpu *v, unsigned int sint)
{
	hv_sint_free(v, sint);
	irqchip_sint_acked(v->vm->irqchip, v->idx, sint);
}

void hv_vector_ended(struct vcpu *v, uint8_t vector)
{
	for (unsigned int i = 0; i < HV_SINTS; i++)
		if (!(v->hv.sint[i] & SINT_MASKED) &&
		    SINT_VECTOR(v->hv.sint[i]) == vector)
			acked(v, i);
}

int hv_send_message(struct vcpu *v, unsigned int sint, const void *message,
		    unsigned int len, bool only_once)
{
	gpa_t slot = (v->hv.message_page & ~(PAGE_SIZE - 1)) + sint * SLOT_SIZE;
	struct mmu *mmu = &v->cpu->mmu;
	uint32_t type;
	uint8_t flags;

	if (!(v->hv.message_page & ENABLED) ||
	    mem_read_phys(mmu, slot, &type, sizeof(type)))
		return -ENOENT;
	if (!type) {
		if (mem_write_phys(mmu, slot, message, len))
			return -ENOENT;
		return hv_raise_sint(v, sint) < 0 ? -EFAULT : 0;
	}
	if (only_once)
		return 0;
	/* The vCPU itself is here: nobody else empties the slot meanwhile. */
	mem_read_phys(mmu, slot + FLAGS_OFFSET, &flags, sizeof(flags));
	flags |= FLAG_PENDING;
	mem_write_phys(mmu, slot + FLAGS_OFFSET, &flags, sizeof(flags));
	return -EAGAIN;
}

/* --- MSRs --- */

static enum msr_result write_sint(struct vcpu *v, unsigned int n,
				  uint64_t value, bool host)
{
	uint8_t vector = SINT_VECTOR(value);

	if (vector < 16 && !(value & SINT_MASKED) && !(host && !vector))
		return MSR_GP;
	store(&v->hv.sint[n], value);
	set_vectors(v);
	return MSR_OK;
}

/* A page that is enabled starts empty; user mode hears of it. */
static void write_page(struct vcpu *v, uint32_t msr, uint64_t *page,
		       uint64_t value, bool host)
{
	static const uint8_t zeros[PAGE_SIZE];

	if ((value & ENABLED) && !host && !v->hv.keep_pages)
		mem_write_phys(&v->cpu->mmu, value & ~(PAGE_SIZE - 1), zeros,
			       PAGE_SIZE);
	*page = value;
	if (host)
		return;
	v->hv.exit_msr = msr;
	vcpu_request(v, REQ_HV_EXIT);
}

enum msr_result hv_synic_read(struct vcpu *v, uint32_t msr, uint64_t *value,
			      bool host)
{
	if (!v->hv.synic && !host)
		return MSR_GP;
	switch (msr) {
	case HV_MSR_SCONTROL:
		*value = v->hv.control;
		break;
	case HV_MSR_SVERSION:
		*value = VERSION;
		break;
	case HV_MSR_SIEFP:
		*value = v->hv.event_page;
		break;
	case HV_MSR_SIMP:
		*value = v->hv.message_page;
		break;
	case HV_MSR_EOM:
		*value = 0;
		break;
	default:
		*value = v->hv.sint[msr - HV_MSR_SINT0];
		break;
	}
	return MSR_OK;
}

enum msr_result hv_synic_write(struct vcpu *v, uint32_t msr, uint64_t value,
			       bool host)
{
	if (!v->hv.synic)
		return host && !value ? MSR_OK : MSR_GP;
	switch (msr) {
	case HV_MSR_SCONTROL:
		store(&v->hv.control, value);
		if (host)
			break;
		v->hv.exit_msr = msr;
		vcpu_request(v, REQ_HV_EXIT);
		break;
	case HV_MSR_SVERSION:
		return host ? MSR_OK : MSR_GP;
	case HV_MSR_SIEFP:
		write_page(v, msr, &v->hv.event_page, value, host);
		break;
	case HV_MSR_SIMP:
		write_page(v, msr, &v->hv.message_page, value, host);
		break;
	case HV_MSR_EOM:
		for (unsigned int i = 0; i < HV_SINTS; i++)
			acked(v, i);
		break;
	default:
		return write_sint(v, msr - HV_MSR_SINT0, value, host);
	}
	return MSR_OK;
}
