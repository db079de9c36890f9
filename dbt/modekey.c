#include "dbt/dbt_int.h"

/*
 * The mode bits of a block: everything that translation depends on besides
 * the bytes themselves.
 */
static bool flat_data(const struct seg *s)
{
	const uint32_t want = AR_P | AR_S | AR_RW;
	const uint32_t mask = want | AR_CODE | AR_DC | AR_UNUSABLE;

	return s->base == 0 && s->limit == 0xffffffff && (s->ar & mask) == want;
}

/* FS and GS may have a base, which is added; the limit must cover all. */
static bool open_data(const struct seg *s)
{
	const uint32_t want = AR_P | AR_S | AR_RW;
	const uint32_t mask = want | AR_CODE | AR_DC | AR_UNUSABLE;

	return s->limit == 0xffffffff && (s->ar & mask) == want;
}

static uint32_t seg_bits(const struct cpu *c)
{
	uint32_t m = 0;

	if (c->code_size == CODE64)
		return 0x3fu << MODE_SEG_SHIFT;
	for (unsigned int s = SEG_ES; s <= SEG_GS; s++) {
		const struct seg *sg = &c->seg[s];

		if (s == SEG_CS ? sg->base == 0 && sg->limit == 0xffffffff &&
					  (sg->ar & AR_RW)
		    : s >= SEG_FS ? open_data(sg)
				  : flat_data(sg))
			m |= MODE_SEG_FLAT(s);
	}
	return m;
}

static uint32_t unit_bits(const struct cpu *c)
{
	uint32_t m = 0;
	bool em = c->cr0 & CR0_EM, ts = c->cr0 & CR0_TS;

	if (!em && !ts)
		m |= MODE_X87 | MODE_MMX;
	if (!(ts && (c->cr0 & CR0_MP)))
		m |= MODE_FWAIT;
	if (!em && !ts && (c->cr4 & CR4_OSFXSR))
		m |= MODE_SSE;
	if (!ts && (c->cr4 & CR4_OSXSAVE) &&
	    (c->xcr0 & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX))
		m |= MODE_AVX;
	return m;
}

/* What may be done without a helper. */
static uint32_t event_bits(const struct cpu *c)
{
	uint32_t m = 0;

	if (c->cpl == 3)
		m |= MODE_USER;
	else if (c->cpl == 0)
		m |= MODE_CPL0;
	if (c->cpl == 0 || !(c->cr4 & CR4_TSD))
		m |= MODE_TSC;
	if (c->code_size == CODE64 && (c->cr4 & CR4_FSGSBASE))
		m |= MODE_BASES;
	if (c->cr4 & CR4_LA57)
		m |= MODE_LA57;
	return m;
}

uint32_t mode_key(const struct cpu *c)
{
	uint32_t m = c->code_size | seg_bits(c) | unit_bits(c) | event_bits(c);

	if (c->code_size == CODE16 || !cpu_protected(c) || cpu_vm86(c) ||
	    !(m & MODE_SEG_FLAT(SEG_CS)) || !(m & MODE_SEG_FLAT(SEG_SS)) ||
	    (c->code_size == CODE32 && !(c->seg[SEG_SS].ar & AR_DB)) ||
	    (c->cpl == 3 && (c->rflags & RFLAGS_AC) && (c->cr0 & CR0_AM)))
		m |= MODE_SLOW;
	return m;
}

/* Whether the units an instruction needs are available without a fault. */
bool insn_allowed(const struct insn_row *row, uint32_t mode)
{
	if ((row->attr & IA_X87) && !(mode & MODE_X87))
		return false;
	if ((row->attr & IA_MMX) && !(mode & MODE_MMX))
		return false;
	if ((row->attr & IA_SSE) && !(mode & MODE_SSE))
		return false;
	if ((row->attr & IA_AVX) && !(mode & MODE_AVX))
		return false;
	return !(row->attr & IA_FWAIT) || (mode & MODE_FWAIT);
}

enum tlb_mode tlb_mode_of(const struct cpu *c)
{
	if (c->cpl == 3)
		return TLB_USER;
	if ((c->cr4 & CR4_SMAP) && (c->rflags & RFLAGS_AC))
		return TLB_SUPER_AC;
	return TLB_SUPER;
}
