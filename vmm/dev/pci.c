#include "vmm/dev/pci.h"

#include <pthread.h>
#include <stdlib.h>

#define PORT_ADDRESS 0
#define PORT_RESET   1
#define PORT_DATA    4

#define ADDRESS_ENABLE	  0x80000000u
#define ADDRESS_DEVICE(a) ((a) >> 8 & 0xffff) /* bus, device, function */

struct pci {
	pthread_mutex_t lock;
	struct power *power;
	uint32_t address;
};

/* The host bridge, an Intel 82441FX as in any old PC; nothing to set. */
static const uint32_t host_bridge[] = {
	0x12378086, /* device, vendor */
	0x00000000, /* status, command */
	0x06000002, /* class: bridge, host; revision */
};

static uint32_t pci_config_word(const struct pci *pci)
{
	unsigned reg = (pci->address & 0xfc) / 4;

	if (!(pci->address & ADDRESS_ENABLE) ||
	    ADDRESS_DEVICE(pci->address) != 0)
		return ~0u;
	return reg < ARRAY_SIZE(host_bridge) ? host_bridge[reg] : 0;
}

static uint64_t pci_read(void *dev, uint64_t offset, unsigned len)
{
	struct pci *pci = dev;
	uint64_t val = ~0ull;

	if (offset == PORT_RESET && len == 1)
		return power_read_rst_cnt(pci->power);
	pthread_mutex_lock(&pci->lock);
	if (offset >= PORT_DATA)
		val = pci_config_word(pci) >> 8 * (offset - PORT_DATA);
	else if (offset == PORT_ADDRESS && len == 4)
		val = pci->address;
	pthread_mutex_unlock(&pci->lock);
	return val;
}

static void pci_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct pci *pci = dev;

	if (offset == PORT_RESET && len == 1) {
		power_write_rst_cnt(pci->power, val);
	} else if (offset == PORT_ADDRESS && len == 4) {
		pthread_mutex_lock(&pci->lock);
		pci->address = val;
		pthread_mutex_unlock(&pci->lock);
	}
}

static const struct bus_ops pci_ops = {
	.name = "pci config",
	.read = pci_read,
	.write = pci_write,
	.max_len = 4,
};

struct pci *pci_new(struct bus *pio, struct power *power)
{
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return NULL;
	pthread_mutex_init(&pci->lock, NULL);
	pci->power = power;
	if (bus_add(pio, 0xcf8, 8, &pci_ops, pci) == 0)
		return pci;
	free(pci);
	return NULL;
}

void pci_free(struct pci *pci)
{
	free(pci);
}
