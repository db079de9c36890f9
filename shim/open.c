#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

#include "shim/path.h"
#include "shim/real.h"

/* Every way by which a program opens /dev/kvm. */

/* The C library's checked forms, for flags without a mode. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags);
EXPORT int __openat_2(int dirfd, const char *path, int flags);
EXPORT int __openat64_2(int dirfd, const char *path, int flags);

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	enum path_kind kind = path_kind(dirfd, path);

	if (kind != PATH_OTHER)
		return path_open(kind, flags);
	return real()->openat(dirfd, path, flags, mode);
}

/* A mode is there only if the flags ask for it, but reading it is harmless. */
#define READ_MODE(mode, last)                                                  \
	do {                                                                   \
		va_list ap;                                                    \
		va_start(ap, last);                                            \
		mode = va_arg(ap, mode_t);                                     \
		va_end(ap);                                                    \
	} while (0)

EXPORT int open(const char *path, int flags, ...)
{
	mode_t mode;

	READ_MODE(mode, flags);
	return do_open(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
	mode_t mode;

	READ_MODE(mode, flags);
	return do_open(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;

	READ_MODE(mode, flags);
	return do_open(dirfd, path, flags, mode);
}

EXPORT int openat64(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;

	READ_MODE(mode, flags);
	return do_open(dirfd, path, flags, mode);
}

EXPORT int __open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

EXPORT int __openat64_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

static FILE *do_fopen(const char *path, const char *mode)
{
	FILE *f;
	int fd;

	if (path_kind(AT_FDCWD, path) != PATH_CPUINFO)
		return real()->fopen(path, mode);
	fd = path_open(PATH_CPUINFO, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	f = fdopen(fd, "r");
	if (!f)
		real()->close(fd);
	return f;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	return do_fopen(path, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
	return do_fopen(path, mode);
}
