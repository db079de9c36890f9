#include "vmm/virtio/queue.h"

#include <errno.h>
#include <stdatomic.h>

#define CHAIN_FLAGS                                                            \
	(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

/* The index that an event is wanted for, behind the other ring's entries. */
static uint16_t *queue_used_event(struct queue *q)
{
	return &q->avail->ring[q->size];
}

static uint16_t *queue_avail_event(struct queue *q)
{
	return (uint16_t *)&q->used->ring[q->size];
}

int queue_start(struct queue *q)
{
	uint64_t n = q->size;

	q->next_avail = q->next_used = q->signalled = 0;
	q->broken = false;
	if (!n || (n & (n - 1)) || q->desc_gpa % 16 || q->avail_gpa % 2 ||
	    q->used_gpa % 4)
		return -EINVAL;
	q->desc = ram_ptr(q->ram, q->desc_gpa, n * sizeof(q->desc[0]));
	q->avail = ram_ptr(q->ram, q->avail_gpa, 6 + 2 * n);
	q->used = ram_ptr(q->ram, q->used_gpa, 6 + 8 * n);
	q->ready = q->desc && q->avail && q->used;
	return q->ready ? 0 : -EINVAL;
}

void queue_stop(struct queue *q)
{
	q->ready = false;
	q->broken = false;
	q->desc_gpa = q->avail_gpa = q->used_gpa = 0;
}

static uint16_t queue_load(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static int queue_add(struct queue *q, struct queue_chain *c,
		     const struct vring_desc *d)
{
	unsigned nr = c->nr_out + c->nr_in;
	void *p = ram_ptr(q->ram, d->addr, d->len);

	if (!p || nr == QUEUE_IOV_MAX)
		return -EINVAL;
	if (!d->len)
		return 0;
	if (d->flags & VRING_DESC_F_WRITE)
		c->nr_in++;
	else if (c->nr_in)
		return -EINVAL; /* what is read comes first */
	else
		c->nr_out++;
	c->iov[nr] = (struct iovec){ p, d->len };
	return 0;
}

/* A table of descriptors, from @i on; it may lead to one indirect table. */
static int queue_walk(struct queue *q, struct queue_chain *c,
		      const struct vring_desc *table, unsigned nr, unsigned i,
		      bool indirect)
{
	for (unsigned steps = 0; steps < nr; steps++) {
		struct vring_desc d;

		if (i >= nr)
			return -EINVAL;
		d = *(const volatile struct vring_desc *)&table[i];
		if ((d.flags & ~CHAIN_FLAGS) && indirect)
			return -EINVAL;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			table = ram_ptr(q->ram, d.addr, d.len);
			nr = d.len / sizeof(d);
			if (!table || indirect || d.len % sizeof(d))
				return -EINVAL;
			return queue_walk(q, c, table, nr, 0, true);
		}
		if (queue_add(q, c, &d))
			return -EINVAL;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
	}
	return -EINVAL; /* a loop */
}

int queue_pop(struct queue *q, struct queue_chain *chain)
{
	uint16_t idx, head;

	if (!q->ready || q->broken)
		return 0;
	idx = queue_load(&q->avail->idx);
	if (idx == q->next_avail)
		return 0;
	head = queue_load(&q->avail->ring[q->next_avail % q->size]);
	chain->head = head;
	chain->nr_out = chain->nr_in = 0;
	if ((uint16_t)(idx - q->next_avail) > q->size ||
	    queue_walk(q, chain, q->desc, q->size, head, false)) {
		q->broken = true;
		return -EINVAL;
	}
	q->next_avail++;
	return 1;
}

void queue_push(struct queue *q, uint16_t head, uint32_t len)
{
	struct vring_used_elem *e = &q->used->ring[q->next_used % q->size];

	e->id = head;
	e->len = len;
	q->next_used++;
	__atomic_store_n(&q->used->idx, q->next_used, __ATOMIC_RELEASE);
}

bool queue_wants_signal(struct queue *q)
{
	uint16_t old = q->signalled, new = q->next_used;

	atomic_thread_fence(memory_order_seq_cst);
	q->signalled = new;
	if (old == new)
		return false;
	if (!q->event_idx)
		return !(queue_load(&q->avail->flags) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(queue_load(queue_used_event(q)), new, old);
}

bool queue_set_notify(struct queue *q, bool on)
{
	if (!q->ready || q->broken)
		return false;
	if (!q->event_idx)
		q->used->flags = on ? 0 : VRING_USED_F_NO_NOTIFY;
	else if (on)
		__atomic_store_n(queue_avail_event(q), q->next_avail,
				 __ATOMIC_RELAXED);
	if (!on)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	return queue_load(&q->avail->idx) != q->next_avail;
}
