/*
 * libFuzzer target: the registers of all devices, those of `ring3 run` and the
 * engine's interrupt controllers, in any order and width, with what may come
 * from outside in between: bytes on the line, timers, lines, messages, saved
 * states.
 */
#include <stdlib.h>
#include <string.h>

#include "host/timer.h"
#include "irqchip/ioapic.h"
#include "irqchip/irqchip.h"
#include "irqchip/lapic.h"
#include "irqchip/pic.h"
#include "irqchip/pit.h"
#include "vmm/dev/debugcon.h"
#include "vmm/dev/fwcfg.h"
#include "vmm/dev/i8042.h"
#include "vmm/dev/power.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/serial.h"
#include "vmm/dev/testdev.h"
#include "vmm/fw/shadow.h"
#include "vmm/loop.h"
#include "vmm/pci/chipset.h"
#include "vmm/pci/pci.h"
#include "vmm/ram.h"

#define RAM_BYTES (4ull << 20)
#define NR_CPUS	  2

#define REQUIRE(cond)                                                          \
	do {                                                                   \
		if (!(cond))                                                   \
			abort();                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t n;
};

static uint64_t take(struct input *in, size_t n)
{
	uint64_t v = 0;

	n = n < in->n ? n : in->n;
	memcpy(&v, in->p, n);
	in->p += n;
	in->n -= n;
	return v;
}

/* Without firmware nothing is shadowed. */
void shadow_set(struct shadow *s, const uint8_t regs[SHADOW_REGS])
{
	abort();
}

/* --- The machine --- */

static struct ram ram;

static struct machine {
	struct bus pio, mmio;
	struct loop loop;
	struct irq_sink irq;
	struct power_sink end;
	struct serial *serial;
	struct rtc *rtc;
	struct power *power;
	struct i8042 *i8042;
	struct pci *pci;
	struct chipset *chipset;
	struct debugcon *debugcon;
	struct testdev *testdev;
	struct fwcfg *fwcfg;
	struct timers *timers;
	struct irqchip *chip;
	struct lapic *lapic[NR_CPUS];
} m;

static void set_line(void *arg, unsigned gsi, bool level)
{
	REQUIRE(gsi < 24);
	irqchip_set_irq(m.chip, gsi, IRQ_SOURCE_USER, level);
}

static void end(void *arg, int status)
{
}

static void send(void *arg, uint8_t byte)
{
}

static void ignore(void *vcpu)
{
}

static void ignore_vector(void *vcpu, uint8_t vector)
{
}

static void on_ack(void *vm, uint32_t gsi)
{
	REQUIRE(gsi < 24);
	irqchip_set_irq(m.chip, gsi, IRQ_SOURCE_RESAMPLE, false);
}

static const struct irqchip_ops ops = {
	.kick = ignore,
	.nmi = ignore,
	.smi = ignore,
	.init = ignore,
	.sipi = ignore_vector,
	.ioapic_eoi = ignore_vector,
	.ack = on_ack,
};

static void build_irqchip(uint8_t how)
{
	REQUIRE(!timers_create(&m.timers));
	REQUIRE(!irqchip_create(how & 1 ? IRQCHIP_SPLIT : IRQCHIP_FULL, &ops,
				NULL, m.timers, &m.chip));
	if (!(how & 1) && pit_create(m.chip, how & 2))
		abort();
	irqchip_set_x2apic_api(m.chip, how & 4, how & 8);
	for (uint32_t i = 0; i < NR_CPUS; i++)
		REQUIRE(!lapic_create(m.chip, i, &m, i == 0, &m.lapic[i]));
}

static void build(uint8_t how)
{
	memset(&m, 0, sizeof(m));
	m.irq = (struct irq_sink){ set_line, NULL };
	m.end = (struct power_sink){ end, ignore, ignore, NULL };
	build_irqchip(how);
	REQUIRE(!loop_init(&m.loop));
	m.serial = serial_new(&m.pio, &m.irq, send, NULL);
	m.rtc = rtc_new(&m.pio, &m.irq, &m.loop);
	m.power = power_new(&m.pio, &m.irq, &m.end);
	m.i8042 = i8042_new(&m.pio, &m.irq, m.power);
	m.pci = pci_new(&m.pio, &m.mmio, &m.irq, m.power);
	m.chipset = chipset_new(m.pci, NULL);
	m.debugcon = debugcon_new(&m.pio, &m.end, send, NULL);
	m.testdev = testdev_new(&m.pio, &m.mmio, &m.irq, &ram, m.debugcon);
	m.fwcfg = fwcfg_new(&m.pio, NR_CPUS, &ram);
	REQUIRE(m.serial && m.rtc && m.power && m.i8042 && m.pci && m.chipset &&
		m.debugcon && m.testdev && m.fwcfg);
}

static void destroy(void)
{
	fwcfg_free(m.fwcfg);
	testdev_free(m.testdev);
	debugcon_free(m.debugcon);
	chipset_free(m.chipset);
	pci_free(m.pci);
	i8042_free(m.i8042);
	power_free(m.power);
	rtc_free(m.rtc);
	serial_free(m.serial);
	loop_exit(&m.loop);
	irqchip_destroy(m.chip);
	timers_destroy(m.timers);
}

/* --- What happens to it --- */

/* Ports by their devices' bases; the low bits come from the input. */
static uint16_t port(struct input *in)
{
	static const uint16_t base[] = { 0x20,	0xa0,	0x4d0,	0x40,
					 0x60,	0x64,	0x70,	0x3f8,
					 0x510, 0x600,	0xcf8,	0xe0,
					 0xf0,	0x2000, 0xc000, 0 };
	uint8_t n = take(in, 1);

	return n < 0xf0 ? base[n & 15] + (n >> 4) : take(in, 2);
}

static unsigned int width(uint8_t n)
{
	return 1u << (n % 3);
}

static void do_port(struct input *in, bool write)
{
	uint16_t at = port(in);
	unsigned int len = width(take(in, 1));
	uint32_t v = write ? take(in, len) : 0;

	if (write ? irqchip_pio_write(m.chip, at, len, v)
		  : irqchip_pio_read(m.chip, at, len, &v))
		return;
	if (write)
		bus_write(&m.pio, at, &v, len);
	else
		bus_read(&m.pio, at, &v, len);
}

static void do_memory(struct input *in, bool write)
{
	static const uint32_t base[] = { 0xfec00000, 0xff000000, 0xe0000000,
					 0xfebf0000 };
	uint8_t n = take(in, 1);
	gpa_t at = base[n & 3] + take(in, 2);
	unsigned int len = 1u << (n >> 2 & 3);
	uint64_t v = write ? take(in, len) : 0;

	if (write ? irqchip_mmio_write(m.chip, at, len, &v)
		  : irqchip_mmio_read(m.chip, at, len, &v))
		return;
	if (write)
		bus_write(&m.mmio, at, &v, len);
	else
		bus_read(&m.mmio, at, &v, len);
}

static void do_lapic(struct input *in)
{
	uint8_t n = take(in, 1);
	struct lapic *l = m.lapic[n & 1];
	gpa_t at = APIC_DEFAULT_BASE + take(in, 1) * 16 + (n & 2 ? 1 : 0);
	unsigned int len = 1u << (n >> 2 & 3);
	uint64_t v = take(in, len);

	if (n & 16)
		lapic_mmio_write(l, at, len, &v);
	else
		lapic_mmio_read(l, at, len, &v);
}

static void do_lapic_msr(struct input *in)
{
	uint8_t n = take(in, 1);
	struct lapic *l = m.lapic[n & 1];
	uint32_t msr = 0x800 + take(in, 1);
	uint64_t v = take(in, 8);

	switch (n >> 1 & 7) {
	case 0:
		(void)!lapic_set_base(l, (v & 0xfff) | APIC_DEFAULT_BASE,
				      n & 128);
		break;
	case 1:
		lapic_set_tsc_deadline(l, v);
		break;
	case 2:
		lapic_set_cr8(l, v & 15);
		break;
	case 3:
		lapic_reset(l, n & 128);
		break;
	case 4:
		lapic_pv_ipi(m.chip, v, v >> 7, n, v >> 13, n & 128 ? 64 : 32);
		break;
	case 5:
		(void)!lapic_msr_read(l, msr, &v);
		break;
	default:
		(void)!lapic_msr_write(l, msr, v);
	}
}

static void do_lines(struct input *in)
{
	uint8_t n = take(in, 1);

	switch (n >> 6) {
	case 0:
		irqchip_send_msi(m.chip, take(in, 4), take(in, 4), take(in, 4));
		break;
	case 1:
		(void)!irqchip_watch_ack(m.chip, n & 15, n & 16);
		break;
	default:
		irqchip_set_irq(m.chip, n & 31, IRQ_SOURCE_RESAMPLE, n & 32);
	}
}

/* The processor takes what there is, and ends it or not. */
static void do_take(struct input *in)
{
	uint8_t n = take(in, 1);
	struct lapic *l = m.lapic[n & 1];

	for (int i = n >> 4; i >= 0 && irqchip_has_irq(l); i--)
		REQUIRE(irqchip_take_irq(l) < 256);
	if (n & 2)
		lapic_eoi(l);
	if (n & 4)
		lapic_lazy_eoi(l);
}

/* States that a client restores: what is there with some bytes changed. */
static void do_state(struct input *in)
{
	uint8_t n = take(in, 1), at = take(in, 1);
	uint64_t v = take(in, 8);
	union {
		struct pic_state pic;
		struct ioapic_state ioapic;
		struct lapic_state lapic;
		struct pit_state pit;
		uint8_t bytes[1024];
	} s;

	memset(&s, 0, sizeof(s));
	if (n & 4) {
		lapic_get_state(m.lapic[n & 1], &s.lapic);
		memcpy(s.bytes + at * 4 % 1016, &v, 8);
		(void)!lapic_set_state(m.lapic[n & 1], &s.lapic);
	} else if (irqchip_is_split(m.chip)) {
		return;
	} else if (n & 8) {
		irqchip_get_ioapic(m.chip, &s.ioapic);
		memcpy(s.bytes + at % (sizeof(s.ioapic) - 8), &v, 8);
		irqchip_set_ioapic(m.chip, &s.ioapic);
	} else if (n & 16) {
		irqchip_get_pic(m.chip, n & 1, &s.pic);
		memcpy(s.bytes + at % (sizeof(s.pic) - 7), &v, 8);
		irqchip_set_pic(m.chip, n & 1, &s.pic);
	} else {
		pit_get_state(pit_of(m.chip), &s.pit);
		memcpy(s.bytes + at % (sizeof(s.pit) - 8), &v, 8);
		pit_set_state(pit_of(m.chip), &s.pit);
		pit_set_reinject(pit_of(m.chip), n & 32);
	}
}

/* From outside: the line, the button, time. */
static void do_outside(struct input *in)
{
	uint8_t n = take(in, 1), bytes[64];

	switch (n & 3) {
	case 0:
		memset(bytes, n, sizeof(bytes));
		serial_room(m.serial);
		serial_receive(m.serial, bytes, n >> 2);
		break;
	case 1:
		serial_send_break(m.serial);
		break;
	case 2:
		power_press_button(m.power);
		break;
	default:
		for (struct loop_timer *t = m.loop.timers; t; t = t->next) {
			if (!t->deadline_ns)
				continue;
			t->deadline_ns = 0;
			t->fn(t->arg);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!ram.base)
		REQUIRE(!ram_init(&ram, RAM_BYTES));
	build(take(&in, 1));
	while (in.n) {
		uint8_t what = take(&in, 1);

		switch (what & 15) {
		case 0 ... 3:
			do_port(&in, true);
			break;
		case 4 ... 5:
			do_port(&in, false);
			break;
		case 6 ... 7:
			do_memory(&in, what & 1);
			break;
		case 8 ... 9:
			do_lapic(&in);
			break;
		case 10:
			do_lapic_msr(&in);
			break;
		case 11:
			do_lines(&in);
			break;
		case 12 ... 13:
			do_take(&in);
			break;
		case 14:
			do_state(&in);
			break;
		default:
			do_outside(&in);
		}
	}
	destroy();
	return 0;
}
