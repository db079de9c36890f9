#pragma once

#include "test/guest/lib/desc.h"

/*
 * TO_LONG_MODE - assembly from real mode to 64-bit mode with the tables that
 * the guest booted with.  The code is a copy: AT(label) is where @label is
 * then, and @start, its first byte, is at offset 0 of CS; @gdtr is the operand
 * for LGDT.
 */
/* clang-format off */
#define TO_LONG_MODE(start, gdtr)                                              \
	cli;                                                                   \
	mov	%cs, %ax;                                                      \
	mov	%ax, %ds;                                                      \
	lgdtl	gdtr - start;                                                  \
	mov	%cr0, %eax;                                                    \
	or	$1, %eax;                                                      \
	mov	%eax, %cr0;                                                    \
	ljmpl	$SEL_CODE32, $AT(1f);                                          \
	.code32;                                                               \
1:	mov	$SEL_DATA, %eax;                                               \
	mov	%eax, %ds;                                                     \
	mov	%eax, %es;                                                     \
	mov	%eax, %ss;                                                     \
	mov	$0x620, %eax;                                                  \
	mov	%eax, %cr4;                                                    \
	mov	$boot_pml4, %eax;                                              \
	mov	%eax, %cr3;                                                    \
	mov	$0xc0000080, %ecx;                                             \
	rdmsr;                                                                 \
	or	$0x901, %eax; /* NXE, LME, SCE */                              \
	wrmsr;                                                                 \
	mov	$0x80010033, %eax;                                             \
	mov	%eax, %cr0;                                                    \
	ljmpl	$SEL_CODE, $AT(2f);                                            \
	.code64;                                                               \
2:
/* clang-format on */
