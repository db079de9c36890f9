#include "vmm/fw/fwlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/log.h"

#define PORT	 0x402
#define PRESENCE 0xe9

struct fwlog {
	FILE *file;
};

static uint64_t fwlog_read(void *dev, uint64_t offset, unsigned len)
{
	return PRESENCE;
}

static void fwlog_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct fwlog *l = dev;

	putc((int)(val & 0xff), l->file);
}

static const struct bus_ops fwlog_ops = {
	.name = "firmware log",
	.read = fwlog_read,
	.write = fwlog_write,
	.max_len = 1,
};

struct fwlog *fwlog_new(struct bus *pio, const char *path)
{
	struct fwlog *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->file = fopen(path, "we");
	if (!l->file) {
		log_error(0, "cannot write --firmware-log \"%s\": %s", path,
			  strerror(errno));
		free(l);
		return NULL;
	}
	setvbuf(l->file, NULL, _IOLBF, 0);
	if (bus_add(pio, PORT, 1, &fwlog_ops, l) == 0)
		return l;
	fwlog_free(l);
	return NULL;
}

void fwlog_free(struct fwlog *l)
{
	if (l)
		fclose(l->file);
	free(l);
}
