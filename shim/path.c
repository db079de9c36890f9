#include "shim/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/types.h"
#include "include/ring3.h"
#include "shim/cpuinfo.h"
#include "shim/real.h"
#include "shim/trace.h"

#define FOLDER_MAX 256

/* same_folder - whether the first @len bytes of @path name the folder @want. */
static bool same_folder(int dirfd, const char *path, size_t len,
			const char *want)
{
	char folder[FOLDER_MAX];
	struct stat a, b;
	int saved = errno;
	bool same;

	if (len == strlen(want) && !memcmp(path, want, len))
		return true;
	if (len >= sizeof(folder))
		return false;
	memcpy(folder, path, len);
	folder[len] = 0;
	same = !real()->fstatat(dirfd, len ? folder : ".", &a, 0) &&
	       !real()->fstatat(AT_FDCWD, want, &b, 0) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
	errno = saved;
	return same;
}

enum path_kind path_kind(int dirfd, const char *path)
{
	static const struct {
		const char *folder, *name;
		enum path_kind kind;
	} known[] = {
		{ "/dev/", "kvm", PATH_KVM },
		{ "/proc/", "cpuinfo", PATH_CPUINFO },
	};
	const char *name;

	if (!path)
		return PATH_OTHER;
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(name, known[i].name) &&
		    same_folder(dirfd, path, name - path, known[i].folder))
			return known[i].kind;
	return PATH_OTHER;
}

static int open_kvm(int flags)
{
	int fd;

	if (flags & O_DIRECTORY) {
		errno = ENOTDIR;
		return -1;
	}
	if ((flags & O_CREAT) && (flags & O_EXCL)) {
		errno = EEXIST;
		return -1;
	}
	fd = ring3_open(flags);
	if (fd >= 0)
		trace_open(fd);
	return fd;
}

int path_open(enum path_kind kind, int flags)
{
	return kind == PATH_KVM ? open_kvm(flags) : cpuinfo_open(flags);
}
