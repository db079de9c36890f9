#include "vmm/disk/ide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/disk/ata.h"

#define INTEL	   0x8086
#define ID_IDE	   0x7010   /* 82371SB */
#define CLASS_IDE  0x010180 /* both channels at fixed ports, bus master */
#define SUBVENDOR  0x1af4
#define SUBDEVICE  0x1100
#define IDETIM	   0x40 /* a word each channel */
#define IDETIM_ON  0x8000
#define BAR_MASTER 4
#define BAR_SIZE   16

/* Registers of a channel's bus master. */
#define BM_COMMAND     0
#define BM_STATUS      2
#define BM_TABLE       4
#define COMMAND_START  0x01
#define COMMAND_READ   0x08 /* from the disk */
#define STATUS_ACTIVE  0x01
#define STATUS_ERROR   0x02
#define STATUS_IRQ     0x04
#define STATUS_CAPABLE 0x60 /* kept as the guest sets them */

#define PRD_LAST 0x80000000u
#define PRDS_MAX 1024

struct ide_prd {
	uint32_t address, flags_count; /* a count of 0 is 64 KiB */
};

struct ide_channel {
	struct ata ata;
	struct irq_sink tap; /* sees the channel's interrupt on its way */
	struct ide *ide;
	uint8_t command, status;
	uint32_t table;
};

struct ide {
	struct pci_func func;
	const struct ram *ram;
	const struct irq_sink *irq;
	struct ide_channel channels[2];
};

/* The status register remembers the rising edge. */
static void ide_tap(void *arg, unsigned gsi, bool level)
{
	struct ide_channel *c = arg;

	if (level)
		c->status |= STATUS_IRQ;
	c->ide->irq->set(c->ide->irq->arg, gsi, level);
}

/* The guest's list of buffers; how many, or 0 if it is wrong. */
static unsigned ide_collect(struct ide_channel *c, struct iovec *iov)
{
	gpa_t gpa = c->table & ~3u;

	for (unsigned n = 0; n < PRDS_MAX; n++, gpa += sizeof(struct ide_prd)) {
		struct ide_prd prd;
		const void *p = ram_ptr(c->ide->ram, gpa, sizeof(prd));
		uint32_t len;

		if (!p)
			return 0;
		memcpy(&prd, p, sizeof(prd));
		len = prd.flags_count & 0xfffe;
		iov[n].iov_len = len ? len : 0x10000;
		iov[n].iov_base =
			ram_ptr(c->ide->ram, prd.address & ~1u, iov[n].iov_len);
		if (!iov[n].iov_base)
			return 0;
		if (prd.flags_count & PRD_LAST)
			return n + 1;
	}
	return 0;
}

/* With the channel's lock held: once both sides are ready. */
static void ide_run(struct ide_channel *c)
{
	static const unsigned max = PRDS_MAX;
	struct iovec *iov;
	unsigned nr;

	if (!(c->command & COMMAND_START) || c->ata.phase != ATA_DMA)
		return;
	iov = calloc(max, sizeof(*iov));
	nr = iov ? ide_collect(c, iov) : 0;
	if (!nr || !(c->command & COMMAND_READ) != c->ata.write) {
		c->status |= STATUS_ERROR;
		nr = 0;
	}
	ata_dma(&c->ata, iov, nr);
	c->status &= ~STATUS_ACTIVE;
	free(iov);
}

static uint64_t ide_read(void *dev, uint64_t offset, unsigned len)
{
	struct ide *ide = dev;
	struct ide_channel *c = &ide->channels[offset / 8];
	uint8_t regs[8] = { 0 };
	uint64_t val = 0;

	pthread_mutex_lock(&c->ata.lock);
	regs[BM_COMMAND] = c->command;
	regs[BM_STATUS] = c->status;
	memcpy(&regs[BM_TABLE], &c->table, sizeof(c->table));
	pthread_mutex_unlock(&c->ata.lock);
	if (offset % 8 + len <= sizeof(regs))
		memcpy(&val, &regs[offset % 8], len);
	return val;
}

static void ide_write_status(struct ide_channel *c, uint8_t val)
{
	c->status &= ~(val & (STATUS_ERROR | STATUS_IRQ)) & ~STATUS_CAPABLE;
	c->status |= val & STATUS_CAPABLE;
}

static void ide_write_command(struct ide_channel *c, uint8_t val)
{
	bool starts = val & ~c->command & COMMAND_START;

	c->command = val & (COMMAND_START | COMMAND_READ);
	if (starts)
		c->status |= STATUS_ACTIVE;
	else if (!(val & COMMAND_START))
		c->status &= ~STATUS_ACTIVE;
	ide_run(c);
}

static void ide_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct ide *ide = dev;
	struct ide_channel *c = &ide->channels[offset / 8];

	pthread_mutex_lock(&c->ata.lock);
	for (unsigned i = 0; i < len; i++, val >>= 8) {
		unsigned reg = (offset + i) % 8;

		if (reg == BM_COMMAND)
			ide_write_command(c, val);
		else if (reg == BM_STATUS)
			ide_write_status(c, val);
		else if (reg >= BM_TABLE)
			memcpy((uint8_t *)&c->table + reg - BM_TABLE, &val, 1);
	}
	pthread_mutex_unlock(&c->ata.lock);
}

static const struct bus_ops master_ops = {
	.name = "ide bus master",
	.read = ide_read,
	.write = ide_write,
	.max_len = 4,
};

/* A command that moves data by DMA has come; the lock is held. */
static void ide_ready(void *arg)
{
	ide_run(arg);
}

static int ide_init_channel(struct ide *ide, unsigned i, struct bus *pio)
{
	static const uint16_t base[] = { 0x1f0, 0x170 };
	static const uint16_t control[] = { 0x3f6, 0x376 };
	struct ide_channel *c = &ide->channels[i];

	c->ide = ide;
	c->tap = (struct irq_sink){ ide_tap, c };
	c->ata.dma_ready = ide_ready;
	c->ata.arg = c;
	return ata_init(&c->ata, pio, base[i], control[i], &c->tap, 14 + i);
}

struct ide *ide_new(struct pci *pci, struct bus *pio, const struct ram *ram,
		    const struct irq_sink *irq)
{
	struct ide *ide = calloc(1, sizeof(*ide));

	if (!ide)
		return NULL;
	ide->ram = ram;
	ide->irq = irq;
	ide->func = (struct pci_func){
		.name = "PIIX3 IDE",
		.devfn = PCI_DEVFN(1, 1),
		.dev = ide,
		.bars[BAR_MASTER] = { BAR_SIZE, PCI_BAR_IO, &master_ops },
	};
	pci_set_id(&ide->func, INTEL, ID_IDE, CLASS_IDE, SUBVENDOR, SUBDEVICE);
	for (unsigned i = 0; i < 2; i++) {
		pci_set(&ide->func, IDETIM + 2 * i, 2, IDETIM_ON);
		pci_set_writable(&ide->func, IDETIM + 2 * i, 2, 0xffff);
	}
	if (pci_add(pci, &ide->func) == 0 &&
	    ide_init_channel(ide, 0, pio) == 0 &&
	    ide_init_channel(ide, 1, pio) == 0)
		return ide;
	free(ide);
	return NULL;
}

void ide_free(struct ide *ide)
{
	for (unsigned i = 0; ide && i < IDE_DISKS; i++) {
		struct disk *d = &ide->channels[i / 2].ata.drives[i % 2].disk;

		if (d->fd > 0)
			disk_flush(d);
		disk_close(d);
	}
	free(ide);
}

int ide_add(struct ide *ide, const struct disk *disk)
{
	for (unsigned i = 0; i < IDE_DISKS; i++) {
		struct disk *d = &ide->channels[i / 2].ata.drives[i % 2].disk;

		if (d->fd > 0)
			continue;
		*d = *disk;
		return 0;
	}
	return -ENOSPC;
}
