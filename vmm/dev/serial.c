#include "vmm/dev/serial.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Registers, as offsets from the base port ("PC16550D" data sheet). */
enum {
	REG_DATA,
	REG_IER,
	REG_IIR_FCR,
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCR
};

#define IER_RX	  0x01
#define IER_THRE  0x02
#define IER_LINE  0x04
#define IER_MODEM 0x08

#define IIR_NONE    0x01
#define IIR_MODEM   0x00
#define IIR_THRE    0x02
#define IIR_RX	    0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02

#define LCR_DLAB 0x80

#define MCR_OUT2 0x08
#define MCR_LOOP 0x10

#define LSR_DATA      0x01
#define LSR_OVERRUN   0x02
#define LSR_BREAK     0x10
#define LSR_ERRORS    0x1e
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE      0x40

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI	0x40
#define MSR_DCD 0x80

#define FIFO_SIZE    16
#define BACKLOG_SIZE 4096

struct serial {
	pthread_mutex_t lock;
	struct irq_line irq;
	void (*send)(void *arg, uint8_t byte);
	void *arg;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t lsr_errors, msr_delta;
	bool thre_pending;
	uint8_t fifo[FIFO_SIZE];
	unsigned fifo_len;
	uint8_t backlog[BACKLOG_SIZE]; /* ring */
	unsigned backlog_head, backlog_len;
};

static const uint8_t trigger_levels[4] = { 1, 4, 8, 14 };

static unsigned serial_fifo_size(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

/* The line is cut off while the port is looped back to itself. */
static void serial_refill(struct serial *s)
{
	if (s->mcr & MCR_LOOP)
		return;
	while (s->backlog_len && s->fifo_len < serial_fifo_size(s)) {
		s->fifo[s->fifo_len++] = s->backlog[s->backlog_head];
		s->backlog_head = (s->backlog_head + 1) % BACKLOG_SIZE;
		s->backlog_len--;
	}
}

/* Modem inputs: a connected peer, or our own outputs when looped back. */
static uint8_t serial_modem(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (s->mcr & 0x01 ? MSR_DSR : 0) | (s->mcr & 0x02 ? MSR_CTS : 0) |
	       (s->mcr & 0x04 ? MSR_RI : 0) | (s->mcr & 0x08 ? MSR_DCD : 0);
}

/* The interrupt of highest priority; the data sheet's table of IIR. */
static uint8_t serial_iir(const struct serial *s)
{
	unsigned trigger = 1;

	if (s->fcr & FCR_ENABLE)
		trigger = trigger_levels[s->fcr >> 6];
	if ((s->ier & IER_LINE) && s->lsr_errors)
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->fifo_len >= trigger)
		return IIR_RX;
	/* The character timeout of four characters passes at once. */
	if ((s->ier & IER_RX) && s->fifo_len)
		return IIR_TIMEOUT;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MODEM) && s->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void serial_update(struct serial *s)
{
	bool connected = (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

	serial_refill(s);
	irq_line_set(&s->irq, connected && serial_iir(s) != IIR_NONE);
}

static uint8_t serial_read_data(struct serial *s)
{
	uint8_t byte = s->fifo[0];

	if (!s->fifo_len)
		return 0;
	memmove(s->fifo, s->fifo + 1, --s->fifo_len);
	return byte;
}

static uint8_t serial_read_iir(struct serial *s)
{
	uint8_t iir = serial_iir(s);

	if (iir == IIR_THRE)
		s->thre_pending = false;
	return iir | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t serial_read_lsr(struct serial *s)
{
	uint8_t lsr = s->lsr_errors | LSR_THR_EMPTY | LSR_IDLE;

	if (s->fifo_len)
		lsr |= LSR_DATA;
	s->lsr_errors = 0;
	return lsr;
}

static uint8_t serial_read_msr(struct serial *s)
{
	uint8_t msr = serial_modem(s) | s->msr_delta;

	s->msr_delta = 0;
	return msr;
}

static uint8_t serial_read_reg(struct serial *s, unsigned reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? s->dll : serial_read_data(s);
	case REG_IER:
		return dlab ? s->dlm : s->ier;
	case REG_IIR_FCR:
		return serial_read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return serial_read_lsr(s);
	case REG_MSR:
		return serial_read_msr(s);
	default:
		return s->scr;
	}
}

static uint64_t serial_read(void *dev, uint64_t offset, unsigned len)
{
	struct serial *s = dev;
	uint8_t val;

	pthread_mutex_lock(&s->lock);
	val = serial_read_reg(s, offset);
	serial_update(s);
	pthread_mutex_unlock(&s->lock);
	return val;
}

static void serial_write_data(struct serial *s, uint8_t val)
{
	s->thre_pending = true;
	if (!(s->mcr & MCR_LOOP))
		s->send(s->arg, val);
	else if (s->fifo_len < serial_fifo_size(s))
		s->fifo[s->fifo_len++] = val;
	else
		s->lsr_errors |= LSR_OVERRUN;
}

static void serial_write_ier(struct serial *s, uint8_t val)
{
	/* Enabling the interrupt with an empty register raises it. */
	if ((val & IER_THRE) && !(s->ier & IER_THRE))
		s->thre_pending = true;
	s->ier = val & 0x0f;
}

static void serial_write_fcr(struct serial *s, uint8_t val)
{
	if ((val & FCR_CLEAR_RX) || ((val ^ s->fcr) & FCR_ENABLE))
		s->fifo_len = 0;
	s->fcr = val & FCR_ENABLE ? val & 0xc9 : 0;
}

static void serial_write_mcr(struct serial *s, uint8_t val)
{
	uint8_t before = serial_modem(s), change;

	s->mcr = val & 0x1f;
	change = before ^ serial_modem(s);
	/* The ring indicator counts only when it goes away. */
	change &= ~(MSR_RI & ~before);
	s->msr_delta |= change >> 4;
}

static void serial_write_reg(struct serial *s, unsigned reg, uint8_t val)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->dll = val;
		else
			serial_write_data(s, val);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = val;
		else
			serial_write_ier(s, val);
		break;
	case REG_IIR_FCR:
		serial_write_fcr(s, val);
		break;
	case REG_LCR:
		s->lcr = val;
		break;
	case REG_MCR:
		serial_write_mcr(s, val);
		break;
	case REG_SCR:
		s->scr = val;
		break;
	}
}

static void serial_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct serial *s = dev;

	pthread_mutex_lock(&s->lock);
	serial_write_reg(s, offset, val);
	serial_update(s);
	pthread_mutex_unlock(&s->lock);
}

static const struct bus_ops serial_ops = {
	.name = "serial",
	.read = serial_read,
	.write = serial_write,
	.max_len = 1,
};

struct serial *serial_new(struct bus *pio, const struct irq_sink *irq,
			  void (*send)(void *arg, uint8_t byte), void *arg)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->irq = (struct irq_line){ irq, SERIAL_COM1_IRQ, false };
	s->send = send;
	s->arg = arg;
	s->dll = 1; /* 115200 baud */
	if (bus_add(pio, SERIAL_COM1_PORT, 8, &serial_ops, s) == 0)
		return s;
	free(s);
	return NULL;
}

void serial_free(struct serial *s)
{
	free(s);
}

unsigned serial_room(void *serial)
{
	struct serial *s = serial;
	unsigned room;

	pthread_mutex_lock(&s->lock);
	room = BACKLOG_SIZE - s->backlog_len;
	pthread_mutex_unlock(&s->lock);
	return room;
}

void serial_receive(void *serial, const uint8_t *data, unsigned len)
{
	struct serial *s = serial;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < len && s->backlog_len < BACKLOG_SIZE; i++) {
		unsigned tail = s->backlog_head + s->backlog_len++;

		s->backlog[tail % BACKLOG_SIZE] = data[i];
	}
	serial_update(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_send_break(void *serial)
{
	struct serial *s = serial;

	pthread_mutex_lock(&s->lock);
	s->lsr_errors |= LSR_BREAK;
	if (s->fifo_len < serial_fifo_size(s))
		s->fifo[s->fifo_len++] = 0;
	serial_update(s);
	pthread_mutex_unlock(&s->lock);
}
