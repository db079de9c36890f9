/*
 * Integer instructions in 32-bit code: the encodings that 64-bit mode lost,
 * 16-bit operand and address sizes, all registers as base and index.
 */
#include "test/guest/lib/snip.h"

	.irp	op, add, adc, sbb, sub, cmp
	T	"\op\()b %cl, %ah"
	T	"\op\()b %dh, (%ebx)"
	T	"\op\()b 3(%esi), %bh; mov %ebx, %eax"
	T	"\op\()w $0x8001, 2(%esi)"
	T	"\op\()w %ax, %dx"
	T	"\op\()l $0x80000001, %eax"
	T	"\op\()l %ecx, 4(%ebx)"
	T	"\op\()l 4(%ebx), %esp"
	.ifnc \op, cmp
	T	"lock \op\()l %eax, (%ebx)"
	.endif
	.endr
	.irp	op, and, or, xor
	T	"\op\()b %cl, %ah", F_NOAF
	T	"\op\()l %ecx, 4(%ebx)", F_NOAF
	.endr
	/* Only here: 82 is an alias of 80. */
	T	".byte 0x82, 0xc0, 0x7f"
	T	".byte 0x82, 0x2b, 0x7f"
	.irp	r, eax, ecx, edx, ebx, esp, ebp, esi, edi
	T	"inc %\r"
	T	"dec %\r"
	T	"stc; inc %\r; adc $0, %eax"
	T	"push %\r"
	T	"pop %\r"
	T	"push %\r; pop %eax"
	T	"xchg %eax, %\r"
	T	"bswap %\r"
	T	"mov $0x12345678, %\r"
	T	"mov 0x701200, %\r"
	T	"mov %\r, 0x701200"
	T	"mov %esi, %\r; mov (%\r), %eax"
	T	"mov %esi, %\r; mov 8(%\r), %\r"
	T	"mov %esi, %\r; add %ecx, 0x90(%\r)"
	T	"mov %esi, %\r; push 8(%\r)"
	T	"mov %esi, %\r; pop -8(%\r)"
	T	"lea 1f, %\r; jmp *%\r; ud2; 1: inc %eax"
	.endr
	.irp	r, eax, ecx, edx, ebx, ebp, esi, edi
	T	"mov $3, %\r; mov 4(%esp,%\r,8), %eax"
	T	"mov $-3, %\r; mov %ecx, snip_data(,%\r,4)"
	T	"mov %esi, %\r; shr %\r; mov (%\r,%\r), %cx"
	T	"lea 0x55(%esp,%\r,2), %eax"
	.endr
	T	"pusha"
	T	"popa"
	T	"pushaw"
	T	"popaw; mov %esp, %eax"
	T	"pusha; popa"
	T	"pushf; andl $0xcd5, (%esp)", F_NONE
	T	"push $0x8d7; popf"
	T	"pushw $0xd7; popfw"
	T	"push $-3"
	T	"pushw $-3"
	T	"push (%esp)"
	T	"pop (%esp)"
	T	"pop 8(%esp)"
	T	"pushw 2(%esi)"
	T	"popw 2(%esi)"
	T	"push %ds; pop %eax; movzwl %ax, %eax; xor %eax, %eax; mov %eax, -4(%esp)", F_NONE
	T	"enter $0x20, $0"
	T	"enter $0x10, $3"
	T	"enterw $0x10, $0; mov %esp, %eax"
	T	"leave"
	T	"aaa", 0x411
	T	"aas", 0x411
	T	"daa", 0x4d5
	T	"das", 0x4d5
	T	"aam", 0x4c4
	T	"aam $7", 0x4c4
	T	"aad", 0x4c4
	T	"aad $16", 0x4c4
	T	".byte 0xd6"
	T	"stc; .byte 0xd6"
	T	"arpl %ax, %cx", F_Z
	T	"arpl %cx, (%ebx)", F_Z
	T	"mov $5, %eax; movl $0, (%ebx); movl $9, 4(%ebx); bound %eax, (%ebx)"
	T	"mov $-5, %ax; movw $-9, (%ebx); movw $9, 2(%ebx); boundw %ax, (%ebx)"
	T	"xor %eax, %eax; into"
	T	"cbw; cwde; cwd; cdq"
	T	"lahf; sahf"
	T	"mul %ecx", F_CO
	T	"imull (%ebx)", F_CO
	T	"imul $77, (%ebx), %eax", F_CO
	T	"xor %edx, %edx; mov $7, %ecx; div %ecx", F_NONE
	T	"cdq; movl $-77, (%ebx); idivl (%ebx)", F_NONE
	T	"shldl %cl, %eax, (%ebx)", F_NOOA
	T	"rcll $1, (%ebx)"
	T	"sarb $3, 1(%ebx)", F_NOOA
	T	"mov $-77, %eax; bts %eax, (%ebx)", F_C
	T	"mov $301, %ax; btc %ax, (%ebx)", F_C
	T	"and $-8, %ebx; mov (%ebx), %eax; mov 4(%ebx), %edx; lock cmpxchg8b (%ebx)", F_Z
	T	"cmpxchg %ecx, (%ebx)"
	T	"lock xadd %eax, (%ebx)"
	T	"cmpxchg %dh, (%ebx)"
	T	"xlat"
	T	"movzbl %ah, %ecx; movsbl %dh, %edx; movswl 1(%ebx), %eax"
	T	"mov snip_data, %al; mov %ax, snip_data+4"
	T	"cmovbe 4(%ebx), %eax; setbe (%ebx)"
	/* 16-bit addresses: the low 64 KiB are not ours, so only LEA. */
	.irp	m, "(%bx,%si)", "(%bx,%di)", "(%bp,%si)", "(%bp,%di)", (%si), (%di), 0x1234(%bp), (%bx), 0x55(%bp), "0x7fff(%bx,%si)"
	T	"lea \m, %eax"
	T	"lea \m, %ax"
	.endr
	.irp	w, b, w, l
	T	"movs\w"
	T	"std; movs\w; cld"
	T	"mov $9, %ecx; rep movs\w"
	T	"mov $9, %ecx; std; rep stos\w; cld"
	T	"mov $9, %ecx; rep lods\w"
	T	"mov $9, %ecx; mov %esi, %edi; repe cmps\w"
	T	"mov $9, %ecx; repne scas\w"
	T	"xor %ecx, %ecx; rep movs\w", F_NOAF
	.endr
	T	"call 1f; 1: pop %eax"
	T	"call 1f; jmp 2f; 1: inc %eax; ret; 2:"
	T	"push $1; push $2; call 1f; jmp 2f; 1: ret $8; 2: stc"
	T	"movl $1f, 8(%ebx); jmp *8(%ebx); ud2; 1: stc"
	T	"movl $1f, 8(%ebx); mov $1, %ecx; call *(%ebx,%ecx,8); ud2; 1: stc"
	T	"mov $5, %ecx; 1: add %ecx, %eax; loop 1b"
	T	"mov $0x10003, %ecx; 1: inc %eax; addr16 loop 1b"
	T	"mov $0x10000, %ecx; jcxz 1f; inc %eax; 1: inc %edx"
	T	"mov $0x10000, %ecx; jecxz 1f; inc %eax; 1: inc %edx"
	T	"mov $1000, %ecx; xor %eax, %eax; 1: add (%ebx), %eax; rol $3, %eax; adc %eax, %edx; dec %ecx; jnz 1b", 0x4c4
	.irp	cc, o, b, z, be, s, p, l, le
	T	"j\cc 1f; inc %edi; 1: jn\cc 2f; inc %esi; 2:"
	T	"set\cc %ah; cmov\cc %ecx, %edx"
	.endr
	/* Vector and x87 state in 32-bit code. */
	T	"movups (%ebx), %xmm1; paddb %xmm1, %xmm1; movups 16(%esi), %xmm7; pxor %xmm1, %xmm7; movups %xmm7, (%edi)"
	T	"fninit; fildl (%ebx); fldpi; fmulp; fstpl (%edi)"
	T	"fninit; fldpi; fnstenv (%edi); fnclex; andl $0, 12(%edi); andl $0, 16(%edi); andl $0, 20(%edi); andl $0, 24(%edi); fstpl (%ebx)", F_NONE
	T	"fninit; fld1; fldpi; fnsave (%edi); andl $0, 12(%edi); andl $0, 16(%edi); andl $0, 20(%edi); andl $0, 24(%edi)", F_NONE
	T	"movq (%ebx), %mm1; paddw %mm1, %mm1; movq %mm1, (%edi); emms"
	.section .note.GNU-stack, "", @progbits
