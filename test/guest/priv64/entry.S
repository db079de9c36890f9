/*
 * Kernel entries that user code reaches: SYSCALL, SYSENTER, call gates.  Each
 * records what it finds in `entry` and goes back by its own instruction.
 */
#include "test/guest/lib/desc.h"

	.macro	RECORD
	mov	%rax, entry + 0
	mov	%rcx, entry + 8
	mov	%r11, entry + 16
	mov	%rsp, entry + 24
	mov	%cs, %rax
	mov	%rax, entry + 32
	mov	%ss, %rax
	mov	%rax, entry + 40
	mov	kernel_sp, %rsp
	pushfq
	pop	entry + 48
	mov	entry + 24, %rsp
	mov	entry + 0, %rax
	.endm

	.text
	.globl syscall_entry, syscall_entry32, sysenter_entry, sysenter_entry32
	.globl gate_entry, gate_entry_same
syscall_entry:
	RECORD
	sysretq
syscall_entry32:
	RECORD
	sysretl
sysenter_entry:
	RECORD
	mov	%r8, %rdx
	mov	%r9, %rcx
	sysexitq
sysenter_entry32:
	RECORD
	mov	%r8, %rdx
	mov	%r9, %rcx
	sysexitl
	/* RSP -> RIP, CS, RSP, SS */
gate_entry:
	RECORD
	mov	0(%rsp), %rax
	mov	%rax, entry + 56
	mov	8(%rsp), %rax
	mov	%rax, entry + 64
	mov	16(%rsp), %rax
	mov	%rax, entry + 72
	mov	24(%rsp), %rax
	mov	%rax, entry + 80
	lretq
gate_entry_same:
	RECORD
	mov	8(%rsp), %rax
	mov	%rax, entry + 64
	lretq
	lretq	$16
	.globl gate_entry_pop
gate_entry_pop:
	RECORD
	lretq	$16

	/* Conforming code: user pages, entered from ring 3 and ring 0. */
	.section .user.text, "ax"
	.globl conforming_entry
conforming_entry:
	mov	%cs, %eax
	lretl

	.data
	.align	8
	.globl kernel_sp
kernel_sp:
	.quad	scratch_top
	.bss
	.skip	64
scratch_top:
	.section .note.GNU-stack, "", @progbits
