#include "dbt/emit.h"

void emit16(struct emit *e, uint16_t v)
{
	emit8(e, v);
	emit8(e, v >> 8);
}

void emit32(struct emit *e, uint32_t v)
{
	if (unlikely(e->w + 4 > e->end)) {
		e->overflow = true;
		return;
	}
	__builtin_memcpy(e->w, &v, 4);
	e->w += 4;
}

void emit64(struct emit *e, uint64_t v)
{
	emit32(e, v);
	emit32(e, v >> 32);
}

void emit_bytes(struct emit *e, const uint8_t *p, unsigned int n)
{
	while (n--)
		emit8(e, *p++);
}

/* REX prefix; left out if it says nothing. */
static void rex(struct emit *e, bool w, unsigned int r, unsigned int x,
		unsigned int b)
{
	uint8_t v = 0x40 | w << 3 | (r & 8) >> 1 | (x & 8) >> 2 | (b & 8) >> 3;

	if (v != 0x40)
		emit8(e, v);
}

static void modrm(struct emit *e, unsigned int mod, unsigned int reg,
		  unsigned int rm)
{
	emit8(e, mod << 6 | (reg & 7) << 3 | (rm & 7));
}

static void sib(struct emit *e, unsigned int scale, unsigned int index,
		unsigned int base)
{
	emit8(e, scale << 6 | (index & 7) << 3 | (base & 7));
}

/* ModRM and SIB for absolute [disp32] without base (GS-relative). */
static void mem_abs(struct emit *e, unsigned int reg, uint32_t disp)
{
	modrm(e, 0, reg, 4);
	sib(e, 0, 4, 5);
	emit32(e, disp);
}

static void mem_idx8(struct emit *e, unsigned int reg, enum hreg index,
		     uint32_t disp)
{
	modrm(e, 0, reg, 4);
	sib(e, 3, index, 5);
	emit32(e, disp);
}

void emit_mem(struct emit *e, unsigned int reg, enum hreg base, enum hreg index,
	      unsigned int scale, int32_t disp)
{
	bool d8 = disp == (int8_t)disp;

	if (index != H_NONE || (base & 7) == 4) {
		modrm(e, d8 ? 1 : 2, reg, 4);
		sib(e, scale, index == H_NONE ? 4 : index, base);
	} else {
		modrm(e, d8 ? 1 : 2, reg, base);
	}
	if (d8)
		emit8(e, disp);
	else
		emit32(e, disp);
}

static unsigned int idx_rex(enum hreg index)
{
	return index == H_NONE ? 0 : index;
}

void emit_mov_rr(struct emit *e, enum hreg dst, enum hreg src,
		 unsigned int size)
{
	rex(e, size == 8, src, 0, dst);
	emit8(e, 0x89);
	modrm(e, 3, src, dst);
}

void emit_mov_ri(struct emit *e, enum hreg dst, uint64_t imm)
{
	if (imm >> 32 == 0) {
		rex(e, false, 0, 0, dst);
		emit8(e, 0xb8 | (dst & 7));
		emit32(e, imm);
	} else if ((int64_t)imm == (int32_t)imm) {
		rex(e, true, 0, 0, dst);
		emit8(e, 0xc7);
		modrm(e, 3, 0, dst);
		emit32(e, imm);
	} else {
		rex(e, true, 0, 0, dst);
		emit8(e, 0xb8 | (dst & 7));
		emit64(e, imm);
	}
}

void emit_lea(struct emit *e, enum hreg dst, enum hreg base, enum hreg index,
	      unsigned int scale, int32_t disp, unsigned int size)
{
	bool d8 = disp == (int8_t)disp;

	rex(e, size == 8, dst, idx_rex(index), base == H_NONE ? 0 : base);
	emit8(e, 0x8d);
	if (base == H_NONE) {
		modrm(e, 0, dst, 4);
		sib(e, scale, index == H_NONE ? 4 : index, 5);
		emit32(e, disp);
		return;
	}
	if (index != H_NONE || (base & 7) == 4) {
		modrm(e, d8 ? 1 : 2, dst, 4);
		sib(e, scale, index == H_NONE ? 4 : index, base);
	} else {
		modrm(e, d8 ? 1 : 2, dst, base);
	}
	if (d8)
		emit8(e, disp);
	else
		emit32(e, disp);
}

void emit_movzx16(struct emit *e, enum hreg dst, enum hreg src)
{
	rex(e, false, dst, 0, src);
	emit8(e, 0x0f);
	emit8(e, 0xb7);
	modrm(e, 3, dst, src);
}

void emit_movsxd(struct emit *e, enum hreg dst, enum hreg src)
{
	rex(e, true, dst, 0, src);
	emit8(e, 0x63);
	modrm(e, 3, dst, src);
}

void emit_gs_load(struct emit *e, enum hreg dst, uint32_t disp,
		  unsigned int size)
{
	emit8(e, 0x65);
	rex(e, size == 8, dst, 0, 0);
	if (size <= 2) {
		emit8(e, 0x0f);
		emit8(e, size == 1 ? 0xb6 : 0xb7);
	} else {
		emit8(e, 0x8b);
	}
	mem_abs(e, dst, disp);
}

void emit_gs_load_byte(struct emit *e, enum hreg dst, uint32_t disp)
{
	emit_gs_load(e, dst, disp, 1);
}

static void store_op(struct emit *e, enum hreg src, unsigned int x,
		     unsigned int b, unsigned int size)
{
	if (size == 2)
		emit8(e, 0x66);
	if (size == 1 && src >= 4 && src < 8)
		emit8(e, 0x40 | (x & 8) >> 2 | (b & 8) >> 3);
	else
		rex(e, size == 8, src, x, b);
	emit8(e, size == 1 ? 0x88 : 0x89);
}

void emit_gs_store(struct emit *e, enum hreg src, uint32_t disp,
		   unsigned int size)
{
	emit8(e, 0x65);
	store_op(e, src, 0, 0, size);
	mem_abs(e, src, disp);
}

void emit_gs_load_idx(struct emit *e, enum hreg dst, enum hreg index,
		      uint32_t disp)
{
	emit8(e, 0x65);
	rex(e, true, dst, index, 0);
	emit8(e, 0x8b);
	mem_idx8(e, dst, index, disp);
}

void emit_gs_store_imm(struct emit *e, uint32_t disp, int32_t imm)
{
	emit8(e, 0x65);
	rex(e, true, 0, 0, 0);
	emit8(e, 0xc7);
	mem_abs(e, 0, disp);
	emit32(e, imm);
}

void emit_gs_store_byte(struct emit *e, uint32_t disp, uint8_t imm)
{
	emit8(e, 0x65);
	emit8(e, 0xc6);
	mem_abs(e, 0, disp);
	emit8(e, imm);
}

void emit_gs_jmp(struct emit *e, uint32_t disp)
{
	emit8(e, 0x65);
	emit8(e, 0xff);
	mem_abs(e, 4, disp);
}

void emit_gs_jmp_idx(struct emit *e, enum hreg index, uint32_t disp)
{
	emit8(e, 0x65);
	rex(e, false, 0, index, 0);
	emit8(e, 0xff);
	mem_idx8(e, 4, index, disp);
}

void emit_gs_push(struct emit *e, uint32_t disp)
{
	emit8(e, 0x65);
	emit8(e, 0xff);
	mem_abs(e, 6, disp);
}

void emit_gs_pop(struct emit *e, uint32_t disp)
{
	emit8(e, 0x65);
	emit8(e, 0x8f);
	mem_abs(e, 0, disp);
}

void emit_push_mem(struct emit *e, enum hreg base, int32_t disp)
{
	rex(e, false, 6, 0, base);
	emit8(e, 0xff);
	emit_mem(e, 6, base, H_NONE, 0, disp);
}

/* Three-byte VEX, map 2 or 3, 128-bit. */
static void vex(struct emit *e, unsigned int map, unsigned int pp, bool w,
		unsigned int reg, unsigned int x, unsigned int rm,
		unsigned int vvvv)
{
	emit8(e, 0xc4);
	emit8(e, (~reg & 8) << 4 | (~x & 8) << 3 | (~rm & 8) << 2 | map);
	emit8(e, w << 7 | (~vvvv & 15) << 3 | pp);
}

void emit_gs_pdep(struct emit *e, enum hreg dst, enum hreg src, uint32_t disp)
{
	emit8(e, 0x65);
	vex(e, 2, 3, true, dst, 0, 0, src);
	emit8(e, 0xf5);
	mem_abs(e, dst, disp);
}

void emit_gs_pext(struct emit *e, enum hreg dst, enum hreg src, uint32_t disp)
{
	emit8(e, 0x65);
	vex(e, 2, 2, true, dst, 0, 0, src);
	emit8(e, 0xf5);
	mem_abs(e, dst, disp);
}

void emit_pext(struct emit *e, enum hreg dst, enum hreg src, enum hreg base,
	       int32_t disp)
{
	vex(e, 2, 2, true, dst, 0, base, src);
	emit8(e, 0xf5);
	emit_mem(e, dst, base, H_NONE, 0, disp);
}

void emit_load(struct emit *e, enum hreg dst, enum hreg base, enum hreg index,
	       int32_t disp, unsigned int size)
{
	rex(e, size == 8, dst, idx_rex(index), base);
	if (size <= 2) {
		emit8(e, 0x0f);
		emit8(e, size == 1 ? 0xb6 : 0xb7);
	} else {
		emit8(e, 0x8b);
	}
	emit_mem(e, dst, base, index, 0, disp);
}

void emit_store(struct emit *e, enum hreg src, enum hreg base, enum hreg index,
		int32_t disp, unsigned int size)
{
	store_op(e, src, idx_rex(index), base, size);
	emit_mem(e, src, base, index, 0, disp);
}

void emit_store_imm(struct emit *e, enum hreg base, enum hreg index,
		    int32_t disp, int32_t imm, unsigned int size)
{
	if (size == 2)
		emit8(e, 0x66);
	rex(e, size == 8, 0, idx_rex(index), base);
	emit8(e, 0xc7);
	emit_mem(e, 0, base, index, 0, disp);
	if (size == 2)
		emit16(e, imm);
	else
		emit32(e, imm);
}

void emit_rorx(struct emit *e, enum hreg dst, enum hreg src, uint8_t imm,
	       unsigned int size)
{
	vex(e, 3, 3, size == 8, dst, 0, src, 0);
	emit8(e, 0xf0);
	modrm(e, 3, dst, src);
	emit8(e, imm);
}

void emit_sarx(struct emit *e, enum hreg dst, enum hreg src, enum hreg count,
	       unsigned int size)
{
	vex(e, 2, 2, size == 8, dst, 0, src, count);
	emit8(e, 0xf7);
	modrm(e, 3, dst, src);
}

void emit_shlx(struct emit *e, enum hreg dst, enum hreg src, enum hreg count,
	       unsigned int size)
{
	vex(e, 2, 1, size == 8, dst, 0, src, count);
	emit8(e, 0xf7);
	modrm(e, 3, dst, src);
}

void emit_crc32(struct emit *e, enum hreg dst, enum hreg src)
{
	emit8(e, 0xf2);
	rex(e, true, dst, 0, src);
	emit8(e, 0x0f);
	emit8(e, 0x38);
	emit8(e, 0xf1);
	modrm(e, 3, dst, src);
}

void emit_wrgsbase(struct emit *e, enum hreg src)
{
	emit8(e, 0xf3);
	rex(e, true, 0, 0, src);
	emit8(e, 0x0f);
	emit8(e, 0xae);
	modrm(e, 3, 3, src);
}

void emit_not(struct emit *e, enum hreg r)
{
	rex(e, true, 0, 0, r);
	emit8(e, 0xf7);
	modrm(e, 3, 2, r);
}

void emit_test_rr(struct emit *e, enum hreg r1, enum hreg r2)
{
	rex(e, true, r2, 0, r1);
	emit8(e, 0x85);
	modrm(e, 3, r2, r1);
}

void emit_gs_test(struct emit *e, enum hreg r, uint32_t disp)
{
	emit8(e, 0x65);
	rex(e, true, r, 0, 0);
	emit8(e, 0x85);
	mem_abs(e, r, disp);
}

void emit_and_ri(struct emit *e, enum hreg r, uint32_t imm)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0x81);
	modrm(e, 3, 4, r);
	emit32(e, imm);
}

void emit_sub_ri(struct emit *e, enum hreg r, int8_t imm)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0x83);
	modrm(e, 3, 5, r);
	emit8(e, imm);
}

void emit_shr_ri(struct emit *e, enum hreg r, uint8_t n)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0xc1);
	modrm(e, 3, 5, r);
	emit8(e, n);
}

void emit_cmovb(struct emit *e, enum hreg dst, enum hreg src)
{
	rex(e, false, dst, 0, src);
	emit8(e, 0x39);
	modrm(e, 3, dst, src);
	rex(e, false, dst, 0, src);
	emit8(e, 0x0f);
	emit8(e, 0x42);
	modrm(e, 3, dst, src);
}

void emit_test_ri(struct emit *e, enum hreg r, uint32_t imm)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0xf7);
	modrm(e, 3, 0, r);
	emit32(e, imm);
}

void emit_jmp(struct emit *e, const void *target)
{
	emit_patch32(e, emit_jmp_patch(e), target);
}

void emit_call(struct emit *e, const void *target)
{
	emit8(e, 0xe8);
	emit32(e, 0);
	emit_patch32(e, e->w - 4, target);
}

void emit_jmp_reg(struct emit *e, enum hreg r)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0xff);
	modrm(e, 3, 4, r);
}

void emit_call_reg(struct emit *e, enum hreg r)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0xff);
	modrm(e, 3, 2, r);
}

uint8_t *emit_jcc(struct emit *e, unsigned int cc)
{
	emit8(e, 0x0f);
	emit8(e, 0x80 | cc);
	emit32(e, 0);
	return e->w - 4;
}

uint8_t *emit_call_patch(struct emit *e)
{
	emit8(e, 0xe8);
	emit32(e, 0);
	return e->w - 4;
}

uint8_t *emit_jmp_patch(struct emit *e)
{
	emit8(e, 0xe9);
	emit32(e, 0);
	return e->w - 4;
}

/*
 * Jumps that are patched while other vCPUs execute them: a store within an
 * aligned quadword is atomic on every processor (APM 2 "Access Atomicity").
 */
static void align_rel32(struct emit *e, unsigned int opcode_len)
{
	while ((((uintptr_t)e->w + opcode_len) & 7) > 4)
		emit8(e, 0x90);
}

uint8_t *emit_jcc_link(struct emit *e, unsigned int cc)
{
	align_rel32(e, 2);
	return emit_jcc(e, cc);
}

uint8_t *emit_jmp_link(struct emit *e)
{
	align_rel32(e, 1);
	return emit_jmp_patch(e);
}

uint8_t *emit_jrcxz(struct emit *e)
{
	emit8(e, 0xe3);
	emit8(e, 0);
	return e->w - 1;
}

uint8_t *emit_jmp8(struct emit *e)
{
	emit8(e, 0xeb);
	emit8(e, 0);
	return e->w - 1;
}

void emit_push(struct emit *e, enum hreg r)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0x50 | (r & 7));
}

void emit_pop(struct emit *e, enum hreg r)
{
	rex(e, false, 0, 0, r);
	emit8(e, 0x58 | (r & 7));
}

void emit_here8(struct emit *e, uint8_t *rel8)
{
	ptrdiff_t rel = e->w - (rel8 + 1);

	/* A distance that does not fit is our bug: make the block fail. */
	if (rel > 127)
		e->overflow = true;
	if (!e->overflow)
		*rel8 = rel;
}

void emit_here32(struct emit *e, uint8_t *rel32)
{
	emit_patch32(e, rel32, emit_x(e));
}

void emit_patch32(const struct emit *e, uint8_t *rel32, const void *target)
{
	int32_t rel;

	if (e->overflow)
		return;
	rel = (const uint8_t *)target - (rel32 + 4 + e->xdiff);
	__atomic_store_n((int32_t *)rel32, rel, __ATOMIC_RELAXED);
}
