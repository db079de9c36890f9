#include <string.h>

#include "cpu/debug.h"
#include "cpu/ops_sys.h"
#include "cpu/string.h"

/*
 * Port instructions.  The access itself is root mode's: cpu->io asks for it,
 * see struct io_access for how an input is answered.
 * Source: SDM 1 "Input/Output", SDM 2 "INS", "OUTS".
 */

enum { IO_IDLE, IO_ASKED, IO_ANSWERED };

#define TSS_IOMAP     102 /* offset of the I/O map base */
#define TSS_MIN_LIMIT 103

/* A task's I/O permission bitmap: two bytes are read whatever the size. */
static enum cpu_result bitmap_check(struct cpu *c, uint16_t port,
				    unsigned int size)
{
	const struct seg *tr = &c->seg[SEG_TR];
	uint16_t map, bits;
	uint32_t at;
	enum cpu_result r;

	if ((tr->ar & AR_UNUSABLE) || !(AR_TYPE(tr->ar) & 8) ||
	    tr->limit < TSS_MIN_LIMIT)
		return cpu_raise_gp(c);
	r = cpu_read_sys(c, tr->base + TSS_IOMAP, &map, sizeof(map));
	if (r != CPU_OK)
		return r;
	at = map + port / 8;
	if (at + 1 > tr->limit)
		return cpu_raise_gp(c);
	r = cpu_read_sys(c, tr->base + at, &bits, sizeof(bits));
	if (r != CPU_OK)
		return r;
	return (bits >> (port & 7)) & MASK(size) ? cpu_raise_gp(c) : CPU_OK;
}

/* VMware's hypervisor answers here whatever IOPL and the bitmap say. */
static bool is_vmware_port(const struct cpu *c, uint16_t port)
{
	return c->vmware_backdoor && (port == 0x5658 || port == 0x5659);
}

static enum cpu_result io_check(struct cpu *c, uint16_t port, unsigned int size)
{
	if (!cpu_protected(c) || is_vmware_port(c, port))
		return CPU_OK;
	if (!cpu_vm86(c) && c->cpl <= cpu_iopl(c))
		return CPU_OK;
	return bitmap_check(c, port, size);
}

static uint16_t io_port(const struct cpu *c, const struct operand *op,
			const struct insn *i)
{
	return op->kind == OPK_IMM ? (uint8_t)i->imm : c->gpr[RDX];
}

static void io_set(struct cpu *c, uint16_t port, unsigned int size, bool in,
		   bool string, uint32_t count)
{
	c->io.port = port;
	c->io.size = size;
	c->io.in = in;
	c->io.string = string;
	c->io.count = count;
	c->io.state = in ? IO_ASKED : IO_IDLE;
}

static enum cpu_result io_exit(struct cpu *c)
{
	c->exit.reason = EXIT_IO;
	return CPU_EXIT;
}

/* Whether cpu->io holds the answer to this very access. */
static bool io_answered(const struct cpu *c, uint16_t port, unsigned int size,
			bool string)
{
	return c->io.state == IO_ANSWERED && c->io.in && c->io.port == port &&
	       c->io.size == size && c->io.string == string;
}

static void io_breakpoint(struct cpu *c, uint16_t port, unsigned int size)
{
	if (unlikely(debug_armed(c)))
		c->pending_dbg |= debug_match_io(c, port, size);
}

enum cpu_result op_in(struct cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size;
	uint16_t port = io_port(c, &i->op[1], i);
	uint64_t v = 0;
	enum cpu_result r;

	if (io_answered(c, port, size, false)) {
		memcpy(&v, c->io.data, size);
		gpr_write(c, RAX, size, false, v);
		c->io.state = IO_IDLE;
		io_breakpoint(c, port, size);
		return CPU_OK;
	}
	r = io_check(c, port, size);
	if (r != CPU_OK)
		return r;
	io_set(c, port, size, true, false, 1);
	return io_exit(c);
}

enum cpu_result op_out(struct cpu *c, const struct insn *i)
{
	unsigned int size = i->op[1].size;
	uint16_t port = io_port(c, &i->op[0], i);
	enum cpu_result r = io_check(c, port, size);

	if (r != CPU_OK)
		return r;
	io_set(c, port, size, false, false, 1);
	memcpy(c->io.data, &c->gpr[RAX], size);
	io_breakpoint(c, port, size);
	return io_exit(c);
}

/* --- INS, OUTS --- */

static uint32_t io_limit(const struct cpu *c, const struct str *s)
{
	uint32_t n = str_limit(c, s, str_count(c, s));
	uint32_t fits = sizeof(c->io.data) / s->size;

	return n < fits ? n : fits;
}

/* A string in memory and the data of cpu->io, which is always ascending. */
static void copy_elements(const struct str *s, uint8_t *mem, uint8_t *data,
			  uint32_t count, bool to_mem)
{
	const long step = s->down ? -(long)s->size : (long)s->size;

	for (; count; count--, mem += step, data += s->size) {
		if (to_mem)
			memcpy(mem, data, s->size);
		else
			memcpy(data, mem, s->size);
	}
}

/* The answer of an INS goes to memory, which may have changed meanwhile. */
static enum cpu_result ins_finish(struct cpu *c, const struct str *s)
{
	uint64_t left = str_count(c, s);
	uint8_t *data = c->io.data;
	bool more = false;
	struct str_run to;
	enum cpu_result r;
	uint32_t n;

	/* As many as were asked for, even if by now it is one at a time. */
	if (left > c->io.count)
		left = c->io.count;
	c->io.state = IO_IDLE;
	for (; left; left -= n, data += n * s->size) {
		r = str_run(c, s, SEG_ES, RDI, ACC_W, left, &to);
		if (r != CPU_OK)
			return r;
		n = to.count;
		if (to.hva) {
			copy_elements(s, to.hva, data, n, true);
			str_wrote(c, s, &to, n);
		} else {
			r = cpu_write(c, SEG_ES, str_index(c, s, RDI), data,
				      s->size);
			if (r != CPU_OK)
				return r;
		}
		str_advance(c, s, RDI, n);
		more = str_finish(c, s, n);
	}
	if (more)
		str_again(c);
	io_breakpoint(c, c->io.port, s->size);
	return CPU_OK;
}

enum cpu_result op_ins(struct cpu *c, const struct insn *i)
{
	uint16_t port = c->gpr[RDX];
	struct str_run to;
	struct str s;
	uint32_t n;
	enum cpu_result r;

	str_begin(c, i, i->op[0].size, &s);
	n = io_limit(c, &s);
	if (n && io_answered(c, port, s.size, true))
		return ins_finish(c, &s);
	/* Permission is needed even if nothing is to be done. */
	r = io_check(c, port, s.size);
	if (r != CPU_OK || !n)
		return r;
	r = str_run(c, &s, SEG_ES, RDI, ACC_W, n, &to);
	if (r != CPU_OK)
		return r;
	io_set(c, port, s.size, true, true, to.count);
	return io_exit(c);
}

enum cpu_result op_outs(struct cpu *c, const struct insn *i)
{
	uint16_t port = c->gpr[RDX];
	struct str_run from;
	struct str s;
	uint32_t n;
	enum cpu_result r;

	str_begin(c, i, i->op[1].size, &s);
	n = io_limit(c, &s);
	r = io_check(c, port, s.size);
	if (r != CPU_OK || !n)
		return r;
	r = str_run(c, &s, s.seg, RSI, ACC_R, n, &from);
	if (r != CPU_OK)
		return r;
	io_set(c, port, s.size, false, true, from.count);
	if (from.hva)
		copy_elements(&s, from.hva, c->io.data, from.count, false);
	else
		r = cpu_read(c, s.seg, str_index(c, &s, RSI), c->io.data,
			     s.size);
	if (r != CPU_OK)
		return r;
	str_advance(c, &s, RSI, from.count);
	if (str_finish(c, &s, from.count))
		str_again(c);
	io_breakpoint(c, port, s.size);
	return io_exit(c);
}
