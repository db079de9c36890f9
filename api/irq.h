#pragma once

#include "api/object.h"

/* irq_create_split - KVM_CAP_SPLIT_IRQCHIP with @pins reserved GSIs. */
int irq_create_split(struct api_vm *avm, uint32_t pins);

/* Interrupt controllers: ioctl handlers on a VM. */
int irq_create_full(void *object, void *arg, void *user);
int irq_get_chip(void *object, void *arg, void *user);
int irq_set_chip(void *object, void *arg, void *user);
int irq_create_pit(void *object, void *arg, void *user);
int irq_get_pit(void *object, void *arg, void *user);
int irq_set_pit(void *object, void *arg, void *user);
int irq_get_pit2(void *object, void *arg, void *user);
int irq_set_pit2(void *object, void *arg, void *user);
int irq_reinject_control(void *object, void *arg, void *user);
int irq_line(void *object, void *arg, void *user);
int irq_set_routing(void *object, void *arg, void *user);
int irq_signal_msi(void *object, void *arg, void *user);
