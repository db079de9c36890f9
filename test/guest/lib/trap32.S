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
	push	%eax
	push	%ecx
	push	%edx
	push	%ebx
	push	%ebp
	push	%esi
	push	%edi
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	/* The code under test may run on a stack segment that is not flat. */
	mov	%ss, %ecx
	cmp	$SEL_DATA, %cx
	je	1f
	add	trap_ss_base, %esp
	mov	%eax, %ss
	nop
1:	mov	%esp, %ebx
	and	$-16, %esp
	sub	$12, %esp
	push	%ebx
	cld
	call	trap_dispatch
	mov	%ebx, %esp
trap_return:
	pop	%edi
	pop	%esi
	pop	%ebp
	pop	%ebx
	pop	%edx
	pop	%ecx
	pop	%eax
	add	$8, %esp
	iret

/*
 * void trap_resume(struct frame *f, word sp): continues at f->ip in ring 0 with
 * the stack pointer @sp, since a 32-bit IRET within a ring does not load it.
 */
	.globl trap_resume
trap_resume:
	mov	4(%esp), %ebx
	mov	8(%esp), %eax
	mov	$SEL_DATA, %ecx
	mov	%ecx, %ss
	mov	%eax, %esp
	push	44(%ebx)		/* flags */
	push	$SEL_CODE
	push	36(%ebx)		/* ip */
	push	24(%ebx)		/* ax */
	push	20(%ebx)
	push	16(%ebx)
	push	12(%ebx)
	push	8(%ebx)
	push	4(%ebx)
	push	0(%ebx)
	pop	%edi
	pop	%esi
	pop	%ebp
	pop	%ebx
	pop	%edx
	pop	%ecx
	pop	%eax
	iret

/* int run_user(void *entry, word arg) */
	.globl run_user, user_leave
run_user:
	push	%ebx
	push	%ebp
	push	%esi
	push	%edi
	pushf
	call	trap_clear
	mov	%esp, user_saved_sp
	mov	24(%esp), %eax
	mov	28(%esp), %edi
	push	user_ss
	push	user_sp
	push	user_flags
	push	user_sel
	push	%eax
	mov	user_ss, %eax
	mov	%eax, %ds
	mov	%eax, %es
	iret
user_leave:
	mov	4(%esp), %eax
	mov	user_saved_sp, %esp
	movl	$0, user_saved_sp
	mov	$SEL_DATA, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %fs
	mov	%ecx, %gs
	popf
	pop	%edi
	pop	%esi
	pop	%ebp
	pop	%ebx
	ret

	.bss
	.align	4
	.globl user_saved_sp, trap_ss_base
trap_ss_base:
	.skip	4
user_saved_sp:
	.skip	4
	.section .note.GNU-stack, "", @progbits
