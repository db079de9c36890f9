#pragma once

#include <linux/virtio_ring.h>
#include <sys/uio.h>

#include "vmm/ram.h"

/*
 * The device's side of a split virtqueue ("Virtual I/O Device (VIRTIO) Version
 * 1.2", "Split Virtqueues").  A queue is used by one thread at a time.
 */
#define QUEUE_SIZE_MAX 256
#define QUEUE_IOV_MAX  (QUEUE_SIZE_MAX + 2)

struct queue {
	const struct ram *ram;
	uint16_t size;			     /* a power of two */
	gpa_t desc_gpa, avail_gpa, used_gpa; /* set before queue_start() */
	bool ready;
	bool event_idx; /* VIRTIO_RING_F_EVENT_IDX was agreed on */
	bool broken;	/* the driver put nonsense into it */

	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_avail, next_used, signalled;
};

/* What the driver put into the queue: what it sends, then what it wants. */
struct queue_chain {
	uint16_t head;
	unsigned nr_out, nr_in;
	struct iovec iov[QUEUE_IOV_MAX];
};

/* queue_start - begin at the rings' start; -EINVAL if they are not in RAM. */
int queue_start(struct queue *q);

/* queue_stop - as after reset; the size stays. */
void queue_stop(struct queue *q);

/*
 * queue_pop - the next chain; 1, 0 if there is none, or -EINVAL: the queue is
 * broken from then on.
 */
int queue_pop(struct queue *q, struct queue_chain *chain);

/* queue_push - give a chain back, @len bytes of its second half written. */
void queue_push(struct queue *q, uint16_t head, uint32_t len);

/*
 * queue_wants_signal - whether the driver asks for an interrupt for what was
 * pushed since the last call.
 */
bool queue_wants_signal(struct queue *q);

/*
 * queue_set_notify - whether the driver is to notify of new chains.  Switched
 * on, true if there are some already.
 */
bool queue_set_notify(struct queue *q, bool on);
