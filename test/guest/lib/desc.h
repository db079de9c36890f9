#pragma once

/*
 * The guest's own descriptor tables.  Selectors follow the order that SYSCALL,
 * SYSRET, SYSENTER and SYSEXIT want; both sizes of guest share them.
 */
#ifndef __ASSEMBLER__
#include "test/guest/lib/guest.h"
#endif

#define SEL_CODE32  0x08
#define SEL_CODE    0x10
#define SEL_DATA    0x18
#define SEL_UCODE32 0x23
#define SEL_UDATA   0x2b
#define SEL_UCODE   0x33
#define SEL_UDATA2  0x3b
#define SEL_TSS	    0x40
/* First selector that tests may fill; the table has room for 64 entries. */
#define SEL_FREE    0x50
#define GDT_ENTRIES 64

#ifndef __ASSEMBLER__
/* Access bytes and flags of segment descriptors. */
#define DESC_P	      BIT(47)
#define DESC_DPL(n)   ((u64)(n) << 45)
#define DESC_S	      BIT(44)
#define DESC_TYPE(t)  ((u64)(t) << 40)
#define DESC_AVL      BIT(52)
#define DESC_L	      BIT(53)
#define DESC_DB	      BIT(54)
#define DESC_G	      BIT(55)
#define DESC_BASE(b)  (((u64)(b)&0xffffff) << 16 | ((u64)(b) >> 24 & 0xff) << 56)
#define DESC_LIMIT(l) (((u64)(l)&0xffff) | ((u64)(l) >> 16 & 0xf) << 48)
/* Types of code and data segments. */
#define TYPE_RO	     0x1
#define TYPE_RW	     0x3
#define TYPE_RW_DOWN 0x7
#define TYPE_XO	     0x9
#define TYPE_XR	     0xb
#define TYPE_XR_CONF 0xf
/* Types of system descriptors. */
#define TYPE_TSS16	0x1
#define TYPE_LDT	0x2
#define TYPE_TSS16_BUSY 0x3
#define TYPE_CALL16	0x4
#define TYPE_TASK	0x5
#define TYPE_INT16	0x6
#define TYPE_TRAP16	0x7
#define TYPE_TSS	0x9
#define TYPE_TSS_BUSY	0xb
#define TYPE_CALL	0xc
#define TYPE_INT	0xe
#define TYPE_TRAP	0xf

struct table_reg {
	u16 limit;
	word base;
} __attribute__((packed));

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};

struct tss64 {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3, iomap;
} __attribute__((packed));

#ifdef __x86_64__
struct gate {
	u64 lo, hi;
};
typedef struct tss64 tss_t;
#else
struct gate {
	u64 lo;
};
typedef struct tss32 tss_t;
#endif

extern u64 gdt[GDT_ENTRIES];
extern struct gate idt[256];
/* The boot CPU's TSS and the I/O bitmap behind it, and its ring-0 stack. */
extern tss_t tss;
u8 *tss_iomap(void);
word tss_stack_top(void);

/* desc_init - loads GDT, TSS and an IDT with a stub for each vector. */
void desc_init(void);
/* gate_make - a gate to @sel:@target of @type, DPL @dpl (64-bit: IST @ist). */
struct gate gate_make(u16 sel, word target, unsigned type, unsigned dpl,
		      unsigned ist);
/* idt_set - makes @vector an interrupt gate to @target. */
void idt_set(unsigned vector, word target, unsigned dpl);
/* gdt_system - fills a system descriptor (two entries in 64-bit mode). */
void gdt_system(unsigned sel, word base, u32 limit, unsigned type,
		unsigned dpl);
/* The stub of @vector in the IDT as desc_init() sets it up. */
word idt_stub(unsigned vector);

static inline void lgdt(void *base, u16 limit)
{
	struct table_reg r = { limit, (word)base };

	asm volatile("lgdt %0" : : "m"(r) : "memory");
}

static inline void lidt(void *base, u16 limit)
{
	struct table_reg r = { limit, (word)base };

	asm volatile("lidt %0" : : "m"(r) : "memory");
}

static inline void ltr(u16 sel)
{
	asm volatile("ltr %0" : : "r"(sel) : "memory");
}

static inline u16 str(void)
{
	u16 v;

	asm volatile("str %0" : "=r"(v));
	return v;
}
#endif
