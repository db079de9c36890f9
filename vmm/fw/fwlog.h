#pragma once

#include "vmm/bus.h"

/*
 * Port 0x402, where SeaBIOS and OVMF write what they do, as lines of a file.
 * They ask first whether it is there.
 */
struct fwlog;

/* fwlog_new - writes to @path; prints what fails, and NULL. */
struct fwlog *fwlog_new(struct bus *pio, const char *path);
void fwlog_free(struct fwlog *l);
