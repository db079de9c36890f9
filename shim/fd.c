#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "include/ring3.h"
#include "shim/real.h"
#include "shim/trace.h"

/* Descriptors of the soft KVM are dup'ed and closed like any other. */

/* Above the usual limits there is no descriptor of ours; see api/fd.c. */
#define FDS_MAX (1u << 20)

/* duplicated - @copy came of @fd, or is -1. */
static int duplicated(int fd, int copy)
{
	if (copy >= 0 && ring3_is_fd(fd) && ring3_alias(fd, copy)) {
		real()->close(copy);
		errno = EMFILE;
		return -1;
	}
	return copy;
}

EXPORT int close(int fd)
{
	if (!ring3_is_fd(fd))
		return real()->close(fd);
	trace_close(fd);
	return ring3_close(fd);
}

EXPORT int dup(int fd)
{
	return duplicated(fd, real()->dup(fd));
}

EXPORT int dup2(int fd, int copy)
{
	if (fd != copy && ring3_is_fd(copy) && real()->fcntl(fd, F_GETFD) >= 0)
		ring3_forget(copy);
	return duplicated(fd, real()->dup2(fd, copy));
}

EXPORT int dup3(int fd, int copy, int flags)
{
	if (fd != copy && ring3_is_fd(copy) && real()->fcntl(fd, F_GETFD) >= 0)
		ring3_forget(copy);
	return duplicated(fd, real()->dup3(fd, copy, flags));
}

static int do_fcntl(int fd, int cmd, void *arg)
{
	int r = real()->fcntl(fd, cmd, arg);

	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		return duplicated(fd, r);
	return r;
}

EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

EXPORT int fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	/* The flags say "later" (CLOEXEC), or that the table is not shared. */
	if (!(flags & CLOSE_RANGE_CLOEXEC))
		for (unsigned int fd = first; fd <= last && fd < FDS_MAX; fd++)
			if (ring3_is_fd(fd))
				ring3_forget(fd);
	return real()->close_range(first, last, flags);
}

EXPORT void closefrom(int first)
{
	close_range(first < 0 ? 0 : first, ~0u, 0);
}
