/*
 * AVX, AVX2, FMA, F16C, AES and CLMUL: VEX register and memory forms, unaligned
 * memory operands, gathers, masked moves, the upper halves.
 */
#include "test/guest/lib/snip.h"

	.macro	AVX op, imm, feat
	T	"vmovups (%rbx), %ymm1; vmovups 33(%rsi), %ymm2; \op \imm %ymm1, %ymm2, %ymm3; vmovups %ymm3, (%rdi)", F_ALL, \feat
	T	"vmovups (%rbx), %ymm9; \op \imm 17(%rsi), %ymm9, %ymm13; vmovups %ymm13, 3(%rdi)", F_ALL, \feat
	T	"mov %rbx, %r13; mov $3, %r12d; vmovups (%rbx), %ymm4; \op \imm (%r13,%r12,8), %ymm4, %ymm4; vmovups %ymm4, (%rdi)", F_ALL, \feat
	T	"vmovups (%rbx), %ymm4; \op \imm 5(%rbx), %xmm4, %xmm4; vmovups %ymm4, (%rdi)", F_ALL, \feat
	.endm
	.irp	op, vandps, vorpd, vxorps, vunpcklps, vunpckhpd
	AVX	\op, , FEAT_AVX
	.endr
	.irp	op, vpaddb, vpaddq, vpsubd, vpmullw, vpmulld, vpmuludq, vpand, vpandn, vpxor, vpcmpeqb, vpcmpgtq, vpackuswb, vpunpcklwd, vpshufb, vpmaxsd, vpminuw, vpsadbw, vpsignd, vpmaddubsw, vpsllvd, vpsrlvq, vpsravd, vphaddd
	AVX	\op, , FEAT_AVX2
	.endr
	.irp	op, vshufps, vpalignr, vpblendw, vpblendd, vblendps, vmpsadbw
	.ifc	\op, vshufps
	AVX	\op, "$0x5a,", FEAT_AVX
	.else
	AVX	\op, "$0x5a,", FEAT_AVX2
	.endif
	.endr
	T	"vmovups (%rbx), %ymm1; vextractf128 $1, %ymm1, (%rdi); vinsertf128 $1, 16(%rsi), %ymm1, %ymm2; vmovups %ymm2, 16(%rdi); vperm2f128 $0x21, (%rbx), %ymm1, %ymm3; vmovups %ymm3, 48(%rdi)", F_ALL, FEAT_AVX
	T	"vbroadcastss 4(%rbx), %ymm1; vbroadcastsd 8(%rbx), %ymm2; vbroadcastf128 (%rsi), %ymm3; vxorps %ymm1, %ymm2, %ymm2; vxorps %ymm2, %ymm3, %ymm3; vmovups %ymm3, (%rdi)", F_ALL, FEAT_AVX
	T	"vmovups (%rbx), %ymm1; vmaskmovps 32(%rbx), %ymm1, %ymm2; vmovups %ymm2, (%rdi); vmaskmovpd %ymm2, %ymm1, 40(%rdi)", F_ALL, FEAT_AVX
	T	"vmovups (%rbx), %ymm1; vzeroupper; vmovups %ymm1, (%rdi); vmovups (%rbx), %ymm2; movaps %xmm1, %xmm2; vmovups %ymm2, 32(%rdi)", F_ALL, FEAT_AVX
	T	"vmovups (%rbx), %ymm1; vtestps 32(%rbx), %ymm1; setc %al; vptest (%rsi), %ymm1", F_ALL, FEAT_AVX
	T	"vmovups (%rbx), %ymm1; vpmovmskb %ymm1, %eax; vmovmskps %ymm1, %ecx; vmovd %xmm1, %edx; vmovq %xmm1, %r8", F_ALL, FEAT_AVX2
	T	"vpermq $0x1b, (%rbx), %ymm1; vpermd (%rsi), %ymm1, %ymm2; vpbroadcastb 3(%rbx), %ymm3; vpmovsxbw (%rbx), %ymm4; vpxor %ymm2, %ymm3, %ymm3; vpxor %ymm3, %ymm4, %ymm4; vmovdqu %ymm4, (%rdi)", F_ALL, FEAT_AVX2
	/* Gathers: indexes 0 to 7 scaled by 4, all lanes on. */
	T	"vpxor %xmm1, %xmm1, %xmm1; vpcmpeqd %ymm2, %ymm2, %ymm2; movl $3, (%rdi); vpbroadcastd (%rdi), %ymm1; vpgatherdd %ymm2, (%rbx,%ymm1,4), %ymm3; vmovups %ymm3, (%rdi); vmovups %ymm2, 32(%rdi)", F_ALL, FEAT_AVX2
	T	"vpcmpeqd %ymm2, %ymm2, %ymm2; movq $-2, (%rdi); vpbroadcastq (%rdi), %ymm1; vgatherqpd %ymm2, 64(%rbx,%ymm1,8), %ymm13; vmovups %ymm13, (%rdi)", F_ALL, FEAT_AVX2
	.irp	op, vaddps, vsubpd, vmulps, vdivpd, vmaxps
	T	"vcvtdq2ps (%rbx), %ymm1; vcvtdq2ps 32(%rbx), %ymm2; \op %ymm1, %ymm2, %ymm3; vmovups %ymm3, (%rdi)", F_ALL, FEAT_AVX
	.endr
	.irp	op, vfmadd132ps, vfmadd213pd, vfmsub231ps, vfnmadd213pd
	T	"vcvtdq2ps (%rbx), %ymm1; vcvtdq2ps 32(%rbx), %ymm2; vmovups %ymm2, (%rdi); vmovaps %ymm1, %ymm3; \op (%rdi), %ymm1, %ymm3; vmovups %ymm3, (%rdi)", F_ALL, FEAT_FMA
	.endr
	T	"mov $3, %eax; vcvtsi2sd %eax, %xmm1, %xmm2; vcvtsi2sd %rax, %xmm2, %xmm3; vfmadd231sd %xmm2, %xmm3, %xmm3; vmovsd %xmm3, (%rdi)", F_ALL, FEAT_FMA
	T	"vpand snip_data(%rip), %ymm1, %ymm2; vmovups %gs:0x10, %ymm3; vmovups %ymm3, %fs:8; vmovups 4(%ebx), %ymm4; vmovups %ymm4, 1(%edi)", F_ALL, FEAT_AVX2
	T	"add %rax, %rcx; vmovups (%rbx), %ymm1; vmovups %ymm1, 7(%rdi); adc 8(%rbx), %rdx", F_ALL, FEAT_AVX
	T	"vpclmulqdq $0x11, (%rbx), %xmm1, %xmm2; pclmulqdq $1, %xmm1, %xmm2; vmovups (%rsi), %xmm4; aesenc %xmm4, %xmm4; vaesdec (%rbx), %xmm4, %xmm5; aeskeygenassist $7, %xmm5, %xmm6; vaesimc (%rbx), %xmm7; pxor %xmm7, %xmm6; vmovups %xmm6, (%rdi)", F_ALL, FEAT_AES
	T	"vcvtph2ps (%rbx), %ymm1; mov $5, %eax; vcvtsi2ss %eax, %xmm1, %xmm1; vcvtps2ph $0, %xmm1, (%rdi)", F_ALL, FEAT_F16C
	T	"movups (%rbx), %xmm1; movups (%rsi), %xmm0; movups 32(%rsi), %xmm2; sha256rnds2 %xmm0, %xmm1, %xmm2; sha256msg1 %xmm1, %xmm2; sha1msg2 %xmm1, %xmm2; movups %xmm2, (%rdi)", F_ALL, FEAT_SHA
	.section .note.GNU-stack, "", @progbits
