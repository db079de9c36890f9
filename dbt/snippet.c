#include "dbt/xlat.h"

/*
 * Snippets: one ACT_COPY instruction, executed on the silicon with all guest
 * registers loaded and its memory operand at an address that C code chose.
 * Each vCPU has slots for them at the end of the code cache.
 */

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

/* Writes the snippet of an instruction to a slot. */
static bool make_snippet(struct cpu *c, const struct insn *i, uint8_t *slot,
			 uint8_t *spill)
{
	const struct vcpu_dbt *v = vcpu_dbt(c);
	struct xlat x;

	xlat_begin(&x, v->d, c, c->code_size);
	x.snippet = true;
	x.rip = c->rip;
	x.next = c->next_rip;
	x.e.w = slot;
	x.e.end = slot + SNIPPET_MAX;
	if (!xlat_copy(&x, i))
		return false;
	emit_jmp(&x.e, v->d->thunk[LEAVE_SNIPPET]);
	*spill = x.spill;
	return !x.e.overflow;
}

/* The entry that an instruction is part of; the first one is nobody's. */
static struct careful_entry *entry_of(struct vcpu_dbt *v, const struct insn *i)
{
	size_t at = (const char *)i - (const char *)v->careful;

	return &v->careful[at < sizeof(v->careful) ? at / sizeof(v->careful[0])
						   : 0];
}

enum cpu_result snippet_run(struct cpu *c, const struct insn *i, void *mem)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	struct careful_entry *e = entry_of(v, i);
	size_t at = (e - v->careful) * SNIPPET_MAX;
	enum leave_code code;

	if (!e->has_code) {
		if (!make_snippet(c, i, v->snip_w + at, &e->spill)) {
			c->fault.vector = VEC_HOST_MEMORY;
			return CPU_FAULT;
		}
		e->has_code = e != v->careful;
	}
	v->snippet_spill = e->spill;
	c->dbt[D_T0] = (uintptr_t)mem;
	code = dbt_enter(c, v->snip_x + at);
	if (code == LEAVE_SNIPPET)
		return CPU_OK;
	take_fault(c, v);
	return CPU_FAULT;
}
