#pragma once

#include "cpu/cpu.h"

/*
 * The guest's x87, SSE and AVX state: live in the host's registers
 * (cpu->fpu_live), or in *cpu->xsave in the host's standard XSAVE format.
 * PKRU is emulated: mmu.pkru is authoritative, the image has a copy.
 */
#define FPU_AREA_SIZE 832 /* legacy region, header, AVX */
#define FPU_NATIVE    (XCR0_X87 | XCR0_SSE | XCR0_AVX)

/* Layout of the XSAVE area (SDM 1 "XSAVE Area"). */
#define XSAVE_FTW	 4
#define XSAVE_MXCSR	 24
#define XSAVE_MXCSR_MASK 28
#define XSAVE_ST	 32
#define XSAVE_XMM	 160
#define XSAVE_LEGACY_END 416
#define XSAVE_HEADER	 512
#define XSAVE_XCOMP	 520
#define XSAVE_HEADER_END 576
#define XSAVE_AVX	 576
#define XSAVE_COMPACT	 BIT(63)

#define MXCSR_INIT 0x1f80

/* A native save area for helpers. */
struct fpu_area {
	uint8_t b[FPU_AREA_SIZE] __attribute__((aligned(64)));
};

/* fpu_supported_xcr0 - components of the host that a guest may have. */
uint64_t fpu_supported_xcr0(void);

/* fpu_xsave_size, fpu_compact_size - bytes of an area for @xcr0. */
uint32_t fpu_xsave_size(uint64_t xcr0);
uint32_t fpu_compact_size(uint64_t xcomp);

/* fpu_pkru_offset - where PKRU stands in the formats; @xcomp: XCOMP_BV. */
uint32_t fpu_pkru_offset(void);
uint32_t fpu_pkru_compact_offset(uint64_t xcomp);

/* fpu_mxcsr_mask - MXCSR bits that exist. */
uint32_t fpu_mxcsr_mask(void);

/* fpu_reset - power-up state in cpu->xsave, not live. */
void fpu_reset(struct cpu *c);

/*
 * fpu_save - moves live state to cpu->xsave and gives the host its MXCSR and
 * x87 control word back; fpu_load - the other way.  No-ops if there is nothing
 * to move.  Between them no code may run that uses vector registers.
 */
void fpu_save(struct cpu *c);
void fpu_load(struct cpu *c);

/*
 * fpu_begin, fpu_end - bracket native work on the guest's registers in a
 * helper, whether they are live or not.
 */
static inline bool fpu_begin(struct cpu *c)
{
	bool live = c->fpu_live;

	fpu_load(c);
	return live;
}

static inline void fpu_end(struct cpu *c, bool live)
{
	if (!live)
		fpu_save(c);
}

/* fpu_store, fpu_restore - all native components, between begin and end. */
void fpu_store(struct fpu_area *a);
void fpu_restore(const struct fpu_area *a);

/* fpu_pending - whether an unmasked x87 exception waits to be raised. */
bool fpu_pending(struct cpu *c);

/*
 * fpu_pending_no_store - whether one waits that kept a store from storing: all
 * but an inexact result.  Between begin and end.
 */
bool fpu_pending_no_store(void);

/*
 * fpu_enter_mmx - what every MMX instruction does to the x87 state: the stack
 * top is 0 and all tags are valid.  No exception may be pending.
 */
void fpu_enter_mmx(struct cpu *c);

/*
 * fpu_reset_top - FSW.TOP = 0, registers and tags stay: what an MMX store has
 * done when its operand faults.
 */
void fpu_reset_top(struct cpu *c);

/* fpu_take_pkru - sets PKRU from cpu->xsave (after KVM_SET_XSAVE). */
void fpu_take_pkru(struct cpu *c);
