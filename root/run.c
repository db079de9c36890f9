#include "root/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu/mode.h"
#include "host/runner.h"
#include "irqchip/lapic.h"
#include "mmu/dirty_ring.h"
#include "root/exit.h"
#include "root/inject.h"

/* What this thread does, for signal handlers. */
static __thread struct {
	struct vcpu *running; /* the vCPU in vcpu_run() */
	unsigned int calls;   /* requests under way */
	bool signal;	      /* one came during a request */
} thread __attribute__((tls_model("initial-exec")));

struct vcpu *vcpu_running(void)
{
	return thread.running;
}

bool vcpu_signal(void)
{
	struct vcpu *v = thread.running;

	thread.signal = true;
	if (!v)
		return thread.calls;
	v->signal_seen = 1;
	dbt_kick(v->cpu);
	return true;
}

/* leave_intr - KVM_RUN ends for a signal. */
static int leave_intr(struct vcpu *v)
{
	v->signal_seen = 0;
	v->uexit.kind = UEXIT_INTR;
	return -EINTR;
}

/* signal_due - a signal for user mode came since vcpu_run() was entered. */
static bool signal_due(struct vcpu *v)
{
	return v->signal_seen || *v->immediate_exit;
}

/* wake_reason - whether a sleeping vCPU has a reason to go on. */
static bool wake_reason(struct vcpu *v)
{
	switch (v->mp_state) {
	case MP_RUNNABLE:
		return true;
	case MP_HALTED:
		return vcpu_has_event(v) || vcpu_requested(v, REQ_HV_TIMER);
	default:
		return vcpu_requested(v, REQ_INIT | REQ_SIPI);
	}
}

/*
 * sleep_until_event - waits in the kernel.  All signals are blocked before the
 * last look at what would wake us and unblocked by ppoll itself, so that
 * neither an event nor a signal is lost, whatever the client's handlers do.
 * Returns false if a signal came.
 */
static bool sleep_until_event(struct vcpu *v)
{
	struct pollfd pfd = { .fd = v->wake_fd, .events = POLLIN };
	sigset_t all, old;
	uint64_t drain;
	bool ok = true;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* A full barrier: vcpu_kick() sees the flag or we see its request. */
	__atomic_exchange_n(&v->sleeping, 1, __ATOMIC_SEQ_CST);
	while (ok && !wake_reason(v)) {
		if (signal_due(v) ||
		    (ppoll(&pfd, 1, NULL, &old) < 0 && errno == EINTR))
			ok = false;
		else
			(void)!read(v->wake_fd, &drain, sizeof(drain));
	}
	__atomic_store_n(&v->sleeping, 0, __ATOMIC_RELAXED);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

/* idle - a vCPU that is not runnable waits; an exit handler's answer. */
static int idle(struct vcpu *v)
{
	bool ok;

	dbt_put_fpu(v->cpu);
	runner_unpin();
	steal_leave(&v->pv.steal);
	lock_drop(&v->mem_lock);
	ok = sleep_until_event(v);
	lock_take(&v->mem_lock);
	if (!ok)
		return leave_intr(v);
	vcpu_accept_events(v);
	if (vcpu_take(v, REQ_HV_TIMER))
		hv_run_timers(v);
	if (v->mp_state == MP_HALTED && vcpu_has_event(v)) {
		v->mp_state = MP_RUNNABLE;
		v->pv_kicked = false;
	}
	return RESUME;
}

void vcpu_accept_events(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint8_t vector;

	if (vcpu_take(v, REQ_INIT)) {
		dbt_put_fpu(c);
		vcpu_cancel_io(v);
		vcpu_drop_nmis(v);
		cpu_reset(c, true);
		lapic_reset(v->apic, true);
		pv_reset(&v->pv);
		v->mp_state =
			v->id == v->vm->bsp_id ? MP_RUNNABLE : MP_INIT_RECEIVED;
	}
	if (!vcpu_take(v, REQ_SIPI) || v->mp_state != MP_INIT_RECEIVED)
		return;
	/* The vector is the number of the page to start at. */
	vector = __atomic_load_n(&v->sipi_vector, __ATOMIC_RELAXED);
	c->seg[SEG_CS].sel = vector << 8;
	c->seg[SEG_CS].base = vector << 12;
	c->rip = 0;
	cpu_derive(c);
	v->mp_state = MP_RUNNABLE;
}

/* requests - work that other threads left; an exit handler's answer. */
static int requests(struct vcpu *v)
{
	if (vcpu_take(v, REQ_TRIPLE_FAULT)) {
		v->uexit.kind = UEXIT_SHUTDOWN;
		return TO_USER;
	}
	if (vcpu_take(v, REQ_IOAPIC_EOI)) {
		v->uexit.kind = UEXIT_IOAPIC_EOI;
		v->uexit.ioapic_vector = v->eoi_vector;
		return TO_USER;
	}
	if (vcpu_take(v, REQ_HV_EXIT)) {
		v->uexit.kind = UEXIT_HV_SYNIC;
		return TO_USER;
	}
	if (vcpu_take(v, REQ_HV_TIMER))
		hv_run_timers(v);
	vcpu_accept_nmis(v);
	vcpu_take(v, REQ_EVENT);
	return RESUME;
}

/* enter - one stay in the guest and the exit it ends with. */
static int enter(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	enum exit_reason reason;
	uint64_t start;
	int r;

	lock_drop(&v->mem_lock);
	reason = dbt_run(c);
	start = __builtin_ia32_rdtsc();
	lock_take(&v->mem_lock);
	pv_eoi_collect(&v->pv);
	c->doing = reason;
	r = exit_handle(v, reason);
	v->exit_cycles[reason] += __builtin_ia32_rdtsc() - start;
	return r;
}

/* step - one round of the loop; an exit handler's answer. */
static int step(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	int r;

	c->doing = DOING_ROOT;
	/* Cleared before anything that it may announce is looked at. */
	__atomic_exchange_n(&c->exit_req, 0, __ATOMIC_SEQ_CST);
	if (signal_due(v))
		return leave_intr(v);
	if (vcpu_requested(v, REQ_INIT | REQ_SIPI))
		vcpu_accept_events(v);
	if (v->mp_state != MP_RUNNABLE)
		return idle(v);
	if (c->mmu.dirty_ring && dirty_ring_full(c->mmu.dirty_ring)) {
		v->uexit.kind = UEXIT_DIRTY_RING_FULL;
		return TO_USER;
	}
	if (vcpu_requested(v, ~0ull)) {
		r = requests(v);
		if (r != RESUME)
			return r;
	}
	steal_enter(&v->pv.steal);
	r = inject_events(v);
	if (r != RESUME)
		return r;
	if (v->want_irq_window && vcpu_ready_for_irq(v)) {
		v->uexit.kind = UEXIT_IRQ_WINDOW;
		return TO_USER;
	}
	if (clock_stale(&v->clock)) {
		clock_publish(&v->clock);
		hv_clock_changed(v);
	}
	pv_eoi_offer(&v->pv);
	return enter(v);
}

/* start_ap - KVM_RUN on an AP that waits for INIT; always fails. */
static int start_ap(struct vcpu *v)
{
	bool ok;

	if (*v->immediate_exit)
		return -EINTR;
	lock_drop(&v->mem_lock);
	ok = sleep_until_event(v);
	lock_take(&v->mem_lock);
	vcpu_accept_events(v);
	return ok ? -EAGAIN : leave_intr(v);
}

/*
 * complete_now - user mode wants the instruction that exited to be finished
 * but nothing after it to run.  INS and MMIO reads are answered by executing
 * the instruction again, here alone.
 */
static int complete_now(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	bool stepping = c->singlestep;
	enum exit_reason reason;
	int r = RESUME;

	c->singlestep = true;
	while (r == RESUME && (c->io.state == IO_ANSWERED || c->mmio.nr_rd)) {
		__atomic_store_n(&c->exit_req, 0, __ATOMIC_SEQ_CST);
		lock_drop(&v->mem_lock);
		reason = dbt_run(c);
		lock_take(&v->mem_lock);
		if (reason == EXIT_EXCEPTION)
			break;
		r = exit_handle(v, reason);
	}
	c->singlestep = stepping;
	return r;
}

/* complete - finishes the last exit's instruction; an exit handler's answer. */
static int complete(struct vcpu *v)
{
	complete_fn fn = v->complete;
	int r;

	if (!fn)
		return RESUME;
	v->complete = NULL;
	r = fn(v);
	if (r == RESUME && *v->immediate_exit)
		r = complete_now(v);
	return r;
}

static int run_loop(struct vcpu *v)
{
	int r;

	if (v->mp_state == MP_UNINITIALIZED)
		return start_ap(v);
	r = complete(v);
	v->uexit.kind = r == RESUME ? UEXIT_NONE : v->uexit.kind;
	if (r == RESUME && *v->immediate_exit)
		return -EINTR;
	while (r == RESUME)
		r = step(v);
	return r;
}

void vcpu_call_begin(void)
{
	if (!thread.calls)
		thread.signal = false;
	thread.calls++;
	__asm__ volatile("" : : : "memory");
}

void vcpu_call_end(void)
{
	__asm__ volatile("" : : : "memory");
	thread.calls--;
}

void vcpu_run_begin(struct vcpu *v)
{
	if (!v->has_sigmask)
		v->signal_seen = 0;
	thread.running = v;
	__asm__ volatile("" : : : "memory");
	if (thread.signal)
		v->signal_seen = 1;
}

void vcpu_run_end(void)
{
	__asm__ volatile("" : : : "memory");
	thread.running = NULL;
}

int vcpu_run(struct vcpu *v)
{
	int r;

	if (v->vm->bugged)
		return -EIO;
	v->started = true;
	v->runs++;
	dbt_outside(v->vm->dbt);
	lock_take(&v->mem_lock);
	r = run_loop(v);
	dbt_put_fpu(v->cpu);
	runner_unpin();
	steal_leave(&v->pv.steal);
	lock_drop(&v->mem_lock);
	return r;
}
