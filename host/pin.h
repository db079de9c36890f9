#pragma once

#include "base/types.h"

/*
 * A thread and the process that it traces wake each other up at every stop.
 * That takes several times longer between processors than on one, and the
 * host's scheduler likes to part them.
 */

/*
 * pin_together - keeps the calling thread on the processor where it is, and
 * puts process @pid there too.  @cpu belongs to @pid: -1 at first.
 */
void pin_together(int pid, int *cpu);

/* pin_release - gives the calling thread its own affinity back.  Cheap if it
 * has it. */
void pin_release(void);
