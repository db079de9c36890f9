/*
 * Pushes and pops of every kind, ENTER and LEAVE, calls, returns and jumps.
 */
#include "test/guest/lib/snip.h"

	.irp	r, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	T	"push %\r"
	T	"pop %\r"
	T	"push %\r; pop %rax"
	T	"push %rcx; pop %\r"
	T	"push %\r; push %rsi; pop %\r; pop %rdx"
	T	"mov %rsi, %\r; push 8(%\r)"
	T	"mov %rsi, %\r; pop 8(%\r)"
	T	"lea 1f(%rip), %\r; jmp *%\r; ud2; 1: inc %rax"
	.ifnc	\r, rsp
	T	"lea 1f(%rip), %\r; call *%\r; ud2; 1: pop %rax; inc %rax"
	.endif
	T	"lea 1f(%rip), %r11; mov %r11, 8(%rbx); mov %rbx, %\r; jmp *8(%\r); ud2; 1: stc"
	T	"lea 1f(%rip), %rcx; mov %rcx, snip_data; mov %rbx, %\r; call *snip_data(%rip); ud2; 1: stc"
	.endr
	.irp	r, ax, cx, bx, sp, bp, r8w, r15w
	T	"push %\r"
	T	"pop %\r; mov %sp, %cx"
	T	"push %\r; pop %cx"
	.endr
	T	"push $-3"
	T	"push $0x12345678"
	T	"push $-0x12345678"
	T	"pushw $0x1234"
	T	"pushw $-3"
	T	"pushw 2(%rsi)"
	T	"popw 2(%rsi)"
	T	"push (%rsp)"
	T	"push 8(%rsp)"
	T	"pop (%rsp)"
	T	"pop 8(%rsp)"
	T	"pop -8(%rsp)"
	T	"push snip_data"
	T	"push snip_data(%rip)"
	T	"pop snip_data(%rip)"
	T	"pushf; andl $0xcd5, (%rsp)", F_NONE
	T	"pushfw; andw $0xcd5, (%rsp)", F_NONE
	T	"push $0x8d7; popf"
	T	"push $2; popf"
	T	"pushw $0x0d7; popfw"
	T	"push $0x402; popf; pushf; pop %rax; cld; and $0xcd5, %eax; push %rax", F_NONE
	T	"enter $0, $0"
	T	"enter $0x30, $0"
	T	"enter $0x20, $1"
	T	"lea -0x40(%rsp), %rbp; enter $0x20, $2"
	T	"lea -0x20(%rsp), %rbp; enter $0x10, $3"
	T	".byte 0x66; enter $0x10, $0"
	T	"leave"
	T	"leavew; mov %rsp, %rax"
	T	"enter $0x30, $0; push %rax; leave"

	T	"call 1f; 1: pop %rax"
	T	"call 1f; jmp 2f; 1: inc %rax; ret; 2:"
	T	"call 1f; jmp 2f; 1: push %rbx; call 3f; pop %rbx; ret; 3: mov 8(%rsp), %r8; ret; 2: mov -16(%rsp), %r9"
	T	"push $1; push $2; call 1f; jmp 2f; 1: ret $16; 2: stc"
	T	"lea 1f(%rip), %rax; push %rax; ret; ud2; 1: stc"
	T	"lea 1f(%rip), %rax; push %rax; ret $8; ud2; 1: stc"
	T	"lea 1f(%rip), %rax; push %rax; repz ret; ud2; 1: stc"
	T	"lea 1f(%rip), %rax; push %rax; jmp *(%rsp); ud2; 1: stc"
	T	"lea 1f(%rip), %rax; push %rax; call *(%rsp); ud2; 1: stc"
	T	"lea 1f(%rip), %rax; mov %rax, %gs:0x20; jmp *%gs:0x20; ud2; 1: stc"
	T	"lea 1f(%rip), %rax; mov %rax, 8(%rbx); mov $1, %ecx; call *(%rbx,%rcx,8); ud2; 1: stc"
	T	"mov $5, %ecx; 1: add %rcx, %rax; loop 1b"
	T	"mov $5, %ecx; 1: add %rcx, %rax; dec %r8; loopne 1b"
	T	"mov $5, %ecx; 1: add $1, %rax; cmp %rax, %rax; loope 1b"
	T	"mov $0x100000003, %rcx; 1: inc %rax; addr32 loop 1b"
	T	"xor %ecx, %ecx; jrcxz 1f; inc %rax; 1: inc %rdx"
	T	"mov $1, %ecx; jrcxz 1f; inc %rax; 1: inc %rdx"
	T	"mov $0x100000000, %rcx; jecxz 1f; inc %rax; 1: inc %rdx"
	T	"mov $0x100000000, %rcx; jrcxz 1f; inc %rax; 1: inc %rdx"
	T	"mov $1000, %ecx; xor %eax, %eax; 1: add (%rbx), %rax; rol $3, %rax; adc %rax, %rdx; dec %ecx; jnz 1b", 0x4c4
	T	"mov $40, %ecx; 1: call 2f; dec %ecx; jnz 1b; jmp 3f; 2: add %rcx, %rax; test $1, %cl; jz 4f; ret; 4: adc $3, %rdx; ret; 3:"
	T	"mov $7, %ecx; 1: lea 2f(%rip), %r8; test $1, %cl; jz 4f; lea 3f(%rip), %r8; 4: jmp *%r8; 2: inc %rax; jmp 5f; 3: inc %rdx; 5: dec %ecx; jnz 1b"
	/* Backwards, over more than 127 bytes; a jump into an instruction. */
	T	"jmp 2f; 1: jmp 3f; .skip 300, 0xcc; 2: jmp 1b; 3: stc"
	T	"mov $2, %ecx; 1: .byte 0xeb, 0x01, 0xb8, 0x90, 0x90, 0x90, 0x90; dec %ecx; jnz 1b"
	.section .note.GNU-stack, "", @progbits
