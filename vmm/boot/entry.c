#include "vmm/boot/entry.h"

#include <string.h>

#include "vmm/boot/layout.h"

/* Selectors that Linux's boot protocol asks for: __BOOT_CS, __BOOT_DS. */
#define BOOT_CS	 0x10
#define BOOT_DS	 0x18
#define BOOT_TSS 0x20

#define CR0_PE	 0x00000001
#define CR0_ET	 0x00000010
#define CR0_NE	 0x00000020
#define CR0_PG	 0x80000000
#define CR4_PAE	 0x20
#define EFER_LME 0x100
#define EFER_LMA 0x400

#define PTE_TABLE 0x003 /* present, writable */
#define PDE_LARGE 0x083 /* the same, and a 2 MiB page */

/* Flat segments, and a small busy TSS at the GDT itself. */
static const uint64_t gdt_prot32[] = {
	0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0910000067,
};
static const uint64_t gdt_long64[] = {
	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00008b0910000067, 0,
};

static int entry_write_page_tables(const struct ram *ram)
{
	uint64_t *table = ram_ptr(ram, LAYOUT_PAGE_TABLES, 6 * PAGE_SIZE);

	if (!table)
		return -1;
	memset(table, 0, 6 * PAGE_SIZE);
	table[0] = (LAYOUT_PAGE_TABLES + PAGE_SIZE) | PTE_TABLE;
	for (unsigned i = 0; i < 4; i++)
		table[512 + i] =
			(LAYOUT_PAGE_TABLES + (2 + i) * PAGE_SIZE) | PTE_TABLE;
	for (unsigned i = 0; i < 4 * 512; i++)
		table[2 * 512 + i] = ((uint64_t)i << 21) | PDE_LARGE;
	return 0;
}

int entry_write_tables(const struct entry *entry, const struct ram *ram)
{
	switch (entry->mode) {
	case ENTRY_REAL:
	case ENTRY_RESET:
		return 0;
	case ENTRY_PROT32:
		return ram_write(ram, LAYOUT_GDT, gdt_prot32,
				 sizeof(gdt_prot32));
	case ENTRY_LONG64:
		if (entry_write_page_tables(ram))
			return -1;
		return ram_write(ram, LAYOUT_GDT, gdt_long64,
				 sizeof(gdt_long64));
	}
	return -1;
}

static void entry_set_real(struct kvm_sregs *s)
{
	struct kvm_segment *segs[] = { &s->cs, &s->ds, &s->es,
				       &s->fs, &s->gs, &s->ss };

	for (size_t i = 0; i < ARRAY_SIZE(segs); i++) {
		segs[i]->base = 0;
		segs[i]->selector = 0;
	}
}

static void entry_set_flat(struct kvm_sregs *s, bool long64)
{
	struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = BOOT_DS,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};

	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->cs = data;
	s->cs.selector = BOOT_CS;
	s->cs.type = 11;
	s->cs.db = !long64;
	s->cs.l = long64;
	s->tr = (struct kvm_segment){
		.base = LAYOUT_GDT,
		.limit = 0x67,
		.selector = BOOT_TSS,
		.type = 11,
		.present = 1,
	};
	s->ldt = (struct kvm_segment){ .type = 2, .unusable = 1 };
	s->gdt.base = LAYOUT_GDT;
	s->gdt.limit = long64 ? sizeof(gdt_long64) - 1 : sizeof(gdt_prot32) - 1;
	s->idt.base = 0;
	s->idt.limit = 0;
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
}

void entry_set_regs(const struct entry *entry, struct kvm_regs *regs,
		    struct kvm_sregs *sregs)
{
	*regs = (struct kvm_regs){
		.rip = entry->rip,
		.rflags = 2,
		.rax = entry->rax,
		.rbx = entry->rbx,
		.rdx = entry->rdx,
		.rsi = entry->rsi,
		.rsp = entry->rsp,
	};
	switch (entry->mode) {
	case ENTRY_RESET:
		break;
	case ENTRY_REAL:
		entry_set_real(sregs);
		if (entry->rip > 0xffff) {
			sregs->cs.base = entry->rip & ~15ull;
			sregs->cs.selector = entry->rip >> 4;
			regs->rip = entry->rip & 15;
		}
		break;
	case ENTRY_PROT32:
		entry_set_flat(sregs, false);
		break;
	case ENTRY_LONG64:
		entry_set_flat(sregs, true);
		sregs->cr0 |= CR0_PG;
		sregs->cr3 = LAYOUT_PAGE_TABLES;
		sregs->cr4 |= CR4_PAE;
		sregs->efer |= EFER_LME | EFER_LMA;
		break;
	}
}
