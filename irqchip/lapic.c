#include "irqchip/lapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "irqchip/ioapic.h"
#include "irqchip/lapic_int.h"

/* Version 14H, EOI broadcast suppression not offered. */
#define LVR_VALUE (0x14u | (NR_LVT - 1) << 16)

#define BASE_RESERVED 0x2ffull

static int highest_vector(const struct lapic *l, unsigned int base)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = reg_get(l, base + (unsigned int)i * 16);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

/* SDM 3A "Task and Processor Priorities". */
uint8_t lapic_ppr(const struct lapic *l)
{
	uint8_t tpr = (uint8_t)reg_get(l, APIC_TPR);
	int isr = highest_vector(l, APIC_ISR);
	uint8_t isr_class = isr < 0 ? 0 : isr & 0xf0;

	return (tpr & 0xf0) >= isr_class ? tpr : isr_class;
}

int lapic_pending_vector(struct lapic *l)
{
	int vector;

	if (!__atomic_load_n(&l->irr_pending, __ATOMIC_ACQUIRE) ||
	    !is_hw_enabled(l))
		return -1;
	vector = highest_vector(l, APIC_IRR);
	if (vector < 0 || (vector & 0xf0) <= (lapic_ppr(l) & 0xf0))
		return -1;
	return vector;
}

int lapic_take_vector(struct lapic *l)
{
	int vector = lapic_pending_vector(l);

	if (vector < 0)
		return -1;
	vector_clear(l, APIC_IRR, (uint8_t)vector);
	if (!bitmap_test(l->auto_eoi, (uint8_t)vector))
		vector_set(l, APIC_ISR, (uint8_t)vector);
	/* Who sets a bit from here on sets the flag after it. */
	__atomic_store_n(&l->irr_pending, false, __ATOMIC_SEQ_CST);
	if (highest_vector(l, APIC_IRR) >= 0)
		__atomic_store_n(&l->irr_pending, true, __ATOMIC_SEQ_CST);
	return vector;
}

void lapic_eoi(struct lapic *l)
{
	struct irqchip *chip = l->chip;
	int vector = highest_vector(l, APIC_ISR);
	bool level;

	if (vector < 0)
		return;
	vector_clear(l, APIC_ISR, (uint8_t)vector);
	level = vector_test(l, APIC_TMR, (uint8_t)vector);
	if (chip->mode == IRQCHIP_SPLIT) {
		if (level && bitmap_test(chip->eoi_vectors, (uint8_t)vector))
			chip->ops->ioapic_eoi(l->vcpu, (uint8_t)vector);
	} else if (level || bitmap_test(chip->eoi_vectors, (uint8_t)vector)) {
		ioapic_eoi(chip->ioapic, (uint8_t)vector, level);
	}
	if (bitmap_test(l->sint_vectors, (uint8_t)vector))
		chip->ops->sint_eoi(l->vcpu, (uint8_t)vector);
}

void lapic_set_sint_vectors(struct lapic *l, const uint32_t watched[8],
			    const uint32_t auto_eoi[8])
{
	memcpy(l->sint_vectors, watched, sizeof(l->sint_vectors));
	memcpy(l->auto_eoi, auto_eoi, sizeof(l->auto_eoi));
}

bool lapic_lazy_eoi(struct lapic *l)
{
	int vector;

	if (__atomic_load_n(&l->irr_pending, __ATOMIC_ACQUIRE))
		return false;
	vector = highest_vector(l, APIC_ISR);
	return vector >= 0 && !vector_test(l, APIC_TMR, (uint8_t)vector) &&
	       !bitmap_test(l->chip->eoi_vectors, (uint8_t)vector) &&
	       !bitmap_test(l->sint_vectors, (uint8_t)vector);
}

static int accept_vector(struct lapic *l, uint8_t vector, bool level)
{
	if (!is_sw_enabled(l))
		return -1;
	if (vector < 16) {
		lapic_error(l, ESR_RECEIVE_ILLEGAL_VECTOR);
		return -1;
	}
	if (level)
		vector_set(l, APIC_TMR, vector);
	else
		vector_clear(l, APIC_TMR, vector);
	if (vector_set(l, APIC_IRR, vector))
		return 0;
	__atomic_store_n(&l->irr_pending, true, __ATOMIC_SEQ_CST);
	l->chip->ops->kick(l->vcpu);
	return 1;
}

int lapic_accept(struct lapic *l, const struct irq_msg *m)
{
	const struct irqchip_ops *ops = l->chip->ops;

	if (__atomic_load_n(&l->dead, __ATOMIC_RELAXED))
		return -1;
	switch (m->mode) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		return accept_vector(l, m->vector, m->level);
	case DELIVER_SMI:
		ops->smi(l->vcpu);
		return 1;
	case DELIVER_NMI:
		ops->nmi(l->vcpu);
		return 1;
	case DELIVER_INIT:
		/* A level de-assert only resets arbitration ids. */
		if (m->level && !m->asserted)
			return -1;
		ops->init(l->vcpu);
		return 1;
	case DELIVER_SIPI:
		ops->sipi(l->vcpu, m->vector);
		return 1;
	default:
		return -1;
	}
}

int lapic_raise(struct lapic *l, uint8_t vector)
{
	return lapic_accept(l, &(struct irq_msg){ .vector = vector });
}

static const uint16_t lvt_offset[NR_LVT] = {
	[LVT_TIMER] = APIC_LVTT,    [LVT_THERMAL] = APIC_LVTTHMR,
	[LVT_PERFMON] = APIC_LVTPC, [LVT_LINT0] = APIC_LVT0,
	[LVT_LINT1] = APIC_LVT1,    [LVT_ERROR] = APIC_LVTERR,
};

int lapic_raise_lvt(struct lapic *l, enum lapic_lvt lvt)
{
	uint32_t entry = reg_get(l, lvt_offset[lvt]);
	struct irq_msg m = {
		.vector = (uint8_t)entry,
		.mode = entry >> 8 & 7,
		.level = entry >> 15 & 1,
		.asserted = true,
	};

	if (!is_hw_enabled(l) || (entry & LVT_MASKED))
		return -1;
	if (lvt == LVT_TIMER || lvt == LVT_ERROR) {
		m.mode = DELIVER_FIXED;
		m.level = false;
	}
	/* SDM 3B "Generating an Interrupt on Overflow". */
	if (lvt == LVT_PERFMON)
		reg_set(l, APIC_LVTPC, entry | LVT_MASKED);
	return lapic_accept(l, &m);
}

void lapic_error(struct lapic *l, uint32_t esr_bit)
{
	uint32_t old =
		__atomic_fetch_or(&l->esr_pending, esr_bit, __ATOMIC_RELAXED);

	/* Not for a bad vector in the error entry itself. */
	if (!(old & esr_bit) && (reg_get(l, APIC_LVTERR) & 0xff) >= 16)
		lapic_raise_lvt(l, LVT_ERROR);
}

bool lapic_accepts_pic(const struct lapic *l)
{
	uint32_t lvt0 = reg_get(l, APIC_LVT0);

	if (!is_hw_enabled(l))
		return true;
	return !(lvt0 & LVT_MASKED) && (lvt0 >> 8 & 7) == DELIVER_EXTINT;
}

uint64_t lapic_cr8(const struct lapic *l)
{
	return reg_get(l, APIC_TPR) >> 4 & 0xf;
}

void lapic_set_cr8(struct lapic *l, uint64_t value)
{
	reg_set(l, APIC_TPR, (uint32_t)(value & 0xf) << 4);
}

uint64_t lapic_base(const struct lapic *l)
{
	return base_get(l);
}

bool lapic_is_enabled(const struct lapic *l)
{
	return is_hw_enabled(l);
}

bool lapic_is_x2apic(const struct lapic *l)
{
	return is_x2apic(l);
}

/* SDM 3A "Deriving Logical x2APIC ID from the Local x2APIC ID". */
static uint32_t x2apic_ldr(uint32_t id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

/* The id registers' values after a change of mode. */
void lapic_set_id(struct lapic *l)
{
	if (is_x2apic(l)) {
		reg_set(l, APIC_ID, l->id);
		reg_set(l, APIC_LDR, x2apic_ldr(l->id));
	} else {
		reg_set(l, APIC_ID, l->id << 24);
	}
}

/* SDM 3A "x2APIC States": which changes of mode fault. */
static bool mode_change_ok(uint64_t old, uint64_t value)
{
	bool was_enabled = old & APIC_BASE_ENABLE;
	bool was_x2apic = was_enabled && (old & APIC_BASE_EXTD);
	bool enabled = value & APIC_BASE_ENABLE;
	bool x2apic = enabled && (value & APIC_BASE_EXTD);

	if (was_x2apic && enabled && !x2apic)
		return false;
	return was_enabled || !x2apic;
}

int lapic_set_base(struct lapic *l, uint64_t value, bool host)
{
	uint64_t old = base_get(l);
	uint64_t reserved = BASE_RESERVED | ~MASK(l->features.maxphyaddr);

	if (!l->features.x2apic)
		reserved |= APIC_BASE_EXTD;
	if (value & reserved)
		return -EINVAL;
	if ((value & APIC_BASE_EXTD) && !(value & APIC_BASE_ENABLE))
		return -EINVAL;
	if (!host && !mode_change_ok(old, value))
		return -EINVAL;
	__atomic_store_n(&l->base, value, __ATOMIC_RELAXED);
	if (((old ^ value) & (APIC_BASE_ENABLE | APIC_BASE_EXTD)) &&
	    (value & APIC_BASE_ENABLE))
		lapic_set_id(l);
	return 0;
}

void lapic_set_features(struct lapic *l, const struct lapic_features *f)
{
	l->features = *f;
}

void lapic_reset(struct lapic *l, bool init)
{
	lapic_timer_reset(l);
	if (!init) {
		__atomic_store_n(&l->base,
				 APIC_DEFAULT_BASE | APIC_BASE_ENABLE |
					 (l->bsp ? APIC_BASE_BSP : 0),
				 __ATOMIC_RELAXED);
		lapic_set_id(l);
	}
	reg_set(l, APIC_LVR, LVR_VALUE);
	for (int i = 0; i < NR_LVT; i++)
		reg_set(l, lvt_offset[i], LVT_MASKED);
	/* Firmware would pass the PICs through to the boot processor. */
	if (l->bsp)
		reg_set(l, APIC_LVT0, DELIVER_EXTINT << 8);
	reg_set(l, APIC_DFR, DFR_FLAT);
	reg_set(l, APIC_SPIV, 0xff);
	if (!is_x2apic(l))
		reg_set(l, APIC_LDR, 0);
	reg_set(l, APIC_TPR, 0);
	reg_set(l, APIC_ESR, 0);
	reg_set(l, APIC_ICR, 0);
	reg_set(l, APIC_ICR2, 0);
	for (unsigned int i = 0; i < 8; i++) {
		reg_set(l, APIC_ISR + i * 16, 0);
		reg_set(l, APIC_TMR + i * 16, 0);
		reg_set(l, APIC_IRR + i * 16, 0);
	}
	__atomic_store_n(&l->irr_pending, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->esr_pending, 0, __ATOMIC_RELAXED);
}

static int publish(struct irqchip *chip, struct lapic *l)
{
	int err = 0;

	pthread_mutex_lock(&chip->lapics_lock);
	if (chip->by_id[l->id])
		err = -EEXIST;
	else if (chip->nr_lapics == IRQCHIP_MAX_CPUS)
		err = -EINVAL;
	if (!err) {
		chip->lapics[chip->nr_lapics] = l;
		__atomic_store_n(&chip->by_id[l->id], l, __ATOMIC_RELEASE);
		__atomic_store_n(&chip->nr_lapics, chip->nr_lapics + 1,
				 __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&chip->lapics_lock);
	return err;
}

int lapic_create(struct irqchip *chip, uint32_t id, void *vcpu, bool bsp,
		 struct lapic **out)
{
	struct lapic *l;
	int err;

	if (id >= IRQCHIP_MAX_CPU_ID)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->chip = chip;
	l->vcpu = vcpu;
	l->id = id;
	l->bsp = bsp;
	l->features = (struct lapic_features){ true, true, 52 };
	err = lapic_timer_init(l);
	if (err)
		goto out_free;
	lapic_reset(l, false);
	err = publish(chip, l);
	if (err)
		goto out_timer;
	*out = l;
	return 0;

out_timer:
	lapic_timer_finish(l);
out_free:
	free(l);
	return err;
}

void lapic_destroy(struct lapic *l)
{
	struct irqchip *chip = l->chip;

	__atomic_store_n(&l->dead, true, __ATOMIC_RELAXED);
	pthread_mutex_lock(&chip->lapics_lock);
	__atomic_store_n(&chip->by_id[l->id], NULL, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&chip->lapics_lock);
	lapic_timer_finish(l);
}

/*
 * The image always has an xAPIC's id register unless user mode asked for
 * 32-bit ids.
 */
void lapic_get_state(struct lapic *l, struct lapic_state *out)
{
	uint32_t count = lapic_timer_count(l); /* may set a bit of IRR */
	uint32_t image[256] = { 0 };

	for (unsigned int i = 0; i < 256; i += 4)
		image[i] = reg_get(l, i * 4);
	image[APIC_TMCCT / 4] = count;
	image[APIC_PPR / 4] = lapic_ppr(l);
	if (is_x2apic(l) && !l->chip->ids_32bit)
		image[APIC_ID / 4] = l->id << 24;
	memcpy(out->regs, image, sizeof(image));
}

int lapic_set_state(struct lapic *l, const struct lapic_state *in)
{
	uint32_t image[256];

	memcpy(image, in->regs, sizeof(image));
	if (is_x2apic(l) && l->chip->ids_32bit && image[APIC_ID / 4] != l->id)
		return -EINVAL;
	lapic_timer_reset(l);
	for (unsigned int i = 0; i < 256; i += 4)
		reg_set(l, i * 4, image[i]);
	reg_set(l, APIC_LVR, LVR_VALUE);
	if (is_x2apic(l))
		lapic_set_id(l);
	__atomic_store_n(&l->irr_pending, true, __ATOMIC_SEQ_CST);
	lapic_timer_resume(l);
	l->chip->ops->kick(l->vcpu);
	return 0;
}
