#pragma once

/*
 * What every bare-metal guest needs: types, serial output, checks, the exit
 * port.  The library is built twice, for 32-bit and for 64-bit guests; `word`
 * is the size of a general register.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef unsigned long word;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)	      (1ull << (n))
#define PAGE	      4096ul
#define __user_text   __attribute__((section(".user.text"), noinline))
#define __user_data   __attribute__((section(".user.data")))
#define __noinline    __attribute__((noinline))

/* Rounds of each test body: the later ones meet translated, chained code. */
#define ROUNDS 3

/* print - %d %u %x %lx %s %c %%, written to the serial port. */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* guest_exit - ends the run; status 0 is a pass, 1 a failed test. */
void guest_exit(u32 status) __attribute__((noreturn));

/* Name of the running test and the round, for the FAIL lines. */
extern int test_round;

/* test_run - runs @fn ROUNDS times and prints PASS if no check failed. */
void test_run(const char *name, void (*fn)(void));
/* test_once - runs @fn a single time: for state that cannot be set back. */
void test_once(const char *name, void (*fn)(void));
/* test_quiet - as test_run, but prints only failures. */
void test_quiet(const char *name, void (*fn)(void));
/* test_skip - counts and prints a skipped test. */
void test_skip(const char *name, const char *why);
/* test_fail - a failed check inside a test. */
void test_fail(const char *what, u64 got, u64 want);
/* test_end - prints the summary and ends the guest. */
void test_end(void) __attribute__((noreturn));

#define RUN(fn)	     test_run(#fn, fn)
#define RUN_ONCE(fn) test_once(#fn, fn)
#define RUN_IF(cond, fn)                                                       \
	do {                                                                   \
		if (cond)                                                      \
			test_run(#fn, fn);                                     \
		else                                                           \
			test_skip(#fn, #cond);                                 \
	} while (0)

#define CHECK_EQ(what, got, want)                                              \
	do {                                                                   \
		u64 got_ = (u64)(got), want_ = (u64)(want);                    \
		if (got_ != want_)                                             \
			test_fail(what, got_, want_);                          \
	} while (0)
#define CHECK(what, cond)                                                      \
	do {                                                                   \
		if (!(cond))                                                   \
			test_fail(what, 0, 1);                                 \
	} while (0)

/* main - the guest's body, on the boot CPU. */
void guest_main(void);

void *memset(void *dst, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
