#pragma once

#include <linux/kvm.h>

#include "api/object.h"

/*
 * A row of an ioctl table.  The dispatcher copies the argument structure in
 * (requests with _IOC_WRITE) and, after success, out (_IOC_READ), by the
 * request's own size; handlers of requests without a structure, and those
 * marked IOCTL_RAW, get the bare argument in @user.
 * A handler answers a value >= 0 or -errno.
 */
typedef int (*ioctl_fn)(void *object, void *arg, void *user);

#define IOCTL_RAW BIT(0) /* the handler copies itself (flexible arrays) */
/* copied in and not out, whatever the request says */
#define IOCTL_IN BIT(1)

struct ioctl_row {
	uint32_t request;
	uint32_t flags;
	ioctl_fn fn;
};

/* One table a kind of descriptor, ended by a row without a handler. */
extern const struct ioctl_row system_ioctls[];
extern const struct ioctl_row vm_ioctls[];
extern const struct ioctl_row vcpu_ioctls[];
extern const struct ioctl_row device_ioctls[];

#define IOCTL(req, fn)                                                         \
	{                                                                      \
		(uint32_t)(req), 0, fn                                         \
	}
#define IOCTL_FLAGS(req, fn, flags)                                            \
	{                                                                      \
		(uint32_t)(req), flags, fn                                     \
	}

#define IOCTL_MAX_ARG 4096
