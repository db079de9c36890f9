#include "api/ioctl.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/copy.h"
#include "api/fd.h"
#include "include/ring3.h"
#include "root/run.h"

struct scope {
	const struct ioctl_row *rows; /* NULL: no ioctl at all */
	int unknown;		      /* answer to an unknown request */
};

static const struct scope scopes[NR_FILE_TYPES] = {
	[FILE_SYSTEM] = { system_ioctls, -EINVAL },
	[FILE_VM] = { vm_ioctls, -ENOTTY },
	[FILE_VCPU] = { vcpu_ioctls, -EINVAL },
	[FILE_DEVICE] = { device_ioctls, -ENOTTY },
	[FILE_STATS] = { NULL, -ENOTTY },
};

static int call(const struct ioctl_row *row, void *object, void *user)
{
	uint64_t arg[IOCTL_MAX_ARG / sizeof(uint64_t)];
	size_t size = _IOC_SIZE(row->request);
	uint32_t dir = _IOC_DIR(row->request);
	int r;

	if (!size || (row->flags & IOCTL_RAW))
		return row->fn(object, NULL, user);
	if ((dir & _IOC_WRITE) || (row->flags & IOCTL_IN)) {
		if (copy_from_user(arg, user, size))
			return -EFAULT;
	} else {
		memset(arg, 0, size);
	}
	r = row->fn(object, arg, user);
	if (r >= 0 && (dir & _IOC_READ) && !(row->flags & IOCTL_IN) &&
	    copy_to_user(user, arg, size))
		return -EFAULT;
	return r;
}

/* call_vcpu - one ioctl at a time, and none that races with slot changes. */
static int call_vcpu(const struct ioctl_row *row, struct api_vcpu *av,
		     void *user)
{
	struct vcpu *v = av->vcpu;
	bool is_run = row->request == KVM_RUN;
	int r;

	pthread_mutex_lock(&v->lock);
	if (!is_run)
		lock_take(&v->mem_lock);
	r = call(row, av, user);
	if (!is_run)
		lock_drop(&v->mem_lock);
	pthread_mutex_unlock(&v->lock);
	return r;
}

static int dispatch(const struct file *f, uint32_t request, void *user)
{
	const struct scope *s = &scopes[f->type];
	const struct ioctl_row *row;

	if (!fd_same_mm(f) && f->type != FILE_SYSTEM)
		return -EIO;
	if (!s->rows)
		return s->unknown;
	for (row = s->rows; row->request != request; row++) {
		if (!row->fn)
			return s->unknown;
	}
	if (!row->fn)
		return s->unknown;
	if (f->type == FILE_VCPU)
		return call_vcpu(row, f->object, user);
	return call(row, f->object, user);
}

int ring3_ioctl(int fd, unsigned long request, void *arg)
{
	struct file *f;
	int r = -EBADF;

	vcpu_call_begin();
	f = fd_get(fd);
	if (f) {
		/* Callers that hold requests in an int sign-extend them. */
		r = dispatch(f, (uint32_t)request, arg);
		fd_put(f);
	}
	vcpu_call_end();
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

int ring3_close(int fd)
{
	if (!fd_known(fd)) {
		errno = EBADF;
		return -1;
	}
	fd_remove(fd);
	return close(fd);
}

int ring3_is_fd(int fd)
{
	return fd_known(fd);
}

int ring3_alias(int of, int fd)
{
	int r = of < 0 ? fd_adopt(fd) : fd_alias(of, fd);

	if (!r)
		return 0;
	errno = -r;
	return -1;
}

void ring3_forget(int fd)
{
	fd_remove(fd);
}

int ring3_signal(void)
{
	return vcpu_signal();
}
