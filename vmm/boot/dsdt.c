#include "vmm/boot/dsdt.h"

#include "vmm/dev/power.h"

#define LO(x)	 ((x)&0xff)
#define HI(x)	 ((x) >> 8 & 0xff)
#define WORD(x)	 LO(x), HI(x)
#define DWORD(x) WORD((x)&0xffff), WORD((uint32_t)(x) >> 16)

/* Resource descriptors ("Resource Data Types for ACPI"). */
#define IO(port, len) 0x47, 0x01, WORD(port), WORD(port), 0x01, len
#define IRQ(n)	      0x22, WORD(1 << (n))
#define ADDRESS_WORD(type, flags, min, max)                                    \
	0x88, WORD(13), type, 0x0c, flags, WORD(0), WORD(min), WORD(max),      \
		WORD(0), WORD((max) - (min) + 1)
#define ADDRESS_DWORD(type, flags, min, max)                                   \
	0x87, WORD(23), type, 0x0c, flags, DWORD(0), DWORD(min), DWORD(max),   \
		DWORD(0), DWORD((max) - (min) + 1)
#define TYPE_MEMORY    0
#define TYPE_IO	       1
#define TYPE_BUS       2
#define FLAGS_WRITABLE 1
#define FLAGS_WHOLE_IO 3

static const uint8_t pci_crs[] = {
	ADDRESS_WORD(TYPE_BUS, 0, 0x00, 0xff),
	IO(0xcf8, 8),
	ADDRESS_WORD(TYPE_IO, FLAGS_WHOLE_IO, 0x0000, 0x0cf7),
	ADDRESS_WORD(TYPE_IO, FLAGS_WHOLE_IO, 0x0d00, 0xffff),
	ADDRESS_DWORD(TYPE_MEMORY, FLAGS_WRITABLE, 0xc0000000u, 0xfebfffffu),
};
static const uint8_t com1_crs[] = { IO(0x3f8, 8), IRQ(4) };
static const uint8_t rtc_crs[] = { IO(0x70, 2), IRQ(8) };
static const uint8_t kbd_crs[] = { IO(0x60, 1), IO(0x64, 1), IRQ(1) };

struct dsdt_device {
	const char *name, *hid;
	const uint8_t *crs;
	size_t len;
};

static const struct dsdt_device dsdt_devices[] = {
	{ "COM1", "PNP0501", com1_crs, sizeof(com1_crs) },
	{ "RTC_", "PNP0B00", rtc_crs, sizeof(rtc_crs) },
	{ "KBD_", "PNP0303", kbd_crs, sizeof(kbd_crs) },
};

/* Device (@d) { Name (_HID, ...) Name (_CRS, ...) } */
static void dsdt_write_device(struct aml *a, const struct dsdt_device *d)
{
	size_t device = aml_begin_device(a, d->name);

	aml_name(a, "_HID");
	aml_eisa_id(a, d->hid);
	aml_name(a, "_UID");
	aml_int(a, 1);
	aml_resources(a, d->crs, d->len);
	aml_end(a, device);
}

/* Name (@name, Package () { PM1a type, PM1b type, 0, 0 }) */
static void dsdt_write_sleep(struct aml *a, const char *name, unsigned type)
{
	size_t package;

	aml_name(a, name);
	package = aml_begin_package(a, 4);
	aml_int(a, type);
	aml_int(a, type);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a, package);
}

/*
 * Name (@name, ...): where INTA# of each PCI device goes.  @gsis is for device
 * numbers that are 1, 2, 3 and 0 modulo 4.
 */
static void dsdt_write_routes(struct aml *a, const char *name,
			      const uint8_t gsis[4])
{
	size_t table, route;

	aml_name(a, name);
	table = aml_begin_package(a, 31);
	for (unsigned dev = 1; dev < 32; dev++) {
		route = aml_begin_package(a, 4);
		aml_int(a, dev << 16 | 0xffff);
		aml_int(a, 0); /* INTA# */
		aml_int(a, 0); /* a GSI, no link device */
		aml_int(a, gsis[(dev - 1) % 4]);
		aml_end(a, route);
	}
	aml_end(a, table);
}

/* The root bridge's _PRT: one table for the I/O APIC, one for the PICs. */
static void dsdt_write_prt(struct aml *a)
{
	static const uint8_t apic[] = { 16, 17, 18, 19 };
	static const uint8_t pic[] = { 10, 10, 11, 11 };
	size_t method, branch;

	dsdt_write_routes(a, "PRTA", apic);
	dsdt_write_routes(a, "PRTP", pic);
	method = aml_begin_method(a, "_PRT", 0);
	branch = aml_begin_if(a);
	aml_path(a, "\\PICF");
	aml_return(a, "PRTA");
	aml_end(a, branch);
	aml_return(a, "PRTP");
	aml_end(a, method);
}

/* \_PIC (mode): the guest tells which interrupt controllers it uses. */
static void dsdt_write_pic(struct aml *a)
{
	size_t method;

	aml_name(a, "\\PICF");
	aml_int(a, 0);
	method = aml_begin_method(a, "\\_PIC", 1);
	aml_store_arg0(a, "\\PICF");
	aml_end(a, method);
}

void dsdt_write(struct aml *a, bool sleep)
{
	size_t scope, device;

	dsdt_write_pic(a);

	scope = aml_begin_scope(a, "\\_SB_");
	device = aml_begin_device(a, "PCI0");
	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_resources(a, pci_crs, sizeof(pci_crs));
	dsdt_write_prt(a);
	aml_end(a, device);
	for (size_t i = 0; i < ARRAY_SIZE(dsdt_devices); i++)
		dsdt_write_device(a, &dsdt_devices[i]);
	aml_end(a, scope);

	if (sleep)
		dsdt_write_sleep(a, "\\_S3_", POWER_SLP_TYP_S3);
	dsdt_write_sleep(a, "\\_S5_", POWER_SLP_TYP_S5);
}
