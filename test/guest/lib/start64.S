/*
 * Entry of a 64-bit guest.  Multiboot enters in 32-bit protected mode without
 * paging; this builds an identity map of the first 4 GiB with 2 MiB pages
 * (supervisor, but for the user part of the image) and calls guest_main in
 * long mode.
 */
#include "test/guest/lib/desc.h"

	.section .multiboot, "ax"
	.align 4
	.long 0x1badb002, 0, -0x1badb002

	.code32
	.globl start
start:	cli
	cld
	mov	$stack_top, %esp
	/* PD entries: 2 MiB pages, present, writable. */
	mov	$boot_pd, %edi
	mov	$0x83, %eax
1:	mov	%eax, (%edi)
	movl	$0, 4(%edi)
	add	$0x200000, %eax
	add	$8, %edi
	cmp	$boot_pd + 4 * 4096, %edi
	jb	1b
	/* The user part of the image. */
	orb	$4, boot_pd + 8 * 2
	movl	$boot_pd + 7, boot_pdpt
	movl	$boot_pd + 0x1007, boot_pdpt + 8
	movl	$boot_pd + 0x2007, boot_pdpt + 16
	movl	$boot_pd + 0x3007, boot_pdpt + 24
	movl	$boot_pdpt + 7, boot_pml4
	mov	$boot_pml4, %eax
	mov	%eax, %cr3
	mov	$0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x101, %eax		/* LME, SCE */
	wrmsr
	mov	$0x80010033, %eax	/* PG, WP, NE, ET, MP, PE */
	mov	%eax, %cr0
	lgdt	boot_gdtr
	ljmp	$SEL_CODE, $1f
	.code64
1:	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$stack_top, %rsp
	xor	%ebp, %ebp
	call	desc_init
	call	trap_init
	call	guest_main
	call	test_end

	.section .rodata
boot_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.quad	gdt

	.bss
	.align	4096
	.globl boot_pml4, boot_pdpt, boot_pd
boot_pml4:
	.skip	4096
boot_pdpt:
	.skip	4096
boot_pd:
	.skip	4 * 4096
	.globl stack_top
	.skip	16384
stack_top:
	.section .note.GNU-stack, "", @progbits
