#include "cpu/fpu.h"
#include "cpu/mem.h"
#include "cpu/op.h"
#include "dbt/dbt_int.h"
#include "mmu/walk.h"

/*
 * Memory operands of x87 instructions in careful form, as Intel's processors
 * treat them: what comes before a fault of the operand, and what remains if
 * there is one.
 */

bool x87_pending(struct cpu *c, const struct insn *i)
{
	switch (i->row->id) {
	case ID_FNSTENV:
	case ID_FNSAVE:
	case ID_FNSTCW:
	case ID_FNSTSW:
	case ID_CVTPI2PD:
	case ID_CVTPI2PS:
		return false;
	default:
		return (i->row->attr & (IA_X87 | IA_MMX)) && fpu_pending(c);
	}
}

bool x87_stores(const struct insn *i)
{
	return (i->row->attr & IA_X87) && (i->mem_access & ACC_W) &&
	       i->mem_size <= 10 && i->row->id != ID_FNSTCW &&
	       i->row->id != ID_FNSTSW;
}

enum cpu_result x87_store(struct cpu *c, const struct insn *i, gva_t gva)
{
	const unsigned int access = cpu_access(c);
	uint8_t *buf = vcpu_dbt(c)->bounce;
	unsigned int first = i->mem_size == 10 ? 8 : i->mem_size;
	struct fpu_area before;
	enum cpu_result r;

	fpu_store(&before);
	r = snippet_run(c, i, buf);
	if (r != CPU_OK || fpu_pending_no_store())
		return r;
	r = mem_write(&c->mmu, &c->mmio, gva, buf, first, access, &c->fault);
	if (r == CPU_OK && first < i->mem_size)
		r = mem_write(&c->mmu, &c->mmio, gva + first, buf + first,
			      i->mem_size - first, access, &c->fault);
	if (r != CPU_OK)
		fpu_restore(&before);
	return r;
}

bool x87_stores_nothing(struct cpu *c, const struct insn *i)
{
	const struct x86_fault fault = c->fault;
	struct fpu_area before;

	fpu_store(&before);
	if (snippet_run(c, i, vcpu_dbt(c)->bounce) == CPU_OK &&
	    fpu_pending_no_store())
		return true;
	fpu_restore(&before);
	c->fault = fault;
	return false;
}

/* --- Environment and whole state --- */

/* Bytes of one field of the environment: 2 or 4; 0: another instruction. */
static unsigned int field_size(const struct insn *i)
{
	switch (i->mem_size) {
	case 14:
	case 94:
		return 2;
	case 28:
	case 108:
		return 4;
	default:
		return 0;
	}
}

bool x87_state(const struct insn *i)
{
	return (i->row->attr & IA_X87) && field_size(i);
}

bool x87_in_parts(const struct insn *i)
{
	return x87_state(i) || ((i->row->attr & IA_X87) && i->mem_size == 10);
}

enum cpu_result x87_probe(struct cpu *c, const struct insn *i, gva_t gva)
{
	const uint8_t order[] = { 0, field_size(i) - 1, i->mem_size - 1 };
	unsigned int access = cpu_access(c);
	enum cpu_result r = CPU_OK;
	struct walk w;

	if (i->mem_access & ACC_W)
		access |= ACCESS_WRITE;
	for (unsigned int n = 0; n < ARRAY_SIZE(order) && r == CPU_OK; n++)
		r = walk_gva(&c->mmu, gva + order[n], access, &w, &c->fault);
	/* The first field, if it crosses pages, where the second begins. */
	if (r == CPU_FAULT && c->fault.address == gva + order[1])
		c->fault.address &= PAGE_MASK;
	return r;
}

enum cpu_result x87_first(struct cpu *c, const struct insn *i, uint64_t off)
{
	const unsigned int size = field_size(i);
	unsigned int access = cpu_access(c);
	enum cpu_result r;
	struct walk w;
	gva_t gva;

	if (i->mem_access & ACC_W)
		access |= ACCESS_WRITE;
	/* #AC is found before the end, if that is non-canonical. */
	r = cpu_linear(c, i->seg, off, cpu_64bit(c) ? 1 : size, i->mem_access,
		       &gva);
	if (r == CPU_OK && linear_misaligned(c, gva, size, access))
		return cpu_raise_error(c, VEC_AC, 0);
	if (r != CPU_OK || !cpu_64bit(c))
		return r;
	r = cpu_linear(c, i->seg, off, size, i->mem_access, &gva);
	return r == CPU_OK ? walk_gva(&c->mmu, gva, access, &w, &c->fault) : r;
}

/* One field at @at: of the environment, or a register in two parts. */
static unsigned int piece_size(const struct insn *i, unsigned int at)
{
	const unsigned int env = 7 * field_size(i);

	if (at < env)
		return field_size(i);
	return (at - env) % 10 ? 2 : 8;
}

static enum cpu_result move_piece(struct cpu *c, const struct insn *i,
				  uint64_t off, uint8_t *buf, unsigned int size,
				  bool write)
{
	const unsigned int access = cpu_access(c) | ACCESS_UNALIGNED;
	gva_t gva;
	enum cpu_result r;

	r = cpu_linear(c, i->seg, off & MASK(8 * i->addrsize), size,
		       write ? ACC_W : ACC_R, &gva);
	if (r != CPU_OK)
		return r;
	if (write)
		return linear_write(c, gva, buf, size, access);
	return linear_read(c, gva, buf, size, access);
}

enum cpu_result x87_wrapped(struct cpu *c, const struct insn *i, uint64_t off)
{
	uint8_t *buf = vcpu_dbt(c)->bounce;
	const bool write = i->mem_access & ACC_W;
	struct fpu_area before;
	enum cpu_result r = CPU_OK;
	unsigned int size;
	gva_t gva;

	r = cpu_linear(c, i->seg, off, piece_size(i, 0), i->mem_access, &gva);
	if (r == CPU_OK &&
	    linear_misaligned(c, gva, piece_size(i, 0), cpu_access(c)))
		return cpu_raise_error(c, VEC_AC, 0);
	if (r != CPU_OK)
		return r;
	fpu_store(&before);
	if (write)
		r = snippet_run(c, i, buf);
	for (unsigned int at = 0; at < i->mem_size && r == CPU_OK; at += size) {
		size = piece_size(i, at);
		r = move_piece(c, i, off + at, buf + at, size, write);
	}
	if (!write && r == CPU_OK)
		return snippet_run(c, i, buf);
	if (r != CPU_OK)
		fpu_restore(&before);
	return r;
}
