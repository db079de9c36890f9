#include "vmm/dev/fwcfg.h"

#include <pthread.h>
#include <stdlib.h>

#define ITEM_MASK 0x3fff /* without the write and architecture bits */

struct fwcfg_item {
	uint16_t id, len;
	uint64_t val; /* little endian, and zeros behind it */
};

struct fwcfg {
	pthread_mutex_t lock;
	struct fwcfg_item items[5];
	uint16_t selected;
	unsigned pos;
};

static uint8_t fwcfg_next_byte(struct fwcfg *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(f->items); i++) {
		const struct fwcfg_item *item = &f->items[i];

		if (item->id != f->selected)
			continue;
		if (f->pos >= item->len)
			return 0;
		return item->val >> 8 * f->pos++;
	}
	return 0;
}

static uint64_t fwcfg_read(void *dev, uint64_t offset, unsigned len)
{
	struct fwcfg *f = dev;
	uint64_t val = ~0ull;

	pthread_mutex_lock(&f->lock);
	if (offset == 1)
		val = fwcfg_next_byte(f);
	pthread_mutex_unlock(&f->lock);
	return val;
}

static void fwcfg_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct fwcfg *f = dev;

	if (offset != 0)
		return;
	pthread_mutex_lock(&f->lock);
	f->selected = val & ITEM_MASK;
	f->pos = 0;
	pthread_mutex_unlock(&f->lock);
}

/* The 16-bit selector at 0x510 covers the byte-wide data port. */
static const struct bus_ops fwcfg_ops = {
	.name = "fw_cfg",
	.read = fwcfg_read,
	.write = fwcfg_write,
	.max_len = 2,
};

struct fwcfg *fwcfg_new(struct bus *pio, unsigned nr_cpus, uint64_t ram_size)
{
	struct fwcfg *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	f->items[0] = (struct fwcfg_item){ 0x00, 4, 0x554d4551 }; /* "QEMU" */
	f->items[1] = (struct fwcfg_item){ 0x01, 4, 1 };	  /* no DMA */
	f->items[2] = (struct fwcfg_item){ 0x03, 8, ram_size };
	f->items[3] = (struct fwcfg_item){ 0x05, 2, nr_cpus };
	f->items[4] = (struct fwcfg_item){ 0x0f, 2, nr_cpus }; /* at most */
	if (bus_add(pio, 0x510, 2, &fwcfg_ops, f) == 0)
		return f;
	free(f);
	return NULL;
}

void fwcfg_free(struct fwcfg *f)
{
	free(f);
}
