#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Files that the shim answers for. */
enum path_kind {
	PATH_OTHER,
	PATH_KVM,     /* /dev/kvm, which need not exist */
	PATH_CPUINFO, /* /proc/cpuinfo, if it lacks what clients look for */
};

/*
 * path_kind - what @path means, relative to @dirfd or AT_FDCWD; does not
 * change errno.  Any spelling of the folder's name will do.
 */
enum path_kind path_kind(int dirfd, const char *path);

/* path_open - opens one that is not PATH_OTHER: a descriptor, or -1. */
int path_open(enum path_kind kind, int flags);
