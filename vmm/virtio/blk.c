#include "vmm/virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/virtio/vpci.h"

#define QUEUE_SIZE 128 /* as much as SeaBIOS takes */
#define ID_BYTES   20
#define SLOT_FIRST 2
#define CLASS_SCSI 0x010000

struct blk {
	struct vpci vpci;
	struct disk disk;
	struct virtio_blk_config config;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool kicked, busy, stop; /* under lock */
	atomic_bool pause;	 /* serve no more for now */
	struct queue_chain chain;
};

/* Takes @len bytes off the front of an array of buffers; -EINVAL if short. */
static int iov_take(struct iovec **iov, unsigned *nr, void *to, size_t len)
{
	char *p = to;

	while (len && *nr) {
		size_t n = (*iov)->iov_len < len ? (*iov)->iov_len : len;

		memcpy(p, (*iov)->iov_base, n);
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
		p += n;
		len -= n;
		if (!(*iov)->iov_len) {
			(*iov)++;
			(*nr)--;
		}
	}
	return len ? -EINVAL : 0;
}

static size_t iov_len(const struct iovec *iov, unsigned nr)
{
	size_t len = 0;

	for (unsigned i = 0; i < nr; i++)
		len += iov[i].iov_len;
	return len;
}

static int blk_get_id(struct blk *b, struct iovec *iov, unsigned nr)
{
	const char *id = b->disk.serial;
	size_t left = ID_BYTES;

	if (iov_len(iov, nr) < left)
		return -EINVAL;
	for (; left; iov++) {
		size_t n = iov->iov_len < left ? iov->iov_len : left;

		memcpy(iov->iov_base, id, n);
		id += n;
		left -= n;
	}
	return 0;
}

/* One request without its header and status byte. */
static uint8_t blk_do(struct blk *b, const struct virtio_blk_outhdr *head,
		      struct iovec *out, unsigned nr_out, struct iovec *in,
		      unsigned nr_in)
{
	int r;

	switch (head->type) {
	case VIRTIO_BLK_T_IN:
		r = disk_read(&b->disk, head->sector, in, nr_in);
		break;
	case VIRTIO_BLK_T_OUT:
		r = disk_write(&b->disk, head->sector, out, nr_out);
		break;
	case VIRTIO_BLK_T_FLUSH:
		r = disk_flush(&b->disk);
		break;
	case VIRTIO_BLK_T_GET_ID:
		r = blk_get_id(b, in, nr_in);
		break;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
	return r ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* The last byte that the device may write is the status. */
static int blk_serve(struct blk *b, struct queue *q, struct queue_chain *c)
{
	struct iovec *out = c->iov, *in = c->iov + c->nr_out;
	unsigned nr_out = c->nr_out, nr_in = c->nr_in;
	struct virtio_blk_outhdr head;
	struct iovec *last;
	uint32_t written;
	uint8_t *status;

	if (!nr_in || iov_take(&out, &nr_out, &head, sizeof(head)))
		return -EINVAL;
	written = iov_len(in, nr_in);
	last = &in[nr_in - 1];
	status = (uint8_t *)last->iov_base + --last->iov_len;
	if (!last->iov_len)
		nr_in--;
	*status = blk_do(b, &head, out, nr_out, in, nr_in);
	if (head.type == VIRTIO_BLK_T_OUT || *status != VIRTIO_BLK_S_OK)
		written = 1;
	queue_push(q, c->head, written);
	return 0;
}

static void blk_serve_all(struct blk *b)
{
	struct queue *q = &b->vpci.queues[0];
	int r = 0;

	do {
		queue_set_notify(q, false);
		while (!b->pause && (r = queue_pop(q, &b->chain)) > 0) {
			r = blk_serve(b, q, &b->chain);
			if (r)
				break;
		}
		if (queue_wants_signal(q))
			vpci_signal(&b->vpci, 0);
	} while (!r && !b->pause && queue_set_notify(q, true));
	if (r) {
		q->broken = true;
		vpci_fail(&b->vpci);
	}
}

static void *blk_thread(void *arg)
{
	struct blk *b = arg;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_mutex_lock(&b->lock);
	while (!b->stop) {
		if (!b->kicked) {
			pthread_cond_wait(&b->cond, &b->lock);
			continue;
		}
		b->kicked = false;
		b->busy = true;
		pthread_mutex_unlock(&b->lock);
		if (b->vpci.queues[0].ready)
			blk_serve_all(b);
		pthread_mutex_lock(&b->lock);
		b->busy = false;
		pthread_cond_broadcast(&b->cond);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

static void blk_notify(void *dev, unsigned queue)
{
	struct blk *b = dev;

	pthread_mutex_lock(&b->lock);
	b->kicked = true;
	pthread_cond_broadcast(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

/* The request under way is finished; a guest that resets forgets the others. */
static void blk_reset(void *dev)
{
	struct blk *b = dev;

	pthread_mutex_lock(&b->lock);
	b->kicked = false;
	b->pause = true;
	while (b->busy)
		pthread_cond_wait(&b->cond, &b->lock);
	b->pause = false;
	pthread_mutex_unlock(&b->lock);
}

#define BLK_OPS(more)                                                          \
	{                                                                      \
		.name = "virtio-blk", .id = VIRTIO_ID_BLOCK,                   \
		.pci_class = CLASS_SCSI,                                       \
		.features = BIT(VIRTIO_BLK_F_SEG_MAX) |                        \
			    BIT(VIRTIO_BLK_F_BLK_SIZE) |                       \
			    BIT(VIRTIO_BLK_F_FLUSH) | (more),                  \
		.nr_queues = 1, .queue_size = QUEUE_SIZE,                      \
		.config_size = sizeof(struct virtio_blk_config),               \
		.notify = blk_notify, .reset = blk_reset,                      \
	}
static const struct vpci_ops blk_ops = BLK_OPS(0);
static const struct vpci_ops blk_ro_ops = BLK_OPS(BIT(VIRTIO_BLK_F_RO));

struct blk *blk_new(struct pci *pci, const struct ram *ram,
		    const struct msi_sink *msi, const struct disk *disk)
{
	const struct vpci_ops *ops = disk->readonly ? &blk_ro_ops : &blk_ops;
	struct blk *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->disk = *disk;
	b->config.capacity = disk->sectors;
	b->config.seg_max = QUEUE_SIZE - 2;
	b->config.blk_size = DISK_SECTOR;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->cond, NULL);
	if (vpci_init(&b->vpci, pci, pci_free_slot(pci, SLOT_FIRST), ops, b,
		      &b->config, ram, msi) == 0 &&
	    pthread_create(&b->thread, NULL, blk_thread, b) == 0)
		return b;
	free(b);
	return NULL;
}

void blk_free(struct blk *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	b->pause = true;
	pthread_cond_broadcast(&b->cond);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	disk_flush(&b->disk);
	disk_close(&b->disk);
	free(b);
}

unsigned blk_slot(const struct blk *b)
{
	return b->vpci.func.devfn >> 3;
}
