#include "cpu/cpu.h"
#include "cpu/mode.h"
#include "cpu/ops_seg.h"
#include "cpu/segment.h"

/*
 * SYSCALL, SYSENTER, their returns, SWAPGS and the FS and GS base.
 * Source: SDM 2 "SYSCALL", "SYSRET", "SYSENTER", "SYSEXIT", "SWAPGS",
 * "RDFSBASE/RDGSBASE"; APM 3 "SYSCALL" for what only AMD has: SYSCALL and
 * SYSRET outside 64-bit mode.  Where the two differ otherwise we follow Intel.
 */

#define TYPE_CODE (AR_CODE | AR_RW | AR_ACCESSED)
#define TYPE_DATA (AR_RW | AR_ACCESSED)
#define DPL3	  (3u << AR_DPL_SHIFT)
/* What SYSRET takes from R11: all but RF and VM. */
#define SYSRET_FLAGS 0x3c7fd7ull

static bool is_amd(const struct cpu *c)
{
	for (unsigned int n = 0; n < c->nr_cpuid; n++) {
		const struct cpuid_entry *e = &c->cpuid[n];

		if (e->function == 0)
			return e->ebx == 0x68747541 && e->edx == 0x69746e65 &&
			       e->ecx == 0x444d4163;
	}
	return false;
}

/* Flat CS and SS with the given selectors at CPL @cpl; @ar: CS's L or D/B. */
static void load_flat(struct cpu *c, unsigned int cpl, uint16_t cs, uint16_t ss,
		      uint32_t ar)
{
	const uint32_t dpl = cpl << AR_DPL_SHIFT;

	c->cpl = cpl;
	seg_flat(c, SEG_CS, (cs & ~3u) | cpl, ar | TYPE_CODE | dpl);
	seg_flat(c, SEG_SS, (ss & ~3u) | cpl, AR_DB | TYPE_DATA | dpl);
}

static uint16_t star_call(const struct cpu *c)
{
	return (c->star >> 32) & 0xfffc;
}

static uint16_t star_ret(const struct cpu *c)
{
	return c->star >> 48;
}

/* SYSCALL in long mode, from 64-bit or (AMD) compatibility mode. */
static void syscall_long(struct cpu *c)
{
	c->gpr[RCX] = c->next_rip;
	c->gpr[R11] = c->rflags & ~RFLAGS_RF;
	c->next_rip = cpu_64bit(c) ? c->lstar : c->cstar;
	load_flat(c, 0, star_call(c), star_call(c) + 8, AR_L);
	cpu_set_rflags(c, c->rflags & ~(c->fmask | RFLAGS_RF | RFLAGS_VM));
}

static void syscall_legacy(struct cpu *c)
{
	gpr_write(c, RCX, 4, false, c->next_rip);
	c->next_rip = (uint32_t)c->star;
	load_flat(c, 0, star_call(c), star_call(c) + 8, AR_DB);
	cpu_set_rflags(c, c->rflags & ~(RFLAGS_IF | RFLAGS_RF | RFLAGS_VM));
}

enum cpu_result op_syscall(struct cpu *c, const struct insn *i)
{
	if (!(c->efer & EFER_SCE))
		return cpu_raise(c, VEC_UD);
	if (!cpu_64bit(c) && (!is_amd(c) || !cpu_protected(c)))
		return cpu_raise(c, VEC_UD);
	if (cpu_long_mode(c))
		syscall_long(c);
	else
		syscall_legacy(c);
	cpu_derive(c);
	return CPU_OK;
}

static enum cpu_result sysret_long(struct cpu *c, unsigned int opsize)
{
	if (opsize == 8 && !canonical(c, c->gpr[RCX]))
		return cpu_raise_gp(c);
	if (opsize == 8) {
		c->next_rip = c->gpr[RCX];
		load_flat(c, 3, star_ret(c) + 16, star_ret(c) + 8, AR_L);
	} else {
		c->next_rip = (uint32_t)c->gpr[RCX];
		load_flat(c, 3, star_ret(c), star_ret(c) + 8, AR_DB);
	}
	cpu_set_rflags(c, c->gpr[R11] & SYSRET_FLAGS);
	return CPU_OK;
}

enum cpu_result op_sysret(struct cpu *c, const struct insn *i)
{
	enum cpu_result r = CPU_OK;

	if (!(c->efer & EFER_SCE))
		return cpu_raise(c, VEC_UD);
	if (!cpu_64bit(c) && (!is_amd(c) || !cpu_protected(c)))
		return cpu_raise(c, VEC_UD);
	if (c->cpl)
		return cpu_raise_gp(c);
	if (cpu_64bit(c)) {
		r = sysret_long(c, i->opsize);
	} else {
		c->next_rip = (uint32_t)c->gpr[RCX];
		load_flat(c, 3, star_ret(c), star_ret(c) + 8, AR_DB);
		cpu_set_rflags(c, c->rflags | RFLAGS_IF);
	}
	cpu_derive(c);
	return r;
}

enum cpu_result op_sysenter(struct cpu *c, const struct insn *i)
{
	const uint16_t cs = c->sysenter_cs & 0xfffc;
	const bool lm = cpu_long_mode(c);

	if (!cpu_protected(c) || !cs)
		return cpu_raise_gp(c);
	c->gpr[RSP] = lm ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
	c->next_rip = lm ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
	load_flat(c, 0, cs, cs + 8, lm ? AR_L : AR_DB);
	cpu_set_rflags(c, c->rflags & ~(RFLAGS_VM | RFLAGS_IF));
	cpu_derive(c);
	return CPU_OK;
}

enum cpu_result op_sysexit(struct cpu *c, const struct insn *i)
{
	const uint16_t cs = c->sysenter_cs & 0xfffc;
	const bool to64 = i->opsize == 8;

	if (!cpu_protected(c) || !cs || c->cpl)
		return cpu_raise_gp(c);
	if (to64 && (!canonical(c, c->gpr[RCX]) || !canonical(c, c->gpr[RDX])))
		return cpu_raise_gp(c);
	if (to64) {
		c->gpr[RSP] = c->gpr[RCX];
		c->next_rip = c->gpr[RDX];
		load_flat(c, 3, cs + 32, cs + 40, AR_L);
	} else {
		c->gpr[RSP] = (uint32_t)c->gpr[RCX];
		c->next_rip = (uint32_t)c->gpr[RDX];
		load_flat(c, 3, cs + 16, cs + 24, AR_DB);
	}
	cpu_derive(c);
	return CPU_OK;
}

enum cpu_result op_swapgs(struct cpu *c, const struct insn *i)
{
	uint64_t base = c->seg[SEG_GS].base;

	if (!cpu_64bit(c))
		return cpu_raise(c, VEC_UD);
	if (c->cpl)
		return cpu_raise_gp(c);
	c->seg[SEG_GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
	return CPU_OK;
}

static bool base_insn_ok(const struct cpu *c)
{
	return cpu_64bit(c) && (c->cr4 & CR4_FSGSBASE);
}

static enum cpu_result read_base(struct cpu *c, const struct insn *i,
				 unsigned int reg)
{
	if (!base_insn_ok(c))
		return cpu_raise(c, VEC_UD);
	gpr_write(c, i->op[0].reg, i->op[0].size, false, c->seg[reg].base);
	return CPU_OK;
}

static enum cpu_result write_base(struct cpu *c, const struct insn *i,
				  unsigned int reg)
{
	uint64_t base;

	if (!base_insn_ok(c))
		return cpu_raise(c, VEC_UD);
	base = gpr_read(c, i->op[0].reg, i->op[0].size, false);
	if (!canonical(c, base))
		return cpu_raise_gp(c);
	c->seg[reg].base = base;
	return CPU_OK;
}

enum cpu_result op_rdfsbase(struct cpu *c, const struct insn *i)
{
	return read_base(c, i, SEG_FS);
}

enum cpu_result op_rdgsbase(struct cpu *c, const struct insn *i)
{
	return read_base(c, i, SEG_GS);
}

enum cpu_result op_wrfsbase(struct cpu *c, const struct insn *i)
{
	return write_base(c, i, SEG_FS);
}

enum cpu_result op_wrgsbase(struct cpu *c, const struct insn *i)
{
	return write_base(c, i, SEG_GS);
}
