/*
 * Start of an application processor: copied to SMP_TRAMPOLINE, entered in real
 * mode with CS = SMP_TRAMPOLINE >> 4 and IP = 0.
 */
#include "test/guest/lib/desc.h"
#define BASE 0x8000
#define AT(label) (BASE + label - smp_trampoline)

	.text
	.globl smp_trampoline, smp_trampoline_end
	.code16
smp_trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	tramp_gdtr - smp_trampoline
	mov	%cr0, %eax
	or	$1, %eax
	mov	%eax, %cr0
	ljmpl	$SEL_CODE32, $AT(1f)
	.code32
1:	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0x620, %eax
	mov	%eax, %cr4
	mov	$boot_pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x901, %eax		/* NXE, LME, SCE */
	wrmsr
	mov	$0x80010033, %eax
	mov	%eax, %cr0
	ljmpl	$SEL_CODE, $AT(2f)
	.code64
2:	mov	$1, %edi
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
