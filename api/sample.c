#include <ucontext.h>

#include "api/object.h"
#include "include/ring3.h"
#include "root/run.h"

static const char *const names[NR_DOINGS] = {
#define EXIT_REASON(name, str) [EXIT_##name] = str,
#include "cpu/exit.def"
#undef EXIT_REASON
	[DOING_LOOP] = "(run loop)",
	[DOING_ROOT] = "(entry)",
};

int ring3_sample(const void *ucontext, struct ring3_sample *s)
{
	static const int where[] = {
		[DBT_ENTRY] = RING3_IN_ENTRY, [DBT_GUEST] = RING3_IN_GUEST,
		[DBT_COLD] = RING3_IN_COLD,   [DBT_STUB] = RING3_IN_STUB,
		[DBT_C] = RING3_IN_C,
	};
	const ucontext_t *u = ucontext;
	struct vcpu *v = vcpu_running();
	struct dbt_sample d;

	if (!v)
		return 0;
	dbt_sample(v->cpu, (const void *)u->uc_mcontext.gregs[REG_RIP], &d);
	*s = (struct ring3_sample){ .where = where[d.place],
				    .user = d.user,
				    .rip = d.rip };
	if (d.place == DBT_C)
		s->what = names[v->cpu->doing];
	return 1;
}
