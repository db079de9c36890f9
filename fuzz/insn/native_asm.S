#include "fuzz/insn/layout.h"

/*
 * The way out, copied to OUT and OUT_HIGH: saves all state at fixed addresses,
 * since there is no free register, and returns 0 from native_enter.
 */
	.text
	.globl native_out, native_out_end
	.balign 64
native_out:
	mov	%rsp, N_OUT_GPR + 32
	mov	$N_STACK_TOP, %rsp
	pushfq
	popq	N_OUT_RFLAGS
	pushq	$0x202
	popfq
	mov	%rax, N_OUT_GPR + 0
	mov	%rcx, N_OUT_GPR + 8
	mov	%rdx, N_OUT_GPR + 16
	mov	%rbx, N_OUT_GPR + 24
	mov	%rbp, N_OUT_GPR + 40
	mov	%rsi, N_OUT_GPR + 48
	mov	%rdi, N_OUT_GPR + 56
	mov	%r8, N_OUT_GPR + 64
	mov	%r9, N_OUT_GPR + 72
	mov	%r10, N_OUT_GPR + 80
	mov	%r11, N_OUT_GPR + 88
	mov	%r12, N_OUT_GPR + 96
	mov	%r13, N_OUT_GPR + 104
	mov	%r14, N_OUT_GPR + 112
	mov	%r15, N_OUT_GPR + 120
	mov	$7, %eax
	xor	%edx, %edx
	xsave64	N_OUT_XSAVE
	fninit
	vzeroupper
	pushq	$0x1f80
	ldmxcsr	(%rsp)
	xor	%eax, %eax
	jmp	1f
	.globl native_fault_out
	/* native_fault_out(status): from the signal handler. */
native_fault_out:
	mov	%edi, %eax
1:	rdfsbase %rcx
	mov	%rcx, N_OUT_FS_BASE
	rdgsbase %rcx
	mov	%rcx, N_OUT_GS_BASE
	mov	%es, N_OUT_SEG + 0
	mov	%ds, N_OUT_SEG + 6
	mov	%fs, N_OUT_SEG + 8
	mov	%gs, N_OUT_SEG + 10
	mov	N_HOST_RSP, %rsp
	xor	%ecx, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %fs
	mov	%ecx, %gs
	mov	N_HOST_FS, %rcx
	wrfsbase %rcx
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.org	native_out + OUT_32, 0xcc
	.byte	0xea			/* jmp far SEL_CODE64:OUT */
	.long	OUT
	.word	SEL_CODE64
native_out_end:

/* int native_enter(void) - 0: came out; else what native_fault_out was given */
	.globl native_enter
native_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, N_HOST_RSP
	rdfsbase %rax
	mov	%rax, N_HOST_FS
	mov	$7, %eax
	xor	%edx, %edx
	xrstor64 N_XSAVE
	movw	N_SEG + 0, %es
	movw	N_SEG + 6, %ds
	movw	N_SEG + 8, %fs
	movw	N_SEG + 10, %gs
	cmpw	$SEL_CODE64, N_CS
	jne	1f
	mov	N_FS_BASE, %rax
	wrfsbase %rax
	mov	N_GS_BASE, %rax
	wrgsbase %rax
1:	mov	$N_STACK_TOP, %rsp
	pushq	N_SS
	pushq	N_GPR + 32
	pushq	N_RFLAGS
	pushq	N_CS
	pushq	N_RIP
	mov	N_GPR + 0, %rax
	mov	N_GPR + 8, %rcx
	mov	N_GPR + 16, %rdx
	mov	N_GPR + 24, %rbx
	mov	N_GPR + 40, %rbp
	mov	N_GPR + 48, %rsi
	mov	N_GPR + 56, %rdi
	mov	N_GPR + 64, %r8
	mov	N_GPR + 72, %r9
	mov	N_GPR + 80, %r10
	mov	N_GPR + 88, %r11
	mov	N_GPR + 96, %r12
	mov	N_GPR + 104, %r13
	mov	N_GPR + 112, %r14
	mov	N_GPR + 120, %r15
	iretq

/* Signal handler: AC and NT of the case are not for C code. */
	.globl native_signal
native_signal:
	pushq	$0x202
	popfq
	cld
	jmp	native_on_signal

	.section .note.GNU-stack, "", @progbits
