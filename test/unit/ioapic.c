#include "irqchip/ioapic.h"

#include <errno.h>

#include "irqchip/pit.h"
#include "irqchip/route.h"
#include "test/unit/mock_irqchip.h"

static uint32_t io_read(uint32_t reg)
{
	uint32_t v = 0;

	CHECK(irqchip_mmio_write(mock_chip, IOAPIC_BASE, 4, &reg));
	CHECK(irqchip_mmio_read(mock_chip, IOAPIC_BASE + 0x10, 4, &v));
	return v;
}

static void io_write(uint32_t reg, uint32_t v)
{
	CHECK(irqchip_mmio_write(mock_chip, IOAPIC_BASE, 4, &reg));
	CHECK(irqchip_mmio_write(mock_chip, IOAPIC_BASE + 0x10, 4, &v));
}

static void set_redir(unsigned int pin, uint64_t e)
{
	io_write(0x11 + pin * 2, (uint32_t)(e >> 32));
	io_write(0x10 + pin * 2, (uint32_t)e);
}

static bool remote_irr(unsigned int pin)
{
	return io_read(0x10 + pin * 2) & REDIR_REMOTE_IRR;
}

static int line(uint32_t gsi, bool level)
{
	return irqchip_set_irq(mock_chip, gsi, IRQ_SOURCE_USER, level);
}

static int take(int cpu)
{
	return lapic_take_vector(mock_cpus[cpu].lapic);
}

static void eoi(int cpu)
{
	lapic_eoi(mock_cpus[cpu].lapic);
}

/* The PICs are masked: only the I/O APIC answers. */
static void create(void)
{
	mock_create(IRQCHIP_FULL);
	irqchip_pio_write(mock_chip, 0x21, 1, 0xff);
	irqchip_pio_write(mock_chip, 0xa1, 1, 0xff);
	for (int i = 0; i < MOCK_CPUS; i++)
		mock_enable(i);
}

static void test_registers(void)
{
	uint64_t wide = 0;
	uint32_t v;

	create();
	CHECK(!irqchip_mmio_read(mock_chip, IOAPIC_BASE + 0x100, 4, &v));
	CHECK_EQ(io_read(1), 0x170011);
	io_write(1, 0);
	CHECK_EQ(io_read(1), 0x170011);
	io_write(0, 0xffffffff);
	CHECK_EQ(io_read(0), 0x0f000000);
	io_write(2, 0);
	CHECK_EQ(io_read(2), 0x0f000000);
	CHECK_EQ(io_read(0x10), 0x10000);
	CHECK_EQ(io_read(0x40), 0);
	io_write(0x13, 0xa5000000);
	io_write(0x12, 0xfffff0ff); /* read-only bits stay clear */
	CHECK_EQ(io_read(0x12), 0x1a0ff);
	CHECK_EQ(io_read(0x13), 0xa5000000);
	CHECK(irqchip_mmio_read(mock_chip, IOAPIC_BASE + 0x10, 8, &wide));
	CHECK_EQ(wide, 0xa5000000);
	mock_destroy();
}

static void test_edge(void)
{
	create();
	CHECK_EQ(line(14, true), -1); /* masked */
	line(14, false);
	set_redir(14, 0x76);
	CHECK_EQ(take(0), -1); /* an edge while masked is lost */
	CHECK_EQ(line(14, true), 1);
	CHECK_EQ(line(14, true), 0); /* no new edge */
	CHECK_EQ(line(14, false), 1);
	CHECK_EQ(line(14, true), 0); /* merged in the local APIC */
	line(14, false);
	CHECK_EQ(take(0), 0x76);
	CHECK_EQ(mock_read(0, 0x180 + 0x30), 0); /* TMR */
	CHECK(!remote_irr(14));
	eoi(0);
	CHECK_EQ(take(0), -1);
	/* Destination and mode. */
	set_redir(14, 2ull << REDIR_DEST_SHIFT | 0x77);
	CHECK_EQ(line(14, true), 1);
	CHECK_EQ(take(2), 0x77);
	line(14, false);
	set_redir(14, 3ull << REDIR_DEST_SHIFT | 0x400);
	line(14, true);
	CHECK_EQ(mock_cpus[3].nmis, 1);
	mock_destroy();
}

static void test_level(void)
{
	create();
	set_redir(14, REDIR_LEVEL | 0x98);
	CHECK_EQ(line(14, true), 1);
	CHECK(remote_irr(14));
	CHECK_EQ(line(14, true), -1); /* waits for its EOI */
	CHECK_EQ(take(0), 0x98);
	CHECK_EQ(mock_read(0, 0x180 + 0x40), 1u << 24); /* TMR */
	eoi(0);
	CHECK(remote_irr(14)); /* still high: served again */
	CHECK_EQ(take(0), 0x98);
	line(14, false);
	line(14, true);
	line(14, false);
	eoi(0);
	CHECK(!remote_irr(14));
	CHECK_EQ(take(0), -1);
	/* Raised while masked: served when unmasked. */
	set_redir(14, REDIR_LEVEL | REDIR_MASKED | 0x99);
	CHECK_EQ(line(14, true), -1);
	CHECK_EQ(take(0), -1);
	set_redir(14, REDIR_LEVEL | 0x99);
	CHECK_EQ(take(0), 0x99);
	/* A new destination does not lose the one in service. */
	io_write(0x11 + 28, 1u << 24);
	line(14, false);
	eoi(0);
	CHECK(!remote_irr(14));
	line(14, true);
	CHECK_EQ(take(1), 0x99);
	/* Remote IRR goes away with level mode. */
	CHECK(remote_irr(14));
	set_redir(14, 0x99);
	CHECK(!remote_irr(14));
	mock_destroy();
}

/* Two sources on a line: it is low when both are. */
static void test_sources(void)
{
	create();
	set_redir(10, REDIR_LEVEL | 0x51);
	line(10, true);
	irqchip_set_irq(mock_chip, 10, IRQ_SOURCE_RESAMPLE, true);
	CHECK_EQ(take(0), 0x51);
	line(10, false);
	CHECK_EQ(mock_acks[10], 0);
	eoi(0);
	CHECK_EQ(take(0), 0x51);
	/* The watcher lowers its share before the line is looked at. */
	CHECK_EQ(irqchip_watch_ack(mock_chip, 10, true), 0);
	mock_lower_on_ack = true;
	eoi(0);
	CHECK_EQ(mock_acks[10], 1);
	CHECK(!remote_irr(10));
	CHECK_EQ(take(0), -1);
	CHECK_EQ(irqchip_watch_ack(mock_chip, 10, false), 0);
	line(10, true);
	CHECK_EQ(take(0), 0x51);
	line(10, false);
	eoi(0);
	CHECK_EQ(mock_acks[10], 1);
	CHECK_EQ(irqchip_watch_ack(mock_chip, ROUTE_MAX, true), -EINVAL);
	mock_destroy();
}

/* A line nobody serves must not keep the guest busy for ever. */
static void test_storm(void)
{
	int served = 0;

	create();
	set_redir(9, REDIR_LEVEL | 0x61);
	line(9, true);
	while (served < 20000 && take(0) == 0x61) {
		eoi(0);
		served++;
	}
	CHECK_EQ(served, 10000);
	mock_sleep_ns(200000000);
	CHECK_EQ(take(0), 0x61);
	mock_destroy();
}

static void test_logical_lowest(void)
{
	int seen = 0;

	create();
	for (int i = 0; i < MOCK_CPUS; i++)
		mock_write(i, 0xd0, 1u << (24 + i));
	set_redir(14, 0xdull << REDIR_DEST_SHIFT | REDIR_LOGICAL | REDIR_LEVEL |
			      0x86);
	CHECK_EQ(line(14, true), 3);
	line(14, false);
	for (int i = 0; i < MOCK_CPUS; i++) {
		CHECK_EQ(take(i), i == 1 ? -1 : 0x86);
		eoi(i);
	}
	set_redir(14, 0xfull << REDIR_DEST_SHIFT | REDIR_LOGICAL | 0x187);
	for (int i = 0; i < MOCK_CPUS; i++) {
		CHECK_EQ(line(14, true), 1);
		line(14, false);
	}
	for (int i = 0; i < MOCK_CPUS; i++)
		seen += take(i) == 0x87;
	CHECK_EQ(seen, 4);
	mock_destroy();
}

static void test_state(void)
{
	struct ioapic_state s;

	create();
	set_redir(3, 0x33);
	set_redir(5, REDIR_LEVEL | 0x35);
	line(3, true);
	line(5, true);
	irqchip_get_ioapic(mock_chip, &s);
	CHECK_EQ(s.base_address, IOAPIC_BASE);
	CHECK_EQ(s.irr, 1u << 5); /* the edge has been delivered */
	CHECK_EQ(s.redirtbl[5], REDIR_LEVEL | REDIR_REMOTE_IRR | 0x35);
	CHECK_EQ(take(0), 0x35);
	CHECK_EQ(take(0), -1); /* same class */
	eoi(0);
	take(0);
	s.redirtbl[5] &= ~REDIR_REMOTE_IRR;
	s.irr |= 1u << 3;
	lapic_reset(mock_cpus[0].lapic, false);
	mock_enable(0);
	irqchip_set_ioapic(mock_chip, &s);
	CHECK_EQ(take(0), 0x35);
	eoi(0);
	CHECK(remote_irr(5));
	mock_destroy();
}

static void test_routing(void)
{
	struct route r[] = {
		{ .gsi = 30,
		  .type = ROUTE_MSI,
		  .address_lo = 0xfee01000,
		  .data = 0x4c },
		{ .gsi = 0, .chip = ROUTE_IOAPIC, .pin = 2 },
		{ .gsi = 0, .chip = ROUTE_PIC_MASTER, .pin = 0 },
	};

	create();
	CHECK_EQ(line(30, true), -1);
	CHECK_EQ(line(5000, true), -1);
	CHECK_EQ(route_set(mock_chip, r, 3), 0);
	CHECK_EQ(line(30, true), 1);
	CHECK_EQ(line(30, false), -1);
	CHECK_EQ(take(1), 0x4c);
	CHECK_EQ(line(14, true), -1); /* the default table is gone */
	set_redir(2, 0x52);
	CHECK(line(0, true) > 0);
	CHECK_EQ(take(0), 0x52);
	/* What KVM refuses. */
	r[1] = r[0];
	CHECK_EQ(route_set(mock_chip, r, 2), -EINVAL);
	r[1] = (struct route){ .gsi = 1, .chip = ROUTE_IOAPIC, .pin = 24 };
	CHECK_EQ(route_set(mock_chip, r, 2), -EINVAL);
	r[1] = (struct route){ .gsi = 1, .chip = ROUTE_PIC_SLAVE, .pin = 8 };
	CHECK_EQ(route_set(mock_chip, r, 2), -EINVAL);
	r[1] = (struct route){ .gsi = ROUTE_MAX, .chip = 0, .pin = 1 };
	CHECK_EQ(route_set(mock_chip, r, 2), -EINVAL);
	r[1] = (struct route){ .gsi = 1, .type = 7 };
	CHECK_EQ(route_set(mock_chip, r, 2), -EINVAL);
	CHECK_EQ(line(30, true), 1); /* the old table still holds */
	mock_destroy();
}

static void test_split(void)
{
	const struct route r[] = {
		{ .gsi = 4,
		  .type = ROUTE_MSI,
		  .address_lo = 0xfee00000,
		  .data = 0x8034 },
		{ .gsi = 5,
		  .type = ROUTE_MSI,
		  .address_lo = 0xfee00000,
		  .data = 0x35 },
		{ .gsi = 30,
		  .type = ROUTE_MSI,
		  .address_lo = 0xfee00000,
		  .data = 0x8036 },
	};
	const struct route pin = { .gsi = 1, .chip = ROUTE_IOAPIC, .pin = 1 };
	uint32_t v;

	mock_create(IRQCHIP_SPLIT);
	mock_enable(0);
	CHECK(irqchip_is_split(mock_chip));
	CHECK_EQ(pit_create(mock_chip, false), -ENOENT);
	CHECK(!irqchip_mmio_read(mock_chip, IOAPIC_BASE, 4, &v));
	CHECK(!irqchip_pio_read(mock_chip, 0x20, 1, &v));
	CHECK_EQ(route_set(mock_chip, &pin, 1), -EINVAL);
	CHECK_EQ(route_set(mock_chip, r, 3), 0);
	/* Only level-triggered messages on the I/O APIC's own GSIs. */
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(line(r[i].gsi, true), 1);
		CHECK_EQ(take(0), r[i].data & 0xff);
		eoi(0);
	}
	CHECK_EQ(mock_cpus[0].split_eois, 1);
	CHECK_EQ(mock_cpus[0].eoi_vector, 0x34);
	mock_destroy();
}

int main(void)
{
	test_registers();
	test_edge();
	test_level();
	test_sources();
	test_storm();
	test_logical_lowest();
	test_state();
	test_routing();
	test_split();
	return test_done();
}
