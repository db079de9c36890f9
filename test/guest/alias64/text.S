/*
 * Position-independent code of two pages, a page of data behind it and one that
 * is not mapped; see main.c.
 */
#define DATA   alias_text + 0x2000
#define ABSENT alias_text + 0x3000

	.section .rodata
	.balign 4096
	.global alias_text
alias_text:

	.macro FN name
	.global \name
\name:
	.endm

FN alias_where
	lea alias_text(%rip), %rax
	ret

FN alias_data
	mov DATA(%rip), %rax
	add DATA + 8(%rip), %rax
	ret

FN alias_store
	mov %rdi, DATA(%rip)
	incq DATA + 8(%rip)
	push DATA + 8(%rip)
	pop %rax
	ret

FN alias_return
	call 1f
1:	pop %rax
	ret
	.global alias_return_at
	.set alias_return_at, 1b

FN alias_near
	call alias_where
	inc %rax
	ret

FN alias_far
	call alias_page1
	inc %rax
	ret

FN alias_loop
	xor %eax, %eax
	mov $100, %ecx
1:	add DATA(%rip), %rax
	dec %ecx
	jnz 1b
	ret

FN alias_event
	push %rbx
	xor %eax, %eax
	cpuid
	lea alias_text(%rip), %rax
	pop %rbx
	ret

FN alias_switch
	lea 2f(%rip), %rdx
	movslq (%rdx, %rdi, 4), %rax
	add %rdx, %rax
	jmp *%rax
2:	.long 3f - 2b, 4f - 2b, alias_page1 - 2b
3:	mov $3, %eax
	ret
4:	lea 4b(%rip), %rax
	ret
	.global alias_case1
	.set alias_case1, 4b

FN alias_value
	mov $0x1234, %eax
	ret

FN alias_ud
	mov $1, %eax
	ud2

FN alias_fault
	mov $1, %eax
	.global alias_fault_at
alias_fault_at:
	mov ABSENT + 8(%rip), %rax
	ret

FN alias_cut
	lea alias_text(%eip), %rax
	ret

FN alias_top
	mov alias_text + 0x7ffff000(%rip), %rax
	ret

	.org alias_text + 0xffd
FN alias_cross
	mov $0x55667788, %eax
	ret

	.org alias_text + 0x1100
FN alias_page1
	lea alias_page1(%rip), %rax
	ret

	.org alias_text + 0x2000
