/*
 * x87, MMX, SSE to SSE4.2, AES and CLMUL: register and memory forms, high
 * registers, moves to and from general registers, aligned and unaligned data.
 * Results go to memory, which the snippet runner compares.
 */
#include "test/guest/lib/snip.h"

	/* op xmm, xmm and op mem, xmm; low and high registers. */
	.macro	SSE op, imm, feat=0
	T	"movups (%rbx), %xmm1; movups 19(%rsi), %xmm2; \op \imm %xmm1, %xmm2; movups %xmm2, (%rdi)", F_ALL, \feat
	T	"movups (%rbx), %xmm9; movups 19(%rsi), %xmm14; \op \imm %xmm9, %xmm14; movups %xmm14, (%rdi)", F_ALL, \feat
	T	"and $-16, %rbx; movups 19(%rsi), %xmm2; \op \imm 16(%rbx), %xmm2; movups %xmm2, (%rdi)", F_ALL, \feat
	T	"mov %rbx, %r13; and $-16, %r13; mov $16, %r12d; movups 19(%rsi), %xmm12; \op \imm (%r13,%r12), %xmm12; movups %xmm12, (%rdi)", F_ALL, \feat
	.endm
	.irp	op, paddb, paddw, paddd, paddq, psubb, psubw, psubd, psubq, pmullw, pmulhw, pmulhuw, pmuludq, pmaddwd, pand, pandn, por, pxor, pcmpeqb, pcmpeqw, pcmpeqd, pcmpgtb, pcmpgtw, pcmpgtd, packsswb, packssdw, packuswb, punpcklbw, punpckhwd, punpckldq, punpcklqdq, punpckhqdq, pavgb, pavgw, pmaxub, pminsw, psadbw, paddsb, paddusw, psubsb, psubusw, psllw, psrld, psrlq, psraw, psrad, andps, orps, xorps, andnpd, unpcklps, unpckhpd
	SSE	\op,
	.endr
	.irp	op, pshufb, phaddw, phaddd, pmaddubsw, pabsb, pabsw, pabsd, psignb, pmulhrsw, pmulld, pmuldq, pminsb, pmaxud, pmaxsd, pcmpeqq, pcmpgtq, packusdw, ptest, pmovzxbw, pmovsxwd, pmovzxdq, phminposuw
	SSE	\op, , FEAT_SSE42
	.endr
	.irp	op, pshufd, pshuflw, pshufhw, shufps, shufpd
	SSE	\op, "$0x6c,"
	.endr
	.irp	op, palignr, pblendw, dpps, mpsadbw, roundps, pcmpistri, pcmpestrm
	.ifnc	\op, dpps
	.ifnc	\op, roundps
	SSE	\op, "$5,", FEAT_SSE42
	.endif
	.endif
	.endr
	/* Floating point on small integers, so that no NaN comes in. */
	.macro	FP op
	T	"mov $7, %eax; cvtsi2sd %eax, %xmm1; mov $-3, %ecx; cvtsi2sd %ecx, %xmm2; \op\()sd %xmm1, %xmm2; movups %xmm2, (%rdi)"
	T	"mov $7, %eax; cvtsi2ss %eax, %xmm1; mov $-3, %ecx; cvtsi2ss %ecx, %xmm10; movss %xmm1, (%rbx); \op\()ss (%rbx), %xmm10; movss %xmm10, (%rdi)"
	T	"and $-16, %rbx; cvtdq2ps (%rbx), %xmm1; cvtdq2ps 16(%rbx), %xmm2; \op\()ps %xmm1, %xmm2; movups %xmm2, (%rdi)"
	T	"and $-16, %rbx; cvtdq2pd (%rbx), %xmm1; movaps %xmm1, (%rbx); cvtdq2pd 16(%rbx), %xmm2; \op\()pd (%rbx), %xmm2; movups %xmm2, (%rdi)"
	.endm
	.irp	op, add, sub, mul, div, min, max
	FP	\op
	.endr
	T	"cvtsi2sdq 8(%rbx), %xmm1; sqrtsd %xmm1, %xmm2; cvttsd2si %xmm1, %rax; cvtsd2si %xmm1, %ecx; movq %xmm1, (%rdi)"
	T	"mov $81, %eax; cvtsi2sd %eax, %xmm1; sqrtsd %xmm1, %xmm2; cvttsd2si %xmm2, %rax"
	T	"mov $5, %eax; mov $9, %ecx; cvtsi2sd %eax, %xmm1; cvtsi2sd %ecx, %xmm2; ucomisd %xmm1, %xmm2; seta %dl; comisd %xmm2, %xmm1; setb %dh"
	T	"cvtsi2sd %rax, %xmm1; movq %xmm1, (%rbx); ucomisd (%rbx), %xmm1; setnp %al"
	T	"cvtsi2ss %rcx, %xmm3; cvtss2sd %xmm3, %xmm4; cvtsd2ss %xmm4, %xmm5; cvttss2si %xmm5, %rax"
	T	"and $-16, %rbx; cvtdq2ps (%rbx), %xmm1; cmpltps 16(%rbx), %xmm1; movmskps %xmm1, %eax"
	T	"movups (%rbx), %xmm1; pmovmskb %xmm1, %eax; movmskpd %xmm1, %ecx"
	/* Moves. */
	T	"movd %eax, %xmm1; movd %xmm1, (%rdi); movd (%rdi), %xmm2; movd %xmm2, %ecx"
	T	"movq %r9, %xmm1; movq %xmm1, (%rdi); movq (%rdi), %xmm10; movq %xmm10, %r10"
	T	"movups (%rbx), %xmm1; movhps 32(%rbx), %xmm1; movlps 40(%rbx), %xmm1; movups %xmm1, (%rdi); movhpd %xmm1, 16(%rdi)"
	T	"movups (%rbx), %xmm1; movups 16(%rbx), %xmm2; movhlps %xmm1, %xmm2; movlhps %xmm2, %xmm1; movups %xmm1, (%rdi)"
	T	"movups (%rbx), %xmm1; movss (%rsi), %xmm1; movups %xmm1, (%rdi); movsd 4(%rsi), %xmm1; movups %xmm1, 16(%rdi)"
	T	"movups (%rbx), %xmm1; movups 16(%rbx), %xmm2; movss %xmm1, %xmm2; movsd %xmm2, %xmm1; movups %xmm1, (%rdi)"
	T	"movdqu 3(%rbx), %xmm1; movdqu %xmm1, 5(%rdi); lddqu 1(%rbx), %xmm2; movdqu %xmm2, 21(%rdi)"
	T	"and $-16, %rbx; and $-16, %rdi; movdqa 16(%rbx), %xmm15; movntdq %xmm15, (%rdi); movaps (%rbx), %xmm0; movntps %xmm0, 16(%rdi)"
	T	"movups %xmm1, -8(%rsp); movups (%rsp), %xmm1; movups %xmm1, (%rdi); xorps %xmm1, %xmm1; movups %xmm1, -8(%rsp)"
	T	"movups (%rbx), %xmm1; pinsrw $3, %eax, %xmm1; pinsrw $5, 7(%rbx), %xmm1; pextrw $3, %xmm1, %ecx; movups %xmm1, (%rdi)"
	T	"movups (%rbx), %xmm1; pinsrb $3, %eax, %xmm1; pinsrq $1, %r8, %xmm1; pextrb $7, %xmm1, (%rsi); pextrq $1, %xmm1, %rdx; pextrd $2, %xmm1, 4(%rdi); movups %xmm1, 16(%rdi)", F_ALL, FEAT_SSE42
	T	"movups (%rbx), %xmm1; insertps $0x1d, 8(%rbx), %xmm1; extractps $2, %xmm1, %eax; movups %xmm1, (%rdi)", F_ALL, FEAT_SSE42
	T	"movups (%rbx), %xmm1; movups (%rsi), %xmm2; movups 32(%rbx), %xmm0; pblendvb %xmm0, %xmm1, %xmm2; movups %xmm2, (%rdi)", F_ALL, FEAT_SSE42
	T	"movups (%rbx), %xmm1; pslldq $5, %xmm1; psrldq $2, %xmm1; psllq $3, %xmm1; psrad $7, %xmm1; movups %xmm1, (%rdi)"
	T	"movups (%rbx), %xmm1; movups 16(%rbx), %xmm2; mov %rdi, %rsi; movups 32(%rbx), %xmm3; lea 16(%rsi), %rdi; maskmovdqu %xmm3, %xmm1"
	T	"and $-16, %rbx; movddup 8(%rbx), %xmm1; movshdup (%rbx), %xmm2; movsldup 16(%rbx), %xmm3; pxor %xmm2, %xmm1; pxor %xmm3, %xmm1; movups %xmm1, (%rdi)"
	T	"mov $0x1f80, %eax; mov %eax, (%rbx); ldmxcsr (%rbx); stmxcsr 4(%rbx)"
	/* Flags live across vector memory accesses. */
	T	"add %rax, %rcx; movups (%rbx), %xmm1; movups %xmm1, (%rdi); adc 8(%rbx), %rdx; movq (%rsi), %xmm2; sbb %r8, %r9"
	/* FS, GS, RIP-relative, 32-bit addresses. */
	T	"movups %gs:0x10, %xmm1; movups %xmm1, %fs:0x10; movups snip_data(%rip), %xmm2; movups %xmm2, snip_data+0x20(%rip); movups 4(%ebx), %xmm3; movups %xmm3, (%edi)"

	/* MMX, ended by EMMS. */
	.irp	op, paddb, psubw, pmullw, pcmpgtd, punpcklbw, packuswb, pand, por, pxor, pmaddwd, pavgb, psadbw, pshufb
	T	"movq (%rbx), %mm1; movq 8(%rbx), %mm2; \op %mm1, %mm2; movq %mm2, (%rdi); \op 16(%rbx), %mm2; movq %mm2, 8(%rdi); emms"
	.endr
	T	"movd %eax, %mm0; movd %mm0, (%rdi); movq %rcx, %mm7; movq %mm7, %rdx; pshufw $0x1b, (%rbx), %mm1; movq %mm1, 8(%rdi); pmovmskb %mm1, %eax; emms"
	T	"movq (%rbx), %mm1; movq2dq %mm1, %xmm1; movups 16(%rbx), %xmm2; movdq2q %xmm2, %mm2; movq %mm2, (%rdi); movups %xmm1, 8(%rdi); movntq %mm1, 24(%rdi); emms"

	/* x87. */
	T	"fninit; fldpi; fld1; faddp; fstpl (%rdi)"
	T	"fninit; fildl (%rbx); fildl 4(%rbx); fmulp; fistpll (%rdi)"
	T	"fninit; filds (%rbx); filds 4(%rbx); fsubrp; fstps (%rdi)"
	T	"fninit; fildll (%rbx); fstpt (%rdi)"
	T	"fninit; fildll (%rbx); fldl2t; fdivrp; fstpt (%rdi); fnstsw %ax; and $0xff, %eax"
	T	"fninit; fldl2e; fldln2; fldlg2; fxch %st(2); fsub %st(1), %st; fstpt (%rdi); fstpt 10(%rdi); fstpt 20(%rdi)"
	T	"fninit; fildl (%rbx); fabs; fsqrt; fstpl (%rdi)"
	T	"fninit; fildl (%rbx); fchs; frndint; ftst; fnstsw %ax; and $0x4700, %eax; fstpl (%rdi)"
	T	"fninit; fildl (%rbx); fildl 4(%rbx); fcomip %st(1), %st; fstpl (%rdi)", 0x45
	T	"fninit; fildl (%rbx); fildl 4(%rbx); fucompp; fnstsw %ax; and $0x4700, %eax"
	T	"fninit; fildl (%rbx); fld1; cmp %rcx, %rdx; fcmovb %st(1), %st; fstpl (%rdi); fstpl 8(%rdi)"
	T	"fninit; fldpi; fnstcw (%rdi); orw $0xc00, (%rdi); fldcw (%rdi); fistl 4(%rdi); fisttpll 8(%rdi)"
	T	"fninit; fbld (%rbx); fninit; movl $12345, (%rbx); fildl (%rbx); fbstp (%rdi)"
	T	"fninit; fldpi; fld1; fscale; fxtract; fstpt (%rdi); fstpt 16(%rdi)"
	T	"fninit; fld1; fldpi; fprem; fstpt (%rdi); fincstp; fdecstp; ffree %st(0); fnstsw %ax; and $0x3800, %eax"
	T	"fninit; fld1; flds (%rbx); fstps (%rdi); fldt snip_data(%rip); fstpt 16(%rdi); fninit"
	T	"fninit; movl $0x40490fdb, (%rbx); fadds (%rbx); fninit; flds (%rbx); fmuls (%rbx); fsubl 8(%rbx); fninit; flds (%rbx); fiadds 4(%rbx); fidivl (%rbx); fstpl (%rdi)"
	.section .note.GNU-stack, "", @progbits
