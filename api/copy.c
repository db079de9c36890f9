#include "api/copy.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * The kernel does the copy and reports bad addresses.  Where a sandbox forbids
 * the system call we trust the pointer, as a library may.
 */
static atomic_bool no_process_vm;

static int copy(void *dst, const void *src, size_t n, bool to_user)
{
	/* The kernel writes to @dst, or reads it. cppcheck-suppress
	 * ctuuninitvar */
	struct iovec d = { dst, n }, s = { (void *)src, n };
	ssize_t r = -1;

	if (!n)
		return 0;
	if (!atomic_load_explicit(&no_process_vm, memory_order_relaxed)) {
		r = to_user ? process_vm_writev(getpid(), &s, 1, &d, 1, 0)
			    : process_vm_readv(getpid(), &d, 1, &s, 1, 0);
		if (r < 0 && (errno == ENOSYS || errno == EPERM))
			atomic_store(&no_process_vm, true);
		else
			return r == (ssize_t)n ? 0 : -EFAULT;
	}
	if (!dst || !src)
		return -EFAULT;
	memcpy(dst, src, n);
	return 0;
}

int copy_from_user(void *dst, const void *user, size_t n)
{
	return copy(dst, user, n, false);
}

int copy_to_user(void *user, const void *src, size_t n)
{
	return copy(user, src, n, true);
}
