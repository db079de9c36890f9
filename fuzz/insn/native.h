#pragma once

#include "fuzz/insn/case.h"

/*
 * The processor itself: cases run in a child process whose memory at the
 * addresses of the cases is laid out as the guest's is.
 */
#define NATIVE_BATCH 256

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
