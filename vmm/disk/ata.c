#include "vmm/disk/ata.h"

#include <string.h>

/* Registers, as offsets from the base port. */
enum {
	REG_DATA,
	REG_ERROR,
	REG_COUNT,
	REG_LOW,
	REG_MID,
	REG_HIGH,
	REG_DEVICE,
	REG_STATUS
};

#define STATUS_ERR  0x01
#define STATUS_DRQ  0x08
#define STATUS_DSC  0x10
#define STATUS_DRDY 0x40

#define ERROR_ABORT 0x04
#define ERROR_IDNF  0x10
#define ERROR_UNC   0x40
#define ERROR_GOOD  0x01 /* result of the diagnostics */

#define CONTROL_NO_IRQ 0x02
#define CONTROL_RESET  0x04
#define CONTROL_HOB    0x80

#define DEVICE_ONE 0x10
#define DEVICE_LBA 0x40
#define DEVICE_SET 0xa0 /* bits that always read as ones */

static struct ata_drive *ata_drive(struct ata *a)
{
	return &a->drives[a->device & DEVICE_ONE ? 1 : 0];
}

static bool ata_present(const struct ata_drive *d)
{
	return d->disk.fd > 0;
}

static void ata_interrupt(struct ata *a, bool level)
{
	irq_line_set(&a->irq, level && !(a->control & CONTROL_NO_IRQ));
}

/* The command is over. */
static void ata_done(struct ata *a, uint8_t error)
{
	a->phase = ATA_IDLE;
	a->error = error;
	a->status = STATUS_DRDY | STATUS_DSC | (error ? STATUS_ERR : 0);
	ata_interrupt(a, true);
}

/* Addresses. */

static uint64_t ata_address(struct ata *a, bool wide)
{
	const struct ata_drive *d = ata_drive(a);
	uint64_t lba = a->low.now | a->mid.now << 8 | a->high.now << 16;
	unsigned head = a->device & 15;
	unsigned cylinder = a->mid.now | a->high.now << 8;

	if (wide)
		return lba | (uint64_t)a->low.before << 24 |
		       (uint64_t)a->mid.before << 32 |
		       (uint64_t)a->high.before << 40;
	if (a->device & DEVICE_LBA)
		return lba | (uint64_t)head << 24;
	if (!a->low.now || head >= d->heads || a->low.now > d->track_sectors)
		return ~0ull;
	return ((uint64_t)cylinder * d->heads + head) * d->track_sectors +
	       a->low.now - 1;
}

static uint32_t ata_count(const struct ata *a, bool wide)
{
	uint32_t n = a->count.now | (wide ? a->count.before << 8 : 0);

	return n ? n : wide ? 0x10000 : 0x100;
}

/* Transfers. */

static int ata_move(struct ata *a, struct iovec *iov, unsigned nr)
{
	struct disk *disk = &ata_drive(a)->disk;

	return a->write ? disk_write(disk, a->sector, iov, nr)
			: disk_read(disk, a->sector, iov, nr);
}

static int ata_move_block(struct ata *a)
{
	struct iovec iov = { a->buffer, a->block * DISK_SECTOR };

	return ata_move(a, &iov, 1);
}

static void ata_offer(struct ata *a, enum ata_phase phase, uint32_t block)
{
	a->phase = phase;
	a->block = block;
	a->pos = 0;
	a->status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
}

static uint32_t ata_next_block(struct ata *a, bool multiple)
{
	uint32_t n = multiple ? ata_drive(a)->multiple : 1;

	return n < a->left ? n : a->left;
}

/* Reads the next block for the guest; the first one, too. */
static void ata_fill(struct ata *a, uint32_t block)
{
	ata_offer(a, ATA_TO_GUEST, block);
	if (ata_move_block(a)) {
		ata_done(a, ERROR_UNC);
		return;
	}
	a->sector += block;
	a->left -= block;
	ata_interrupt(a, true);
}

/* The guest has read or filled the whole buffer. */
static void ata_buffer_end(struct ata *a)
{
	uint32_t block = a->block;

	if (a->phase == ATA_TO_GUEST) {
		if (a->left) {
			ata_fill(a, block < a->left ? block : a->left);
			return;
		}
		a->phase = ATA_IDLE;
		a->status = STATUS_DRDY | STATUS_DSC;
		return;
	}
	if (ata_move_block(a)) {
		ata_done(a, ERROR_ABORT);
		return;
	}
	a->sector += block;
	a->left -= block;
	if (!a->left) {
		ata_done(a, 0);
		return;
	}
	ata_offer(a, ATA_FROM_GUEST, block < a->left ? block : a->left);
	ata_interrupt(a, true);
}

void ata_dma(struct ata *a, struct iovec *iov, unsigned nr)
{
	uint64_t left = (uint64_t)a->left * DISK_SECTOR;
	unsigned used = 0;

	for (; used < nr && left; used++) {
		if (iov[used].iov_len > left)
			iov[used].iov_len = left;
		left -= iov[used].iov_len;
	}
	if (left || ata_move(a, iov, used)) {
		ata_done(a, a->write ? ERROR_ABORT : ERROR_UNC);
		return;
	}
	a->left = 0;
	ata_done(a, 0);
}

/* Commands. */

enum {
	CMD_WIDE = 1,	  /* 48-bit address and count */
	CMD_WRITE = 2,	  /* moves data from the guest */
	CMD_MULTIPLE = 4, /* several sectors an interrupt */
	CMD_DMA = 8,
};

typedef void ata_command(struct ata *a, unsigned flags);

static void cmd_transfer(struct ata *a, unsigned flags)
{
	struct ata_drive *d = ata_drive(a);

	a->wide = flags & CMD_WIDE;
	a->write = flags & CMD_WRITE;
	a->sector = ata_address(a, a->wide);
	a->left = ata_count(a, a->wide);
	if (((flags & CMD_MULTIPLE) && !d->multiple) ||
	    (a->write && d->disk.readonly)) {
		ata_done(a, ERROR_ABORT);
		return;
	}
	if (!disk_has(&d->disk, a->sector, a->left)) {
		ata_done(a, ERROR_IDNF);
		return;
	}
	if (flags & CMD_DMA) {
		ata_offer(a, ATA_DMA, 0);
		a->dma_ready(a->arg);
		return;
	}
	if (a->write)
		ata_offer(a, ATA_FROM_GUEST,
			  ata_next_block(a, flags & CMD_MULTIPLE));
	else
		ata_fill(a, ata_next_block(a, flags & CMD_MULTIPLE));
}

static void cmd_verify(struct ata *a, unsigned flags)
{
	bool wide = flags & CMD_WIDE;

	ata_done(a, disk_has(&ata_drive(a)->disk, ata_address(a, wide),
			     ata_count(a, wide))
			    ? 0
			    : ERROR_IDNF);
}

static void cmd_identify(struct ata *a, unsigned flags)
{
	ata_identify(ata_drive(a), a->buffer);
	a->left = 0;
	ata_offer(a, ATA_TO_GUEST, 1);
	ata_interrupt(a, true);
}

static void cmd_set_multiple(struct ata *a, unsigned flags)
{
	uint8_t n = a->count.now;

	if (n > ATA_MULTIPLE_MAX || (n & (n - 1))) {
		ata_done(a, ERROR_ABORT);
		return;
	}
	ata_drive(a)->multiple = n;
	ata_done(a, 0);
}

static void cmd_set_geometry(struct ata *a, unsigned flags)
{
	struct ata_drive *d = ata_drive(a);

	d->heads = (a->device & 15) + 1;
	d->track_sectors = a->count.now;
	ata_done(a, d->track_sectors ? 0 : ERROR_ABORT);
}

static void cmd_flush(struct ata *a, unsigned flags)
{
	ata_done(a, disk_flush(&ata_drive(a)->disk) ? ERROR_ABORT : 0);
}

static void cmd_power_mode(struct ata *a, unsigned flags)
{
	a->count.now = 0xff; /* active */
	ata_done(a, 0);
}

static void cmd_native_max(struct ata *a, unsigned flags)
{
	uint64_t last = ata_drive(a)->disk.sectors - 1;

	if (!(flags & CMD_WIDE) && last > 0x0fffffff)
		last = 0x0fffffff;
	a->low = (struct ata_reg){ last, last >> 24 };
	a->mid = (struct ata_reg){ last >> 8, last >> 32 };
	a->high = (struct ata_reg){ last >> 16, last >> 40 };
	if (!(flags & CMD_WIDE))
		a->device = (a->device & ~15) | (last >> 24 & 15);
	ata_done(a, 0);
}

static void cmd_nothing(struct ata *a, unsigned flags)
{
	ata_done(a, 0);
}

static const struct {
	ata_command *fn;
	unsigned flags;
} ata_commands[256] = {
	[0x10 ... 0x1f] = { cmd_nothing, 0 }, /* RECALIBRATE */
	[0x20 ... 0x21] = { cmd_transfer, 0 },
	[0x24] = { cmd_transfer, CMD_WIDE },
	[0x25] = { cmd_transfer, CMD_WIDE | CMD_DMA },
	[0x27] = { cmd_native_max, CMD_WIDE },
	[0x29] = { cmd_transfer, CMD_WIDE | CMD_MULTIPLE },
	[0x30 ... 0x31] = { cmd_transfer, CMD_WRITE },
	[0x34] = { cmd_transfer, CMD_WRITE | CMD_WIDE },
	[0x35] = { cmd_transfer, CMD_WRITE | CMD_WIDE | CMD_DMA },
	[0x39] = { cmd_transfer, CMD_WRITE | CMD_WIDE | CMD_MULTIPLE },
	[0x40 ... 0x41] = { cmd_verify, 0 },
	[0x42] = { cmd_verify, CMD_WIDE },
	[0x70 ... 0x7f] = { cmd_nothing, 0 }, /* SEEK */
	[0x91] = { cmd_set_geometry, 0 },
	[0xc4] = { cmd_transfer, CMD_MULTIPLE },
	[0xc5] = { cmd_transfer, CMD_WRITE | CMD_MULTIPLE },
	[0xc6] = { cmd_set_multiple, 0 },
	[0xc8 ... 0xc9] = { cmd_transfer, CMD_DMA },
	[0xca ... 0xcb] = { cmd_transfer, CMD_WRITE | CMD_DMA },
	[0xe0 ... 0xe3] = { cmd_nothing, 0 }, /* STANDBY, IDLE */
	[0xe5] = { cmd_power_mode, 0 },
	[0xe7] = { cmd_flush, 0 },
	[0xea] = { cmd_flush, 0 },
	[0xec] = { cmd_identify, 0 },
	[0xef] = { cmd_nothing, 0 }, /* SET FEATURES: there is no choice */
	[0xf8] = { cmd_native_max, 0 },
};

/* What reset and the diagnostics leave behind: "a disk, no packet device". */
static void ata_signature(struct ata *a)
{
	a->count = a->low = (struct ata_reg){ 1, 0 };
	a->mid = a->high = (struct ata_reg){ 0, 0 };
	a->device &= ~(DEVICE_ONE | 15);
	a->error = ERROR_GOOD;
	a->status = STATUS_DRDY | STATUS_DSC;
	a->phase = ATA_IDLE;
}

#define CMD_DIAGNOSTIC 0x90

static void ata_execute(struct ata *a, uint8_t command)
{
	ata_interrupt(a, false);
	if (command == CMD_DIAGNOSTIC) {
		ata_signature(a);
		ata_interrupt(a, true);
		return;
	}
	if (!ata_present(ata_drive(a)))
		return;
	a->error = 0;
	if (ata_commands[command].fn)
		ata_commands[command].fn(a, ata_commands[command].flags);
	else
		ata_done(a, ERROR_ABORT);
}

/* Registers. */

/* A wide access at an odd place may reach over the end. */
static unsigned ata_in_buffer(const struct ata *a, unsigned len)
{
	uint32_t left = a->block * DISK_SECTOR - a->pos;

	return len < left ? len : left;
}

static uint32_t ata_read_data(struct ata *a, unsigned len)
{
	uint32_t val = ~0u;

	if (a->phase != ATA_TO_GUEST)
		return val;
	len = ata_in_buffer(a, len);
	memcpy(&val, a->buffer + a->pos, len);
	a->pos += len;
	if (a->pos >= a->block * DISK_SECTOR)
		ata_buffer_end(a);
	return val;
}

static void ata_write_data(struct ata *a, unsigned len, uint32_t val)
{
	if (a->phase != ATA_FROM_GUEST)
		return;
	len = ata_in_buffer(a, len);
	memcpy(a->buffer + a->pos, &val, len);
	a->pos += len;
	if (a->pos >= a->block * DISK_SECTOR)
		ata_buffer_end(a);
}

static struct ata_reg *ata_reg(struct ata *a, unsigned reg)
{
	struct ata_reg *regs[] = {
		[REG_ERROR] = &a->features, [REG_COUNT] = &a->count,
		[REG_LOW] = &a->low,	    [REG_MID] = &a->mid,
		[REG_HIGH] = &a->high,
	};

	return regs[reg];
}

/* With no drive selected the registers of the other answer, but no status. */
static uint8_t ata_read_status(struct ata *a)
{
	return ata_present(ata_drive(a)) ? a->status : 0;
}

static uint8_t ata_read_reg(struct ata *a, unsigned reg)
{
	const struct ata_reg *r;

	switch (reg) {
	case REG_ERROR:
		return a->error;
	case REG_DEVICE:
		return a->device | DEVICE_SET;
	case REG_STATUS:
		ata_interrupt(a, false);
		return ata_read_status(a);
	default:
		r = ata_reg(a, reg);
		return a->control & CONTROL_HOB ? r->before : r->now;
	}
}

static void ata_write_reg(struct ata *a, unsigned reg, uint8_t val)
{
	struct ata_reg *r;

	a->control &= ~CONTROL_HOB;
	switch (reg) {
	case REG_DEVICE:
		a->device = val;
		break;
	case REG_STATUS:
		ata_execute(a, val);
		break;
	default:
		r = ata_reg(a, reg);
		r->before = r->now;
		r->now = val;
	}
}

/* Only the data register is wider than a byte. */
static uint64_t ata_read(void *dev, uint64_t offset, unsigned len)
{
	struct ata *a = dev;
	uint64_t val = 0;

	pthread_mutex_lock(&a->lock);
	if (offset == REG_DATA)
		val = ata_read_data(a, len);
	for (unsigned i = 0; offset != REG_DATA && i < len; i++)
		val |= (uint64_t)ata_read_reg(a, offset + i) << 8 * i;
	pthread_mutex_unlock(&a->lock);
	return val;
}

static void ata_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct ata *a = dev;

	pthread_mutex_lock(&a->lock);
	if (offset == REG_DATA)
		ata_write_data(a, len, val);
	for (unsigned i = 0; offset != REG_DATA && i < len; i++)
		ata_write_reg(a, offset + i, val >> 8 * i);
	pthread_mutex_unlock(&a->lock);
}

static const struct bus_ops ata_ops = {
	.name = "ata",
	.read = ata_read,
	.write = ata_write,
	.max_len = 4,
};

static uint64_t ata_read_alt(void *dev, uint64_t offset, unsigned len)
{
	struct ata *a = dev;
	uint8_t val;

	pthread_mutex_lock(&a->lock);
	val = ata_read_status(a);
	pthread_mutex_unlock(&a->lock);
	return val;
}

static void ata_write_control(void *dev, uint64_t offset, unsigned len,
			      uint64_t val)
{
	struct ata *a = dev;

	pthread_mutex_lock(&a->lock);
	if (val & ~a->control & CONTROL_RESET) {
		ata_signature(a);
		ata_interrupt(a, false);
	}
	a->control = val;
	pthread_mutex_unlock(&a->lock);
}

static const struct bus_ops control_ops = {
	.name = "ata control",
	.read = ata_read_alt,
	.write = ata_write_control,
	.max_len = 1,
};

int ata_init(struct ata *a, struct bus *pio, uint16_t base, uint16_t control,
	     const struct irq_sink *irq, unsigned gsi)
{
	int r;

	pthread_mutex_init(&a->lock, NULL);
	a->irq = (struct irq_line){ irq, gsi, false };
	for (unsigned i = 0; i < 2; i++) {
		a->drives[i].heads = 16;
		a->drives[i].track_sectors = 63;
	}
	ata_signature(a);
	r = bus_add(pio, base, 8, &ata_ops, a);
	if (!r)
		r = bus_add(pio, control, 1, &control_ops, a);
	return r;
}
