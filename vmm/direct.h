#pragma once

#include <stddef.h>

/*
 * Direct execution of guest user code (docs/direct.md), which the engine
 * decides on by the environment variable RING3_DIRECT.
 */
#define DIRECT_VARIABLE "RING3_DIRECT"

/*
 * direct_set - asks for @mode, or with NULL for what the environment says:
 * auto, off or always.  0, or STATUS_USAGE after a message.
 */
int direct_set(const char *mode);

/* direct_mode - what has been asked for, or "auto". */
const char *direct_mode(void);

/*
 * direct_why - whether the host allows it: 0, or -errno and in @text why not
 * and what to do.
 */
int direct_why(char *text, size_t size);

/* direct_check - 0, or -1 after a message: it is to be always, and cannot. */
int direct_check(void);
