#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/types.h"
#include "shim/real.h"

/*
 * syscall() with the numbers of functions that the shim defines anew: takes the
 * way of the function.  (rt_sigaction is not among them: its structure is the
 * kernel's, with a restorer of the caller's own.)
 */
struct args {
	long a[6];
};

static long call_open(const struct args *s)
{
	return open((const char *)s->a[0], (int)s->a[1], (mode_t)s->a[2]);
}

static long call_openat(const struct args *s)
{
	return openat((int)s->a[0], (const char *)s->a[1], (int)s->a[2],
		      (mode_t)s->a[3]);
}

static long call_ioctl(const struct args *s)
{
	return ioctl((int)s->a[0], (unsigned long)s->a[1], s->a[2]);
}

static long call_mmap(const struct args *s)
{
	return (long)mmap((void *)s->a[0], (size_t)s->a[1], (int)s->a[2],
			  (int)s->a[3], (int)s->a[4], s->a[5]);
}

static long call_munmap(const struct args *s)
{
	return munmap((void *)s->a[0], (size_t)s->a[1]);
}

static long call_mprotect(const struct args *s)
{
	return mprotect((void *)s->a[0], (size_t)s->a[1], (int)s->a[2]);
}

static long call_mremap(const struct args *s)
{
	return (long)mremap((void *)s->a[0], (size_t)s->a[1], (size_t)s->a[2],
			    (int)s->a[3], (void *)s->a[4]);
}

static long call_madvise(const struct args *s)
{
	return madvise((void *)s->a[0], (size_t)s->a[1], (int)s->a[2]);
}

static long call_close(const struct args *s)
{
	return close((int)s->a[0]);
}

static long call_close_range(const struct args *s)
{
	return close_range((unsigned int)s->a[0], (unsigned int)s->a[1],
			   (int)s->a[2]);
}

static long call_dup(const struct args *s)
{
	return dup((int)s->a[0]);
}

static long call_dup2(const struct args *s)
{
	return dup2((int)s->a[0], (int)s->a[1]);
}

static long call_dup3(const struct args *s)
{
	return dup3((int)s->a[0], (int)s->a[1], (int)s->a[2]);
}

static long call_fcntl(const struct args *s)
{
	return fcntl((int)s->a[0], (int)s->a[1], s->a[2]);
}

static long call_access(const struct args *s)
{
	return access((const char *)s->a[0], (int)s->a[1]);
}

static long call_faccessat(const struct args *s)
{
	return faccessat((int)s->a[0], (const char *)s->a[1], (int)s->a[2], 0);
}

static long call_stat(const struct args *s)
{
	return stat((const char *)s->a[0], (struct stat *)s->a[1]);
}

static long call_newfstatat(const struct args *s)
{
	return fstatat((int)s->a[0], (const char *)s->a[1],
		       (struct stat *)s->a[2], (int)s->a[3]);
}

static long call_statx(const struct args *s)
{
	return statx((int)s->a[0], (const char *)s->a[1], (int)s->a[2],
		     (unsigned int)s->a[3], (struct statx *)s->a[4]);
}

static const struct {
	long number;
	long (*fn)(const struct args *s);
} calls[] = {
	{ SYS_open, call_open },     { SYS_openat, call_openat },
	{ SYS_ioctl, call_ioctl },   { SYS_mmap, call_mmap },
	{ SYS_munmap, call_munmap }, { SYS_mprotect, call_mprotect },
	{ SYS_mremap, call_mremap }, { SYS_madvise, call_madvise },
	{ SYS_close, call_close },   { SYS_close_range, call_close_range },
	{ SYS_dup, call_dup },	     { SYS_dup2, call_dup2 },
	{ SYS_dup3, call_dup3 },     { SYS_fcntl, call_fcntl },
	{ SYS_access, call_access }, { SYS_faccessat, call_faccessat },
	{ SYS_stat, call_stat },     { SYS_newfstatat, call_newfstatat },
	{ SYS_statx, call_statx },
};

EXPORT long syscall(long number, ...)
{
	struct args s;
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		s.a[i] = va_arg(ap, long);
	va_end(ap);
	/* The commonest by far, futex, comes first in no table. */
	if (number != SYS_futex)
		for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
			if (calls[i].number == number)
				return calls[i].fn(&s);
	return real()->syscall(number, s.a[0], s.a[1], s.a[2], s.a[3], s.a[4],
			       s.a[5]);
}
