#pragma once

#include "vmm/dev/fwcfg.h"
#include "vmm/disk/disk.h"
#include "vmm/irq.h"
#include "vmm/kvmfd.h"
#include "vmm/pci/msix.h"
#include "vmm/ram.h"

/* All disks of a machine, in the order in which firmware tries them. */
#define DISKS_MAX 8

struct disks {
	const struct kvmfd *vm;
	struct msi_sink msi;
	struct ide *ide; /* NULL if there is no disk on it */
	unsigned nr_ide;
	struct {
		struct blk *blk;
		unsigned ata; /* or its number there */
	} disk[DISKS_MAX];
	unsigned nr;
};

/*
 * disks_create - open the files and plug the disks in; prints what is wrong and
 * returns an exit status.
 */
struct disks_env {
	const struct kvmfd *vm;
	struct pci *pci;
	struct bus *pio;
	const struct ram *ram;
	const struct irq_sink *irq;
};
int disks_create(struct disks *d, const struct disks_env *env,
		 const struct disk_config *configs, unsigned nr);
void disks_free(struct disks *d);

/* disks_tell - the boot order, for firmware.  0 or -errno. */
int disks_tell(const struct disks *d, struct fwcfg *fwcfg);
