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

void bus_set_default(struct bus *bus, const struct bus_ops *ops, void *dev)
{
	bus->fallback = (struct bus_range){ 0, UINT64_MAX, ops, dev };
}

/* Index of the first range that ends behind @addr; bus->nr if none does. */
static unsigned bus_next(const struct bus *bus, uint64_t addr)
{
	unsigned lo = 0, hi = bus->nr;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct bus_range *r = &bus->ranges[mid];

		if (addr >= r->start && addr - r->start >= r->len)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct bus_range *bus_find(const struct bus *bus, uint64_t addr)
{
	unsigned i = bus_next(bus, addr);

	return i < bus->nr && addr >= bus->ranges[i].start ? &bus->ranges[i]
							   : NULL;
}

/* What serves @addr, as a range that reaches as far as it does so. */
static struct bus_range bus_route(const struct bus *bus, uint64_t addr)
{
	unsigned i = bus_next(bus, addr);
	struct bus_range r = bus->fallback;

	if (i == bus->nr)
		return r;
	if (addr >= bus->ranges[i].start)
		return bus->ranges[i];
	r.len = bus->ranges[i].start;
	return r;
}

/* Largest piece of an access that goes to @r at once: 1, 2, 4 or 8 bytes. */
static unsigned bus_piece(const struct bus_range *r, uint64_t addr,
			  unsigned len)
{
	uint64_t left = r->len - (addr - r->start);
	unsigned piece = 8;

	if (!r->ops)
		return 1;
	while (piece > len || piece > left || piece > r->ops->max_len)
		piece /= 2;
	return piece;
}

void bus_read(const struct bus *bus, uint64_t addr, void *data, unsigned len)
{
	uint8_t *p = data;

	while (len) {
		struct bus_range r = bus_route(bus, addr);
		unsigned piece = bus_piece(&r, addr, len);
		uint64_t val = ~0ull;

		if (r.ops && r.ops->read)
			val = r.ops->read(r.dev, addr - r.start, piece);
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
		struct bus_range r = bus_route(bus, addr);
		unsigned piece = bus_piece(&r, addr, len);
		uint64_t val = 0;

		memcpy(&val, p, piece);
		if (r.ops && r.ops->write)
			r.ops->write(r.dev, addr - r.start, piece, val);
		p += piece;
		addr += piece;
		len -= piece;
	}
}
