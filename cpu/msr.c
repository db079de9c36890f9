#include "cpu/msr.h"

#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mode.h"
#include "cpu/ops_sys.h"
#include "cpu/tsc.h"

/*
 * What ARCH_CAPABILITIES says: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO,
 * MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO,
 * PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.  The guest runs in one host process; the
 * host's own mitigations guard its border, so the guest needs none of the
 * expensive ones.
 */
#define ARCH_CAPS                                                              \
	(BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) |        \
	 BIT(13) | BIT(14) | BIT(15) | BIT(20) | BIT(24) | BIT(26) | BIT(27) | \
	 BIT(62))

/* IBRS, STIBP, SSBD, BHI_DIS_S. */
#define SPEC_CTRL_VALID (BIT(0) | BIT(1) | BIT(2) | BIT(10))

#define UCODE_REV_INTEL 0x100000000ull
#define UCODE_REV_AMD	0x01000065ull

#define HWCR_MCSTATUS_WREN BIT(18)
#define HWCR_TSC_FREQ_SEL  BIT(24)
/* TLB cache disable, flush filter disable, IGNNE: without meaning here. */
#define HWCR_IGNORED (BIT(3) | BIT(6) | BIT(8))

#define DE_CFG_LFENCE_SERIALIZE BIT(1)

#define PAT_RESET 0x0007040600070406ull

struct msr_row;
typedef enum msr_status (*msr_read_fn)(struct cpu *c, const struct msr_row *r,
				       unsigned int n, uint64_t *v, bool host);
typedef enum msr_status (*msr_write_fn)(struct cpu *c, const struct msr_row *r,
					unsigned int n, uint64_t v, bool host);

struct msr_row {
	uint32_t first, count;
	msr_read_fn read;
	msr_write_fn write;
	uint16_t offset; /* of the field in struct cpu, 0 = none */
	uint8_t feat;
	bool listed;
	uint64_t value; /* constant, or writable bits */
};

static uint64_t *field(struct cpu *c, const struct msr_row *r, unsigned int n)
{
	return (uint64_t *)((char *)c + r->offset) + n;
}

static bool any_feat(const struct cpu *c, const uint8_t *feats, unsigned int n)
{
	while (n--)
		if (has_feat(c, feats[n]))
			return true;
	return false;
}

/* --- Plain registers --- */

static enum msr_status rd_none(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t *v, bool host)
{
	return MSR_FAULT;
}

static enum msr_status wr_none(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t v, bool host)
{
	return MSR_FAULT;
}

static enum msr_status rd_root(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t *v, bool host)
{
	return MSR_TO_ROOT;
}

static enum msr_status wr_root(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t v, bool host)
{
	return MSR_TO_ROOT;
}

static enum msr_status rd_const(struct cpu *c, const struct msr_row *r,
				unsigned int n, uint64_t *v, bool host)
{
	*v = r->value;
	return MSR_DONE;
}

static enum msr_status wr_ignore(struct cpu *c, const struct msr_row *r,
				 unsigned int n, uint64_t v, bool host)
{
	return MSR_DONE;
}

static enum msr_status rd_field(struct cpu *c, const struct msr_row *r,
				unsigned int n, uint64_t *v, bool host)
{
	*v = *field(c, r, n);
	return MSR_DONE;
}

static enum msr_status wr_field(struct cpu *c, const struct msr_row *r,
				unsigned int n, uint64_t v, bool host)
{
	if (v & ~r->value)
		return MSR_FAULT;
	if (r->offset)
		*field(c, r, n) = v;
	return MSR_DONE;
}

/* Read only for the guest; the VMM sets it. */
static enum msr_status wr_host(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t v, bool host)
{
	return host ? wr_field(c, r, n, v, host) : MSR_FAULT;
}

static enum msr_status wr_canonical(struct cpu *c, const struct msr_row *r,
				    unsigned int n, uint64_t v, bool host)
{
	if (!canonical_cpu(c, v))
		return MSR_FAULT;
	*field(c, r, n) = v;
	return MSR_DONE;
}

/* --- EFER, time --- */

static enum msr_status wr_efer(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t v, bool host)
{
	return cpu_set_efer(c, v) == CPU_OK ? MSR_DONE : MSR_FAULT;
}

static enum msr_status rd_pkrs(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t *v, bool host)
{
	*v = c->mmu.pkrs;
	return MSR_DONE;
}

static enum msr_status wr_pkrs(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t v, bool host)
{
	if (v >> 32)
		return MSR_FAULT;
	cpu_set_pkrs(c, v);
	return MSR_DONE;
}

static enum msr_status rd_tsc(struct cpu *c, const struct msr_row *r,
			      unsigned int n, uint64_t *v, bool host)
{
	*v = cpu_tsc(c);
	return MSR_DONE;
}

static bool has_tsc_aux(const struct cpu *c)
{
	const uint8_t feats[] = { FEAT_RDTSCP, FEAT_RDPID };

	return any_feat(c, feats, ARRAY_SIZE(feats));
}

static enum msr_status rd_tsc_aux(struct cpu *c, const struct msr_row *r,
				  unsigned int n, uint64_t *v, bool host)
{
	if (!host && !has_tsc_aux(c))
		return MSR_FAULT;
	return rd_field(c, r, n, v, host);
}

/* Intel reserves bits 63:32, AMD ignores them. */
static enum msr_status wr_tsc_aux(struct cpu *c, const struct msr_row *r,
				  unsigned int n, uint64_t v, bool host)
{
	if (!host && !has_tsc_aux(c))
		return MSR_FAULT;
	if ((v >> 32) && !host && cpuid_is_intel(c))
		return MSR_FAULT;
	c->tsc_aux = (uint32_t)v;
	return MSR_DONE;
}

/* --- Speculation controls: accepted, without effect --- */

static bool has_spec_ctrl(const struct cpu *c)
{
	const uint8_t feats[] = { FEAT_SPEC_CTRL,      FEAT_INTEL_STIBP,
				  FEAT_SPEC_CTRL_SSBD, FEAT_AMD_IBRS,
				  FEAT_AMD_STIBP,      FEAT_AMD_SSBD };

	return any_feat(c, feats, ARRAY_SIZE(feats));
}

static enum msr_status rd_spec_ctrl(struct cpu *c, const struct msr_row *r,
				    unsigned int n, uint64_t *v, bool host)
{
	if (!host && !has_spec_ctrl(c))
		return MSR_FAULT;
	return rd_field(c, r, n, v, host);
}

static enum msr_status wr_spec_ctrl(struct cpu *c, const struct msr_row *r,
				    unsigned int n, uint64_t v, bool host)
{
	if (!host && !has_spec_ctrl(c))
		return MSR_FAULT;
	return wr_field(c, r, n, v, host);
}

static enum msr_status wr_spec_cmd(struct cpu *c, const struct msr_row *r,
				   unsigned int n, uint64_t v, bool host)
{
	const uint8_t feats[] = { FEAT_SPEC_CTRL, FEAT_AMD_IBPB };

	if (!host && !any_feat(c, feats, ARRAY_SIZE(feats)))
		return MSR_FAULT;
	return wr_field(c, r, n, v, host);
}

/* --- Features, microcode --- */

static enum msr_status wr_feat_ctl(struct cpu *c, const struct msr_row *r,
				   unsigned int n, uint64_t v, bool host)
{
	if (!host && (c->feat_ctl & FEAT_CTL_LOCKED))
		return MSR_FAULT;
	return wr_field(c, r, n, v, host);
}

/* A guest writes 0 before it reads the revision by CPUID. */
static enum msr_status wr_ucode_rev(struct cpu *c, const struct msr_row *r,
				    unsigned int n, uint64_t v, bool host)
{
	return host ? wr_field(c, r, n, v, host) : MSR_DONE;
}

static enum msr_status wr_misc_features(struct cpu *c, const struct msr_row *r,
					unsigned int n, uint64_t v, bool host)
{
	if (v && !(c->platform_info & PLATFORM_INFO_CPUID_FAULT))
		return MSR_FAULT;
	return wr_field(c, r, n, v, host);
}

static enum msr_status wr_hwcr(struct cpu *c, const struct msr_row *r,
			       unsigned int n, uint64_t v, bool host)
{
	v &= ~HWCR_IGNORED;
	if (v & ~(HWCR_MCSTATUS_WREN | HWCR_TSC_FREQ_SEL))
		return MSR_FAULT;
	c->hwcr = v;
	return MSR_DONE;
}

/* --- Memory types --- */

/* Every byte of @v is one of the types in the bit mask @types. */
static bool types_valid(uint64_t v, unsigned int types)
{
	for (; v; v >>= 8)
		if ((v & 0xff) > 7 || !(types & BIT(v & 0xff)))
			return false;
	return true;
}

#define TYPES_MTRR 0x73 /* UC, WC, WT, WP, WB */
#define TYPES_PAT  0xf3 /* and UC- */

static enum msr_status wr_pat(struct cpu *c, const struct msr_row *r,
			      unsigned int n, uint64_t v, bool host)
{
	if (!types_valid(v, TYPES_PAT))
		return MSR_FAULT;
	c->pat = v;
	return MSR_DONE;
}

static enum msr_status wr_mtrr_fix(struct cpu *c, const struct msr_row *r,
				   unsigned int n, uint64_t v, bool host)
{
	if (!types_valid(v, TYPES_MTRR))
		return MSR_FAULT;
	*field(c, r, n) = v;
	return MSR_DONE;
}

static enum msr_status wr_mtrr_def(struct cpu *c, const struct msr_row *r,
				   unsigned int n, uint64_t v, bool host)
{
	if (!types_valid(v & 0xff, TYPES_MTRR))
		return MSR_FAULT;
	return wr_field(c, r, n, v, host);
}

/* Even: base and type; odd: mask and valid bit. */
static enum msr_status wr_mtrr_var(struct cpu *c, const struct msr_row *r,
				   unsigned int n, uint64_t v, bool host)
{
	uint64_t rsvd = ~MASK(c->maxphyaddr) | (n & 1 ? 0x7ff : 0xf00);

	if ((v & rsvd) || (!(n & 1) && !types_valid(v & 0xff, TYPES_MTRR)))
		return MSR_FAULT;
	c->mtrr_var[n] = v;
	return MSR_DONE;
}

/* --- Machine check --- */

static enum msr_status rd_mcg_ctl(struct cpu *c, const struct msr_row *r,
				  unsigned int n, uint64_t *v, bool host)
{
	if (!host && !(c->mcg_cap & MCG_CTL_P))
		return MSR_FAULT;
	return rd_field(c, r, n, v, host);
}

static enum msr_status wr_mcg_ctl(struct cpu *c, const struct msr_row *r,
				  unsigned int n, uint64_t v, bool host)
{
	if (!(c->mcg_cap & MCG_CTL_P) && (v || !host))
		return MSR_FAULT;
	if (v != 0 && v != ~0ull)
		return MSR_FAULT;
	c->mcg_ctl = v;
	return MSR_DONE;
}

enum { MCI_CTL, MCI_STATUS, MCI_ADDR, MCI_MISC };

static enum msr_status rd_mce_bank(struct cpu *c, const struct msr_row *r,
				   unsigned int n, uint64_t *v, bool host)
{
	if (n / 4 >= MCE_BANKS(c->mcg_cap))
		return MSR_FAULT;
	return rd_field(c, r, n, v, host);
}

/*
 * MCi_CTL takes all ones or zeros; guests also clear bit 0 or bit 10 of one
 * bank to work around firmware.  MCi_STATUS takes zero.
 */
static enum msr_status wr_mce_bank(struct cpu *c, const struct msr_row *r,
				   unsigned int n, uint64_t v, bool host)
{
	bool ok = true;

	if (n / 4 >= MCE_BANKS(c->mcg_cap))
		return MSR_FAULT;
	if (n % 4 == MCI_CTL)
		ok = v == 0 || (v | BIT(10) | BIT(0)) == ~0ull;
	else if (n % 4 == MCI_STATUS)
		ok = host || v == 0 || (c->hwcr & HWCR_MCSTATUS_WREN);
	if (!ok)
		return MSR_FAULT;
	c->mce_bank[n] = v;
	return MSR_DONE;
}

/* --- The table --- */

#define LISTED true

/* clang-format off */
static const struct msr_row msrs[] = {
#define NONE gpr /* offset 0 */
#define MSR(number, nr, rd, wr, member, val, feature, flags)                   \
	{ .first = number, .count = nr, .read = rd_##rd, .write = wr_##wr,    \
	  .offset = offsetof(struct cpu, member), .value = val,               \
	  .feat = FEAT_##feature, .listed = flags },
#include "cpu/msr.def"
#undef MSR
#undef NONE
};
/* clang-format on */

bool msr_table_sorted(void)
{
	for (unsigned int n = 1; n < ARRAY_SIZE(msrs); n++)
		if (msrs[n].first < msrs[n - 1].first + msrs[n - 1].count)
			return false;
	return true;
}

static const struct msr_row *find(uint32_t index)
{
	unsigned int lo = 0, hi = ARRAY_SIZE(msrs);

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct msr_row *r = &msrs[mid];

		if (index < r->first)
			hi = mid;
		else if (index - r->first >= r->count)
			lo = mid + 1;
		else
			return r;
	}
	return NULL;
}

static bool offered(const struct cpu *c, const struct msr_row *r, bool host)
{
	return host || has_feat(c, r->feat);
}

enum msr_status msr_read(struct cpu *c, uint32_t index, uint64_t *value,
			 bool host)
{
	const struct msr_row *r = find(index);

	if (!r || !offered(c, r, host))
		return MSR_FAULT;
	return r->read(c, r, index - r->first, value, host);
}

enum msr_status msr_write(struct cpu *c, uint32_t index, uint64_t value,
			  bool host)
{
	const struct msr_row *r = find(index);

	if (!r || !offered(c, r, host))
		return MSR_FAULT;
	return r->write(c, r, index - r->first, value, host);
}

unsigned int msr_list(uint32_t *out, unsigned int max)
{
	unsigned int nr = 0;

	for (unsigned int n = 0; n < ARRAY_SIZE(msrs); n++) {
		if (!msrs[n].listed)
			continue;
		for (unsigned int k = 0; k < msrs[n].count; k++, nr++)
			if (nr < max)
				out[nr] = msrs[n].first + k;
	}
	return nr;
}

static const uint32_t features[] = { 0x8b, 0x10a, 0xc0011029 };

unsigned int msr_features(uint32_t *out, unsigned int max)
{
	for (unsigned int n = 0; n < ARRAY_SIZE(features) && n < max; n++)
		out[n] = features[n];
	return ARRAY_SIZE(features);
}

bool msr_feature(uint32_t index, uint64_t *value)
{
	struct cpuid_entry vendor;

	switch (index) {
	case 0x8b:
		cpuid_host(0, 0, &vendor);
		*value = vendor.ebx == SIG_INTEL_EBX ? UCODE_REV_INTEL
						     : UCODE_REV_AMD;
		return true;
	case 0x10a:
		*value = ARCH_CAPS;
		return true;
	case 0xc0011029:
		*value = DE_CFG_LFENCE_SERIALIZE;
		return true;
	}
	return false;
}

void msr_reset(struct cpu *c)
{
	bool intel = cpuid_is_intel(c);

	for (unsigned int n = 0; n < ARRAY_SIZE(msrs); n++) {
		const struct msr_row *r = &msrs[n];

		if (r->offset && r->first != 0xc0000080)
			memset(field(c, r, 0), 0, r->count * 8);
	}
	c->pat = PAT_RESET;
	c->misc_enable = MISC_ENABLE_RESET;
	c->feat_ctl = FEAT_CTL_LOCKED;
	c->smbase = 0x30000;
	c->arch_caps = ARCH_CAPS;
	c->platform_info = PLATFORM_INFO_CPUID_FAULT;
	c->ucode_rev = intel ? UCODE_REV_INTEL : UCODE_REV_AMD;
	c->hwcr = HWCR_TSC_FREQ_SEL;
	c->de_cfg = DE_CFG_LFENCE_SERIALIZE;
	c->mcg_cap = ARRAY_SIZE(c->mce_bank) / 4;
	for (unsigned int n = 0; n < ARRAY_SIZE(c->mce_bank); n += 4)
		c->mce_bank[n + MCI_CTL] = ~0ull;
}

/* --- RDMSR, WRMSR --- */

enum cpu_result op_rdmsr(struct cpu *c, const struct insn *i)
{
	uint32_t index = c->gpr[RCX];
	enum msr_status r = MSR_TO_ROOT;
	uint64_t v;

	if (!c->msr_exits)
		r = msr_read(c, index, &v, false);
	if (r == MSR_FAULT)
		return cpu_raise_gp(c);
	if (r == MSR_TO_ROOT) {
		c->exit.reason = EXIT_MSR_READ;
		c->exit.msr = index;
		return CPU_EXIT;
	}
	c->gpr[RAX] = (uint32_t)v;
	c->gpr[RDX] = v >> 32;
	return CPU_OK;
}

enum cpu_result op_wrmsr(struct cpu *c, const struct insn *i)
{
	uint32_t index = c->gpr[RCX];
	uint64_t v = (uint32_t)c->gpr[RAX] | c->gpr[RDX] << 32;
	enum msr_status r = MSR_TO_ROOT;

	if (!c->msr_exits)
		r = msr_write(c, index, v, false);
	if (r == MSR_FAULT)
		return cpu_raise_gp(c);
	if (r == MSR_TO_ROOT) {
		c->exit.reason = EXIT_MSR_WRITE;
		c->exit.msr = index;
		c->exit.value = v;
		return CPU_EXIT;
	}
	return CPU_OK;
}
