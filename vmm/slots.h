#pragma once

#include <pthread.h>

#include "vmm/kvmfd.h"
#include "vmm/ram.h"

/*
 * KVM's memory slots: guest memory that is read, and unless read-only also
 * written, without an exit.  Slots change while vCPUs run: any thread.
 */
enum {
	SLOT_RAM,			       /* up to RAM_REGIONS_MAX */
	SLOT_ROM = SLOT_RAM + RAM_REGIONS_MAX, /* firmware below 4 GiB */
	SLOT_FLASH,			       /* its variables */
	SLOT_SHADOW, /* 13 pieces of 768 KiB to 1 MiB */
	SLOTS = SLOT_SHADOW + 13,
};

struct slots {
	const struct kvmfd *vm;
	pthread_mutex_t lock;
	bool set[SLOTS];
};

void slots_init(struct slots *s, const struct kvmfd *vm);

/*
 * slots_set - map @size bytes at @hva to @gpa, instead of what the slot mapped
 * before; @size 0 unmaps.  0 or -errno.
 */
enum slot_kind { SLOT_WRITABLE, SLOT_READONLY };
int slots_set(struct slots *s, unsigned slot, gpa_t gpa, uint64_t size,
	      void *hva, enum slot_kind kind);
