#include "cpu/mem.h"

#include "cpu/debug.h"

#include <string.h>

#include "cpu/op.h"

#define ADDR32 0xffffffffull

bool seg_allows(const struct cpu *c, const struct seg *s, uint64_t off,
		unsigned int size, unsigned int access)
{
	const uint32_t ar = s->ar;
	uint64_t last = off + size - 1;

	/* Nothing is beyond a flat segment: the access wraps. */
	if (s->limit == ADDR32 && !s->base && last > ADDR32)
		last = ADDR32;

	if (cpu_protected(c) && !cpu_vm86(c)) {
		if (ar & AR_UNUSABLE)
			return false;
		if ((access & ACC_W) && (ar & (AR_CODE | AR_RW)) != AR_RW)
			return false;
		if ((access & ACC_R) && (ar & (AR_CODE | AR_RW)) == AR_CODE)
			return false;
	}
	if ((ar & (AR_S | AR_CODE | AR_DC)) == (AR_S | AR_DC))
		return off > s->limit && last <= (ar & AR_DB ? ADDR32 : 0xffff);
	return last <= s->limit;
}

static enum cpu_result segment_fault(struct cpu *c, unsigned int seg)
{
	return cpu_raise_error(c, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

/*
 * An operand in 64-bit mode whose first or last byte is at a non-canonical
 * address.  Intel's processors find it misaligned before they look at the last.
 */
static enum cpu_result non_canonical(struct cpu *c, unsigned int seg, gva_t gva,
				     unsigned int size, unsigned int access)
{
	if (canonical(c, gva) && !(access & ACC_UNALIGNED) &&
	    linear_misaligned(c, gva, size, cpu_access(c)))
		return cpu_raise_error(c, VEC_AC, 0);
	return segment_fault(c, seg);
}

enum cpu_result cpu_linear(struct cpu *c, unsigned int seg, uint64_t off,
			   unsigned int size, unsigned int access, gva_t *gva)
{
	const struct seg *s = &c->seg[seg];

	if (likely(linear_flat(c))) {
		if (seg == SEG_FS || seg == SEG_GS)
			off += s->base;
		if (unlikely(!canonical(c, off) ||
			     !canonical(c, off + size - 1)))
			return non_canonical(c, seg, off, size, access);
		*gva = off;
		return CPU_OK;
	}
	if (unlikely(!seg_allows(c, s, off, size, access)))
		return segment_fault(c, seg);
	*gva = (s->base + off) & ADDR32;
	return CPU_OK;
}

unsigned int cpu_access(const struct cpu *c)
{
	return (c->cpl == 3 ? ACCESS_USER : 0) |
	       (c->rflags & RFLAGS_AC ? ACCESS_AC : 0);
}

/*
 * An access that raises #AC (SDM 3A "Interrupt 17").  The manuals leave the
 * order open; Intel's processors look at pages afterwards.
 */
bool linear_misaligned(const struct cpu *c, gva_t gva, unsigned int size,
		       unsigned int access)
{
	if (likely(!(access & ACCESS_USER) || !(c->rflags & RFLAGS_AC)) ||
	    (access & ACCESS_UNALIGNED))
		return false;
	return (c->cr0 & CR0_AM) && size <= 8 && !(size & (size - 1)) &&
	       (gva & (size - 1));
}

static enum cpu_result mem_result(struct cpu *c, enum cpu_result r)
{
	if (unlikely(r == CPU_EXIT))
		c->exit.reason = EXIT_EPT_VIOLATION;
	return r;
}

/* Bytes of an access below the 4 GiB line, past which linear addresses wrap. */
static unsigned int before_wrap(const struct cpu *c, gva_t gva,
				unsigned int size)
{
	if (likely(linear_flat(c) || gva > ADDR32 || gva + size - 1 <= ADDR32))
		return size;
	return ADDR32 + 1 - gva;
}

enum cpu_result linear_read(struct cpu *c, gva_t gva, void *buf,
			    unsigned int size, unsigned int access)
{
	unsigned int head = before_wrap(c, gva, size);
	enum cpu_result r;

	if (unlikely(linear_misaligned(c, gva, size, access)))
		return cpu_raise_error(c, VEC_AC, 0);
	r = mem_read(&c->mmu, &c->mmio, gva, buf, head, access, &c->fault);
	if (r == CPU_OK && unlikely(head < size))
		r = mem_read(&c->mmu, &c->mmio, 0, (char *)buf + head,
			     size - head, access, &c->fault);
	if (r == CPU_OK)
		debug_data(c, gva, size, false);
	return mem_result(c, r);
}

enum cpu_result linear_write(struct cpu *c, gva_t gva, const void *buf,
			     unsigned int size, unsigned int access)
{
	unsigned int head = before_wrap(c, gva, size);
	enum cpu_result r;

	if (unlikely(linear_misaligned(c, gva, size, access)))
		return cpu_raise_error(c, VEC_AC, 0);
	r = mem_write(&c->mmu, &c->mmio, gva, buf, head, access, &c->fault);
	if (r == CPU_OK && unlikely(head < size))
		r = mem_write(&c->mmu, &c->mmio, 0, (const char *)buf + head,
			      size - head, access, &c->fault);
	if (r == CPU_OK)
		debug_data(c, gva, size, true);
	return mem_result(c, r);
}

enum cpu_result cpu_read(struct cpu *c, unsigned int seg, uint64_t off,
			 void *buf, unsigned int size)
{
	gva_t gva;
	enum cpu_result r = cpu_linear(c, seg, off, size, ACC_R, &gva);

	if (r != CPU_OK)
		return r;
	return linear_read(c, gva, buf, size, cpu_access(c));
}

enum cpu_result cpu_write(struct cpu *c, unsigned int seg, uint64_t off,
			  const void *buf, unsigned int size)
{
	gva_t gva;
	enum cpu_result r = cpu_linear(c, seg, off, size, ACC_W, &gva);

	if (r != CPU_OK)
		return r;
	return linear_write(c, gva, buf, size, cpu_access(c));
}

enum cpu_result cpu_read_sys(struct cpu *c, gva_t gva, void *buf,
			     unsigned int size)
{
	/* Registers may hold 57-bit addresses under 4-level paging. */
	if (unlikely(!canonical(c, gva)))
		return cpu_raise_gp(c);
	return mem_result(c, mem_read(&c->mmu, &c->mmio, gva, buf, size,
				      ACCESS_READ, &c->fault));
}

enum cpu_result cpu_write_sys(struct cpu *c, gva_t gva, const void *buf,
			      unsigned int size)
{
	if (unlikely(!canonical(c, gva)))
		return cpu_raise_gp(c);
	return mem_result(c, mem_write(&c->mmu, &c->mmio, gva, buf, size,
				       ACCESS_WRITE, &c->fault));
}

enum cpu_result cpu_push(struct cpu *c, uint64_t value, unsigned int size)
{
	struct stack st;
	enum cpu_result r;

	stack_current(c, &st, size);
	stack_push(&st, value);
	r = stack_check(c, &st);
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r == CPU_OK)
		stack_load_sp(c, &st);
	return r;
}

enum cpu_result cpu_pop(struct cpu *c, uint64_t *value, unsigned int size)
{
	struct stack st;
	enum cpu_result r;

	stack_current(c, &st, size);
	r = stack_pop(c, &st, value, 1);
	if (r == CPU_OK)
		stack_load_sp(c, &st);
	return r;
}
