#pragma once

/*
 * A guest processor with two megabytes of memory, descriptor tables and page
 * tables, for unit tests of struct cpu: machine_real(), machine_vm86(),
 * machine_prot(cpl) and machine_long(cpl) set it up, RUN() decodes and
 * executes one instruction by its bytes.
 */
#include <string.h>
#include <sys/mman.h>

#include "cpu/event.h"
#include "cpu/mode.h"
#include "cpu/op.h"
#include "cpu/segment.h"
#include "mmu/tlb.h"
#include "test/test.h"

#define RAM_SIZE 0x200000ull

/* Where things are in memory. */
enum {
	GDT = 0x1000,
	LDT = 0x2000,
	IDT = 0x3000,
	TSS = 0x4000,
	TSS2 = 0x5000,
	PML4 = 0x8000,
	PDPT = 0x9000,
	PD = 0xa000,
	PT = 0xb000,
	CODE = 0x20000,
	HANDLER = 0x21000,
	STACK3 = 0x30000,
	STACK = 0x40000,  /* of the CPL a test starts with */
	STACK0 = 0x50000, /* SP0 of the TSS; SP1, SP2 below */
	STACK1 = 0x58000,
	IST1 = 0x60000,
	DATA = 0x70000,
};

/* Selectors of the GDT. */
enum {
	C32 = 0x08,
	D0 = 0x10,
	C32U = 0x18,
	D3 = 0x20,
	C64 = 0x28,
	C64U = 0x30,
	CONF = 0x38, /* conforming, DPL 0 */
	TR = 0x40,   /* 16 bytes in long mode */
	LDTS = 0x50,
	C_NP = 0x60,
	D_RO = 0x68,
	C_XO = 0x70, /* execute-only */
	D_NP = 0x78,
	C1 = 0x80,
	D1 = 0x88,
	C16 = 0x90,
	D16 = 0x98,
	GATE = 0xa0, /* 16 bytes in long mode */
	TGATE = 0xb0,
	TR2 = 0xb8,
	D_DOWN = 0xc0,
	C_LD = 0xc8,
	C16U = 0xd0,
	D16U = 0xd8,
	CONF64 = 0xe0,
	SMALL = 0xe8, /* code, limit 0xfff */
	D_RO3 = 0xf0,
	GDT_END = 0xf8,
};

enum {
	AR_CODE32 = 0xc09b,
	AR_CODE16 = 0x009b,
	AR_CODE64 = 0xa09b,
	AR_DATA32 = 0xc093,
	AR_DATA16 = 0x0093,
	AR_U = 0x60, /* DPL 3 */
};

static struct cpu cpu;
static uint8_t *ram;

static inline void poke(uint64_t at, uint64_t v, unsigned int size)
{
	memcpy(ram + at, &v, size);
}

static inline uint64_t peek(uint64_t at, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, ram + at, size);
	return v;
}

static inline uint64_t make_desc(uint32_t base, uint32_t limit, uint32_t ar)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
	       (uint64_t)(ar & 0xf0ff) << 40 |
	       (uint64_t)(limit & 0xf0000) << 32 | (uint64_t)(base >> 24) << 56;
}

static inline void set_desc(uint16_t sel, uint32_t base, uint32_t limit,
			    uint32_t ar)
{
	poke(GDT + (sel & ~7), make_desc(base, limit, ar), 8);
}

static inline uint64_t make_gate(uint16_t sel, uint32_t off, uint32_t ar,
				 unsigned int low)
{
	return (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)low << 32 |
	       (uint64_t)ar << 40 | (uint64_t)(off & 0xffff0000) << 32;
}

static inline void set_gate(unsigned int vector, uint16_t sel, uint64_t off,
			    uint32_t ar, unsigned int ist)
{
	uint64_t lo = make_gate(sel, off, ar, ist);

	if (cpu.efer & EFER_LMA) {
		poke(IDT + vector * 16, lo, 8);
		poke(IDT + vector * 16 + 8, off >> 32, 8);
	} else {
		poke(IDT + vector * 8, lo, 8);
	}
}

static inline void set_seg(unsigned int reg, uint16_t sel)
{
	uint64_t d = peek(GDT + (sel & ~7), 8);

	seg_from_desc(&cpu.seg[reg], sel, d);
}

static inline void fill_gdt(void)
{
	static const struct {
		uint16_t sel;
		uint32_t ar;
	} rows[] = {
		{ C32, AR_CODE32 },
		{ D0, AR_DATA32 },
		{ C32U, AR_CODE32 | AR_U },
		{ D3, AR_DATA32 | AR_U },
		{ C64, AR_CODE64 },
		{ C64U, AR_CODE64 | AR_U },
		{ CONF, AR_CODE32 | 4 },
		{ C_NP, AR_CODE32 & ~AR_P },
		{ D_RO, AR_DATA32 & ~AR_RW },
		{ C_XO, AR_CODE32 & ~AR_RW },
		{ D_NP, AR_DATA32 & ~AR_P },
		{ C1, AR_CODE32 | 0x20 },
		{ D1, AR_DATA32 | 0x20 },
		{ D_DOWN, AR_DATA32 | 4 },
		{ C_LD, AR_CODE64 | AR_DB },
		{ CONF64, AR_CODE64 | 4 },
		{ D_RO3, (AR_DATA32 & ~AR_RW) | AR_U },
	};

	for (unsigned int n = 0; n < ARRAY_SIZE(rows); n++)
		set_desc(rows[n].sel, 0, 0xfffff, rows[n].ar);
	set_desc(D_DOWN, 0, 0x000ff, AR_DATA32 | 4);
	set_desc(C16, 0x20000, 0xffff, AR_CODE16);
	set_desc(D16, 0x40000, 0xffff, AR_DATA16);
	set_desc(C16U, 0x20000, 0xffff, AR_CODE16 | AR_U);
	set_desc(D16U, 0x30000, 0xffff, AR_DATA16 | AR_U);
	set_desc(SMALL, 0x20000, 0xfff, 0x409b);
	set_desc(LDTS, LDT, 0xff, 0x82);
}

static inline void page_map(void)
{
	poke(PML4, PDPT | 0x67, 8);
	poke(PDPT, PD | 0x67, 8);
	poke(PD, PT | 0x67, 8);
	for (uint64_t n = 0; n < 512; n++)
		poke(PT + n * 8, n << 12 | 0x67, 8);
}

/* In long mode: makes a page absent. */
static inline void page_unmap(uint64_t gva)
{
	poke(PT + (gva >> 12) * 8, 0, 8);
}

static inline void page_read_only(uint64_t gva)
{
	poke(PT + (gva >> 12) * 8, (gva & PAGE_MASK) | 0x65, 8);
}

static inline void machine_clear(void)
{
	static struct memslots *slots;
	static struct tlb *tlb;

	if (!ram) {
		ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (ram == MAP_FAILED ||
		    memslots_update(NULL, 0, 0, 0, RAM_SIZE, ram, &slots))
			exit(2);
		tlb = tlb_create(memfd_create("cpu", 0), PAGE_SIZE, 20, 1,
				 NULL);
	}
	memset(ram, 0, 0x80000);
	memset(&cpu, 0, sizeof(cpu));
	cpu.mmu.slots = slots;
	cpu.mmu.tlb = tlb;
	cpu.maxphyaddr = 40;
	cpu.dr6 = DR6_FIXED;
	cpu.dr7 = DR7_FIXED;
	cpu.gdt = (struct dtable){ GDT, GDT_END - 1 };
	cpu.idt = (struct dtable){ IDT, 0x7ff };
	cpu.gpr[RSP] = STACK;
	cpu.rflags = RFLAGS_FIXED | RFLAGS_IF;
	seg_null(&cpu, SEG_LDTR, 0);
	seg_null(&cpu, SEG_TR, 0);
}

static inline void machine_real(void)
{
	machine_clear();
	for (unsigned int n = 0; n < 6; n++)
		cpu.seg[n] = (struct seg){ .limit = 0xffff, .ar = 0x93 };
	cpu.seg[SEG_CS].sel = 0x2000;
	cpu.seg[SEG_CS].base = CODE;
	cpu.seg[SEG_SS].sel = 0x4000;
	cpu.seg[SEG_SS].base = 0x40000;
	cpu.gpr[RSP] = 0x8000;
	cpu.rip = 0x100;
	cpu.idt = (struct dtable){ 0, 0x3ff };
	cpu_derive(&cpu);
}

/* Protected mode without paging at @cpl, flat segments, a 32-bit TSS. */
static inline void machine_prot(unsigned int cpl)
{
	machine_clear();
	fill_gdt();
	cpu.cr0 = CR0_PE;
	cpu.cpl = cpl;
	set_seg(SEG_CS, (cpl == 3 ? C32U : C32) | cpl);
	set_seg(SEG_SS, (cpl == 3 ? D3 : D0) | cpl);
	set_seg(SEG_DS, D3 | cpl);
	set_seg(SEG_ES, D3 | cpl);
	set_seg(SEG_FS, D3 | cpl);
	set_seg(SEG_GS, D3 | cpl);
	set_desc(TR, TSS, 103, 0x8b);
	set_seg(SEG_TR, TR);
	poke(TSS + 4, STACK0, 4);
	poke(TSS + 8, D0, 2);
	poke(TSS + 12, STACK1, 4);
	poke(TSS + 16, D1 | 1, 2);
	for (unsigned int v = 0; v < 256; v++)
		set_gate(v, C32, HANDLER + v * 16, 0x8e, 0);
	cpu.rip = CODE;
	cpu_derive(&cpu);
}

static inline void machine_vm86(unsigned int iopl)
{
	machine_prot(0);
	cpu.rflags |= RFLAGS_VM | iopl << RFLAGS_IOPL_SHIFT;
	cpu.cpl = 3;
	seg_real(&cpu, SEG_CS, 0x2000);
	seg_real(&cpu, SEG_SS, 0x3000);
	seg_real(&cpu, SEG_DS, 0x7000);
	seg_real(&cpu, SEG_ES, 0x7001);
	seg_real(&cpu, SEG_FS, 0x7002);
	seg_real(&cpu, SEG_GS, 0x7003);
	cpu.gpr[RSP] = 0x8000;
	cpu.rip = 0x100;
	cpu_derive(&cpu);
}

/* Long mode, 4-level paging, 64-bit code at @cpl. */
static inline void machine_long(unsigned int cpl)
{
	machine_clear();
	fill_gdt();
	page_map();
	cpu.cr0 = CR0_PE | CR0_PG | CR0_WP;
	cpu.cr4 = CR4_PAE;
	cpu.efer = EFER_LME | EFER_LMA | EFER_SCE;
	cpu.mmu.cr3 = PML4;
	cpu.cpl = cpl;
	set_seg(SEG_CS, (cpl == 3 ? C64U : C64) | cpl);
	set_seg(SEG_SS, (cpl == 3 ? D3 : D0) | cpl);
	for (unsigned int reg = SEG_DS; reg <= SEG_GS; reg++)
		seg_null(&cpu, reg, 0);
	seg_null(&cpu, SEG_ES, 0);
	set_desc(TR, TSS, 103, 0x8b);
	set_seg(SEG_TR, TR);
	poke(TSS + 4, STACK0, 8);
	poke(TSS + 12, STACK1, 8);
	poke(TSS + 36, IST1, 8);
	cpu.idt.limit = 0xfff;
	for (unsigned int v = 0; v < 256; v++)
		set_gate(v, C64, HANDLER + v * 16, 0x8e, 0);
	cpu.rip = CODE;
	cpu_derive(&cpu);
}

/* Compatibility mode: 32-bit code under long mode. */
static inline void machine_compat(unsigned int cpl)
{
	machine_long(cpl);
	set_seg(SEG_CS, (cpl == 3 ? C32U : C32) | cpl);
	for (unsigned int reg = SEG_DS; reg <= SEG_GS; reg++)
		set_seg(reg, D3 | 3);
	cpu_derive(&cpu);
}

/* What the executors check from the row before they call a helper. */
static inline enum cpu_result check_row(const struct insn *i)
{
	const uint32_t attr = i->row->attr;

	if (i->row->action == ACT_UD || ((attr & IA_NO64) && cpu_64bit(&cpu)) ||
	    ((attr & IA_ONLY64) && !cpu_64bit(&cpu)) ||
	    ((attr & IA_PROT) && (!cpu_protected(&cpu) || cpu_vm86(&cpu))))
		return cpu_raise(&cpu, VEC_UD);
	if ((attr & IA_CPL0) && cpu.cpl)
		return cpu_raise_gp(&cpu);
	return CPU_OK;
}

static inline enum cpu_result run_bytes(const uint8_t *bytes, unsigned int n)
{
	struct insn i;
	enum cpu_result r;

	if (insn_decode(bytes, n, cpu.code_size, &i) != DECODE_OK ||
	    i.len != n) {
		printf("does not decode: %02x\n", bytes[0]);
		test_failed++;
		return CPU_EXIT;
	}
	cpu.next_rip = (cpu.rip + n) & MASK(cpu.code_size * 8);
	r = check_row(&i);
	if (r == CPU_OK)
		r = cpu_ops[i.row->id](&cpu, &i);
	if (r == CPU_OK)
		cpu.rip = cpu.next_rip;
	return r;
}

/* Executes the instruction with the given bytes. */
#define RUN(...)                                                               \
	run_bytes((const uint8_t[]){ __VA_ARGS__ },                            \
		  sizeof((const uint8_t[]){ __VA_ARGS__ }))

#define IMM16(v) (v) & 0xff, (v) >> 8 & 0xff
#define IMM32(v) IMM16(v), IMM16((v) >> 16)

#define OK(...) CHECK_EQ(RUN(__VA_ARGS__), CPU_OK)

/* The parts of the state that a fault must not change. */
static inline bool same_state(const struct cpu *old)
{
	return !memcmp(old->gpr, cpu.gpr, sizeof(cpu.gpr)) &&
	       !memcmp(old->seg, cpu.seg, sizeof(cpu.seg)) &&
	       old->rip == cpu.rip && old->rflags == cpu.rflags &&
	       old->cpl == cpu.cpl && old->gdt.base == cpu.gdt.base &&
	       old->idt.base == cpu.idt.base && old->cr0 == cpu.cr0;
}

/* Expects a fault with the state unchanged; @err -1: no error code. */
#define FAULT(vec, err, ...)                                                   \
	do {                                                                   \
		const struct cpu old_ = cpu;                                   \
		CHECK_EQ(RUN(__VA_ARGS__), CPU_FAULT);                         \
		CHECK_EQ(cpu.fault.vector, vec);                               \
		CHECK_EQ(cpu.fault.has_error ? (int)cpu.fault.error : -1,      \
			 err);                                                 \
		CHECK(same_state(&old_));                                      \
	} while (0)
