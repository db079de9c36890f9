#include "vmm/disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/log.h"

static int disk_size(const struct disk *d, const char *path, uint64_t *size)
{
	struct stat st;

	if (fstat(d->fd, &st) < 0)
		return log_error(-errno, "cannot use disk \"%s\": %s", path,
				 strerror(errno));
	*size = st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(d->fd, BLKGETSIZE64, size) < 0)
		return log_error(-errno,
				 "cannot tell the size of disk "
				 "\"%s\": %s",
				 path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return log_error(-EINVAL,
				 "disk \"%s\" is neither a regular file nor a "
				 "block device",
				 path);
	if (*size == 0)
		return log_error(-EINVAL, "disk \"%s\" is empty", path);
	if (*size % DISK_SECTOR)
		return log_error(-EINVAL,
				 "disk \"%s\" has %llu bytes, which is no "
				 "multiple of %u; is it a raw image?",
				 path, (unsigned long long)*size, DISK_SECTOR);
	return 0;
}

/* The magic bytes of images that are not raw. */
static const struct {
	const char *magic;
	const char *what;
} formats[] = {
	{ "QFI\xfb", "qcow2" },
	{ "KDMV", "VMDK" },
	{ "conectix", "VHD" },
	{ "vhdxfile", "VHDX" },
};

static int disk_check_format(const struct disk *d, const char *path)
{
	char head[DISK_SECTOR];

	if (pread(d->fd, head, sizeof(head), 0) != sizeof(head))
		return log_error(-EIO, "cannot read disk \"%s\": %s", path,
				 strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (!memcmp(head, formats[i].magic, strlen(formats[i].magic)))
			return log_error(-EINVAL,
					 "disk \"%s\" is a %s image; convert "
					 "it to a raw one",
					 path, formats[i].what);
	return 0;
}

static int disk_use(struct disk *d, const char *path)
{
	uint64_t size;
	int r = disk_size(d, path, &size);

	if (r)
		return r;
	if (flock(d->fd, (d->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0 &&
	    errno == EWOULDBLOCK)
		return log_error(-EBUSY,
				 "disk \"%s\" is in use by another virtual "
				 "machine",
				 path);
	d->sectors = size / DISK_SECTOR;
	return disk_check_format(d, path);
}

int disk_open(struct disk *d, const struct disk_config *config, unsigned index)
{
	int flags = O_CLOEXEC | O_NONBLOCK, r;

	d->readonly = config->readonly;
	snprintf(d->serial, sizeof(d->serial), "ring3-%u", index);
	d->fd = open(config->path, flags | (d->readonly ? O_RDONLY : O_RDWR));
	if (d->fd < 0 && !d->readonly && (errno == EACCES || errno == EROFS))
		return log_error(-errno,
				 "disk \"%s\" cannot be written: %s; add "
				 "\",ro\" to use it read-only",
				 config->path, strerror(errno));
	if (d->fd < 0)
		return log_error(-errno, "cannot open disk \"%s\": %s",
				 config->path, strerror(errno));
	r = disk_use(d, config->path);
	if (r)
		disk_close(d);
	return r;
}

void disk_close(struct disk *d)
{
	if (d->fd > 0)
		close(d->fd);
	d->fd = 0;
}

bool disk_has(const struct disk *d, uint64_t sector, uint64_t nr)
{
	return sector <= d->sectors && nr <= d->sectors - sector;
}

static uint64_t disk_bytes(const struct iovec *iov, unsigned nr)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < nr; i++)
		len += iov[i].iov_len;
	return len;
}

typedef ssize_t disk_fn(int fd, const struct iovec *iov, int nr, off_t offset);

/* Goes on after what the host did only in part. */
static int disk_transfer(disk_fn *fn, struct disk *d, uint64_t sector,
			 struct iovec *iov, unsigned nr)
{
	uint64_t left = disk_bytes(iov, nr);
	off_t offset = sector * DISK_SECTOR;

	if (left % DISK_SECTOR || !disk_has(d, sector, left / DISK_SECTOR))
		return -EIO;
	while (left) {
		ssize_t n = fn(d->fd, iov, nr, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
		offset += n;
		for (; nr && (size_t)n >= iov->iov_len; iov++, nr--)
			n -= iov->iov_len;
		if (nr) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= n;
		}
	}
	return 0;
}

int disk_read(struct disk *d, uint64_t sector, struct iovec *iov, unsigned nr)
{
	return disk_transfer(preadv, d, sector, iov, nr);
}

int disk_write(struct disk *d, uint64_t sector, struct iovec *iov, unsigned nr)
{
	if (d->readonly)
		return -EROFS;
	return disk_transfer(pwritev, d, sector, iov, nr);
}

int disk_flush(struct disk *d)
{
	if (d->readonly)
		return 0;
	return fdatasync(d->fd) < 0 ? -errno : 0;
}
