#include "test/guest/lib/desc.h"

#define CODE_FLAGS                                                             \
	(DESC_P | DESC_S | DESC_G | DESC_LIMIT(0xfffff) | DESC_TYPE(TYPE_XR))
#define DATA_FLAGS                                                             \
	(DESC_P | DESC_S | DESC_G | DESC_DB | DESC_LIMIT(0xfffff) |            \
	 DESC_TYPE(TYPE_RW))
#ifdef __x86_64__
#define NATIVE_CODE DESC_L
#else
#define NATIVE_CODE DESC_DB
#endif

u64 gdt[GDT_ENTRIES] __attribute__((aligned(16))) = {
	[SEL_CODE32 / 8] = CODE_FLAGS | DESC_DB,
	[SEL_CODE / 8] = CODE_FLAGS | NATIVE_CODE,
	[SEL_DATA / 8] = DATA_FLAGS,
	[SEL_UCODE32 / 8] = CODE_FLAGS | DESC_DB | DESC_DPL(3),
	[SEL_UDATA / 8] = DATA_FLAGS | DESC_DPL(3),
	[SEL_UCODE / 8] = CODE_FLAGS | NATIVE_CODE | DESC_DPL(3),
	[SEL_UDATA2 / 8] = DATA_FLAGS | DESC_DPL(3),
};
struct gate idt[256] __attribute__((aligned(16)));

/* The I/O bitmap must lie behind the TSS; one object keeps them together. */
static struct {
	tss_t tss;
	u8 iomap[8193];
} __attribute__((packed, aligned(4096))) tss_area;
extern tss_t tss __attribute__((alias("tss_area")));

static u8 trap_stack[16384] __attribute__((aligned(16)));
extern u8 trap_stubs[];

u8 *tss_iomap(void)
{
	return tss_area.iomap;
}

word tss_stack_top(void)
{
	return (word)trap_stack + sizeof(trap_stack);
}

word idt_stub(unsigned vector)
{
	return (word)trap_stubs + 16 * vector;
}

struct gate gate_make(u16 sel, word target, unsigned type, unsigned dpl,
		      unsigned ist)
{
	struct gate g;
	u64 t = target;

	g.lo = (t & 0xffff) | (u64)sel << 16 | (u64)ist << 32 |
	       DESC_TYPE(type) | DESC_DPL(dpl) | DESC_P |
	       (t >> 16 & 0xffff) << 48;
#ifdef __x86_64__
	g.hi = t >> 32;
#endif
	return g;
}

void idt_set(unsigned vector, word target, unsigned dpl)
{
	idt[vector] = gate_make(SEL_CODE, target, TYPE_INT, dpl, 0);
}

void gdt_system(unsigned sel, word base, u32 limit, unsigned type, unsigned dpl)
{
	gdt[sel / 8] = DESC_P | DESC_BASE(base) | DESC_LIMIT(limit) |
		       DESC_TYPE(type) | DESC_DPL(dpl);
#ifdef __x86_64__
	gdt[sel / 8 + 1] = base >> 32;
#endif
}

void desc_init(void)
{
	for (unsigned i = 0; i < 256; i++)
		idt_set(i, idt_stub(i), i == 3 || i == 4 || i == 0x80 ? 3 : 0);
#ifdef __x86_64__
	tss.rsp[0] = tss_stack_top();
	tss.ist[0] = tss.rsp[0];
#else
	tss.ss0 = SEL_DATA;
	tss.esp0 = tss_stack_top();
#endif
	tss.iomap = sizeof(tss);
	memset(tss_area.iomap, 0xff, sizeof(tss_area.iomap));
	gdt_system(SEL_TSS, (word)&tss, sizeof(tss_area) - 1, TYPE_TSS, 0);
	lgdt(gdt, sizeof(gdt) - 1);
	lidt(idt, sizeof(idt) - 1);
	ltr(SEL_TSS);
	/* After reset the LDTR is usable; a null one is what tests expect. */
	asm volatile("lldt %w0" : : "r"(0));
}
