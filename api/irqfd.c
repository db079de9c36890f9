#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "api/eventfd.h"
#include "api/eventfd_int.h"
#include "api/fd.h"
#include "root/vm_irq.h"

/*
 * irqfd: an eventfd's signal drives an interrupt line.  Whoever writes to it,
 * another process or the host's kernel included, cannot be seen writing: a
 * service thread per VM waits for the descriptors to become readable.
 */
struct irqfd {
	struct irqfd *next;
	int fd;		 /* our own descriptor of the client's eventfd */
	int resample_fd; /* likewise, -1: pulse the line */
	int64_t id;
	uint32_t gsi;
};

/* consume - takes the counter; false if nobody signalled after all. */
static bool consume(int fd)
{
	uint64_t count;
	struct iovec v = { &count, sizeof(count) };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n = preadv2(fd, &v, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP) {
		if (poll(&p, 1, 0) != 1)
			return false;
		n = read(fd, &count, sizeof(count));
	}
	return n == sizeof(count);
}

/* deliver - the eventfd was signalled; under irqfd_lock. */
static void deliver(struct irqchip *chip, const struct irqfd *f)
{
	if (f->resample_fd >= 0) {
		irqchip_set_irq(chip, f->gsi, IRQ_SOURCE_RESAMPLE, true);
		return;
	}
	irqchip_set_irq(chip, f->gsi, IRQ_SOURCE_USER, true);
	irqchip_set_irq(chip, f->gsi, IRQ_SOURCE_USER, false);
}

/* ready - @which became readable; it may be gone by now. */
static void ready(struct api_vm *avm, const void *which)
{
	struct eventfds *e = avm->eventfds;

	pthread_mutex_lock(&e->irqfd_lock);
	for (struct irqfd *f = e->irqfds; f; f = f->next) {
		if (f != which || !consume(f->fd))
			continue;
		dbt_outside(avm->vm->dbt);
		deliver(avm->vm->irqchip, f);
	}
	pthread_mutex_unlock(&e->irqfd_lock);
}

static void *service(void *arg)
{
	struct api_vm *avm = arg;
	struct epoll_event ev[16];
	int n;

	for (;;) {
		n = epoll_wait(avm->eventfds->epoll_fd, ev, ARRAY_SIZE(ev), -1);
		for (int i = 0; i < n; i++) {
			if (!ev[i].data.ptr)
				return NULL;
			ready(avm, ev[i].data.ptr);
		}
	}
}

/* start_service - under irqfd_lock. */
static int start_service(struct api_vm *avm)
{
	struct eventfds *e = avm->eventfds;
	struct epoll_event ev = { .events = EPOLLIN };
	sigset_t all, old;
	int epoll_fd, r;

	if (e->epoll_fd >= 0)
		return 0;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->stop_fd = eventfd(0, EFD_CLOEXEC);
	r = -ENOMEM;
	if (epoll_fd < 0 || e->stop_fd < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, e->stop_fd, &ev))
		goto fail;
	e->epoll_fd = epoll_fd;
	/* The client's signals are not for this thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&e->thread, NULL, service, avm);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!r)
		return 0;
	e->epoll_fd = -1;
fail:
	if (epoll_fd >= 0)
		close(epoll_fd);
	if (e->stop_fd >= 0)
		close(e->stop_fd);
	e->stop_fd = -1;
	return r;
}

static void irqfd_free(struct irqfd *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->resample_fd >= 0)
		close(f->resample_fd);
	free(f);
}

static bool is_bound(const struct eventfds *e, int64_t id)
{
	for (const struct irqfd *f = e->irqfds; f; f = f->next) {
		if (f->id == id)
			return true;
	}
	return false;
}

static bool has_resampler(const struct eventfds *e, uint32_t gsi)
{
	for (const struct irqfd *f = e->irqfds; f; f = f->next) {
		if (f->gsi == gsi && f->resample_fd >= 0)
			return true;
	}
	return false;
}

/* add - under irqfd_lock. */
static int add(struct api_vm *avm, struct irqfd *f)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = f };
	struct eventfds *e = avm->eventfds;
	int r;

	if (is_bound(e, f->id))
		return -EBUSY;
	r = start_service(avm);
	if (r)
		return r;
	if (f->resample_fd >= 0 && !has_resampler(e, f->gsi)) {
		r = irqchip_watch_ack(avm->vm->irqchip, f->gsi, true);
		if (r)
			return r;
	}
	f->next = e->irqfds;
	e->irqfds = f;
	/* One that is readable already fires at once. */
	if (!epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev))
		return 0;
	e->irqfds = f->next;
	return -errno;
}

static int assign(struct api_vm *avm, const struct kvm_irqfd *in, int64_t id)
{
	struct irqfd *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->gsi = in->gsi;
	f->id = id;
	f->resample_fd = -1;
	f->fd = fd_dup(in->fd);
	r = f->fd < 0 ? f->fd : 0;
	if (!r && (in->flags & KVM_IRQFD_FLAG_RESAMPLE)) {
		f->resample_fd = fd_dup(in->resamplefd);
		r = f->resample_fd < 0 ? f->resample_fd : 0;
	}
	if (!r) {
		pthread_mutex_lock(&avm->eventfds->irqfd_lock);
		r = add(avm, f);
		pthread_mutex_unlock(&avm->eventfds->irqfd_lock);
	}
	if (r)
		irqfd_free(f);
	return r;
}

/* remove_one - takes the list's entry at @p out; under irqfd_lock. */
static void remove_one(struct api_vm *avm, struct irqfd **p)
{
	struct eventfds *e = avm->eventfds;
	struct irqchip *chip = avm->vm->irqchip;
	struct irqfd *f = *p;

	*p = f->next;
	epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
	if (f->resample_fd >= 0 && !has_resampler(e, f->gsi)) {
		(void)!irqchip_watch_ack(chip, f->gsi, false);
		irqchip_set_irq(chip, f->gsi, IRQ_SOURCE_RESAMPLE, false);
	}
	irqfd_free(f);
}

static void deassign(struct api_vm *avm, uint32_t gsi, int64_t id)
{
	struct eventfds *e = avm->eventfds;
	struct irqfd **p = &e->irqfds;

	pthread_mutex_lock(&e->irqfd_lock);
	while (*p) {
		if ((*p)->id == id && (*p)->gsi == gsi)
			remove_one(avm, p);
		else
			p = &(*p)->next;
	}
	pthread_mutex_unlock(&e->irqfd_lock);
}

int irqfd(void *object, void *arg, void *user)
{
	const struct kvm_irqfd *in = arg;
	struct api_vm *avm = object;
	bool resample = in->flags & KVM_IRQFD_FLAG_RESAMPLE;
	int64_t id, resample_id = 0;

	if (in->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	id = eventfd_id(in->fd);
	if (in->flags & KVM_IRQFD_FLAG_DEASSIGN) {
		if (id < 0)
			return id;
		deassign(avm, in->gsi, id);
		return 0;
	}
	/* Only the engine's own I/O APIC can tell when to sample again. */
	if (!avm->vm->irqchip || (resample && !vm_has_pic(avm->vm)))
		return -EINVAL;
	if (resample)
		resample_id = eventfd_id(in->resamplefd);
	if (id < 0 || resample_id < 0)
		return id < 0 ? id : resample_id;
	return assign(avm, in, id);
}

void irqfd_ack(void *owner, uint32_t gsi)
{
	struct api_vm *avm = owner;
	struct eventfds *e = avm->eventfds;

	pthread_mutex_lock(&e->irqfd_lock);
	irqchip_set_irq(avm->vm->irqchip, gsi, IRQ_SOURCE_RESAMPLE, false);
	for (struct irqfd *f = e->irqfds; f; f = f->next) {
		if (f->gsi == gsi && f->resample_fd >= 0)
			eventfd_signal(f->resample_fd);
	}
	pthread_mutex_unlock(&e->irqfd_lock);
}

void irqfd_free_all(struct eventfds *e)
{
	struct irqfd *f;

	while ((f = e->irqfds)) {
		e->irqfds = f->next;
		irqfd_free(f);
	}
}
