#include "vmm/kvmfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/ring3.h"
#include "vmm/profile.h"

struct kvmfd_ops {
	const char *name;
	int (*open)(int flags);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	void *(*mmap)(void *addr, size_t len, int prot, int flags, int fd,
		      off_t offset);
	int (*close)(int fd);
};

static int host_open(int flags)
{
	return open("/dev/kvm", flags);
}

static int host_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static const struct kvmfd_ops host_ops = {
	.name = "kvm",
	.open = host_open,
	.ioctl = host_ioctl,
	.mmap = mmap,
	.close = close,
};

static const struct kvmfd_ops ring3_ops = {
	.name = "ring3",
	.open = ring3_open,
	.ioctl = ring3_ioctl,
	.mmap = ring3_mmap,
	.close = ring3_close,
};

int kvmfd_open(struct kvmfd *f, enum accel accel)
{
	f->ops = accel == ACCEL_KVM ? &host_ops : &ring3_ops;
	f->fd = f->ops->open(O_RDWR | O_CLOEXEC);
	if (f->fd >= 0)
		return 0;
	f->ops = NULL;
	return -errno;
}

int kvmfd_ioctl(const struct kvmfd *f, unsigned long request, void *arg)
{
	int r = f->ops->ioctl(f->fd, request, arg);

	return r < 0 ? -errno : r;
}

int kvmfd_ioctl_val(const struct kvmfd *f, unsigned long request,
		    unsigned long arg)
{
	return kvmfd_ioctl(f, request, (void *)arg);
}

int kvmfd_create(const struct kvmfd *parent, unsigned long request,
		 unsigned long arg, struct kvmfd *child)
{
	int fd;

	do {
		fd = kvmfd_ioctl_val(parent, request, arg);
	} while (fd == -EINTR);
	if (fd < 0)
		return fd;
	child->ops = parent->ops;
	child->fd = fd;
	return 0;
}

void *kvmfd_mmap(const struct kvmfd *f, size_t len)
{
	void *p = f->ops->mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			       f->fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

void kvmfd_close(struct kvmfd *f)
{
	if (!f->ops)
		return;
	f->ops->close(f->fd);
	f->ops = NULL;
}

static int kvmfd_enable(const struct kvmfd *vcpu, unsigned capability)
{
	struct kvm_enable_cap cap = { .cap = capability, .args = { 1 } };

	return kvmfd_ioctl(vcpu, KVM_ENABLE_CAP, &cap);
}

int kvmfd_set_careful(const struct kvmfd *vcpu)
{
	return kvmfd_enable(vcpu, RING3_CAP_CAREFUL);
}

int kvmfd_set_forced_emulation(const struct kvmfd *vcpu)
{
	return kvmfd_enable(vcpu, RING3_CAP_FORCED_EMULATION);
}

int kvmfd_set_vmware_backdoor(const struct kvmfd *vcpu)
{
	return kvmfd_enable(vcpu, RING3_CAP_VMWARE_BACKDOOR);
}

void kvmfd_signal(void)
{
	ring3_signal(); /* nothing happens if the thread is in none of its own
			 */
}

bool kvmfd_sample(const void *ucontext, struct profile_sample *s)
{
	struct ring3_sample r;

	if (!ring3_sample(ucontext, &r))
		return false;
	s->where = r.where;
	s->user = r.user;
	s->rip = r.rip;
	s->what = r.what;
	return true;
}

int kvmfd_direct(int *call)
{
	return ring3_direct(call) ? -errno : 0;
}

const char *kvmfd_name(const struct kvmfd *f)
{
	return f->ops->name;
}
