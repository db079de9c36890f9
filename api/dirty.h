#pragma once

#include "api/object.h"

/* The dirty log: ioctl handlers on a VM. */
int dirty_get(void *object, void *arg, void *user);
int dirty_clear(void *object, void *arg, void *user);

/* dirty_is_logged - whether slot @id exists and logs. */
bool dirty_is_logged(struct api_vm *avm, uint32_t id);

/* dirty_log_started - slot @id logs from now on: the log's initial contents. */
void dirty_log_started(struct api_vm *avm, uint32_t id);
