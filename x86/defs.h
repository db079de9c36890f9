#pragma once

#include "base/types.h"

/* Architectural constants, in the manuals' spelling. */

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME	       BIT(0)
#define CR4_PVI	       BIT(1)
#define CR4_TSD	       BIT(2)
#define CR4_DE	       BIT(3)
#define CR4_PSE	       BIT(4)
#define CR4_PAE	       BIT(5)
#define CR4_MCE	       BIT(6)
#define CR4_PGE	       BIT(7)
#define CR4_PCE	       BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP       BIT(11)
#define CR4_LA57       BIT(12)
#define CR4_VMXE       BIT(13)
#define CR4_SMXE       BIT(14)
#define CR4_FSGSBASE   BIT(16)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define CR4_PKE	       BIT(22)
#define CR4_PKS	       BIT(24)

#define EFER_SCE   BIT(0)
#define EFER_LME   BIT(8)
#define EFER_LMA   BIT(10)
#define EFER_NX	   BIT(11)
#define EFER_SVME  BIT(12)
#define EFER_FFXSR BIT(14)

#define RFLAGS_CF	  BIT(0)
#define RFLAGS_FIXED	  BIT(1)
#define RFLAGS_PF	  BIT(2)
#define RFLAGS_AF	  BIT(4)
#define RFLAGS_ZF	  BIT(6)
#define RFLAGS_SF	  BIT(7)
#define RFLAGS_TF	  BIT(8)
#define RFLAGS_IF	  BIT(9)
#define RFLAGS_DF	  BIT(10)
#define RFLAGS_OF	  BIT(11)
#define RFLAGS_IOPL_SHIFT 12
#define RFLAGS_IOPL	  (3ull << 12)
#define RFLAGS_NT	  BIT(14)
#define RFLAGS_RF	  BIT(16)
#define RFLAGS_VM	  BIT(17)
#define RFLAGS_AC	  BIT(18)
#define RFLAGS_VIF	  BIT(19)
#define RFLAGS_VIP	  BIT(20)
#define RFLAGS_ID	  BIT(21)
#define RFLAGS_STATUS                                                          \
	(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* Exception vectors. */
#define VEC_DE	0
#define VEC_DB	1
#define VEC_NMI 2
#define VEC_BP	3
#define VEC_OF	4
#define VEC_BR	5
#define VEC_UD	6
#define VEC_NM	7
#define VEC_DF	8
#define VEC_TS	10
#define VEC_NP	11
#define VEC_SS	12
#define VEC_GP	13
#define VEC_PF	14
#define VEC_MF	16
#define VEC_AC	17
#define VEC_MC	18
#define VEC_XM	19

/* Page-fault error code. */
#define PFEC_P	  BIT(0)
#define PFEC_W	  BIT(1)
#define PFEC_U	  BIT(2)
#define PFEC_RSVD BIT(3)
#define PFEC_I	  BIT(4)
#define PFEC_PK	  BIT(5)

/* Page-table entry bits. */
#define PTE_P	BIT(0)
#define PTE_W	BIT(1)
#define PTE_U	BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A	BIT(5)
#define PTE_D	BIT(6)
#define PTE_PS	BIT(7)
#define PTE_G	BIT(8)
#define PTE_NX	BIT(63)

/*
 * Segment access rights in the layout of the VMCS (SDM 3C "Guest Segment
 * Registers"): bits 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G,
 * 16 unusable.
 */
#define AR_TYPE(ar)  ((ar)&0xf)
#define AR_S	     BIT(4)
#define AR_DPL_SHIFT 5
#define AR_DPL(ar)   (((ar) >> 5) & 3)
#define AR_P	     BIT(7)
#define AR_AVL	     BIT(12)
#define AR_L	     BIT(13)
#define AR_DB	     BIT(14)
#define AR_G	     BIT(15)
#define AR_UNUSABLE  BIT(16)
#define AR_CODE	     BIT(3) /* type bit: executable (with S) */
#define AR_DC	     BIT(2) /* type bit: expand-down or conforming */
#define AR_RW	     BIT(1) /* type bit: writable or readable */
#define AR_ACCESSED  BIT(0)

#define DR6_FIXED 0xffff0ff0ull
#define DR6_BD	  BIT(13)
#define DR6_BS	  BIT(14)
#define DR6_BT	  BIT(15)
#define DR7_FIXED 0x400ull
#define DR7_GD	  BIT(13)

#define XCR0_X87  BIT(0)
#define XCR0_SSE  BIT(1)
#define XCR0_AVX  BIT(2)
#define XCR0_PKRU BIT(9)
