#pragma once

#include "base/types.h"

/*
 * A thread and the process that it traces wake each other up at every stop.
 * That takes several times longer between processors than on one, and the
 * host's scheduler likes to part them.
 */

/* Of a traced process; zero at first. */
struct pin_pair {
	int cpu_plus_1; /* that it may run on; 0: on any */
	uint64_t since_ns, used_ns;
	unsigned int crowded; /* periods in a row */
};

/*
 * pin_together - keeps the calling thread on the processor where it is, and
 * process @pid with it.  If they have got too little of that processor lately,
 * they are let go this time: the scheduler may find them another one.
 */
void pin_together(struct pin_pair *p, int pid);

/*
 * pin_release - gives the calling thread its own affinity back, or what
 * somebody has set meanwhile.  No system call if there is nothing to do.
 */
void pin_release(void);
