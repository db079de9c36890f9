#include "vmm/ram.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int ram_init(struct ram *ram, uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	ram->base = p;
	ram->size = size;
	ram->low_size = size < RAM_HOLE_START ? size : RAM_HOLE_START;
	ram->high_size = size - ram->low_size;
	return 0;
}

void ram_exit(struct ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size);
	ram->base = NULL;
}

int ram_regions(const struct ram *ram, struct ram_region r[RAM_REGIONS_MAX])
{
	int n = 0;

	r[n++] = (struct ram_region){ 0, RAM_VGA_START, ram->base };
	r[n++] = (struct ram_region){ RAM_VGA_END, ram->low_size - RAM_VGA_END,
				      ram->base + RAM_VGA_END };
	if (ram->high_size)
		r[n++] = (struct ram_region){ RAM_HIGH_START, ram->high_size,
					      ram->base + ram->low_size };
	return n;
}

void *ram_ptr(const struct ram *ram, gpa_t gpa, uint64_t len)
{
	struct ram_region r[RAM_REGIONS_MAX];
	int n = ram_regions(ram, r);

	for (int i = 0; i < n; i++) {
		uint64_t offset = gpa - r[i].gpa;

		if (gpa >= r[i].gpa && offset <= r[i].size &&
		    len <= r[i].size - offset)
			return r[i].hva + offset;
	}
	return NULL;
}

int ram_write(const struct ram *ram, gpa_t gpa, const void *data, uint64_t len)
{
	void *p = ram_ptr(ram, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, data, len);
	return 0;
}
