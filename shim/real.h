#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * The C library's own functions behind those that the shim defines anew.
 * Looked up when first needed, since other libraries' constructors may run
 * before anything of ours.
 */
/* clang-format off */
#define REAL_LIST(X)                                                           \
	X(int, open, (const char *, int, ...))                                 \
	X(int, openat, (int, const char *, int, ...))                          \
	X(FILE *, fopen, (const char *, const char *))                         \
	X(int, ioctl, (int, unsigned long, ...))                               \
	X(void *, mmap, (void *, size_t, int, int, int, off_t))                \
	X(int, munmap, (void *, size_t))                                       \
	X(int, mprotect, (void *, size_t, int))                                \
	X(void *, mremap, (void *, size_t, size_t, int, ...))                  \
	X(int, madvise, (void *, size_t, int))                                 \
	X(int, close, (int))                                                   \
	X(int, close_range, (unsigned int, unsigned int, int))                 \
	X(int, dup, (int))                                                     \
	X(int, dup2, (int, int))                                               \
	X(int, dup3, (int, int, int))                                          \
	X(int, fcntl, (int, int, ...))                                         \
	X(long, syscall, (long, ...))                                          \
	X(int, access, (const char *, int))                                    \
	X(int, faccessat, (int, const char *, int, int))                       \
	X(int, fstatat, (int, const char *, struct stat *, int))               \
	X(int, statx, (int, const char *, int, unsigned int, struct statx *))  \
	X(int, sigaction, (int, const struct sigaction *, struct sigaction *)) \
	X(int, pthread_sigmask, (int, const sigset_t *, sigset_t *))           \
	X(int, pthread_cancel, (pthread_t))
/* clang-format on */

struct real {
#define REAL_FIELD_(type, name, args) type(*name) args;
	REAL_LIST(REAL_FIELD_)
#undef REAL_FIELD_
};

/* real - the table of them. */
const struct real *real(void);

/* What the shim defines for the client is visible, and nothing else. */
#define EXPORT __attribute__((visibility("default")))
