#include "vmm/boot/mptable.h"

#include <errno.h>
#include <string.h>

#include "vmm/boot/layout.h"
#include "vmm/dev/power.h"

struct mp_pointer {
	char signature[4];
	uint32_t table;
	uint8_t length, revision, checksum, feature[5];
} __attribute__((packed));

struct mp_header {
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem_id[8], product_id[12];
	uint32_t oem_table;
	uint16_t oem_table_size, entries;
	uint32_t lapic_address;
	uint16_t extended_length;
	uint8_t extended_checksum, reserved;
} __attribute__((packed));

enum { MP_CPU, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL_INTERRUPT };

struct mp_cpu {
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
} __attribute__((packed));
#define MP_CPU_ENABLED 1
#define MP_CPU_BSP     2

struct mp_bus {
	uint8_t type, id;
	char name[6];
} __attribute__((packed));

struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t address;
} __attribute__((packed));

/* Of the I/O APIC, and with another type of the local APICs. */
struct mp_interrupt {
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, source, apic, pin;
} __attribute__((packed));
enum { MP_KIND_INT, MP_KIND_NMI, MP_KIND_SMI, MP_KIND_EXTINT };

#define APIC_VERSION   0x14
#define IOAPIC_VERSION 0x11
#define ISA_BUS	       0
#define ALL_APICS      0xff
#define LEVEL_HIGH     0x0d
#define CPU_FEATURES   0x00000201 /* FPU, APIC */

struct mp_writer {
	uint8_t *p, *end;
	unsigned entries;
};

static void mp_put(struct mp_writer *w, const void *entry, size_t len)
{
	if (len <= (size_t)(w->end - w->p))
		memcpy(w->p, entry, len);
	w->p += len;
	w->entries++;
}

static uint8_t mp_checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

static void mp_put_interrupts(struct mp_writer *w, const struct machine *m,
			      uint8_t ioapic)
{
	struct mp_interrupt e = { .type = MP_INTERRUPT, .apic = ioapic };

	for (unsigned irq = 0; irq < 16; irq++) {
		if (irq == 2)
			continue; /* the cascade */
		e.source = irq;
		e.pin = irq ? irq : m->timer_pin;
		e.flags = irq == POWER_SCI_IRQ ? LEVEL_HIGH : 0;
		mp_put(w, &e, sizeof(e));
	}
	e = (struct mp_interrupt){ .type = MP_LOCAL_INTERRUPT,
				   .kind = MP_KIND_EXTINT };
	mp_put(w, &e, sizeof(e));
	e.kind = MP_KIND_NMI;
	e.apic = ALL_APICS;
	e.pin = 1;
	mp_put(w, &e, sizeof(e));
}

static void mp_put_entries(struct mp_writer *w, const struct machine *m)
{
	struct mp_cpu cpu = { .type = MP_CPU,
			      .apic_version = APIC_VERSION,
			      .signature = 0x600,
			      .features = CPU_FEATURES };
	struct mp_bus bus = { MP_BUS, ISA_BUS, "ISA   " };
	struct mp_ioapic ioapic = { MP_IOAPIC, m->nr_cpus, IOAPIC_VERSION, 1,
				    LAYOUT_IOAPIC };

	for (unsigned i = 0; i < m->nr_cpus; i++) {
		cpu.apic_id = i;
		cpu.flags = MP_CPU_ENABLED | (i ? 0 : MP_CPU_BSP);
		mp_put(w, &cpu, sizeof(cpu));
	}
	mp_put(w, &bus, sizeof(bus));
	mp_put(w, &ioapic, sizeof(ioapic));
	mp_put_interrupts(w, m, ioapic.id);
}

int mptable_write(const struct ram *ram, const struct machine *m)
{
	size_t room = LAYOUT_BIOS_STUBS - LAYOUT_MPTABLE;
	uint8_t *base = ram_ptr(ram, LAYOUT_MPTABLE, room), *table;
	struct mp_pointer ptr = { .length = 1,
				  .revision = 4,
				  .table = LAYOUT_MPTABLE + sizeof(ptr) };
	struct mp_header head = { .revision = 4,
				  .lapic_address = LAYOUT_LAPIC };
	struct mp_writer w;

	if (!base)
		return -EFAULT;
	table = base + sizeof(ptr);
	w = (struct mp_writer){ table + sizeof(head), base + room, 0 };
	mp_put_entries(&w, m);
	if (w.p > w.end)
		return -ENOSPC;
	memcpy(head.signature, "PCMP", 4);
	memcpy(head.oem_id, "RING3   ", 8);
	memcpy(head.product_id, "VM          ", 12);
	head.length = w.p - table;
	head.entries = w.entries;
	memcpy(table, &head, sizeof(head));
	table[offsetof(struct mp_header, checksum)] =
		mp_checksum(table, head.length);
	memcpy(ptr.signature, "_MP_", 4);
	ptr.checksum = mp_checksum(&ptr, sizeof(ptr));
	memcpy(base, &ptr, sizeof(ptr));
	return 0;
}
