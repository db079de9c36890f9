#pragma once

#include "base/types.h"

/*
 * The local APIC of a vCPU, in xAPIC and x2APIC mode, with its timer.
 * Source: SDM 3A "Advanced Programmable Interrupt Controller (APIC)".
 * All functions here are for the vCPU thread (see irqchip/irqchip.h), except
 * lapic_raise_lvt.
 */
struct irqchip;
struct lapic;

#define APIC_BASE_BSP	  BIT(8)
#define APIC_BASE_EXTD	  BIT(10)
#define APIC_BASE_ENABLE  BIT(11)
#define APIC_DEFAULT_BASE 0xfee00000ull

/* The register page as KVM_GET_LAPIC has it: a register every 16 bytes. */
struct lapic_state {
	uint8_t regs[1024];
};

/* What the guest's CPUID says about its APIC. */
struct lapic_features {
	bool x2apic;
	bool tsc_deadline;
	uint8_t maxphyaddr;
};

/*
 * lapic_create - adds the local APIC of the vCPU with APIC id @id, in power-up
 * state.  @vcpu goes to the ops' callbacks.  All features are offered until
 * lapic_set_features.  Returns 0, -EEXIST, -EINVAL (id, too many), -ENOMEM.
 */
int lapic_create(struct irqchip *chip, uint32_t id, void *vcpu, bool bsp,
		 struct lapic **out) __must_check;

/*
 * lapic_destroy - takes it off the bus; ops are not called for it afterwards.
 * irqchip_destroy frees the memory.
 */
void lapic_destroy(struct lapic *l);

void lapic_set_features(struct lapic *l, const struct lapic_features *f);

/* lapic_reset - power-up state, or what INIT leaves (ids, base and mode stay).
 */
void lapic_reset(struct lapic *l, bool init);

/*
 * lapic_base, lapic_set_base - IA32_APIC_BASE.  Setting checks reserved bits
 * and, unless @host (user mode's KVM_SET_MSRS or KVM_SET_SREGS), the order of
 * mode changes.  Returns 0, or -EINVAL for #GP.
 */
uint64_t lapic_base(const struct lapic *l);
int lapic_set_base(struct lapic *l, uint64_t value, bool host) __must_check;

/* lapic_is_enabled - globally, by IA32_APIC_BASE. */
bool lapic_is_enabled(const struct lapic *l);
bool lapic_is_x2apic(const struct lapic *l);

/*
 * lapic_mmio_read, lapic_mmio_write - return whether @gpa is in the APIC's
 * page.  A disabled APIC and one in x2APIC mode read as all ones, as KVM's
 * LAPIC_MMIO_HOLE quirk has it.
 */
bool lapic_mmio_read(struct lapic *l, gpa_t gpa, unsigned int len, void *data);
bool lapic_mmio_write(struct lapic *l, gpa_t gpa, unsigned int len,
		      const void *data);

/*
 * lapic_msr_read, lapic_msr_write - x2APIC's MSRs, 800H to 8FFH.  Return 0, or
 * -EINVAL for #GP (always, unless in x2APIC mode).
 */
int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *value) __must_check;
int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value) __must_check;

/* IA32_TSC_DEADLINE (6E0H): 0 and ignored unless the LVT is in that mode. */
uint64_t lapic_tsc_deadline(struct lapic *l);
void lapic_set_tsc_deadline(struct lapic *l, uint64_t guest_tsc);

/* lapic_set_tsc_offset - guest TSC = host TSC + @offset from now on. */
void lapic_set_tsc_offset(struct lapic *l, uint64_t offset);

/* CR8: the priority class of TPR. */
uint64_t lapic_cr8(const struct lapic *l);
void lapic_set_cr8(struct lapic *l, uint64_t value);

/* lapic_pending_vector - what it would deliver now, or -1. */
int lapic_pending_vector(struct lapic *l);

/* lapic_take_vector - moves that vector to ISR and returns it, or -1. */
int lapic_take_vector(struct lapic *l);

/*
 * lapic_set_sint_vectors - bitmaps of vectors whose end ops->sint_eoi hears of,
 * and of those that end as they are delivered.
 */
void lapic_set_sint_vectors(struct lapic *l, const uint32_t watched[8],
			    const uint32_t auto_eoi[8]);

/*
 * lapic_raise - an edge-triggered interrupt for this local APIC alone: 1
 * delivered, 0 merged, -1 refused.  Any thread.
 */
int lapic_raise(struct lapic *l, uint8_t vector);

/* lapic_eoi - a write to the EOI register. */
void lapic_eoi(struct lapic *l);

/*
 * lapic_lazy_eoi - whether the guest may do the next EOI by clearing a bit in
 * memory (KVM's PV EOI): one interrupt in service, none waits, and nobody
 * needs to hear of its end.
 */
bool lapic_lazy_eoi(struct lapic *l);

/* lapic_accepts_pic - LINT0 is in ExtINT mode, or the APIC is disabled. */
bool lapic_accepts_pic(const struct lapic *l);

enum lapic_lvt {
	LVT_TIMER,
	LVT_THERMAL,
	LVT_PERFMON,
	LVT_LINT0,
	LVT_LINT1,
	LVT_ERROR,
	NR_LVT,
};

/*
 * lapic_raise_lvt - a local interrupt source fires.  Returns 1 delivered, 0
 * merged, -1 masked.  Any thread.
 */
int lapic_raise_lvt(struct lapic *l, enum lapic_lvt lvt);

/*
 * lapic_get_state, lapic_set_state - KVM_GET_LAPIC, KVM_SET_LAPIC.  The timer
 * goes on from the current-count register.  -EINVAL if the image has a foreign
 * id (32-bit ids enabled).
 */
void lapic_get_state(struct lapic *l, struct lapic_state *out);
int lapic_set_state(struct lapic *l, const struct lapic_state *in) __must_check;

/*
 * lapic_pv_ipi - KVM_HC_SEND_IPI: @icr to the vCPUs with APIC ids @min + i for
 * each bit i of @bitmap_lo and @bitmap_hi (@bits is 64, or 32 for a caller
 * outside 64-bit mode).  Returns how many got it.
 */
int lapic_pv_ipi(struct irqchip *chip, uint64_t bitmap_lo, uint64_t bitmap_hi,
		 uint32_t min, uint32_t icr, unsigned int bits);
