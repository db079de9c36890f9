#pragma once

#include "vmm/disk/disk.h"
#include "vmm/irq.h"
#include "vmm/pci/pci.h"
#include "vmm/ram.h"

/*
 * The IDE function of a PIIX3 (00:01.1): two ATA channels at a PC's old ports,
 * and bus master DMA ("Programming Interface for Bus Master IDE Controller").
 */
#define IDE_DISKS 4

struct ide;

struct ide *ide_new(struct pci *pci, struct bus *pio, const struct ram *ram,
		    const struct irq_sink *irq);
void ide_free(struct ide *ide);

/* ide_add - plug a disk in and take it over; -ENOSPC if there are four. */
int ide_add(struct ide *ide, const struct disk *disk);
