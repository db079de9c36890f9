#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "test/test.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/aml.h"
#include "vmm/boot/layout.h"
#include "vmm/boot/mptable.h"

static struct ram ram;
static unsigned nr_found;

static uint8_t sum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

static uint32_t get32(gpa_t gpa)
{
	uint32_t val = 0;
	void *p = ram_ptr(&ram, gpa, 4);

	CHECK(p != NULL);
	if (p)
		memcpy(&val, p, 4);
	return val;
}

static bool is(gpa_t gpa, const char *text)
{
	return memcmp(ram_ptr(&ram, gpa, strlen(text)), text, strlen(text)) ==
	       0;
}

/* With an argument, tables are also written there, for `iasl -d`. */
static void save(const char *dir, const char *name, gpa_t gpa)
{
	char path[256];
	int fd;

	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	CHECK(write(fd, ram_ptr(&ram, gpa, 1), get32(gpa + 4)) > 0);
	close(fd);
}

static void check_table(gpa_t gpa)
{
	uint32_t len = get32(gpa + 4);

	nr_found++;
	CHECK(len >= 36 && len < 4096);
	CHECK_EQ(sum(ram_ptr(&ram, gpa, len), len), 0);
	CHECK(gpa >= LAYOUT_ACPI && gpa + len <= LAYOUT_ACPI_END);
}

static void check_madt(gpa_t madt, unsigned nr_cpus)
{
	gpa_t end = madt + get32(madt + 4), p = madt + 44;
	unsigned cpus = 0, ioapics = 0, overrides = 0;
	const uint8_t *e;

	CHECK_EQ(get32(madt + 36), 0xfee00000);
	for (; p < end; p += e[1]) {
		e = ram_ptr(&ram, p, 2);
		CHECK(e[1] >= 2);
		if (e[0] == 0) {
			CHECK_EQ(e[3], cpus);
			cpus++;
		}
		ioapics += e[0] == 1;
		overrides += e[0] == 2;
	}
	CHECK_EQ(p, end);
	CHECK_EQ(cpus, nr_cpus);
	CHECK_EQ(ioapics, 1);
	CHECK_EQ(overrides, 2);
}

static void test_acpi(unsigned nr_cpus, const char *dir)
{
	struct machine m = { nr_cpus, 2, true };
	gpa_t rsdp, rsdt, xsdt, fadt, madt, dsdt, facs;

	nr_found = 0;
	CHECK_EQ(acpi_write(&ram, &m, &rsdp, &facs), 0);
	CHECK(rsdp >= 0xe0000 && rsdp < 0x100000 && rsdp % 16 == 0);
	CHECK(is(rsdp, "RSD PTR "));
	CHECK_EQ(sum(ram_ptr(&ram, rsdp, 36), 20), 0);
	CHECK_EQ(sum(ram_ptr(&ram, rsdp, 36), 36), 0);
	rsdt = get32(rsdp + 16);
	xsdt = get32(rsdp + 24);
	check_table(rsdt);
	check_table(xsdt);
	CHECK(is(rsdt, "RSDT") && is(xsdt, "XSDT"));
	fadt = get32(rsdt + 36);
	madt = get32(rsdt + 40);
	CHECK_EQ(fadt, get32(xsdt + 36));
	CHECK_EQ(madt, get32(xsdt + 44));
	check_table(fadt);
	check_table(madt);
	CHECK(is(fadt, "FACP") && is(madt, "APIC"));
	CHECK_EQ(get32(fadt + 4), 244);
	CHECK_EQ(get32(fadt + 36), facs);
	dsdt = get32(fadt + 40);
	CHECK(is(facs, "FACS") && facs % 64 == 0);
	CHECK_EQ(acpi_waking_vector(&ram, facs), 0);
	*(uint32_t *)ram_ptr(&ram, facs + 12, 4) = 0x9a000;
	CHECK_EQ(acpi_waking_vector(&ram, facs), 0x9a000);
	*(uint32_t *)ram_ptr(&ram, facs + 12, 4) = 0;
	check_table(dsdt);
	CHECK(is(dsdt, "DSDT"));
	CHECK_EQ(get32(fadt + 76), 0x608); /* PM timer */
	check_madt(madt, nr_cpus);
	CHECK_EQ(nr_found, 5);
	save(dir, "facp", fadt);
	save(dir, "apic", madt);
	save(dir, "dsdt", dsdt);
}

static void test_mptable(unsigned nr_cpus)
{
	struct machine m = { nr_cpus, 2, true };
	gpa_t ptr = LAYOUT_MPTABLE, table;
	uint16_t len, entries;
	gpa_t p;

	CHECK_EQ(mptable_write(&ram, &m), 0);
	CHECK(is(ptr, "_MP_"));
	CHECK_EQ(sum(ram_ptr(&ram, ptr, 16), 16), 0);
	table = get32(ptr + 4);
	CHECK(is(table, "PCMP"));
	len = get32(table + 4) & 0xffff;
	CHECK_EQ(sum(ram_ptr(&ram, table, len), len), 0);
	entries = get32(table + 34) & 0xffff;
	p = table + 44;
	for (unsigned i = 0; i < entries; i++)
		p += (get32(p) & 0xff) == 0 ? 20 : 8;
	CHECK_EQ(p, table + len);
	CHECK_EQ(entries, nr_cpus + 2 + 15 + 2);
}

static void test_aml(void)
{
	uint8_t buf[8192];
	struct aml a = { buf, 0, sizeof(buf), false };
	size_t start;

	aml_int(&a, 0);
	aml_int(&a, 1);
	aml_int(&a, 2);
	aml_int(&a, 0x1234);
	aml_int(&a, 0x12345678);
	CHECK_EQ(a.len, 12);
	CHECK(!memcmp(buf, "\0\1\x0a\2\x0b\x34\x12\x0c\x78\x56\x34\x12", 12));
	a.len = 0;
	aml_eisa_id(&a, "PNP0A03");
	CHECK(!memcmp(buf, "\x0c\x41\xd0\x0a\x03", 5));
	/* A package length of one, two and three bytes. */
	for (unsigned size = 10; size <= 6000; size *= 8) {
		unsigned n = size < 0x3f ? 1 : size < 0xffe ? 2 : 3, got;

		a.len = 0;
		start = aml_begin_scope(&a, "");
		for (unsigned i = 0; i < size; i++)
			aml_byte(&a, 0xa3);
		aml_end(&a, start);
		CHECK_EQ(a.len, 1 + n + size);
		CHECK_EQ(buf[1] >> 6, n - 1);
		got = n == 1 ? buf[1] & 63u
			     : (buf[1] & 15u) | buf[2] << 4 |
				       (n == 3 ? buf[3] << 12 : 0);
		CHECK_EQ(got, n + size);
	}
	a = (struct aml){ buf, 0, 4, false };
	aml_int(&a, 0x12345678);
	CHECK(a.overflow);
}

int main(int argc, char **argv)
{
	struct machine too_many = { 256, 2, true };
	gpa_t rsdp, facs;

	CHECK_EQ(ram_init(&ram, 4 << 20), 0);
	test_acpi(1, NULL);
	test_acpi(4, argc > 1 ? argv[1] : NULL);
	test_acpi(254, NULL);
	CHECK_EQ(acpi_write(&ram, &too_many, &rsdp, &facs), -ENOSPC);
	test_mptable(1);
	test_mptable(254);
	test_aml();
	ram_exit(&ram);
	return test_done();
}
