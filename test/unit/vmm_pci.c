#include <errno.h>
#include <string.h>

#include "test/test.h"
#include "vmm/pci/chipset.h"
#include "vmm/status.h"

static struct bus pio, mmio;
static uint32_t lines; /* levels, a bit a GSI */
static int ended;
static struct power *power;
static struct pci *pci;

static void set_irq(void *arg, unsigned gsi, bool level)
{
	lines = (lines & ~BIT(gsi)) | (uint32_t)level << gsi;
}

static void end(void *arg, int status)
{
	ended = status;
}

static const struct irq_sink irq = { set_irq, NULL };
static const struct power_sink sink = { .end = end };

static uint32_t in(uint16_t port, unsigned len)
{
	uint32_t val = 0;

	bus_read(&pio, port, &val, len);
	return val;
}

static void out(uint16_t port, unsigned len, uint32_t val)
{
	bus_write(&pio, port, &val, len);
}

static uint32_t get(unsigned devfn, unsigned reg, unsigned len)
{
	out(0xcf8, 4, 0x80000000 | devfn << 8 | (reg & 0xfc));
	return in(0xcfc + reg % 4, len);
}

static void set(unsigned devfn, unsigned reg, unsigned len, uint32_t val)
{
	out(0xcf8, 4, 0x80000000 | devfn << 8 | (reg & 0xfc));
	out(0xcfc + reg % 4, len, val);
}

static uint32_t load(gpa_t gpa)
{
	uint32_t val = 0;

	bus_read(&mmio, gpa, &val, 4);
	return val;
}

static void setup(void)
{
	memset(&pio, 0, sizeof(pio));
	memset(&mmio, 0, sizeof(mmio));
	lines = 0;
	ended = -1;
	power = power_new(&pio, &irq, &sink);
	pci = pci_new(&pio, &mmio, &irq, power);
}

static void teardown(void)
{
	pci_free(pci);
	power_free(power);
}

static void test_chipset(void)
{
	struct chipset *c;

	setup();
	c = chipset_new(pci, NULL);
	CHECK_EQ(get(0, 0, 4), 0x12378086);
	CHECK_EQ(in(0xcf8, 4), 0x80000000);
	CHECK_EQ(in(0xcfe, 2), 0x1237);
	CHECK_EQ(get(0, 0xb, 1), 0x06); /* class: bridge */
	CHECK_EQ(get(0, 0x5a, 1), 0x33);
	CHECK_EQ(get(8, 0, 4), 0x70008086);
	CHECK_EQ(get(8, 0xe, 1), 0x80);
	CHECK_EQ(get(11, 0, 4), 0x71138086);
	CHECK_EQ(get(11, 0x40, 4), POWER_PM1A_EVT | 1);
	CHECK_EQ(get(16, 0, 4), 0xffffffff);
	set(0, 0, 4, 0);
	CHECK_EQ(get(0, 0, 4), 0x12378086);
	out(0xcf8, 4, 0); /* not enabled */
	CHECK_EQ(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 0x80010000); /* another bus */
	CHECK_EQ(in(0xcfc, 4), 0xffffffff);
	CHECK_EQ(pci_free_slot(pci, 1), 2);
	out(0xcf9, 1, 0x02);
	CHECK_EQ(ended, -1);
	out(0xcf9, 1, 0x06);
	CHECK_EQ(ended, STATUS_REBOOT);
	chipset_free(c);
	teardown();
}

static uint64_t fake_read(void *dev, uint64_t offset, unsigned len)
{
	return 0x11110000 + offset;
}

static const struct bus_ops fake_ops = { "fake", fake_read, NULL, 4 };

static void test_bars(void)
{
	static struct pci_func f = { .devfn = PCI_DEVFN(3, 0) };
	static const uint8_t cap1[] = { 9, 0, 9, 1, 7 },
			     cap2[] = { 9, 0, 4, 1 };
	struct pci_func twin = { .devfn = PCI_DEVFN(3, 0) };

	setup();
	f.bars[0] = (struct pci_bar){ 0x40, PCI_BAR_IO, &fake_ops };
	f.bars[1] = (struct pci_bar){ 0x1000, 0, &fake_ops };
	f.bars[4] = (struct pci_bar){ 0x4000, PCI_BAR_MEM64 | PCI_BAR_PREFETCH,
				      &fake_ops };
	pci_set_id(&f, 0x1af4, 0x1001, 0x010000, 0x1af4, 2);
	CHECK_EQ(pci_add_cap(&f, cap1, sizeof(cap1)), 0x40);
	CHECK_EQ(pci_add_cap(&f, cap2, sizeof(cap2)), 0x48);
	CHECK_EQ(pci_add(pci, &f), 0);
	CHECK_EQ(pci_add(pci, &twin), -EEXIST);
	CHECK_EQ(get(24, 8, 4), 0x01000000);

	/* Sizes, as firmware finds them out. */
	set(24, 0x10, 4, 0xffffffff);
	CHECK_EQ(get(24, 0x10, 4), 0xffffffc1);
	set(24, 0x14, 4, 0xffffffff);
	CHECK_EQ(get(24, 0x14, 4), 0xfffff000);
	set(24, 0x18, 4, 0xffffffff);
	CHECK_EQ(get(24, 0x18, 4), 0);
	set(24, 0x20, 4, 0xffffffff);
	CHECK_EQ(get(24, 0x20, 4), 0xffffc00c);
	set(24, 0x24, 4, 0xffffffff);
	CHECK_EQ(get(24, 0x24, 4), 0xffffffff);

	set(24, 0x10, 4, 0xc040);
	set(24, 0x14, 4, 0xfe001000);
	set(24, 0x20, 4, 0x00004000);
	set(24, 0x24, 4, 0x00000001);
	CHECK_EQ(in(0xc044, 4), 0xffffffff); /* not decoded yet */
	set(24, 4, 2, 3);
	CHECK_EQ(in(0xc044, 4), 0x11110004);
	CHECK_EQ(in(0xc080, 4), 0xffffffff);
	CHECK_EQ(load(0xfe001ffc), 0x11110ffc);
	CHECK_EQ(load(0x100004008ull), 0x11110008);
	CHECK_EQ(load(0xc044), 0xffffffff);
	set(24, 4, 2, 2);
	CHECK_EQ(in(0xc044, 4), 0xffffffff);

	/* Capabilities are a list. */
	CHECK_EQ(get(24, 6, 2) & PCI_STAT_CAPS, PCI_STAT_CAPS);
	CHECK_EQ(get(24, 0x34, 1), 0x40);
	CHECK_EQ(get(24, 0x40, 2), 0x4809);
	CHECK_EQ(get(24, 0x44, 1), 7);
	CHECK_EQ(get(24, 0x48, 4), 0x01040009);
	teardown();
}

static void test_intx(void)
{
	static struct pci_func f = { .devfn = PCI_DEVFN(4, 0) };
	static struct pci_func g = { .devfn = PCI_DEVFN(3, 0) };
	struct chipset *c;

	setup();
	c = chipset_new(pci, NULL);
	pci_set(&f, PCI_IRQ_PIN, 1, 1);
	CHECK_EQ(pci_add(pci, &f), 0);
	CHECK_EQ(pci_add(pci, &g), 0);
	pci_set_intx(&f, true); /* PIRQD, not routed yet */
	CHECK_EQ(lines, BIT(19));
	CHECK_EQ(get(32, 6, 2) & PCI_STAT_INTX, PCI_STAT_INTX);
	set(8, 0x63, 1, 11);
	CHECK_EQ(lines, BIT(19) | BIT(11));
	set(8, 0x62, 1, 11); /* the other function's shares it */
	pci_set_intx(&g, true);
	CHECK_EQ(lines, BIT(19) | BIT(18) | BIT(11));
	pci_set_intx(&f, false);
	CHECK_EQ(lines, BIT(18) | BIT(11));
	set(24, 4, 2, PCI_CMD_NO_INTX);
	CHECK_EQ(lines, 0);
	set(24, 4, 2, 0);
	CHECK_EQ(lines, BIT(18) | BIT(11));
	set(8, 0x62, 1, 0x80);
	CHECK_EQ(lines, BIT(18));
	pci_set_intx(&g, false);
	CHECK_EQ(lines, 0);

	/* What a kernel finds that starts without firmware. */
	chipset_route(c);
	pci_assign(pci);
	CHECK_EQ(get(32, 0x3c, 1), 11);
	CHECK_EQ(get(8, 0x60, 4), 0x0b0b0a0a);
	chipset_free(c);
	teardown();
}

int main(void)
{
	test_chipset();
	test_bars();
	test_intx();
	return test_done();
}
