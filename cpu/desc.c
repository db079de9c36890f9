#include "cpu/desc.h"

#include "cpu/op.h"
#include "cpu/segment.h"

void desc_set(struct desc *d, uint16_t sel, gva_t gva, uint64_t raw)
{
	*d = (struct desc){
		.lo = raw,
		.gva = gva,
		.ar = (raw >> 40) & 0xf0ff,
		.sel = sel,
	};
}

bool desc_find(const struct cpu *c, uint16_t sel, unsigned int len, gva_t *gva)
{
	const struct seg *ldt = &c->seg[SEG_LDTR];
	const unsigned int off = sel & ~7u;

	if (!(sel & 4)) {
		*gva = c->gdt.base + off;
		return off + len - 1 <= c->gdt.limit;
	}
	*gva = ldt->base + off;
	return !(ldt->ar & AR_UNUSABLE) && off + len - 1 <= ldt->limit;
}

enum cpu_result desc_read(struct cpu *c, uint16_t sel, uint8_t vector,
			  struct desc *d)
{
	enum cpu_result r;
	uint64_t raw;
	gva_t gva;

	if (!desc_find(c, sel, 8, &gva))
		return cpu_raise_error(c, vector, sel_error(sel));
	r = cpu_read_sys(c, gva, &raw, 8);
	if (r == CPU_OK)
		desc_set(d, sel, gva, raw);
	return r;
}

enum cpu_result desc_read_hi(struct cpu *c, struct desc *d)
{
	enum cpu_result r;
	gva_t gva;

	if (!desc_find(c, d->sel, 16, &gva))
		return cpu_raise_error(c, VEC_GP, sel_error(d->sel));
	r = cpu_read_sys(c, d->gva + 8, &d->hi, 8);
	if (r == CPU_OK && ((d->hi >> 40) & 0x1f))
		return cpu_raise_error(c, VEC_GP, sel_error(d->sel));
	d->hi &= MASK(32);
	return r;
}

enum cpu_result desc_touch(struct cpu *c, struct desc *d)
{
	uint8_t type;
	enum cpu_result r;

	if (likely(d->ar & AR_ACCESSED))
		return CPU_OK;
	type = d->ar | AR_ACCESSED;
	r = cpu_write_sys(c, d->gva + 5, &type, 1);
	if (r == CPU_OK)
		d->ar |= AR_ACCESSED;
	return r;
}

enum cpu_result desc_busy(struct cpu *c, const struct desc *d, bool busy)
{
	uint8_t type;
	enum cpu_result r = cpu_read_sys(c, d->gva + 5, &type, 1);

	if (r != CPU_OK)
		return r;
	type = busy ? type | SYS_BUSY : type & ~SYS_BUSY;
	return cpu_write_sys(c, d->gva + 5, &type, 1);
}

void desc_to_seg(const struct desc *d, uint16_t sel, struct seg *s)
{
	*s = (struct seg){
		.base = desc_base(d),
		.limit = desc_limit(d),
		.ar = d->ar,
		.sel = sel,
	};
}

void seg_from_desc(struct seg *s, uint16_t sel, uint64_t desc)
{
	struct desc d;

	desc_set(&d, sel, 0, desc);
	desc_to_seg(&d, sel, s);
}
