#pragma once

/*
 * Single accesses under TRY, in ring 0 and in ring 3, for the tests of paging.
 */
#include "test/guest/lib/trap.h"

static inline int try_read(word va)
{
	return TRY("cmpb $0, (%0)", : : "r"(va) : "memory", "cc");
}

static inline int try_write(word va)
{
	return TRY("movb $0x5a, (%0)", : : "r"(va) : "memory");
}

static inline int try_rmw(word va)
{
	return TRY("addb $1, (%0)", : : "r"(va) : "memory", "cc");
}

/* The page must hold a RET (0xc3) at @va. */
static inline int try_call(word va)
{
	return TRY("call *%0", : : "r"(va) : "memory");
}

/* Bodies for run_user(); each ends with USER_EXIT. */
extern u8 user_read[], user_write[], user_rmw[], user_call[];

/* CHECK_PF - vector, error code and CR2 of the last trap. */
#define CHECK_PF(what, vec, want_error, want_cr2)                              \
	do {                                                                   \
		int v_ = (vec);                                                \
		CHECK_EQ(what " vector", v_, X_PF);                            \
		if (v_ == X_PF) {                                              \
			CHECK_EQ(what " error", trap.error, want_error);       \
			CHECK_EQ(what " cr2", trap.cr2, want_cr2);             \
		}                                                              \
	} while (0)
#define CHECK_OK(what, vec)	 CHECK_EQ(what " vector", vec, NO_TRAP)
#define CHECK_USER_OK(what, vec) CHECK_EQ(what " vector", vec, V_USER)
