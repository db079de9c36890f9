#include "host/pin.h"

#include <sched.h>
#include <time.h>

#include "host/time.h"

/*
 * How often it is looked at whether they get enough of the processor, and how
 * much that is, in percent.  It is asked half as often each time that letting
 * them go has not helped.
 */
#define PERIOD_NS (10 * NSEC_PER_SEC / 1000)
#define ENOUGH	  75
#define HALVINGS  5

/*
 * The calling thread is pinned to cpu; own is what it was allowed before.  If
 * its affinity is not as we left it then somebody else has changed it, and that
 * counts.
 */
struct pin {
	bool pinned;
	int cpu;
	cpu_set_t own;
};

static __thread struct pin pin __attribute__((tls_model("initial-exec")));

static void allow_only(int pid, int cpu)
{
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	sched_setaffinity(pid, sizeof(only), &only);
}

void pin_release(void)
{
	cpu_set_t now;

	if (!pin.pinned)
		return;
	pin.pinned = false;
	if (!sched_getaffinity(0, sizeof(now), &now) && CPU_COUNT(&now) == 1 &&
	    CPU_ISSET(pin.cpu, &now))
		sched_setaffinity(0, sizeof(pin.own), &pin.own);
}

static bool pin_self(int cpu)
{
	if (pin.pinned && pin.cpu == cpu)
		return true;
	pin_release();
	if (sched_getaffinity(0, sizeof(pin.own), &pin.own))
		return false;
	allow_only(0, cpu);
	pin.pinned = true;
	pin.cpu = cpu;
	return true;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Processor time of the thread and of @pid. */
static uint64_t used_ns(int pid)
{
	clockid_t clock;
	uint64_t ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	return clock_getcpuclockid(pid, &clock) ? ns : ns + clock_ns(clock);
}

/* Somebody else had a good part of their processor. */
static bool crowded(struct pin_pair *p, int pid)
{
	uint64_t now = time_now_ns(), passed = now - p->since_ns, used;
	bool together = pin.pinned && p->cpu_plus_1, enough;

	if (together && passed < PERIOD_NS << p->crowded)
		return false;
	used = used_ns(pid);
	enough = (used - p->used_ns) * 100 >= passed * ENOUGH;
	p->since_ns = now;
	p->used_ns = used;
	if (!together)
		return false;
	if (enough)
		p->crowded = 0;
	else if (p->crowded < HALVINGS)
		p->crowded++;
	return !enough;
}

static void let_go(struct pin_pair *p, int pid)
{
	cpu_set_t own;

	pin_release();
	if (!sched_getaffinity(0, sizeof(own), &own))
		sched_setaffinity(pid, sizeof(own), &own);
	p->cpu_plus_1 = 0;
}

void pin_together(struct pin_pair *p, int pid)
{
	int cpu = sched_getcpu();

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	if (crowded(p, pid)) {
		let_go(p, pid);
		return;
	}
	if (!pin_self(cpu) || p->cpu_plus_1 == cpu + 1)
		return;
	allow_only(pid, cpu);
	p->cpu_plus_1 = cpu + 1;
}
