#pragma once

/* Debug registers and debuggers: ioctl handlers on a vCPU. */
int debug_get_regs(void *object, void *arg, void *user);
int debug_set_regs(void *object, void *arg, void *user);
int debug_set_guest(void *object, void *arg, void *user);
int debug_translate(void *object, void *arg, void *user);
