#include "vmm/dev/fwcfg.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PORT	      0x510
#define PORT_DATA     1 /* offsets; the selector is at 0 */
#define PORT_DMA_HIGH 4
#define PORT_DMA_LOW  8
#define ITEM_MASK     0xbfff /* without the write bit; bit 15: others' items */

/* Items: those with fixed numbers, then files. */
enum {
	ITEM_SIGNATURE = 0x00,
	ITEM_ID = 0x01,
	ITEM_RAM_SIZE = 0x03,
	ITEM_NR_CPUS = 0x05,
	ITEM_MAX_CPUS = 0x0f,
	ITEM_DIRECTORY = 0x19,
	ITEM_FILES = 0x20,
};
#define FILES_MAX 16
#define ITEMS	  (ITEM_FILES + FILES_MAX)

#define ID_PORTS 1
#define ID_DMA	 2

/* What the address registers read as, and a request's fields. */
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */
#define DMA_ERROR     0x01
#define DMA_READ      0x02
#define DMA_SKIP      0x04
#define DMA_SELECT    0x08
#define DMA_WRITE     0x10

struct fwcfg_dma {
	uint32_t control, length;
	uint64_t address;
};

struct fwcfg_file {
	uint32_t size;
	uint16_t select, reserved;
	char name[56];
};

struct fwcfg_item {
	uint8_t *data;
	size_t len;
};

struct fwcfg {
	pthread_mutex_t lock;
	const struct ram *ram;
	struct fwcfg_item items[ITEMS];
	struct {
		uint32_t nr; /* big endian, as all of it */
		struct fwcfg_file files[FILES_MAX];
	} directory;
	unsigned nr_files;
	uint16_t selected;
	size_t pos;
	uint32_t dma_high;
};

static void fwcfg_select(struct fwcfg *f, uint16_t item)
{
	f->selected = item & ITEM_MASK;
	f->pos = 0;
}

/* The next @len bytes of the item, zeros behind its end; @to may be NULL. */
static void fwcfg_take(struct fwcfg *f, uint8_t *to, size_t len)
{
	static const struct fwcfg_item none;
	const struct fwcfg_item *item = &none;
	size_t n = 0;

	if (f->selected < ITEMS)
		item = &f->items[f->selected];
	if (f->pos < item->len)
		n = item->len - f->pos;
	if (n > len)
		n = len;
	if (to && n)
		memcpy(to, item->data + f->pos, n);
	if (to)
		memset(to + n, 0, len - n);
	f->pos += n;
}

/* A request at @gpa, whose control word tells how it went: 0 or an error. */
static void fwcfg_dma(struct fwcfg *f, gpa_t gpa)
{
	struct fwcfg_dma dma;
	uint8_t *in_guest = ram_ptr(f->ram, gpa, sizeof(dma)); /* unaligned */
	uint32_t control, len, result = 0;
	void *to;

	if (!in_guest)
		return;
	memcpy(&dma, in_guest, sizeof(dma));
	control = be32toh(dma.control);
	len = be32toh(dma.length);
	to = ram_ptr(f->ram, be64toh(dma.address), len);
	if (control & DMA_SELECT)
		fwcfg_select(f, control >> 16);
	if (control & DMA_READ && to)
		fwcfg_take(f, to, len);
	else if (control & (DMA_READ | DMA_WRITE))
		result = DMA_ERROR;
	else if (control & DMA_SKIP)
		fwcfg_take(f, NULL, len);
	result = htobe32(result);
	memcpy(in_guest + offsetof(struct fwcfg_dma, control), &result,
	       sizeof(result));
}

static uint64_t fwcfg_read(void *dev, uint64_t offset, unsigned len)
{
	struct fwcfg *f = dev;
	uint64_t val = ~0ull;
	uint8_t byte;

	pthread_mutex_lock(&f->lock);
	if (offset == PORT_DATA) {
		fwcfg_take(f, &byte, 1);
		val = byte;
	} else if (offset == PORT_DMA_HIGH && len == 4) {
		val = htobe32(DMA_SIGNATURE >> 32);
	} else if (offset == PORT_DMA_LOW && len == 4) {
		val = htobe32((uint32_t)DMA_SIGNATURE);
	}
	pthread_mutex_unlock(&f->lock);
	return val;
}

static void fwcfg_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct fwcfg *f = dev;

	pthread_mutex_lock(&f->lock);
	if (offset == 0) {
		fwcfg_select(f, val);
	} else if (offset == PORT_DMA_HIGH && len == 4) {
		f->dma_high = be32toh(val);
	} else if (offset == PORT_DMA_LOW && len == 4) {
		fwcfg_dma(f, (gpa_t)f->dma_high << 32 | be32toh(val));
		f->dma_high = 0;
	}
	pthread_mutex_unlock(&f->lock);
}

/* The 16-bit selector at 0x510 covers the byte-wide data port. */
static const struct bus_ops select_ops = {
	.name = "fw_cfg",
	.read = fwcfg_read,
	.write = fwcfg_write,
	.max_len = 2,
};

static uint64_t fwcfg_read_address(void *dev, uint64_t offset, unsigned len)
{
	return fwcfg_read(dev, offset + PORT_DMA_HIGH, len);
}

static void fwcfg_write_address(void *dev, uint64_t offset, unsigned len,
				uint64_t val)
{
	fwcfg_write(dev, offset + PORT_DMA_HIGH, len, val);
}

static const struct bus_ops dma_ops = {
	.name = "fw_cfg dma",
	.read = fwcfg_read_address,
	.write = fwcfg_write_address,
	.max_len = 4,
};

static int fwcfg_set(struct fwcfg *f, unsigned item, const void *data,
		     size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	f->items[item].data = copy;
	f->items[item].len = len;
	return 0;
}

static int fwcfg_set_int(struct fwcfg *f, unsigned item, unsigned len,
			 uint64_t val)
{
	return fwcfg_set(f, item, &val, len);
}

static int fwcfg_fill(struct fwcfg *f, unsigned nr_cpus)
{
	int r = fwcfg_set(f, ITEM_SIGNATURE, "QEMU", 4);

	if (!r)
		r = fwcfg_set_int(f, ITEM_ID, 4, ID_PORTS | ID_DMA);
	if (!r)
		r = fwcfg_set_int(f, ITEM_RAM_SIZE, 8, f->ram->size);
	if (!r)
		r = fwcfg_set_int(f, ITEM_NR_CPUS, 2, nr_cpus);
	if (!r)
		r = fwcfg_set_int(f, ITEM_MAX_CPUS, 2, nr_cpus);
	f->items[ITEM_DIRECTORY] =
		(struct fwcfg_item){ (uint8_t *)&f->directory,
				     sizeof(f->directory) };
	return r;
}

struct fwcfg *fwcfg_new(struct bus *pio, unsigned nr_cpus,
			const struct ram *ram)
{
	struct fwcfg *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	f->ram = ram;
	if (fwcfg_fill(f, nr_cpus) == 0 &&
	    bus_add(pio, PORT, 2, &select_ops, f) == 0 &&
	    bus_add(pio, PORT + PORT_DMA_HIGH, 8, &dma_ops, f) == 0)
		return f;
	fwcfg_free(f);
	return NULL;
}

void fwcfg_free(struct fwcfg *f)
{
	for (unsigned i = 0; f && i < ITEMS; i++)
		if (i != ITEM_DIRECTORY)
			free(f->items[i].data);
	free(f);
}

int fwcfg_add_file(struct fwcfg *f, const char *name, const void *data,
		   size_t len)
{
	struct fwcfg_file *file = &f->directory.files[f->nr_files];
	int r;

	if (f->nr_files == FILES_MAX || strlen(name) >= sizeof(file->name))
		return -ENOSPC;
	r = fwcfg_set(f, ITEM_FILES + f->nr_files, data, len);
	if (r)
		return r;
	file->size = htobe32(len);
	file->select = htobe16(ITEM_FILES + f->nr_files);
	strcpy(file->name, name);
	f->directory.nr = htobe32(++f->nr_files);
	return 0;
}

int fwcfg_add_int(struct fwcfg *f, const char *name, uint64_t val)
{
	val = htole64(val);
	return fwcfg_add_file(f, name, &val, sizeof(val));
}
