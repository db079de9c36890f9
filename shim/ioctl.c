#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "include/ring3.h"
#include "shim/options.h"
#include "shim/real.h"
#include "shim/signal.h"
#include "shim/trace.h"

static void watch_mask(const struct kvm_signal_mask *mask)
{
	sigset_t set;

	if (!mask || mask->len != 8)
		return;
	sigemptyset(&set);
	memcpy(&set, mask->sigset, 8);
	signals_watch(&set);
}

/* call - a request to the engine; signals wait until it is over. */
static int call(int fd, unsigned int request, void *arg)
{
	int r = ring3_ioctl(fd, request, arg), err = errno;

	signals_after();
	errno = err;
	return r;
}

static int kvm_ioctl(int fd, unsigned int request, void *arg)
{
	int r;

	switch (request) {
	case KVM_RUN:
		signals_before_run();
		break;
	case KVM_CREATE_VM:
		signals_start();
		break;
	case KVM_SET_SIGNAL_MASK:
		watch_mask(arg);
		break;
	}
	r = call(fd, request, arg);
	if (request == KVM_CREATE_VCPU && r >= 0)
		options_apply(r);
	return r;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct trace t;
	va_list ap;
	void *arg;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!ring3_is_fd(fd) &&
	    (_IOC_TYPE(request) != KVMIO || ring3_alias(-1, fd)))
		return real()->ioctl(fd, request, arg);
	if (!trace_on())
		return kvm_ioctl(fd, request, arg);
	trace_begin(&t, fd, request, arg);
	r = kvm_ioctl(fd, request, arg);
	trace_end(&t, r);
	return r;
}

/* mmap_plain - memory, or a file that is none of ours. */
static void *mmap_plain(void *addr, size_t len, int prot, int flags, int fd,
			off_t offset)
{
	if (flags & MAP_FIXED)
		ring3_unmap(addr, len);
	return real()->mmap(addr, len, prot, flags, fd, offset);
}

static void *do_mmap(void *addr, size_t len, int prot, int flags, int fd,
		     off_t offset)
{
	void *p;

	if ((flags & MAP_ANONYMOUS) || !ring3_is_fd(fd))
		return mmap_plain(addr, len, prot, flags, fd, offset);
	p = ring3_mmap(addr, len, prot, flags, fd, offset);
	if (p != MAP_FAILED)
		trace_mmap(fd, p, offset);
	return p;
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset)
{
	return do_mmap(addr, len, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off64_t offset)
{
	return do_mmap(addr, len, prot, flags, fd, offset);
}
