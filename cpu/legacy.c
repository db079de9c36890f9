#include "cpu/mem.h"
#include "cpu/ops_sys.h"

/*
 * Instructions of 16- and 32-bit modes (stack frames of all registers, BOUND,
 * decimal arithmetic), and two old ones that 64-bit mode kept: XLAT, ENTER.
 */

/* --- Stack frames --- */

enum cpu_result op_pusha(struct cpu *c, const struct insn *i)
{
	const uint64_t rsp = c->gpr[RSP];
	enum cpu_result r;

	for (unsigned int n = RAX; n <= RDI; n++) {
		r = cpu_push(c, n == RSP ? rsp : c->gpr[n], i->opsize);
		if (r != CPU_OK) {
			c->gpr[RSP] = rsp;
			return r;
		}
	}
	return CPU_OK;
}

enum cpu_result op_popa(struct cpu *c, const struct insn *i)
{
	const uint64_t rsp = c->gpr[RSP];
	enum cpu_result r;
	uint64_t v;

	/* A fault leaves what has been popped in the registers. */
	for (int n = RDI; n >= RAX; n--) {
		r = cpu_pop(c, &v, i->opsize);
		if (r != CPU_OK) {
			c->gpr[RSP] = rsp;
			return r;
		}
		if (n != RSP)
			gpr_write(c, n, i->opsize, false, v);
	}
	return CPU_OK;
}

static unsigned int stack_width(const struct cpu *c)
{
	if (cpu_64bit(c))
		return 8;
	return c->seg[SEG_SS].ar & AR_DB ? 4 : 2;
}

/* The frame pointers of the enclosing levels, then the new one. */
static enum cpu_result push_display(struct cpu *c, unsigned int level,
				    unsigned int size, uint64_t frame)
{
	const uint64_t mask = MASK(stack_width(c) * 8);
	uint64_t bp = c->gpr[RBP], v;
	enum cpu_result r;

	for (unsigned int n = 1; n < level; n++) {
		v = 0;
		bp -= size;
		r = cpu_read(c, SEG_SS, bp & mask, &v, size);
		if (r == CPU_OK)
			r = cpu_push(c, v, size);
		if (r != CPU_OK)
			return r;
	}
	return level ? cpu_push(c, frame, size) : CPU_OK;
}

/* The new frame's lowest word must be writable. */
static enum cpu_result probe_frame(struct cpu *c, unsigned int size)
{
	uint64_t off = c->gpr[RSP] & MASK(stack_width(c) * 8);
	enum cpu_result r;
	uint8_t *hva;
	gva_t gva;
	gpa_t gpa;

	r = cpu_linear(c, SEG_SS, off, size, ACC_W, &gva);
	if (r != CPU_OK)
		return r;
	if (linear_misaligned(c, gva, size, cpu_access(c)))
		return cpu_raise_error(c, VEC_AC, 0);
	return mem_host(&c->mmu, gva, 1, cpu_access(c) | ACCESS_WRITE, &hva,
			&gpa, &c->fault);
}

enum cpu_result op_enter(struct cpu *c, const struct insn *i)
{
	const unsigned int size = i->opsize, width = stack_width(c);
	const uint64_t rsp = c->gpr[RSP];
	uint64_t frame;
	enum cpu_result r;

	r = cpu_push(c, c->gpr[RBP], size);
	frame = c->gpr[RSP];
	if (r == CPU_OK)
		r = push_display(c, i->imm2 & 31, size, frame);
	if (r == CPU_OK) {
		gpr_write(c, RSP, width, false, c->gpr[RSP] - (uint16_t)i->imm);
		r = probe_frame(c, size);
	}
	if (r != CPU_OK) {
		c->gpr[RSP] = rsp;
		return r;
	}
	gpr_write(c, RBP, size, false, frame);
	return CPU_OK;
}

/* --- BOUND, XLAT --- */

static int64_t sign_extend(uint64_t v, unsigned int size)
{
	unsigned int drop = 64 - size * 8;

	return (int64_t)(v << drop) >> drop;
}

enum cpu_result op_bound(struct cpu *c, const struct insn *i)
{
	const unsigned int size = i->opsize;
	int64_t index = sign_extend(c->gpr[i->op[0].reg], size);
	const uint64_t off = cpu_lea(c, i);
	uint64_t low = 0, high = 0;
	enum cpu_result r;

	r = cpu_read(c, i->seg, off, &low, size);
	if (r == CPU_OK && index < sign_extend(low, size))
		return cpu_raise(c, VEC_BR);
	if (r == CPU_OK)
		r = cpu_read(c, i->seg, (off + size) & MASK(i->addrsize * 8),
			     &high, size);
	if (r == CPU_OK && index > sign_extend(high, size))
		return cpu_raise(c, VEC_BR);
	return r;
}

enum cpu_result op_xlat(struct cpu *c, const struct insn *i)
{
	unsigned int seg = i->seg_ovr == SEG_NONE ? SEG_DS : i->seg_ovr;
	uint64_t off =
		(c->gpr[RBX] + (uint8_t)c->gpr[RAX]) & MASK(i->addrsize * 8);
	uint8_t v;
	enum cpu_result r = cpu_read(c, seg, off, &v, 1);

	if (r == CPU_OK)
		gpr_write(c, RAX, 1, false, v);
	return r;
}

/* --- Decimal arithmetic --- */

static uint64_t szp_flags(uint8_t v)
{
	uint64_t flags = v & RFLAGS_SF; /* bit 7 of both */

	if (!v)
		flags |= RFLAGS_ZF;
	if (!(__builtin_popcount(v) & 1))
		flags |= RFLAGS_PF;
	return flags;
}

static void set_status(struct cpu *c, uint64_t flags)
{
	c->rflags = (c->rflags & ~RFLAGS_STATUS) | flags;
}

/* AAA (@sign 1) and AAS (-1): undefined flags come out as of the new AL. */
static enum cpu_result ascii_adjust(struct cpu *c, int sign)
{
	uint16_t ax = c->gpr[RAX];
	uint64_t carry = 0;

	if ((ax & 0xf) > 9 || (c->rflags & RFLAGS_AF)) {
		ax += sign * 0x106;
		carry = RFLAGS_AF | RFLAGS_CF;
	}
	ax &= 0xff0f;
	gpr_write(c, RAX, 2, false, ax);
	set_status(c, szp_flags(ax) | carry);
	return CPU_OK;
}

enum cpu_result op_aaa(struct cpu *c, const struct insn *i)
{
	return ascii_adjust(c, 1);
}

enum cpu_result op_aas(struct cpu *c, const struct insn *i)
{
	return ascii_adjust(c, -1);
}

/* DAA (@sign 1) and DAS (-1). */
static enum cpu_result decimal_adjust(struct cpu *c, int sign)
{
	const uint8_t old = c->gpr[RAX];
	const bool cf = c->rflags & RFLAGS_CF;
	uint8_t al = old;
	uint64_t flags = 0;

	if ((old & 0xf) > 9 || (c->rflags & RFLAGS_AF)) {
		al += sign * 6;
		flags = RFLAGS_AF;
		/* DAS keeps the borrow of its first step. */
		if (sign < 0 && (cf || old < 6))
			flags |= RFLAGS_CF;
	}
	if (old > 0x99 || cf) {
		al += sign * 0x60;
		flags |= RFLAGS_CF;
	}
	gpr_write(c, RAX, 1, false, al);
	set_status(c, szp_flags(al) | flags);
	return CPU_OK;
}

enum cpu_result op_daa(struct cpu *c, const struct insn *i)
{
	return decimal_adjust(c, 1);
}

enum cpu_result op_das(struct cpu *c, const struct insn *i)
{
	return decimal_adjust(c, -1);
}

enum cpu_result op_aam(struct cpu *c, const struct insn *i)
{
	const uint8_t al = c->gpr[RAX], base = i->imm;

	if (!base)
		return cpu_raise(c, VEC_DE);
	gpr_write(c, RAX, 2, false, (al / base) << 8 | al % base);
	set_status(c, szp_flags(al % base));
	return CPU_OK;
}

enum cpu_result op_aad(struct cpu *c, const struct insn *i)
{
	const uint16_t ax = c->gpr[RAX];
	uint8_t al = ax + (ax >> 8) * (uint8_t)i->imm;

	gpr_write(c, RAX, 2, false, al);
	set_status(c, szp_flags(al));
	return CPU_OK;
}

enum cpu_result op_salc(struct cpu *c, const struct insn *i)
{
	gpr_write(c, RAX, 1, false, c->rflags & RFLAGS_CF ? 0xff : 0);
	return CPU_OK;
}
