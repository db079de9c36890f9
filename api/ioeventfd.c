#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/eventfd.h"
#include "api/eventfd_int.h"
#include "api/fd.h"

/* ioeventfd: a guest write to an address signals an eventfd, without an exit.
 */
#define VALID_FLAGS ((1u << kvm_ioeventfd_flag_nr_max) - 1)

enum io_bus { BUS_MMIO, BUS_PIO, BUS_NONE };

struct ioeventfd {
	uint64_t addr;
	uint32_t len; /* 0: writes of any length */
	bool any;     /* no datamatch */
	uint8_t bus;  /* enum io_bus */
	int fd;
	int64_t id;
	uint64_t datamatch;
};

static enum io_bus bus_of(uint32_t flags)
{
	if (flags & KVM_IOEVENTFD_FLAG_PIO)
		return BUS_PIO;
	/* Another architecture's hypercall: registers, but nothing hits it. */
	if (flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY)
		return BUS_NONE;
	return BUS_MMIO;
}

/* collides - one write could hit both. */
static bool collides(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->bus != b->bus || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len &&
	       (a->any || b->any || a->datamatch == b->datamatch);
}

static bool same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->bus == b->bus && a->addr == b->addr && a->len == b->len &&
	       a->id == b->id && a->any == b->any &&
	       (a->any || a->datamatch == b->datamatch);
}

/* add - under io_lock (write). */
static int add(struct eventfds *e, struct ioeventfd *new, int fd)
{
	struct ioeventfd *list;

	for (uint32_t i = 0; i < e->nr_ioeventfds; i++) {
		if (collides(&e->ioeventfds[i], new))
			return -EEXIST;
	}
	list = realloc(e->ioeventfds, (e->nr_ioeventfds + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	e->ioeventfds = list;
	new->fd = fd_dup(fd);
	if (new->fd < 0)
		return new->fd;
	list[e->nr_ioeventfds] = *new;
	__atomic_store_n(&e->nr_ioeventfds, e->nr_ioeventfds + 1,
			 __ATOMIC_RELAXED);
	return 0;
}

/* drop - under io_lock (write). */
static int drop(struct eventfds *e, const struct ioeventfd *which)
{
	for (uint32_t i = 0; i < e->nr_ioeventfds; i++) {
		if (!same(&e->ioeventfds[i], which))
			continue;
		close(e->ioeventfds[i].fd);
		e->ioeventfds[i] = e->ioeventfds[e->nr_ioeventfds - 1];
		__atomic_store_n(&e->nr_ioeventfds, e->nr_ioeventfds - 1,
				 __ATOMIC_RELAXED);
		return 0;
	}
	return -ENOENT;
}

static bool is_valid(const struct kvm_ioeventfd *in)
{
	bool match = in->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;

	return in->len <= 8 && (in->len & (in->len - 1)) == 0 &&
	       in->addr + in->len >= in->addr && !(in->flags & ~VALID_FLAGS) &&
	       (in->len || !match);
}

int ioeventfd(void *object, void *arg, void *user)
{
	struct eventfds *e = ((struct api_vm *)object)->eventfds;
	const struct kvm_ioeventfd *in = arg;
	struct ioeventfd f = {
		.addr = in->addr,
		.len = in->len,
		.any = !(in->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
		.bus = bus_of(in->flags),
		.datamatch = in->datamatch & MASK(in->len * 8),
	};
	bool deassign = in->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	int r;

	if (!deassign && !is_valid(in))
		return -EINVAL;
	f.id = eventfd_id(in->fd);
	if (f.id < 0)
		return f.id;
	pthread_rwlock_wrlock(&e->io_lock);
	r = deassign ? drop(e, &f) : add(e, &f, in->fd);
	pthread_rwlock_unlock(&e->io_lock);
	return r;
}

static bool hits(const struct ioeventfd *f, enum io_bus bus, uint64_t addr,
		 unsigned int len, uint64_t value)
{
	if (f->addr != addr || f->bus != bus)
		return false;
	if (!f->len)
		return true;
	return f->len == len && (f->any || f->datamatch == value);
}

bool ioeventfd_write(struct api_vm *avm, bool pio, uint64_t addr,
		     unsigned int len, const void *data)
{
	struct eventfds *e = avm->eventfds;
	uint64_t value = 0;
	bool hit = false;

	if (!__atomic_load_n(&e->nr_ioeventfds, __ATOMIC_RELAXED))
		return false;
	memcpy(&value, data, len);
	pthread_rwlock_rdlock(&e->io_lock);
	for (uint32_t i = 0; i < e->nr_ioeventfds && !hit; i++) {
		const struct ioeventfd *f = &e->ioeventfds[i];

		hit = hits(f, pio ? BUS_PIO : BUS_MMIO, addr, len, value);
		if (hit)
			eventfd_signal(f->fd);
	}
	pthread_rwlock_unlock(&e->io_lock);
	return hit;
}

void ioeventfd_free_all(struct eventfds *e)
{
	for (uint32_t i = 0; i < e->nr_ioeventfds; i++)
		close(e->ioeventfds[i].fd);
	free(e->ioeventfds);
}
