#include "test/api/kt_long.h"

#include <stdlib.h>

#include "include/ring3.h"

static void put(struct kt_vm *t, uint64_t gpa, uint64_t value)
{
	memcpy(t->mem + gpa, &value, sizeof(value));
}

/* 1 GiB by 2-MiB pages onto itself. */
static void make_tables(struct kt_vm *t)
{
	put(t, KT_PML4, (KT_PML4 + 0x1000) | 7);
	put(t, KT_PML4 + 0x1000, (KT_PML4 + 0x2000) | 7);
	for (uint64_t i = 0; i < 512; i++)
		put(t, KT_PML4 + 0x2000 + 8 * i, i << 21 | 0x87);
}

static void make_idt(struct kt_vm *t)
{
	for (uint64_t v = 0; v < 256; v++) {
		uint64_t at = KT_HANDLER + 16 * v;

		put(t, KT_IDT + 16 * v,
		    (at & 0xffff) | 8 << 16 | 0x8e00ull << 32 |
			    (at >> 16) << 48);
		put(t, KT_IDT + 16 * v + 8, 0);
		/* Unless a test says otherwise: hlt. */
		memset(t->mem + at, 0xf4, 16);
	}
}

static void make_gdt(struct kt_vm *t)
{
	put(t, KT_GDT, 0);
	put(t, KT_GDT + 8, 0x00af9b000000ffff);
	put(t, KT_GDT + 16, 0x00cf93000000ffff);
	memset(t->mem + KT_TSS, 0, 0x68);
	put(t, KT_TSS + 4, KT_STACK);
}

static void flat(struct kvm_segment *s, unsigned int sel, bool code)
{
	*s = (struct kvm_segment){ .limit = 0xffffffff,
				   .selector = sel,
				   .type = code ? 11 : 3,
				   .present = 1,
				   .db = !code,
				   .s = 1,
				   .l = code,
				   .g = 1 };
}

static void set_sregs(struct kt_vm *t)
{
	struct kvm_sregs s;

	OK(kt_ioctl(t->vcpu, KVM_GET_SREGS, &s));
	flat(&s.cs, 8, true);
	flat(&s.ss, 16, false);
	s.ds = s.es = s.fs = s.gs = s.ss;
	s.tr = (struct kvm_segment){ .base = KT_TSS,
				     .limit = 0x67,
				     .selector = 24,
				     .type = 11,
				     .present = 1 };
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	s.gdt.base = KT_GDT;
	s.gdt.limit = 0x2f;
	s.idt.base = KT_IDT;
	s.idt.limit = 0xfff;
	s.cr0 = 0x80010033; /* PG, WP, NE, ET, MP, PE */
	s.cr3 = KT_PML4;
	s.cr4 = 0x620;	/* OSXMMEXCPT, OSFXSR, PAE */
	s.efer = 0xd00; /* NXE, LMA, LME */
	OK(kt_ioctl(t->vcpu, KVM_SET_SREGS, &s));
}

void kt_long(struct kt_vm *t, const void *code, size_t len)
{
	struct kvm_regs regs = { .rip = KT_CODE_AT,
				 .rflags = 2,
				 .rsp = KT_STACK };

	memcpy(t->mem + KT_CODE_AT, code, len);
	make_tables(t);
	make_idt(t);
	make_gdt(t);
	kt_set_cpuid(t);
	set_sregs(t);
	OK(kt_ioctl(t->vcpu, KVM_SET_REGS, &regs));
}

void kt_handler(struct kt_vm *t, unsigned int vector, const void *code,
		size_t len)
{
	KT_CHECK(len <= 16);
	memcpy(t->mem + KT_HANDLER + 16 * vector, code, len);
}

void kt_careful(struct kt_vm *t)
{
	struct kvm_enable_cap cap = { .cap = RING3_CAP_CAREFUL, .args[0] = 1 };

	if (!kt_real)
		OK(kt_ioctl(t->vcpu, KVM_ENABLE_CAP, &cap));
}

void kt_pic(struct kt_vm *t)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	OK(kt_ioctl(t->vm, KVM_GET_IRQCHIP, &chip));
	chip.chip.pic.irq_base = 0x20;
	chip.chip.pic.imr = 0;
	chip.chip.pic.init4 = 1;
	OK(kt_ioctl(t->vm, KVM_SET_IRQCHIP, &chip));
	chip.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	OK(kt_ioctl(t->vm, KVM_GET_IRQCHIP, &chip));
	chip.chip.pic.irq_base = 0x28;
	chip.chip.pic.imr = 0;
	OK(kt_ioctl(t->vm, KVM_SET_IRQCHIP, &chip));
}
