#include "dbt/xlat.h"

/*
 * Snippets: one ACT_COPY instruction, executed on the silicon with all guest
 * registers loaded and its memory operand at an address that C code chose.
 * A ring of them per vCPU sits at the end of the code cache.
 */
#define SNIPPET_MAX 128

static void take_fault(struct cpu *c, const struct vcpu_dbt *v)
{
	c->fault = (struct x86_fault){ .vector = v->trapno };
	switch (v->trapno) {
	case VEC_XM:
		if (!(c->cr4 & CR4_OSXMMEXCPT))
			c->fault.vector = VEC_UD;
		return;
	case VEC_DE:
	case VEC_MF:
	case VEC_UD:
		return;
	case VEC_GP:
		c->fault.has_error = true;
		return;
	default:
		c->fault.vector = VEC_HOST_MEMORY;
	}
}

enum cpu_result snippet_run(struct cpu *c, const struct insn *i, void *mem)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	struct xlat x;
	enum leave_code code;
	void *start;

	if (v->snip_pos + SNIPPET_MAX > SNIPPET_SIZE)
		v->snip_pos = 0;
	xlat_begin(&x, v->d, c, c->code_size);
	x.snippet = true;
	x.rip = c->rip;
	x.next = c->next_rip;
	x.e.w = v->snip_w + v->snip_pos;
	x.e.end = x.e.w + SNIPPET_MAX;
	start = emit_x(&x.e);
	if (!xlat_copy(&x, i)) {
		c->fault.vector = VEC_HOST_MEMORY;
		return CPU_FAULT;
	}
	emit_jmp(&x.e, v->d->thunk[LEAVE_SNIPPET]);
	v->snip_pos += (x.e.w - (v->snip_w + v->snip_pos) + 15) & ~15u;
	v->snippet_spill = x.spill;
	c->dbt[D_T0] = (uintptr_t)mem;
	code = dbt_enter(c, start);
	if (code == LEAVE_SNIPPET)
		return CPU_OK;
	take_fault(c, v);
	return CPU_FAULT;
}
