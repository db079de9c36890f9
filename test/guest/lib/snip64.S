/* snip_enter(code): registers from snip_in, run, registers to snip_out. */
	.text
	.globl snip_enter, snip_exit
snip_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	mov	%rdi, snip_code
	mov	%rsp, snip_sp
	push	snip_in + 128
	popfq
	mov	snip_in + 0, %rax
	mov	snip_in + 8, %rcx
	mov	snip_in + 16, %rdx
	mov	snip_in + 24, %rbx
	mov	snip_in + 32, %rsp
	mov	snip_in + 40, %rbp
	mov	snip_in + 48, %rsi
	mov	snip_in + 56, %rdi
	mov	snip_in + 64, %r8
	mov	snip_in + 72, %r9
	mov	snip_in + 80, %r10
	mov	snip_in + 88, %r11
	mov	snip_in + 96, %r12
	mov	snip_in + 104, %r13
	mov	snip_in + 112, %r14
	mov	snip_in + 120, %r15
	jmp	*snip_code
snip_exit:
	mov	%rax, snip_out + 0
	mov	%rcx, snip_out + 8
	mov	%rdx, snip_out + 16
	mov	%rbx, snip_out + 24
	mov	%rsp, snip_out + 32
	mov	%rbp, snip_out + 40
	mov	%rsi, snip_out + 48
	mov	%rdi, snip_out + 56
	mov	%r8, snip_out + 64
	mov	%r9, snip_out + 72
	mov	%r10, snip_out + 80
	mov	%r11, snip_out + 88
	mov	%r12, snip_out + 96
	mov	%r13, snip_out + 104
	mov	%r14, snip_out + 112
	mov	%r15, snip_out + 120
	mov	snip_sp, %rsp
	pushfq
	pop	snip_out + 128
	popfq
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.bss
	.align	8
snip_sp:
	.skip	8
snip_code:
	.skip	8
	.section .note.GNU-stack, "", @progbits
