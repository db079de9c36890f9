#include "vmm/fw/flash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/log.h"

#define FLASH_MAX (4ull << 20)

#define CMD_WRITE	  0x10
#define CMD_ERASE	  0x20
#define CMD_WRITE_ALT	  0x40
#define CMD_CLEAR_STATUS  0x50
#define CMD_READ_STATUS	  0x70
#define CMD_ERASE_CONFIRM 0xd0
#define CMD_READ_ARRAY	  0xff

#define STATUS_ERASE_ERROR 0x20
#define STATUS_READY	   0x80

/* As an array it is read without exits; writes exit in any case. */
static int flash_set_mode(struct flash *f, uint8_t mode)
{
	bool was = f->mode == CMD_READ_ARRAY, is = mode == CMD_READ_ARRAY;

	f->mode = mode;
	if (was == is)
		return 0;
	return slots_set(f->slots, SLOT_FLASH, f->gpa, is ? f->size : 0,
			 is ? f->data : NULL, SLOT_READONLY);
}

static void flash_first_cycle(struct flash *f, uint8_t command)
{
	switch (command) {
	case CMD_WRITE:
	case CMD_WRITE_ALT:
	case CMD_ERASE:
		f->expects = true;
		flash_set_mode(f, command);
		break;
	case CMD_READ_STATUS:
		flash_set_mode(f, command);
		break;
	case CMD_CLEAR_STATUS:
		f->status = 0;
		flash_set_mode(f, CMD_READ_ARRAY);
		break;
	default:
		flash_set_mode(f, CMD_READ_ARRAY);
	}
}

/* Bits are only cleared by a write, and set by an erasure of the block. */
static void flash_second_cycle(struct flash *f, uint64_t offset, uint8_t val)
{
	f->expects = false;
	f->status |= STATUS_READY;
	if (f->mode != CMD_ERASE)
		f->data[offset] &= val;
	else if (val == CMD_ERASE_CONFIRM)
		memset(f->data + offset / FLASH_BLOCK * FLASH_BLOCK, 0xff,
		       FLASH_BLOCK);
	else
		f->status |= STATUS_ERASE_ERROR;
	flash_set_mode(f, CMD_READ_STATUS);
}

static void flash_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct flash *f = dev;

	pthread_mutex_lock(&f->lock);
	if (f->expects)
		flash_second_cycle(f, offset, val);
	else
		flash_first_cycle(f, val);
	pthread_mutex_unlock(&f->lock);
}

static uint64_t flash_read(void *dev, uint64_t offset, unsigned len)
{
	struct flash *f = dev;
	uint64_t val;

	pthread_mutex_lock(&f->lock);
	val = f->mode == CMD_READ_ARRAY ? f->data[offset] : f->status;
	pthread_mutex_unlock(&f->lock);
	return val;
}

static const struct bus_ops flash_ops = {
	.name = "flash",
	.read = flash_read,
	.write = flash_write,
	.max_len = 1,
};

static int flash_map(struct flash *f, const char *path, int fd)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
	    (uint64_t)st.st_size > FLASH_MAX || st.st_size % FLASH_BLOCK)
		return log_error(-EINVAL,
				 "--firmware-vars \"%s\" must be a file of a "
				 "multiple of 4 KiB, up to 4 MiB",
				 path);
	p = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return log_error(-errno,
				 "cannot map --firmware-vars \"%s\": "
				 "%s",
				 path, strerror(errno));
	f->data = p;
	f->size = st.st_size;
	return 0;
}

int flash_init(struct flash *f, const char *path, gpa_t end,
	       struct slots *slots, struct bus *mmio)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return log_error(-errno,
				 "cannot write --firmware-vars \"%s\": "
				 "%s",
				 path, strerror(errno));
	r = flash_map(f, path, fd);
	close(fd);
	if (r)
		return r;
	pthread_mutex_init(&f->lock, NULL);
	f->slots = slots;
	f->gpa = end - f->size;
	r = bus_add(mmio, f->gpa, f->size, &flash_ops, f);
	if (!r)
		r = flash_set_mode(f, CMD_READ_ARRAY);
	if (r)
		log_error(r, "KVM cannot map the flash: %s", strerror(-r));
	return r;
}

void flash_free(struct flash *f)
{
	if (f->data)
		munmap(f->data, f->size);
	f->data = NULL;
}
