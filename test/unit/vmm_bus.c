#include <errno.h>
#include <string.h>

#include "test/test.h"
#include "vmm/bus.h"

/* A device that notes its accesses and reads as its offset. */
struct fake {
	unsigned reads, writes;
	uint64_t last_offset, last_val;
	unsigned last_len;
};

static uint64_t fake_read(void *dev, uint64_t offset, unsigned len)
{
	struct fake *f = dev;

	f->reads++;
	f->last_offset = offset;
	f->last_len = len;
	return 0x1111111111111111ull * (offset + 1);
}

static void fake_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct fake *f = dev;

	f->writes++;
	f->last_offset = offset;
	f->last_len = len;
	f->last_val = val;
}

static const struct bus_ops wide_ops = { "wide", fake_read, fake_write, 8 };
static const struct bus_ops byte_ops = { "byte", fake_read, fake_write, 1 };
static const struct bus_ops dumb_ops = { "dumb", NULL, NULL, 4 };

static void test_add(void)
{
	struct bus bus = { 0 };
	struct fake f = { 0 };

	CHECK_EQ(bus_add(&bus, 0x100, 0x10, &wide_ops, &f), 0);
	CHECK_EQ(bus_add(&bus, 0x80, 0x80, &wide_ops, &f), 0);
	CHECK_EQ(bus_add(&bus, 0x110, 1, &wide_ops, &f), 0);
	CHECK_EQ(bus_add(&bus, 0x10f, 1, &wide_ops, &f), -EEXIST);
	CHECK_EQ(bus_add(&bus, 0x70, 0x11, &wide_ops, &f), -EEXIST);
	CHECK_EQ(bus_add(&bus, 0x70, 0x100, &wide_ops, &f), -EEXIST);
	CHECK_EQ(bus_add(&bus, 0x70, 0x10, &wide_ops, &f), 0);
	CHECK_EQ(bus.nr, 4);
	for (unsigned i = 1; i < bus.nr; i++)
		CHECK(bus.ranges[i - 1].start < bus.ranges[i].start);
	CHECK(bus_find(&bus, 0x6f) == NULL);
	CHECK_EQ(bus_find(&bus, 0x70)->start, 0x70);
	CHECK_EQ(bus_find(&bus, 0x10f)->start, 0x100);
	CHECK(bus_find(&bus, 0x111) == NULL);
}

static void test_full(void)
{
	struct bus bus = { 0 };

	for (unsigned i = 0; i < BUS_RANGES_MAX; i++)
		CHECK_EQ(bus_add(&bus, 1000 - i, 1, &wide_ops, NULL), 0);
	CHECK_EQ(bus_add(&bus, 1, 1, &wide_ops, NULL), -ENOSPC);
}

static void test_access(void)
{
	struct bus bus = { 0 };
	struct fake wide = { 0 }, bytes = { 0 };
	uint8_t data[8];
	uint64_t val = 0x8877665544332211ull;

	bus_add(&bus, 0x100, 8, &wide_ops, &wide);
	bus_add(&bus, 0x108, 4, &byte_ops, &bytes);
	bus_add(&bus, 0x200, 4, &dumb_ops, NULL);

	bus_read(&bus, 0x102, data, 4);
	CHECK_EQ(wide.reads, 1);
	CHECK_EQ(wide.last_len, 4);
	CHECK_EQ(data[0], 0x33);

	/* A wide access of a byte-wide device comes byte by byte. */
	bus_write(&bus, 0x108, &val, 4);
	CHECK_EQ(bytes.writes, 4);
	CHECK_EQ(bytes.last_len, 1);
	CHECK_EQ(bytes.last_offset, 3);
	CHECK_EQ(bytes.last_val, 0x44);

	/* Across two ranges, and out of the second one. */
	bus_read(&bus, 0x10a, data, 4);
	CHECK_EQ(data[0], 0x33);
	CHECK_EQ(data[1], 0x44);
	CHECK_EQ(data[2], 0xff);
	CHECK_EQ(data[3], 0xff);
	wide.writes = bytes.writes = 0;
	bus_write(&bus, 0x106, &val, 4);
	CHECK_EQ(wide.writes, 1);
	CHECK_EQ(wide.last_len, 2);
	CHECK_EQ(bytes.writes, 2);

	/* No device, and a device that neither reads nor writes. */
	bus_read(&bus, 0x5000, data, 8);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(data[i], 0xff);
	bus_read(&bus, 0x200, data, 2);
	CHECK_EQ(data[0] & data[1], 0xff);
	bus_write(&bus, 0x200, &val, 2);
	bus_write(&bus, 0x5000, &val, 8);
}

static void test_default(void)
{
	struct bus bus = { 0 };
	struct fake wide = { 0 }, rest = { 0 };
	uint64_t val = 0x8877665544332211ull;
	uint8_t data[8];

	bus_add(&bus, 0x100, 8, &wide_ops, &wide);
	bus_set_default(&bus, &wide_ops, &rest);
	CHECK(bus_find(&bus, 0xff) == NULL);
	bus_write(&bus, 0x5000, &val, 8);
	CHECK_EQ(rest.writes, 1);
	CHECK_EQ(rest.last_len, 8);
	CHECK_EQ(rest.last_offset, 0x5000);
	/* It ends where a range starts, and goes on behind it. */
	bus_read(&bus, 0xfe, data, 4);
	CHECK_EQ(rest.reads, 1);
	CHECK_EQ(rest.last_len, 2);
	CHECK_EQ(wide.reads, 1);
	CHECK_EQ(wide.last_offset, 0);
	bus_read(&bus, 0x106, data, 4);
	CHECK_EQ(wide.reads, 2);
	CHECK_EQ(rest.reads, 2);
	CHECK_EQ(rest.last_offset, 0x108);
}

int main(void)
{
	test_add();
	test_full();
	test_access();
	test_default();
	return test_done();
}
