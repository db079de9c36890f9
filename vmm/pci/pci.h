#pragma once

#include "vmm/bus.h"
#include "vmm/dev/power.h"
#include "vmm/irq.h"

/*
 * A conventional PCI bus, behind "Configuration Mechanism #1" at ports 0xcf8
 * and 0xcfc.  Functions give their registers and handlers; the bus keeps the
 * configuration space and decodes what the guest puts into base addresses.
 * The reset control register shares the ports: byte accesses of 0xcf9.
 */
struct pci;

#define PCI_BARS       6
#define PCI_NR_PIRQS   4
#define PCI_GSI_DIRECT 16 /* PIRQA to PIRQD are at GSIs 16 to 19 as well */

#define PCI_DEVFN(dev, fn) ((dev) << 3 | (fn))

/* Offsets in the configuration space ("PCI Local Bus Specification"). */
enum {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_CMD = 0x04,
	PCI_STAT = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09, /* interface, subclass, class */
	PCI_HEADER = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBVENDOR = 0x2c,
	PCI_SUBDEVICE = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_IRQ_LINE = 0x3c,
	PCI_IRQ_PIN = 0x3d,
};
#define PCI_CMD_IO	 0x0001
#define PCI_CMD_MEMORY	 0x0002
#define PCI_CMD_MASTER	 0x0004
#define PCI_CMD_NO_INTX	 0x0400
#define PCI_STAT_INTX	 0x0008
#define PCI_STAT_CAPS	 0x0010
#define PCI_HEADER_MULTI 0x80
#define PCI_BAR_IO	 0x1
#define PCI_BAR_MEM64	 0x4
#define PCI_BAR_PREFETCH 0x8

/* One base address; @size, a power of two, is 0 where there is none. */
struct pci_bar {
	uint64_t size;
	uint8_t flags; /* PCI_BAR_* */
	const struct bus_ops *ops;
};

struct pci_func {
	const char *name;
	uint8_t devfn;
	void *dev; /* for the handlers */
	struct pci_bar bars[PCI_BARS];
	/* After a write of configuration bytes; no lock of the bus is held. */
	void (*written)(void *dev, unsigned reg, unsigned len);
	/* Before a read of them. */
	void (*reading)(void *dev, unsigned reg, unsigned len);

	/* The bus's own. */
	struct pci *pci;
	uint8_t config[256];
	uint8_t writable[256]; /* bits that the guest may change */
	unsigned
		caps_end; /* where the next capability goes; 0: there is none */
	bool intx;
};

struct pci *pci_new(struct bus *pio, struct bus *mmio,
		    const struct irq_sink *irq, struct power *power);
void pci_free(struct pci *pci);

/*
 * pci_add - put a function on the bus, before vCPUs run; it stays the caller's
 * and lives as long as the bus.  -EEXIST if its place is taken.
 */
int pci_add(struct pci *pci, struct pci_func *f);

/* pci_free_slot - the lowest device number from @first on that is free. */
unsigned pci_free_slot(const struct pci *pci, unsigned first);

/* pci_set - registers of @len (1, 2, 4) bytes while the function is made. */
void pci_set(struct pci_func *f, unsigned reg, unsigned len, uint32_t val);
uint32_t pci_get(const struct pci_func *f, unsigned reg, unsigned len);
void pci_set_writable(struct pci_func *f, unsigned reg, unsigned len,
		      uint32_t bits);

/* pci_set_id - vendor, device, class (24 bits) and subsystem. */
void pci_set_id(struct pci_func *f, uint16_t vendor, uint16_t device,
		uint32_t class_code, uint16_t subvendor, uint16_t subdevice);

/*
 * pci_add_cap - a capability of @len bytes behind those there are, its id
 * first; the second byte is filled in.  The offset, 0 if there is no room.
 */
unsigned pci_add_cap(struct pci_func *f, const void *cap, unsigned len);

/* pci_set_intx - drive the function's INTA# pin; any thread. */
void pci_set_intx(struct pci_func *f, bool level);

/*
 * pci_set_route - a PIRQ goes to ISA interrupt @irq, too; 0 for none.  What
 * the ISA bridge's registers say.
 */
void pci_set_route(struct pci *pci, unsigned pirq, unsigned irq);

/*
 * pci_assign - what firmware does: gives each base address a place and each pin
 * an interrupt, and switches decoding on.
 */
void pci_assign(struct pci *pci);
