#pragma once

#include <stdio.h>
#include <stdlib.h>

/*
 * A unit test is a program: CHECK keeps going after a failure, and
 * test_done() prints "N passed, N failed" and gives the exit status.
 */
static int test_passed, test_failed;

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (cond) {                                                    \
			test_passed++;                                         \
		} else {                                                       \
			test_failed++;                                         \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #cond);      \
		}                                                              \
	} while (0)

#define CHECK_EQ(a, b)                                                         \
	do {                                                                   \
		unsigned long long a_ = (unsigned long long)(a);               \
		unsigned long long b_ = (unsigned long long)(b);               \
		if (a_ == b_) {                                                \
			test_passed++;                                         \
		} else {                                                       \
			test_failed++;                                         \
			printf("%s:%d: %s is %#llx, expected %#llx\n",         \
			       __FILE__, __LINE__, #a, a_, b_);                \
		}                                                              \
	} while (0)

static inline int test_done(void)
{
	printf("%d passed, %d failed\n", test_passed, test_failed);
	return test_failed ? 1 : 0;
}
