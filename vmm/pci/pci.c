#include "vmm/pci/pci.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PORT_ADDRESS 0
#define PORT_RESET   1
#define PORT_DATA    4

#define ADDRESS_ENABLE 0x80000000u
#define FUNCS_MAX      256
#define WINDOWS_MAX    64
#define CAPS_START     0x40

/* Where pci_assign() puts things; the DSDT's windows hold them. */
#define ASSIGN_IO     0xc000
#define ASSIGN_MEMORY 0xe0000000ull

/* A base address that is decoded at present. */
struct pci_window {
	uint64_t start;
	const struct pci_bar *bar;
	struct pci_func *func;
};

struct pci {
	pthread_mutex_t lock; /* address, and all configuration spaces */
	struct power *power;
	uint32_t address;
	struct pci_func *funcs[FUNCS_MAX]; /* bus 0 */

	pthread_rwlock_t map_lock;
	struct pci_window windows[WINDOWS_MAX];
	unsigned nr_windows;

	pthread_mutex_t irq_lock;
	unsigned asserted[PCI_NR_PIRQS]; /* how many pins drive it */
	uint8_t route[PCI_NR_PIRQS];
	struct irq_line direct[PCI_NR_PIRQS], isa[16];
};

void pci_set(struct pci_func *f, unsigned reg, unsigned len, uint32_t val)
{
	memcpy(&f->config[reg], &val, len);
}

uint32_t pci_get(const struct pci_func *f, unsigned reg, unsigned len)
{
	uint32_t val = 0;

	memcpy(&val, &f->config[reg], len);
	return val;
}

void pci_set_writable(struct pci_func *f, unsigned reg, unsigned len,
		      uint32_t bits)
{
	memcpy(&f->writable[reg], &bits, len);
}

void pci_set_id(struct pci_func *f, uint16_t vendor, uint16_t device,
		uint32_t class_code, uint16_t subvendor, uint16_t subdevice)
{
	pci_set(f, PCI_VENDOR, 2, vendor);
	pci_set(f, PCI_DEVICE, 2, device);
	pci_set(f, PCI_CLASS, 2, class_code);
	pci_set(f, PCI_CLASS + 2, 1, class_code >> 16);
	pci_set(f, PCI_SUBVENDOR, 2, subvendor);
	pci_set(f, PCI_SUBDEVICE, 2, subdevice);
}

unsigned pci_add_cap(struct pci_func *f, const void *cap, unsigned len)
{
	unsigned last = PCI_CAPABILITIES;
	unsigned at = f->caps_end ? f->caps_end : CAPS_START;

	if (at + len > sizeof(f->config))
		return 0;
	while (f->config[last])
		last = f->config[last] + 1;
	memcpy(&f->config[at], cap, len);
	f->config[at + 1] = 0;
	f->config[last] = at;
	f->config[PCI_STAT] |= PCI_STAT_CAPS;
	f->caps_end = (at + len + 3) & ~3u;
	return at;
}

static uint64_t pci_bar_base(const struct pci_func *f, unsigned i)
{
	const struct pci_bar *bar = &f->bars[i];
	uint64_t base = pci_get(f, PCI_BAR0 + 4 * i, 4);

	if (bar->flags & PCI_BAR_IO)
		return base & 0xfffc;
	if (bar->flags & PCI_BAR_MEM64)
		base |= (uint64_t)pci_get(f, PCI_BAR0 + 4 * i + 4, 4) << 32;
	return base & ~15ull;
}

/* Address 0 decodes nothing: it is what an address not yet given reads as. */
static void pci_map_bar(struct pci *pci, struct pci_func *f, unsigned i)
{
	const struct pci_bar *bar = &f->bars[i];
	bool io = bar->flags & PCI_BAR_IO;
	uint64_t base = pci_bar_base(f, i);

	if (!bar->size || !base || pci->nr_windows == WINDOWS_MAX ||
	    !(pci_get(f, PCI_CMD, 2) & (io ? PCI_CMD_IO : PCI_CMD_MEMORY)))
		return;
	pci->windows[pci->nr_windows++] = (struct pci_window){ base, bar, f };
}

static void pci_map(struct pci *pci)
{
	pthread_rwlock_wrlock(&pci->map_lock);
	pci->nr_windows = 0;
	for (unsigned n = 0; n < FUNCS_MAX; n++)
		for (unsigned i = 0; pci->funcs[n] && i < PCI_BARS; i++)
			pci_map_bar(pci, pci->funcs[n], i);
	pthread_rwlock_unlock(&pci->map_lock);
}

static const struct pci_window *pci_find(const struct pci *pci, bool io,
					 uint64_t addr)
{
	for (unsigned i = 0; i < pci->nr_windows; i++) {
		const struct pci_window *w = &pci->windows[i];

		if (addr - w->start < w->bar->size &&
		    io == (w->bar->flags & PCI_BAR_IO))
			return w;
	}
	return NULL;
}

/* Accesses that are too wide for a bar come as two halves. */
static uint64_t pci_claim_read(struct pci *pci, bool io, uint64_t addr,
			       unsigned len)
{
	const struct pci_window *w;
	uint64_t val = ~0ull, high;
	bool wide;

	pthread_rwlock_rdlock(&pci->map_lock);
	w = pci_find(pci, io, addr);
	wide = w && len > w->bar->ops->max_len;
	if (w && !wide && w->bar->ops->read)
		val = w->bar->ops->read(w->func->dev, addr - w->start, len);
	pthread_rwlock_unlock(&pci->map_lock);
	if (!wide)
		return val;
	val = pci_claim_read(pci, io, addr, len / 2);
	high = pci_claim_read(pci, io, addr + len / 2, len / 2);
	return (val & ((1ull << 4 * len) - 1)) | high << 4 * len;
}

static void pci_claim_write(struct pci *pci, bool io, uint64_t addr,
			    unsigned len, uint64_t val)
{
	const struct pci_window *w;
	bool wide;

	pthread_rwlock_rdlock(&pci->map_lock);
	w = pci_find(pci, io, addr);
	wide = w && len > w->bar->ops->max_len;
	if (w && !wide && w->bar->ops->write)
		w->bar->ops->write(w->func->dev, addr - w->start, len, val);
	pthread_rwlock_unlock(&pci->map_lock);
	if (!wide)
		return;
	pci_claim_write(pci, io, addr, len / 2, val);
	pci_claim_write(pci, io, addr + len / 2, len / 2, val >> 4 * len);
}

static uint64_t pci_read_io(void *dev, uint64_t addr, unsigned len)
{
	return pci_claim_read(dev, true, addr, len);
}

static void pci_write_io(void *dev, uint64_t addr, unsigned len, uint64_t val)
{
	pci_claim_write(dev, true, addr, len, val);
}

static uint64_t pci_read_memory(void *dev, uint64_t addr, unsigned len)
{
	return pci_claim_read(dev, false, addr, len);
}

static void pci_write_memory(void *dev, uint64_t addr, unsigned len,
			     uint64_t val)
{
	pci_claim_write(dev, false, addr, len, val);
}

static const struct bus_ops io_ops = {
	.name = "pci i/o",
	.read = pci_read_io,
	.write = pci_write_io,
	.max_len = 4,
};

static const struct bus_ops memory_ops = {
	.name = "pci memory",
	.read = pci_read_memory,
	.write = pci_write_memory,
	.max_len = 8,
};

/* The pins' wiring: device n's INTA# is at PIRQ (n - 1) mod 4. */
static unsigned pci_pirq(const struct pci_func *f)
{
	return ((f->devfn >> 3) - 1) % PCI_NR_PIRQS;
}

/* An ISA interrupt is as high as any of the PIRQs that go to it. */
static void pci_drive_isa(struct pci *pci, unsigned irq)
{
	bool any = false;

	for (unsigned i = 0; i < PCI_NR_PIRQS; i++)
		any |= pci->route[i] == irq && pci->asserted[i] > 0;
	if (irq)
		irq_line_set(&pci->isa[irq], any);
}

static void pci_drive(struct pci *pci, unsigned pirq)
{
	irq_line_set(&pci->direct[pirq], pci->asserted[pirq] > 0);
	pci_drive_isa(pci, pci->route[pirq]);
}

/* With irq_lock held: the pin, gated by the command register. */
static void pci_update_intx(struct pci_func *f)
{
	struct pci *pci = f->pci;
	bool level = (f->config[PCI_STAT] & PCI_STAT_INTX) &&
		     !(pci_get(f, PCI_CMD, 2) & PCI_CMD_NO_INTX);

	if (level == f->intx)
		return;
	f->intx = level;
	pci->asserted[pci_pirq(f)] += level ? 1 : -1;
	pci_drive(pci, pci_pirq(f));
}

void pci_set_intx(struct pci_func *f, bool level)
{
	pthread_mutex_lock(&f->pci->irq_lock);
	f->config[PCI_STAT] &= ~PCI_STAT_INTX;
	if (level)
		f->config[PCI_STAT] |= PCI_STAT_INTX;
	pci_update_intx(f);
	pthread_mutex_unlock(&f->pci->irq_lock);
}

void pci_set_route(struct pci *pci, unsigned pirq, unsigned irq)
{
	unsigned was;

	pthread_mutex_lock(&pci->irq_lock);
	was = pci->route[pirq];
	pci->route[pirq] = irq;
	pci_drive_isa(pci, was);
	pci_drive_isa(pci, irq);
	pthread_mutex_unlock(&pci->irq_lock);
}

/* The function that the address register selects, and its register. */
static struct pci_func *pci_selected(const struct pci *pci, unsigned *reg)
{
	if (!(pci->address & ADDRESS_ENABLE) || (pci->address >> 16 & 0xff))
		return NULL;
	*reg += pci->address & 0xfc;
	return pci->funcs[pci->address >> 8 & 0xff];
}

static uint64_t pci_read_config(struct pci *pci, unsigned offset, unsigned len)
{
	unsigned reg = offset;
	struct pci_func *f;
	uint64_t val = ~0ull;

	pthread_mutex_lock(&pci->lock);
	f = pci_selected(pci, &reg);
	pthread_mutex_unlock(&pci->lock);
	if (!f)
		return val;
	if (f->reading)
		f->reading(f->dev, reg, len);
	pthread_mutex_lock(&pci->lock);
	val = pci_get(f, reg, len);
	pthread_mutex_unlock(&pci->lock);
	return val;
}

static void pci_write_config(struct pci *pci, unsigned offset, unsigned len,
			     uint64_t val)
{
	unsigned reg = offset;
	struct pci_func *f;

	pthread_mutex_lock(&pci->lock);
	f = pci_selected(pci, &reg);
	for (unsigned i = 0; f && i < len; i++) {
		uint8_t mask = f->writable[reg + i];
		uint8_t *byte = &f->config[reg + i];

		if (mask) /* others may change meanwhile */
			*byte = (*byte & ~mask) | ((val >> 8 * i) & mask);
	}
	if (f && reg < PCI_BAR0 + 4 * PCI_BARS && reg + len > PCI_CMD) {
		pci_map(pci);
		pthread_mutex_lock(&pci->irq_lock);
		pci_update_intx(f);
		pthread_mutex_unlock(&pci->irq_lock);
	}
	pthread_mutex_unlock(&pci->lock);
	if (f && f->written)
		f->written(f->dev, reg, len);
}

static uint64_t pci_read(void *dev, uint64_t offset, unsigned len)
{
	struct pci *pci = dev;

	if (offset >= PORT_DATA)
		return pci_read_config(pci, offset - PORT_DATA, len);
	if (offset == PORT_RESET && len == 1)
		return power_read_rst_cnt(pci->power);
	if (offset == PORT_ADDRESS && len == 4)
		return pci->address;
	return ~0ull;
}

static void pci_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct pci *pci = dev;

	if (offset >= PORT_DATA) {
		pci_write_config(pci, offset - PORT_DATA, len, val);
	} else if (offset == PORT_RESET && len == 1) {
		power_write_rst_cnt(pci->power, val);
	} else if (offset == PORT_ADDRESS && len == 4) {
		pthread_mutex_lock(&pci->lock);
		pci->address = val;
		pthread_mutex_unlock(&pci->lock);
	}
}

static const struct bus_ops config_ops = {
	.name = "pci config",
	.read = pci_read,
	.write = pci_write,
	.max_len = 4,
};

struct pci *pci_new(struct bus *pio, struct bus *mmio,
		    const struct irq_sink *irq, struct power *power)
{
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return NULL;
	pthread_mutex_init(&pci->lock, NULL);
	pthread_mutex_init(&pci->irq_lock, NULL);
	pthread_rwlock_init(&pci->map_lock, NULL);
	pci->power = power;
	for (unsigned i = 0; i < PCI_NR_PIRQS; i++)
		pci->direct[i] =
			(struct irq_line){ irq, PCI_GSI_DIRECT + i, false };
	for (unsigned i = 0; i < ARRAY_SIZE(pci->isa); i++)
		pci->isa[i] = (struct irq_line){ irq, i, false };
	bus_set_default(pio, &io_ops, pci);
	bus_set_default(mmio, &memory_ops, pci);
	if (bus_add(pio, 0xcf8, 8, &config_ops, pci) == 0)
		return pci;
	free(pci);
	return NULL;
}

void pci_free(struct pci *pci)
{
	free(pci);
}

static void pci_add_bar(struct pci_func *f, unsigned i)
{
	const struct pci_bar *bar = &f->bars[i];
	uint64_t bits = ~(bar->size - 1);

	if (!bar->size)
		return;
	pci_set(f, PCI_BAR0 + 4 * i, 4, bar->flags);
	pci_set_writable(f, PCI_BAR0 + 4 * i, 4,
			 bits & (bar->flags & PCI_BAR_IO ? ~3u : ~15u));
	if (bar->flags & PCI_BAR_MEM64)
		pci_set_writable(f, PCI_BAR0 + 4 * i + 4, 4, bits >> 32);
}

int pci_add(struct pci *pci, struct pci_func *f)
{
	if (pci->funcs[f->devfn])
		return -EEXIST;
	for (unsigned i = 0; i < PCI_BARS; i++)
		pci_add_bar(f, i);
	/* Bridges without bars decode as well: UEFI asks whether they can. */
	pci_set_writable(f, PCI_CMD, 2,
			 PCI_CMD_IO | PCI_CMD_MEMORY | PCI_CMD_MASTER |
				 PCI_CMD_NO_INTX);
	pci_set_writable(f, PCI_IRQ_LINE, 1, 0xff);
	f->pci = pci;
	pci->funcs[f->devfn] = f;
	return 0;
}

unsigned pci_free_slot(const struct pci *pci, unsigned first)
{
	while (first < 31 && pci->funcs[PCI_DEVFN(first, 0)])
		first++;
	return first;
}

static void pci_assign_func(struct pci *pci, struct pci_func *f, uint64_t *io,
			    uint64_t *memory)
{
	uint32_t cmd = 0;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &f->bars[i];
		uint64_t *next = bar->flags & PCI_BAR_IO ? io : memory;

		if (!bar->size)
			continue;
		*next = (*next + bar->size - 1) & ~(bar->size - 1);
		pci_set(f, PCI_BAR0 + 4 * i, 4, *next | bar->flags);
		*next += bar->size;
		cmd |= bar->flags & PCI_BAR_IO ? PCI_CMD_IO : PCI_CMD_MEMORY;
	}
	pci_set(f, PCI_CMD, 2, pci_get(f, PCI_CMD, 2) | cmd);
	if (f->config[PCI_IRQ_PIN])
		pci_set(f, PCI_IRQ_LINE, 1, pci->route[pci_pirq(f)]);
}

void pci_assign(struct pci *pci)
{
	uint64_t io = ASSIGN_IO, memory = ASSIGN_MEMORY;

	for (unsigned n = 0; n < FUNCS_MAX; n++)
		if (pci->funcs[n])
			pci_assign_func(pci, pci->funcs[n], &io, &memory);
	pci_map(pci);
}
