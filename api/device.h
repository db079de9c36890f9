#pragma once

/* device_create - KVM_CREATE_DEVICE: ioctl handler on a VM. */
int device_create(void *object, void *arg, void *user);
