/*
 * Into S3 and back: the waking vector's code, copied to WAKE_PAGE and entered
 * there in real mode, returns from sleep_enter().
 */
#include "test/guest/lib/to_long.h"
#define BASE 0x9000
#define AT(label) (BASE + label - wake_start)

/* bool sleep_enter(u16 port, u16 value): false if the processor runs on. */
	.text
	.globl sleep_enter, wake_start, wake_end
	.code64
sleep_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, saved_rsp
	mov	%edi, %edx
	mov	%esi, %eax
	out	%ax, %dx
	xor	%eax, %eax
sleep_return:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.code16
wake_start:
	TO_LONG_MODE(wake_start, wake_gdtr)
	mov	saved_rsp, %rsp
	mov	$1, %eax
	mov	$sleep_return, %ecx
	jmp	*%rcx
	.align	4
wake_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.long	gdt
wake_end:

	.data
saved_rsp:
	.quad	0
	.section .note.GNU-stack, "", @progbits
