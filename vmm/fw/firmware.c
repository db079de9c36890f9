#include "vmm/fw/firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/boot/image.h"
#include "vmm/boot/layout.h"
#include "vmm/dev/serial.h"
#include "vmm/fw/loader.h"
#include "vmm/log.h"

#define FOUR_GIB     0x100000000ull
#define FIRMWARE_MAX (8ull << 20) /* the test device is below */

static const char *const places[] = {
	"/usr/share/seabios/bios-256k.bin",
	"/usr/share/seabios/bios.bin",
	"/usr/share/qemu/bios-256k.bin",
};

const char *firmware_find(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}

static int firmware_read(struct firmware *f, const char *path)
{
	uint64_t size;
	uint8_t *data;
	int r = image_read("firmware", path, &data, &size);
	void *p;

	if (r)
		return r;
	if (size > FIRMWARE_MAX || size % PAGE_SIZE) {
		free(data);
		return log_error(-EINVAL,
				 "firmware \"%s\" has %llu bytes; a multiple "
				 "of 4 KiB up to 8 MiB is needed",
				 path, (unsigned long long)size);
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		r = log_error(-errno, "no memory for firmware \"%s\"", path);
	} else {
		memcpy(p, data, size);
		f->rom = p;
		f->size = size;
	}
	free(data);
	return r;
}

int firmware_load(struct firmware *f, const char *path, const char *vars,
		  struct slots *slots, const struct ram *ram, struct bus *mmio)
{
	int r = firmware_read(f, path);

	if (r)
		return r;
	r = slots_set(slots, SLOT_ROM, FOUR_GIB - f->size, f->size, f->rom,
		      SLOT_READONLY);
	if (!r)
		r = shadow_init(&f->shadow, slots, ram, mmio, f->rom, f->size);
	if (r)
		return log_error(r, "KVM cannot map the firmware: %s",
				 strerror(-r));
	return vars ? flash_init(&f->flash, vars, FOUR_GIB - f->size, slots,
				 mmio)
		    : 0;
}

void firmware_free(struct firmware *f)
{
	flash_free(&f->flash);
	if (f->rom)
		munmap(f->rom, f->size);
	f->rom = NULL;
}

struct firmware_range {
	uint64_t start, size;
	uint32_t type;
} __attribute__((packed));
#define RANGE_RAM      1
#define RANGE_RESERVED 2

static int firmware_tell_memory(struct fwcfg *fwcfg, const struct ram *ram)
{
	struct firmware_range map[] = {
		{ 0, ram->low_size, RANGE_RAM },
		{ LAYOUT_IDENTITY_MAP,
		  LAYOUT_TSS + 3 * PAGE_SIZE - LAYOUT_IDENTITY_MAP,
		  RANGE_RESERVED },
		{ RAM_HIGH_START, ram->high_size, RANGE_RAM },
	};
	size_t nr = ARRAY_SIZE(map) - (ram->high_size == 0);

	return fwcfg_add_file(fwcfg, "etc/e820", map, nr * sizeof(map[0]));
}

int firmware_tell(struct fwcfg *fwcfg, const struct ram *ram,
		  const struct machine *m)
{
	int r = firmware_tell_memory(fwcfg, ram);

	if (!r)
		r = loader_tell(fwcfg, m);
	/* SeaBIOS's screen and keyboard are the serial port; no boot menu. */
	if (!r)
		r = fwcfg_add_int(fwcfg, "etc/sercon-port", SERIAL_COM1_PORT);
	if (!r)
		r = fwcfg_add_int(fwcfg, "etc/show-boot-menu", 0);
	return r;
}
