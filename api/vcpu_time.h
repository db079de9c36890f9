#pragma once

/* A vCPU's TSC and kvmclock: ioctl handlers. */
int time_get_tsc_khz(void *object, void *arg, void *user);
int time_set_tsc_khz(void *object, void *arg, void *user);
int time_kvmclock_ctrl(void *object, void *arg, void *user);
int time_has_attr(void *object, void *arg, void *user);
int time_get_attr(void *object, void *arg, void *user);
int time_set_attr(void *object, void *arg, void *user);
