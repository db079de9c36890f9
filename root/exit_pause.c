#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cpu/op.h"
#include "host/time.h"
#include "root/exit.h"
#include "root/run.h"

/*
 * A vCPU that has executed PAUSE for a while waits for another one (SDM 3C,
 * "PAUSE-loop exiting").  If the host has other work for this processor, what
 * it waits for may be a vCPU that does not run, and spinning only uses up its
 * own share of the processor's time.  It then naps until something may have
 * changed: an event of its own, another vCPU that begins to spin and so has
 * done what it could, or a time that doubles from nap to nap.  A thread that
 * sleeps most of the time gets a processor soon when it is woken, so a lock or
 * a message is handed over at the host's speed of waking, not once a time
 * slice.
 */
#define CROWDED_NS	(100 * 1000000ull)
#define FIRST_NAP_NS	50000ull
#define LONGEST_DOUBLED 4
/* About 10 ms: whoever spins for longer may be counting PAUSEs. */
#define MOST_NAPS 16

/* Reads of a timer further apart than this, in cycles, are no loop. */
#define POLL_GAP (1u << 15)

/* Cycles of spinning that are an exit where the host is busy. */
#define WINDOW_CROWDED (1u << 13)

/*
 * is_crowded - whether the host has taken the processor from this thread lately
 * (@preempted: since the last exit), as opposed to: the thread has given it up.
 */
static bool is_crowded(struct vcpu *v, bool preempted)
{
	uint64_t now = time_now_ns();

	if (preempted)
		v->crowded_until_ns = now + CROWDED_NS;
	return now < v->crowded_until_ns;
}

static bool was_preempted(struct vcpu *v)
{
	struct rusage ru;

	if (getrusage(RUSAGE_THREAD, &ru) || ru.ru_nivcsw == v->preemptions)
		return false;
	v->preemptions = ru.ru_nivcsw;
	return true;
}

static void wake_nappers(struct vcpu *v)
{
	uint64_t one = 1;
	struct vcpu *t;

	vcpu_for_each (t, v->vm)
		if (t != v && __atomic_load_n(&t->napping, __ATOMIC_SEQ_CST))
			(void)!write(t->wake_fd, &one, sizeof(one));
}

/* Signals and events are not lost, as in run.c's sleep_until_event(). */
static void nap(struct vcpu *v, uint64_t ns)
{
	const struct timespec timeout = { .tv_nsec = (long)ns };
	struct pollfd pfd = { .fd = v->wake_fd, .events = POLLIN };
	sigset_t all, old;
	uint64_t drain;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	__atomic_store_n(&v->napping, 1, __ATOMIC_RELAXED);
	__atomic_exchange_n(&v->sleeping, 1, __ATOMIC_SEQ_CST);
	if (!v->signal_seen && !*v->immediate_exit && !v->cpu->exit_req &&
	    ppoll(&pfd, 1, &timeout, &old) > 0)
		(void)!read(v->wake_fd, &drain, sizeof(drain));
	__atomic_store_n(&v->sleeping, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&v->napping, 0, __ATOMIC_RELAXED);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The vCPU has been waiting for a window's time. */
static void waits(struct vcpu *v, bool alone)
{
	struct cpu_spin *s = &v->cpu->spin;
	bool preempted = was_preempted(v);
	bool crowded = !alone && is_crowded(v, preempted);
	unsigned int doubled;

	/* A gap that the host made is none of the guest's. */
	if (s->begins && !preempted)
		s->exits = 0;
	s->begins = false;
	doubled = s->exits < LONGEST_DOUBLED ? s->exits : LONGEST_DOUBLED;
	if (!s->exits++)
		wake_nappers(v);
	s->window = crowded ? WINDOW_CROWDED : SPIN_WINDOW;
	if (crowded && s->exits <= MOST_NAPS) {
		lock_drop(&v->mem_lock);
		nap(v, FIRST_NAP_NS << doubled);
		lock_take(&v->mem_lock);
	}
	s->start = s->last = __builtin_ia32_rdtsc();
}

int exit_pause(struct vcpu *v)
{
	waits(v, v->vm->nr_vcpus == 1);
	return exit_commit(v);
}

void vcpu_polls_timer(struct vcpu *v)
{
	struct cpu_spin *s = &v->cpu->spin;
	uint64_t now = __builtin_ia32_rdtsc();

	if (now - s->last > POLL_GAP) {
		s->start = now;
		s->begins = true;
	}
	s->last = now;
	if (s->window && now - s->start >= s->window)
		waits(v, false);
}
