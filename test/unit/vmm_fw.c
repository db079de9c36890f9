#include <endian.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include "test/test.h"
#include "vmm/fw/firmware.h"
#include "vmm/log.h"

static struct bus pio, mmio;
static struct ram ram;
static uint8_t file[0x4000];
static char message[512];

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

static void get_bytes(void *to, size_t len)
{
	uint8_t *p = to;

	while (len--)
		*p++ = in(0x511, 1);
}

/* Reads a file by its name; its length, or -1. */
static int get_file(const char *name, void *to, size_t max)
{
	struct {
		uint32_t size;
		uint16_t select, reserved;
		char name[56];
	} entry;
	uint32_t nr;

	out(0x510, 2, 0x19);
	get_bytes(&nr, 4);
	for (nr = be32toh(nr); nr; nr--) {
		get_bytes(&entry, sizeof(entry));
		if (strcmp(entry.name, name))
			continue;
		out(0x510, 2, be16toh(entry.select));
		CHECK(be32toh(entry.size) <= max);
		get_bytes(to, be32toh(entry.size));
		CHECK_EQ(in(0x511, 1), 0); /* behind the end */
		return be32toh(entry.size);
	}
	return -1;
}

static uint32_t dma(uint32_t control, uint32_t len, gpa_t address)
{
	struct {
		uint32_t control, len;
		uint64_t address;
	} request = { htobe32(control), htobe32(len), htobe64(address) };

	ram_write(&ram, 0x1000, &request, sizeof(request));
	out(0x514, 4, 0);
	out(0x518, 4, htobe32(0x1000));
	memcpy(&request, ram_ptr(&ram, 0x1000, 16), 16);
	return be32toh(request.control);
}

static void test_fwcfg(void)
{
	struct fwcfg *f;
	uint64_t size;

	memset(&pio, 0, sizeof(pio));
	f = fwcfg_new(&pio, 3, &ram);
	out(0x510, 2, 0);
	CHECK_EQ(in(0x511, 1), 'Q');
	out(0x510, 2, 5);
	CHECK_EQ(in(0x511, 1) | in(0x511, 1) << 8, 3);
	CHECK_EQ(in(0x511, 1), 0);
	out(0x510, 2, 3);
	get_bytes(&size, 8);
	CHECK_EQ(size, ram.size);
	out(0x510, 2, 0x11); /* no such item */
	CHECK_EQ(in(0x511, 1), 0);
	out(0x510, 2, 0x8000); /* not item 0, but the first for this kind */
	CHECK_EQ(in(0x511, 1), 0);

	CHECK_EQ(fwcfg_add_file(f, "a", "hello", 5), 0);
	CHECK_EQ(fwcfg_add_int(f, "dir/b", 7), 0);
	CHECK_EQ(fwcfg_add_file(f,
				"a-name-of-more-than-fifty-five-characters-"
				"does-not-fit-in",
				"", 0),
		 -ENOSPC);
	CHECK_EQ(get_file("dir/b", file, 8), 8);
	CHECK_EQ(file[0], 7);
	CHECK_EQ(get_file("c", file, 8), -1);

	CHECK_EQ(in(0x514, 4), htobe32(0x51454d55));
	CHECK_EQ(in(0x518, 4), htobe32(0x20434647));
	CHECK_EQ(dma(0x20 << 16 | 0x0a, 3, 0x2000), 0);
	CHECK(!memcmp(ram.base + 0x2000, "hel", 3));
	CHECK_EQ(dma(0x02, 4, 0x2000), 0); /* goes on, zeros at the end */
	CHECK(!memcmp(ram.base + 0x2000, "lo\0", 4));
	CHECK_EQ(dma(0x20 << 16 | 0x0c, 4, 0), 0); /* select, skip */
	CHECK_EQ(in(0x511, 1), 'o');
	CHECK_EQ(dma(0x02, 4, ram.size - 2), 1); /* not in RAM */
	CHECK_EQ(dma(0x10, 4, 0x2000), 1);	 /* nothing is written */
	fwcfg_free(f);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

static uint32_t word(const uint8_t *p)
{
	uint32_t val;

	memcpy(&val, p, 4);
	return val;
}

/* Does what firmware does with a list of commands of 128 bytes each. */
static void load_tables(uint8_t *rsdp, uint8_t *tables, gpa_t tables_gpa)
{
	static uint8_t cmds[0x2000];
	int len = get_file("etc/table-loader", cmds, sizeof(cmds));

	CHECK(len > 0 && len % 128 == 0);
	for (uint8_t *c = cmds; c < cmds + len; c += 128) {
		uint8_t *data = strstr((char *)c + 4, "rsdp") ? rsdp : tables;
		uint64_t val = 0;

		switch (word(c)) {
		case 1:
			CHECK_EQ(c[64], data == rsdp ? 2 : 1);
			break;
		case 2:
			CHECK(!strcmp((char *)c + 60, "etc/acpi/tables"));
			memcpy(&val, data + word(c + 116), c[120]);
			val += tables_gpa;
			memcpy(data + word(c + 116), &val, c[120]);
			break;
		case 3:
			CHECK_EQ(data[word(c + 60)], 0);
			data[word(c + 60)] =
				-sum(data + word(c + 64), word(c + 68));
			break;
		default:
			CHECK(0);
		}
	}
}

static void test_loader(void)
{
	const struct machine m = { .nr_cpus = 2, .timer_pin = 2 };
	const gpa_t gpa = 0x7ffe1000;
	static uint8_t tables[0x4000], rsdp[64];
	const uint8_t *rsdt, *fadt;
	struct fwcfg *f;
	uint64_t x_dsdt;

	memset(&pio, 0, sizeof(pio));
	f = fwcfg_new(&pio, 2, &ram);
	CHECK_EQ(firmware_tell(f, &ram, &m), 0);
	CHECK_EQ(get_file("etc/e820", file, sizeof(file)), 40);
	CHECK_EQ(word(file + 8), ram.size);
	CHECK_EQ(get_file("etc/sercon-port", file, sizeof(file)), 8);
	CHECK_EQ(word(file), 0x3f8);
	CHECK_EQ(get_file("etc/acpi/rsdp", rsdp, sizeof(rsdp)), 36);
	CHECK(get_file("etc/acpi/tables", tables, sizeof(tables)) > 0);
	load_tables(rsdp, tables, gpa);
	CHECK_EQ(sum(rsdp, 20), 0);
	CHECK_EQ(sum(rsdp, 36), 0);
	rsdt = tables + (word(rsdp + 16) - gpa);
	CHECK(!memcmp(rsdt, "RSDT", 4));
	CHECK_EQ(sum(rsdt, word(rsdt + 4)), 0);
	fadt = tables + (word(rsdt + 36) - gpa);
	CHECK(!memcmp(fadt, "FACP", 4));
	CHECK_EQ(sum(fadt, word(fadt + 4)), 0);
	CHECK(!memcmp(tables + (word(fadt + 40) - gpa), "DSDT", 4));
	CHECK(!memcmp(tables + (word(fadt + 36) - gpa), "FACS", 4));
	memcpy(&x_dsdt, fadt + 140, 8);
	CHECK_EQ(x_dsdt, word(fadt + 40));
	fwcfg_free(f);
}

/* Shadowing, on the engine's memory slots: what reads and writes see. */
static void test_shadow(void)
{
	struct kvmfd sys = { 0 }, vm = { 0 };
	static uint8_t rom[0x40000] __attribute__((aligned(4096)));
	uint8_t regs[SHADOW_REGS] = { 0 };
	uint32_t val = 0xabcd;
	struct shadow s;
	struct slots slots;

	memset(rom, 0x5a, sizeof(rom));
	CHECK_EQ(kvmfd_open(&sys, ACCEL_RING3), 0);
	CHECK_EQ(kvmfd_create(&sys, KVM_CREATE_VM, 0, &vm), 0);
	slots_init(&slots, &vm);
	CHECK_EQ(shadow_init(&s, &slots, &ram, &mmio, rom, sizeof(rom)), 0);
	CHECK(!slots.set[SLOT_SHADOW]); /* nothing at C000:0 */
	CHECK(slots.set[SLOT_SHADOW + 12]);
	bus_read(&mmio, 0xfff00, &val, 4);
	CHECK_EQ(val, 0x5a5a5a5a);
	bus_read(&mmio, 0xc0000, &val, 4);
	CHECK_EQ(val, 0xffffffff);

	/* Writes go to RAM, or nowhere. */
	val = 0x11223344;
	bus_write(&mmio, 0xfff00, &val, 4);
	CHECK_EQ(word(ram.base + 0xfff00), 0);
	regs[0] = 0x20;
	shadow_set(&s, regs);
	bus_write(&mmio, 0xfff00, &val, 4);
	CHECK_EQ(word(ram.base + 0xfff00), 0x11223344);
	bus_read(&mmio, 0xfff00, &val, 4);
	CHECK_EQ(val, 0x5a5a5a5a);
	regs[0] = 0x10;
	regs[1] = 0x30; /* C4000 */
	regs[6] = 0x01; /* E8000 */
	shadow_set(&s, regs);
	bus_read(&mmio, 0xfff00, &val, 4);
	CHECK_EQ(val, 0x11223344);
	CHECK(!slots.set[SLOT_SHADOW] && slots.set[SLOT_SHADOW + 1]);
	CHECK_EQ(s.state[10], 1);
	CHECK_EQ(s.state[11], 0);
	CHECK_EQ(s.state[12], 1);
	kvmfd_close(&vm);
	kvmfd_close(&sys);
}

static void try_firmware(size_t size, const char *want)
{
	char path[] = "/tmp/ring3-fw-XXXXXX";
	struct firmware f = { 0 };
	struct slots slots;
	int fd = mkstemp(path);

	CHECK_EQ(ftruncate(fd, size), 0);
	message[0] = 0;
	CHECK(firmware_load(&f, path, NULL, &slots, &ram, &mmio) < 0);
	CHECK(strstr(message, want) != NULL);
	close(fd);
	unlink(path);
}

static uint8_t flash_byte(gpa_t gpa)
{
	uint8_t val = 0;

	bus_read(&mmio, gpa, &val, 1);
	return val;
}

static void flash_cycle(gpa_t gpa, uint8_t val)
{
	bus_write(&mmio, gpa, &val, 1);
}

static void test_flash(void)
{
	char path[] = "/tmp/ring3-flash-XXXXXX";
	const gpa_t gpa = 0xffe00000;
	struct kvmfd sys = { 0 }, vm = { 0 };
	struct flash f = { 0 };
	struct slots slots;
	uint8_t back[2];
	int fd = mkstemp(path);

	memset(&mmio, 0, sizeof(mmio));
	CHECK_EQ(ftruncate(fd, 0x2000), 0);
	CHECK_EQ(kvmfd_open(&sys, ACCEL_RING3), 0);
	CHECK_EQ(kvmfd_create(&sys, KVM_CREATE_VM, 0, &vm), 0);
	slots_init(&slots, &vm);
	CHECK_EQ(flash_init(&f, path, gpa + 0x2000, &slots, &mmio), 0);
	CHECK(slots.set[SLOT_FLASH]);

	/* OVMF's test: status reads as 0 once cleared, not as the array. */
	f.data[0x1000] = 0x33;
	flash_cycle(gpa + 0x1000, 0x50);
	CHECK_EQ(flash_byte(gpa + 0x1000), 0x33);
	flash_cycle(gpa + 0x1000, 0x70);
	CHECK(!slots.set[SLOT_FLASH]);
	CHECK_EQ(flash_byte(gpa + 0x1000), 0);
	flash_cycle(gpa, 0xff);
	CHECK(slots.set[SLOT_FLASH]);

	flash_cycle(gpa + 0x1004, 0x20); /* erase the second block */
	flash_cycle(gpa + 0x1004, 0xd0);
	CHECK_EQ(flash_byte(gpa), 0x80);
	flash_cycle(gpa + 0x1001, 0x10);
	flash_cycle(gpa + 0x1001, 0x5a);
	flash_cycle(gpa, 0xff);
	CHECK_EQ(flash_byte(gpa + 0x0fff), 0);
	CHECK_EQ(flash_byte(gpa + 0x1000), 0xff);
	CHECK_EQ(flash_byte(gpa + 0x1001), 0x5a);
	flash_cycle(gpa + 0x1001, 0x10); /* bits are only cleared */
	flash_cycle(gpa + 0x1001, 0xf0);
	flash_cycle(gpa + 0x1000, 0x20); /* not confirmed */
	flash_cycle(gpa + 0x1000, 0x00);
	CHECK_EQ(flash_byte(gpa) & 0x20, 0x20);
	flash_free(&f);
	CHECK_EQ(pread(fd, back, 2, 0x1000), 2);
	CHECK_EQ(back[0], 0xff);
	CHECK_EQ(back[1], 0x50);
	kvmfd_close(&vm);
	kvmfd_close(&sys);

	log_capture(message, sizeof(message));
	CHECK_EQ(ftruncate(fd, 5000), 0);
	CHECK(flash_init(&f, path, gpa, &slots, &mmio) < 0);
	CHECK(strstr(message, "multiple of 4 KiB") != NULL);
	unlink(path);
	CHECK(flash_init(&f, path, gpa, &slots, &mmio) < 0);
	log_capture(NULL, 0);
	close(fd);
}

static void test_bad_firmware(void)
{
	log_capture(message, sizeof(message));
	try_firmware(0, "is empty");
	try_firmware(5000, "5000 bytes");
	try_firmware(16 << 20, "up to 8 MiB");
	log_capture(NULL, 0);
}

int main(void)
{
	CHECK_EQ(ram_init(&ram, 16 << 20), 0);
	test_fwcfg();
	test_loader();
	test_shadow();
	test_flash();
	test_bad_firmware();
	return test_done();
}
