/*
 * libFuzzer target: user code of 64 or 32 bits that may write to itself,
 * through one mapping or another, run by the translator and in careful form.
 * All exits, registers and memory must agree.  With RING3_DIRECT=always in the
 * environment (fuzz/smc_direct.c) 64-bit code runs natively, with what Linux
 * has for user code: selectors, CR4.FSGSBASE, AVX.  Page tables, descriptors
 * and the handlers of faults are out of the code's reach: a TLB may keep what
 * the tables said before, so that such code has no single right outcome.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/guest.h"
#include "include/ring3.h"

/* Physical pages: supervisor's at 0, the user's from USER on. */
enum {
	IDT = 0x1000,
	HANDLERS = 0x2000,
	SYSCALL_ENTRY = 0x2f00,
	GDT = 0x3000,
	TSS = 0x3800,
	KSTACK = 0x5000,
	PML4 = 0x8000,
	PDPT = 0x9000,
	PD = 0xa000,
	PT = 0xb000,
	USER = 0x10000, /* code and data, all writable and executable */
	USER_SIZE = 0x8000,
	/* Linear only: */
	ALIAS = 0x40000,     /* the user's pages again */
	READ_ONLY = 0x50000, /* and again */
	MMIO = 0x60000,	     /* a page of nothing */
	MMIO_GPA = 0x100000,
};

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull

/* Selectors of user mode are those that Linux has. */
#define USER_CS 0x33
#define USER_SS 0x2b

#define MAX_EXITS 64

static struct guest guests[2];

static void put(uint8_t *mem, uint64_t at, uint64_t v)
{
	memcpy(mem + at, &v, 8);
}

static void map(uint8_t *mem, uint64_t gva, uint64_t gpa, uint64_t flags)
{
	/* Accessed and dirty already: who sets them when is not the point. */
	put(mem, PT + (gva >> 12) * 8, gpa | flags | 0x60);
}

static void make_tables(uint8_t *mem)
{
	put(mem, PML4, PDPT | 7 | 0x60);
	put(mem, PDPT, PD | 7 | 0x60);
	put(mem, PD, PT | 7 | 0x60);
	for (uint64_t a = 0; a < PML4; a += 0x1000)
		map(mem, a, a, PTE_P | PTE_W);
	for (uint64_t a = 0; a < USER_SIZE; a += 0x1000) {
		map(mem, USER + a, USER + a, PTE_P | PTE_W | PTE_U);
		map(mem, ALIAS + a, USER + a, PTE_P | PTE_W | PTE_U);
		map(mem, READ_ONLY + a, USER + a, PTE_P | PTE_U);
	}
	map(mem, MMIO, MMIO_GPA, PTE_P | PTE_W | PTE_U);
}

/*
 * A fault goes on one byte further, and the 12th ends it: vectors with an error
 * code drop it first.  #GP ends it at once: see ended_by_gp().
 */
static void make_handlers(uint8_t *mem)
{
	/* add $8, %rsp (or NOPs); decb KSTACK; jz 1f; incq (%rsp); iretq;
	 * 1: hlt */
	static const uint8_t code[] = { 0x48, 0x83, 0xc4, 0x08, 0xfe,
					0x0c, 0x25, 0x00, 0x50, 0x00,
					0x00, 0x74, 0x06, 0x48, 0xff,
					0x04, 0x24, 0x48, 0xcf, 0xf4 };
	const uint32_t with_error = 1 << 8 | 0x1f << 10 | 1 << 17 | 1 << 21;

	for (unsigned int v = 0; v < 64; v++) {
		uint64_t at = HANDLERS + v * 32;

		memcpy(mem + at, code, sizeof(code));
		if (v > 31 || !(with_error >> v & 1))
			memset(mem + at, 0x90, 4);
		put(mem, IDT + v * 16, at | 8 << 16 | 0x8e00ull << 32);
	}
	mem[HANDLERS + 13 * 32] = 0xf4;
	mem[KSTACK] = 12;
}

static void segment(struct kvm_segment *s, unsigned int sel, unsigned int type,
		    bool wide)
{
	*s = (struct kvm_segment){ .limit = 0xffffffff,
				   .selector = sel,
				   .type = type,
				   .present = 1,
				   .dpl = 3,
				   .s = 1,
				   .db = !wide,
				   .l = wide,
				   .g = 1 };
}

static void make_segments(struct guest *g, bool wide, bool avx)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };
	struct kvm_sregs s = g->sregs;

	put(g->mem, GDT + 8, 0x00af9b000000ffff);
	put(g->mem, GDT + (USER_SS & ~7), 0x00cff3000000ffff);
	put(g->mem, GDT + (USER_CS & ~7),
	    wide ? 0x00affb000000ffff : 0x00cffb000000ffff);
	put(g->mem, TSS + 4, KSTACK);
	segment(&s.cs, USER_CS, 11, wide);
	segment(&s.ss, USER_SS, 3, false);
	s.ds = s.es = s.fs = s.gs = s.ss;
	if (guest_direct()) {
		s.fs.selector = s.gs.selector = 0;
		s.fs.unusable = s.gs.unusable = 1;
	}
	s.tr = (struct kvm_segment){ .base = TSS,
				     .limit = 0x67,
				     .selector = 0x40,
				     .type = 11,
				     .present = 1 };
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	s.gdt = (struct kvm_dtable){ GDT, 0x47, { 0 } };
	s.idt = (struct kvm_dtable){ IDT, 64 * 16 - 1, { 0 } };
	s.cr0 = 0x80010033;
	s.cr3 = PML4;
	s.cr4 = avx ? 0x40620 : 0x620;
	if (guest_direct())
		s.cr4 |= 0x10000;
	s.efer = guest_direct() ? 0xd01 : 0xd00;
	xcrs.xcrs[0].value = avx ? 7 : 1;
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_XCRS, &xcrs));
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_SREGS, &s));
}

/* SYSCALL ends it. */
static void make_syscall(struct guest *g)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[2];
	} msrs = { .head.nmsrs = 2,
		   .e = { { .index = 0xc0000081, .data = 8ull << 32 },
			  { .index = 0xc0000082, .data = SYSCALL_ENTRY } } };

	g->mem[SYSCALL_ENTRY] = 0xf4;
	REQUIRE(ring3_ioctl(g->vcpu, KVM_SET_MSRS, &msrs) == 2);
}

/* Where registers point: somewhere in the user's pages or the others. */
static uint64_t place(struct input *in)
{
	static const uint32_t base[] = { USER, ALIAS, READ_ONLY,     MMIO,
					 USER, ALIAS, USER + 0x4000, 0 };
	unsigned int n = take(in, 1);

	return base[n & 7] + (n >> 3 << 8) % USER_SIZE + take(in, 1);
}

static void load(struct guest *g, struct input in)
{
	uint8_t how = take(&in, 1) | (guest_direct() ? 9 : 0);
	struct kvm_regs regs = { .rflags = guest_direct() ? 0x202 : 2 };

	guest_reset(g);
	make_tables(g->mem);
	make_handlers(g->mem);
	make_segments(g, how & 1, how & 8);
	if (guest_direct())
		make_syscall(g);
	regs.rip = USER + take(&in, 2) % 0x3000;
	regs.rsp = USER + 0x7f00;
	regs.rax = take(&in, 4);
	regs.rbx = place(&in);
	regs.rcx = take(&in, 1);
	regs.rdx = place(&in);
	regs.rsi = place(&in);
	regs.rdi = place(&in);
	regs.rbp = place(&in);
	regs.r8 = place(&in);
	regs.r10 = place(&in);
	regs.r15 = take(&in, 8);
	regs.rflags |= how & 2 ? 0x100 : 0; /* TF */
	regs.rflags |= how & 4 ? 0x400 : 0; /* DF */
	take_bytes(&in, g->mem + regs.rip, 0x4000);
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_SET_REGS, &regs));
}

/* What user mode sees at an exit. */
struct seen {
	uint32_t reason;
	uint64_t what[4];
	struct kvm_regs regs;
};

static void look(const struct guest *g, struct seen *s)
{
	const struct kvm_run *run = g->run;

	*s = (struct seen){ .reason = run->exit_reason };
	if (run->exit_reason == KVM_EXIT_MMIO) {
		s->what[0] = run->mmio.phys_addr;
		s->what[1] = run->mmio.len;
		s->what[2] = run->mmio.is_write;
		if (run->mmio.is_write)
			memcpy(&s->what[3], run->mmio.data, run->mmio.len);
	}
	REQUIRE(!ring3_ioctl(g->vcpu, KVM_GET_REGS, &s->regs));
	/*
	 * Translated code forgets RF where no breakpoint is armed that it could
	 * mask; an instruction that is not done yet shows that.
	 */
	s->regs.rflags &= ~0x10000ull;
}

static bool goes_on(struct guest *g, unsigned int n)
{
	static const uint8_t data[8] = { 0x41, 0x10, 0, 0, 0x90, 0xc3, 1, 0 };

	if (g->run->exit_reason != KVM_EXIT_MMIO)
		return false;
	if (!g->run->mmio.is_write)
		memcpy(g->run->mmio.data, data + n % 4, 4);
	return true;
}

static void show(const char *what, const struct seen *a, const struct seen *b)
{
	fprintf(stderr, "%s: exits %u and %u, rip %llx and %llx\n", what,
		a->reason, b->reason, a->regs.rip, b->regs.rip);
	for (size_t i = 0; i < sizeof(a->regs) / 8; i++)
		if ((&a->regs.rax)[i] != (&b->regs.rax)[i])
			fprintf(stderr, "  register %zu: %llx and %llx\n", i,
				(&a->regs.rax)[i], (&b->regs.rax)[i]);
}

static void show_memory(const struct guest *g)
{
	size_t i = 0;

	while (g[0].mem[i] == g[1].mem[i])
		i++;
	fprintf(stderr, "memory at %zx: %x and %x\n", i, g[0].mem[i],
		g[1].mem[i]);
	REQUIRE(!"the same memory");
}

/*
 * Leaves MXCSR, MMX, XMM and YMM, whatever the area says of a component in its
 * initial state; not what the x87 unit keeps of its last instruction.
 */
static void clean_vectors(struct kvm_xsave *x)
{
	uint8_t *p = (uint8_t *)x->region;
	uint64_t bv;

	memcpy(&bv, p + 512, 8);
	memset(p, 0, 24);
	if (!(bv & 2))
		memset(p + 160, 0, 256);
	memset(p + 416, 0, 576 - 416);
	if (!(bv & 4))
		memset(p + 576, 0, 256);
	memset(p + 832, 0, sizeof(x->region) - 832);
}

static void compare_end(struct guest *g)
{
	struct kvm_sregs s[2];
	struct kvm_xsave x[2];

	for (int i = 0; i < 2; i++) {
		REQUIRE(!ring3_ioctl(g[i].vcpu, KVM_GET_SREGS, &s[i]));
		REQUIRE(!ring3_ioctl(g[i].vcpu, KVM_GET_XSAVE, &x[i]));
	}
	if (memcmp(g[0].mem, g[1].mem, GUEST_MEM))
		show_memory(g);
	REQUIRE(!memcmp(&s[0], &s[1], sizeof(s[0])));
	for (int i = 0; i < 2; i++)
		clean_vectors(&x[i]);
	REQUIRE(!memcmp(&x[0], &x[1], sizeof(x[0])));
}

/*
 * Translated RETs and indirect jumps to non-canonical addresses fault at the
 * target, when they are done (docs/status.md): such runs tell nothing.
 */
static bool ended_by_gp(const struct seen *s)
{
	return s->reason == KVM_EXIT_HLT &&
	       s->regs.rip == HANDLERS + 13 * 32 + 1;
}

/* False: one of them did not end in time, or was ended by our limits. */
static bool run_both(void)
{
	struct seen s[2];

	for (unsigned int n = 0; n < MAX_EXITS; n++) {
		if (guest_run(&guests[0], guest_direct() ? 30 : 1) ||
		    guest_run(&guests[1], 10))
			return false;
		look(&guests[0], &s[0]);
		look(&guests[1], &s[1]);
		if (ended_by_gp(&s[0]) && ended_by_gp(&s[1]))
			return false;
		if (memcmp(&s[0], &s[1], sizeof(s[0]))) {
			show("fast and careful differ", &s[0], &s[1]);
			REQUIRE(!"the same exit");
		}
		if (!goes_on(&guests[0], n) || !goes_on(&guests[1], n))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!guests[0].mem)
		for (int i = 0; i < 2; i++)
			guest_open(&guests[i], false, i, true);
	for (int i = 0; i < 2; i++)
		load(&guests[i], (struct input){ data, size });
	if (run_both())
		compare_end(guests);
	return 0;
}
