#pragma once

/*
 * Snippets: short pieces of unprivileged code, run with given registers,
 * flags and memory, whose result is compared with what the build machine's own
 * processor makes of the same code at the same addresses.  A table of them is
 * linked into the guest and into a program for the host, which writes the
 * expected results at build time.
 *
 * Each snippet runs ROUNDS times with other data each time: with aligned
 * data, with data and stack across a page boundary, with misaligned data.
 * On entry RBX = RSI = data, RDI = data + 64, RBP = data + 128, RSP = stack;
 * the other registers and the status flags are random.
 */
#define SNIP_BUF      0x700e00
#define SNIP_BUF_SIZE 0x500
/* Fixed data for absolute and RIP-relative operands. */
#define SNIP_DATA    0x701200
#define SNIP_FS_BASE 0x700f00
#define SNIP_GS_BASE 0x700f80

/* Masks of the flags that a snippet defines. */
#define F_ALL	0xcd5
#define F_NONE	0x400
#define F_NOAF	0xcc5
#define F_CO	0xc01
#define F_C	0x401
#define F_Z	0x440
#define F_NOOA	0x4c5
#define F_NOOAC 0x4c4

#ifdef __x86_64__
#define SNIP_NREGS 16
#else
#define SNIP_NREGS 8
#endif
/* Vector state of a snippet that asks for it: 16 registers of 32 bytes. */
#define SNIP_VEC_SIZE 512

/* clang-format off */
#ifdef __ASSEMBLER__
#define FEAT_ROW(name, leaf, reg, bit) \
	.set	FEAT_##name, (leaf) << 8 | (reg) << 5 | (bit)
#include "test/guest/lib/feat.def"
#undef FEAT_ROW

/* T - a snippet of one or more instructions. */
.macro T insn, mask=F_ALL, feat=0
	.section .snip.text, "ax"
771:	\insn
	jmp	snip_exit
	.section .snip.names, "a"
772:	.asciz	"\insn"
	.section .snip.tab, "a"
	.long	771b, 772b, \mask, \feat
.endm
/* clang-format on */
#else
#include "test/guest/lib/cpu.h"

struct snip {
	u32 code, name, mask, feat;
};
extern const struct snip snip_tab[], snip_tab_end[];

struct snip_state {
	word regs[SNIP_NREGS]; /* in encoding order: AX, CX, DX, BX, SP... */
	word flags;
};

struct snip_result {
	u64 regs[SNIP_NREGS];
	u64 flags;
	u64 mem; /* hash of the data */
};

/* snip_run - runs @s->code in round @round; false if a feature is missing. */
bool snip_run(unsigned n, int round, struct snip_result *r);
/* snip_enter - the assembly part: loads `snip_in`, runs, fills `snip_out`. */
void snip_enter(word code);
extern struct snip_state snip_in, snip_out;
/* What snip_run() calls: snip_enter, or something that guards it. */
extern void (*snip_call)(word code);
#endif
