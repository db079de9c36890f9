#pragma once

#include "base/types.h"

/*
 * Values of options.  0 if @text is well formed, -EINVAL if not, -ERANGE if
 * it is a number that does not fit.
 */

/* opt_size - "128M", "8G", "4096K"; a bare number counts MiB. */
int opt_size(const char *text, uint64_t *bytes);

/* opt_uint - decimal, or hexadecimal with 0x, up to @max. */
int opt_uint(const char *text, uint64_t max, uint64_t *val);

/*
 * opt_disk - "FILE[,ro][,format=raw][,if=virtio|ata]"; @text is cut into
 * pieces.  -EINVAL, and what is not understood in @bad.
 */
struct disk_config;
int opt_disk(char *text, struct disk_config *disk, const char **bad);
