#include "vmm/dev/debugcon.h"

#include <stdlib.h>

#include "vmm/status.h"

#define PORT_EXIT 0xf4

struct debugcon {
	const struct power_sink *sink;
	void (*send)(void *arg, uint8_t byte);
	void *arg;
};

void debugcon_send(struct debugcon *d, uint8_t byte)
{
	d->send(d->arg, byte);
}

static void debugcon_exit(void *dev, uint64_t offset, unsigned len,
			  uint64_t val)
{
	struct debugcon *d = dev;

	d->sink->end(d->sink->arg, STATUS_DEBUG_EXIT(val));
}

static const struct bus_ops exit_ops = {
	.name = "isa-debug-exit",
	.write = debugcon_exit,
	.max_len = 4,
};

struct debugcon *debugcon_new(struct bus *pio, const struct power_sink *sink,
			      void (*send)(void *arg, uint8_t byte), void *arg)
{
	struct debugcon *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	*d = (struct debugcon){ sink, send, arg };
	if (bus_add(pio, PORT_EXIT, 4, &exit_ops, d) == 0)
		return d;
	free(d);
	return NULL;
}

void debugcon_free(struct debugcon *d)
{
	free(d);
}
