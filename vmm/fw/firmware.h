#pragma once

#include "vmm/boot/acpi.h"
#include "vmm/dev/fwcfg.h"
#include "vmm/fw/flash.h"
#include "vmm/fw/shadow.h"

/*
 * Firmware in a ROM that ends at 4 GiB: a PC's BIOS, or UEFI firmware.  What it
 * wants to know about the machine it finds in fw_cfg.
 */
struct firmware {
	uint8_t *rom;
	uint64_t size;
	struct shadow shadow;
	struct flash flash;
};

/* firmware_find - where Debian's SeaBIOS is, or NULL. */
const char *firmware_find(void);

/*
 * firmware_load - read @path, map it, set up shadowing; @vars is the file of a
 * flash chip below it, or NULL.  Prints and returns -errno.
 */
int firmware_load(struct firmware *f, const char *path, const char *vars,
		  struct slots *slots, const struct ram *ram, struct bus *mmio);
void firmware_free(struct firmware *f);

/* firmware_tell - put memory map, ACPI tables and settings into fw_cfg. */
int firmware_tell(struct fwcfg *fwcfg, const struct ram *ram,
		  const struct machine *m);
