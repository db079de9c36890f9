#include "vmm/dev/testdev.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PORT_REG   0xe0 /* 4 bytes of storage */
#define PORT_FLUSH 0xe4 /* drop a page's host mapping and restore it */
#define PORT_REG2  0xe8 /* the same storage; the console in it */
#define CONSOLE	   (DEBUGCON_PORT - PORT_REG2)
#define PORT_LINES 0x2000 /* one port an interrupt line: its level */
#define NR_LINES   24
#define MMIO_BASE  0xff000000
#define MMIO_SIZE  0x10000

struct testdev {
	pthread_mutex_t lock;
	const struct ram *ram;
	struct debugcon *console;
	uint8_t reg[4];
	struct irq_line lines[NR_LINES];
	uint8_t mem[MMIO_SIZE];
};

static uint64_t testdev_load(struct testdev *t, const uint8_t *p, unsigned len)
{
	uint64_t val = 0;

	pthread_mutex_lock(&t->lock);
	memcpy(&val, p, len);
	pthread_mutex_unlock(&t->lock);
	return val;
}

static void testdev_store(struct testdev *t, uint8_t *p, unsigned len,
			  uint64_t val)
{
	pthread_mutex_lock(&t->lock);
	memcpy(p, &val, len);
	pthread_mutex_unlock(&t->lock);
}

static uint64_t testdev_read_reg(void *dev, uint64_t offset, unsigned len)
{
	struct testdev *t = dev;

	return testdev_load(t, t->reg + offset, len);
}

static void testdev_write_reg(void *dev, uint64_t offset, unsigned len,
			      uint64_t val)
{
	struct testdev *t = dev;

	testdev_store(t, t->reg + offset, len, val);
}

static uint64_t testdev_read_reg2(void *dev, uint64_t offset, unsigned len)
{
	if (offset == CONSOLE && len == 1)
		return DEBUGCON_PORT;
	return testdev_read_reg(dev, offset, len);
}

static void testdev_write_reg2(void *dev, uint64_t offset, unsigned len,
			       uint64_t val)
{
	struct testdev *t = dev;

	if (offset == CONSOLE && len == 1)
		debugcon_send(t->console, val);
	else
		testdev_write_reg(dev, offset, len, val);
}

static uint64_t testdev_read_mem(void *dev, uint64_t offset, unsigned len)
{
	struct testdev *t = dev;

	return testdev_load(t, t->mem + offset, len);
}

static void testdev_write_mem(void *dev, uint64_t offset, unsigned len,
			      uint64_t val)
{
	struct testdev *t = dev;

	testdev_store(t, t->mem + offset, len, val);
}

static void testdev_flush(void *dev, uint64_t offset, unsigned len,
			  uint64_t val)
{
	struct testdev *t = dev;
	void *page = ram_ptr(t->ram, val & PAGE_MASK, PAGE_SIZE);

	if (!page)
		return;
	mprotect(page, PAGE_SIZE, PROT_NONE);
	mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static void testdev_line(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct testdev *t = dev;

	pthread_mutex_lock(&t->lock);
	irq_line_set(&t->lines[offset], val & 0xff);
	pthread_mutex_unlock(&t->lock);
}

static const struct bus_ops reg_ops = {
	.name = "test register",
	.read = testdev_read_reg,
	.write = testdev_write_reg,
	.max_len = 4,
};

static const struct bus_ops reg2_ops = {
	.name = "test register",
	.read = testdev_read_reg2,
	.write = testdev_write_reg2,
	.max_len = 4,
};

static const struct bus_ops flush_ops = {
	.name = "test flush",
	.write = testdev_flush,
	.max_len = 4,
};

static const struct bus_ops line_ops = {
	.name = "test irq lines",
	.write = testdev_line,
	.max_len = 1,
};

static const struct bus_ops mem_ops = {
	.name = "test memory",
	.read = testdev_read_mem,
	.write = testdev_write_mem,
	.max_len = 8,
};

struct testdev *testdev_new(struct bus *pio, struct bus *mmio,
			    const struct irq_sink *irq, const struct ram *ram,
			    struct debugcon *console)
{
	struct testdev *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->ram = ram;
	t->console = console;
	for (unsigned i = 0; i < NR_LINES; i++)
		t->lines[i] = (struct irq_line){ irq, i, false };
	if (bus_add(pio, PORT_REG, 4, &reg_ops, t) == 0 &&
	    bus_add(pio, PORT_FLUSH, 4, &flush_ops, t) == 0 &&
	    bus_add(pio, PORT_REG2, 4, &reg2_ops, t) == 0 &&
	    bus_add(pio, PORT_LINES, NR_LINES, &line_ops, t) == 0 &&
	    bus_add(mmio, MMIO_BASE, MMIO_SIZE, &mem_ops, t) == 0)
		return t;
	free(t);
	return NULL;
}

void testdev_free(struct testdev *t)
{
	free(t);
}
