/*
 * Guest code whose translation is kept in listing.txt: what programs and
 * kernels are made of.  CASE name, body, END: one block, or its beginning;
 * pic_*: translated to be position-independent.
 */
	.section .data.rel.ro.cases, "aw"
	.globl code_cases
code_cases:
	.section .rodata
	.macro CASE name
	.pushsection .rodata.names, "a"
9:	.asciz "\name"
	.popsection
	.pushsection .data.rel.ro.cases, "aw"
	.quad 9b, 1f, 2f
	.popsection
1:
	.endm
	.macro END
2:
	.endm

	CASE move_registers
	mov %rsi, %rdi
	mov %r10, %r15
	mov $5, %ecx
	lea 8(%rdi,%rcx,4), %rax
	END
	CASE arithmetic
	add %rdx, %rax
	sub $16, %rsp
	imul %r15, %rbx
	shl $3, %ecx
	END
	CASE load
	mov (%rdi), %rax
	END
	CASE load_byte
	movzbl 5(%rdi,%rax), %eax
	END
	CASE load_rip
	mov 0x100(%rip), %rax
	END
	CASE load_absolute
	mov 0x7000, %rax
	END
	CASE load_fs
	mov %fs:0x28, %rax
	END
	CASE load_gs_index
	mov %gs:(%rax), %rdx
	END
	CASE pic_load_rip
	mov 0x100(%rip), %rax
	END
	CASE pic_load_got_call
	call *0x100(%rip)
	END
	CASE pic_call
	lea 0x40(%rip), %rdi
	call . + 0x2000
	END
	CASE pic_return
	pop %rbx
	ret
	END
	CASE store
	mov %rax, 8(%rdi)
	END
	CASE store_in_memory_register
	mov %r10, (%r11)
	END
	CASE read_modify_write
	add %eax, (%rbx)
	END
	CASE locked
	lock xadd %rax, (%rdi)
	END
	CASE compare_exchange
	lock cmpxchg %rdx, (%rdi)
	jne . + 0x40
	END
	CASE fields_of_one_object
	mov (%rdi), %rax
	mov 8(%rdi), %rdx
	add 16(%rdi), %rax
	mov %rax, 24(%rdi)
	END
	CASE two_pointers
	mov (%rsi), %rax
	mov %rax, (%rdi)
	mov 8(%rsi), %rax
	mov %rax, 8(%rdi)
	END
	CASE function_entry
	endbr64
	push %rbp
	mov %rsp, %rbp
	push %r12
	push %rbx
	sub $32, %rsp
	END
	CASE function_exit
	add $32, %rsp
	pop %rbx
	pop %r12
	pop %rbp
	ret
	END
	CASE call_near
	mov %rbx, %rdi
	call . + 0x200
	END
	CASE call_far_page
	call . + 0x3000
	END
	CASE call_register
	call *%rax
	END
	CASE call_memory
	call *0x18(%rax)
	END
	CASE jump_table
	movslq (%rdx,%rax,4), %rax
	add %rdx, %rax
	jmp *%rax
	END
	CASE test_and_branch
	test %eax, %eax
	je . + 0x80
	END
	CASE compare_memory_and_branch
	cmpl $0, 0x10(%rdi)
	jne . + 0x80
	END
	CASE branch_far_page
	cmp %rdx, %rax
	jb . + 0x2000
	END
	CASE loop_of_one_block
1:	add (%rdi), %rax
	add $8, %rdi
	cmp %rsi, %rdi
	jne 1b
	END
	CASE loop_two_pointers
1:	movzbl (%rsi,%rcx), %eax
	mov %al, (%rdi,%rcx)
	inc %rcx
	cmp %rdx, %rcx
	jb 1b
	END
	CASE flags_over_loads
	cmp %rdx, %rax
	mov (%rdi), %rcx
	jb . + 0x80
	END
	CASE flags_chain
	add (%rsi), %rax
	adc 8(%rsi), %rdx
	mov %rdx, 8(%rdi)
	END
	CASE condition
	cmp $7, %eax
	sete %al
	cmovb %rdx, %rcx
	END
	CASE scalar_double
	movsd (%rdi), %xmm0
	mulsd 8(%rdi), %xmm0
	addsd %xmm1, %xmm0
	movsd %xmm0, (%rsi)
	END
	CASE vector_aligned
	movaps (%rdi), %xmm0
	paddd 16(%rdi), %xmm0
	movaps %xmm0, (%rsi)
	END
	CASE vector_unaligned
	vmovdqu (%rdi), %ymm0
	vpaddd (%rsi), %ymm0, %ymm0
	vmovdqu %ymm0, (%rdx)
	END
	CASE x87
	fldt (%rdi)
	fmul %st(1), %st
	fstpt 16(%rdi)
	END
	CASE rep_movs
	rep movsb
	END
	CASE rep_stos
	rep stosq
	END
	CASE string_one
	movsq
	END
	CASE divide
	xor %edx, %edx
	div %rcx
	END
	CASE divide_memory
	divq (%rdi)
	END
	CASE shift_memory
	shlq %cl, (%rdi)
	END
	CASE cli_sti
	cli
	nop
	sti
	nop
	END
	CASE pushf_cli_popf
	pushf
	cli
	popf
	END
	CASE swapgs_syscall
	swapgs
	sysretq
	END
	CASE syscall
	mov $39, %eax
	syscall
	END
	CASE rdtsc
	rdtsc
	END
	CASE stac_clac
	stac
	mov (%rsi), %rax
	clac
	END
	CASE iret
	iretq
	END
	CASE write_cr3
	mov %rax, %cr3
	END
	CASE cpuid
	cpuid
	END
	CASE out_dx
	out %al, %dx
	END
	CASE hlt
	hlt
	END

	.section .data.rel.ro.cases, "aw"
	.quad 0
	.section .note.GNU-stack, "", @progbits
