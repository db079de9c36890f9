/*
 * Integer arithmetic in all widths and operand forms: flags, partial register
 * writes, the zero extension of 32-bit results, AH to BH mixes, and flags that
 * live across memory accesses.
 */
#include "test/guest/lib/snip.h"

	.macro	ALU op, mask
	T	"\op\()b %cl, %al", \mask
	T	"\op\()b %ah, %dl", \mask
	T	"\op\()b %cl, %bh; mov %bh, %al", \mask
	T	"\op\()b %ch, %dh", \mask
	T	"\op\()b %sil, %r9b", \mask
	T	"\op\()b %r12b, %bpl", \mask
	T	"\op\()b $0x85, %ah", \mask
	T	"\op\()b $0x7f, %al", \mask
	T	"\op\()b $0x7f, %r15b", \mask
	T	"\op\()b $0x7f, %spl", \mask
	T	"\op\()b %dh, (%rbx)", \mask
	T	"\op\()b (%rbx), %dh", \mask
	T	"\op\()b %bh, (%rsi)", \mask
	T	"\op\()b %r8b, (%rbx)", \mask
	T	"\op\()b 3(%rsi), %dil", \mask
	T	"\op\()b $0x91, 1(%rsi)", \mask
	T	"\op\()w %cx, %ax", \mask
	T	"\op\()w $0x1234, %ax", \mask
	T	"\op\()w $-5, %r10w", \mask
	T	"\op\()w $0x8123, %dx", \mask
	T	"\op\()w %r8w, 2(%rbx)", \mask
	T	"\op\()w 2(%rbx), %r8w", \mask
	T	"\op\()w $0x8001, 2(%rbx)", \mask
	T	"\op\()w $-1, 2(%rbx)", \mask
	T	"\op\()l %ecx, %eax", \mask
	T	"\op\()l %r11d, %r14d", \mask
	T	"\op\()l $0x12345678, %eax", \mask
	T	"\op\()l $-5, %r10d", \mask
	T	"\op\()l $0x81234567, %r13d", \mask
	T	"\op\()l %r8d, 4(%rbx)", \mask
	T	"\op\()l 4(%rbx), %r8d", \mask
	T	"\op\()l $0x80000001, 4(%rbx)", \mask
	T	"\op\()l $-1, 4(%rbx)", \mask
	T	"\op\()q %rcx, %rax", \mask
	T	"\op\()q %r11, %r14", \mask
	T	"\op\()q $0x12345678, %rax", \mask
	T	"\op\()q $-5, %r10", \mask
	T	"\op\()q $-0x12345678, %r13", \mask
	T	"\op\()q %r8, 8(%rbx)", \mask
	T	"\op\()q 8(%rbx), %r8", \mask
	T	"\op\()q %rsp, 8(%rbx)", \mask
	T	"\op\()q 8(%rbx), %rbp", \mask
	T	"\op\()q $-0x70000001, 8(%rbx)", \mask
	T	"\op\()q $-1, 8(%rbx)", \mask
	T	"\op\()q $16, %rsp", \mask
	T	"\op\()q %rax, %rsp; mov %rsp, %rcx", \mask
	T	"\op\()q %rcx, (%rsp)", \mask
	T	"\op\()q (%rsp), %rcx", \mask
	T	"\op\()q %rcx, snip_data(%rip)", \mask
	T	"\op\()q snip_data(%rip), %rcx", \mask
	T	"\op\()b $0x55, snip_data(%rip)", \mask
	T	"\op\()w $0x5566, snip_data(%rip)", \mask
	T	"\op\()q $0x55667788, snip_data+8(%rip)", \mask
	.endm
	.irp	op, add, adc, sbb, sub, cmp
	ALU	\op, F_ALL
	.endr
	.irp	op, or, and, xor
	ALU	\op, F_NOAF
	.endr

	/* LOCK forms: memory destinations only. */
	.irp	op, add, adc, sbb, sub
	T	"lock \op\()b %ah, (%rbx)"
	T	"lock \op\()w %r9w, 2(%rbx)"
	T	"lock \op\()l $0x1234567, 4(%rbx)"
	T	"lock \op\()q %r9, 8(%rbx)"
	.endr
	.irp	op, or, and, xor
	T	"lock \op\()b %ah, (%rbx)", F_NOAF
	T	"lock \op\()q $-77, 8(%rbx)", F_NOAF
	.endr

	T	"testb %cl, %ah", F_NOAF
	T	"testb $0x81, %al", F_NOAF
	T	"testb $0x81, %r9b", F_NOAF
	T	"testb %ch, (%rbx)", F_NOAF
	T	"testb $0x81, (%rbx)", F_NOAF
	T	"testw %r8w, (%rbx)", F_NOAF
	T	"testl $0x80000001, (%rbx)", F_NOAF
	T	"testq %rax, %r9", F_NOAF
	T	"testq $-2, 8(%rbx)", F_NOAF
	T	"testq $-2, %rax", F_NOAF

	.irp	op, inc, dec, neg, not
	T	"\op\()b %al"
	T	"\op\()b %ah"
	T	"\op\()b %bh; mov %bh, %al"
	T	"\op\()b %sil"
	T	"\op\()b %r13b"
	T	"\op\()w %cx"
	T	"\op\()w %r9w"
	T	"\op\()l %edx"
	T	"\op\()l %r12d"
	T	"\op\()q %rbp"
	T	"\op\()q %r15"
	T	"\op\()q %rsp"
	T	"\op\()b (%rbx)"
	T	"\op\()w 2(%rbx)"
	T	"\op\()l 4(%rbx)"
	T	"\op\()q 8(%rbx)"
	T	"lock \op\()q 8(%rbx)"
	T	"lock \op\()b 8(%rbx)"
	.endr
	/* Carry kept by INC and DEC. */
	T	"stc; inc %rax; adc $0, %rcx"
	T	"clc; decq (%rbx); adc $0, %rcx"

	.irp	op, rol, ror, rcl, rcr
	.irp	w, b, w, l, q
	T	"\op\()\w $1, (%rbx)"
	T	"\op\()\w $5, (%rbx)", F_NOOA|0x10
	T	"\op\()\w %cl, (%rbx)", F_NOOA|0x10
	.endr
	T	"\op\()b $1, %ah"
	T	"\op\()b $3, %ah", F_NOOA|0x10
	T	"\op\()b %cl, %bh; mov %bh, %al", F_NOOA|0x10
	T	"\op\()w %cl, %ax", F_NOOA|0x10
	T	"\op\()l %cl, %ecx", F_NOOA|0x10
	T	"\op\()l $7, %r9d", F_NOOA|0x10
	T	"\op\()q %cl, %rdx", F_NOOA|0x10
	T	"\op\()q $63, %r14", F_NOOA|0x10
	T	"\op\()q $1, %r14"
	T	"mov $0, %cl; \op\()q %cl, %r14"
	T	"mov $32, %cl; \op\()l %cl, %r14d"
	T	"mov $9, %cl; \op\()b %cl, (%rbx)", F_NOOA|0x10
	T	"mov $33, %cl; \op\()w %cl, (%rbx)"
	.endr
	.irp	op, shl, shr, sar
	T	"\op\()b $1, (%rbx)", F_NOAF
	T	"\op\()w $1, (%rbx)", F_NOAF
	T	"\op\()l $1, (%rbx)", F_NOAF
	T	"\op\()q $1, (%rbx)", F_NOAF
	T	"\op\()b $5, (%rbx)", F_NOOA
	T	"\op\()w $5, (%rbx)", F_NOOA
	T	"\op\()l $31, (%rbx)", F_NOOA
	T	"\op\()q $63, (%rbx)", F_NOOA
	T	"\op\()b %cl, (%rbx)", F_NOOAC
	T	"\op\()w %cl, (%rbx)", F_NOOAC
	T	"\op\()l %cl, (%rbx)", F_NOOA
	T	"\op\()q %cl, (%rbx)", F_NOOA
	T	"\op\()b $3, %ah", F_NOOA
	T	"\op\()b %cl, %bh; mov %bh, %al", F_NOOAC
	T	"\op\()b %cl, %spl", F_NOOAC
	T	"\op\()w %cl, %ax", F_NOOAC
	T	"\op\()l %cl, %ecx", F_NOOA
	T	"\op\()l %cl, %r8d", F_NOOA
	T	"\op\()q %cl, %rcx", F_NOOA
	T	"\op\()q $40, %r14", F_NOOA
	T	"\op\()q $1, %r14", F_NOAF
	T	"mov $0, %cl; \op\()l %cl, %r14d"
	T	"mov $64, %cl; \op\()q %cl, (%rbx)"
	.endr
	.irp	op, shld, shrd
	T	"\op $1, %ax, (%rbx)", F_NOAF
	T	"\op $9, %r8d, (%rbx)", F_NOOA
	T	"\op $60, %r8, (%rbx)", F_NOOA
	T	"\op %cl, %rax, (%rbx)", F_NOOA
	T	"\op %cl, %eax, %r9d", F_NOOA
	T	"\op %cl, %rsp, %r9", F_NOOA
	T	"\op $15, %cx, %dx", F_NOOA
	T	"mov $0, %cl; \op %cl, %eax, %edx"
	.endr

	.irp	op, mul, imul
	T	"\op\()b %cl", F_CO
	T	"\op\()b %ah", F_CO
	T	"\op\()b (%rbx)", F_CO
	T	"\op\()w %r8w", F_CO
	T	"\op\()w (%rbx)", F_CO
	T	"\op\()l %edx", F_CO
	T	"\op\()l (%rbx)", F_CO
	T	"\op\()q %r11", F_CO
	T	"\op\()q %rax", F_CO
	T	"\op\()q 8(%rbx)", F_CO
	.endr
	T	"imul %cx, %ax", F_CO
	T	"imul (%rbx), %r9w", F_CO
	T	"imul %r10d, %eax", F_CO
	T	"imul (%rbx), %eax", F_CO
	T	"imul %r10, %rsp", F_CO
	T	"imul 8(%rbx), %rdx", F_CO
	T	"imul $-3, %ax, %cx", F_CO
	T	"imul $0x1234, (%rbx), %cx", F_CO
	T	"imul $-3, (%rbx), %r9d", F_CO
	T	"imul $0x12345678, %eax, %edx", F_CO
	T	"imul $0x12345678, 8(%rbx), %rdx", F_CO
	T	"imul $-100, %r13, %r14", F_CO
	T	"movzbl %al, %eax; mov $7, %cl; div %cl", F_NONE
	T	"mov $-100, %ax; movb $7, (%rbx); idivb (%rbx)", F_NONE
	T	"mov $3, %edx; movw $0x8000, (%rbx); divw (%rbx)", F_NONE
	T	"movswl %ax, %eax; cwd; mov $-9, %r8w; idiv %r8w", F_NONE
	T	"mov $3, %edx; mov $0x80000001, %r8d; div %r8d", F_NONE
	T	"cdq; movl $-12345, (%rbx); idivl (%rbx)", F_NONE
	T	"mov $3, %edx; mov $-9, %r8; div %r8", F_NONE
	T	"cqo; movq $-12345, 8(%rbx); idivq 8(%rbx)", F_NONE
	T	"mov $-2, %rdx; mov $0x4000000000000000, %rcx; idiv %rcx", F_NONE
	T	"xor %edx, %edx; mov $11, %esp; div %rsp", F_NONE

	T	"cbw"
	T	"cwde"
	T	"cdqe"
	T	"cwd"
	T	"cdq"
	T	"cqo"
	T	"lahf"
	T	"sahf"
	T	"stc"
	T	"clc"
	T	"cmc"
	T	"std; pushf; cld; pop %rax; and $0x400, %eax; push %rax", F_NONE
	T	"std"

	/* Flags across memory accesses, pushes and pops. */
	T	"stc; mov (%rbx), %rax; adc 8(%rbx), %rcx"
	T	"add %rax, (%rbx); mov 8(%rbx), %rdx; adc %rcx, 16(%rbx)"
	T	"sub %rax, %r8; push %rax; sbb (%rsp), %rdx; pop %r9; sbb $3, %r10"
	T	"cmp %rax, %rcx; mov %rdx, (%rbx); mov (%rsi), %r8; setl (%rbx); cmovg (%rdi), %rdx; adc $1, %r9"
	T	"add %al, %ah; movzbl (%rbx), %r8d; lahf; mov %ah, 7(%rbx)"
	T	"dec %eax; mov %r10, (%rbx); jz 1f; inc %r11; 1: mov (%rbx), %rcx; jc 2f; inc %r12; 2: jo 3f; inc %r13; 3:"
	T	"add %rcx, %rax; lea 8(%rbx), %rbx; mov (%rbx), %rdx; adc %rdx, %r9; lea 8(%rbx), %rbx; mov (%rbx), %rdx; adc %rdx, %r10"
	T	"test %eax, %ecx; xchg %rax, (%rbx); setz %al; sets (%rsi); setp 1(%rsi)", F_NOAF
	T	"xor %eax, %eax; mov %rcx, (%rbx); mov (%rbx), %rdx; setz %cl", F_NOAF
	T	"adcx (%rbx), %rax; mov %rcx, 8(%rbx); adox 16(%rbx), %rdx; mov (%rsi), %r8; adcx %r8, %r9; adox %r9, %r10", F_ALL, FEAT_ADX
	.section .note.GNU-stack, "", @progbits
