/*
 * Into S3 and back: the waking vector's code, copied to WAKE_PAGE and entered
 * there in real mode, returns from sleep_enter().
 */
#include "test/guest/lib/desc.h"
#define BASE 0x9000
#define AT(label) (BASE + label - wake_start)

/* bool sleep_enter(u16 port, u16 value): false if the processor runs on. */
	.text
	.globl sleep_enter, wake_start, wake_end
	.code64
sleep_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, saved_rsp
	mov	%edi, %edx
	mov	%esi, %eax
	out	%ax, %dx
	xor	%eax, %eax
sleep_return:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.code16
wake_start:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	wake_gdtr - wake_start
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
2:	mov	saved_rsp, %rsp
	mov	$1, %eax
	mov	$sleep_return, %ecx
	jmp	*%rcx
	.align	4
wake_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.long	gdt
wake_end:

	.data
saved_rsp:
	.quad	0
	.section .note.GNU-stack, "", @progbits
