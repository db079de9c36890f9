#pragma once

#include <time.h>

#include "fuzz/insn/case.h"

/*
 * The processor itself: cases run in a child process whose memory at the
 * addresses of the cases is laid out as the guest's is.
 */
#define NATIVE_BATCH 256

/*
 * A case that has not ended after so much processor time of its own, in either
 * executor, never will; the child is lost if it has not moved for so many
 * tenths of a second, whatever else the host has to do.
 */
#define PATIENCE_NS    1000000000u
#define PATIENCE_POLLS 600

/* cpu_time_ns - of the clock of a thread or process. */
uint64_t cpu_time_ns(clockid_t clock);

/* native_start - makes the child; before the engine is set up.  0 or -1. */
int native_start(void);
void native_stop(void);

/* native_cpu - the processor that the child is tied to. */
unsigned int native_cpu(void);

/* native_post - hands over @n cases; the child begins. */
void native_post(const struct fuzz_case *c, unsigned int n);

/*
 * native_wait - the results of the cases posted, or NULL if the child was lost
 * (the next native_post makes a new one); *@lost: the case it was lost in.
 */
const struct result *native_wait(unsigned int *lost);
