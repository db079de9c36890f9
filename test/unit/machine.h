#pragma once

/*
 * A guest processor without translator for tests of cpu/: RAM, page tables, and
 * a function that decodes and executes one instruction by its helper.  The TLB
 * is a recorder.
 */
#include <string.h>
#include <sys/mman.h>

#include "cpu/cpuid.h"
#include "cpu/fpu.h"
#include "cpu/mode.h"
#include "cpu/op.h"
#include "mmu/memslot.h"
#include "mmu/tlb.h"
#include "test/test.h"

/* Linear = physical below 2 MiB in paged modes; RAM, then MMIO from 1 MiB. */
#define RAM_SIZE 0x100000ul
#define PML4	 0x1000ul
#define PDPT	 0x2000ul
#define PDIR	 0x3000ul
#define PTAB	 0x4000ul
#define CODE	 0x10000ul
#define STACK	 0x20000ul
#define DATA	 0x40000ul
#define TSS	 0x60000ul
#define MMIO	 RAM_SIZE

static uint8_t *ram;
static struct cpu *c;

/* What the last instruction did to the TLB. */
static struct {
	unsigned int all, nonglobal, pcid, gva, pcid_gva, cr3;
	unsigned int last_pcid;
	gva_t last_gva;
	bool kept;
} flushed;

void tlb_flush_all(struct mmu *mmu)
{
	flushed.all++;
}

void tlb_flush_nonglobal(struct mmu *mmu)
{
	flushed.nonglobal++;
}

void tlb_flush_pcid(struct mmu *mmu, unsigned int pcid)
{
	flushed.pcid++;
	flushed.last_pcid = pcid;
}

void tlb_flush_gva(struct mmu *mmu, gva_t gva)
{
	flushed.gva++;
	flushed.last_gva = gva;
}

void tlb_flush_pcid_gva(struct mmu *mmu, unsigned int pcid, gva_t gva)
{
	flushed.pcid_gva++;
	flushed.last_pcid = pcid;
	flushed.last_gva = gva;
}

void tlb_load_cr3(struct mmu *mmu, uint64_t cr3, bool keep)
{
	mmu->cr3 = cr3;
	flushed.cr3++;
	flushed.kept = keep;
}

/* There is no TLB: nothing to enter. */
void tlb_fill_read(struct mmu *mmu, gva_t gva, uint8_t *hva,
		   const struct walk *w)
{
}

static gpa_t code_written;

static void code_write(struct mmu *mmu, gpa_t gpa, unsigned int len)
{
	code_written = gpa;
}

static const struct mmu_ops machine_ops = { .code_write = code_write };

static inline uint64_t *pte(gva_t gva)
{
	return (uint64_t *)(ram + PTAB) + (gva >> 12);
}

/* Every page present, writable, user. */
static inline void map_all(void)
{
	const uint64_t rwu = PTE_P | PTE_W | PTE_U;

	memset(ram + PML4, 0, 0x3000);
	*(uint64_t *)(ram + PML4) = PDPT | rwu;
	*(uint64_t *)(ram + PDPT) = PDIR | rwu;
	*(uint64_t *)(ram + PDIR) = PTAB | rwu;
	for (uint64_t n = 0; n < 512; n++)
		*pte(n << 12) = n << 12 | rwu;
}

static inline void machine_create(void)
{
	struct memslots *slots;

	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	c = aligned_alloc(64, (sizeof(*c) + 63) & ~63ul);
	memset(c, 0, sizeof(*c));
	c->xsave_size = 4096;
	c->xsave = aligned_alloc(64, 4096);
	c->mmu.ops = &machine_ops;
	if (memslots_update(NULL, 0, 0, 0, RAM_SIZE, ram, &slots))
		exit(2);
	c->mmu.slots = slots;
	cpu_reset(c, false);
}

static inline void flat_segments(uint32_t code_ar)
{
	const uint32_t ar = AR_P | AR_S | AR_RW | AR_ACCESSED | AR_G | AR_DB |
			    c->cpl << AR_DPL_SHIFT;

	for (unsigned int n = SEG_ES; n <= SEG_GS; n++)
		c->seg[n] = (struct seg){ .limit = ~0u,
					  .ar = ar,
					  .sel = 16 | c->cpl };
	c->seg[SEG_CS].ar = AR_P | AR_S | AR_CODE | AR_RW | AR_ACCESSED | AR_G |
			    code_ar | c->cpl << AR_DPL_SHIFT;
	c->seg[SEG_TR] = (struct seg){
		.base = TSS, .limit = 0x2067, .ar = AR_P | 11, .sel = 64
	};
}

static inline void fresh(void)
{
	cpu_reset(c, false);
	cpuid_default(c);
	memset(ram, 0, RAM_SIZE);
	map_all();
	memset(c->gpr, 0, sizeof(c->gpr));
	c->cr4 = CR4_OSFXSR;
	c->gpr[RSP] = STACK;
	c->rip = CODE;
	c->xcr0 = c->supported_xcr0;
}

static inline void start(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	c->cr0 = cr0;
	c->cr4 |= cr4;
	c->efer = efer;
	c->mmu.cr3 = PML4;
	cpu_derive(c);
	memset(&flushed, 0, sizeof(flushed));
}

static inline void start_long(unsigned int cpl, uint32_t code_ar)
{
	fresh();
	c->cpl = cpl;
	flat_segments(code_ar);
	start(CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET,
	      CR4_PAE | CR4_PGE | CR4_OSXSAVE,
	      EFER_LME | EFER_LMA | EFER_SCE | EFER_NX);
}

/* 64-bit mode, compatibility mode, protected mode without paging, real and
 * virtual-8086 mode. */
static inline void start64(unsigned int cpl)
{
	start_long(cpl, AR_L);
}

static inline void start_compat(unsigned int cpl)
{
	start_long(cpl, AR_DB);
}

static inline void start32(unsigned int cpl)
{
	fresh();
	c->cpl = cpl;
	flat_segments(AR_DB);
	start(CR0_PE | CR0_ET, CR4_OSXSAVE, 0);
}

static inline void start_real(void)
{
	fresh();
	for (unsigned int n = SEG_ES; n <= SEG_GS; n++)
		c->seg[n] = (struct seg){ .limit = 0xffff,
					  .ar = AR_P | AR_S | AR_RW };
	c->seg[SEG_CS].base = CODE;
	c->seg[SEG_CS].ar |= AR_CODE;
	c->rip = 0;
	c->gpr[RSP] = 0x8000;
	start(CR0_ET, 0, 0);
}

static inline void start_vm86(unsigned int iopl)
{
	start_real();
	for (unsigned int n = SEG_ES; n <= SEG_GS; n++)
		c->seg[n].ar =
			AR_P | AR_S | AR_RW | AR_ACCESSED | 3 << AR_DPL_SHIFT;
	c->seg[SEG_TR] = (struct seg){
		.base = TSS, .limit = 0x2067, .ar = AR_P | 11, .sel = 64
	};
	c->cpl = 3;
	cpu_set_rflags(c, RFLAGS_VM | (uint64_t)iopl << RFLAGS_IOPL_SHIFT);
	start(CR0_PE | CR0_ET, 0, 0);
}

static struct insn decoded;

/* Executes the instruction @bytes by its helper and commits RIP if it is OK. */
static inline enum cpu_result exec(const uint8_t *bytes, unsigned int len)
{
	uint8_t buf[16] = { 0 };
	enum cpu_result r;

	memcpy(buf, bytes, len);
	if (insn_decode(buf, sizeof(buf), c->code_size, &decoded) !=
		    DECODE_OK ||
	    !cpu_ops[decoded.row->id]) {
		printf("no helper for %02x %02x\n", buf[0], buf[1]);
		exit(2);
	}
	memset(&c->fault, 0, sizeof(c->fault));
	memset(&flushed, 0, sizeof(flushed));
	c->mmio.pos_rd = c->mmio.nr_wr = 0;
	c->mmio.wants = false;
	c->next_rip = c->rip + decoded.len;
	r = cpu_ops[decoded.row->id](c, &decoded);
	if (r == CPU_OK)
		c->rip = c->next_rip;
	return r;
}

#define EXEC(...)                                                              \
	exec((const uint8_t[]){ __VA_ARGS__ },                                 \
	     sizeof((const uint8_t[]){ __VA_ARGS__ }))

static inline void check_fault(int line, enum cpu_result r, unsigned int vector)
{
	if (r == CPU_FAULT && c->fault.vector == vector &&
	    (vector != VEC_GP || (c->fault.has_error && !c->fault.error))) {
		test_passed++;
		return;
	}
	test_failed++;
	printf("line %d: result %d vector %d, expected fault %u\n", line, r,
	       c->fault.vector, vector);
}

#define CHECK_FAULT(r, vector) check_fault(__LINE__, r, vector)
#define CHECK_OK(r)	       CHECK_EQ(r, CPU_OK)

static inline void check_exit(int line, enum cpu_result r, unsigned int reason)
{
	if (r == CPU_EXIT && c->exit.reason == reason) {
		test_passed++;
		return;
	}
	test_failed++;
	printf("line %d: result %d reason %u, expected exit %u\n", line, r,
	       c->exit.reason, reason);
}

#define CHECK_EXIT(r, reason) check_exit(__LINE__, r, reason)
