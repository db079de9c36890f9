#include "api/device.h"

#include <errno.h>
#include <unistd.h>

#include "api/fd.h"
#include "api/ioctl.h"

/*
 * The only device type x86 clients create is VFIO's, a list of groups that
 * tells KVM of assigned devices.  Nothing depends on it here.
 */
static void device_release(void *object)
{
	api_vm_put(object);
}

int device_create(void *object, void *arg, void *user)
{
	struct kvm_create_device *dev = arg;
	int fd, r;

	if (dev->type != KVM_DEV_TYPE_VFIO)
		return -ENODEV;
	if (dev->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	fd = fd_memfd("kvm-vfio", 0);
	if (fd < 0)
		return fd;
	r = fd_install(fd, FILE_DEVICE, object, device_release);
	if (r) {
		close(fd);
		return r;
	}
	api_vm_get(object);
	dev->fd = fd;
	return 0;
}

static bool is_group_attr(const struct kvm_device_attr *attr)
{
	return attr->group == KVM_DEV_VFIO_GROUP &&
	       (attr->attr == KVM_DEV_VFIO_GROUP_ADD ||
		attr->attr == KVM_DEV_VFIO_GROUP_DEL);
}

static int has_attr(void *object, void *arg, void *user)
{
	return is_group_attr(arg) ? 0 : -ENXIO;
}

static int set_attr(void *object, void *arg, void *user)
{
	return is_group_attr(arg) ? 0 : -ENXIO;
}

/* The VFIO device has nothing to read. */
static int get_attr(void *object, void *arg, void *user)
{
	return -EPERM;
}

const struct ioctl_row device_ioctls[] = {
	IOCTL(KVM_HAS_DEVICE_ATTR, has_attr),
	IOCTL(KVM_SET_DEVICE_ATTR, set_attr),
	IOCTL(KVM_GET_DEVICE_ATTR, get_attr),
	{ 0 },
};
