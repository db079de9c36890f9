#include <errno.h>
#include <string.h>

#include "irqchip/lapic_int.h"

/*
 * The guest's way to the registers: through the page (xAPIC mode) and through
 * MSRs (x2APIC mode).  One table says which registers exist in which mode.
 */
#define XR   1u /* xAPIC mode: readable */
#define XW   2u /* writable */
#define X2R  4u /* x2APIC mode: readable */
#define X2W  8u
#define XRW  (XR | XW)
#define X2RW (X2R | X2W)

struct reg_desc {
	uint8_t access;
	/* NULL: always 0 */
	uint32_t (*read)(struct lapic *l, unsigned int offset);
	/* Returns false for #GP (x2APIC mode). */
	bool (*write)(struct lapic *l, unsigned int offset, uint32_t value);
};

static uint32_t read_plain(struct lapic *l, unsigned int offset)
{
	return reg_get(l, offset);
}

static uint32_t read_ppr(struct lapic *l, unsigned int offset)
{
	return lapic_ppr(l);
}

static uint32_t read_count(struct lapic *l, unsigned int offset)
{
	return lapic_timer_count(l);
}

static bool write_id(struct lapic *l, unsigned int offset, uint32_t value)
{
	reg_set(l, offset, value & 0xff000000);
	return true;
}

static bool write_tpr(struct lapic *l, unsigned int offset, uint32_t value)
{
	reg_set(l, offset, value & 0xff);
	return true;
}

static bool write_eoi(struct lapic *l, unsigned int offset, uint32_t value)
{
	if (is_x2apic(l) && value)
		return false;
	lapic_eoi(l);
	return true;
}

static bool write_ldr(struct lapic *l, unsigned int offset, uint32_t value)
{
	reg_set(l, offset, value & 0xff000000);
	return true;
}

static bool write_dfr(struct lapic *l, unsigned int offset, uint32_t value)
{
	reg_set(l, offset, value | 0x0fffffff);
	return true;
}

/* SDM 3A "Local APIC State After It Has Been Software Disabled". */
static bool write_spiv(struct lapic *l, unsigned int offset, uint32_t value)
{
	static const uint16_t lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC,
					 APIC_LVT0, APIC_LVT1,	  APIC_LVTERR };

	reg_set(l, offset, value & SPIV_WRITABLE);
	if (value & SPIV_ENABLED)
		return true;
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		reg_set(l, lvts[i], reg_get(l, lvts[i]) | LVT_MASKED);
	return true;
}

/* A write makes the errors since the last one readable. */
static bool write_esr(struct lapic *l, unsigned int offset, uint32_t value)
{
	if (is_x2apic(l) && value)
		return false;
	reg_set(l, offset,
		__atomic_exchange_n(&l->esr_pending, 0, __ATOMIC_RELAXED));
	return true;
}

static bool write_icr(struct lapic *l, unsigned int offset, uint32_t value)
{
	reg_set(l, offset, value & ~ICR_BUSY);
	lapic_write_icr(l, value, reg_get(l, APIC_ICR2));
	return true;
}

static bool write_icr2(struct lapic *l, unsigned int offset, uint32_t value)
{
	reg_set(l, offset, value & 0xff000000);
	return true;
}

#define LVT_WRITABLE	  (LVT_MASKED | 0xffu)
#define LVT_WRITABLE_MODE (LVT_WRITABLE | 0x700u)
/* LINT pins: also polarity and trigger mode. */
#define LVT_WRITABLE_LINT (LVT_WRITABLE_MODE | 0xa000u)

static bool write_lvt(struct lapic *l, unsigned int offset, uint32_t value)
{
	static const uint32_t writable[] = {
		LVT_WRITABLE_MODE, LVT_WRITABLE_MODE, LVT_WRITABLE_LINT,
		LVT_WRITABLE_LINT, LVT_WRITABLE,
	};

	if (!is_sw_enabled(l))
		value |= LVT_MASKED;
	reg_set(l, offset, value & writable[(offset - APIC_LVTTHMR) / 16]);
	return true;
}

static bool write_lvtt(struct lapic *l, unsigned int offset, uint32_t value)
{
	uint32_t writable = LVT_WRITABLE | LVT_TIMER_PERIODIC;

	if (l->features.tsc_deadline)
		writable |= LVT_TIMER_MODE;
	if (!is_sw_enabled(l))
		value |= LVT_MASKED;
	value &= writable;
	/* Mode 11B is reserved; as one-shot it can do no harm. */
	if ((value & LVT_TIMER_MODE) == LVT_TIMER_MODE)
		value &= ~LVT_TIMER_MODE;
	lapic_timer_set_lvt(l, value);
	return true;
}

static bool write_tmict(struct lapic *l, unsigned int offset, uint32_t value)
{
	lapic_timer_set_count(l, value);
	return true;
}

static bool write_tdcr(struct lapic *l, unsigned int offset, uint32_t value)
{
	lapic_timer_set_divider(l, value);
	return true;
}

static bool write_self_ipi(struct lapic *l, unsigned int offset, uint32_t value)
{
	if (value & ~0xffu)
		return false;
	lapic_write_icr(l, value | SHORTHAND_SELF << 18, 0);
	return true;
}

/* SDM 3A "Local APIC Register Address Map", "x2APIC Register Address Space". */
static const struct reg_desc descs[64] = {
	[APIC_ID >> 4] = { XRW | X2R, read_plain, write_id },
	[APIC_LVR >> 4] = { XR | X2R, read_plain, NULL },
	[APIC_TPR >> 4] = { XRW | X2RW, read_plain, write_tpr },
	[APIC_APR >> 4] = { XR, NULL, NULL },
	[APIC_PPR >> 4] = { XR | X2R, read_ppr, NULL },
	[APIC_EOI >> 4] = { XW | X2W, NULL, write_eoi },
	[APIC_LDR >> 4] = { XRW | X2R, read_plain, write_ldr },
	[APIC_DFR >> 4] = { XRW, read_plain, write_dfr },
	[APIC_SPIV >> 4] = { XRW | X2RW, read_plain, write_spiv },
	[APIC_ISR >> 4 ...(APIC_ISR >> 4) + 7] = { XR | X2R, read_plain, NULL },
	[APIC_TMR >> 4 ...(APIC_TMR >> 4) + 7] = { XR | X2R, read_plain, NULL },
	[APIC_IRR >> 4 ...(APIC_IRR >> 4) + 7] = { XR | X2R, read_plain, NULL },
	[APIC_ESR >> 4] = { XRW | X2RW, read_plain, write_esr },
	[APIC_ICR >> 4] = { XRW | X2RW, read_plain, write_icr },
	[APIC_ICR2 >> 4] = { XRW, read_plain, write_icr2 },
	[APIC_LVTT >> 4] = { XRW | X2RW, read_plain, write_lvtt },
	[APIC_LVTTHMR >> 4 ... APIC_LVTERR >> 4] = { XRW | X2RW, read_plain,
						     write_lvt },
	[APIC_TMICT >> 4] = { XRW | X2RW, read_plain, write_tmict },
	[APIC_TMCCT >> 4] = { XR | X2R, read_count, NULL },
	[APIC_TDCR >> 4] = { XRW | X2RW, read_plain, write_tdcr },
	[APIC_SELF_IPI >> 4] = { X2W, NULL, write_self_ipi },
};

static const struct reg_desc *find(unsigned int offset, uint8_t access)
{
	const struct reg_desc *d = &descs[offset >> 4 & 63];

	return offset < sizeof(struct lapic_state) && (d->access & access)
		       ? d
		       : NULL;
}

static uint32_t read_reg(struct lapic *l, const struct reg_desc *d,
			 unsigned int offset)
{
	return d->read ? d->read(l, offset) : 0;
}

static bool in_page(const struct lapic *l, gpa_t gpa)
{
	return (gpa & PAGE_MASK) ==
	       (base_get(l) & MASK(l->features.maxphyaddr) & PAGE_MASK);
}

/* An access must stay within one register. */
bool lapic_mmio_read(struct lapic *l, gpa_t gpa, unsigned int len, void *data)
{
	unsigned int offset = gpa & (PAGE_SIZE - 1);
	const struct reg_desc *d;
	uint32_t value = 0;

	if (!in_page(l, gpa))
		return false;
	if (!is_hw_enabled(l) || is_x2apic(l)) {
		memset(data, 0xff, len);
		return true;
	}
	memset(data, 0, len);
	if ((offset & 0xf) + len > 4)
		return true;
	d = find(offset & ~0xfu, XR);
	if (d)
		value = read_reg(l, d, offset & ~0xfu);
	else
		lapic_error(l, ESR_ILLEGAL_REGISTER);
	value >>= (offset & 0xf) * 8;
	memcpy(data, &value, len);
	return true;
}

bool lapic_mmio_write(struct lapic *l, gpa_t gpa, unsigned int len,
		      const void *data)
{
	unsigned int offset = gpa & (PAGE_SIZE - 1);
	const struct reg_desc *d;
	uint32_t value;

	if (!in_page(l, gpa))
		return false;
	if (!is_hw_enabled(l) || is_x2apic(l) || len != 4 || (offset & 0xf))
		return true;
	memcpy(&value, data, sizeof(value));
	d = find(offset, XR | XW);
	if (!d)
		lapic_error(l, ESR_ILLEGAL_REGISTER);
	else if (d->access & XW)
		d->write(l, offset, value);
	return true;
}

int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *value)
{
	unsigned int offset = (msr - 0x800) << 4;
	const struct reg_desc *d = find(offset, X2R);

	if (!is_x2apic(l) || !d)
		return -EINVAL;
	*value = read_reg(l, d, offset);
	if (offset == APIC_ICR)
		*value |= (uint64_t)reg_get(l, APIC_ICR2) << 32;
	return 0;
}

static int write_x2apic_icr(struct lapic *l, uint64_t value)
{
	uint32_t low = (uint32_t)value & ~ICR_BUSY;

	if (low & ICR_X2APIC_RESERVED)
		return -EINVAL;
	reg_set(l, APIC_ICR2, (uint32_t)(value >> 32));
	reg_set(l, APIC_ICR, low);
	lapic_write_icr(l, low, (uint32_t)(value >> 32));
	return 0;
}

int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value)
{
	unsigned int offset = (msr - 0x800) << 4;
	const struct reg_desc *d = find(offset, X2W);

	if (!is_x2apic(l) || !d)
		return -EINVAL;
	if (offset == APIC_ICR)
		return write_x2apic_icr(l, value);
	if (value >> 32 || !d->write(l, offset, (uint32_t)value))
		return -EINVAL;
	return 0;
}
