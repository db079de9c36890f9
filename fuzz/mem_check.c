/*
 * memcpy and its like for engine code under the address sanitizer: the ends of
 * what they touch are looked at by instrumented code, the rest is base/mem.c's.
 */
#include "base/mem.h"

void *checked_memcpy(void *dst, const void *src, size_t n);
void *checked_memset(void *dst, int c, size_t n);
void *checked_memmove(void *dst, const void *src, size_t n);

static void look(const volatile char *p, size_t n)
{
	if (!n)
		return;
	(void)p[0];
	(void)p[n - 1];
}

void *checked_memcpy(void *dst, const void *src, size_t n)
{
	look(dst, n);
	look(src, n);
	return r3_memcpy(dst, src, n);
}

void *checked_memset(void *dst, int c, size_t n)
{
	look(dst, n);
	return r3_memset(dst, c, n);
}

void *checked_memmove(void *dst, const void *src, size_t n)
{
	look(dst, n);
	look(src, n);
	return r3_memmove(dst, src, n);
}
