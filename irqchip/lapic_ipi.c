#include "irqchip/lapic_int.h"

/* Who a message is for, and the ways to send one. */

#define BROADCAST_XAPIC	 0xffu
#define BROADCAST_X2APIC 0xffffffffu

static uint32_t lapic_total(const struct irqchip *chip)
{
	return __atomic_load_n(&chip->nr_lapics, __ATOMIC_ACQUIRE);
}

/*
 * KVM's broadcast quirk: FFH from a device reaches x2APICs as well, unless
 * user mode said that it knows 32-bit ids.
 */
static bool is_broadcast(const struct lapic *l, const struct lapic *source,
			 uint32_t dest)
{
	if (!is_x2apic(l))
		return dest == BROADCAST_XAPIC;
	if (dest == BROADCAST_XAPIC && !source && !l->chip->no_broadcast_quirk)
		return true;
	return dest == BROADCAST_X2APIC;
}

/* An xAPIC whose vCPU's id does not fit its register answers to the whole id.
 */
static bool match_physical(const struct lapic *l, uint32_t dest)
{
	if (is_x2apic(l))
		return dest == l->id;
	if (dest > 0xff)
		return dest == l->id;
	return dest == reg_get(l, APIC_ID) >> 24;
}

/* SDM 3A "Logical Destination Mode", "Logical Destination Mode in x2APIC Mode".
 */
static bool match_logical(const struct lapic *l, uint32_t dest)
{
	uint32_t ldr = reg_get(l, APIC_LDR);

	if (is_x2apic(l))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= 24;
	if (reg_get(l, APIC_DFR) == DFR_FLAT)
		return ldr & dest;
	return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

static bool match(const struct lapic *l, const struct lapic *source,
		  const struct irq_msg *m)
{
	switch (m->shorthand) {
	case SHORTHAND_SELF:
		return l == source;
	case SHORTHAND_ALL:
		return true;
	case SHORTHAND_OTHERS:
		return l != source;
	default:
		if (is_broadcast(l, source, m->dest))
			return true;
		return m->logical ? match_logical(l, m->dest)
				  : match_physical(l, m->dest);
	}
}

static uint32_t arb_priority(const struct lapic *l)
{
	return __atomic_load_n(&l->arb_priority, __ATOMIC_RELAXED);
}

/* The one among the enabled targets that has taken the fewest so far. */
static int deliver_lowest(struct irqchip *chip, struct lapic *source,
			  const struct irq_msg *m)
{
	uint32_t nr = lapic_total(chip);
	struct lapic *best = NULL;

	for (uint32_t i = 0; i < nr; i++) {
		struct lapic *l = chip->lapics[i];

		if (!is_sw_enabled(l) || !match(l, source, m))
			continue;
		if (!best || arb_priority(l) < arb_priority(best))
			best = l;
	}
	if (!best)
		return -1;
	__atomic_fetch_add(&best->arb_priority, 1, __ATOMIC_RELAXED);
	return lapic_accept(best, m);
}

/*
 * The common case without a look at every vCPU: one physical destination whose
 * register still has the id it came with.  An aliased id needs the long way.
 */
static struct lapic *find_unicast(struct irqchip *chip, const struct irq_msg *m)
{
	struct lapic *l;

	if (m->shorthand != SHORTHAND_NONE || m->logical ||
	    m->dest == BROADCAST_XAPIC || m->dest >= IRQCHIP_MAX_CPU_ID)
		return NULL;
	l = __atomic_load_n(&chip->by_id[m->dest], __ATOMIC_ACQUIRE);
	return l && is_x2apic(l) ? l : NULL;
}

int lapic_deliver(struct irqchip *chip, struct lapic *source,
		  const struct irq_msg *m)
{
	uint32_t nr = lapic_total(chip);
	struct lapic *one = find_unicast(chip, m);
	int status = -1;

	if (one)
		return lapic_accept(one, m);
	if (source && m->shorthand == SHORTHAND_SELF)
		return lapic_accept(source, m);
	if (m->lowest || m->mode == DELIVER_LOWEST)
		return deliver_lowest(chip, source, m);
	for (uint32_t i = 0; i < nr; i++) {
		struct lapic *l = chip->lapics[i];
		int accepted;

		if (!is_hw_enabled(l) || !match(l, source, m))
			continue;
		accepted = lapic_accept(l, m);
		if (accepted >= 0)
			status = (status < 0 ? 0 : status) + accepted;
	}
	return status;
}

static struct irq_msg icr_decode(uint32_t low, uint32_t dest)
{
	return (struct irq_msg){
		.dest = dest,
		.vector = (uint8_t)low,
		.mode = low >> 8 & 7,
		.logical = low >> 11 & 1,
		.asserted = low >> 14 & 1,
		.level = low >> 15 & 1,
		.shorthand = low >> 18 & 3,
	};
}

/* @high: the whole destination in x2APIC mode, bits 31:24 otherwise. */
void lapic_write_icr(struct lapic *l, uint32_t low, uint32_t high)
{
	struct irq_msg m = icr_decode(low, is_x2apic(l) ? high : high >> 24);

	if ((m.mode == DELIVER_FIXED || m.mode == DELIVER_LOWEST) &&
	    m.vector < 16) {
		lapic_error(l, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	lapic_deliver(l->chip, l, &m);
}

/* Edge-triggered NMIs from LVT0s that are in NMI mode. */
void lapic_nmi_watchdog(struct irqchip *chip)
{
	uint32_t nr = lapic_total(chip);

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t lvt0 = reg_get(chip->lapics[i], APIC_LVT0);

		if ((lvt0 >> 8 & 7) == DELIVER_NMI)
			lapic_raise_lvt(chip->lapics[i], LVT_LINT0);
	}
}

int lapic_pv_ipi(struct irqchip *chip, uint64_t bitmap_lo, uint64_t bitmap_hi,
		 uint32_t min, uint32_t icr, unsigned int bits)
{
	uint64_t map[2] = { bitmap_lo & MASK(bits), bitmap_hi & MASK(bits) };
	struct irq_msg m = icr_decode(icr, 0);
	int count = 0;

	for (unsigned int i = 0; i < 2; i++) {
		for (; map[i]; map[i] &= map[i] - 1) {
			uint64_t id = (uint64_t)min + i * bits +
				      (unsigned int)__builtin_ctzll(map[i]);
			struct lapic *l;

			if (id >= IRQCHIP_MAX_CPU_ID)
				break;
			l = __atomic_load_n(&chip->by_id[id], __ATOMIC_ACQUIRE);
			if (l && is_hw_enabled(l) && lapic_accept(l, &m) >= 0)
				count++;
		}
	}
	return count;
}
