/*
 * Addressing forms: each register as base and as index, all scales and
 * displacement sizes, RIP-relative, FS and GS bases, 32-bit address size,
 * read, written and read-modified.
 */
#include "test/guest/lib/snip.h"

	.irp	r, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	T	"mov %rsi, %\r; mov (%\r), %rax"
	T	"mov %rsi, %\r; mov 8(%\r), %ecx"
	T	"mov %rsi, %\r; mov %rdx, 16(%\r)"
	T	"mov %rsi, %\r; mov %cx, 0x90(%\r)"
	T	"mov %rsi, %\r; add %rax, -0x20(%\r)"
	T	"mov %rsi, %\r; adc %al, -0x90(%\r)"
	T	"lea -0x12345678(%rsi), %\r; mov 0x12345678(%\r), %rdx"
	T	"mov %rsi, %\r; mov 8(%\r), %\r"
	T	"mov %rsi, %\r; mov %\r, 8(%\r)"
	T	"mov %rsi, %\r; add %\r, 8(%\r)"
	T	"mov %rsi, %\r; xchg %\r, 8(%\r)"
	T	"mov %rsi, %\r; incb (%\r)"
	T	"mov %rsi, %\r; movzbl 3(%\r), %r9d"
	T	"lea 0x55(%\r), %rax"
	T	"lea 0x12345678(%\r), %eax"
	T	"lea 0x1234(%\r), %ax"
	.endr
	.irp	r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	.irp	s, 1, 2, 4, 8
	T	"lea (%rsp,%\r,\s), %rax"
	T	"mov $8, %\r; mov (%rsp,%\r,\s), %rax"
	.endr
	T	"mov %rbx, %rsp; mov $-5, %\r; mov 3(%rsp,%\r,8), %rdx"
	T	"mov %rbx, %rsp; mov $5, %\r; mov %\r, 0x33(%rsp,%\r,2)"
	T	"mov %rbx, %rsp; mov $5, %\r; sub %\r, -0x103(%rsp,%\r,4)"
	T	"mov $3, %esp; mov %rsi, %\r; shr $3, %\r; mov (%rsp,%\r,8), %rdx"
	T	"mov $16, %\r; mov snip_data(,%\r,4), %rdx"
	T	"mov %rsi, %\r; shr %\r; mov (%\r,%\r), %ecx"
	T	"lea (%r13,%\r,8), %rax"
	T	"lea 0x77(%r12,%\r,2), %rax"
	T	"lea (%rbp,%\r,4), %eax"
	.endr
	T	"mov snip_data, %rax"
	T	"mov %rax, snip_data"
	T	"mov snip_data(%rip), %rax"
	T	"mov %cl, snip_data+9(%rip)"
	T	"lea snip_data(%rip), %rax"
	T	"lea snip_data(%rip), %rsp"
	T	"addl $0x11223344, snip_data+12(%rip)"
	T	"addb $0x11, snip_data+12(%rip)"
	T	"shlq $3, snip_data+16(%rip)", F_NOOA
	T	"imul $0x55667788, snip_data(%rip), %rcx", F_CO
	T	"imul $0x55, snip_data(%rip), %cx", F_CO
	T	"mov snip_data(%eip), %rax"

	/* 32-bit address size: the sum wraps at 4 GiB, garbage above is lost. */
	T	"mov 8(%ebx), %rax"
	T	"bts $40, %rbx; mov 8(%ebx), %rax"
	T	"bts $63, %rsi; mov %rax, 8(%esi)"
	T	"mov $0xffffffff00000010, %rcx; mov (%ebx,%ecx,2), %rax"
	T	"mov $0xfffffffffffffff0, %rcx; mov (%ebx,%ecx,2), %rax"
	T	"mov $0x80000000, %ecx; mov (%ebx,%ecx,2), %eax"
	T	"mov $0x80000000, %r9d; lea 0x7ffffff0(%rbx), %r10; mov (%r10d,%r9d), %eax"
	T	"lea -1(%ecx,%edx,8), %rax"
	T	"lea (%r9d), %r10"
	T	"add %rax, (%edi)"
	T	"mov %rsi, %rsp; mov 4(%esp), %rax"
	/* FS and GS. */
	T	"mov %fs:0x20, %rax"
	T	"mov %gs:0x20, %rax"
	T	"mov $0x18, %ecx; mov %fs:(%rcx), %eax"
	T	"mov $0x18, %ecx; mov %al, %gs:8(%rcx,%rcx,2)"
	T	"mov $-0x18, %rcx; add %rdx, %gs:(%rcx)"
	T	"mov $-0x18, %rbp; add %rdx, %fs:(%rbp)"
	T	"mov $0xffffffff00000018, %rcx; mov %fs:(%ecx), %rax"
	T	"mov $-8, %r9; mov %gs:(%r9,%r9,4), %r10w"
	T	"mov $0x40, %r12d; mov %fs:(%r12), %r12"
	T	"mov $0x40, %esp; mov %gs:(%rsp), %rax"
	T	"push %gs:0x30"
	T	"pop %fs:0x30"
	T	"xchg %rcx, %gs:0x30"
	T	"lock addq $3, %gs:0x30"
	T	"incq %gs:0x30; adcq $0, %fs:0x38"
	T	".byte 0x64; lea 0x10(%rbx), %rax"
	/* DS, ES, SS and CS prefixes mean nothing in 64-bit mode. */
	T	".byte 0x3e; mov (%rsp), %rax"
	T	".byte 0x26; mov (%rsi), %rax"
	T	".byte 0x36; mov (%rsi), %rax"
	T	".byte 0x2e; mov (%rsi), %rax"
	T	".byte 0x66, 0x66, 0x66; nop"
	/* A REX prefix that another prefix follows is ignored. */
	T	".byte 0x48, 0x66, 0x89, 0xc8"
	T	".byte 0x44, 0xf3, 0x90; mov %r8, %r9"
	T	".byte 0x40, 0x88, 0xe0"
	T	".byte 0x66, 0x48, 0x89, 0xc8"
	.section .note.GNU-stack, "", @progbits
