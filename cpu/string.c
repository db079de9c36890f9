#include "cpu/string.h"

#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/mode.h"
#include "cpu/ops_sys.h"
#include "mmu/dirty.h"

/*
 * MOVS, STOS, LODS, SCAS, CMPS, alone and repeated.  A repeated instruction
 * works in steps: as many elements as lie in one page of each operand, or in
 * pages that are in a row in host memory and known to the TLB, by the silicon's
 * own instruction on host addresses (which is exact for overlapping
 * operands too), else a single element through cpu_read and cpu_write.
 * Registers are exact after each step, so that faults and MMIO restart the
 * instruction at the element that is next.
 */

#define STR_BUDGET 65536 /* bytes of work per execution */

void str_begin(const struct cpu *c, const struct insn *i, unsigned int size,
	       struct str *s)
{
	s->size = size;
	s->addrsize = i->addrsize;
	s->seg = i->seg_ovr == SEG_NONE ? SEG_DS : i->seg_ovr;
	s->rep = i->rep;
	s->down = c->rflags & RFLAGS_DF;
}

uint64_t str_index(const struct cpu *c, const struct str *s, unsigned int reg)
{
	return c->gpr[reg] & MASK(s->addrsize * 8);
}

uint64_t str_count(const struct cpu *c, const struct str *s)
{
	return s->rep ? str_index(c, s, RCX) : 1;
}

uint32_t str_limit(const struct cpu *c, const struct str *s, uint64_t count)
{
	const uint32_t budget = STR_BUDGET / s->size;

	if ((c->rflags & RFLAGS_TF) || c->singlestep || debug_armed(c))
		return count ? 1 : 0;
	return count < budget ? count : budget;
}

/* Elements from @off on, in direction of DF, before the index wraps. */
static uint32_t before_wrap(const struct str *s, uint64_t off, uint32_t max)
{
	const uint64_t mask = MASK(s->addrsize * 8);
	const unsigned int shift = __builtin_ctz(s->size);
	uint64_t room = (s->down ? off : mask - off) >> shift;

	/* (mask - off + 1) / size without overflow; 0 is one that wraps. */
	if (s->down || ((mask - off) & (s->size - 1)) == s->size - 1)
		room++;
	return room == 0 ? 1 : room < max ? room : max;
}

static uint32_t before_page_end(const struct str *s, gva_t gva, uint32_t max)
{
	const unsigned int shift = __builtin_ctz(s->size);
	unsigned int in_page = gva & ~PAGE_MASK;
	uint32_t room = s->down ? (in_page >> shift) + 1
				: (PAGE_SIZE - in_page) >> shift;

	return room < max ? room : max;
}

/* Elements at @gva that are in a row in host memory, too. */
static uint32_t in_a_row(struct cpu *c, const struct str *s, gva_t gva,
			 const struct str_run *run, unsigned int acc,
			 uint32_t max)
{
	if (run->gpa != GPA_UNTOLD || s->down || !cpu_64bit(c))
		return before_page_end(s, gva, max);
	return mem_known(&c->mmu, gva, run->hva, max * s->size, acc) >>
	       __builtin_ctz(s->size);
}

/* Alignment checks are made element by element. */
static bool checks_alignment(const struct cpu *c)
{
	return c->cpl == 3 && (c->rflags & RFLAGS_AC) && (c->cr0 & CR0_AM);
}

/* The whole run must pass the segment checks; its first element does. */
static bool run_in_segment(struct cpu *c, const struct str *s, unsigned int seg,
			   uint64_t off, unsigned int access, uint32_t count)
{
	uint64_t low = s->down ? off - (uint64_t)(count - 1) * s->size : off;
	gva_t gva;

	return cpu_linear(c, seg, low, count * s->size, access, &gva) == CPU_OK;
}

enum cpu_result str_run(struct cpu *c, const struct str *s, unsigned int seg,
			unsigned int reg, unsigned int access, uint32_t max,
			struct str_run *run)
{
	uint64_t off = str_index(c, s, reg);
	unsigned int acc = cpu_access(c);
	enum cpu_result r;
	gva_t gva;

	run->hva = NULL;
	run->gpa = GPA_UNTOLD;
	run->count = 1;
	r = cpu_linear(c, seg, off, s->size, access, &gva);
	if (r != CPU_OK)
		return r;
	debug_data(c, gva, s->size, access == ACC_W);
	if (checks_alignment(c))
		return CPU_OK;
	if (access == ACC_W)
		acc |= ACCESS_WRITE;
	r = mem_host(&c->mmu, gva, s->size, acc, &run->hva, &run->gpa,
		     &c->fault);
	if (r != CPU_OK || !run->hva || max == 1)
		return r;
	max = in_a_row(c, s, gva, run, acc, before_wrap(s, off, max));
	if (run_in_segment(c, s, seg, off, access, max))
		run->count = max;
	return CPU_OK;
}

void str_wrote(struct cpu *c, const struct str *s, const struct str_run *run,
	       uint32_t count)
{
	unsigned int len = count * s->size;
	gpa_t low = s->down ? run->gpa - (len - s->size) : run->gpa;
	const struct memslot *slot;

	if (run->gpa == GPA_UNTOLD)
		return;
	slot = mmu_slot(&c->mmu, low);
	__asm__ volatile("lock orl $0, (%%rsp)" : : : "memory", "cc");
	if (slot)
		mmu_wrote(&c->mmu, slot, low, len);
}

void str_advance(struct cpu *c, const struct str *s, unsigned int reg,
		 uint32_t count)
{
	uint64_t bytes = (uint64_t)count * s->size;

	gpr_write(c, reg, s->addrsize, false,
		  s->down ? c->gpr[reg] - bytes : c->gpr[reg] + bytes);
}

bool str_finish(struct cpu *c, const struct str *s, uint32_t count)
{
	if (!s->rep)
		return false;
	gpr_write(c, RCX, s->addrsize, false, c->gpr[RCX] - count);
	return str_index(c, s, RCX);
}

/* --- The silicon's instructions, by element size --- */

#define NATIVE_COPY(name, insn)                                                \
	static void name(void *to, const void *from, uint64_t n, bool down)    \
	{                                                                      \
		if (down)                                                      \
			__asm__ volatile("std; rep " insn "; cld"              \
					 : "+D"(to), "+S"(from), "+c"(n)       \
					 :                                     \
					 : "memory", "cc");                    \
		else                                                           \
			__asm__ volatile("rep " insn                           \
					 : "+D"(to), "+S"(from), "+c"(n)       \
					 :                                     \
					 : "memory");                          \
	}

#define NATIVE_FILL(name, insn)                                                \
	static void name(void *to, uint64_t v, uint64_t n, bool down)          \
	{                                                                      \
		if (down)                                                      \
			__asm__ volatile("std; rep " insn "; cld"              \
					 : "+D"(to), "+c"(n)                   \
					 : "a"(v)                              \
					 : "memory", "cc");                    \
		else                                                           \
			__asm__ volatile("rep " insn                           \
					 : "+D"(to), "+c"(n)                   \
					 : "a"(v)                              \
					 : "memory");                          \
	}

/* Comparisons leave the flags in @flags (LAHF) and @of. */
#define NATIVE_COMPARE(name, prefix, insn)                                     \
	static uint64_t name(const void *a, const void *b, uint64_t v,         \
			     uint64_t n, bool down, uint64_t *rflags)          \
	{                                                                      \
		uint64_t rax = v, of = 0, left = n;                            \
		if (down)                                                      \
			__asm__ volatile("std; " prefix " " insn               \
					 "; cld; lahf; seto %b4"               \
					 : "+S"(a), "+D"(b), "+c"(left),       \
					   "+a"(rax), "+r"(of)                 \
					 :                                     \
					 : "memory", "cc");                    \
		else                                                           \
			__asm__ volatile(prefix " " insn "; lahf; seto %b4"    \
					 : "+S"(a), "+D"(b), "+c"(left),       \
					   "+a"(rax), "+r"(of)                 \
					 :                                     \
					 : "memory", "cc");                    \
		*rflags = ((rax >> 8) & 0xd5) | of << 11;                      \
		return n - left;                                               \
	}

NATIVE_COPY(copy1, "movsb")
NATIVE_COPY(copy2, "movsw")
NATIVE_COPY(copy4, "movsl")
NATIVE_COPY(copy8, "movsq")
NATIVE_FILL(fill1, "stosb")
NATIVE_FILL(fill2, "stosw")
NATIVE_FILL(fill4, "stosl")
NATIVE_FILL(fill8, "stosq")
NATIVE_COMPARE(cmps1_while_equal, "repe", "cmpsb")
NATIVE_COMPARE(cmps2_while_equal, "repe", "cmpsw")
NATIVE_COMPARE(cmps4_while_equal, "repe", "cmpsl")
NATIVE_COMPARE(cmps8_while_equal, "repe", "cmpsq")
NATIVE_COMPARE(cmps1_until_equal, "repne", "cmpsb")
NATIVE_COMPARE(cmps2_until_equal, "repne", "cmpsw")
NATIVE_COMPARE(cmps4_until_equal, "repne", "cmpsl")
NATIVE_COMPARE(cmps8_until_equal, "repne", "cmpsq")
NATIVE_COMPARE(scas1_while_equal, "repe", "scasb")
NATIVE_COMPARE(scas2_while_equal, "repe", "scasw")
NATIVE_COMPARE(scas4_while_equal, "repe", "scasl")
NATIVE_COMPARE(scas8_while_equal, "repe", "scasq")
NATIVE_COMPARE(scas1_until_equal, "repne", "scasb")
NATIVE_COMPARE(scas2_until_equal, "repne", "scasw")
NATIVE_COMPARE(scas4_until_equal, "repne", "scasl")
NATIVE_COMPARE(scas8_until_equal, "repne", "scasq")

typedef void (*copy_fn)(void *, const void *, uint64_t, bool);
typedef void (*fill_fn)(void *, uint64_t, uint64_t, bool);
typedef uint64_t (*compare_fn)(const void *, const void *, uint64_t, uint64_t,
			       bool, uint64_t *);

/* Indexed by log2 of the element size; comparisons by REPNE first. */
static const copy_fn copies[] = { copy1, copy2, copy4, copy8 };
static const fill_fn fills[] = { fill1, fill2, fill4, fill8 };
static const compare_fn cmps[2][4] = {
	{ cmps1_while_equal, cmps2_while_equal, cmps4_while_equal,
	  cmps8_while_equal },
	{ cmps1_until_equal, cmps2_until_equal, cmps4_until_equal,
	  cmps8_until_equal },
};
static const compare_fn scas[2][4] = {
	{ scas1_while_equal, scas2_while_equal, scas4_while_equal,
	  scas8_while_equal },
	{ scas1_until_equal, scas2_until_equal, scas4_until_equal,
	  scas8_until_equal },
};

static unsigned int log2_size(const struct str *s)
{
	return __builtin_ctz(s->size);
}

/* --- One step of each instruction --- */

/*
 * A step does up to @max elements and returns their number in *@n; *@done is
 * set when a comparison ends the repetition.
 */
typedef enum cpu_result (*step_fn)(struct cpu *c, const struct str *s,
				   uint32_t max, uint32_t *n, bool *done);

static enum cpu_result step_movs(struct cpu *c, const struct str *s,
				 uint32_t max, uint32_t *n, bool *done)
{
	struct str_run from, to;
	enum cpu_result r;
	uint64_t v;

	r = str_run(c, s, s->seg, RSI, ACC_R, max, &from);
	if (r == CPU_OK && !from.hva)
		r = cpu_read(c, s->seg, str_index(c, s, RSI), &v, s->size);
	if (r == CPU_OK)
		r = str_run(c, s, SEG_ES, RDI, ACC_W, from.count, &to);
	if (r != CPU_OK)
		return r;
	*n = 1;
	if (from.hva && to.hva) {
		*n = to.count;
		copies[log2_size(s)](to.hva, from.hva, *n, s->down);
		str_wrote(c, s, &to, *n);
	} else {
		if (from.hva)
			memcpy(&v, from.hva, s->size);
		r = cpu_write(c, SEG_ES, str_index(c, s, RDI), &v, s->size);
		if (r != CPU_OK)
			return r;
	}
	str_advance(c, s, RSI, *n);
	str_advance(c, s, RDI, *n);
	return CPU_OK;
}

static enum cpu_result step_stos(struct cpu *c, const struct str *s,
				 uint32_t max, uint32_t *n, bool *done)
{
	struct str_run to;
	enum cpu_result r = str_run(c, s, SEG_ES, RDI, ACC_W, max, &to);

	if (r != CPU_OK)
		return r;
	*n = to.count;
	if (to.hva) {
		fills[log2_size(s)](to.hva, c->gpr[RAX], *n, s->down);
		str_wrote(c, s, &to, *n);
	} else {
		r = cpu_write(c, SEG_ES, str_index(c, s, RDI), &c->gpr[RAX],
			      s->size);
		if (r != CPU_OK)
			return r;
	}
	str_advance(c, s, RDI, *n);
	return CPU_OK;
}

/* Of a run only the last element counts. */
static enum cpu_result step_lods(struct cpu *c, const struct str *s,
				 uint32_t max, uint32_t *n, bool *done)
{
	struct str_run from;
	uint64_t v = 0;
	enum cpu_result r = str_run(c, s, s->seg, RSI, ACC_R, max, &from);

	if (r != CPU_OK)
		return r;
	*n = from.count;
	if (from.hva) {
		long last = (long)(*n - 1) * s->size;

		memcpy(&v, from.hva + (s->down ? -last : last), s->size);
	} else {
		r = cpu_read(c, s->seg, str_index(c, s, RSI), &v, s->size);
		if (r != CPU_OK)
			return r;
	}
	gpr_write(c, RAX, s->size, false, v);
	str_advance(c, s, RSI, *n);
	return CPU_OK;
}

/* Ends a comparison of *@n elements with the given flags. */
static void compared(struct cpu *c, const struct str *s, uint64_t flags,
		     bool *done)
{
	bool equal = flags & RFLAGS_ZF;

	c->rflags = (c->rflags & ~RFLAGS_STATUS) | flags;
	*done = s->rep == 0xf2 ? equal : !equal;
}

static enum cpu_result step_cmps(struct cpu *c, const struct str *s,
				 uint32_t max, uint32_t *n, bool *done)
{
	compare_fn fn = cmps[s->rep == 0xf2][log2_size(s)];
	struct str_run a, b;
	uint64_t va, vb, flags;
	enum cpu_result r;

	/* Intel's processors look at what RDI points to first; KVM reads MMIO
	 * the other way round. */
	r = str_run(c, s, SEG_ES, RDI, ACC_R, max, &b);
	if (r == CPU_OK && !b.hva && b.gpa == GPA_UNTOLD)
		r = cpu_read(c, SEG_ES, str_index(c, s, RDI), &vb, s->size);
	if (r == CPU_OK)
		r = str_run(c, s, s->seg, RSI, ACC_R, b.count, &a);
	if (r == CPU_OK && !a.hva)
		r = cpu_read(c, s->seg, str_index(c, s, RSI), &va, s->size);
	if (r == CPU_OK && !b.hva && b.gpa != GPA_UNTOLD)
		r = cpu_read(c, SEG_ES, str_index(c, s, RDI), &vb, s->size);
	if (r != CPU_OK)
		return r;
	if (a.hva && b.hva)
		*n = fn(a.hva, b.hva, 0, a.count, s->down, &flags);
	else
		*n = fn(a.hva ? (void *)a.hva : &va,
			b.hva ? (void *)b.hva : &vb, 0, 1, false, &flags);
	compared(c, s, flags, done);
	str_advance(c, s, RSI, *n);
	str_advance(c, s, RDI, *n);
	return CPU_OK;
}

static enum cpu_result step_scas(struct cpu *c, const struct str *s,
				 uint32_t max, uint32_t *n, bool *done)
{
	compare_fn fn = scas[s->rep == 0xf2][log2_size(s)];
	struct str_run at;
	uint64_t v, flags;
	enum cpu_result r = str_run(c, s, SEG_ES, RDI, ACC_R, max, &at);

	if (r != CPU_OK)
		return r;
	if (at.hva) {
		*n = fn(NULL, at.hva, c->gpr[RAX], at.count, s->down, &flags);
	} else {
		r = cpu_read(c, SEG_ES, str_index(c, s, RDI), &v, s->size);
		if (r != CPU_OK)
			return r;
		*n = fn(NULL, &v, c->gpr[RAX], 1, false, &flags);
	}
	compared(c, s, flags, done);
	str_advance(c, s, RDI, *n);
	return CPU_OK;
}

static step_fn step_of(unsigned int id)
{
	switch (id) {
	case ID_MOVS:
		return step_movs;
	case ID_STOS:
		return step_stos;
	case ID_LODS:
		return step_lods;
	case ID_CMPS:
		return step_cmps;
	default:
		return step_scas;
	}
}

/*
 * An instruction that writes to the page it is in may change itself: it goes
 * one element at a time, and is fetched again after each.
 */
static bool may_change_itself(const struct cpu *c, const struct str *s,
			      unsigned int id)
{
	uint64_t at = c->rip + (cpu_64bit(c) ? 0 : c->seg[SEG_CS].base);
	uint64_t to =
		str_index(c, s, RDI) + (cpu_64bit(c) ? 0 : c->seg[SEG_ES].base);

	return (id == ID_MOVS || id == ID_STOS) && s->rep &&
	       (to >> PAGE_SHIFT) + 1 - (at >> PAGE_SHIFT) <= 2;
}

/* Other work is due between two elements of a repeated instruction. */
static bool must_stop(const struct cpu *c)
{
	return __atomic_load_n(&c->exit_req, __ATOMIC_RELAXED) ||
	       c->mmio.nr_wr || c->mmio.pos_rd;
}

/*
 * A count of zero, or a fault, with 32-bit registers in 64-bit mode: Intel's
 * processors still clear the upper halves of RCX, and of the pointers of MOVS
 * and STOS.
 */
static void cut_repeat(struct cpu *c, const struct str *s, unsigned int id)
{
	if (!s->rep || s->addrsize != 4 || !cpu_64bit(c) || !cpuid_is_intel(c))
		return;
	c->gpr[RCX] = (uint32_t)c->gpr[RCX];
	if (id == ID_MOVS)
		c->gpr[RSI] = (uint32_t)c->gpr[RSI];
	if (id == ID_MOVS || id == ID_STOS)
		c->gpr[RDI] = (uint32_t)c->gpr[RDI];
}

static bool all_at_once(struct cpu *c, const struct str *s,
			const struct insn *i)
{
	unsigned int id = i->row->id;

	return (id == ID_MOVS || id == ID_STOS) && !checks_alignment(c) &&
	       !may_change_itself(c, s, id) &&
	       str_across(c, s, id == ID_MOVS, str_count(c, s));
}

enum cpu_result op_string(struct cpu *c, const struct insn *i)
{
	step_fn step = step_of(i->row->id);
	const uint64_t rflags = c->rflags;
	bool more = false, done = false, own;
	struct str s;
	uint32_t budget, n;
	enum cpu_result r;

	str_begin(c, i, i->op[0].size, &s);
	budget = str_limit(c, &s, str_count(c, &s));
	if (unlikely(!budget))
		cut_repeat(c, &s, i->row->id);
	if (budget > 1 && budget == str_count(c, &s) && all_at_once(c, &s, i))
		return CPU_OK;
	while (budget && !done) {
		own = may_change_itself(c, &s, i->row->id);
		r = step(c, &s, own ? 1 : budget, &n, &done);
		if (r == CPU_FAULT) {
			/* Flags are those from before the first element. */
			cpu_set_rflags(c, rflags);
			cut_repeat(c, &s, i->row->id);
		}
		if (r != CPU_OK)
			return r;
		budget -= n;
		more = str_finish(c, &s, n) && !done;
		if (own || must_stop(c))
			break;
	}
	if (more) {
		/* Flags are set by the last comparison. */
		cpu_set_rflags(c, rflags);
		str_again(c);
	}
	return CPU_OK;
}
