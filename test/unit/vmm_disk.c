// The disks as a driver sees them: virtio queues with good and bad contents,
// and the ATA task file.
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/test.h"
#include "vmm/disk/ide.h"
#include "vmm/virtio/blk.h"

#define SECTORS 2048
#define IO_BASE 0xc000
#define MM_BASE 0xe0000000ull

static struct bus pio, mmio;
static struct ram ram;
static uint32_t lines;
static unsigned nr_msi;
static uint64_t last_msi;

static void set_irq(void *arg, unsigned gsi, bool level)
{
	__atomic_store_n(&lines, (lines & ~BIT(gsi)) | (uint32_t)level << gsi,
			 __ATOMIC_SEQ_CST);
}

static void send_msi(void *arg, uint64_t address, uint32_t data)
{
	last_msi = address | data;
	__atomic_add_fetch(&nr_msi, 1, __ATOMIC_SEQ_CST);
}

static void end(void *arg, int status)
{
}

static const struct irq_sink irq = { set_irq, NULL };
static const struct msi_sink msi = { send_msi, NULL };
static void nothing(void *arg)
{
}

static const struct power_sink sink = { end, nothing, nothing, NULL };

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

static uint32_t load(gpa_t gpa, unsigned len)
{
	uint32_t val = 0;

	bus_read(&mmio, gpa, &val, len);
	return val;
}

static void store(gpa_t gpa, unsigned len, uint32_t val)
{
	bus_write(&mmio, gpa, &val, len);
}

static void set_config(unsigned devfn, unsigned reg, unsigned len, uint32_t val)
{
	out(0xcf8, 4, 0x80000000 | devfn << 8 | (reg & 0xfc));
	out(0xcfc + reg % 4, len, val);
}

static uint32_t get_config(unsigned devfn, unsigned reg, unsigned len)
{
	out(0xcf8, 4, 0x80000000 | devfn << 8 | (reg & 0xfc));
	return in(0xcfc + reg % 4, len);
}

/* A file whose sectors hold their numbers. */
static struct disk make_disk(bool readonly)
{
	char path[] = "/tmp/ring3-disk-XXXXXX";
	struct disk_config config = { .path = path, .readonly = readonly };
	int fd = mkstemp(path);
	struct disk d = { 0 };

	for (uint32_t i = 0; i < SECTORS; i++) {
		uint32_t sector[128] = { i };

		CHECK_EQ(write(fd, sector, 512), 512);
	}
	close(fd);
	CHECK_EQ(disk_open(&d, &config, 0), 0);
	unlink(path);
	return d;
}

struct rig {
	struct power *power;
	struct pci *pci;
	struct blk *blk;
	struct ide *ide;
};

static void rig_open(struct rig *r)
{
	memset(&pio, 0, sizeof(pio));
	memset(&mmio, 0, sizeof(mmio));
	lines = 0;
	nr_msi = 0;
	*r = (struct rig){ .power = power_new(&pio, &irq, &sink) };
	r->pci = pci_new(&pio, &mmio, &irq, r->power);
}

static void rig_close(struct rig *r)
{
	blk_free(r->blk);
	ide_free(r->ide);
	pci_free(r->pci);
	power_free(r->power);
}

#define DEVFN PCI_DEVFN(2, 0)

static void rig_add_blk(struct rig *r, bool readonly)
{
	struct disk d = make_disk(readonly);

	r->blk = blk_new(r->pci, &ram, &msi, &d);
	CHECK(r->blk != NULL);
	set_config(DEVFN, PCI_BAR0, 4, IO_BASE);
	set_config(DEVFN, PCI_BAR0 + 4, 4, MM_BASE + 0x8000);
	set_config(DEVFN, PCI_BAR0 + 16, 4, MM_BASE);
	set_config(DEVFN, PCI_CMD, 2, 7);
}

/* A queue of 128 entries at 64 KiB, laid out as legacy drivers have it. */
#define RING 0x10000
#define DATA 0x20000
static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;

static void ring_clear(void)
{
	memset(ram.base + RING, 0, 0x4000);
	desc = (void *)(ram.base + RING);
	avail = (void *)(ram.base + RING + 128 * 16);
	used = (void *)(ram.base + RING + 0x1000);
}

static void legacy_start(void)
{
	out(IO_BASE + VIRTIO_PCI_STATUS, 1, 0);
	ring_clear();
	out(IO_BASE + VIRTIO_PCI_STATUS, 1, 3);
	out(IO_BASE + VIRTIO_PCI_GUEST_FEATURES, 4, 0);
	out(IO_BASE + VIRTIO_PCI_QUEUE_SEL, 2, 0);
	CHECK_EQ(in(IO_BASE + VIRTIO_PCI_QUEUE_NUM, 2), 128);
	out(IO_BASE + VIRTIO_PCI_QUEUE_PFN, 4, RING >> 12);
	out(IO_BASE + VIRTIO_PCI_STATUS, 1, 7);
}

static void put_request(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	struct virtio_blk_outhdr head = { .type = type, .sector = sector };

	memcpy(ram.base + DATA, &head, sizeof(head));
	desc[0] = (struct vring_desc){ DATA, 16, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ DATA + 0x1000, len,
				       VRING_DESC_F_NEXT |
					       (in ? VRING_DESC_F_WRITE : 0),
				       2 };
	desc[2] = (struct vring_desc){ DATA + 0x800, 1, VRING_DESC_F_WRITE, 0 };
	ram.base[DATA + 0x800] = 0x77;
	avail->ring[avail->idx % 128] = 0;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
}

/* Waits for the device's thread. */
static bool wait_used(void)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == avail->idx)
			return true;
		usleep(1000);
	}
	return false;
}

static void wait_for(const uint32_t *what, uint32_t bit)
{
	for (unsigned i = 0;
	     i < 5000 && !(__atomic_load_n(what, __ATOMIC_SEQ_CST) & bit); i++)
		usleep(1000);
}

static uint8_t request(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	put_request(type, sector, len, in);
	out(IO_BASE + VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
	CHECK(wait_used());
	return ram.base[DATA + 0x800];
}

static uint32_t data_word(void)
{
	uint32_t val;

	memcpy(&val, ram.base + DATA + 0x1000, 4);
	return val;
}

static void test_legacy(void)
{
	struct rig r;

	rig_open(&r);
	rig_add_blk(&r, false);
	CHECK_EQ(get_config(DEVFN, 0, 4), 0x10011af4);
	CHECK_EQ(in(IO_BASE + 20, 4), SECTORS);
	legacy_start();
	CHECK_EQ(request(VIRTIO_BLK_T_IN, 1234, 1024, true), 0);
	CHECK_EQ(data_word(), 1234);
	CHECK_EQ(used->ring[0].len, 1025);
	wait_for(&lines, BIT(17));
	CHECK_EQ(lines, BIT(17));
	CHECK_EQ(in(IO_BASE + VIRTIO_PCI_ISR, 1), 1);
	CHECK_EQ(lines, 0);

	memset(ram.base + DATA + 0x1000, 0xab, 512);
	CHECK_EQ(request(VIRTIO_BLK_T_OUT, 7, 512, false), 0);
	memset(ram.base + DATA + 0x1000, 0, 512);
	CHECK_EQ(request(VIRTIO_BLK_T_IN, 7, 512, true), 0);
	CHECK_EQ(data_word(), 0xabababab);
	CHECK_EQ(request(VIRTIO_BLK_T_FLUSH, 0, 0, true), 0);
	CHECK_EQ(request(VIRTIO_BLK_T_GET_ID, 0, 20, true), 0);
	CHECK(!memcmp(ram.base + DATA + 0x1000, "ring3-0", 8));

	CHECK_EQ(request(VIRTIO_BLK_T_IN, SECTORS, 512, true), 1);
	CHECK_EQ(request(VIRTIO_BLK_T_IN, ~0ull, 512, true), 1);
	CHECK_EQ(request(VIRTIO_BLK_T_IN, 0, 100, true), 1);
	CHECK_EQ(request(99, 0, 512, true), 2);
	rig_close(&r);
}

static void test_readonly(void)
{
	struct rig r;

	rig_open(&r);
	rig_add_blk(&r, true);
	CHECK(in(IO_BASE, 4) & BIT(VIRTIO_BLK_F_RO));
	legacy_start();
	CHECK_EQ(request(VIRTIO_BLK_T_OUT, 7, 512, false), 1);
	CHECK_EQ(request(VIRTIO_BLK_T_IN, 7, 512, true), 0);
	CHECK_EQ(data_word(), 7);
	rig_close(&r);
}

#define COMMON(reg) (MM_BASE + (reg))

/* The modern interface, with MSI-X and an indirect table. */
static void test_modern(void)
{
	struct rig r;
	struct vring_desc *table = (void *)(ram.base + DATA + 0x400);

	rig_open(&r);
	rig_add_blk(&r, false);
	ring_clear();
	store(COMMON(VIRTIO_PCI_COMMON_STATUS), 1, 3);
	store(COMMON(VIRTIO_PCI_COMMON_DFSELECT), 4, 1);
	CHECK(load(COMMON(VIRTIO_PCI_COMMON_DF), 4) & 1); /* VERSION_1 */
	store(COMMON(VIRTIO_PCI_COMMON_GFSELECT), 4, 1);
	store(COMMON(VIRTIO_PCI_COMMON_GF), 4, 0x8001);
	store(COMMON(VIRTIO_PCI_COMMON_STATUS), 1, 0xb);
	CHECK_EQ(load(COMMON(VIRTIO_PCI_COMMON_STATUS), 1), 3); /* refused */
	store(COMMON(VIRTIO_PCI_COMMON_GF), 4, 1);
	store(COMMON(VIRTIO_PCI_COMMON_STATUS), 1, 0xb);
	CHECK_EQ(load(COMMON(VIRTIO_PCI_COMMON_STATUS), 1), 0xb);

	/* Vector 1 goes to address fee01000, data 41; masked at first. */
	set_config(DEVFN, 0x42, 2, 0x8000);
	store(MM_BASE + 0x8010, 4, 0xfee01000);
	store(MM_BASE + 0x8018, 4, 0x41);
	store(COMMON(VIRTIO_PCI_COMMON_Q_MSIX), 2, 1);
	CHECK_EQ(load(COMMON(VIRTIO_PCI_COMMON_Q_MSIX), 2), 1);
	store(COMMON(VIRTIO_PCI_COMMON_Q_DESCLO), 4, RING);
	store(COMMON(VIRTIO_PCI_COMMON_Q_AVAILLO), 4, RING + 128 * 16);
	store(COMMON(VIRTIO_PCI_COMMON_Q_USEDLO), 4, RING + 0x1000);
	store(COMMON(VIRTIO_PCI_COMMON_Q_ENABLE), 2, 1);
	store(COMMON(VIRTIO_PCI_COMMON_STATUS), 1, 0xf);

	put_request(VIRTIO_BLK_T_IN, 55, 512, true);
	memcpy(table, desc, 3 * sizeof(*desc));
	desc[0] = (struct vring_desc){ DATA + 0x400, 48, VRING_DESC_F_INDIRECT,
				       0 };
	store(MM_BASE + 0x3000, 2, 0);
	CHECK(wait_used());
	CHECK_EQ(data_word(), 55);
	usleep(10000);
	CHECK_EQ(nr_msi, 0);
	store(MM_BASE + 0x801c, 4, 0); /* the pending one comes */
	CHECK_EQ(nr_msi, 1);
	CHECK_EQ(last_msi, 0xfee01041);
	CHECK_EQ(lines, 0);
	rig_close(&r);
}

/* What a hostile driver may put there breaks its queue, nothing else. */
static void break_queue(struct vring_desc d, uint16_t head, uint16_t idx)
{

	legacy_start();
	put_request(VIRTIO_BLK_T_IN, 0, 512, true);
	desc[1] = d;
	avail->ring[0] = head;
	avail->idx = idx;
	out(IO_BASE + VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
	for (unsigned i = 0;
	     i < 5000 && !(in(IO_BASE + VIRTIO_PCI_STATUS, 1) & 0x40); i++)
		usleep(1000);
	CHECK_EQ(in(IO_BASE + VIRTIO_PCI_STATUS, 1), 0x47);
	CHECK_EQ(used->idx, 0);
}

static void test_hostile(void)
{
	const uint16_t next = VRING_DESC_F_NEXT, in = VRING_DESC_F_WRITE;
	struct vring_desc good = { DATA + 0x1000, 512, next | in, 2 };
	struct vring_desc d;
	struct rig r;

	rig_open(&r);
	rig_add_blk(&r, false);
	d = good;
	d.addr = ram.size - 100; /* reaches over the end of RAM */
	break_queue(d, 0, 1);
	d = good;
	d.next = 1; /* a loop */
	break_queue(d, 0, 1);
	d = good;
	d.next = 128;
	break_queue(d, 0, 1);
	d = good;
	d.flags = next; /* fine so far; but the indirect table is odd */
	d.flags |= VRING_DESC_F_INDIRECT;
	d.len = 17;
	break_queue(d, 0, 1);
	break_queue(good, 200, 1);
	break_queue(good, 0, 1000);
	/* No room for a status. */
	d = good;
	d.flags = 0;
	break_queue(d, 0, 1);
	/* Reset makes it good again. */
	legacy_start();
	CHECK_EQ(request(VIRTIO_BLK_T_IN, 3, 512, true), 0);
	CHECK_EQ(data_word(), 3);
	rig_close(&r);
}

static void rig_add_ata(struct rig *r)
{
	struct disk d = make_disk(false);

	r->ide = ide_new(r->pci, &pio, &ram, &irq);
	CHECK(r->ide != NULL);
	CHECK_EQ(ide_add(r->ide, &d), 0);
	set_config(PCI_DEVFN(1, 1), PCI_BAR0 + 16, 4, IO_BASE);
	set_config(PCI_DEVFN(1, 1), PCI_CMD, 2, 5);
}

static void ata_address(uint32_t lba, uint8_t count)
{
	out(0x1f2, 1, count);
	out(0x1f3, 1, lba);
	out(0x1f4, 1, lba >> 8);
	out(0x1f5, 1, lba >> 16);
	out(0x1f6, 1, 0xe0 | lba >> 24);
}

static void ata_read_words(uint16_t *to, unsigned n)
{
	while (n--)
		*to++ = in(0x1f0, 2);
}

static void test_ata_pio(void)
{
	uint16_t w[256];
	struct rig r;

	rig_open(&r);
	rig_add_ata(&r);
	out(0x1f6, 1, 0xa0);
	out(0x1f7, 1, 0xec);
	CHECK_EQ(lines, BIT(14));
	CHECK_EQ(in(0x1f7, 1), 0x58);
	CHECK_EQ(lines, 0);
	ata_read_words(w, 256);
	CHECK_EQ(w[0], 0x40);
	CHECK_EQ(w[60] | w[61] << 16, SECTORS);
	CHECK_EQ(w[27], 'r' << 8 | 'i');
	CHECK_EQ(in(0x1f7, 1), 0x50);

	ata_address(300, 2); /* an interrupt for each sector */
	out(0x1f7, 1, 0x20);
	ata_read_words(w, 256);
	CHECK_EQ(w[0], 300);
	CHECK_EQ(lines, BIT(14));
	ata_read_words(w, 256);
	CHECK_EQ(w[0], 301);
	CHECK_EQ(in(0x1f7, 1), 0x50);

	ata_address(10, 1);
	out(0x1f7, 1, 0x30);
	CHECK_EQ(in(0x1f7, 1), 0x58);
	for (unsigned i = 0; i < 128; i++)
		out(0x1f0, 4, 0x12340000 + i);
	CHECK_EQ(in(0x1f7, 1), 0x50);
	/* The same by cylinder, head and sector: 11th sector of the track. */
	out(0x1f2, 1, 1);
	out(0x1f3, 1, 11);
	out(0x1f4, 1, 0);
	out(0x1f5, 1, 0);
	out(0x1f6, 1, 0xa0);
	out(0x1f7, 1, 0x20);
	ata_read_words(w, 256);
	CHECK_EQ(w[255], 0x1234);
	CHECK_EQ(w[254], 127);

	ata_address(SECTORS, 1);
	out(0x1f7, 1, 0x20);
	CHECK_EQ(in(0x1f7, 1), 0x51);
	CHECK_EQ(in(0x1f1, 1), 0x10); /* no such sector */
	out(0x1f7, 1, 0xc4);	      /* READ MULTIPLE was not set up */
	CHECK_EQ(in(0x1f1, 1), 0x04);
	out(0x1f7, 1, 0xff);
	CHECK_EQ(in(0x1f1, 1), 0x04);
	out(0x1f6, 1, 0xb0); /* no second drive */
	CHECK_EQ(in(0x1f7, 1), 0);
	out(0x3f6, 1, 0x04);
	out(0x3f6, 1, 0x02);
	CHECK_EQ(in(0x1f4, 1) | in(0x1f5, 1), 0);
	CHECK_EQ(in(0x3f6, 1), 0x50);
	rig_close(&r);
}

static void test_ata_dma(void)
{
	const uint32_t prds[] = { DATA, 512, DATA + 0x1000, 512 | BIT(31) };
	struct rig r;

	rig_open(&r);
	rig_add_ata(&r);
	ram_write(&ram, 0x5000, prds, sizeof(prds));
	out(IO_BASE + 4, 4, 0x5000);
	ata_address(20, 2);
	out(0x1f7, 1, 0xc8);
	CHECK_EQ(in(0x3f6, 1), 0x58);
	out(IO_BASE, 1, 0x09);
	CHECK_EQ(in(IO_BASE + 2, 1), 0x04);
	CHECK_EQ(in(0x1f7, 1), 0x50);
	CHECK_EQ(data_word(), 21);
	out(IO_BASE + 2, 1, 0x04);
	CHECK_EQ(in(IO_BASE + 2, 1), 0);

	/* More sectors than the table has room for. */
	out(IO_BASE, 1, 0);
	ata_address(20, 3);
	out(0x1f7, 1, 0xc8);
	out(IO_BASE, 1, 0x09);
	CHECK_EQ(in(0x1f7, 1), 0x51);
	/* A table outside of RAM. */
	out(IO_BASE, 1, 0);
	out(IO_BASE + 4, 4, 0xfffffff0);
	ata_address(20, 1);
	out(0x1f7, 1, 0xc8);
	out(IO_BASE, 1, 0x09);
	CHECK_EQ(in(IO_BASE + 2, 1) & 2, 2);
	CHECK_EQ(in(0x1f7, 1), 0x51);
	rig_close(&r);
}

int main(void)
{
	CHECK_EQ(ram_init(&ram, 16 << 20), 0);
	test_legacy();
	test_readonly();
	test_modern();
	test_hostile();
	test_ata_pio();
	test_ata_dma();
	return test_done();
}
