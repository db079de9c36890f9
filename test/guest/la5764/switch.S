/*
 * void la57_switch(u64 cr3, u64 cr4): leaves long mode through compatibility
 * mode, loads CR4 and CR3 with paging off, and comes back.  All below 4 GiB.
 */
#include "test/guest/lib/desc.h"

	.text
	.globl la57_switch
la57_switch:
	push	%rbx
	push	%rbp
	mov	%rsp, saved_sp
	mov	%rdi, %rbp
	ljmp	*to32
	.code32
1:	mov	$SEL_DATA, %eax
	mov	%eax, %ss
	mov	%cr0, %ebx
	mov	%ebx, %eax
	and	$0x7fffffff, %eax
	mov	%eax, %cr0
	mov	%esi, %cr4
	mov	%ebp, %cr3
	mov	%ebx, %cr0
	ljmp	$SEL_CODE, $2f
	.code64
2:	mov	saved_sp, %rsp
	pop	%rbp
	pop	%rbx
	ret

	.data
to32:	.long	1b
	.word	SEL_CODE32
	.bss
	.align	8
saved_sp:
	.skip	8
	.section .note.GNU-stack, "", @progbits
