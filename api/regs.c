#include "api/regs.h"

#include <errno.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mode.h"
#include "irqchip/lapic.h"
#include "mmu/tlb.h"
#include "mmu/walk.h"
#include "root/vm_irq.h"

/* clang-format off */
#define FOR_EACH_GPR(X)                                                        \
	X(rax, RAX) X(rbx, RBX) X(rcx, RCX) X(rdx, RDX)                        \
	X(rsi, RSI) X(rdi, RDI) X(rsp, RSP) X(rbp, RBP)                        \
	X(r8, R8) X(r9, R9) X(r10, R10) X(r11, R11)                            \
	X(r12, R12) X(r13, R13) X(r14, R14) X(r15, R15)
#define FOR_EACH_SEG(X)                                                        \
	X(cs, SEG_CS) X(ds, SEG_DS) X(es, SEG_ES) X(fs, SEG_FS)                \
	X(gs, SEG_GS) X(ss, SEG_SS) X(tr, SEG_TR) X(ldt, SEG_LDTR)
/* clang-format on */

void regs_get(struct vcpu *v, struct kvm_regs *out)
{
	const struct cpu *c = v->cpu;

#define GET(field, reg) out->field = c->gpr[reg];
	FOR_EACH_GPR(GET)
#undef GET
	out->rip = c->rip;
	out->rflags = c->rflags;
}

void regs_set(struct vcpu *v, const struct kvm_regs *in)
{
	struct cpu *c = v->cpu;

	if (in->rip != c->rip)
		vcpu_cancel_io(v);
#define SET(field, reg) c->gpr[reg] = in->field;
	FOR_EACH_GPR(SET)
#undef SET
	c->rip = in->rip;
	cpu_set_rflags(c, in->rflags);
	/* What is due behind the last instruction goes, as Linux has it. */
	c->pending.type = EVENT_NONE;
	c->pending.type = EVENT_NONE;
	cpu_derive(c);
}

static void seg_get(const struct seg *s, struct kvm_segment *out)
{
	out->base = s->base;
	out->limit = s->limit;
	out->selector = s->sel;
	out->type = AR_TYPE(s->ar);
	out->s = !!(s->ar & AR_S);
	out->dpl = AR_DPL(s->ar);
	out->avl = !!(s->ar & AR_AVL);
	out->l = !!(s->ar & AR_L);
	out->db = !!(s->ar & AR_DB);
	out->g = !!(s->ar & AR_G);
	out->unusable = !!(s->ar & AR_UNUSABLE);
	out->present = !out->unusable;
	out->padding = 0;
}

static void seg_set(struct seg *s, const struct kvm_segment *in)
{
	s->base = in->base;
	s->limit = in->limit;
	s->sel = in->selector;
	s->ar = (in->type & 15) | (in->s & 1) << 4 |
		(in->dpl & 3) << AR_DPL_SHIFT | (in->present ? AR_P : 0) |
		(in->avl ? AR_AVL : 0) | (in->l ? AR_L : 0) |
		(in->db ? AR_DB : 0) | (in->g ? AR_G : 0);
	if (in->unusable || !in->present)
		s->ar |= AR_UNUSABLE;
}

/* The part that struct kvm_sregs and kvm_sregs2 share, up to apic_base. */
#define COMMON_SIZE offsetof(struct kvm_sregs, interrupt_bitmap)
_Static_assert(COMMON_SIZE == offsetof(struct kvm_sregs2, flags),
	       "the two structures begin alike");

static void common_get(struct vcpu *v, struct kvm_sregs *out)
{
	const struct cpu *c = v->cpu;

#define GET(field, reg) seg_get(&c->seg[reg], &out->field);
	FOR_EACH_SEG(GET)
#undef GET
	out->gdt = (struct kvm_dtable){ c->gdt.base, c->gdt.limit, { 0 } };
	out->idt = (struct kvm_dtable){ c->idt.base, c->idt.limit, { 0 } };
	out->cr0 = c->cr0;
	out->cr2 = c->cr2;
	out->cr3 = c->mmu.cr3;
	out->cr4 = c->cr4;
	out->cr8 = v->apic ? lapic_cr8(v->apic) : c->cr8;
	out->efer = c->efer;
	out->apic_base = v->apic ? lapic_base(v->apic) : c->apic_base;
}

/* long_mode_ok - CR0, CR4, EFER and CS agree (SDM 3A "Initializing IA-32e
 * Mode"). */
static bool long_mode_ok(const struct cpu *c, const struct kvm_sregs *in)
{
	if ((in->efer & EFER_LME) && (in->cr0 & CR0_PG))
		return (in->cr4 & CR4_PAE) && (in->efer & EFER_LMA) &&
		       !(in->cr3 & ~MASK(c->maxphyaddr));
	return !(in->efer & EFER_LMA) && !in->cs.l;
}

static bool sregs_ok(const struct cpu *c, const struct kvm_sregs *in)
{
	if ((in->cr0 >> 32) || ((in->cr0 & CR0_PG) && !(in->cr0 & CR0_PE)) ||
	    ((in->cr0 & CR0_NW) && !(in->cr0 & CR0_CD)))
		return false;
	if (in->cr4 & (c->cr4_rsvd | CPUID_CR4_NEVER))
		return false;
	return long_mode_ok(c, in);
}

/* apic_base_set - with an in-kernel local APIC its checks decide. */
static int apic_base_set(struct vcpu *v, uint64_t base)
{
	if (v->apic && lapic_set_base(v->apic, base, true))
		return -EINVAL;
	v->cpu->apic_base = base;
	return 0;
}

static bool uses_pdptrs(const struct cpu *c)
{
	return (c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !cpu_long_mode(c);
}

/* cpl_of - what SS.DPL and the mode make it. */
static uint8_t cpl_of(const struct cpu *c)
{
	if (!cpu_protected(c))
		return 0;
	return cpu_vm86(c) ? 3 : AR_DPL(c->seg[SEG_SS].ar);
}

/* Clients that know nothing of MP states reset a halted BSP this way. */
static void reset_bsp(struct vcpu *v)
{
	const struct cpu *c = v->cpu;

	if (v->id == v->vm->bsp_id && c->rip == 0xfff0 && !cpu_protected(c) &&
	    c->seg[SEG_CS].sel == 0xf000 && c->seg[SEG_CS].base == 0xffff0000)
		v->mp_state = MP_RUNNABLE;
}

static int common_set(struct vcpu *v, const struct kvm_sregs *in)
{
	struct cpu *c = v->cpu;

	if (!sregs_ok(c, in) || apic_base_set(v, in->apic_base))
		return -EINVAL;
	if (in->cs.base != c->seg[SEG_CS].base)
		vcpu_cancel_io(v);
#define SET(field, reg) seg_set(&c->seg[reg], &in->field);
	FOR_EACH_SEG(SET)
#undef SET
	c->gdt = (struct dtable){ in->gdt.base, in->gdt.limit };
	c->idt = (struct dtable){ in->idt.base, in->idt.limit };
	c->cr0 = in->cr0 | CR0_ET;
	c->cr2 = in->cr2;
	c->cr4 = in->cr4;
	c->efer = in->efer;
	c->cr8 = in->cr8 & 15;
	if (v->apic)
		lapic_set_cr8(v->apic, c->cr8);
	c->cpl = cpl_of(c);
	tlb_load_cr3(&c->mmu, in->cr3, false);
	cpu_derive(c);
	tlb_flush_all(&c->mmu);
	reset_bsp(v);
	return 0;
}

static void do_load_pdptrs(void *arg)
{
	struct cpu *c = arg;

	(void)walk_load_pdptrs(&c->mmu, c->mmu.cr3);
}

/* load_pdptrs - from guest memory; invalid ones show when they are used. */
static void load_pdptrs(struct cpu *c)
{
	(void)dbt_guard(c, do_load_pdptrs, c);
}

void sregs_get(struct vcpu *v, struct kvm_sregs *out)
{
	int vector = v->ext_vector;

	memset(out, 0, sizeof(*out));
	common_get(v, out);
	if (v->cpu->injecting.type == EVENT_INTR)
		vector = v->cpu->injecting.vector;
	if (vector >= 0 && !vm_has_pic(v->vm))
		out->interrupt_bitmap[vector / 64] |= BIT(vector % 64);
}

int sregs_set(struct vcpu *v, const struct kvm_sregs *in)
{
	struct cpu *c = v->cpu;
	int r = common_set(v, in);

	if (r)
		return r;
	if (uses_pdptrs(c))
		load_pdptrs(c);
	for (unsigned int i = 0; i < ARRAY_SIZE(in->interrupt_bitmap); i++) {
		if (!in->interrupt_bitmap[i])
			continue;
		c->injecting = (struct event){
			.type = EVENT_INTR,
			.vector = i * 64 +
				  __builtin_ctzll(in->interrupt_bitmap[i]),
		};
		break;
	}
	return 0;
}

void sregs2_get(struct vcpu *v, struct kvm_sregs2 *out)
{
	const struct cpu *c = v->cpu;

	memset(out, 0, sizeof(*out));
	common_get(v, (struct kvm_sregs *)out);
	if (!uses_pdptrs(c))
		return;
	memcpy(out->pdptrs, c->mmu.pdptr, sizeof(out->pdptrs));
	out->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
}

int sregs2_set(struct vcpu *v, const struct kvm_sregs2 *in)
{
	bool valid = in->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	bool pae = (in->cr0 & CR0_PG) && (in->cr4 & CR4_PAE) &&
		   !(in->efer & EFER_LMA);
	struct cpu *c = v->cpu;
	int r;

	if ((in->flags & ~(uint64_t)KVM_SREGS2_FLAGS_PDPTRS_VALID) ||
	    (valid && !pae))
		return -EINVAL;
	r = common_set(v, (const struct kvm_sregs *)in);
	if (r)
		return r;
	if (valid)
		memcpy(c->mmu.pdptr, in->pdptrs, sizeof(in->pdptrs));
	else if (pae)
		load_pdptrs(c);
	return 0;
}
