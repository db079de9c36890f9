#pragma once

#include "vmm/boot/acpi.h"
#include "vmm/dev/fwcfg.h"

/*
 * loader_tell - the ACPI tables as files for firmware to place, and the list of
 * commands by which it does so: "etc/table-loader".  0 or -errno.
 */
int loader_tell(struct fwcfg *fwcfg, const struct machine *m);
