/*
 * Start of an application processor: copied to SMP_TRAMPOLINE, entered in real
 * mode with CS = SMP_TRAMPOLINE >> 4 and IP = 0.
 */
#include "test/guest/lib/to_long.h"
#define BASE 0x8000
#define AT(label) (BASE + label - smp_trampoline)

	.text
	.globl smp_trampoline, smp_trampoline_end
	.code16
smp_trampoline:
	TO_LONG_MODE(smp_trampoline, tramp_gdtr)
	mov	$1, %edi
	mov	$smp_next, %eax
	lock xadd %edi, (%rax)
	mov	%edi, %eax
	inc	%eax
	shl	$13, %eax
	lea	smp_stacks(%rax), %rsp
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$smp_main, %eax
	call	*%rax
	.align	4
tramp_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.long	gdt
smp_trampoline_end:

	.data
	.globl smp_next
smp_next:
	.long	1
	.section .note.GNU-stack, "", @progbits
