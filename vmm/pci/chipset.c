#include "vmm/pci/chipset.h"

#include <stdlib.h>

#define INTEL	     0x8086
#define ID_HOST	     0x1237 /* 82441FX */
#define ID_ISA	     0x7000 /* 82371SB, PIIX3 */
#define ID_PM	     0x7113 /* 82371AB, PIIX4 */
#define CLASS_HOST   0x060000
#define CLASS_ISA    0x060100
#define CLASS_BRIDGE 0x068000
/* The subsystem by which firmware knows a virtual machine's chipset. */
#define SUBVENDOR 0x1af4
#define SUBDEVICE 0x1100

#define HOST_PAM0	0x59
#define PAM_MASK	0x33
#define PAM_ALL_RAM	0x33
#define ISA_PIRQRC	0x60 /* PIRQA to PIRQD, a byte each */
#define PIRQRC_OFF	0x80
#define PM_BASE		0x40
#define PM_DEVACTB	0x58
#define DEVACTB_APMC_EN 0x02000000 /* firmware need not set up SMM */
#define PM_REGMISC	0x80
#define REGMISC_PMIOSE	0x01 /* the base address is decoded */

struct chipset {
	struct pci *pci;
	struct shadow *shadow;
	struct pci_func host, isa, pm;
};

static bool chipset_hit(unsigned reg, unsigned len, unsigned start, unsigned nr)
{
	return reg < start + nr && reg + len > start;
}

static void host_written(void *dev, unsigned reg, unsigned len)
{
	struct chipset *c = dev;

	if (c->shadow && chipset_hit(reg, len, HOST_PAM0, SHADOW_REGS))
		shadow_set(c->shadow, &c->host.config[HOST_PAM0]);
}

static void isa_written(void *dev, unsigned reg, unsigned len)
{
	struct chipset *c = dev;

	if (!chipset_hit(reg, len, ISA_PIRQRC, PCI_NR_PIRQS))
		return;
	for (unsigned i = 0; i < PCI_NR_PIRQS; i++) {
		uint8_t route = c->isa.config[ISA_PIRQRC + i];

		pci_set_route(c->pci, i, route & PIRQRC_OFF ? 0 : route & 15);
	}
}

static void chipset_make_host(struct chipset *c)
{
	struct pci_func *f = &c->host;

	*f = (struct pci_func){ .name = "82441FX",
				.devfn = PCI_DEVFN(0, 0),
				.dev = c,
				.written = host_written };
	pci_set_id(f, INTEL, ID_HOST, CLASS_HOST, SUBVENDOR, SUBDEVICE);
	pci_set(f, PCI_REVISION, 1, 2);
	for (unsigned i = 0; i < SHADOW_REGS; i++) {
		pci_set(f, HOST_PAM0 + i, 1, c->shadow ? 0 : PAM_ALL_RAM);
		if (c->shadow)
			pci_set_writable(f, HOST_PAM0 + i, 1, PAM_MASK);
	}
}

static void chipset_make_isa(struct chipset *c)
{
	struct pci_func *f = &c->isa;

	*f = (struct pci_func){ .name = "PIIX3 ISA",
				.devfn = PCI_DEVFN(1, 0),
				.dev = c,
				.written = isa_written };
	pci_set_id(f, INTEL, ID_ISA, CLASS_ISA, SUBVENDOR, SUBDEVICE);
	pci_set(f, PCI_HEADER, 1, PCI_HEADER_MULTI);
	for (unsigned i = 0; i < PCI_NR_PIRQS; i++) {
		pci_set(f, ISA_PIRQRC + i, 1, PIRQRC_OFF);
		pci_set_writable(f, ISA_PIRQRC + i, 1, 0x8f);
	}
}

/* The power registers stay where ACPI's tables say they are. */
static void chipset_make_pm(struct chipset *c)
{
	struct pci_func *f = &c->pm;

	*f = (struct pci_func){ .name = "PIIX4 PM",
				.devfn = PCI_DEVFN(1, 3),
				.dev = c };
	pci_set_id(f, INTEL, ID_PM, CLASS_BRIDGE, SUBVENDOR, SUBDEVICE);
	pci_set(f, PCI_REVISION, 1, 3);
	pci_set(f, PCI_IRQ_LINE, 1, POWER_SCI_IRQ);
	pci_set(f, PM_BASE, 4, POWER_PM1A_EVT | PCI_BAR_IO);
	pci_set(f, PM_DEVACTB, 4, DEVACTB_APMC_EN);
	pci_set(f, PM_REGMISC, 1, REGMISC_PMIOSE);
}

struct chipset *chipset_new(struct pci *pci, struct shadow *shadow)
{
	struct chipset *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->pci = pci;
	c->shadow = shadow;
	chipset_make_host(c);
	chipset_make_isa(c);
	chipset_make_pm(c);
	if (pci_add(pci, &c->host) == 0 && pci_add(pci, &c->isa) == 0 &&
	    pci_add(pci, &c->pm) == 0)
		return c;
	free(c);
	return NULL;
}

void chipset_free(struct chipset *c)
{
	free(c);
}

void chipset_route(struct chipset *c)
{
	static const uint8_t irqs[PCI_NR_PIRQS] = { 10, 10, 11, 11 };

	for (unsigned i = 0; i < PCI_NR_PIRQS; i++)
		pci_set(&c->isa, ISA_PIRQRC + i, 1, irqs[i]);
	isa_written(c, ISA_PIRQRC, PCI_NR_PIRQS);
}
