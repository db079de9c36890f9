#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest virtual (linear) address, guest physical address. */
typedef uint64_t gva_t;
typedef uint64_t gpa_t;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)	      (1ull << (n))
#define MASK(n)	      ((n) >= 64 ? ~0ull : (1ull << (n)) - 1)
#define PAGE_SHIFT    12
#define PAGE_SIZE     4096ull
#define PAGE_MASK     (~(PAGE_SIZE - 1))
#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define container_of(p, type, member)                                          \
	((type *)((char *)(p)-offsetof(type, member)))
#define __must_check __attribute__((warn_unused_result))
