#pragma once

#include "base/types.h"

/*
 * memcpy, memset, memmove and memcmp that touch no vector register: the
 * guest's vector state is live in the host's registers while the engine runs.
 * The build redirects the engine's calls of the C library's functions here.
 */
void *r3_memcpy(void *dst, const void *src, size_t n);
void *r3_memset(void *dst, int c, size_t n);
void *r3_memmove(void *dst, const void *src, size_t n);
int r3_memcmp(const void *a, const void *b, size_t n);
