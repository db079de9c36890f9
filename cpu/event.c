#include "cpu/event.h"

#include "cpu/far.h"
#include "cpu/mem.h"
#include "cpu/mode.h"
#include "cpu/op.h"
#include "cpu/segment.h"
#include "cpu/task.h"

/*
 * Delivery of interrupts and exceptions.
 * Source: SDM 3A "Interrupt and Exception Handling"; SDM 2 "INT n/INTO/INT3/
 * INT1", whose Operation section describes delivery of every event.
 */

#define ERR_EXT 1u
#define ERR_IDT 2u

/* What the frame holds: the interrupted program's RIP and RFLAGS. */
struct frame {
	uint64_t rip;
	uint64_t rflags;
};

static bool is_soft(const struct event *ev)
{
	return ev->type == EVENT_SOFT_INT || ev->type == EVENT_SOFT_EXC;
}

static enum cpu_result deliver_real(struct cpu *c, const struct event *ev,
				    const struct frame *f)
{
	const unsigned int at = ev->vector * 4;
	struct stack st;
	enum cpu_result r;
	uint16_t entry[2];

	if (at + 3 > c->idt.limit)
		return cpu_raise_error(c, VEC_GP, at * 2 + ERR_IDT);
	r = cpu_read_sys(c, c->idt.base + at, entry, 4);
	if (r != CPU_OK)
		return r;
	stack_current(c, &st, 2);
	stack_push(&st, f->rflags);
	stack_push(&st, c->seg[SEG_CS].sel);
	stack_push(&st, f->rip);
	r = stack_check(c, &st);
	if (r == CPU_OK && entry[0] > c->seg[SEG_CS].limit)
		r = cpu_raise_gp(c);
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r != CPU_OK)
		return r;
	stack_load_sp(c, &st);
	seg_real(c, SEG_CS, entry[1]);
	c->rip = entry[0];
	cpu_set_rflags(c, c->rflags & ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC |
					RFLAGS_RF));
	cpu_derive(c);
	return CPU_OK;
}

static bool gate_type_ok(const struct cpu *c, const struct desc *gate)
{
	uint32_t types = BIT(SYS_INT) | BIT(SYS_TRAP);

	if (!cpu_long_mode(c))
		types |= BIT(SYS_INT16) | BIT(SYS_TRAP16) | BIT(SYS_TASK_GATE);
	return !(gate->ar & AR_S) && (types & BIT(desc_sys_type(gate)));
}

static enum cpu_result read_gate(struct cpu *c, const struct event *ev,
				 struct desc *gate)
{
	const unsigned int size = cpu_long_mode(c) ? 16 : 8;
	const unsigned int at = ev->vector * size;
	const uint32_t error = ev->vector * 8 + ERR_IDT;
	uint64_t raw[2] = { 0 };
	enum cpu_result r;

	if (at + size - 1 > c->idt.limit)
		return cpu_raise_error(c, VEC_GP, error);
	r = cpu_read_sys(c, c->idt.base + at, raw, size);
	if (r != CPU_OK)
		return r;
	desc_set(gate, 0, c->idt.base + at, raw[0]);
	gate->hi = raw[1] & MASK(32);
	if (!gate_type_ok(c, gate))
		return cpu_raise_error(c, VEC_GP, error);
	if (is_soft(ev) && desc_dpl(gate) < c->cpl)
		return cpu_raise_error(c, VEC_GP, error);
	if (!(gate->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, error);
	return CPU_OK;
}

/* The handler's code segment. */
static enum cpu_result handler_cs(struct cpu *c, const struct desc *gate,
				  struct desc *cs)
{
	const uint16_t sel = gate_sel(gate);
	enum cpu_result r;
	bool bad;

	if (sel_null(sel))
		return cpu_raise_gp(c);
	r = desc_read(c, sel, VEC_GP, cs);
	if (r != CPU_OK)
		return r;
	bad = !desc_is_code(cs) || desc_dpl(cs) > c->cpl ||
	      (cpu_long_mode(c) && (cs->ar & (AR_L | AR_DB)) != AR_L) ||
	      (cpu_vm86(c) && (desc_conforming(cs) || desc_dpl(cs) != 0));
	if (bad)
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	if (!(cs->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	return CPU_OK;
}

/*
 * The stack the frame goes to.  @ss: the stack segment if it changes, with
 * .lo = 0 for long mode's null one.
 */
static enum cpu_result handler_stack(struct cpu *c, const struct desc *gate,
				     unsigned int cpl, struct stack *st,
				     struct desc *ss)
{
	const unsigned int ist = (gate->lo >> 32) & 7;
	const bool inner = cpl < c->cpl;
	const unsigned int size = desc_sys_type(gate) & SYS_GATE32 ? 4 : 2;
	enum cpu_result r = CPU_OK;
	uint64_t rsp = c->gpr[RSP];

	*ss = (struct desc){ .sel = cpl };
	if (!cpu_long_mode(c)) {
		if (inner)
			return tss_switch_stack(c, cpl, size, st, ss);
		stack_current(c, st, size);
		return CPU_OK;
	}
	if (ist)
		r = tss_rsp(c, 3 + ist, &rsp);
	else if (inner)
		r = tss_rsp(c, cpl, &rsp);
	if (r == CPU_OK)
		stack_switch_flat(c, st, rsp & ~15ull, cpl);
	return r;
}

static void push_frame(const struct cpu *c, struct stack *st, bool inner,
		       const struct frame *f, const struct event *ev)
{
	if (cpu_vm86(c)) {
		stack_push(st, c->seg[SEG_GS].sel);
		stack_push(st, c->seg[SEG_FS].sel);
		stack_push(st, c->seg[SEG_DS].sel);
		stack_push(st, c->seg[SEG_ES].sel);
	}
	if (inner || cpu_long_mode(c)) {
		stack_push(st, c->seg[SEG_SS].sel);
		stack_push(st, c->gpr[RSP]);
	}
	stack_push(st, f->rflags);
	stack_push(st, c->seg[SEG_CS].sel);
	stack_push(st, f->rip);
	if (ev->has_error)
		stack_push(st, ev->error);
}

static void leave_vm86(struct cpu *c)
{
	seg_null(c, SEG_GS, 0);
	seg_null(c, SEG_FS, 0);
	seg_null(c, SEG_DS, 0);
	seg_null(c, SEG_ES, 0);
}

/* Interrupt and trap gates. */
static enum cpu_result deliver_gate(struct cpu *c, const struct event *ev,
				    const struct desc *gate,
				    const struct frame *f)
{
	uint64_t clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_VM | RFLAGS_RF;
	uint64_t rip = gate_off(gate);
	struct desc cs, ss;
	enum cpu_result r;
	struct stack st;
	unsigned int cpl;
	bool inner;

	r = handler_cs(c, gate, &cs);
	if (r != CPU_OK)
		return r;
	cpl = desc_conforming(&cs) ? c->cpl : desc_dpl(&cs);
	inner = cpl < c->cpl;
	r = handler_stack(c, gate, cpl, &st, &ss);
	if (r != CPU_OK)
		return r;
	push_frame(c, &st, inner, f, ev);
	if (!(desc_sys_type(gate) & SYS_GATE32))
		rip &= 0xffff;
	r = stack_check(c, &st);
	if (r == CPU_OK)
		r = far_check_rip(c, &cs, rip);
	if (r == CPU_OK)
		r = desc_touch(c, &cs);
	if (r == CPU_OK && ss.lo)
		r = desc_touch(c, &ss);
	if (r == CPU_OK)
		r = stack_write(c, &st);
	if (r != CPU_OK)
		return r;

	if (cpu_vm86(c))
		leave_vm86(c);
	if (!(desc_sys_type(gate) & 1))
		clear |= RFLAGS_IF;
	cpu_set_rflags(c, c->rflags & ~clear);
	far_commit_cs(c, &cs, cpl);
	if (inner)
		far_commit_ss(c, &ss, ss.sel);
	stack_load_sp(c, &st);
	c->rip = rip;
	cpu_derive(c);
	return CPU_OK;
}

/* RIP to return to: behind the instruction for INT n and its like. */
static uint64_t return_rip(const struct cpu *c, const struct event *ev)
{
	if (ev->type < EVENT_SOFT_INT)
		return c->rip;
	return (c->rip + ev->insn_len) & MASK(c->code_size * 8);
}

static enum cpu_result deliver_once(struct cpu *c, const struct event *ev,
				    bool rf)
{
	const struct frame f = {
		.rip = return_rip(c, ev),
		.rflags = c->rflags | (rf ? RFLAGS_RF : 0),
	};
	enum cpu_result r;
	struct desc gate;

	if (!cpu_protected(c))
		return deliver_real(c, ev, &f);
	r = read_gate(c, ev, &gate);
	if (r != CPU_OK)
		return r;
	if (desc_sys_type(&gate) == SYS_TASK_GATE)
		return task_event(c, &gate, f.rip, f.rflags, ev);
	return deliver_gate(c, ev, &gate, &f);
}

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum fault_class class_of(uint8_t vector)
{
	static const uint8_t class[32] = {
		[VEC_DE] = CONTRIBUTORY, [VEC_DF] = DOUBLE_FAULT,
		[VEC_TS] = CONTRIBUTORY, [VEC_NP] = CONTRIBUTORY,
		[VEC_SS] = CONTRIBUTORY, [VEC_GP] = CONTRIBUTORY,
		[VEC_PF] = PAGE_FAULT,	 [21] = CONTRIBUTORY,
	};

	return vector < ARRAY_SIZE(class) ? class[vector] : BENIGN;
}

/*
 * Fault-class exceptions push RF set, so that an instruction breakpoint does
 * not hit again on return (SDM 3B "Instruction-Breakpoint Exception
 * Condition").  Of #DB only general detect would; event_fault knows.
 */
static bool pushes_rf(const struct event *ev)
{
	const uint32_t others = BIT(VEC_DB) | BIT(VEC_NMI) | BIT(VEC_BP) |
				BIT(VEC_OF) | BIT(VEC_DF) | BIT(VEC_MC);

	return ev->type == EVENT_EXCEPTION && ev->vector < 32 &&
	       !(others & BIT(ev->vector));
}

/* CR2 and DR6 change before delivery begins. */
static void record_fault(struct cpu *c)
{
	if (c->fault.vector == VEC_PF)
		c->cr2 = c->fault.address;
	else if (c->fault.vector == VEC_DB)
		c->dr6 = (c->dr6 & ~0xfull) | DR6_FIXED | c->fault.address;
}

static void event_from_fault(const struct cpu *c, struct event *ev)
{
	*ev = (struct event){
		.type = EVENT_EXCEPTION,
		.vector = c->fault.vector,
		.has_error = c->fault.has_error,
		.error = c->fault.error,
	};
}

/*
 * cpu->fault came up while @ev was delivered: turns @ev into what has to be
 * delivered now.  False means shutdown.
 */
static bool combine(struct cpu *c, struct event *ev)
{
	enum fault_class first = BENIGN, second;

	if (ev->type == EVENT_EXCEPTION)
		first = class_of(ev->vector);
	second = class_of(c->fault.vector);
	if (c->fault.vector == VEC_PF)
		c->cr2 = c->fault.address;
	if (first == DOUBLE_FAULT && second != BENIGN)
		return false;
	if ((first == CONTRIBUTORY && second == CONTRIBUTORY) ||
	    (first == PAGE_FAULT && second != BENIGN)) {
		*ev = (struct event){ .type = EVENT_EXCEPTION,
				      .vector = VEC_DF,
				      .has_error = true };
		return true;
	}
	if (c->fault.has_error && second == CONTRIBUTORY && !is_soft(ev))
		c->fault.error |= ERR_EXT;
	record_fault(c);
	event_from_fault(c, ev);
	return true;
}

static void delivered(struct cpu *c, const struct event *ev)
{
	if (ev->vector == VEC_DB && ev->type >= EVENT_EXCEPTION &&
	    ev->type != EVENT_SOFT_INT)
		c->dr7 &= ~DR7_GD;
	c->injecting.type = EVENT_NONE;
	c->sti_shadow = false;
	c->movss_shadow = false;
	c->halted = false;
}

static enum cpu_result deliver(struct cpu *c, struct event ev, bool rf)
{
	const uint8_t nr_wr = c->mmio.nr_wr;

	if (ev.type == EVENT_NMI)
		c->nmi_blocked = true;
	for (;;) {
		enum cpu_result r;

		c->mmio.pos_rd = 0;
		c->mmio.nr_wr = nr_wr;
		c->mmio.wants = false;
		r = deliver_once(c, &ev, rf);
		if (r == CPU_OK) {
			delivered(c, &ev);
			return CPU_OK;
		}
		if (r == CPU_EXIT) {
			c->mmio.nr_wr = nr_wr;
			c->injecting = ev;
			return CPU_EXIT;
		}
		if (!combine(c, &ev))
			break;
		c->mmio.nr_rd = 0;
		rf = pushes_rf(&ev);
	}
	c->mmio.nr_wr = nr_wr;
	c->injecting.type = EVENT_NONE;
	c->exit.reason = EXIT_TRIPLE_FAULT;
	return CPU_EXIT;
}

enum cpu_result event_deliver(struct cpu *c, const struct event *ev)
{
	return deliver(c, *ev, pushes_rf(ev));
}

enum cpu_result event_fault(struct cpu *c)
{
	struct event ev;
	bool detect = c->fault.vector == VEC_DB && (c->fault.address & DR6_BD);

	record_fault(c);
	event_from_fault(c, &ev);
	return deliver(c, ev, detect || pushes_rf(&ev));
}
