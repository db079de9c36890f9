#include "host/pin.h"

#include <sched.h>

/*
 * Of this thread: it is pinned to cpu, and own is what it was allowed before.
 * If its affinity is not as we left it, somebody else has changed it
 * meanwhile; then that counts.
 */
struct pin {
	bool pinned;
	int cpu;
	cpu_set_t own;
};

static __thread struct pin pin __attribute__((tls_model("initial-exec")));

static bool is_only(const cpu_set_t *set, int cpu)
{
	return CPU_COUNT(set) == 1 && CPU_ISSET(cpu, set);
}

void pin_release(void)
{
	cpu_set_t now;

	if (!pin.pinned)
		return;
	pin.pinned = false;
	if (!sched_getaffinity(0, sizeof(now), &now) && is_only(&now, pin.cpu))
		sched_setaffinity(0, sizeof(pin.own), &pin.own);
}

static bool pin_self(int cpu)
{
	cpu_set_t only;

	if (pin.pinned && pin.cpu == cpu)
		return true;
	pin_release();
	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	if (sched_getaffinity(0, sizeof(pin.own), &pin.own) ||
	    sched_setaffinity(0, sizeof(only), &only))
		return false;
	pin.pinned = true;
	pin.cpu = cpu;
	return true;
}

void pin_together(int pid, int *cpu)
{
	int here = sched_getcpu();
	cpu_set_t only;

	if (here < 0 || here >= CPU_SETSIZE || !pin_self(here) || *cpu == here)
		return;
	CPU_ZERO(&only);
	CPU_SET(here, &only);
	sched_setaffinity(pid, sizeof(only), &only);
	*cpu = here;
}
