/*
 * A raw real-mode image, as a boot sector: entered at 0000:7C00 with DL = 80h.
 * It looks at its entry state and reports over the serial port.
 */
	.code16
	.globl start
start:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7000, %sp
	cld
	call	1f
1:	pop	%bx
	mov	$not_7c00, %si
	cmp	$1b, %bx
	jne	fail
	mov	$not_0, %si
	test	%ax, %ax
	jnz	fail
	mov	$not_dl, %si
	cmp	$0x80, %dl
	jne	fail
	mov	$not_pe, %si
	smsw	%ax
	test	$1, %al
	jnz	fail
	mov	$good, %si
	call	puts
	xor	%eax, %eax
end:	mov	$0xf4, %dx
	outl	%eax, %dx
	hlt
fail:	call	puts
	mov	$1, %eax
	jmp	end

puts:	mov	$0x3fd, %dx
1:	in	%dx, %al
	test	$0x20, %al
	jz	1b
	lodsb
	test	%al, %al
	jz	2f
	mov	$0x3f8, %dx
	out	%al, %dx
	jmp	puts
2:	ret

good:	.asciz "PASS entry\nSUMMARY 1 passed, 0 failed, 0 skipped\n"
not_7c00: .ascii "FAIL entry: IP: got 0 expected 7c00 (round 0)\n"
	.asciz "SUMMARY 0 passed, 1 failed, 0 skipped\n"
not_0:	.ascii "FAIL entry: CS: got 1 expected 0 (round 0)\n"
	.asciz "SUMMARY 0 passed, 1 failed, 0 skipped\n"
not_dl:	.ascii "FAIL entry: DL: got 0 expected 80 (round 0)\n"
	.asciz "SUMMARY 0 passed, 1 failed, 0 skipped\n"
not_pe:	.ascii "FAIL entry: PE: got 1 expected 0 (round 0)\n"
	.asciz "SUMMARY 0 passed, 1 failed, 0 skipped\n"
	.org	510
	.word	0xaa55
	.section .note.GNU-stack, "", @progbits
