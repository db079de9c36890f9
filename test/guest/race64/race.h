#pragma once

#include "test/guest/lib/smp64.h"

#define CPUS	4
#define V_FLUSH 0x61
#define V_BALL	0x62

/* Set while the others' function is to go on; what they found wrong. */
extern volatile u32 stop, wrong;

/* begin - all others run @fn, which ends when stop is set; end - sets it, waits
 * for them and checks that nothing was wrong. */
void begin(void (*fn)(unsigned));
void end(const char *what);
void bad_one(void);
/* shoot - flushes @va here and on all others; returns when they have. */
bool shoot(u64 va);
void spin(unsigned n);

void code_tests(void);
void map_tests(void);
