#pragma once

/* The VM's kvmclock: ioctl handlers. */
int vm_get_clock(void *object, void *arg, void *user);
int vm_set_clock(void *object, void *arg, void *user);
