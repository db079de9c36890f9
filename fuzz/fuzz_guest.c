/*
 * libFuzzer target: a guest whose page tables, descriptor tables, task state
 * and code come from the input, in every mode of the processor, with the
 * interrupt controllers.  Nothing that a guest does may hurt its host: the
 * sanitizers, REQUIRE and KVM_RUN's errno are the oracles.
 */
#include <errno.h>
#include <string.h>

#include "fuzz/guest.h"
#include "include/ring3.h"

enum {
	CODE = 0x1000,
	IDT = 0x4000,
	GDT = 0x6000,
	LDT = 0x6800,
	TSS = 0x7000,
	TABLES = 0x8000, /* page tables, all levels */
	HANDLERS = 0x10000,
	STACK = 0x18000,
	DATA = 0x20000,
};

enum mode { REAL, PROT16, PROT32, PAGED32, PAE, LONG, LA57, VM86, NR_MODES };

#define MAX_EXITS 40

static struct guest g;

static void put(uint64_t at, uint64_t v, size_t n)
{
	memcpy(g.mem + at % (GUEST_MEM - 8), &v, n);
}

/* Tables that map RAM onto itself, top level at TABLES. */
static void make_tables(enum mode mode)
{
	unsigned int levels = mode == LA57 ? 5 : mode == LONG ? 4 : 3;
	uint64_t at = TABLES;

	if (mode == PAGED32) {
		put(at, (at + 0x1000) | 7, 4);
		put(at + 4, 0x87, 4); /* with PSE a 4-MiB page */
		for (unsigned int i = 0; i < 64; i++)
			put(at + 0x1000 + i * 4, i << 12 | 7, 4);
		return;
	}
	for (; levels > 1; levels--, at += 0x1000)
		put(at, (at + 0x1000) | (mode == PAE && levels == 3 ? 1 : 7),
		    8);
	put(at - 0x1000 + 8, 0x87, 8); /* a 2-MiB page */
	for (uint64_t i = 0; i < 64; i++)
		put(at + i * 8, i << 12 | 7, 8);
}

static void make_gdt(bool wide)
{
	static const uint64_t desc[] = {
		0,
		0x00cf9b000000ffff, /* 08 code, 32 */
		0x00cf93000000ffff, /* 10 data */
		0x00cffb000000ffff, /* 18 code, DPL 3 */
		0x00cff3000000ffff, /* 20 data, DPL 3 */
		0x00af9b000000ffff, /* 28 code, 64 */
		0x00affb000000ffff, /* 30 code, 64, DPL 3 */
		0x00009b010000ffff, /* 38 code, 16 */
		0x000093010000ffff, /* 40 data, 16 */
		0x0000890070000067, /* 48 TSS */
		0,
		0x00008900780000ff, /* 58 another */
		0,
		0x0000820068000fff, /* 68 LDT */
		0,
		0x0000ec0000280000 | HANDLERS, /* 78 call gate */
		0,
		0x0000e50000580000, /* 88 task gate */
		0x00cf9f000000ffff, /* 90 conforming */
		0x0040970000000fff, /* 98 expand-down */
	};

	for (unsigned int i = 0; i < sizeof(desc) / 8; i++)
		put(GDT + i * 8, desc[i], 8);
	memcpy(g.mem + LDT, g.mem + GDT, 0x100);
	for (uint64_t v = 0; v < 256; v++) {
		uint64_t gate = ((wide ? 0x28 : 0x08) << 16) |
				0xee0000000000ull | (HANDLERS + v * 16);

		if (!wide && v % 32 == 9)
			gate = 0xe50000580000ull;
		put(IDT + v * (wide ? 16 : 8), gate, 8);
	}
	put(TSS + 4, STACK, 4);
	put(TSS + 8, wide ? 0 : 0x10, 4);
	for (unsigned int i = 36; wide && i < 92; i += 8)
		put(TSS + i, STACK + i * 16, 8);
	put(TSS + 102, 0x68, 2);
}

/* Handlers: a few faults go on behind the instruction, then it is enough. */
static void make_handlers(bool wide)
{
	static const uint8_t code32[] = { 0xfe, 0x05, 0x00, 0x00, 0x02,
					  0x00, 0xff, 0x04, 0x24, 0xcf };
	static const uint8_t code64[] = { 0xfe, 0x04, 0x25, 0x00, 0x00,
					  0x02, 0x00, 0x48, 0xff, 0x04,
					  0x24, 0x48, 0xcf };

	for (unsigned int v = 0; v < 256; v++)
		memcpy(g.mem + HANDLERS + v * 16, wide ? code64 : code32,
		       wide ? sizeof(code64) : sizeof(code32));
}

static void segment(struct kvm_segment *s, unsigned int sel, unsigned int type,
		    unsigned int dpl, bool l, bool db)
{
	*s = (struct kvm_segment){ .limit = 0xffffffff,
				   .selector = sel | dpl,
				   .type = type,
				   .present = 1,
				   .dpl = dpl,
				   .s = 1,
				   .db = db,
				   .l = l,
				   .g = 1 };
}

static void protected_mode(struct kvm_sregs *s, enum mode mode, bool user)
{
	bool wide = mode == LONG || mode == LA57;
	unsigned int dpl = user ? 3 : 0;

	segment(&s->cs,
		wide   ? user ? 0x30 : 0x28
		: user ? 0x18
		       : 8,
		11, dpl, wide, !wide && mode != PROT16);
	segment(&s->ss, user ? 0x20 : 0x10, 3, dpl, false, mode != PROT16);
	s->ds = s->es = s->fs = s->gs = s->ss;
	s->cr0 = 0x10033;
	s->cr4 = 0x600;
	s->cr3 = TABLES;
	if (mode == PAGED32)
		s->cr4 |= 0x10; /* PSE */
	if (mode >= PAE && mode <= LA57)
		s->cr4 |= 0x20;
	if (mode == LA57)
		s->cr4 |= 0x1000;
	if (mode >= PAGED32 && mode <= LA57)
		s->cr0 |= 0x80000000;
	if (wide)
		s->efer = 0xd01;
}

static void vm86(struct kvm_sregs *s)
{
	struct kvm_segment *seg[] = { &s->cs, &s->ss, &s->ds,
				      &s->es, &s->fs, &s->gs };

	for (int i = 0; i < 6; i++)
		*seg[i] = (struct kvm_segment){ .limit = 0xffff,
						.type = 3,
						.present = 1,
						.dpl = 3,
						.s = 1 };
	s->cr4 |= 1; /* VME */
}

static void set_sregs(struct input *in, enum mode mode, uint8_t how)
{
	struct kvm_sregs s = g.sregs;
	bool wide = mode == LONG || mode == LA57;

	s.cs.base = s.cs.selector = 0;
	if (mode != REAL)
		protected_mode(&s, mode, how & 1);
	if (mode == VM86)
		vm86(&s);
	s.gdt = (struct kvm_dtable){ GDT, 0x9f, { 0 } };
	s.idt = (struct kvm_dtable){ IDT, wide ? 0xfff : 0x7ff, { 0 } };
	if (mode == REAL)
		s.idt = (struct kvm_dtable){ 0, 0x3ff, { 0 } };
	s.tr = (struct kvm_segment){ .base = TSS,
				     .limit = 0xfff,
				     .selector = 0x48,
				     .type = 11,
				     .present = 1 };
	s.ldt = (struct kvm_segment){ .base = LDT,
				      .limit = 0xfff,
				      .selector = 0x68,
				      .type = 2,
				      .present = 1 };
	/* Features on top, as the input likes. */
	s.cr4 ^= take(in, 4) & 0x3f07df;
	s.cr0 ^= take(in, 1) & 0xe;
	if (ring3_ioctl(g.vcpu, KVM_SET_SREGS, &s))
		s.cr4 &= 0x1030; /* some are not offered */
	ring3_ioctl(g.vcpu, KVM_SET_SREGS, &s);
}

static void set_regs(struct input *in, enum mode mode, uint8_t how)
{
	struct kvm_regs r = { .rip = CODE, .rsp = STACK - 0x100, .rflags = 2 };

	r.rax = take(in, 4);
	r.rbx = DATA + take(in, 2);
	r.rcx = take(in, 2);
	r.rdx = take(in, 2);
	r.rsi = take(in, 3);
	r.rdi = take(in, 3);
	r.rbp = take(in, 8);
	r.r8 = 1ull << (take(in, 1) & 63);
	r.r15 = take(in, 8);
	if (mode == REAL || mode == VM86 || mode == PROT16)
		r.rsp &= 0xffff;
	if (mode == VM86)
		r.rflags |= 0x20000;
	r.rflags |= how & 2 ? 0x200 : 0;
	r.rflags |= how & 4 ? 0x100 : 0;
	r.rflags |= how & 8 ? 0x3000 : 0;
	ring3_ioctl(g.vcpu, KVM_SET_REGS, &r);
}

/* Changes to the tables: mostly single entries. */
static void change(struct input *in)
{
	unsigned int n = take(in, 1) % 32;

	while (n-- && in->n) {
		unsigned int what = take(in, 1);
		uint64_t at = what & 1	 ? IDT + take(in, 1) * 8
			      : what & 2 ? GDT + take(in, 1) * 8
					 : TABLES + (take(in, 2) & 0x7ff8);
		uint64_t v = take(in, 8);

		if (what & 4)
			v = (v & 0x3f000) | (v >> 52 & 0xfff) | 1;
		put(at, v, what & 8 ? 4 : 8);
	}
}

/* User mode answers, and now and then has an interrupt or changes memory. */
static bool goes_on(struct input *in)
{
	struct kvm_irq_level irq = { .irq = in->n & 15, .level = 1 };

	switch (g.run->exit_reason) {
	case KVM_EXIT_IO:
		if (g.run->io.direction == KVM_EXIT_IO_IN)
			take_bytes(in, (uint8_t *)g.run + g.run->io.data_offset,
				   g.run->io.size);
		break;
	case KVM_EXIT_MMIO:
		if (!g.run->mmio.is_write)
			take_bytes(in, g.run->mmio.data, 8);
		break;
	default:
		return false;
	}
	ring3_ioctl(g.vm, KVM_IRQ_LINE, &irq);
	irq.level = 0;
	ring3_ioctl(g.vm, KVM_IRQ_LINE, &irq);
	if (take(in, 1) == 0xa5)
		ring3_ioctl(g.vcpu, KVM_NMI, NULL);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	enum mode mode = take(&in, 1) % NR_MODES;
	uint8_t how = take(&in, 1);
	struct kvm_enable_cap careful = { .cap = RING3_CAP_CAREFUL,
					  .args[0] = how >> 7 };

	if (!g.mem)
		guest_open(&g, true, false, false);
	guest_reset(&g);
	ring3_ioctl(g.vcpu, KVM_ENABLE_CAP, &careful);
	if (mode >= PAGED32 && mode <= LA57)
		make_tables(mode);
	if (mode != REAL)
		make_gdt(mode == LONG || mode == LA57);
	make_handlers(mode == LONG || mode == LA57);
	change(&in);
	set_sregs(&in, mode, how);
	set_regs(&in, mode, how);
	take_bytes(&in, g.mem + CODE, take(&in, 1) * 4);
	for (int i = 0; i < MAX_EXITS; i++)
		if (guest_run(&g, 1) || !goes_on(&in))
			break;
	return 0;
}
