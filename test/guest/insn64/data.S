/*
 * Data movement: MOV in all forms, extensions, CMOV, SETcc, exchanges,
 * compare-and-exchange, byte swaps, bit instructions, BMI.
 */
#include "test/guest/lib/snip.h"

	.irp	hi, ah, ch, dh, bh
	.irp	lo, al, cl, dl, bl
	T	"mov %\hi, %\lo; mov %rbx, %rax"
	T	"mov %\lo, %\hi; mov %rbx, %rax"
	.endr
	T	"mov %\hi, (%rsi)"
	T	"mov (%rsi), %\hi; mov %rbx, %rdx"
	T	"movzbl %\hi, %edx"
	T	"movsbw %\hi, %cx"
	T	"xchg %\hi, %al; mov %rbx, %rbp"
	T	"xchg %\hi, (%rsi); mov %rbx, %rbp"
	T	"xadd %\hi, %cl; mov %rbx, %rbp"
	T	"cmpxchg %\hi, (%rsi); mov %rbx, %rbp"
	T	"mov $0x5a, %\hi; mov %rbx, %rbp"
	T	"sets %\hi; mov %rbx, %rbp"
	.endr

	.irp	r, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	T	"mov %\r, (%rbx)"
	T	"mov %\r, %rax"
	T	"mov %rax, %\r"
	T	"mov 8(%rsi), %\r"
	T	"mov $0x123456789abcdef0, %\r"
	T	"mov $-2, %\r"
	T	"xchg %rax, %\r"
	T	"xchg %\r, (%rbx)"
	T	"xadd %\r, (%rbx)"
	T	"xadd %\r, %rcx"
	T	"bswap %\r"
	T	"cmovb 8(%rsi), %\r"
	T	"movslq 4(%rsi), %\r"
	T	"movzwl %ax, %ecx; movsbq 1(%rsi), %\r"
	.endr
	.irp	r, eax, ecx, edx, ebx, esp, ebp, esi, edi, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d
	T	"mov %\r, (%rbx)"
	T	"mov %\r, %\r"
	T	"mov 8(%rsi), %\r"
	T	"mov $0x89abcdef, %\r"
	T	"xchg %eax, %\r"
	T	"xchg %\r, (%rdi)"
	T	"bswap %\r"
	T	"cmovnb 8(%rsi), %\r"
	T	"movzwl 8(%rsi), %\r"
	T	"movsbl 8(%rsi), %\r"
	.endr
	.irp	r, al, cl, dl, bl, spl, bpl, sil, dil, r8b, r9b, r10b, r11b, r12b, r13b, r14b, r15b
	T	"mov %\r, 3(%rbx)"
	T	"mov 3(%rsi), %\r"
	T	"mov $0x9c, %\r"
	T	"xchg %\r, 3(%rsi)"
	T	"setnz %\r"
	T	"movzbl %\r, %eax"
	T	"movsbq %\r, %rax"
	T	"cmpxchg %\r, 3(%rsi)"
	.endr
	.irp	r, ax, cx, dx, bx, sp, bp, si, di, r8w, r9w, r14w, r15w
	T	"mov %\r, 2(%rsi)"
	T	"mov 2(%rbx), %\r"
	T	"mov $0x9cba, %\r"
	T	"cmovs 2(%rbx), %\r"
	T	"movsbw (%rbx), %\r"
	.endr
	T	"nop; xchg %eax, %eax; mov %rax, %rcx"
	T	"xchg %rax, %rax"
	T	"xchg %r8, %rax"
	T	"xchg %ax, %r8w"
	T	"nopw 0x12345678(%rax,%rax,1)"
	T	"nopl (%rax)"
	T	".byte 0xf3, 0x90; mov %rcx, %rax"
	T	"movb $0x12, (%rbx)"
	T	"movw $0x1234, (%rbx)"
	T	"movl $0x12345678, (%rbx)"
	T	"movq $-0x12345678, (%rbx)"
	T	"movq $0x12345678, snip_data(%rip)"
	T	"movw $0x1234, snip_data+2(%rip)"
	T	"movb $0x12, snip_data+1(%rip)"
	T	"movabs snip_data, %al"
	T	"movabs snip_data, %ax"
	T	"movabs snip_data, %eax"
	T	"movabs snip_data, %rax"
	T	"movabs %al, snip_data"
	T	"movabs %ax, snip_data"
	T	"movabs %eax, snip_data"
	T	"movabs %rax, snip_data"
	T	".byte 0x67, 0xa1; .long snip_data"
	T	".byte 0x67, 0xa3; .long snip_data"
	T	".byte 0x67, 0xa2; .long snip_data"
	T	".byte 0x64, 0x48, 0xa1; .quad 0x20"
	T	".byte 0x65, 0xa2; .quad 0x20"

	.irp	cc, o, no, b, nb, z, nz, be, nbe, s, ns, p, np, l, nl, le, nle
	T	"cmov\cc %rax, %rcx"
	T	"cmov\cc %eax, %ecx"
	T	"cmov\cc 8(%rbx), %rdx"
	T	"cmov\cc 8(%rbx), %r9d"
	T	"cmov\cc %ax, %sp"
	T	"set\cc %al"
	T	"set\cc (%rbx)"
	T	"mov $5, %r8; j\cc 1f; inc %r8; 1:", F_NONE
	T	"cmp %rax, %rcx; mov (%rbx), %r8; j\cc 1f; inc %r8; .skip 200, 0x90; 1: set\cc %al"
	.endr

	T	"cmpxchg %rcx, (%rbx)"
	T	"mov (%rbx), %rax; cmpxchg %rcx, (%rbx)"
	T	"mov (%rbx), %eax; cmpxchg %ecx, (%rbx)"
	T	"cmpxchg %ecx, (%rbx)"
	T	"cmpxchg %r9d, %r10d"
	T	"mov %r10d, %eax; cmpxchg %r9d, %r10d"
	T	"mov %r10, %rax; cmpxchg %rsp, %r10"
	T	"mov (%rbx), %ax; lock cmpxchg %cx, (%rbx)"
	T	"mov (%rbx), %al; lock cmpxchg %r15b, (%rbx)"
	T	"lock cmpxchg %r15, (%rbx)"
	T	"lock xadd %r15, (%rbx)"
	T	"lock xadd %r15b, (%rbx)"
	T	"xadd %rcx, %rcx"
	T	"xadd %ax, (%rbx)"
	T	"and $-8, %rbx; cmpxchg8b (%rbx)", F_Z
	T	"and $-8, %rsi; mov (%rsi), %eax; mov 4(%rsi), %edx; lock cmpxchg8b (%rsi)", F_Z
	T	"and $-16, %rbx; cmpxchg16b (%rbx)", F_Z, FEAT_CX16
	T	"and $-16, %rsi; mov (%rsi), %rax; mov 8(%rsi), %rdx; lock cmpxchg16b (%rsi)", F_Z, FEAT_CX16
	T	"movbe (%rbx), %rax", F_ALL, FEAT_MOVBE
	T	"movbe (%rbx), %r9d", F_ALL, FEAT_MOVBE
	T	"movbe %cx, (%rbx)", F_ALL, FEAT_MOVBE
	T	"movbe %rsp, (%rbx)", F_ALL, FEAT_MOVBE
	T	"movnti %rcx, (%rbx)"
	T	"movnti %r9d, (%rbx)"
	T	"xlatb"
	T	"mov $0xff, %al; xlatb"
	T	"mov $0x20, %ebx; mov $3, %al; fs xlatb"
	T	"prefetcht0 (%rbx); prefetchnta 0x12345678(%rbx); prefetchw (%rsi)"
	T	"clflush (%rbx); sfence; lfence; mfence; pause"

	/* Bit tests; a register offset reaches beyond the operand. */
	.irp	op, bt, bts, btr, btc
	T	"\op %ax, %cx", F_C
	T	"\op %r9d, %r10d", F_C
	T	"\op %r9, %r10", F_C
	T	"\op $5, %dx", F_C
	T	"\op $37, %r8", F_C
	T	"\op\()w $5, (%rbx)", F_C
	T	"\op\()l $37, (%rbx)", F_C
	T	"\op\()q $63, (%rbx)", F_C
	T	"mov $77, %eax; \op %rax, (%rbx)", F_C
	T	"mov $-77, %rax; \op %rax, (%rbx)", F_C
	T	"mov $-100, %ax; \op %ax, (%rbx)", F_C
	T	"mov $201, %r9d; \op %r9d, (%rbx)", F_C
	T	"mov $-3, %ecx; \op %ecx, 8(%rsi)", F_C
	T	"mov $-3, %rcx; \op %rcx, snip_data+32(%rip)", F_C
	.endr
	T	"mov $100, %eax; lock bts %eax, (%rbx)", F_C
	T	"mov $-100, %rax; lock btr %rax, (%rbx)", F_C
	T	"lock btcl $5, (%rbx)", F_C
	.irp	op, bsf, bsr
	T	"or $0x100, %rcx; \op %rcx, %rax", F_Z
	T	"or $0x100, %ecx; \op %ecx, %r9d", F_Z
	T	"orw $0x100, (%rbx); \op (%rbx), %ax", F_Z
	T	"orq $0x100, (%rbx); \op (%rbx), %rax", F_Z
	.endr
	T	"tzcnt (%rbx), %rax", 0x441, FEAT_BMI1
	T	"xor %ecx, %ecx; tzcnt %ecx, %eax", 0x441, FEAT_BMI1
	T	"lzcnt %ecx, %eax", 0x441, FEAT_LZCNT
	T	"lzcnt (%rbx), %r9w", 0x441, FEAT_LZCNT
	T	"popcnt (%rbx), %rax", F_ALL, FEAT_POPCNT
	T	"popcnt %cx, %ax", F_ALL, FEAT_POPCNT
	T	"popcnt %r9d, %r10d", F_ALL, FEAT_POPCNT
	T	"crc32b (%rbx), %eax", F_ALL, FEAT_SSE42
	T	"crc32b %ah, %ecx", F_ALL, FEAT_SSE42
	T	"crc32w %cx, %eax", F_ALL, FEAT_SSE42
	T	"crc32q 8(%rbx), %r9", F_ALL, FEAT_SSE42
	T	"andn (%rbx), %rax, %rcx", 0xcc1, FEAT_BMI1
	T	"andn %r9d, %eax, %r10d", 0xcc1, FEAT_BMI1
	T	"bextr %rax, (%rbx), %rcx", 0xc41, FEAT_BMI1
	T	"blsi (%rbx), %rcx", 0xcc1, FEAT_BMI1
	T	"blsr %r9, %r10", 0xcc1, FEAT_BMI1
	T	"blsmsk %eax, %ecx", 0xc81, FEAT_BMI1
	T	"bzhi %rax, (%rbx), %rcx", 0xcc1, FEAT_BMI2
	T	"rorx $13, (%rbx), %rcx", F_ALL, FEAT_BMI2
	T	"sarx %rax, (%rbx), %rcx", F_ALL, FEAT_BMI2
	T	"shlx %eax, %r9d, %ecx", F_ALL, FEAT_BMI2
	T	"shrx %rax, %rsp, %rcx", F_ALL, FEAT_BMI2
	T	"mulx (%rbx), %rcx, %r9", F_ALL, FEAT_BMI2
	T	"mulx %eax, %ecx, %r9d", F_ALL, FEAT_BMI2
	T	"pdep (%rbx), %rcx, %r9", F_ALL, FEAT_BMI2
	T	"pext (%rbx), %r8d, %r9d", F_ALL, FEAT_BMI2
	T	"adcx (%rbx), %eax", F_ALL, FEAT_ADX
	T	"adox %r9, %r10", F_ALL, FEAT_ADX
	.section .note.GNU-stack, "", @progbits
