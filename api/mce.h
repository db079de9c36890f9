#pragma once

/* Machine checks: ioctl handlers. */
int mce_get_cap(void *object, void *arg, void *user); /* system */
int mce_setup(void *object, void *arg, void *user);
int mce_inject(void *object, void *arg, void *user);
