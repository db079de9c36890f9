#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shim/path.h"
#include "shim/real.h"

/* /dev/kvm exists, and everybody may use it. */
#define KVM_MAJOR 10
#define KVM_MINOR 232
#define KVM_MODE  (S_IFCHR | 0666)

static int is_kvm(int dirfd, const char *path)
{
	return path_kind(dirfd, path) == PATH_KVM;
}

/* stat_kvm - the rest of it as another device's. */
static int stat_kvm(struct stat *st)
{
	int r = real()->fstatat(AT_FDCWD, "/dev/null", st, 0);

	st->st_mode = KVM_MODE;
	st->st_rdev = makedev(KVM_MAJOR, KVM_MINOR);
	return r;
}

static int do_stat(int dirfd, const char *path, struct stat *st, int flags)
{
	if (is_kvm(dirfd, path))
		return stat_kvm(st);
	return real()->fstatat(dirfd, path, st, flags);
}

EXPORT int stat(const char *path, struct stat *st)
{
	return do_stat(AT_FDCWD, path, st, 0);
}

EXPORT int lstat(const char *path, struct stat *st)
{
	return do_stat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return do_stat(dirfd, path, st, flags);
}

/* Both names of a structure are one on x86-64. */
EXPORT int stat64(const char *path, struct stat64 *st)
{
	return do_stat(AT_FDCWD, path, (struct stat *)st, 0);
}

EXPORT int lstat64(const char *path, struct stat64 *st)
{
	return do_stat(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
	return do_stat(dirfd, path, (struct stat *)st, flags);
}

/* What programs built for C libraries before 2.33 call. */
EXPORT int __xstat(int version, const char *path, struct stat *st);
EXPORT int __xstat64(int version, const char *path, struct stat *st);
EXPORT int __lxstat(int version, const char *path, struct stat *st);
EXPORT int __lxstat64(int version, const char *path, struct stat *st);

EXPORT int __xstat(int version, const char *path, struct stat *st)
{
	return do_stat(AT_FDCWD, path, st, 0);
}

EXPORT int __xstat64(int version, const char *path, struct stat *st)
{
	return do_stat(AT_FDCWD, path, st, 0);
}

EXPORT int __lxstat(int version, const char *path, struct stat *st)
{
	return do_stat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int __lxstat64(int version, const char *path, struct stat *st)
{
	return do_stat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int statx(int dirfd, const char *path, int flags, unsigned int mask,
		 struct statx *st)
{
	int r;

	if (!is_kvm(dirfd, path))
		return real()->statx(dirfd, path, flags, mask, st);
	r = real()->statx(AT_FDCWD, "/dev/null", flags, mask, st);
	st->stx_mode = KVM_MODE;
	st->stx_rdev_major = KVM_MAJOR;
	st->stx_rdev_minor = KVM_MINOR;
	return r;
}

static int access_kvm(int mode)
{
	if (!(mode & X_OK))
		return 0;
	errno = EACCES;
	return -1;
}

EXPORT int access(const char *path, int mode)
{
	if (is_kvm(AT_FDCWD, path))
		return access_kvm(mode);
	return real()->access(path, mode);
}

EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
	if (is_kvm(dirfd, path))
		return access_kvm(mode);
	return real()->faccessat(dirfd, path, mode, flags);
}

EXPORT int euidaccess(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}

EXPORT int eaccess(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}
