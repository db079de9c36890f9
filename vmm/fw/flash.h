#pragma once

#include <pthread.h>

#include "vmm/bus.h"
#include "vmm/slots.h"

/*
 * A flash chip with the Intel command set, 8 bits wide, in blocks of 4 KiB: the
 * store of UEFI's variables.  What is written to it is written to its file.
 * Source: "Common Flash Memory Interface", as far as OVMF drives it.
 */
#define FLASH_BLOCK 4096

struct flash {
	pthread_mutex_t lock;
	struct slots *slots;
	gpa_t gpa;
	uint8_t *data;
	uint64_t size;
	uint8_t mode; /* the command whose data or status is read */
	bool expects; /* the next write is the command's second cycle */
	uint8_t status;
};

/*
 * flash_init - the file @path, which ends where the guest-physical address @end
 * starts; prints and returns -errno.
 */
int flash_init(struct flash *f, const char *path, gpa_t end,
	       struct slots *slots, struct bus *mmio);
void flash_free(struct flash *f);
