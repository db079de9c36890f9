#include "vmm/disks.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "vmm/log.h"
#include "vmm/status.h"
#include "vmm/virtio/blk.h"

static void disks_send_msi(void *arg, uint64_t address, uint32_t data)
{
	struct disks *d = arg;
	struct kvm_msi msi = {
		.address_lo = address,
		.address_hi = address >> 32,
		.data = data,
	};

	kvmfd_ioctl(d->vm, KVM_SIGNAL_MSI, &msi);
}

static int disks_add(struct disks *d, struct pci *pci, const struct ram *ram,
		     const struct disk_config *config)
{
	struct disk disk = { 0 };

	if (disk_open(&disk, config, d->nr))
		return STATUS_INPUT;
	d->blk[d->nr] = blk_new(pci, ram, &d->msi, &disk);
	if (d->blk[d->nr++])
		return 0;
	disk_close(&disk);
	log_error(0, "cannot create the disk \"%s\": %s", config->path,
		  strerror(ENOMEM));
	return STATUS_HOST;
}

int disks_create(struct disks *d, const struct kvmfd *vm, struct pci *pci,
		 const struct ram *ram, const struct disk_config *configs,
		 unsigned nr)
{
	int r = 0;

	d->vm = vm;
	d->msi = (struct msi_sink){ disks_send_msi, d };
	for (unsigned i = 0; i < nr && !r; i++)
		r = disks_add(d, pci, ram, &configs[i]);
	return r;
}

void disks_free(struct disks *d)
{
	for (unsigned i = 0; i < d->nr; i++)
		blk_free(d->blk[i]);
	d->nr = 0;
}

/* Open Firmware's paths; "HALT": nothing else is tried. */
int disks_tell(const struct disks *d, struct fwcfg *fwcfg)
{
	char order[64 * DISKS_MAX];
	size_t len = 0;

	for (unsigned i = 0; i < d->nr; i++)
		len += snprintf(order + len, sizeof(order) - len,
				"/pci@i0cf8/scsi@%x/disk@0,0\n",
				blk_slot(d->blk[i]));
	len += snprintf(order + len, sizeof(order) - len, "HALT");
	return fwcfg_add_file(fwcfg, "bootorder", order, len + 1);
}
