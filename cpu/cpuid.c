#include "cpu/cpuid.h"

#include <errno.h>
#include <string.h>

#include "cpu/fpu.h"
#include "cpu/mode.h"

_Static_assert(NR_FEATS <= 256, "struct cpu has room for 256 features");

#define APIC_BASE_ENABLE BIT(11)

/* CR4 bits that exist only with their feature. */
static const struct {
	uint32_t bit;
	uint8_t feat;
} cr4_feats[] = {
	{ CR4_UMIP, FEAT_UMIP },     { CR4_LA57, FEAT_LA57 },
	{ CR4_PCIDE, FEAT_PCID },    { CR4_FSGSBASE, FEAT_FSGSBASE },
	{ CR4_OSXSAVE, FEAT_XSAVE }, { CR4_SMEP, FEAT_SMEP },
	{ CR4_SMAP, FEAT_SMAP },     { CR4_PKE, FEAT_PKU },
	{ CR4_PKS, FEAT_PKS },
};

static const struct cpuid_entry *find(const struct cpu *c, uint32_t function,
				      uint32_t index)
{
	for (unsigned int n = 0; n < c->nr_cpuid; n++) {
		const struct cpuid_entry *e = &c->cpuid[n];

		if (e->function == function &&
		    (!e->indexed || e->index == index))
			return e;
	}
	return NULL;
}

bool cpuid_is_intel(const struct cpu *c)
{
	const struct cpuid_entry *e = find(c, 0, 0);

	return !e || e->ebx == SIG_INTEL_EBX;
}

/*
 * Intel answers leaves beyond the highest of their class with the highest
 * basic leaf; AMD with zeros.
 */
static bool out_of_range(const struct cpu *c, uint32_t *function)
{
	const struct cpuid_entry *basic = find(c, 0, 0), *class;

	if (!basic || !cpuid_is_intel(c))
		return false;
	if (*function >= 0x40000000 && *function <= 0x4fffffff)
		class = find(c, *function & 0xffffff00, 0);
	else if (*function >= 0xc0000000)
		class = find(c, 0xc0000000, 0);
	else
		class = find(c, *function & 0x80000000, 0);
	if (class && *function <= class->eax)
		return false;
	*function = basic->eax;
	return true;
}

static void set_bit32(uint32_t *word, unsigned int bit, bool value)
{
	*word = (*word & ~BIT(bit)) | (uint32_t)value << bit;
}

void cpuid_update(const struct cpu *c, struct cpuid_entry *e)
{
	switch (e->function) {
	case 1:
		set_bit32(&e->ecx, 27, c->cr4 & CR4_OSXSAVE);
		set_bit32(&e->edx, 9, c->apic_base & APIC_BASE_ENABLE);
		break;
	case 7:
		if (e->index == 0)
			set_bit32(&e->ecx, 4, c->cr4 & CR4_PKE);
		break;
	case 0xd:
		if (e->index == 0)
			e->ebx = fpu_xsave_size(c->xcr0);
		else if (e->index == 1 && has_feat(c, FEAT_XSAVEC))
			e->ebx = fpu_compact_size(c->xcr0);
		break;
	}
}

/* Topology leaves answer an index out of range with the index itself. */
static void missing_index(const struct cpu *c, struct cpuid_entry *out)
{
	const struct cpuid_entry *e;

	if (out->function != 0xb && out->function != 0x1f)
		return;
	e = find(c, out->function, 1);
	if (!e)
		return;
	out->ecx = out->index & 0xff;
	out->edx = e->edx;
}

void cpuid_read(const struct cpu *c, uint32_t function, uint32_t index,
		struct cpuid_entry *out)
{
	const struct cpuid_entry *e = find(c, function, index);

	*out = (struct cpuid_entry){ .function = function, .index = index };
	if (!e && out_of_range(c, &function)) {
		out->function = function;
		e = find(c, function, index);
	}
	if (!e) {
		missing_index(c, out);
		return;
	}
	*out = *e;
	cpuid_update(c, out);
}

static bool entry_has(const struct cpuid_entry *e, const struct x86_feat_bit *b)
{
	const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

	return regs[b->reg] & BIT(b->bit);
}

/* Emulated whatever the host has, though not offered by default. */
static bool engine_knows(unsigned int feat)
{
	return feat == FEAT_LA57 || cpuid_feat_supported(feat);
}

static void derive_feats(struct cpu *c)
{
	memset(c->feat, 0, sizeof(c->feat));
	c->feat[0] = BIT(FEAT_BASE);
	for (unsigned int f = 1; f < NR_FEATS; f++) {
		const struct x86_feat_bit *b = &x86_feats[f];
		const struct cpuid_entry *e = find(c, b->leaf, b->subleaf);

		if (e && entry_has(e, b) && engine_knows(f))
			c->feat[f / 64] |= BIT(f % 64);
	}
}

static uint8_t derive_maxphyaddr(const struct cpu *c)
{
	const struct cpuid_entry *e = find(c, 0x80000008, 0);
	uint8_t bits = e ? e->eax & 0xff : 36;

	return bits < 32 ? 32 : bits > 52 ? 52 : bits;
}

static void derive_cr4(struct cpu *c)
{
	c->cr4_rsvd = CPUID_CR4_NEVER;
	for (unsigned int n = 0; n < ARRAY_SIZE(cr4_feats); n++)
		if (!has_feat(c, cr4_feats[n].feat))
			c->cr4_rsvd |= cr4_feats[n].bit;
}

int cpuid_set(struct cpu *c, const struct cpuid_entry *e, unsigned int n)
{
	const struct cpuid_entry *xsave;

	if (n > MAX_CPUID_ENTRIES)
		return -E2BIG;
	memcpy(c->cpuid, e, n * sizeof(*e));
	c->nr_cpuid = n;
	derive_feats(c);
	derive_cr4(c);
	c->maxphyaddr = derive_maxphyaddr(c);
	xsave = find(c, 0xd, 0);
	c->supported_xcr0 =
		xsave ? xsave->eax | (uint64_t)xsave->edx << 32 : XCR0_X87;
	c->supported_xcr0 &= fpu_supported_xcr0();
	cpu_derive(c);
	cpu_derive_role(c);
	return 0;
}

void cpuid_default(struct cpu *c)
{
	struct cpuid_entry size;

	c->nr_cpuid = 0;
	c->feat[0] = BIT(FEAT_BASE);
	for (unsigned int f = 1; f < NR_FEATS; f++)
		if (engine_knows(f))
			c->feat[f / 64] |= BIT(f % 64);
	derive_cr4(c);
	cpuid_host(0x80000008, 0, &size);
	c->maxphyaddr = size.eax & 0xff;
	c->supported_xcr0 = fpu_supported_xcr0();
	cpu_derive_role(c);
}
