/* User mode of the second CPU: in by ap_user(), out by a handler to ap_back. */
	.text
	.globl ap_user, ap_back
ap_user:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	mov	%rsp, ap_saved_sp
	pushq	$0x2b
	push	%rcx
	pushq	$0x202
	pushq	$0x33
	push	%rdi
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	iretq
ap_back:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	popfq
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.section .user.text, "ax"
	.globl loop_data, loop_code
	/* RDI: page, RSI: what is seen. */
loop_data:
	mov	(%rdi), %rax
	mov	%rax, 8(%rsi)
	incq	16(%rdi)
	incq	(%rsi)
	jmp	loop_data
	/* RDI: function. */
loop_code:
	call	*%rdi
	mov	%rax, 8(%rsi)
	incq	(%rsi)
	jmp	loop_code
	.bss
	.globl ap_saved_sp
	.align	8
ap_saved_sp:
	.skip	8
	.section .note.GNU-stack, "", @progbits
