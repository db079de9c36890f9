#include "dbt/dbt_int.h"

#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/event.h"
#include "cpu/fpu.h"
#include "cpu/mode.h"
#include "cpu/op.h"
#include "mmu/walk.h"

/*
 * The careful form: one instruction at a time, fetched, checked and with its
 * memory operand moved by C code through the page walker.  It serves whatever
 * the fast form leaves out, and it is the second executor of every guest test.
 */

/* State that is put back if the instruction has to be executed again. */
struct attempt {
	bool sti_shadow, movss_shadow;
	bool tf, rf;
	uint64_t pending_dbg; /* held back by MOV SS */
};

static void attempt_begin(struct cpu *c, struct attempt *a)
{
	*a = (struct attempt){ .sti_shadow = c->sti_shadow,
			       .movss_shadow = c->movss_shadow,
			       .tf = c->rflags & RFLAGS_TF,
			       .rf = c->rflags & RFLAGS_RF,
			       .pending_dbg = c->pending_dbg };
	c->sti_shadow = c->movss_shadow = false;
	c->rflags &= ~RFLAGS_RF;
	c->mmio.pos_rd = 0;
	c->mmio.nr_wr = 0;
	c->mmio.wants = false;
}

static void attempt_undo(struct cpu *c, const struct attempt *a)
{
	c->sti_shadow = a->sti_shadow;
	c->movss_shadow = a->movss_shadow;
	if (a->rf)
		c->rflags |= RFLAGS_RF;
	/* OUT is not executed again: its breakpoints stay. */
	if (c->mmio.wants)
		c->pending_dbg = a->pending_dbg;
}

static enum careful_result deliver(struct cpu *c, enum exit_reason *reason)
{
	c->mmio.nr_rd = 0;
	if (c->fault.vector == VEC_HOST_MEMORY) {
		*reason = EXIT_HOST_MEMORY;
		return CAREFUL_LEAVE;
	}
	direct_ends(c);
	c->exits[c->fault.vector == VEC_PF ? EXIT_PAGE_FAULT
					   : EXIT_EXCEPTION]++;
	if (event_fault(c) == CPU_OK)
		return CAREFUL_ON;
	*reason = c->exit.reason;
	return CAREFUL_LEAVE;
}

enum careful_result careful_fault(struct cpu *c, enum exit_reason *reason)
{
	c->sti_shadow = c->movss_shadow = false;
	return deliver(c, reason);
}

static uint64_t cut_rip(const struct cpu *c, uint64_t rip)
{
	return c->code_size == CODE64 ? rip : (uint32_t)rip;
}

/* Bytes that may be fetched at rip without leaving the segment. */
static unsigned int segment_room(const struct cpu *c)
{
	uint64_t limit = c->seg[SEG_CS].limit;

	if (c->code_size == CODE64)
		return 15;
	if (c->rip > limit)
		return 0;
	return limit - c->rip >= 14 ? 15 : limit - c->rip + 1;
}

static enum cpu_result fetch_bytes(struct cpu *c, gva_t gva, uint8_t *buf,
				   unsigned int n)
{
	unsigned int access = ACCESS_FETCH | (c->cpl == 3 ? ACCESS_USER : 0);
	struct mmio none;
	enum cpu_result r;

	none.nr_rd = none.pos_rd = 0; /* the rest is not looked at */
	r = mem_read(&c->mmu, &none, gva, buf, n, access, &c->fault);
	if (r == CPU_EXIT)
		c->exit.reason = EXIT_EMULATE; /* code in MMIO */
	return r;
}

/* Bytes at rip, as far as they were fetched. */
struct fetch {
	gva_t gva;
	unsigned int room; /* that may be fetched in all */
	unsigned int n;
	uint8_t buf[16];
};

/* What lies in the page of rip. */
static enum cpu_result fetch_first(struct cpu *c, struct fetch *f)
{
	unsigned int page_room;

	f->room = segment_room(c);
	if (c->code_size == CODE64 ? !canonical(c, c->rip) : !f->room)
		return cpu_raise_gp(c);
	f->gva = c->rip;
	if (c->code_size != CODE64)
		f->gva = (uint32_t)(c->seg[SEG_CS].base + c->rip);
	page_room = PAGE_SIZE - (f->gva & ~PAGE_MASK);
	f->n = f->room < page_room ? f->room : page_room;
	return fetch_bytes(c, f->gva, f->buf, f->n);
}

static enum cpu_result fetch_decode(struct cpu *c, struct fetch *f,
				    struct insn *i)
{
	enum decode_result dr = insn_decode(f->buf, f->n, c->code_size, i);
	enum cpu_result r;

	if (dr == DECODE_MORE && f->n < f->room) {
		r = fetch_bytes(c, f->gva + f->n, f->buf + f->n,
				f->room - f->n);
		if (r != CPU_OK)
			return r;
		dr = insn_decode(f->buf, f->room, c->code_size, i);
	}
	return dr == DECODE_OK ? CPU_OK : cpu_raise_gp(c);
}

enum cpu_result fetch_insn(struct cpu *c, struct insn *i)
{
	struct fetch f;
	enum cpu_result r = fetch_first(c, &f);

	return r == CPU_OK ? fetch_decode(c, &f, i) : r;
}

/* The same, but it need not be decoded again if the bytes still are those. */
static enum cpu_result recall_insn(struct cpu *c, const struct insn **i)
{
	const unsigned int slot =
		c->rip * 0x9e3779b97f4a7c15ull >> (64 - CAREFUL_BITS);
	struct careful_entry *e = &vcpu_dbt(c)->careful[slot ? slot : 1];
	struct fetch f;
	enum cpu_result r = fetch_first(c, &f);

	*i = &e->insn;
	if (r != CPU_OK)
		return r;
	if (e->insn.len && e->rip == c->rip && e->insn.len <= f.n &&
	    e->insn.code_size == c->code_size &&
	    !__builtin_memcmp(e->insn.bytes, f.buf, e->insn.len))
		return CPU_OK;
	e->has_code = false;
	e->rip = c->rip;
	r = fetch_decode(c, &f, &e->insn);
	if (r != CPU_OK)
		e->insn.len = 0;
	return r;
}

/* #UD and #NM by the units an instruction needs. */
static enum cpu_result check_units(struct cpu *c, const struct insn_row *row)
{
	bool em = c->cr0 & CR0_EM, ts = c->cr0 & CR0_TS;
	uint32_t a = row->attr;

	if (((a & IA_MMX) && em) ||
	    ((a & IA_SSE) && (em || !(c->cr4 & CR4_OSFXSR))))
		return cpu_raise(c, VEC_UD);
	if ((a & IA_AVX) &&
	    (!(c->cr4 & CR4_OSXSAVE) ||
	     (c->xcr0 & (XCR0_SSE | XCR0_AVX)) != (XCR0_SSE | XCR0_AVX) ||
	     !cpu_protected(c) || cpu_vm86(c)))
		return cpu_raise(c, VEC_UD);
	if (((a & IA_X87) && (em || ts)) ||
	    ((a & (IA_MMX | IA_SSE | IA_AVX)) && ts) ||
	    ((a & IA_FWAIT) && ts && (c->cr0 & CR0_MP)))
		return cpu_raise(c, VEC_NM);
	return CPU_OK;
}

static enum cpu_result check_insn(struct cpu *c, const struct insn *i)
{
	const struct insn_row *row = i->row;

	if (row->action == ACT_UD || !has_feat(c, row->feat))
		return cpu_raise(c, VEC_UD);
	if ((row->attr & IA_PROT) && (!cpu_protected(c) || cpu_vm86(c)))
		return cpu_raise(c, VEC_UD);
	if ((row->attr & IA_CPL0) && c->cpl)
		return cpu_raise_gp(c);
	return check_units(c, row);
}

/* #GP of operands that must be aligned comes before all other checks. */
static bool must_align(const struct cpu *c, const struct insn *i, uint64_t off)
{
	uint64_t base = c->seg[i->seg].base;

	if (c->code_size == CODE64 && i->seg != SEG_FS && i->seg != SEG_GS)
		base = 0;
	return (i->row->attr & IA_ALIGN) && ((base + off) & (i->mem_size - 1));
}

static enum cpu_result check_aligned(struct cpu *c, const struct insn *i,
				     gva_t gva)
{
	unsigned int size = i->mem_size;

	if (c->cpl != 3 || !(c->rflags & RFLAGS_AC) || !(c->cr0 & CR0_AM) ||
	    i->row->id == ID_VCVTPS2PH || i->row->id == ID_VCVTPH2PS)
		return CPU_OK;
	/* 80-bit numbers, and x87 state in its 16- and 32-bit formats. */
	if (size == 10)
		size = 8;
	else if (size == 14 || size == 94)
		size = 2;
	else if (size == 28 || size == 108)
		size = 4;
	if ((size == 2 || size == 4 || size == 8) && (gva & (size - 1)))
		return cpu_raise_error(c, VEC_AC, 0);
	return CPU_OK;
}

/* Its linear address, with #AC, which comes before #GP of its last byte. */
static enum cpu_result operand_linear(struct cpu *c, const struct insn *i,
				      uint64_t off, gva_t *gva)
{
	const unsigned int access = i->mem_access | ACC_UNALIGNED;
	enum cpu_result r;

	r = cpu_linear(c, i->seg, off, i->mem_size, access, gva);
	if (likely(r == CPU_OK))
		return check_aligned(c, i, *gva);
	if (cpu_64bit(c) &&
	    cpu_linear(c, i->seg, off, 1, access, gva) == CPU_OK)
		check_aligned(c, i, *gva);
	return r;
}

/* Both pages of a crossing access must take a write before it happens. */
static enum cpu_result probe_write(struct cpu *c, gva_t gva, unsigned int size)
{
	unsigned int access = cpu_access(c) | ACCESS_WRITE;
	gva_t last = gva + size - 1;
	struct walk w;
	enum cpu_result r;

	r = walk_gva(&c->mmu, gva, access, &w, &c->fault);
	if (r == CPU_OK && (gva ^ last) >> PAGE_SHIFT)
		r = walk_gva(&c->mmu, last & PAGE_MASK, access, &w, &c->fault);
	return r;
}

/* Bytes that a bit offset in a register adds to the operand's address. */
static int64_t bit_bytes(const struct cpu *c, const struct insn *i)
{
	int64_t bit = (int64_t)(gpr_read(c, i->op[1].reg, i->opsize, false)
				<< (64 - 8 * i->opsize)) >>
		      (64 - 8 * i->opsize);

	return (bit >> (i->opsize == 8	 ? 6
			: i->opsize == 4 ? 5
					 : 4)) *
	       i->opsize;
}

static uint64_t operand_offset(struct cpu *c, const struct insn *i)
{
	uint64_t off = cpu_lea(c, i);

	if (!(i->row->attr & IA_BITOFF))
		return off;
	off += bit_bytes(c, i);
	if (i->addrsize == 4)
		off = (uint32_t)off;
	return i->addrsize == 2 ? (uint16_t)off : off;
}

/*
 * The silicon adds the bit offset to the address by itself; give it the
 * address it would have started from.
 */
static uint8_t *bit_base(struct cpu *c, const struct insn *i, uint8_t *mem)
{
	return mem - bit_bytes(c, i);
}

/* Through the bounce buffer: MMIO, page crossings. */
static enum cpu_result copy_bounced(struct cpu *c, const struct insn *i,
				    gva_t gva)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	uint8_t *buf = v->bounce + (gva & 63);
	unsigned int access = cpu_access(c);
	enum cpu_result r = CPU_OK;

	if (x87_stores(i))
		return x87_store(c, i, gva);
	if (x87_state(i))
		r = x87_probe(c, i, gva);
	if (r == CPU_OK && (i->mem_access & ACC_W))
		r = probe_write(c, gva, i->mem_size);
	if (r == CPU_OK && (i->mem_access & ACC_R))
		r = mem_read(&c->mmu, &c->mmio, gva, buf, i->mem_size, access,
			     &c->fault);
	if (r != CPU_OK)
		return r;
	r = snippet_run(c, i,
			i->row->attr & IA_BITOFF ? bit_base(c, i, buf) : buf);
	if (r == CPU_OK && (i->mem_access & ACC_W))
		r = mem_write(&c->mmu, &c->mmio, gva, buf, i->mem_size, access,
			      &c->fault);
	return r;
}

static bool is_locked(const struct insn *i)
{
	return i->lock || (i->row->attr & IA_XOP_NOLOCK);
}

/* Atomic although it is done in pieces: nobody else runs meanwhile. */
static enum cpu_result split_lock(struct cpu *c, const struct insn *i,
				  gva_t gva)
{
	bool alone = vcpu_dbt(c)->d->nr_cpus == 1;
	enum cpu_result r;

	if (!alone)
		quiet_self_enter(c);
	r = copy_bounced(c, i, gva);
	if (!alone)
		quiet_self_leave(c);
	return r;
}

static enum cpu_result copy_operand(struct cpu *c, const struct insn *i)
{
	enum cpu_result r;
	uint8_t *hva;
	gva_t gva;
	gpa_t gpa;
	unsigned int access = cpu_access(c);
	bool bitoff = i->row->attr & IA_BITOFF;
	uint64_t off = operand_offset(c, i);

	if (x87_pending(c, i))
		return cpu_raise(c, VEC_MF);
	if (must_align(c, i, off))
		return cpu_raise_gp(c);
	if (x87_in_parts(i) && off + i->mem_size - 1 > MASK(8 * i->addrsize))
		return x87_wrapped(c, i, off);
	if (x87_state(i)) {
		r = x87_first(c, i, off);
		if (r != CPU_OK)
			return r;
	}
	r = operand_linear(c, i, off, &gva);
	if (r != CPU_OK)
		return r;
	debug_data(c, gva, i->mem_size, i->mem_access & ACC_W);
	if (i->mem_access & ACC_W)
		access |= ACCESS_WRITE;
	r = mem_host(&c->mmu, gva, i->mem_size, access, &hva, &gpa, &c->fault);
	if (r == CPU_FAULT && x87_stores(i))
		return x87_store(c, i, gva);
	if (r != CPU_OK)
		return r;
	if (!hva)
		return is_locked(i) ? split_lock(c, i, gva)
				    : copy_bounced(c, i, gva);
	r = snippet_run(c, i, bitoff ? bit_base(c, i, hva) : hva);
	if (r == CPU_OK && (i->mem_access & ACC_W))
		code_page_write(c, gpa, i->mem_size);
	return r;
}

static enum cpu_result copy_mem(struct cpu *c, const struct insn *i)
{
	enum cpu_result r = copy_operand(c, i);

	if (r == CPU_FAULT && x87_stores(i) && c->fault.vector != VEC_MF &&
	    x87_stores_nothing(c, i))
		return CPU_OK;
	if (r == CPU_FAULT && (i->row->attr & IA_MMX) &&
	    (i->mem_access & ACC_W) && c->fault.vector != VEC_MF)
		fpu_reset_top(c);
	/* Its result is computed before the store faults: MXCSR, #XM. */
	if (r == CPU_FAULT && i->row->id == ID_VCVTPS2PH &&
	    c->fault.vector != VEC_XM) {
		struct x86_fault fault = c->fault;

		r = snippet_run(c, i, vcpu_dbt(c)->bounce);
		if (r == CPU_OK)
			c->fault = fault;
		return CPU_FAULT;
	}
	return r;
}

static enum cpu_result careful_copy(struct cpu *c, const struct insn *i)
{
	if (!i->has_mem || (i->row->attr & IA_NOMEM))
		return snippet_run(c, i, NULL);
	return copy_mem(c, i);
}

static enum cpu_result execute(struct cpu *c, const struct insn *i)
{
	switch (i->row->action) {
	case ACT_NOP:
		return CPU_OK;
	case ACT_COPY:
		/* Masked accesses have a form that touches only what it may. */
		if ((i->row->attr & IA_COND) && i->has_mem &&
		    cpu_ops[i->row->id])
			break;
		return careful_copy(c, i);
	case ACT_STACK:
		return careful_stack(c, i);
	case ACT_BRANCH:
		return careful_branch(c, i);
	default:
		break;
	}
	if (!cpu_ops[i->row->id])
		return cpu_raise(c, VEC_UD);
	return cpu_ops[i->row->id](c, i);
}

/*
 * Whether an instruction is a single step: TF was set (@tf) before it; but INT
 * and SYSCALL trap no more if they cleared it, and SYSRET looks at it last.
 */
static bool is_step(const struct cpu *c, const struct insn *i, bool tf)
{
	switch (i ? i->row->id : ID_INVALID) {
	case ID_INT:
	case ID_INT3:
	case ID_INTO:
	case ID_INT1:
	case ID_SYSCALL:
	case ID_SYSENTER:
		return tf && (c->rflags & RFLAGS_TF);
	case ID_SYSRET:
		return c->rflags & RFLAGS_TF;
	default:
		return tf;
	}
}

/* trap_bits - DR6 bits of the #DB that is due behind @i: single step, data and
 * port breakpoints; none yet behind MOV SS. */
static uint64_t trap_bits(struct cpu *c, const struct insn *i, bool tf)
{
	uint64_t bits = c->pending_dbg;

	if (c->movss_shadow)
		return 0;
	if (unlikely(is_step(c, i, tf)))
		bits |= DR6_BS;
	if (likely(!bits))
		return 0;
	c->pending_dbg = 0;
	/* Between two elements of a repeated string instruction. */
	if (i && (i->row->attr & IA_REP) && i->rep && c->next_rip == c->rip)
		c->rflags |= RFLAGS_RF;
	return bits;
}

/* trap - delivers that #DB. */
static enum careful_result trap(struct cpu *c, uint64_t bits,
				enum exit_reason *reason)
{
	c->fault = (struct x86_fault){ .vector = VEC_DB, .address = bits };
	if (c->host_dr7 && !(bits & DR6_BS)) {
		*reason = EXIT_EXCEPTION;
		return CAREFUL_LEAVE;
	}
	return deliver(c, reason);
}

/* trap_later - leaves it to root mode's next entry: an exit comes first, which
 * shows the state between the instruction and the #DB. */
static void trap_later(struct cpu *c, uint64_t bits)
{
	if (likely(!bits) || (c->host_dr7 && !(bits & DR6_BS)))
		return;
	c->dr6 = debug_dr6_merge(c, bits);
	c->pending =
		(struct event){ .type = EVENT_EXCEPTION, .vector = VEC_DB };
}

static void advance(struct cpu *c)
{
	c->rip = c->next_rip;
	c->mmio.nr_rd = 0;
	c->io.state = 0;
}

/* After an instruction that is done. */
static enum careful_result retire(struct cpu *c, const struct insn *i, bool tf,
				  enum exit_reason *reason)
{
	uint64_t bits = trap_bits(c, i, tf);

	advance(c);
	if (c->mmio.nr_wr) {
		trap_later(c, bits);
		*reason = EXIT_EPT_VIOLATION;
		return CAREFUL_LEAVE;
	}
	if (unlikely(bits) && trap(c, bits, reason) == CAREFUL_LEAVE)
		return CAREFUL_LEAVE;
	if (c->singlestep) {
		c->fault = (struct x86_fault){ .vector = VEC_DB,
					       .address = DR6_BS };
		*reason = EXIT_EXCEPTION;
		return CAREFUL_LEAVE;
	}
	return CAREFUL_ON;
}

static enum careful_result conclude(struct cpu *c, const struct insn *i,
				    enum cpu_result r, const struct attempt *a,
				    enum exit_reason *reason)
{
	switch (r) {
	case CPU_OK:
		/* It serializes: what others wrote before counts.  User mode
		 * asks for caches and features, each process anew. */
		if (unlikely(i->row->id == ID_CPUID && !c->cpl)) {
			dbt_outside(vcpu_dbt(c)->d);
			go_no_further(c);
		}
		return retire(c, i, a->tf, reason);
	case CPU_FAULT:
		c->io.state = 0;
		c->mmio.nr_wr = 0;
		c->pending_dbg = a->pending_dbg;
		return deliver(c, reason);
	default:
		attempt_undo(c, a);
		*reason = c->mmio.wants ? EXIT_EPT_VIOLATION : c->exit.reason;
		return CAREFUL_LEAVE;
	}
}

/*
 * Instruction breakpoints come before the fetch.  Intel's processors ignore
 * them behind MOV SS and POP SS (SDM 3A "Masking Exceptions and Interrupts When
 * Switching Stacks"), AMD's do not.
 */
static enum cpu_result check_code_breakpoint(struct cpu *c,
					     const struct attempt *a)
{
	uint64_t bits;

	if (likely(!debug_armed(c)) || a->rf ||
	    (a->movss_shadow && cpuid_is_intel(c)))
		return CPU_OK;
	bits = debug_match_code(
		c, (c->code_size == CODE64 ? 0 : c->seg[SEG_CS].base) + c->rip);
	if (!bits)
		return CPU_OK;
	c->fault = (struct x86_fault){ .vector = VEC_DB, .address = bits };
	if (!c->host_dr7)
		return CPU_FAULT;
	c->exit.reason = EXIT_EXCEPTION;
	return CPU_EXIT;
}

/*
 * KVM's forced emulation prefix, UD2 and the letters "kvm": skips it and takes
 * the instruction behind it.  Otherwise leaves the UD2 alone.
 */
static enum cpu_result skip_prefix(struct cpu *c, const struct insn **i,
				   const struct attempt *a)
{
	static const uint8_t prefix[] = { 0x0f, 0x0b, 'k', 'v', 'm' };
	uint64_t base = c->code_size == CODE64 ? 0 : c->seg[SEG_CS].base;
	uint8_t bytes[sizeof(prefix)];
	enum cpu_result r;

	if (segment_room(c) < sizeof(bytes) ||
	    fetch_bytes(c, cut_rip(c, base + c->rip), bytes, sizeof(bytes)) !=
		    CPU_OK ||
	    __builtin_memcmp(bytes, prefix, sizeof(bytes)))
		return CPU_OK;
	c->rip = cut_rip(c, c->rip + sizeof(prefix));
	r = check_code_breakpoint(c, a);
	return r == CPU_OK ? recall_insn(c, i) : r;
}

enum careful_result careful_step(struct cpu *c, enum exit_reason *reason)
{
	const struct insn *i = NULL;
	struct attempt a;
	enum cpu_result r;

	attempt_begin(c, &a);
	c->exits[EXIT_CAREFUL]++;
	c->doing = EXIT_CAREFUL;
	r = check_code_breakpoint(c, &a);
	if (r == CPU_OK)
		r = recall_insn(c, &i);
	if (r == CPU_OK && unlikely(c->fep) && i->row->id == ID_UD2)
		r = skip_prefix(c, &i, &a);
	if (r == CPU_OK)
		r = check_insn(c, i);
	if (r == CPU_OK) {
		c->next_rip = cut_rip(c, c->rip + i->len);
		r = execute(c, i);
	}
	return conclude(c, i, r, &a, reason);
}

enum careful_result careful_stepped(struct cpu *c, enum exit_reason *reason)
{
	return trap(c, DR6_BS, reason);
}

enum careful_result careful_conclude(struct cpu *c, const struct insn *i,
				     enum cpu_result r, bool sti_shadow,
				     enum exit_reason *reason)
{
	const struct attempt a = { .sti_shadow = sti_shadow };

	return conclude(c, i, r, &a, reason);
}

void dbt_commit(struct cpu *c)
{
	c->sti_shadow = c->movss_shadow = false;
	advance(c);
	trap_later(c, trap_bits(c, NULL, c->rflags & RFLAGS_TF));
}
