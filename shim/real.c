#include "shim/real.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "base/types.h"
#include "shim/cpuid.h"
#include "shim/engine.h"

static struct real table;
static bool found;

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

const struct real *real(void)
{
	if (likely(__atomic_load_n(&found, __ATOMIC_ACQUIRE)))
		return &table;
#define REAL_FIND_(type, name, args) table.name = (type(*) args)next(#name);
	REAL_LIST(REAL_FIND_)
#undef REAL_FIND_
	__atomic_store_n(&found, true, __ATOMIC_RELEASE);
	return &table;
}

/* Not in a signal handler for the first time: the look-up takes locks. */
static void __attribute__((constructor)) start(void)
{
	real();
	cpuid_start();
}

int engine_open(const char *path, int flags, ...)
{
	return engine_syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

int engine_close(int fd)
{
	return engine_syscall(SYS_close, fd);
}

void *engine_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset)
{
	return real()->mmap(addr, len, prot, flags, fd, offset);
}

int engine_munmap(void *addr, size_t len)
{
	return engine_syscall(SYS_munmap, addr, len);
}

int engine_mprotect(void *addr, size_t len, int prot)
{
	return engine_syscall(SYS_mprotect, addr, len, prot);
}

int engine_madvise(void *addr, size_t len, int advice)
{
	return engine_syscall(SYS_madvise, addr, len, advice);
}

int engine_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return real()->fcntl(fd, cmd, arg);
}

int engine_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return real()->pthread_sigmask(how, set, old);
}

long engine_syscall(long number, ...)
{
	va_list ap;
	long a[6];

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return real()->syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t engine_read(int fd, void *buf, size_t n)
{
	return engine_syscall(SYS_read, fd, buf, n);
}

ssize_t engine_write(int fd, const void *buf, size_t n)
{
	return engine_syscall(SYS_write, fd, buf, n);
}

int engine_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return engine_syscall(SYS_poll, fds, n, timeout_ms);
}

int engine_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		 const sigset_t *mask)
{
	struct timespec left;

	/* The kernel writes what is left. */
	if (timeout)
		left = *timeout;
	return engine_syscall(SYS_ppoll, fds, n, timeout ? &left : NULL, mask,
			      8L);
}
