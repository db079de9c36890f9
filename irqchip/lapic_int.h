#pragma once

#include <pthread.h>

#include "host/timer.h"
#include "irqchip/irqchip_int.h"
#include "irqchip/lapic.h"

/* Register offsets in the page; SDM 3A "Local APIC Register Address Map". */
#define APIC_ID	      0x020
#define APIC_LVR      0x030
#define APIC_TPR      0x080
#define APIC_APR      0x090
#define APIC_PPR      0x0a0
#define APIC_EOI      0x0b0
#define APIC_LDR      0x0d0
#define APIC_DFR      0x0e0
#define APIC_SPIV     0x0f0
#define APIC_ISR      0x100
#define APIC_TMR      0x180
#define APIC_IRR      0x200
#define APIC_ESR      0x280
#define APIC_ICR      0x300
#define APIC_ICR2     0x310
#define APIC_LVTT     0x320
#define APIC_LVTTHMR  0x330
#define APIC_LVTPC    0x340
#define APIC_LVT0     0x350
#define APIC_LVT1     0x360
#define APIC_LVTERR   0x370
#define APIC_TMICT    0x380
#define APIC_TMCCT    0x390
#define APIC_TDCR     0x3e0
#define APIC_SELF_IPI 0x3f0

#define SPIV_ENABLED  0x100u
#define SPIV_WRITABLE 0x3ffu

#define ESR_SEND_ILLEGAL_VECTOR	   0x20u
#define ESR_RECEIVE_ILLEGAL_VECTOR 0x40u
#define ESR_ILLEGAL_REGISTER	   0x80u

#define LVT_MASKED	   0x10000u
#define LVT_TIMER_MODE	   0x60000u
#define LVT_TIMER_ONESHOT  0x00000u
#define LVT_TIMER_PERIODIC 0x20000u
#define LVT_TIMER_DEADLINE 0x40000u

#define ICR_BUSY	    0x1000u
#define ICR_X2APIC_RESERVED 0xfff32000u

#define DFR_FLAT 0xffffffffu

/*
 * Who touches what: IRR, TMR, irr_pending, esr_pending and arb_priority by any
 * thread, atomically; all other registers are written by the vCPU thread and
 * may be read by others; the timer's fields under timer_lock.
 */
struct lapic {
	struct irqchip *chip;
	void *vcpu;
	uint32_t id;
	bool bsp, dead;
	struct lapic_features features;
	uint64_t base;
	/* Set after a bit of IRR; clear only if IRR is empty. */
	bool irr_pending;
	uint32_t esr_pending;
	uint32_t arb_priority; /* how many lowest-priority messages it took */
	uint32_t regs[256];
	uint32_t sint_vectors[8], auto_eoi[8]; /* vCPU thread */

	pthread_mutex_t timer_lock;
	struct timer timer;
	bool timer_armed;
	uint8_t timer_shift;   /* log2 of the divisor */
	uint64_t deadline_ns;  /* one-shot, periodic */
	uint64_t deadline_tsc; /* guest TSC; 0: not armed */
	uint64_t tsc_offset;
};

static inline uint32_t reg_get(const struct lapic *l, unsigned int offset)
{
	return __atomic_load_n(&l->regs[offset / 4], __ATOMIC_RELAXED);
}

static inline void reg_set(struct lapic *l, unsigned int offset, uint32_t v)
{
	__atomic_store_n(&l->regs[offset / 4], v, __ATOMIC_RELAXED);
}

/* A vector's word in the 256-bit registers ISR, TMR and IRR. */
static inline unsigned int vector_reg(unsigned int base, uint8_t vector)
{
	return base + vector / 32 * 16;
}

static inline bool vector_test(const struct lapic *l, unsigned int base,
			       uint8_t vector)
{
	return reg_get(l, vector_reg(base, vector)) >> vector % 32 & 1;
}

/* vector_set, vector_clear - return whether the bit was set before. */
static inline bool vector_set(struct lapic *l, unsigned int base,
			      uint8_t vector)
{
	uint32_t *word = &l->regs[vector_reg(base, vector) / 4];
	uint32_t bit = 1u << vector % 32;

	return __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST) & bit;
}

static inline bool vector_clear(struct lapic *l, unsigned int base,
				uint8_t vector)
{
	uint32_t *word = &l->regs[vector_reg(base, vector) / 4];
	uint32_t bit = 1u << vector % 32;

	return __atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST) & bit;
}

static inline uint64_t base_get(const struct lapic *l)
{
	return __atomic_load_n(&l->base, __ATOMIC_RELAXED);
}

static inline bool is_hw_enabled(const struct lapic *l)
{
	return base_get(l) & APIC_BASE_ENABLE;
}

static inline bool is_sw_enabled(const struct lapic *l)
{
	return is_hw_enabled(l) && (reg_get(l, APIC_SPIV) & SPIV_ENABLED);
}

static inline bool is_x2apic(const struct lapic *l)
{
	return (base_get(l) & (APIC_BASE_ENABLE | APIC_BASE_EXTD)) ==
	       (APIC_BASE_ENABLE | APIC_BASE_EXTD);
}

/* lapic.c */
uint8_t lapic_ppr(const struct lapic *l);
void lapic_set_id(struct lapic *l);
/* lapic_accept - a message has arrived: 1 delivered, 0 merged, -1 refused. */
int lapic_accept(struct lapic *l, const struct irq_msg *m);
void lapic_error(struct lapic *l, uint32_t esr_bit);

/* lapic_ipi.c */
void lapic_write_icr(struct lapic *l, uint32_t low, uint32_t high);

/* lapic_timer.c */
int lapic_timer_init(struct lapic *l) __must_check;
void lapic_timer_finish(struct lapic *l);
void lapic_timer_reset(struct lapic *l);
void lapic_timer_set_lvt(struct lapic *l, uint32_t lvt);
void lapic_timer_set_count(struct lapic *l, uint32_t count);
uint32_t lapic_timer_count(struct lapic *l);
void lapic_timer_set_divider(struct lapic *l, uint32_t tdcr);
/* lapic_timer_resume - goes on from the registers of a restored image. */
void lapic_timer_resume(struct lapic *l);
