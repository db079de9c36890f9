#include "vmm/bus.h"

#include <errno.h>
#include <string.h>

int bus_add(struct bus *bus, uint64_t start, uint64_t len,
	    const struct bus_ops *ops, void *dev)
{
	unsigned i = 0;

	while (i < bus->nr && bus->ranges[i].start < start)
		i++;
	if (i > 0 && start - bus->ranges[i - 1].start < bus->ranges[i - 1].len)
		return -EEXIST;
	if (i < bus->nr && bus->ranges[i].start - start < len)
		return -EEXIST;
	if (bus->nr == BUS_RANGES_MAX)
		return -ENOSPC;
	memmove(&bus->ranges[i + 1], &bus->ranges[i],
		(bus->nr - i) * sizeof(bus->ranges[0]));
	bus->ranges[i] = (struct bus_range){ start, len, ops, dev };
	bus->nr++;
	return 0;
}

const struct bus_range *bus_find(const struct bus *bus, uint64_t addr)
{
	unsigned lo = 0, hi = bus->nr;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct bus_range *r = &bus->ranges[mid];

		if (addr < r->start)
			hi = mid;
		else if (addr - r->start >= r->len)
			lo = mid + 1;
		else
			return r;
	}
	return NULL;
}

/* Largest piece of an access that goes to @r at once: 1, 2, 4 or 8 bytes. */
static unsigned bus_piece(const struct bus_range *r, uint64_t addr,
			  unsigned len)
{
	uint64_t left = r->len - (addr - r->start);
	unsigned piece = 8;

	while (piece > len || piece > left || piece > r->ops->max_len)
		piece /= 2;
	return piece;
}

void bus_read(const struct bus *bus, uint64_t addr, void *data, unsigned len)
{
	uint8_t *p = data;

	while (len) {
		const struct bus_range *r = bus_find(bus, addr);
		unsigned piece = r ? bus_piece(r, addr, len) : 1;
		uint64_t val = ~0ull;

		if (r && r->ops->read)
			val = r->ops->read(r->dev, addr - r->start, piece);
		memcpy(p, &val, piece);
		p += piece;
		addr += piece;
		len -= piece;
	}
}

void bus_write(const struct bus *bus, uint64_t addr, const void *data,
	       unsigned len)
{
	const uint8_t *p = data;

	while (len) {
		const struct bus_range *r = bus_find(bus, addr);
		unsigned piece = r ? bus_piece(r, addr, len) : 1;
		uint64_t val = 0;

		memcpy(&val, p, piece);
		if (r && r->ops->write)
			r->ops->write(r->dev, addr - r->start, piece, val);
		p += piece;
		addr += piece;
		len -= piece;
	}
}
