#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/pci/msix.h"
#include "vmm/pci/pci.h"
#include "vmm/virtio/queue.h"

/*
 * A virtio device on the PCI bus, for legacy and modern drivers alike ("Virtio
 * Over PCI Bus").
 */
#define VPCI_QUEUES_MAX 2

struct vpci_ops {
	const char *name;
	uint16_t id; /* virtio's device id */
	uint32_t pci_class;
	uint64_t features;
	unsigned nr_queues;
	uint16_t queue_size;
	unsigned config_size;
	/* The driver has put something into a queue; any vCPU's thread. */
	void (*notify)(void *dev, unsigned queue);
	/* Let go of all queues: no use of them after it returned. */
	void (*reset)(void *dev);
};

struct vpci {
	struct pci_func func;
	const struct vpci_ops *ops;
	void *dev;
	const void *config; /* little endian, ops->config_size bytes */

	pthread_mutex_t lock; /* registers below; not held in interrupts */
	uint64_t driver_features;
	uint32_t feature_select, driver_select;
	uint16_t queue_select;
	uint8_t status;
	atomic_bool failed; /* NEEDS_RESET; set by any thread */
	struct queue queues[VPCI_QUEUES_MAX];

	pthread_mutex_t irq_lock;
	uint8_t isr;
	uint16_t vector, queue_vector[VPCI_QUEUES_MAX];
	struct msix msix;
	unsigned cfg_cap; /* offset of the capability that shows a window */
};

/* vpci_init - fill in and put on the bus at device number @slot. */
int vpci_init(struct vpci *v, struct pci *pci, unsigned slot,
	      const struct vpci_ops *ops, void *dev, const void *config,
	      const struct ram *ram, const struct msi_sink *msi);

/* vpci_signal - interrupt for a queue; any thread. */
void vpci_signal(struct vpci *v, unsigned queue);

/* vpci_fail - the driver broke the rules: it is to reset the device. */
void vpci_fail(struct vpci *v);
