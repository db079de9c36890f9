#include "fuzz/insn/guest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/mode.h"
#include "cpu/segment.h"
#include "dbt/dbt_int.h"
#include "fuzz/insn/arena.h"
#include "fuzz/insn/native.h"
#include "host/share.h"
#include "mmu/memslot.h"
#include "mmu/mirror.h"
#include "mmu/tlb.h"

/*
 * A guest kernel of a few tables and one HLT an exception: it stops there, and
 * what the processor put on its stack tells about the fault.
 */
#define RAM_SIZE 0x200000ul
#define KERNEL	 0xffff900000000000ull /* linear address of RAM */
enum {
	PML4 = 0x1000,
	TABLES = 0x2000, /* page tables as needed */
	GDT = 0x40000,
	IDT = 0x41000,
	TSS = 0x42000,
	HANDLERS = 0x43000, /* 16 bytes each */
	LDT = 0x45000,
	STACK = 0x46000,
	OUT_PAGE = 0x47000,
	PAGES = 0x80000,     /* pages under test, with gaps */
	DEVICE = 0x40000000, /* no memory there */
};

static uint8_t *ram;
static uint64_t next_table = TABLES;
static struct dbt *dbt;
static struct cpu *cpu;
static struct arena arena;
static uint64_t direct_runs;
static volatile bool timed_out;

static gpa_t page_gpa(unsigned int n)
{
	if (arena_pages[n].kind == ARENA_MMIO)
		return DEVICE;
	/* Neighbours by address are none in memory. */
	return PAGES + (n * 7 % 32) * 2 * PAGE_SIZE;
}

static void poke(gpa_t at, uint64_t v)
{
	memcpy(ram + at, &v, sizeof(v));
}

static uint64_t peek(gpa_t at)
{
	uint64_t v;

	memcpy(&v, ram + at, sizeof(v));
	return v;
}

static void map_page(gva_t va, gpa_t gpa, uint64_t flags)
{
	gpa_t table = PML4;

	for (int shift = 39; shift > 12; shift -= 9) {
		gpa_t at = table + (va >> shift & 511) * 8;

		if (!peek(at)) {
			poke(at, next_table | PTE_P | PTE_W | PTE_U);
			next_table += PAGE_SIZE;
		}
		table = peek(at) & PAGE_MASK;
	}
	poke(table + (va >> 12 & 511) * 8, gpa | flags);
}

static void map_all(void)
{
	static const uint64_t flags[] = {
		[ARENA_RW] = PTE_P | PTE_U | PTE_W | PTE_NX,
		[ARENA_RO] = PTE_P | PTE_U | PTE_NX,
		[ARENA_CODE_RWX] = PTE_P | PTE_U | PTE_W,
		[ARENA_MMIO] = PTE_P | PTE_U | PTE_W | PTE_NX,
	};

	for (unsigned int n = 0; n < arena_nr_pages; n++) {
		map_page(arena_pages[n].addr, page_gpa(n),
			 flags[arena_pages[n].kind]);
		if (arena_pages[n].kind != ARENA_MMIO)
			arena.page[n] = ram + page_gpa(n);
	}
	map_page(OUT, OUT_PAGE, PTE_P | PTE_U);
	map_page(OUT_HIGH, OUT_PAGE, PTE_P | PTE_U);
	for (gpa_t gpa = GDT; gpa < OUT_PAGE; gpa += PAGE_SIZE)
		map_page(KERNEL + gpa, gpa, PTE_P | PTE_W);
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t ar)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
	       (uint64_t)(ar & 0xf0ff) << 40 |
	       (uint64_t)(limit & 0xf0000) << 32 | (uint64_t)(base >> 24) << 56;
}

static void set_gate(unsigned int vector, unsigned int dpl)
{
	uint64_t to = KERNEL + HANDLERS + 16 * vector;

	poke(IDT + 16 * vector, (to & 0xffff) | 0x10 << 16 |
					(uint64_t)(0x8e | dpl << 5) << 40 |
					(to & 0xffff0000) << 32);
	poke(IDT + 16 * vector + 8, to >> 32);
}

/* The tables of a 64-bit Linux kernel, as far as user mode can tell. */
static void make_kernel(void)
{
	static const uint8_t vmcall[] = { 0x0f, 0x01, 0xc1 };

	poke(GDT + 0x10, descriptor(0, 0xfffff, 0xa09b));
	poke(GDT + (SEL_CODE32 & ~7), descriptor(0, 0xfffff, 0xc0fb));
	poke(GDT + (SEL_DATA & ~7), descriptor(0, 0xfffff, 0xc0f3));
	poke(GDT + (SEL_CODE64 & ~7), descriptor(0, 0xfffff, 0xa0fb));
	poke(GDT + (SEL_TLS0 & ~7), descriptor(TLS0_BASE, 0xfffff, 0xd0f3));
	poke(GDT + (SEL_TLS1 & ~7), descriptor(TLS1_BASE, TLS1_LIMIT, 0x50f3));
	poke(GDT + (SEL_CPU & ~7), descriptor(0, native_cpu(), 0x40f5));
	poke(LDT + (SEL_CODE16 & ~7),
	     descriptor(CODE16_BASE, CODE16_LIMIT, 0x10fb));
	poke(LDT + (SEL_DATA16 & ~7),
	     descriptor(DATA16_BASE, DATA16_LIMIT, 0x10f3));
	for (unsigned int v = 0; v < 256; v++) {
		set_gate(v, v == VEC_BP || v == VEC_OF ? 3 : 0);
		ram[HANDLERS + 16 * v] = 0xf4;
	}
	/* RSP0 */
	memcpy(ram + TSS + 4, &(uint64_t){ KERNEL + STACK + 0xff0 }, 8);
	/* No I/O permissions. */
	memset(ram + TSS + 0x66, 0xff, 2);
	memset(ram + OUT_PAGE, 0xcc, PAGE_SIZE);
	memcpy(ram + OUT_PAGE + OUT_64, vmcall, sizeof(vmcall));
	memcpy(ram + OUT_PAGE + OUT_32, vmcall, sizeof(vmcall));
}

static void code_changed(uint64_t addr, unsigned int len)
{
	int n = arena_find(addr);

	code_page_write(cpu, page_gpa(n) + (addr & ~PAGE_MASK), len);
}

static int make_cpu(void)
{
	static struct cpuid_entry e[MAX_CPUID_ENTRIES];
	struct memslots *slots;
	unsigned int n;

	dbt = dbt_create();
	cpu = dbt ? dbt_cpu_create(dbt) : NULL;
	if (!cpu || memslots_update(NULL, 0, 0, 0, RAM_SIZE, ram, &slots))
		return -1;
	n = cpuid_supported(e, MAX_CPUID_ENTRIES, 0);
	if (n > MAX_CPUID_ENTRIES || cpuid_set(cpu, e, n))
		return -1;
	cpu->mmu.slots = slots;
	cpu_reset(cpu, false);
	cpu->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_MP | CR0_AM;
	cpu->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT |
		   CR4_OSXSAVE | CR4_FSGSBASE | CR4_UMIP;
	cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NX;
	cpu->gdt = (struct dtable){ KERNEL + GDT, 0x7f };
	cpu->idt = (struct dtable){ KERNEL + IDT, 0xfff };
	cpu->seg[SEG_TR] = (struct seg){
		.base = KERNEL + TSS, .limit = 0x67, .ar = 0x8b, .sel = 0x40
	};
	cpu->seg[SEG_LDTR] = (struct seg){
		.base = KERNEL + LDT, .limit = 15, .ar = 0x82, .sel = 0x50
	};
	cpu->spin.window = ~0u; /* PAUSE does not exit */
	cpu_derive(cpu);
	tlb_load_cr3(&cpu->mmu, PML4, false);
	guest_forget();
	return 0;
}

/* Before the vCPU: it asks the environment. */
static int want_direct(bool direct)
{
	if (setenv("RING3_DIRECT", direct ? "always" : "off", 1))
		return -1;
	return direct ? share_convert(ram, RAM_SIZE) : 0;
}

int guest_start(bool direct)
{
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED || want_direct(direct))
		return -1;
	map_all();
	make_kernel();
	arena_reset(&arena);
	arena.code_changed = code_changed;
	if (make_cpu())
		return -1;
	return direct && vcpu_dbt(cpu)->direct.mode != DIRECT_ALWAYS ? -1 : 0;
}

void guest_forget(void)
{
	dbt_enter_quiet(dbt);
	dbt_slots_changed(dbt, cpu->mmu.slots);
	dbt_leave_quiet(dbt);
}

bool guest_has(unsigned int feat)
{
	return has_feat(cpu, feat);
}

static void kick(void)
{
	cpu->exit_req = 1;
	dbt_kick(cpu);
}

uint64_t guest_direct_runs(void)
{
	return direct_runs;
}

uint64_t guest_clock(void)
{
	int pid = vcpu_dbt(cpu)->direct.pid;
	clockid_t clock;

	return pid && !clock_getcpuclockid(pid, &clock) ? cpu_time_ns(clock)
							: 0;
}

void guest_kick(void)
{
	timed_out = true;
	kick();
}

static void *disturb(void *arg)
{
	for (;;) {
		usleep(20);
		kick();
	}
	return arg;
}

int guest_disturb(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, disturb, NULL);
}

static void set_seg(unsigned int reg, uint16_t sel)
{
	if (sel_null(sel))
		seg_null(cpu, reg, sel);
	else
		seg_from_desc(&cpu->seg[reg], sel,
			      peek((sel & 4 ? LDT : GDT) + (sel & ~7)));
}

static void load(const struct fuzz_case *c, enum executor exec)
{
	bool mode64 = c->mode == CODE64;

	cpu->pending = cpu->injecting = (struct event){ 0 };
	cpu->pending_dbg = 0;
	cpu->sti_shadow = cpu->movss_shadow = false;
	cpu->mmio = (struct mmio){ 0 };
	cpu->cr2 = 0;
	cpu->dr6 = DR6_FIXED;
	cpu->exit_req = 0;
	cpu->cpl = 3;
	memcpy(cpu->gpr, c->gpr, sizeof(cpu->gpr));
	cpu->rip = c->rip - case_code_base(c);
	for (unsigned int reg = SEG_ES; reg <= SEG_GS; reg++)
		set_seg(reg, c->seg[reg]);
	set_seg(SEG_CS, case_code_sel(c));
	set_seg(SEG_SS, case_stack_sel(c));
	if (mode64) {
		cpu->seg[SEG_FS].base = c->fs_base;
		cpu->seg[SEG_GS].base = c->gs_base;
	}
	cpu_set_rflags(cpu, c->rflags);
	memcpy(cpu->xsave, c->fpu, FPU_BYTES);
	cpu->careful = exec == EXEC_CAREFUL;
	vcpu_dbt(cpu)->direct.mode =
		exec == EXEC_DIRECT ? DIRECT_ALWAYS : DIRECT_OFF;
	cpu_derive(cpu);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15;
	return h ^ h >> 29;
}

/* The device answers with a function of the address and notes everything. */
static void device(struct result *r)
{
	struct mmio *m = &cpu->mmio;
	uint64_t v = 0;

	if (m->wants) {
		v = mix(0, m->want.gpa);
		memcpy(m->want.data, &v, sizeof(m->want.data));
		r->mmio_hash = mix(mix(r->mmio_hash, m->want.gpa), m->want.len);
		m->rd[m->nr_rd++] = m->want;
		m->wants = false;
		return;
	}
	for (unsigned int n = 0; n < m->nr_wr; n++) {
		v = 0;
		memcpy(&v, m->wr[n].data, m->wr[n].len);
		r->mmio_hash = mix(mix(r->mmio_hash, m->wr[n].gpa), v);
	}
	m->nr_wr = 0;
}

/* The kernel stopped: its stack has the faulting state. */
static void take_fault(struct result *r)
{
	static const uint32_t with_error =
		BIT(VEC_DF) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) |
		BIT(VEC_GP) | BIT(VEC_PF) | BIT(VEC_AC);
	uint64_t frame[5];
	gpa_t sp = cpu->gpr[RSP] - KERNEL;

	r->kind = RESULT_FAULT;
	r->vector = (cpu->rip - KERNEL - HANDLERS) / 16;
	if (r->vector < 32 && with_error >> r->vector & 1) {
		r->error = peek(sp);
		sp += 8;
	}
	memcpy(frame, ram + sp, sizeof(frame));
	r->rip = frame[0];
	r->seg[SEG_CS] = frame[1];
	r->rflags = frame[2];
	r->gpr[RSP] = frame[3];
	r->seg[SEG_SS] = frame[4];
	r->cr2 = r->vector == VEC_PF ? cpu->cr2 : 0;
}

static void store(struct result *r)
{
	memcpy(r->gpr, cpu->gpr, sizeof(r->gpr));
	r->rflags = cpu->rflags;
	r->vector = 0;
	r->error = 0;
	r->cr2 = 0;
	r->rip = 0;
	for (unsigned int reg = SEG_ES; reg <= SEG_GS; reg++)
		r->seg[reg] = cpu->seg[reg].sel;
	r->seg[SEG_SS] = r->seg[SEG_CS] = 0;
	r->fs_base = cpu->seg[SEG_FS].base;
	r->gs_base = cpu->seg[SEG_GS].base;
	memcpy(r->fpu, cpu->xsave, FPU_BYTES);
}

static bool at_out(void)
{
	return cpu->cpl == 3 &&
	       (cpu->rip == OUT + OUT_64 || cpu->rip == OUT + OUT_32 ||
		cpu->rip == OUT_HIGH + OUT_64);
}

/*
 * Runners are to see each case as if they had not seen many that change their
 * own code (MIRROR_FLIPS), which they come to trust.
 */
#define DISTRUST_FILLS 32

static void distrust(void)
{
	static uint64_t since;

	if (cpu->exits[EXIT_DIRECT_FILL] - since < DISTRUST_FILLS)
		return;
	since = cpu->exits[EXIT_DIRECT_FILL];
	mirror_note_gone(vcpu_dbt(cpu)->direct.mirror);
}

static bool was_disturbed(enum exit_reason reason)
{
	if (reason != EXIT_EXTERNAL_INTERRUPT || timed_out)
		return false;
	cpu->exit_req = 0;
	return true;
}

void guest_run(const struct fuzz_case *c, enum executor exec, struct result *r)
{
	uint64_t runs = cpu->exits[EXIT_DIRECT];
	enum exit_reason reason;

	load(c, exec);
	distrust();
	arena_enter(&arena, c);
	r->mmio_hash = 0;
	timed_out = false;
	do {
		reason = dbt_run(cpu);
		dbt_put_fpu(cpu);
		if (reason == EXIT_EPT_VIOLATION)
			device(r);
	} while (reason == EXIT_EPT_VIOLATION || was_disturbed(reason));
	store(r);
	direct_runs += cpu->exits[EXIT_DIRECT] != runs;
	if (reason == EXIT_VMCALL && at_out()) {
		r->kind = RESULT_DONE;
	} else if (reason == EXIT_HLT && cpu->cpl == 0) {
		take_fault(r);
	} else if (reason == EXIT_EXTERNAL_INTERRUPT) {
		r->kind = RESULT_TIMEOUT;
	} else {
		r->kind = RESULT_EXIT;
		r->error = reason;
		r->rip = cpu->rip;
	}
	arena_leave(&arena, r);
}
