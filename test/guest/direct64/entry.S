/* SYSCALL: what it finds, then back.  User code must not care for RSP. */
	.text
	.globl syscall_entry
syscall_entry:
	mov	%rax, entry + 0
	mov	%rcx, entry + 8
	mov	%r11, entry + 16
	mov	%rsp, user_rsp
	mov	$kernel_stack, %rsp
	pushfq
	pop	entry + 24
	incq	entry + 32
	mov	user_rsp, %rsp
	sysretq
	.bss
	.align	16
	.skip	64
kernel_stack:
	.skip	8
user_rsp:
	.skip	8

	.section .user.text, "ax"
	.globl user_get, user_put, user_do, do_read, do_write, do_rmw, do_call
user_get:
	mov	(%rdi), %rax
	int	$0x90
user_put:
	mov	8(%rdi), %rax
	mov	(%rdi), %rdi
	mov	%rax, (%rdi)
	int	$0x90
do_read:
	movb	(%rdi), %al
	int	$0x90
do_write:
	movb	$0x5a, (%rdi)
	int	$0x90
do_rmw:
	addb	$1, (%rdi)
	int	$0x90
do_call:
user_do:
	call	*%rdi
	int	$0x90
	.section .note.GNU-stack, "", @progbits
