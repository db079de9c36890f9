#pragma once

#include "base/types.h"

/*
 * How long a thread has waited for a processor although it could have run: the
 * scheduler's own count, in procfs.  System calls alone: the guest's vector
 * state may be live.
 */

/* rundelay_available - whether this host tells. */
bool rundelay_available(void);

/* rundelay_open - a descriptor for the calling thread, or -errno. */
int rundelay_open(void);

/* rundelay_read - false if it cannot be read any more. */
bool rundelay_read(int fd, uint64_t *ns);
