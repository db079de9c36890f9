#pragma once

#include "vmm/bus.h"
#include "vmm/ram.h"

/*
 * The firmware configuration device at ports 0x510 to 0x51b: numbered items,
 * among them a directory of named files, read through a data port or copied
 * into guest memory.  Guests write nothing to it.
 */
struct fwcfg;

struct fwcfg *fwcfg_new(struct bus *pio, unsigned nr_cpus,
			const struct ram *ram);
void fwcfg_free(struct fwcfg *f);

/*
 * fwcfg_add_file - a copy of @data under @name (at most 55 characters), before
 * vCPUs run; 0 or -errno.  fwcfg_add_int - a file of one 64-bit number.
 */
int fwcfg_add_file(struct fwcfg *f, const char *name, const void *data,
		   size_t len);
int fwcfg_add_int(struct fwcfg *f, const char *name, uint64_t val);
