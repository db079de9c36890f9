#pragma once

#include "vmm/disk/disk.h"
#include "vmm/pci/msix.h"
#include "vmm/ram.h"

/*
 * A virtio block device, whose requests a thread of its own serves ("Block
 * Device").
 */
struct blk;

/* blk_new - takes the disk over; NULL if there is no memory or no thread. */
struct blk *blk_new(struct pci *pci, const struct ram *ram,
		    const struct msi_sink *msi, const struct disk *disk);

/* blk_free - end the thread, write everything out; after the vCPUs' end. */
void blk_free(struct blk *b);

/* blk_slot - its PCI device number. */
unsigned blk_slot(const struct blk *b);
