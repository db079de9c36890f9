/*
 * A boot sector, as the BIOS starts it from a disk: it loads what is behind it
 * by INT 13h and calls main().  bios_call() is for main's calls of the BIOS.
 */
	.code16
	.section .boot, "ax"
	.globl start
start:	ljmp	$0, $1f
1:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	cli
	mov	%ax, %ss
	mov	$0x7000, %esp
	sti
	cld
	mov	%dl, boot_drive
	mov	$packet, %si
	mov	$0x42, %ah
	int	$0x13
	jc	fail
	calll	main
end:	mov	$0xf4, %dx	/* isa-debug-exit */
	outl	%eax, %dx
	cli
1:	hlt
	jmp	1b
fail:	mov	$0x3f8, %dx
	mov	$'!', %al
	out	%al, %dx
	mov	$2, %eax
	jmp	end

	.globl boot_drive
boot_drive: .byte 0
	.balign 4
packet:	.byte	16, 0
	.word	image_sectors
	.word	0x7e00, 0
	.quad	1
	.org	510
	.word	0xaa55

	.text
/* void bios_call(unsigned vector, struct regs *r) */
	.globl bios_call
bios_call:
	pushl	%ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	movl	20(%esp), %eax
	movb	%al, vector
	movl	24(%esp), %ebp
	movl	%ebp, saved
	movl	0(%ebp), %eax
	movl	4(%ebp), %ebx
	movl	8(%ebp), %ecx
	movl	12(%ebp), %edx
	movl	16(%ebp), %esi
	movl	20(%ebp), %edi
	movw	28(%ebp), %es
	jmp	1f		/* what was fetched before is not patched */
1:	.byte	0xcd
vector:	.byte	0
	pushfl
	cld
	movl	saved, %ebp
	movl	%eax, 0(%ebp)
	movl	%ebx, 4(%ebp)
	movl	%ecx, 8(%ebp)
	movl	%edx, 12(%ebp)
	movl	%esi, 16(%ebp)
	movl	%edi, 20(%ebp)
	popl	24(%ebp)
	movw	%es, 28(%ebp)
	xor	%ax, %ax
	movw	%ax, %es
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	retl
	.balign 4
saved:	.long	0
	.section .note.GNU-stack, "", @progbits
