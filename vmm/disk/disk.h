#pragma once

#include <sys/uio.h>

#include "base/types.h"

/* The file behind a guest's disk: a raw image, or a block device. */
#define DISK_SECTOR 512

enum disk_bus { DISK_VIRTIO, DISK_ATA };

struct disk_config {
	const char *path;
	bool readonly;
	enum disk_bus bus;
};

struct disk {
	int fd;
	bool readonly;
	uint64_t sectors;
	char serial[21];
};

/*
 * disk_open - prints what is wrong with the file and returns -errno; locks it
 * against other runs, which may only share it for reading.  disk_close - a
 * zeroed one is fine.
 */
int disk_open(struct disk *d, const struct disk_config *config, unsigned index);
void disk_close(struct disk *d);

/* disk_has - whether these sectors exist. */
bool disk_has(const struct disk *d, uint64_t sector, uint64_t nr);

/*
 * disk_read, disk_write - whole sectors from or to @iov, whose entries may
 * change; -EIO beyond the end, for a write of a read-only disk -EROFS, or
 * -errno of the host.
 */
int disk_read(struct disk *d, uint64_t sector, struct iovec *iov, unsigned nr);
int disk_write(struct disk *d, uint64_t sector, struct iovec *iov, unsigned nr);

/* disk_flush - what was written is on the host's disk. */
int disk_flush(struct disk *d);
