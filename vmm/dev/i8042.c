#include "vmm/dev/i8042.h"

#include <pthread.h>
#include <stdlib.h>

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SYSTEM	   0x04
#define STATUS_COMMAND	   0x08
#define STATUS_UNLOCKED	   0x10
#define STATUS_TIMEOUT	   0x40

#define CTR_KBD_IRQ   0x01
#define CTR_SYSTEM    0x04
#define CTR_KBD_OFF   0x10
#define CTR_AUX_OFF   0x20
#define CTR_TRANSLATE 0x40

#define OUTPORT_NO_RESET 0x01
#define OUTPORT_A20	 0x02

/* What the keyboard line "answers" when nothing is plugged in. */
#define KBD_RESEND 0xfe

struct i8042 {
	pthread_mutex_t lock;
	struct irq_line irq;
	struct power *power;
	uint8_t ctr, outport, out, status;
	uint8_t command; /* whose data byte is to come on port 0x60, or 0 */
};

static void i8042_update(struct i8042 *k)
{
	irq_line_set(&k->irq, (k->status & STATUS_OUTPUT_FULL) &&
				      (k->ctr & CTR_KBD_IRQ));
}

static void i8042_answer(struct i8042 *k, uint8_t val, uint8_t flags)
{
	k->out = val;
	k->status &= ~STATUS_TIMEOUT;
	k->status |= STATUS_OUTPUT_FULL | flags;
	i8042_update(k);
}

static void i8042_command(struct i8042 *k, uint8_t val)
{
	k->status |= STATUS_COMMAND;
	k->command = 0;
	switch (val) {
	case 0x20:
		i8042_answer(k, k->ctr, 0);
		break;
	case 0x60: /* write the command byte */
	case 0xd1: /* write the output port */
	case 0xd2: /* feign a key */
	case 0xd3: /* feign a mouse byte */
	case 0xd4: /* to the mouse */
		k->command = val;
		break;
	case 0xa7:
		k->ctr |= CTR_AUX_OFF;
		break;
	case 0xa8:
		k->ctr &= ~CTR_AUX_OFF;
		break;
	case 0xa9:
		i8042_answer(k, 0x01, 0); /* clock line stuck: no mouse port */
		break;
	case 0xaa:
		k->status |= STATUS_SYSTEM;
		i8042_answer(k, 0x55, 0); /* self-test passed */
		break;
	case 0xab:
		i8042_answer(k, 0x00, 0); /* keyboard line works */
		break;
	case 0xad:
		k->ctr |= CTR_KBD_OFF;
		break;
	case 0xae:
		k->ctr &= ~CTR_KBD_OFF;
		break;
	case 0xc0:
		i8042_answer(k, 0x80, 0); /* keyboard not locked */
		break;
	case 0xd0:
		i8042_answer(k, k->outport, 0);
		break;
	case 0xf0 ... 0xff: /* pulse the output port's bits that are 0 */
		if (!(val & OUTPORT_NO_RESET))
			power_reset(k->power);
		break;
	}
}

static void i8042_data(struct i8042 *k, uint8_t val)
{
	uint8_t command = k->command;

	k->command = 0;
	k->status &= ~STATUS_COMMAND;
	switch (command) {
	case 0x60:
		k->ctr = val;
		i8042_update(k);
		break;
	case 0xd1:
		if (!(val & OUTPORT_NO_RESET))
			power_reset(k->power);
		k->outport = val;
		break;
	case 0xd2:
	case 0xd3: /* no mouse port: the byte comes back as the keyboard's */
		i8042_answer(k, val, 0);
		break;
	case 0: /* to the keyboard */
	case 0xd4:
		i8042_answer(k, KBD_RESEND, STATUS_TIMEOUT);
		break;
	}
}

static uint64_t i8042_read_data(void *dev, uint64_t offset, unsigned len)
{
	struct i8042 *k = dev;
	uint8_t val;

	pthread_mutex_lock(&k->lock);
	val = k->out;
	k->status &= ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
	i8042_update(k);
	pthread_mutex_unlock(&k->lock);
	return val;
}

static uint64_t i8042_read_status(void *dev, uint64_t offset, unsigned len)
{
	struct i8042 *k = dev;
	uint8_t val;

	pthread_mutex_lock(&k->lock);
	val = k->status;
	pthread_mutex_unlock(&k->lock);
	return val;
}

static void i8042_write_data(void *dev, uint64_t offset, unsigned len,
			     uint64_t val)
{
	struct i8042 *k = dev;

	pthread_mutex_lock(&k->lock);
	i8042_data(k, val);
	pthread_mutex_unlock(&k->lock);
}

static void i8042_write_command(void *dev, uint64_t offset, unsigned len,
				uint64_t val)
{
	struct i8042 *k = dev;

	pthread_mutex_lock(&k->lock);
	i8042_command(k, val);
	pthread_mutex_unlock(&k->lock);
}

static const struct bus_ops data_ops = {
	.name = "i8042 data",
	.read = i8042_read_data,
	.write = i8042_write_data,
	.max_len = 1,
};

static const struct bus_ops command_ops = {
	.name = "i8042 command",
	.read = i8042_read_status,
	.write = i8042_write_command,
	.max_len = 1,
};

struct i8042 *i8042_new(struct bus *pio, const struct irq_sink *irq,
			struct power *power)
{
	struct i8042 *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	pthread_mutex_init(&k->lock, NULL);
	k->irq = (struct irq_line){ irq, 1, false };
	k->power = power;
	k->ctr = CTR_KBD_IRQ | CTR_SYSTEM | CTR_TRANSLATE;
	k->outport = OUTPORT_NO_RESET | OUTPORT_A20;
	k->status = STATUS_SYSTEM | STATUS_UNLOCKED;
	if (bus_add(pio, 0x60, 1, &data_ops, k) == 0 &&
	    bus_add(pio, 0x64, 1, &command_ops, k) == 0)
		return k;
	free(k);
	return NULL;
}

void i8042_free(struct i8042 *k)
{
	free(k);
}
