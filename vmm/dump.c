#include "vmm/dump.h"

#include <stdio.h>
#include <string.h>

#include "vmm/log.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

#define CR0_PE	  0x1
#define CR0_PG	  0x80000000
#define CR4_PAE	  0x20
#define CR4_LA57  0x1000
#define EFER_LMA  0x400
#define RFLAGS_VM 0x20000

#define CODE_BYTES 16

typedef unsigned long long ull;

static const char *dump_mode(const struct kvm_regs *r,
			     const struct kvm_sregs *s)
{
	if (!(s->cr0 & CR0_PE))
		return "real mode";
	if (s->efer & EFER_LMA)
		return s->cs.l ? "64-bit mode" : "compatibility mode";
	if (r->rflags & RFLAGS_VM)
		return "virtual-8086 mode";
	return s->cs.db ? "32-bit protected mode" : "16-bit protected mode";
}

static const char *dump_paging(const struct kvm_sregs *s)
{
	if (!(s->cr0 & CR0_PG))
		return "no paging";
	if (s->efer & EFER_LMA)
		return s->cr4 & CR4_LA57 ? "5-level paging" : "4-level paging";
	return s->cr4 & CR4_PAE ? "PAE paging" : "32-bit paging";
}

static void dump_segment(const char *name, const struct kvm_segment *s)
{
	fprintf(stderr,
		"  %s %04x base %016llx limit %08x type %x s %u dpl %u p %u "
		"l %u db %u g %u%s\n",
		name, s->selector, (ull)s->base, s->limit, s->type, s->s,
		s->dpl, s->present, s->l, s->db, s->g,
		s->unusable ? " unusable" : "");
}

static void dump_regs(const struct kvm_regs *r, const struct kvm_sregs *s)
{
	fprintf(stderr,
		"  rip %016llx  rflags %08llx  cs %04x\n"
		"  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
		"  rsi %016llx  rdi %016llx  rbp %016llx  rsp %016llx\n"
		"  r8  %016llx  r9  %016llx  r10 %016llx  r11 %016llx\n"
		"  r12 %016llx  r13 %016llx  r14 %016llx  r15 %016llx\n",
		r->rip, r->rflags, s->cs.selector, r->rax, r->rbx, r->rcx,
		r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10,
		r->r11, r->r12, r->r13, r->r14, r->r15);
	fprintf(stderr,
		"  cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  "
		"efer %llx\n",
		s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
	dump_segment("cs", &s->cs);
	dump_segment("ss", &s->ss);
	dump_segment("ds", &s->ds);
	dump_segment("tr", &s->tr);
	fprintf(stderr, "  gdt %016llx/%x  idt %016llx/%x\n", s->gdt.base,
		s->gdt.limit, s->idt.base, s->idt.limit);
}

static void dump_code(struct vcpu *vcpu, gva_t rip)
{
	struct kvm_translation tr = { .linear_address = rip };
	const uint8_t *p;

	if (kvmfd_ioctl(&vcpu->fd, KVM_TRANSLATE, &tr) < 0 || !tr.valid) {
		fprintf(stderr, "  code at %#llx: not mapped\n", (ull)rip);
		return;
	}
	p = ram_ptr(&vcpu->vm->ram, tr.physical_address, CODE_BYTES);
	if (!p) {
		fprintf(stderr, "  code at %#llx: physical %#llx is not RAM\n",
			(ull)rip, tr.physical_address);
		return;
	}
	fprintf(stderr, "  code at %#llx (physical %#llx):", (ull)rip,
		tr.physical_address);
	for (unsigned i = 0; i < CODE_BYTES; i++)
		fprintf(stderr, " %02x", p[i]);
	fputc('\n', stderr);
}

static void dump_exits(const struct exits *x)
{
	uint64_t now = loop_now_ns();
	uint64_t first = x->total > EXITS_RECENT ? x->total - EXITS_RECENT : 0;

	fprintf(stderr, "  last exits to user mode, of %llu:\n", (ull)x->total);
	for (uint64_t i = first; i < x->total; i++) {
		const struct exit_record *r = &x->recent[i % EXITS_RECENT];
		char text[96];

		exits_text(r, text, sizeof(text));
		fprintf(stderr, "    %10.3f ms ago  %s\n",
			(now - r->time_ns) / 1e6, text);
	}
}

void dump_vcpu(struct vcpu *vcpu, const char *headline)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	log_error(0, "CPU %u: %s", vcpu->id, headline);
	if (kvmfd_ioctl(&vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvmfd_ioctl(&vcpu->fd, KVM_GET_SREGS, &sregs) < 0) {
		fprintf(stderr, "  KVM does not give its registers\n");
		return;
	}
	fprintf(stderr, "  %s, %s, CPL %u\n", dump_mode(&regs, &sregs),
		dump_paging(&sregs), sregs.ss.dpl);
	dump_regs(&regs, &sregs);
	dump_code(vcpu, sregs.cs.base + regs.rip);
	dump_exits(&vcpu->exits);
}
