#pragma once

#include <pthread.h>

#include "vmm/bus.h"
#include "vmm/disk/disk.h"
#include "vmm/irq.h"

/*
 * An ATA channel with up to two disks, as old guests know it ("AT Attachment
 * with Packet Interface - 6"): programmed I/O, and DMA if the controller moves
 * the data.
 */
#define ATA_MULTIPLE_MAX 16 /* sectors a block, as disks have it */

/* One byte of a task file, and what was there before, for 48-bit addresses. */
struct ata_reg {
	uint8_t now, before;
};

struct ata_drive {
	struct disk disk; /* .fd 0: there is none */
	uint8_t multiple; /* sectors an interrupt; 0: only one */
	uint16_t heads, track_sectors;
};

enum ata_phase {
	ATA_IDLE,
	ATA_TO_GUEST,	/* the guest reads the buffer */
	ATA_FROM_GUEST, /* the guest fills the buffer */
	ATA_DMA,	/* waits for the controller */
};

struct ata {
	pthread_mutex_t lock;
	/* The controller may move data now; called with the lock held. */
	void (*dma_ready)(void *arg);
	void *arg;
	struct irq_line irq;
	struct ata_drive drives[2];
	struct ata_reg features, count, low, mid, high;
	uint8_t device, status, error, control;
	enum ata_phase phase;
	bool wide;	 /* the command has 48-bit addresses */
	bool write;	 /* direction of the command's data */
	uint64_t sector; /* the next one */
	uint32_t left;	 /* sectors that are still to be moved */
	uint32_t block;	 /* sectors in the buffer */
	uint32_t pos;	 /* in the buffer, in bytes */
	uint8_t buffer[ATA_MULTIPLE_MAX * DISK_SECTOR];
};

/* ata_init - registers at @base (8 ports) and @control. */
int ata_init(struct ata *a, struct bus *pio, uint16_t base, uint16_t control,
	     const struct irq_sink *irq, unsigned gsi);

/*
 * ata_dma - with the lock held: move what the command in phase ATA_DMA asks for
 * from or to @iov, which is as long or longer; ends the command.
 */
void ata_dma(struct ata *a, struct iovec *iov, unsigned nr);

/* ata_identify - the 512 bytes by which a drive tells what it is. */
void ata_identify(const struct ata_drive *d, uint8_t to[DISK_SECTOR]);
