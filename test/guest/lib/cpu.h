#pragma once

/*
 * Privileged and sensitive instructions as inline functions, and the bits of
 * the control registers.  Names as in the SDM.
 */
#include "test/guest/lib/guest.h"

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME	       BIT(0)
#define CR4_PVI	       BIT(1)
#define CR4_TSD	       BIT(2)
#define CR4_DE	       BIT(3)
#define CR4_PSE	       BIT(4)
#define CR4_PAE	       BIT(5)
#define CR4_PGE	       BIT(7)
#define CR4_PCE	       BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP       BIT(11)
#define CR4_LA57       BIT(12)
#define CR4_FSGSBASE   BIT(16)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define CR4_PKE	       BIT(22)
#define CR4_PKS	       BIT(24)

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define FLAG_CF	  BIT(0)
#define FLAG_PF	  BIT(2)
#define FLAG_AF	  BIT(4)
#define FLAG_ZF	  BIT(6)
#define FLAG_SF	  BIT(7)
#define FLAG_TF	  BIT(8)
#define FLAG_IF	  BIT(9)
#define FLAG_DF	  BIT(10)
#define FLAG_OF	  BIT(11)
#define FLAG_IOPL BIT(12)
#define FLAG_NT	  BIT(14)
#define FLAG_RF	  BIT(16)
#define FLAG_VM	  BIT(17)
#define FLAG_AC	  BIT(18)

#define MSR_TSC		   0x10
#define MSR_APIC_BASE	   0x1b
#define MSR_SYSENTER_CS	   0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_PAT		   0x277
#define MSR_TSC_DEADLINE   0x6e0
#define MSR_EFER	   0xc0000080
#define MSR_STAR	   0xc0000081
#define MSR_LSTAR	   0xc0000082
#define MSR_CSTAR	   0xc0000083
#define MSR_FMASK	   0xc0000084
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX	   0xc0000103

#define IO_IN(name, type, insn)                                                \
	static inline type name(u16 port)                                      \
	{                                                                      \
		type v;                                                        \
		asm volatile(insn : "=a"(v) : "Nd"(port) : "memory");          \
		return v;                                                      \
	}
#define IO_OUT(name, type, insn)                                               \
	static inline void name(u16 port, type v)                              \
	{                                                                      \
		asm volatile(insn : : "a"(v), "Nd"(port) : "memory");          \
	}
IO_IN(inb, u8, "inb %1, %0")
IO_IN(inw, u16, "inw %1, %0")
IO_IN(inl, u32, "inl %1, %0")
IO_OUT(outb, u8, "outb %0, %1")
IO_OUT(outw, u16, "outw %0, %1")
IO_OUT(outl, u32, "outl %0, %1")

#define REG_FNS(reg)                                                           \
	static inline word read_##reg(void)                                    \
	{                                                                      \
		word v;                                                        \
		asm volatile("mov %%" #reg ", %0" : "=r"(v) : : "memory");     \
		return v;                                                      \
	}                                                                      \
	static inline void write_##reg(word v)                                 \
	{                                                                      \
		asm volatile("mov %0, %%" #reg : : "r"(v) : "memory");         \
	}
REG_FNS(cr0)
REG_FNS(cr2)
REG_FNS(cr3)
REG_FNS(cr4)
REG_FNS(dr0)
REG_FNS(dr1)
REG_FNS(dr2)
REG_FNS(dr3)
REG_FNS(dr6)
REG_FNS(dr7)
#ifdef __x86_64__
REG_FNS(cr8)
#endif

#define SEG_FNS(seg)                                                           \
	static inline u16 read_##seg(void)                                     \
	{                                                                      \
		u16 v;                                                         \
		asm volatile("mov %%" #seg ", %0" : "=r"(v));                  \
		return v;                                                      \
	}                                                                      \
	static inline void write_##seg(u16 v)                                  \
	{                                                                      \
		asm volatile("mov %0, %%" #seg : : "r"(v) : "memory");         \
	}
SEG_FNS(ds)
SEG_FNS(es)
SEG_FNS(fs)
SEG_FNS(gs)
SEG_FNS(ss)

static inline u16 read_cs(void)
{
	u16 v;

	asm volatile("mov %%cs, %0" : "=r"(v));
	return v;
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr"
		     :
		     : "a"((u32)v), "d"((u32)(v >> 32)), "c"(msr)
		     : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (u64)hi << 32;
}

struct cpuid {
	u32 a, b, c, d;
};

static inline struct cpuid cpuid(u32 leaf, u32 sub)
{
	struct cpuid r;

	asm volatile("cpuid"
		     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
		     : "a"(leaf), "c"(sub)
		     : "memory");
	return r;
}

/* cpuid_max - the highest leaf of the range that @base starts. */
static inline u32 cpuid_max(u32 base)
{
	return cpuid(base, 0).a;
}

#define FEAT_ROW(name, leaf, reg, bit)                                         \
	FEAT_##name = (leaf) << 8 | (reg) << 5 | (bit),
enum {
#include "test/guest/lib/feat.def"
};
#undef FEAT_ROW

/* has - whether CPUID reports a FEAT_ bit. */
static inline bool has(u32 feat)
{
	u32 leaf = feat >> 8, base = 0;
	struct cpuid r;

	if (leaf == 0x81) {
		base = 0x80000000;
		leaf = 0x80000001;
	}
	if (cpuid_max(base) < leaf)
		return false;
	r = cpuid(leaf, 0);
	return ((&r.a)[(feat >> 5) & 3] >> (feat & 31)) & 1;
}

static inline word read_flags(void)
{
	word v;

	asm volatile("pushf; pop %0" : "=r"(v) : : "memory");
	return v;
}

static inline void write_flags(word v)
{
	asm volatile("push %0; popf" : : "r"(v) : "memory", "cc");
}

static inline void invlpg(word va)
{
	asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void sti(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}

static inline void barrier(void)
{
	asm volatile("" : : : "memory");
}

static inline void cpu_pause(void)
{
	asm volatile("pause" : : : "memory");
}
