#pragma once

#include "api/object.h"

/* Coalesced MMIO and PIO: writes that wait in a ring for the next real exit. */
int coalesced_register(void *object, void *arg, void *user);
int coalesced_unregister(void *object, void *arg, void *user);

/* coalesced_write - whether the write went into the ring. */
bool coalesced_write(struct api_vm *avm, bool pio, uint64_t addr,
		     unsigned int len, const void *data);
