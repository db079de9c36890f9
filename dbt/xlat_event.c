#include "cpu/op.h"
#include "dbt/xlat.h"

/*
 * Instructions that concern the processor's privileged state: a call of C code
 * that works on struct cpu (dbt/light.c).  Those that change neither the mode
 * of translation nor mappings let the block go on.
 */
bool event_goes_on(const struct insn *i)
{
	return !(i->row->attr & IA_END) && cpu_ops[i->row->id];
}

static uint64_t next_rip(const struct xlat *x)
{
	return x->code_size == CODE64 ? x->next : (uint32_t)x->next;
}

static void light_call(struct xlat *x, const struct insn *i)
{
	struct light_site *s = meta_alloc(x->d, sizeof(*s));

	if (!s) {
		x->failed = true;
		return;
	}
	*s = (struct light_site){
		.rip = x->rip,
		.next = next_rip(x),
		.op = cpu_ops[i->row->id],
		.reason = exit_of_insn(i->row->id),
		.cpl0 = i->row->attr & IA_CPL0,
		.goes_on = event_goes_on(i),
		.insn = *i,
	};
	xlat_cold(x, COLD_LIGHT, emit_call_patch(&x->e))->light = s;
	if (!s->goes_on)
		x->done = true;
}

void xlat_cold_light(struct xlat *x, const struct cold *c)
{
	emit_mov_ri(&x->e, T0, (uintptr_t)c->light);
	emit_jmp(&x->e, x->d->thunk_light);
}

void xlat_event(struct xlat *x, const struct insn *i)
{
	if (!cpu_ops[i->row->id]) {
		xlat_leave(x, LEAVE_CAREFUL, x->rip);
		return;
	}
	light_call(x, i);
}
