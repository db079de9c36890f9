/*
 * Runs 16-bit code in real mode.  A blob is copied to 0x7000; real_call() goes
 * there from protected mode, drops to real mode, loads the registers from
 * `state`, jumps to 2000:0010 and comes back when that code ends or takes an
 * exception or interrupt through the table at 0.
 */
#include "test/guest/lib/desc.h"
#define BASE 0x7000
#define AT(label) (BASE + label - real_blob)
#define CODE16_SEL SEL_FREE
#define DATA16_SEL (SEL_FREE + 8)

	.text
	.globl real_call
real_call:
	pusha
	sidt	saved_idtr
	mov	%esp, saved_esp
	ljmp	$CODE16_SEL, $AT(to_real)
from_real:
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	mov	saved_esp, %esp
	lidt	saved_idtr
	popa
	ret

	.globl real_blob, real_blob_end
	.code16
real_blob:
to_real:
	mov	$DATA16_SEL, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	mov	%ax, %ss
	lidtl	AT(real_idtr)
	mov	%cr0, %eax
	and	$~1, %eax
	mov	%eax, %cr0
	ljmp	$0, $AT(1f)
1:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0x6f00, %esp
	movw	$0xffff, AT(real_vector)
	/* Registers in: eax ecx edx ebx esp ebp esi edi, es ds fs gs ss, flags */
	mov	AT(real_state) + 32, %es
	mov	AT(real_state) + 36, %fs
	mov	AT(real_state) + 38, %gs
	mov	AT(real_state) + 4, %ecx
	mov	AT(real_state) + 8, %edx
	mov	AT(real_state) + 12, %ebx
	mov	AT(real_state) + 20, %ebp
	mov	AT(real_state) + 24, %esi
	mov	AT(real_state) + 28, %edi
	pushl	AT(real_state) + 44
	popfl
	mov	AT(real_state) + 0, %eax
	mov	AT(real_state) + 40, %ss
	mov	AT(real_state) + 16, %esp
	mov	AT(real_state) + 34, %ds
	ljmp	$0x2000, $0x10

	/* Seven bytes a vector in eight: push $vector, jmp. */
	.balign	8
real_stubs:
	vector = 0
	.rept	256
	.balign	8
	pushw	$vector
	.byte	0xe9			/* jmp rel16 */
	.word	real_common - . - 2
	vector = vector + 1
	.endr

	/* The code's regular end: ljmp here. */
	.balign	16
real_exit:
	pushw	$0x100
real_common:
	/* SS:SP -> vector, IP, CS, flags (for real_exit: vector alone) */
	popw	%cs:AT(real_vector)
	mov	%eax, %cs:AT(real_state) + 0
	mov	%ecx, %cs:AT(real_state) + 4
	mov	%edx, %cs:AT(real_state) + 8
	mov	%ebx, %cs:AT(real_state) + 12
	mov	%esp, %cs:AT(real_state) + 16
	mov	%ebp, %cs:AT(real_state) + 20
	mov	%esi, %cs:AT(real_state) + 24
	mov	%edi, %cs:AT(real_state) + 28
	mov	%es, %cs:AT(real_state) + 32
	mov	%ds, %cs:AT(real_state) + 34
	mov	%fs, %cs:AT(real_state) + 36
	mov	%gs, %cs:AT(real_state) + 38
	mov	%ss, %cs:AT(real_state) + 40
	pushfl
	popl	%cs:AT(real_state) + 44
	/* What an interrupt pushed. */
	popw	%cs:AT(real_pushed) + 0
	popw	%cs:AT(real_pushed) + 2
	popw	%cs:AT(real_pushed) + 4
	cli
	cld
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	AT(real_gdtr)
	mov	%cr0, %eax
	or	$1, %eax
	mov	%eax, %cr0
	ljmpl	$SEL_CODE, $from_real
	.balign	4
real_idtr:
	.word	0x3ff
	.long	0
real_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.long	gdt
	.balign	4
real_state:
	.skip	48
real_vector:
	.word	0
real_pushed:
	.word	0, 0, 0
	.balign	4
real_blob_end:

	.section .rodata
	.globl real_at_state, real_at_vector, real_at_pushed, real_at_exit
	.globl real_at_stubs
real_at_state:	.long AT(real_state)
real_at_vector:	.long AT(real_vector)
real_at_pushed:	.long AT(real_pushed)
real_at_exit:	.long AT(real_exit)
real_at_stubs:	.long AT(real_stubs)

	.bss
	.align	4
saved_esp:
	.skip	4
saved_idtr:
	.skip	8
	.section .note.GNU-stack, "", @progbits
