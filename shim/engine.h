#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/types.h>
#include <time.h>

/*
 * What the engine calls in place of the C library's functions that the shim
 * defines anew; the build renames its references (mk/shim.mk).
 */
int engine_open(const char *path, int flags, ...);
int engine_close(int fd);
void *engine_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset);
int engine_munmap(void *addr, size_t len);
int engine_mprotect(void *addr, size_t len, int prot);
int engine_madvise(void *addr, size_t len, int advice);
int engine_fcntl(int fd, int cmd, ...);
int engine_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
long engine_syscall(long number, ...);

/*
 * The C library's are points of cancellation, KVM's ioctl is none: system calls
 * alone.
 */
ssize_t engine_read(int fd, void *buf, size_t n);
ssize_t engine_write(int fd, const void *buf, size_t n);
int engine_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int engine_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		 const sigset_t *mask);

/*
 * engine_sigaction - the engine's handlers take the place of the client's,
 * which shim/signal.c has the engine call for what is not its own.
 */
int engine_sigaction(int sig, const struct sigaction *act,
		     struct sigaction *old);
