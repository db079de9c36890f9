#include "cpu/mode.h"

#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/fpu.h"
#include "cpu/msr.h"
#include "cpu/op.h"
#include "mmu/tlb.h"
#include "mmu/walk.h"

#define CR0_WRITABLE                                                           \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP |        \
	 CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* A change of these reloads the PDPTEs if PAE paging is then in use (SDM 3A
 * "PDPTE Registers"). */
#define CR0_PDPTR_BITS (CR0_CD | CR0_NW | CR0_PG)
#define CR4_PDPTR_BITS (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

#define EFER_WRITABLE (EFER_SCE | EFER_LME | EFER_NX | EFER_FFXSR)

static enum paging paging_mode(const struct cpu *c)
{
	if (!(c->cr0 & CR0_PG))
		return PAGING_NONE;
	if (!(c->cr4 & CR4_PAE))
		return PAGING_32;
	if (!cpu_long_mode(c))
		return PAGING_PAE;
	return c->cr4 & CR4_LA57 ? PAGING_5LEVEL : PAGING_4LEVEL;
}

static uint8_t code_size(const struct cpu *c)
{
	uint32_t ar = c->seg[SEG_CS].ar;

	if (cpu_long_mode(c) && (ar & AR_L))
		return CODE64;
	return ar & AR_DB ? CODE32 : CODE16;
}

static struct mmu_role derive_role(const struct cpu *c)
{
	return (struct mmu_role){
		.paging = paging_mode(c),
		.maxphyaddr = c->maxphyaddr,
		.wp = c->cr0 & CR0_WP,
		.nx = c->efer & EFER_NX,
		.pse = c->cr4 & CR4_PSE,
		.pge = c->cr4 & CR4_PGE,
		.smep = c->cr4 & CR4_SMEP,
		.smap = c->cr4 & CR4_SMAP,
		.pke = c->cr4 & CR4_PKE,
		.pks = c->cr4 & CR4_PKS,
		.pcide = c->cr4 & CR4_PCIDE,
		.gb_pages = has_feat(c, FEAT_PDPE1GB),
	};
}

void cpu_derive_role(struct cpu *c)
{
	struct mmu_role role = derive_role(c);

	c->role_cr0 = c->cr0;
	c->role_cr4 = c->cr4;
	c->role_efer = c->efer;
	if (!memcmp(&role, &c->mmu.role, sizeof(role)))
		return;
	c->mmu.role = role;
	tlb_flush_all(&c->mmu);
}

void cpu_derive(struct cpu *c)
{
	c->code_size = code_size(c);
	c->df_step = c->rflags & RFLAGS_DF ? -1 : 1;
	if (unlikely(c->cr0 != c->role_cr0 || c->cr4 != c->role_cr4 ||
		     c->efer != c->role_efer))
		cpu_derive_role(c);
}

void cpu_set_rflags(struct cpu *c, uint64_t v)
{
	c->rflags = v | RFLAGS_FIXED;
	c->df_step = v & RFLAGS_DF ? -1 : 1;
}

void cpu_set_pkru(struct cpu *c, uint32_t v)
{
	if (v == c->mmu.pkru)
		return;
	c->mmu.pkru = v;
	if (c->mmu.role.pke)
		tlb_flush_all(&c->mmu);
}

void cpu_set_pkrs(struct cpu *c, uint32_t v)
{
	if (v == c->mmu.pkrs)
		return;
	c->mmu.pkrs = v;
	if (c->mmu.role.pks)
		tlb_flush_all(&c->mmu);
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

static bool tss16(const struct cpu *c)
{
	return !(AR_TYPE(c->seg[SEG_TR].ar) & 8);
}

/* Checks of setting CR0.PG: entering IA-32e mode needs its preconditions. */
static bool paging_may_start(const struct cpu *c)
{
	if (!(c->efer & EFER_LME))
		return true;
	return (c->cr4 & CR4_PAE) && !(c->seg[SEG_CS].ar & AR_L) && !tss16(c);
}

static bool paging_may_stop(const struct cpu *c)
{
	return !cpu_64bit(c) && !(c->cr4 & CR4_PCIDE);
}

enum cpu_result cpu_set_cr0(struct cpu *c, uint64_t v)
{
	uint64_t efer = c->efer, changed;

	if ((v >> 32) || ((v & CR0_PG) && !(v & CR0_PE)) ||
	    ((v & CR0_NW) && !(v & CR0_CD)))
		return cpu_raise_gp(c);
	v = (v & CR0_WRITABLE) | CR0_ET;
	changed = v ^ c->cr0;
	if (changed & CR0_PG) {
		bool on = v & CR0_PG;

		if (on ? !paging_may_start(c) : !paging_may_stop(c))
			return cpu_raise_gp(c);
		efer &= ~EFER_LMA;
		if (on && (efer & EFER_LME))
			efer |= EFER_LMA;
	}
	if ((changed & CR0_PDPTR_BITS) && pae_paging(v, c->cr4, efer) &&
	    !walk_load_pdptrs(&c->mmu, c->mmu.cr3))
		return cpu_raise_gp(c);
	c->cr0 = v;
	c->efer = efer;
	cpu_derive(c);
	return CPU_OK;
}

/* Bits of a new CR3 that must be zero; 32-bit code cannot set any of them. */
static uint64_t cr3_rsvd(const struct cpu *c)
{
	return ~MASK(c->maxphyaddr);
}

enum cpu_result cpu_set_cr3(struct cpu *c, uint64_t v)
{
	bool keep = false;

	if ((c->cr4 & CR4_PCIDE) && (v & BIT(63))) {
		keep = true;
		v &= ~BIT(63);
	}
	if (v & cr3_rsvd(c))
		return cpu_raise_gp(c);
	if (pae_paging(c->cr0, c->cr4, c->efer) &&
	    !walk_load_pdptrs(&c->mmu, v))
		return cpu_raise_gp(c);
	tlb_load_cr3(&c->mmu, v, keep);
	return CPU_OK;
}

static bool cr4_allowed(const struct cpu *c, uint64_t v, uint64_t changed)
{
	if (v & (c->cr4_rsvd | CPUID_CR4_NEVER))
		return false;
	if (cpu_long_mode(c) && ((changed & CR4_LA57) || !(v & CR4_PAE)))
		return false;
	if (!(changed & v & CR4_PCIDE))
		return true;
	return cpu_long_mode(c) && !(c->mmu.cr3 & MASK(12));
}

enum cpu_result cpu_set_cr4(struct cpu *c, uint64_t v)
{
	uint64_t changed = v ^ c->cr4;

	if (!cr4_allowed(c, v, changed))
		return cpu_raise_gp(c);
	if ((changed & CR4_PDPTR_BITS) && pae_paging(c->cr0, v, c->efer) &&
	    !walk_load_pdptrs(&c->mmu, c->mmu.cr3))
		return cpu_raise_gp(c);
	c->cr4 = v;
	/* All bits that ask for a flush (PGE, PCIDE, PAE, SMEP ..) are part of
	 * the MMU's role. */
	cpu_derive(c);
	return CPU_OK;
}

enum cpu_result cpu_set_efer(struct cpu *c, uint64_t v)
{
	uint64_t allowed = EFER_LMA; /* read only: a write is ignored */

	if (has_feat(c, FEAT_SYSCALL))
		allowed |= EFER_SCE;
	if (has_feat(c, FEAT_LM))
		allowed |= EFER_LME;
	if (has_feat(c, FEAT_NX))
		allowed |= EFER_NX;
	if (has_feat(c, FEAT_FXSR_OPT))
		allowed |= EFER_FFXSR;
	if (v & ~allowed)
		return cpu_raise_gp(c);
	if (((v ^ c->efer) & EFER_LME) && (c->cr0 & CR0_PG))
		return cpu_raise_gp(c);
	c->efer = (v & EFER_WRITABLE) | (c->efer & EFER_LMA);
	cpu_derive(c);
	return CPU_OK;
}

static void reset_segments(struct cpu *c)
{
	const struct seg data = { .limit = 0xffff,
				  .ar = AR_P | AR_S | AR_RW | AR_ACCESSED };

	for (unsigned int n = SEG_ES; n <= SEG_GS; n++)
		c->seg[n] = data;
	c->seg[SEG_CS].sel = 0xf000;
	c->seg[SEG_CS].base = 0xffff0000;
	c->seg[SEG_CS].ar |= AR_CODE;
	c->seg[SEG_LDTR] = (struct seg){ .limit = 0xffff, .ar = AR_P | 2 };
	c->seg[SEG_TR] = (struct seg){ .limit = 0xffff, .ar = AR_P | 11 };
	c->gdt = (struct dtable){ .limit = 0xffff };
	c->idt = (struct dtable){ .limit = 0xffff };
}

/* What INIT leaves alone: MSRs, XCR0, PKRU, the vector state. */
static void reset_power_up(struct cpu *c)
{
	c->xcr0 = XCR0_X87;
	c->mmu.pkru = 0;
	if (!c->nr_cpuid)
		cpuid_default(c);
	msr_reset(c);
	fpu_reset(c);
}

static void reset_events(struct cpu *c)
{
	c->halted = c->sti_shadow = c->movss_shadow = false;
	c->nmi_blocked = c->in_smm = false;
	c->nmi_pending = 0;
	c->injecting = c->pending = (struct event){ 0 };
	c->pending_dbg = 0;
	c->io.state = 0;
	c->mmio = (struct mmio){ 0 };
}

/* EDX after reset: family, model, stepping. */
static uint32_t cpu_signature(const struct cpu *c)
{
	struct cpuid_entry e;

	cpuid_read(c, 1, 0, &e);
	return e.eax ? e.eax : 0x600;
}

void cpu_reset(struct cpu *c, bool init)
{
	uint64_t kept = init ? c->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;

	memset(c->gpr, 0, sizeof(c->gpr));
	c->rip = 0xfff0;
	c->rflags = RFLAGS_FIXED;
	c->cpl = 0;
	c->cr0 = CR0_ET | kept;
	c->cr2 = c->cr4 = c->cr8 = c->efer = 0;
	memset(c->dr, 0, sizeof(c->dr));
	c->dr6 = DR6_FIXED;
	c->dr7 = DR7_FIXED;
	reset_segments(c);
	reset_events(c);
	if (!init)
		reset_power_up(c);
	c->gpr[RDX] = cpu_signature(c);
	tlb_load_cr3(&c->mmu, 0, false);
	tlb_flush_all(&c->mmu);
	cpu_derive(c);
}
