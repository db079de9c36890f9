#pragma once

#include "vmm/pci/pci.h"

/* Where message signalled interrupts go. */
struct msi_sink {
	void (*send)(void *arg, uint64_t address, uint32_t data);
	void *arg;
};

/*
 * MSI-X ("MSI-X Capability and Table Structure"): a table and pending bits in
 * one memory bar.  Its user holds a lock around all of these.
 */
#define MSIX_VECTORS_MAX 8
#define MSIX_BAR_SIZE	 0x1000
#define MSIX_NONE	 0xffff

struct msix {
	const struct msi_sink *sink;
	struct pci_func *func;
	unsigned cap; /* offset */
	unsigned nr;
	struct msix_entry {
		uint32_t address_low, address_high, data, control;
	} table[MSIX_VECTORS_MAX];
	uint8_t pending; /* a bit a vector */
};

/* msix_init - add the capability; the table is at the start of bar @bar. */
void msix_init(struct msix *m, struct pci_func *f, unsigned bar, unsigned nr,
	       const struct msi_sink *sink);

bool msix_enabled(const struct msix *m);

/* msix_send - interrupt @vector, or note it if it is masked. */
void msix_send(struct msix *m, unsigned vector);

/* msix_update - after a write of configuration space: a mask may be gone. */
void msix_update(struct msix *m);

/* msix_read, msix_write - the bar, 4 or 8 bytes. */
uint64_t msix_read(struct msix *m, uint64_t offset, unsigned len);
void msix_write(struct msix *m, uint64_t offset, unsigned len, uint64_t val);
