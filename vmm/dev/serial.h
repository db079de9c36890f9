#pragma once

#include "vmm/bus.h"
#include "vmm/irq.h"

/*
 * A 16550A at a base port, 8 ports wide.  Bytes leave at once; bytes that
 * arrive wait behind the 16-byte FIFO that the guest sees.
 */
#define SERIAL_COM1_PORT 0x3f8
#define SERIAL_COM1_IRQ	 4

struct serial;

struct serial *serial_new(struct bus *pio, const struct irq_sink *irq,
			  void (*send)(void *arg, uint8_t byte), void *arg);
void serial_free(struct serial *s);

/* serial_room - how many bytes serial_receive() takes now; any thread. */
unsigned serial_room(void *serial);

/* serial_receive - bytes from the line; what exceeds the room is lost. */
void serial_receive(void *serial, const uint8_t *data, unsigned len);

/* serial_send_break - a break condition on the line. */
void serial_send_break(void *serial);
