#include <errno.h>
#include <ucontext.h>

#include "dbt/dbt_int.h"
#include "host/signal.h"

/*
 * Host signals inside translated code: exact guest state is taken from the
 * signal's context, and the thread goes on at the way out with LEAVE_FAULT, or
 * at code that makes the flags exact and leaves for the careful form.
 * Also host faults of engine code that reads guest memory whose host pages
 * are gone: the thread goes on behind the call that entered guest work.
 */
static __thread struct cpu *current __attribute__((tls_model("initial-exec")));

/* Host register number -> index in gregs. */
static const uint8_t greg_of[16] = {
	[H_RAX] = REG_RAX, [H_RCX] = REG_RCX, [H_RDX] = REG_RDX,
	[H_RBX] = REG_RBX, [H_RSP] = REG_RSP, [H_RBP] = REG_RBP,
	[H_RSI] = REG_RSI, [H_RDI] = REG_RDI, [H_R8] = REG_R8,
	[H_R9] = REG_R9,   [H_R10] = REG_R10, [H_R11] = REG_R11,
	[H_R12] = REG_R12, [H_R13] = REG_R13, [H_R14] = REG_R14,
	[H_R15] = REG_R15,
};

void fault_set_current(struct cpu *c)
{
	current = c;
}

static void take_registers(struct cpu *c, const greg_t *g, uint8_t spill)
{
	for (unsigned int r = 0; r < NR_GPRS; r++) {
		unsigned int h = host_of[r];

		if (h == IN_MEMORY)
			continue;
		c->gpr[r] =
			h == spill ? c->dbt[D_SPILL] : (uint64_t)g[greg_of[h]];
	}
	if (spill == SPILL_STOS || spill == SPILL_MOVS) {
		c->gpr[RDI] -= g[REG_RBP];
		c->gpr[RCX] = g[REG_RCX];
	}
	if (spill == SPILL_MOVS)
		c->gpr[RSI] -= c->dbt[D_TMP];
	c->dbt[D_HOST_FLAGS] = g[REG_EFL];
}

/* In a crossing access: its call is on the stack, scratch registers apart all
 * is as it was before it. */
static void take_crossing(struct cpu *c, greg_t *g, const uint8_t *pc)
{
	const struct dbt *d = vcpu_dbt(c)->d;
	const uint8_t *at = cross_in_line(*(uint8_t **)g[REG_RSP]);
	const struct block *b = block_at(vcpu_dbt(c)->d, at);

	c->rip = block_rip(c, b) + block_insn(b, at)->guest;
	if (pc < d->cross.many)
		return;
	g[REG_RDI] = c->dbt[D_SPILL];
	g[REG_RSI] = c->dbt[D_TMP];
}

/* Runs on the thread's own stack after the signal has returned. */
static void __attribute__((noreturn)) recover(struct vcpu_dbt *v)
{
	__builtin_longjmp(v->recover, 1);
}

/* C code of the engine touched a slot whose host memory is gone. */
static bool engine_fault(struct cpu *c, greg_t *g, siginfo_t *info)
{
	struct vcpu_dbt *v = vcpu_dbt(c);

	if (!memslots_contain(c->mmu.slots, info->si_addr))
		return false;
	g[REG_RSP] = ((g[REG_RSP] - 256) & ~15ll) - 8;
	g[REG_RDI] = (greg_t)v;
	g[REG_RIP] = (greg_t)recover;
	return true;
}

static bool claim(int sig, siginfo_t *info, void *uc)
{
	greg_t *g = ((ucontext_t *)uc)->uc_mcontext.gregs;
	const uint8_t *pc = (const uint8_t *)g[REG_RIP];
	struct cpu *c = current;
	struct vcpu_dbt *v;
	uint8_t spill = H_NONE;
	const struct pcmap *m;
	struct block *b;

	if (!c)
		return false;
	v = vcpu_dbt(c);
	if (pc < v->d->code_x || pc >= v->d->code_x + CODE_SIZE)
		return (sig == SIGSEGV || sig == SIGBUS) &&
		       engine_fault(c, g, info);
	if (pc >= v->snip_x && pc < v->snip_x + SNIPPET_SIZE) {
		spill = v->snippet_spill;
	} else if (cross_at(&v->d->cross, pc)) {
		take_crossing(c, g, pc);
	} else {
		b = block_at(v->d, pc);
		if (!b)
			return false;
		m = block_insn(b, pc);
		if (m->restore) {
			g[REG_RIP] = (greg_t)(b->ientry + m->restore);
			return true;
		}
		c->rip = block_rip(c, b) + m->guest;
		spill = m->spill;
	}
	take_registers(c, g, spill);
	v->trapno = g[REG_TRAPNO];
	v->fault_addr = (uint64_t)info->si_addr;
	g[REG_RIP] = (greg_t)v->d->thunk[LEAVE_FAULT];
	return true;
}

int fault_init(void)
{
	return host_signal_init(claim);
}
