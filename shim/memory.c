#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "include/ring3.h"
#include "shim/real.h"

/*
 * Guest memory is a shared mapping for the engine's sake (include/ring3.h); to
 * the client it behaves as the private one that it has made.
 */

EXPORT int munmap(void *addr, size_t len)
{
	ring3_unmap(addr, len);
	return real()->munmap(addr, len);
}

EXPORT int mprotect(void *addr, size_t len, int prot)
{
	if ((prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		ring3_unmap(addr, len);
	return real()->mprotect(addr, len, prot);
}

EXPORT void *mremap(void *old, size_t old_len, size_t len, int flags, ...)
{
	va_list ap;
	void *to;

	va_start(ap, flags);
	to = va_arg(ap, void *);
	va_end(ap);
	ring3_unmap(old, old_len);
	if (flags & MREMAP_FIXED)
		ring3_unmap(to, len);
	return real()->mremap(old, old_len, len, flags, to);
}

/* discard - what the client gave up, with the result that the kernel had. */
static ssize_t discard(void *addr, size_t len)
{
	int err = errno;
	ssize_t bytes = ring3_discard(addr, len);

	errno = err;
	return bytes;
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	int r = real()->madvise(addr, len, advice);

	/* Of shared memory it cannot be freed later; now will do. */
	if (r && advice == MADV_FREE && errno == EINVAL &&
	    discard(addr, len) > 0)
		return real()->madvise(addr, len, MADV_DONTNEED);
	/* ENOMEM: there are holes, and the rest was done. */
	if ((advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED) &&
	    (!r || errno == ENOMEM))
		discard(addr, len);
	return r;
}
