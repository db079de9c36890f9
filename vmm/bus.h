#pragma once

#include "base/types.h"

/*
 * An address space of devices: ports, or memory outside of RAM.  Ranges are
 * added while the VM is built and do not change while vCPUs run, so look-ups
 * take no lock; each device has its own.
 */
struct bus_ops {
	const char *name;
	/* @offset from the range's start; @len is 1, 2, 4 or 8 bytes. */
	uint64_t (*read)(void *dev, uint64_t offset, unsigned len);
	void (*write)(void *dev, uint64_t offset, unsigned len, uint64_t val);
	/* Widest access in bytes; wider ones come as several. */
	unsigned max_len;
};

struct bus_range {
	uint64_t start, len;
	const struct bus_ops *ops;
	void *dev;
};

#define BUS_RANGES_MAX 32

struct bus {
	struct bus_range ranges[BUS_RANGES_MAX]; /* sorted by start */
	unsigned nr;
	struct bus_range fallback; /* what no range holds, if it has ops */
};

/* bus_add - -EEXIST if the range overlaps another, -ENOSPC if full. */
int bus_add(struct bus *bus, uint64_t start, uint64_t len,
	    const struct bus_ops *ops, void *dev);

/*
 * bus_set_default - a device that decodes for itself what no range holds; its
 * offsets are addresses.
 */
void bus_set_default(struct bus *bus, const struct bus_ops *ops, void *dev);

/* bus_find - the range that holds @addr, or NULL. */
const struct bus_range *bus_find(const struct bus *bus, uint64_t addr);

/*
 * bus_read, bus_write - one guest access of @len (1 to 8) bytes; bytes that no
 * device claims read as ones, and writes to them are lost.
 */
void bus_read(const struct bus *bus, uint64_t addr, void *data, unsigned len);
void bus_write(const struct bus *bus, uint64_t addr, const void *data,
	       unsigned len);
