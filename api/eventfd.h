#pragma once

#include "api/object.h"

/* irqfd and ioeventfd: ioctl handlers on a VM. */
int irqfd(void *object, void *arg, void *user);
int ioeventfd(void *object, void *arg, void *user);

/* ioeventfd_write - whether a guest write hit an ioeventfd (and signalled it).
 */
bool ioeventfd_write(struct api_vm *avm, bool pio, uint64_t addr,
		     unsigned int len, const void *data);

/* irqfd_ack - vm_ops.irq_ack: signals the resamplers of @gsi. */
void irqfd_ack(void *owner, uint32_t gsi);

int eventfds_create(struct api_vm *avm) __must_check;
void eventfds_destroy(struct api_vm *avm);
