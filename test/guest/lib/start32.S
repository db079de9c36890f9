/*
 * Entry of a 32-bit guest: protected mode, flat segments, no paging.
 */
#include "test/guest/lib/desc.h"

	.section .multiboot, "ax"
	.align 4
	.long 0x1badb002, 0, -0x1badb002

	.globl start
start:	cli
	cld
	mov	$stack_top, %esp
	lgdt	boot_gdtr
	ljmp	$SEL_CODE, $1f
1:	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$0x33, %eax		/* NE, ET, MP, PE */
	mov	%eax, %cr0
	xor	%ebp, %ebp
	call	desc_init
	call	trap_init
	call	guest_main
	call	test_end

	.section .rodata
boot_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.long	gdt

	.bss
	.align	16
	.globl stack_top
	.skip	16384
stack_top:
	.section .note.GNU-stack, "", @progbits
