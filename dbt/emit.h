#pragma once

#include "base/types.h"

/*
 * Encoder of the host instructions the translator makes up itself.  None of
 * those that stand between guest instructions changes a status flag.
 */

/* Host registers, by encoding. */
enum hreg {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_R9,
	H_R10,
	H_R11,
	H_R12,
	H_R13,
	H_R14,
	H_R15,
	H_NONE = 0xff,
};

/* A code buffer: written through w, executed at x (two maps of one memory). */
struct emit {
	uint8_t *w;    /* next byte to write */
	uint8_t *end;  /* no byte at or beyond this one */
	int64_t xdiff; /* execution address = write address + xdiff */
	bool overflow;
};

static inline uint8_t *emit_x(const struct emit *e)
{
	return e->w + e->xdiff;
}

static inline void emit8(struct emit *e, uint8_t v)
{
	if (unlikely(e->w >= e->end)) {
		e->overflow = true;
		return;
	}
	*e->w++ = v;
}

void emit16(struct emit *e, uint16_t v);
void emit32(struct emit *e, uint32_t v);
void emit64(struct emit *e, uint64_t v);
void emit_bytes(struct emit *e, const uint8_t *p, unsigned int n);

/* mov dst, src; size 4 (clears the upper half) or 8. */
void emit_mov_rr(struct emit *e, enum hreg dst, enum hreg src,
		 unsigned int size);
/* mov dst, imm in the shortest form that keeps flags. */
void emit_mov_ri(struct emit *e, enum hreg dst, uint64_t imm);
/*
 * lea dst, [base + index << scale + disp]; base and index may be H_NONE;
 * size 4 computes 32-bit addresses (zero-extended), 8 64-bit ones.
 */
void emit_lea(struct emit *e, enum hreg dst, enum hreg base, enum hreg index,
	      unsigned int scale, int32_t disp, unsigned int size);
/* movzx dst, src (16 bits). */
void emit_movzx16(struct emit *e, enum hreg dst, enum hreg src);
/* movsxd dst, src (32 to 64 bits). */
void emit_movsxd(struct emit *e, enum hreg dst, enum hreg src);

/* Loads and stores of gs:[disp]; loads of 1 and 2 bytes zero-extend. */
void emit_gs_load(struct emit *e, enum hreg dst, uint32_t disp,
		  unsigned int size);
void emit_gs_store(struct emit *e, enum hreg src, uint32_t disp,
		   unsigned int size);
/* mov dst, gs:[index * 8 + disp] */
void emit_gs_load_idx(struct emit *e, enum hreg dst, enum hreg index,
		      uint32_t disp);
/* mov qword gs:[disp], imm32 (sign-extended) */
void emit_gs_store_imm(struct emit *e, uint32_t disp, int32_t imm);
/* movzx dst, byte gs:[disp]; mov byte gs:[disp], imm */
void emit_gs_load_byte(struct emit *e, enum hreg dst, uint32_t disp);
void emit_gs_store_byte(struct emit *e, uint32_t disp, uint8_t imm);
/* jmp gs:[disp]; jmp gs:[index * 8 + disp] */
void emit_gs_jmp(struct emit *e, uint32_t disp);
void emit_gs_jmp_idx(struct emit *e, enum hreg index, uint32_t disp);
/* pext or pdep dst, src, gs:[disp] */
void emit_gs_pdep(struct emit *e, enum hreg dst, enum hreg src, uint32_t disp);
void emit_gs_pext(struct emit *e, enum hreg dst, enum hreg src, uint32_t disp);
/* pext dst, src, [base + disp] */
void emit_pext(struct emit *e, enum hreg dst, enum hreg src, enum hreg base,
	       int32_t disp);
/* push, pop of gs:[disp]; push of [base + disp] */
void emit_gs_push(struct emit *e, uint32_t disp);
void emit_gs_pop(struct emit *e, uint32_t disp);
void emit_push_mem(struct emit *e, enum hreg base, int32_t disp);

/* ModRM, SIB and displacement of [base + index << scale + disp] (any REX
 * prefix stands before the opcode); index may be H_NONE. */
void emit_mem(struct emit *e, unsigned int reg, enum hreg base, enum hreg index,
	      unsigned int scale, int32_t disp);

/* mov dst, [base + index + disp]; index may be H_NONE. size 1,2,4,8; loads
 * of 1 and 2 bytes zero-extend. */
void emit_load(struct emit *e, enum hreg dst, enum hreg base, enum hreg index,
	       int32_t disp, unsigned int size);
void emit_store(struct emit *e, enum hreg src, enum hreg base, enum hreg index,
		int32_t disp, unsigned int size);
/* mov size [base + index + disp], imm (sign-extended 32 for 8) */
void emit_store_imm(struct emit *e, enum hreg base, enum hreg index,
		    int32_t disp, int32_t imm, unsigned int size);

/* rorx dst, src, imm (size 4 or 8); sarx, shlx dst, src, count; not dst. */
void emit_shlx(struct emit *e, enum hreg dst, enum hreg src, enum hreg count,
	       unsigned int size);
void emit_rorx(struct emit *e, enum hreg dst, enum hreg src, uint8_t imm,
	       unsigned int size);
void emit_sarx(struct emit *e, enum hreg dst, enum hreg src, enum hreg count,
	       unsigned int size);
void emit_not(struct emit *e, enum hreg r);

/* test r1, r2 and test gs:[disp], r (64 bits); test r, imm (32 bits): these
 * write flags. */
void emit_test_rr(struct emit *e, enum hreg r1, enum hreg r2);
void emit_gs_test(struct emit *e, enum hreg r, uint32_t disp);
void emit_test_ri(struct emit *e, enum hreg r, uint32_t imm);
#define CC_Z 4
#define CC_B 2
/* The same: and, sub and shr of 32 bits; cmp src, dst; cmovb dst, src. */
void emit_and_ri(struct emit *e, enum hreg r, uint32_t imm);
void emit_sub_ri(struct emit *e, enum hreg r, int8_t imm);
void emit_shr_ri(struct emit *e, enum hreg r, uint8_t n);
void emit_cmovb(struct emit *e, enum hreg dst, enum hreg src);

/* crc32 dst, src (64 bits) */
void emit_crc32(struct emit *e, enum hreg dst, enum hreg src);
/* wrgsbase src (64 bits) */
void emit_wrgsbase(struct emit *e, enum hreg src);

/* Branches.  Targets are execution addresses. */
void emit_jmp(struct emit *e, const void *target);
void emit_call(struct emit *e, const void *target);
void emit_jmp_reg(struct emit *e, enum hreg r);
void emit_call_reg(struct emit *e, enum hreg r);
/* jcc rel32; returns where the rel32 is written (write address). */
uint8_t *emit_jcc(struct emit *e, unsigned int cc);
/* jmp or call rel32 to be patched; returns where the rel32 is. */
uint8_t *emit_jmp_patch(struct emit *e);
uint8_t *emit_call_patch(struct emit *e);
/* The same, where the rel32 may be patched again while vCPUs execute it. */
uint8_t *emit_jcc_link(struct emit *e, unsigned int cc);
uint8_t *emit_jmp_link(struct emit *e);
/* jrcxz or jmp rel8 to be patched; returns where the rel8 is. */
uint8_t *emit_jrcxz(struct emit *e);
uint8_t *emit_jmp8(struct emit *e);
void emit_push(struct emit *e, enum hreg r);
void emit_pop(struct emit *e, enum hreg r);

/* Point a rel8 or rel32 at the current position. */
void emit_here8(struct emit *e, uint8_t *rel8);
void emit_here32(struct emit *e, uint8_t *rel32);
/* Point a rel32 (write address @rel32) at execution address @target. */
void emit_patch32(const struct emit *e, uint8_t *rel32, const void *target);
