#include "vmm/boot/acpi.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/boot/dsdt.h"
#include "vmm/boot/layout.h"
#include "vmm/dev/power.h"

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

/* Generic address structure. */
struct acpi_gas {
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));
#define GAS_PORT(bits, port)                                                   \
	{                                                                      \
		1, bits, 0, 0, port                                            \
	}

struct acpi_fadt {
	struct acpi_header head;
	uint32_t facs, dsdt;
	uint8_t model, preferred_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr;
	uint32_t gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_facs, x_dsdt;
	struct acpi_gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt;
	struct acpi_gas x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
} __attribute__((packed));

#define FADT_WBINVD	  (1 << 0)
#define FADT_C1_SUPPORTED (1 << 2)
#define FADT_SLP_BUTTON	  (1 << 5) /* no fixed sleep button */
#define FADT_TMR_32BIT	  (1 << 8)
#define FADT_RESET_REG	  (1 << 10)
#define FADT_ARCH_LEGACY  0x01
#define FADT_ARCH_8042	  0x02
#define FADT_ARCH_NO_VGA  0x04
#define FADT_CENTURY	  0x32

struct acpi_facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[31];
} __attribute__((packed));

struct acpi_madt {
	struct acpi_header head;
	uint32_t lapic_address, flags;
} __attribute__((packed));
#define MADT_PCAT_COMPAT 1

/* Entries of the MADT; type and length first. */
struct madt_lapic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));
#define INTI_LEVEL_HIGH 0x0d

struct madt_lapic_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

static uint8_t acpi_checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

static struct acpi_header acpi_head(const char *signature, uint8_t revision,
				    uint32_t length)
{
	struct acpi_header h = {
		.length = length,
		.revision = revision,
		.oem_revision = 1,
		.creator_revision = 1,
	};

	memcpy(h.signature, signature, 4);
	memcpy(h.oem_id, "RING3 ", 6);
	memcpy(h.oem_table_id, "RING3VM ", 8);
	memcpy(h.creator_id, "RNG3", 4);
	return h;
}

/* Puts @len bytes behind the others; returns their address. */
static gpa_t acpi_place(struct acpi_tables *t, const void *data, size_t len)
{
	size_t at = t->len;

	if (len > sizeof(t->data) - at) {
		t->overflow = true;
		return 0;
	}
	memcpy(t->data + at, data, len);
	t->len = (at + len + 63) & ~63ull; /* as the FACS needs */
	return t->base + at;
}

/* The same for a table with a checksum. */
static gpa_t acpi_put(struct acpi_tables *t, void *table, size_t len)
{
	struct acpi_header *head = table;
	uint32_t at = t->len;

	if (t->nr_sums == ACPI_SUMS_MAX) {
		t->overflow = true;
		return 0;
	}
	t->sums[t->nr_sums++] = (struct acpi_sum){
		at, len, at + offsetof(struct acpi_header, checksum)
	};
	head->checksum = 0;
	head->checksum = acpi_checksum(table, len);
	return acpi_place(t, table, len);
}

/* The next table's bytes at @offset are a pointer. */
static void acpi_refer(struct acpi_tables *t, uint32_t offset, uint8_t width)
{
	if (t->nr_refs < ACPI_REFS_MAX)
		t->refs[t->nr_refs++] =
			(struct acpi_ref){ t->len + offset, width };
	else
		t->overflow = true;
}

static gpa_t acpi_put_dsdt(struct acpi_tables *t, bool sleep)
{
	uint8_t buf[4096];
	struct aml aml = { buf, sizeof(struct acpi_header), sizeof(buf),
			   false };
	struct acpi_header head;

	dsdt_write(&aml, sleep);
	t->overflow |= aml.overflow;
	head = acpi_head("DSDT", 2, aml.len);
	memcpy(buf, &head, sizeof(head));
	return acpi_put(t, buf, aml.len);
}

static gpa_t acpi_put_facs(struct acpi_tables *t)
{
	struct acpi_facs facs = { .length = sizeof(facs), .version = 1 };

	memcpy(facs.signature, "FACS", 4);
	return acpi_place(t, &facs, sizeof(facs));
}

static gpa_t acpi_put_fadt(struct acpi_tables *t, gpa_t dsdt, gpa_t facs)
{
	struct acpi_fadt fadt = {
		.head = acpi_head("FACP", 3, sizeof(fadt)),
		.facs = facs,
		.dsdt = dsdt,
		.x_facs = facs,
		.x_dsdt = dsdt,
		.sci_int = POWER_SCI_IRQ,
		.pm1a_evt = POWER_PM1A_EVT,
		.pm1_evt_len = 4,
		.pm1a_cnt = POWER_PM1A_CNT,
		.pm1_cnt_len = 2,
		.pm_tmr = POWER_PM_TMR,
		.pm_tmr_len = 4,
		.gpe0 = POWER_GPE0,
		.gpe0_len = 4,
		.x_pm1a_evt = GAS_PORT(32, POWER_PM1A_EVT),
		.x_pm1a_cnt = GAS_PORT(16, POWER_PM1A_CNT),
		.x_pm_tmr = GAS_PORT(32, POWER_PM_TMR),
		.x_gpe0 = GAS_PORT(32, POWER_GPE0),
		.p_lvl2_lat = 0xfff,
		.p_lvl3_lat = 0xfff, /* no C2, C3 */
		.century = FADT_CENTURY,
		.boot_arch =
			FADT_ARCH_LEGACY | FADT_ARCH_8042 | FADT_ARCH_NO_VGA,
		.flags = FADT_WBINVD | FADT_C1_SUPPORTED | FADT_SLP_BUTTON |
			 FADT_TMR_32BIT | FADT_RESET_REG,
		.reset_reg = GAS_PORT(8, POWER_RESET_PORT),
		.reset_value = POWER_RESET_VALUE,
	};

	acpi_refer(t, offsetof(struct acpi_fadt, facs), 4);
	acpi_refer(t, offsetof(struct acpi_fadt, dsdt), 4);
	acpi_refer(t, offsetof(struct acpi_fadt, x_facs), 8);
	acpi_refer(t, offsetof(struct acpi_fadt, x_dsdt), 8);
	return acpi_put(t, &fadt, sizeof(fadt));
}

#define MADT_MAX_CPUS 255

static gpa_t acpi_put_madt(struct acpi_tables *tables, const struct machine *m)
{
	struct {
		struct acpi_madt madt;
		struct madt_ioapic ioapic;
		struct madt_override timer, sci;
		struct madt_lapic_nmi nmi;
		struct madt_lapic lapic[MADT_MAX_CPUS];
	} __attribute__((packed)) t = {
		.madt = { .lapic_address = LAYOUT_LAPIC,
			  .flags = MADT_PCAT_COMPAT },
		.ioapic = { 1, sizeof(t.ioapic), 0, 0, LAYOUT_IOAPIC, 0 },
		.timer = { 2, sizeof(t.timer), 0, 0, m->timer_pin, 0 },
		.sci = { 2, sizeof(t.sci), 0, POWER_SCI_IRQ, POWER_SCI_IRQ,
			 INTI_LEVEL_HIGH },
		.nmi = { 4, sizeof(t.nmi), 0xff, 0, 1 },
	};
	size_t len =
		sizeof(t) - sizeof(t.lapic) + m->nr_cpus * sizeof(t.lapic[0]);

	if (m->nr_cpus > MADT_MAX_CPUS) {
		tables->overflow = true;
		return 0;
	}
	t.madt.head = acpi_head("APIC", 3, len);
	for (unsigned i = 0; i < m->nr_cpus; i++)
		t.lapic[i] =
			(struct madt_lapic){ 0, sizeof(t.lapic[0]), i, i, 1 };
	return acpi_put(tables, &t, len);
}

uint32_t acpi_waking_vector(const struct ram *ram, gpa_t facs)
{
	const struct acpi_facs *p = ram_ptr(ram, facs, sizeof(*p));
	uint32_t vector = 0;

	if (facs && p)
		memcpy(&vector, &p->waking_vector, sizeof(vector));
	return vector;
}

/* RSDT or XSDT: the addresses of the other tables, @width bytes each. */
static gpa_t acpi_put_list(struct acpi_tables *t, const char *signature,
			   size_t width, const gpa_t *tables, unsigned nr)
{
	uint8_t buf[sizeof(struct acpi_header) + 4 * sizeof(gpa_t)];
	size_t len = sizeof(struct acpi_header) + nr * width;
	struct acpi_header head = acpi_head(signature, 1, len);

	memcpy(buf, &head, sizeof(head));
	for (unsigned i = 0; i < nr; i++) {
		memcpy(buf + sizeof(head) + i * width, &tables[i], width);
		acpi_refer(t, sizeof(head) + i * width, width);
	}
	return acpi_put(t, buf, len);
}

int acpi_build(struct acpi_tables *t, const struct machine *m, gpa_t base)
{
	gpa_t dsdt, tables[2];

	*t = (struct acpi_tables){ .base = base };
	dsdt = acpi_put_dsdt(t, m->sleep);
	t->facs = acpi_put_facs(t);
	tables[0] = acpi_put_fadt(t, dsdt, t->facs);
	tables[1] = acpi_put_madt(t, m);
	t->rsdt = acpi_put_list(t, "RSDT", 4, tables, 2);
	t->xsdt = acpi_put_list(t, "XSDT", 8, tables, 2);
	return t->overflow ? -ENOSPC : 0;
}

void acpi_fill_rsdp(struct acpi_rsdp *rsdp, const struct acpi_tables *t)
{
	*rsdp = (struct acpi_rsdp){ .revision = 2,
				    .rsdt = t->rsdt,
				    .xsdt = t->xsdt,
				    .length = sizeof(*rsdp) };
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "RING3 ", 6);
	rsdp->checksum = acpi_checksum(rsdp, ACPI_RSDP_V1);
	rsdp->extended_checksum = acpi_checksum(rsdp, sizeof(*rsdp));
}

#define RSDP_ROOM 64

int acpi_write(const struct ram *ram, const struct machine *m, gpa_t *rsdp,
	       gpa_t *facs)
{
	struct acpi_tables t;
	struct acpi_rsdp root;
	int r = acpi_build(&t, m, LAYOUT_ACPI + RSDP_ROOM);

	*rsdp = LAYOUT_ACPI;
	*facs = t.facs;
	if (r)
		return r;
	if (t.base + t.len > LAYOUT_ACPI_END)
		return -ENOSPC;
	acpi_fill_rsdp(&root, &t);
	r = ram_write(ram, *rsdp, &root, sizeof(root));
	return r ? r : ram_write(ram, t.base, t.data, t.len);
}
