#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/mode.h"
#include "cpu/msr.h"
#include "cpu/ops_sys.h"
#include "cpu/tsc.h"
#include "mmu/tlb.h"

/* Control and debug registers, TLB invalidation, time, identification. */

static enum cpu_result exit_to_root(struct cpu *c, enum exit_reason reason)
{
	c->exit.reason = reason;
	return CPU_EXIT;
}

enum cpu_result op_undefined(struct cpu *c, const struct insn *i)
{
	return cpu_raise(c, VEC_UD);
}

/* --- Control registers --- */

static uint64_t cr_read(const struct cpu *c, unsigned int n)
{
	switch (n) {
	case 0:
		return c->cr0;
	case 2:
		return c->cr2;
	case 3:
		return c->mmu.cr3;
	case 4:
		return c->cr4;
	default:
		return c->cr8;
	}
}

static bool cr_exists(unsigned int n)
{
	return n == 0 || (n >= 2 && n <= 4) || n == 8;
}

enum cpu_result op_mov_from_cr(struct cpu *c, const struct insn *i)
{
	unsigned int n = i->op[1].reg;

	if (!cr_exists(n))
		return cpu_raise(c, VEC_UD);
	gpr_write(c, i->op[0].reg, i->op[0].size, false, cr_read(c, n));
	return CPU_OK;
}

/* The task priority belongs to the local APIC: root mode does the rest. */
static enum cpu_result mov_to_cr8(struct cpu *c, uint64_t v)
{
	if (v >> 4)
		return cpu_raise_gp(c);
	c->exit.value = v;
	return exit_to_root(c, EXIT_CR_ACCESS);
}

enum cpu_result op_mov_to_cr(struct cpu *c, const struct insn *i)
{
	uint64_t v = gpr_read(c, i->op[1].reg, i->op[1].size, false);

	switch (i->op[0].reg) {
	case 0:
		return cpu_set_cr0(c, v);
	case 2:
		c->cr2 = v;
		return CPU_OK;
	case 3:
		return cpu_set_cr3(c, v);
	case 4:
		return cpu_set_cr4(c, v);
	case 8:
		return mov_to_cr8(c, v);
	default:
		return cpu_raise(c, VEC_UD);
	}
}

enum cpu_result op_clts(struct cpu *c, const struct insn *i)
{
	c->cr0 &= ~CR0_TS;
	cpu_derive(c);
	return CPU_OK;
}

/* LMSW sets PE but cannot clear it. */
enum cpu_result op_lmsw(struct cpu *c, const struct insn *i)
{
	const uint64_t bits = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
	uint64_t v;
	enum cpu_result r = op_read(c, i, 0, &v);

	if (r != CPU_OK)
		return r;
	return cpu_set_cr0(c, (c->cr0 & (~bits | CR0_PE)) | (v & bits));
}

enum cpu_result op_smsw(struct cpu *c, const struct insn *i)
{
	if ((c->cr4 & CR4_UMIP) && c->cpl > 0)
		return cpu_raise_gp(c);
	return op_write(c, i, 0, c->cr0);
}

/* --- Debug registers --- */

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE; then DR7.GD traps any access. */
static enum cpu_result dr_access(struct cpu *c, unsigned int *n)
{
	if (*n == 4 || *n == 5) {
		if (c->cr4 & CR4_DE)
			return cpu_raise(c, VEC_UD);
		*n += 2;
	}
	if (*n > 7)
		return cpu_raise(c, VEC_UD);
	if (!((c->host_dr7 ? c->host_dr7 : c->dr7) & DR7_GD))
		return CPU_OK;
	cpu_raise(c, VEC_DB);
	c->fault.address = DR6_BD;
	return c->host_dr7 ? exit_to_root(c, EXIT_EXCEPTION) : CPU_FAULT;
}

enum cpu_result op_mov_from_dr(struct cpu *c, const struct insn *i)
{
	unsigned int n = i->op[1].reg;
	enum cpu_result r = dr_access(c, &n);
	uint64_t v;

	if (r != CPU_OK)
		return r;
	v = n < 4 ? c->dr[n] : n == 6 ? c->dr6 : c->dr7;
	gpr_write(c, i->op[0].reg, i->op[0].size, false, v);
	return CPU_OK;
}

enum cpu_result op_mov_to_dr(struct cpu *c, const struct insn *i)
{
	unsigned int n = i->op[0].reg;
	uint64_t v = gpr_read(c, i->op[1].reg, i->op[1].size, false);
	enum cpu_result r = dr_access(c, &n);

	if (r != CPU_OK)
		return r;
	if (n < 4) {
		c->dr[n] = v;
		return CPU_OK;
	}
	if (v >> 32)
		return cpu_raise_gp(c);
	if (n == 6)
		c->dr6 = debug_dr6(v);
	else
		c->dr7 = debug_dr7(v);
	return CPU_OK;
}

/* --- TLB --- */

enum cpu_result op_invlpg(struct cpu *c, const struct insn *i)
{
	gva_t gva = cpu_lea(c, i);

	if (!cpu_64bit(c))
		gva = (uint32_t)(gva + c->seg[i->seg].base);
	else if (i->seg == SEG_FS || i->seg == SEG_GS)
		gva += c->seg[i->seg].base;
	if (canonical(c, gva))
		tlb_flush_gva(&c->mmu, gva);
	return CPU_OK;
}

enum { INVPCID_GVA, INVPCID_PCID, INVPCID_ALL, INVPCID_NONGLOBAL };

enum cpu_result op_invpcid(struct cpu *c, const struct insn *i)
{
	uint64_t type = gpr_read(c, i->op[0].reg, i->op[0].size, false);
	uint64_t desc[2]; /* PCID, linear address */
	enum cpu_result r;

	if (type > INVPCID_NONGLOBAL)
		return cpu_raise_gp(c);
	r = cpu_read(c, i->seg, cpu_lea(c, i), desc, sizeof(desc));
	if (r != CPU_OK)
		return r;
	if (desc[0] >> 12)
		return cpu_raise_gp(c);
	if (type <= INVPCID_PCID && desc[0] && !(c->cr4 & CR4_PCIDE))
		return cpu_raise_gp(c);
	switch (type) {
	case INVPCID_GVA:
		if (!canonical_cpu(c, desc[1]))
			return cpu_raise_gp(c);
		tlb_flush_pcid_gva(&c->mmu, desc[0], desc[1]);
		break;
	case INVPCID_PCID:
		tlb_flush_pcid(&c->mmu, desc[0]);
		break;
	case INVPCID_ALL:
		tlb_flush_all(&c->mmu);
		break;
	default:
		tlb_flush_nonglobal(&c->mmu);
	}
	return CPU_OK;
}

/* INVD and WBINVD: the host's caches are coherent, nothing to write back. */
enum cpu_result op_wbinvd(struct cpu *c, const struct insn *i)
{
	return CPU_OK;
}

enum cpu_result op_clzero(struct cpu *c, const struct insn *i)
{
	static const uint8_t zero[64];
	uint64_t off = c->gpr[RAX] & MASK(i->addrsize * 8) & ~63ull;
	unsigned int seg = i->seg_ovr == SEG_NONE ? SEG_DS : i->seg_ovr;

	return cpu_write(c, seg, off, zero, sizeof(zero));
}

/* --- Protection keys --- */

enum cpu_result op_rdpkru(struct cpu *c, const struct insn *i)
{
	if (!(c->cr4 & CR4_PKE))
		return cpu_raise(c, VEC_UD);
	if ((uint32_t)c->gpr[RCX])
		return cpu_raise_gp(c);
	c->gpr[RAX] = c->mmu.pkru;
	c->gpr[RDX] = 0;
	return CPU_OK;
}

enum cpu_result op_wrpkru(struct cpu *c, const struct insn *i)
{
	if (!(c->cr4 & CR4_PKE))
		return cpu_raise(c, VEC_UD);
	if ((uint32_t)c->gpr[RCX] || (uint32_t)c->gpr[RDX])
		return cpu_raise_gp(c);
	cpu_set_pkru(c, c->gpr[RAX]);
	return CPU_OK;
}

/* --- Time, identification --- */

static bool tsc_forbidden(const struct cpu *c)
{
	return (c->cr4 & CR4_TSD) && c->cpl > 0;
}

static void write_edx_eax(struct cpu *c, uint64_t v)
{
	c->gpr[RAX] = (uint32_t)v;
	c->gpr[RDX] = v >> 32;
}

enum cpu_result op_rdtsc(struct cpu *c, const struct insn *i)
{
	if (tsc_forbidden(c))
		return cpu_raise_gp(c);
	write_edx_eax(c, cpu_tsc(c));
	return CPU_OK;
}

enum cpu_result op_rdtscp(struct cpu *c, const struct insn *i)
{
	if (tsc_forbidden(c))
		return cpu_raise_gp(c);
	write_edx_eax(c, cpu_tsc(c));
	c->gpr[RCX] = (uint32_t)c->tsc_aux;
	return CPU_OK;
}

enum cpu_result op_rdpid(struct cpu *c, const struct insn *i)
{
	gpr_write(c, i->op[0].reg, i->op[0].size, false, c->tsc_aux);
	return CPU_OK;
}

/* No performance counter exists: every index is invalid. */
enum cpu_result op_rdpmc(struct cpu *c, const struct insn *i)
{
	return cpu_raise_gp(c);
}

enum cpu_result op_cpuid(struct cpu *c, const struct insn *i)
{
	struct cpuid_entry e;

	if ((c->misc_features & MISC_FEATURES_CPUID_FAULT) && c->cpl > 0)
		return cpu_raise_gp(c);
	cpuid_read(c, c->gpr[RAX], c->gpr[RCX], &e);
	c->gpr[RAX] = e.eax;
	c->gpr[RBX] = e.ebx;
	c->gpr[RCX] = e.ecx;
	c->gpr[RDX] = e.edx;
	return CPU_OK;
}

/* --- Waiting, hypercalls --- */

enum cpu_result op_hlt(struct cpu *c, const struct insn *i)
{
	return exit_to_root(c, EXIT_HLT);
}

/* Two PAUSEs further apart than this are no loop that waits. */
#define SPIN_GAP 4096

/* SDM 3C "Changes to Instruction Behavior in VMX Non-Root Operation": a loop
 * of PAUSE exits once it has been spinning for a window's time.  Getting here
 * takes about as long as PAUSE itself. */
enum cpu_result op_pause(struct cpu *c, const struct insn *i)
{
	uint64_t now = __builtin_ia32_rdtsc();

	if (now - c->spin.last > SPIN_GAP) {
		c->spin.start = now;
		c->spin.begins = true;
	}
	c->spin.last = now;
	if (!c->spin.window || now - c->spin.start < c->spin.window)
		return CPU_OK;
	return exit_to_root(c, EXIT_PAUSE);
}

/* Nothing is monitored: MWAIT may wake up at any time. */
enum cpu_result op_monitor(struct cpu *c, const struct insn *i)
{
	uint64_t off = c->gpr[RAX] & MASK(i->addrsize * 8);
	unsigned int seg = i->seg_ovr == SEG_NONE ? SEG_DS : i->seg_ovr;
	uint8_t byte;

	if ((uint32_t)c->gpr[RCX])
		return cpu_raise_gp(c);
	return cpu_read(c, seg, off, &byte, 1);
}

/* ECX bit 0: interrupts that are masked by IF wake up too. */
enum cpu_result op_mwait(struct cpu *c, const struct insn *i)
{
	if ((uint32_t)c->gpr[RCX] & ~1u)
		return cpu_raise_gp(c);
	return exit_to_root(c, EXIT_MWAIT);
}

enum cpu_result op_vmcall(struct cpu *c, const struct insn *i)
{
	return exit_to_root(c, EXIT_VMCALL);
}
