#include "vmm/disks.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "vmm/disk/ide.h"
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

static int disks_add_ata(struct disks *d, const struct disks_env *env,
			 const struct disk *disk)
{
	if (!d->ide)
		d->ide = ide_new(env->pci, env->pio, env->ram, env->irq);
	if (!d->ide)
		return -ENOMEM;
	d->disk[d->nr].ata = d->nr_ide++;
	return ide_add(d->ide, disk);
}

static int disks_add_virtio(struct disks *d, const struct disks_env *env,
			    const struct disk *disk)
{
	d->disk[d->nr].blk = blk_new(env->pci, env->ram, &d->msi, disk);
	return d->disk[d->nr].blk ? 0 : -ENOMEM;
}

static int disks_add(struct disks *d, const struct disks_env *env,
		     const struct disk_config *config)
{
	struct disk disk = { 0 };
	int r;

	if (config->bus == DISK_ATA && d->nr_ide == IDE_DISKS) {
		log_error(0, "disk \"%s\": there can be %u ATA disks at most",
			  config->path, IDE_DISKS);
		return STATUS_USAGE;
	}
	if (disk_open(&disk, config, d->nr))
		return STATUS_INPUT;
	if (config->bus == DISK_ATA)
		r = disks_add_ata(d, env, &disk);
	else
		r = disks_add_virtio(d, env, &disk);
	d->nr++;
	if (!r)
		return 0;
	disk_close(&disk);
	log_error(0, "cannot create the disk \"%s\": %s", config->path,
		  strerror(-r));
	return STATUS_HOST;
}

int disks_create(struct disks *d, const struct disks_env *env,
		 const struct disk_config *configs, unsigned nr)
{
	int r = 0;

	d->vm = env->vm;
	d->msi = (struct msi_sink){ disks_send_msi, d };
	for (unsigned i = 0; i < nr && !r; i++)
		r = disks_add(d, env, &configs[i]);
	return r;
}

void disks_free(struct disks *d)
{
	for (unsigned i = 0; i < d->nr; i++)
		blk_free(d->disk[i].blk);
	ide_free(d->ide);
	d->ide = NULL;
	d->nr = 0;
}

/* Open Firmware's paths; "HALT": nothing else is tried. */
int disks_tell(const struct disks *d, struct fwcfg *fwcfg)
{
	char order[64 * DISKS_MAX];
	size_t len = 0;

	for (unsigned i = 0; i < d->nr; i++) {
		const struct blk *blk = d->disk[i].blk;
		unsigned ata = d->disk[i].ata;
		char *to = order + len;
		size_t room = sizeof(order) - len;

		if (blk)
			len += snprintf(to, room,
					"/pci@i0cf8/scsi@%x/disk@0,0\n",
					blk_slot(blk));
		else
			len += snprintf(to, room,
					"/pci@i0cf8/ide@1,1/drive@%x/disk@%x\n",
					ata / 2, ata % 2);
	}
	len += snprintf(order + len, sizeof(order) - len, "HALT");
	return fwcfg_add_file(fwcfg, "bootorder", order, len + 1);
}
