#pragma once

#include "vmm/bus.h"

/*
 * The firmware configuration device at ports 0x510 and 0x511, as far as
 * guests without firmware ask it: number of CPUs and size of RAM.
 */
struct fwcfg;

struct fwcfg *fwcfg_new(struct bus *pio, unsigned nr_cpus, uint64_t ram_size);
void fwcfg_free(struct fwcfg *f);
