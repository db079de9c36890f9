#include "cpu/task.h"

#include <string.h>

#include "cpu/mode.h"
#include "cpu/op.h"
#include "cpu/segment.h"

/*
 * The task-state segment: stacks of inner privilege levels, and hardware task
 * switches of legacy mode.
 * Source: SDM 3A "Task Management": "Task Switching", "Task-State Segment
 * (TSS)", "16-Bit Task-State Segment (TSS)".
 */

struct tss32 {
	uint16_t link, rsvd0;
	uint32_t stack[6];
	uint32_t cr3, eip, eflags;
	uint32_t gpr[8];
	uint32_t sel[6]; /* ES, CS, SS, DS, FS, GS */
	uint32_t ldt;
	uint16_t trap, iomap;
};

struct tss16 {
	uint16_t link;
	uint16_t stack[6];
	uint16_t ip, flags;
	uint16_t gpr[8];
	uint16_t sel[4]; /* ES, CS, SS, DS */
	uint16_t ldt;
};

_Static_assert(sizeof(struct tss32) == 104, "32-bit TSS");
_Static_assert(sizeof(struct tss16) == 44, "16-bit TSS");

#define DR7_LOCAL 0x155ull /* L0..L3, LE */

/* State that a task switch loads, whatever the TSS's width. */
struct task {
	struct desc tss;
	bool wide;
	bool trap;
	uint32_t cr3, eip, eflags;
	uint32_t gpr[8];
	uint16_t sel[6], ldt;
};

static bool tss_wide(uint32_t ar)
{
	return AR_TYPE(ar) & 8;
}

/* #TS with the current TSS's selector if @len bytes at @off are not in it. */
static enum cpu_result tss_read(struct cpu *c, unsigned int off, void *buf,
				unsigned int len)
{
	const struct seg *tr = &c->seg[SEG_TR];

	if ((tr->ar & AR_UNUSABLE) || off + len - 1 > tr->limit)
		return cpu_raise_error(c, VEC_TS, sel_error(tr->sel));
	return cpu_read_sys(c, tr->base + off, buf, len);
}

enum cpu_result tss_rsp(struct cpu *c, unsigned int slot, uint64_t *rsp)
{
	/* RSP0..2 at 4, IST1..7 at 36 */
	return tss_read(c, slot < 3 ? 4 + slot * 8 : 28 + (slot - 3) * 8, rsp,
			8);
}

enum cpu_result tss_switch_stack(struct cpu *c, unsigned int cpl,
				 unsigned int size, struct stack *st,
				 struct desc *ss)
{
	const bool wide = tss_wide(c->seg[SEG_TR].ar);
	uint16_t frame[3] = { 0 };
	enum cpu_result r;
	uint32_t sp;
	uint16_t sel;
	struct seg s;

	if (wide)
		r = tss_read(c, 4 + cpl * 8, frame, 6);
	else
		r = tss_read(c, 2 + cpl * 4, frame, 4);
	if (r != CPU_OK)
		return r;
	sp = wide ? frame[0] | (uint32_t)frame[1] << 16 : frame[0];
	sel = frame[wide ? 2 : 1];
	r = seg_ss_desc(c, sel, cpl, VEC_TS, ss);
	if (r != CPU_OK)
		return r;
	desc_to_seg(ss, sel, &s);
	stack_switch(c, st, &s, sp, cpl, size);
	return CPU_OK;
}

/* A TSS descriptor's own checks, and its contents. */
static enum cpu_result read_task(struct cpu *c, struct task *t)
{
	const struct desc *d = &t->tss;
	union {
		struct tss32 w;
		struct tss16 n;
	} u;
	enum cpu_result r;

	t->wide = tss_wide(d->ar);
	if (!(d->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(d->sel));
	if (desc_limit(d) < (t->wide ? sizeof(u.w) : sizeof(u.n)) - 1)
		return cpu_raise_error(c, VEC_TS, sel_error(d->sel));
	r = cpu_read_sys(c, desc_base(d), &u,
			 t->wide ? sizeof(u.w) : sizeof(u.n));
	if (r != CPU_OK)
		return r;
	if (t->wide) {
		t->trap = u.w.trap & 1;
		t->cr3 = u.w.cr3;
		t->eip = u.w.eip;
		t->eflags = u.w.eflags;
		t->ldt = u.w.ldt;
		for (unsigned int n = 0; n < 6; n++)
			t->sel[n] = u.w.sel[n];
		memcpy(t->gpr, u.w.gpr, sizeof(t->gpr));
		return CPU_OK;
	}
	t->trap = false;
	t->eip = u.n.ip;
	t->eflags = u.n.flags;
	t->ldt = u.n.ldt;
	t->sel[SEG_FS] = t->sel[SEG_GS] = 0;
	for (unsigned int n = 0; n < 4; n++)
		t->sel[n] = u.n.sel[n];
	for (unsigned int n = 0; n < 8; n++)
		t->gpr[n] = u.n.gpr[n];
	return CPU_OK;
}

static enum cpu_result save_wide(struct cpu *c, uint64_t rip, uint64_t rflags)
{
	struct tss32 t;
	const unsigned int from = offsetof(struct tss32, eip);

	t.eip = rip;
	t.eflags = rflags;
	for (unsigned int n = 0; n < 8; n++)
		t.gpr[n] = c->gpr[n];
	for (unsigned int n = 0; n < 6; n++)
		t.sel[n] = c->seg[n].sel;
	return cpu_write_sys(c, c->seg[SEG_TR].base + from, &t.eip,
			     offsetof(struct tss32, ldt) - from);
}

static enum cpu_result save_narrow(struct cpu *c, uint64_t rip, uint64_t rflags)
{
	struct tss16 t;
	const unsigned int from = offsetof(struct tss16, ip);

	t.ip = rip;
	t.flags = rflags;
	for (unsigned int n = 0; n < 8; n++)
		t.gpr[n] = c->gpr[n];
	for (unsigned int n = 0; n < 4; n++)
		t.sel[n] = c->seg[n].sel;
	return cpu_write_sys(c, c->seg[SEG_TR].base + from, &t.ip,
			     offsetof(struct tss16, ldt) - from);
}

/*
 * Memory effects of the switch on TSSs and descriptors.  Faults here find the
 * processor still in the old task.
 */
static enum cpu_result switch_memory(struct cpu *c, struct task *t,
				     enum task_cause cause, uint64_t rip,
				     uint64_t rflags)
{
	const bool nests = cause == TASK_CALL || cause == TASK_EVENT;
	const struct seg *tr = &c->seg[SEG_TR];
	struct desc old = { 0 };
	enum cpu_result r;

	if (!desc_find(c, tr->sel, 8, &old.gva))
		return cpu_raise_error(c, VEC_TS, sel_error(tr->sel));
	if (tss_wide(tr->ar))
		r = save_wide(c, rip, rflags);
	else
		r = save_narrow(c, rip, rflags);
	if (r == CPU_OK && nests)
		r = cpu_write_sys(c, desc_base(&t->tss), &tr->sel, 2);
	if (r == CPU_OK && !nests)
		r = desc_busy(c, &old, false);
	if (r == CPU_OK && cause != TASK_IRET)
		r = desc_busy(c, &t->tss, true);
	return r;
}

/* The new task's registers; its segments are not valid yet. */
static enum cpu_result load_registers(struct cpu *c, struct task *t,
				      enum task_cause cause)
{
	const bool nests = cause == TASK_CALL || cause == TASK_EVENT;
	enum cpu_result r = CPU_OK;

	t->tss.ar |= SYS_BUSY;
	desc_to_seg(&t->tss, t->tss.sel, &c->seg[SEG_TR]);
	c->cr0 |= CR0_TS;
	c->dr7 &= ~DR7_LOCAL;
	c->rip = t->eip;
	c->next_rip = t->eip;
	cpu_set_rflags(c, t->eflags | (nests ? RFLAGS_NT : 0));
	for (unsigned int n = 0; n < 8; n++)
		c->gpr[n] = t->gpr[n];
	c->cpl = cpu_vm86(c) ? 3 : sel_rpl(t->sel[SEG_CS]);
	for (unsigned int n = 0; n < 6; n++)
		seg_null(c, n, t->sel[n]);
	seg_null(c, SEG_LDTR, t->ldt);
	if (t->wide && (c->cr0 & CR0_PG))
		r = cpu_set_cr3(c, t->cr3);
	cpu_derive(c);
	return r;
}

static enum cpu_result load_ldt(struct cpu *c, uint16_t sel)
{
	enum cpu_result r;
	struct desc d;

	if (sel_null(sel))
		return CPU_OK;
	if (sel & 4)
		return cpu_raise_error(c, VEC_TS, sel_error(sel));
	r = desc_read(c, sel, VEC_TS, &d);
	if (r != CPU_OK)
		return r;
	if (!desc_is_sys(&d, SYS_LDT) || !(d.ar & AR_P))
		return cpu_raise_error(c, VEC_TS, sel_error(sel));
	desc_to_seg(&d, sel, &c->seg[SEG_LDTR]);
	return CPU_OK;
}

/* Last step of a segment load: accessed bit, hidden part. */
static enum cpu_result load_desc(struct cpu *c, unsigned int reg,
				 struct desc *d)
{
	enum cpu_result r = desc_touch(c, d);

	if (r == CPU_OK)
		desc_to_seg(d, d->sel, &c->seg[reg]);
	return r;
}

static enum cpu_result load_cs(struct cpu *c, uint16_t sel)
{
	const unsigned int rpl = sel_rpl(sel);
	enum cpu_result r;
	struct desc d;

	if (sel_null(sel))
		return cpu_raise_error(c, VEC_TS, 0);
	r = desc_read(c, sel, VEC_TS, &d);
	if (r != CPU_OK)
		return r;
	if (!desc_is_code(&d) ||
	    (desc_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		return cpu_raise_error(c, VEC_TS, sel_error(sel));
	if (!(d.ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	return load_desc(c, SEG_CS, &d);
}

static enum cpu_result load_ss(struct cpu *c, uint16_t sel)
{
	struct desc d;
	enum cpu_result r = seg_ss_desc(c, sel, c->cpl, VEC_TS, &d);

	return r == CPU_OK ? load_desc(c, SEG_SS, &d) : r;
}

static enum cpu_result load_data(struct cpu *c, unsigned int reg, uint16_t sel)
{
	enum cpu_result r;
	struct desc d;

	if (sel_null(sel))
		return CPU_OK;
	r = desc_read(c, sel, VEC_TS, &d);
	if (r != CPU_OK)
		return r;
	if (!desc_is_readable(&d) ||
	    (!(desc_is_code(&d) && desc_conforming(&d)) &&
	     (c->cpl > desc_dpl(&d) || sel_rpl(sel) > desc_dpl(&d))))
		return cpu_raise_error(c, VEC_TS, sel_error(sel));
	if (!(d.ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(sel));
	return load_desc(c, reg, &d);
}

static enum cpu_result load_segments(struct cpu *c, const struct task *t)
{
	static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	enum cpu_result r = load_ldt(c, t->ldt);

	if (r != CPU_OK)
		return r;
	if (cpu_vm86(c)) {
		for (unsigned int n = 0; n < 6; n++)
			seg_real(c, n, t->sel[n]);
		return CPU_OK;
	}
	r = load_cs(c, t->sel[SEG_CS]);
	if (r == CPU_OK)
		r = load_ss(c, t->sel[SEG_SS]);
	for (unsigned int n = 0; n < ARRAY_SIZE(data) && r == CPU_OK; n++)
		r = load_data(c, data[n], t->sel[data[n]]);
	return r;
}

static enum cpu_result push_error(struct cpu *c, const struct task *t,
				  const struct event *ev)
{
	if (!ev || !ev->has_error)
		return CPU_OK;
	return cpu_push(c, ev->error, t->wide ? 4 : 2);
}

/* @t->tss is the new TSS, its availability checked. */
static enum cpu_result task_switch(struct cpu *c, struct task *t,
				   enum task_cause cause, uint64_t rip,
				   uint64_t rflags, const struct event *ev)
{
	enum cpu_result r;

	if (cause == TASK_IRET)
		rflags &= ~RFLAGS_NT;
	r = read_task(c, t);
	if (r == CPU_OK)
		r = switch_memory(c, t, cause, rip, rflags);
	if (r == CPU_OK)
		r = load_registers(c, t, cause);
	if (r == CPU_OK)
		r = load_segments(c, t);
	cpu_derive(c);
	if (r == CPU_OK)
		r = push_error(c, t, ev);
	if (r == CPU_OK)
		r = seg_check_rip(c, &c->seg[SEG_CS], c->rip);
	if (r == CPU_OK && t->trap) {
		r = cpu_raise(c, VEC_DB);
		c->fault.address = DR6_BT;
	}
	return r;
}

/* The TSS that @sel names for JMP, CALL and events: available, in the GDT. */
static enum cpu_result available_tss(struct cpu *c, uint16_t sel,
				     struct desc *d)
{
	enum cpu_result r;

	if (sel & 4)
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	r = desc_read(c, sel, VEC_GP, d);
	if (r == CPU_OK && !desc_is_sys(d, SYS_TSS) &&
	    !desc_is_sys(d, SYS_TSS16))
		return cpu_raise_error(c, VEC_GP, sel_error(sel));
	return r;
}

enum cpu_result task_transfer(struct cpu *c, const struct desc *d,
			      enum task_cause cause)
{
	struct task t = { .tss = *d };
	enum cpu_result r;

	if (desc_dpl(d) < c->cpl || desc_dpl(d) < sel_rpl(d->sel))
		return cpu_raise_error(c, VEC_GP, sel_error(d->sel));
	if (desc_is_sys(d, SYS_TASK_GATE) && !(d->ar & AR_P))
		return cpu_raise_error(c, VEC_NP, sel_error(d->sel));
	r = available_tss(c,
			  desc_is_sys(d, SYS_TASK_GATE) ? gate_sel(d) : d->sel,
			  &t.tss);
	if (r != CPU_OK)
		return r;
	return task_switch(c, &t, cause, c->next_rip, c->rflags, NULL);
}

enum cpu_result task_return(struct cpu *c)
{
	struct task t = { 0 };
	enum cpu_result r;
	uint16_t link;

	r = tss_read(c, 0, &link, 2);
	if (r != CPU_OK)
		return r;
	if (link & 4)
		return cpu_raise_error(c, VEC_TS, sel_error(link));
	r = desc_read(c, link, VEC_TS, &t.tss);
	if (r != CPU_OK)
		return r;
	if (!desc_is_sys(&t.tss, SYS_TSS_BUSY) &&
	    !desc_is_sys(&t.tss, SYS_TSS16_BUSY))
		return cpu_raise_error(c, VEC_TS, sel_error(link));
	return task_switch(c, &t, TASK_IRET, c->next_rip, c->rflags, NULL);
}

enum cpu_result task_event(struct cpu *c, const struct desc *gate, uint64_t rip,
			   uint64_t rflags, const struct event *ev)
{
	struct task t = { 0 };
	enum cpu_result r = available_tss(c, gate_sel(gate), &t.tss);

	if (r != CPU_OK)
		return r;
	return task_switch(c, &t, TASK_EVENT, rip, rflags, ev);
}
