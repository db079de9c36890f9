/*
 * Stubs for the 256 vectors, 16 bytes each, and the way to ring 3 and back.
 */
#include "test/guest/lib/desc.h"

	.text
	.globl trap_stubs, trap_common
	.align	16
trap_stubs:
	vector = 0
	.rept	256
	.align	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	trap_common
	vector = vector + 1
	.endr

trap_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	mov	%rsp, %rbx
	and	$-16, %rsp
	cld
	call	trap_dispatch
	mov	%rbx, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

/* int run_user(void *entry, word arg) */
	.globl run_user, user_leave
run_user:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	push	%rdi
	push	%rsi
	call	trap_clear
	pop	%rsi
	pop	%rdi
	mov	%rsp, user_saved_sp
	push	user_ss
	push	user_sp
	push	user_flags
	push	user_sel
	push	%rdi
	mov	%rsi, %rdi
	iretq
user_leave:
	mov	user_saved_sp, %rsp
	movq	$0, user_saved_sp
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%edi, %eax
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
	.globl user_saved_sp
user_saved_sp:
	.skip	8
	.section .note.GNU-stack, "", @progbits
