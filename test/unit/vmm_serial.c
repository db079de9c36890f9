#include <string.h>

#include "test/test.h"
#include "vmm/dev/serial.h"

#define DATA 0
#define IER  1
#define IIR  2
#define FCR  2
#define LCR  3
#define MCR  4
#define LSR  5
#define MSR  6
#define SCR  7

static struct bus pio;
static struct serial *serial;
static char sent[256];
static unsigned nr_sent;
static bool level;
static unsigned edges;

static void set_irq(void *arg, unsigned gsi, bool on)
{
	CHECK_EQ(gsi, 4);
	edges += on;
	level = on;
}

static const struct irq_sink irq = { set_irq, NULL };

static void send(void *arg, uint8_t byte)
{
	sent[nr_sent++ % sizeof(sent)] = byte;
}

static uint8_t in(unsigned reg)
{
	uint8_t val;

	bus_read(&pio, SERIAL_COM1_PORT + reg, &val, 1);
	return val;
}

static void out(unsigned reg, uint8_t val)
{
	bus_write(&pio, SERIAL_COM1_PORT + reg, &val, 1);
}

static void setup(void)
{
	memset(&pio, 0, sizeof(pio));
	nr_sent = edges = 0;
	level = false;
	serial = serial_new(&pio, &irq, send, NULL);
}

static void type(const char *text)
{
	serial_receive(serial, (const uint8_t *)text, strlen(text));
}

static void test_polled_output(void)
{
	setup();
	for (const char *p = "hello"; *p; p++) {
		CHECK(in(LSR)&0x20);
		out(DATA, *p);
	}
	CHECK_EQ(nr_sent, 5);
	CHECK(memcmp(sent, "hello", 5) == 0);
	CHECK(!level);
	serial_free(serial);
}

/* What Linux's 8250 driver asks to tell a 16550A. */
static void test_autoconfig(void)
{
	setup();
	out(IER, 0);
	CHECK_EQ(in(IER), 0);
	out(IER, 0x0f);
	CHECK_EQ(in(IER), 0x0f);
	out(IER, 0xff);
	CHECK_EQ(in(IER), 0x0f);
	out(IER, 0);
	out(MCR, 0x10 | 0x0a); /* loop back, OUT2 and RTS */
	CHECK_EQ(in(MSR)&0xf0, 0x90);
	out(MCR, 0);
	CHECK_EQ(in(MSR)&0xf0, 0xb0);
	out(FCR, 1);
	CHECK_EQ(in(IIR) >> 6, 3);
	out(FCR, 0);
	CHECK_EQ(in(IIR) >> 6, 0);
	out(SCR, 0x5a);
	CHECK_EQ(in(SCR), 0x5a);
	out(LCR, 0x83);
	out(DATA, 0x0c);
	out(IER, 0x01);
	CHECK_EQ(in(DATA), 0x0c);
	CHECK_EQ(in(IER), 0x01);
	out(LCR, 0x03);
	CHECK_EQ(in(IER), 0);
	CHECK_EQ(nr_sent, 0);
	serial_free(serial);
}

/* Linux's test for UARTs that forget the THR-empty interrupt. */
static void test_thre_interrupt(void)
{
	setup();
	out(MCR, 0x08);
	out(IER, 0x02);
	CHECK(level);
	CHECK_EQ(in(IIR), 0x02);
	CHECK(!level); /* reading IIR took it back */
	CHECK_EQ(in(IIR), 0x01);
	out(IER, 0);
	out(IER, 0x02);
	CHECK_EQ(in(IIR), 0x02); /* enabling it again raises it again */
	edges = 0;
	out(DATA, 'x');
	CHECK(level);
	CHECK_EQ(edges, 1);
	out(MCR, 0);
	CHECK(!level); /* OUT2 connects the line */
	serial_free(serial);
}

static void test_input(void)
{
	setup();
	out(MCR, 0x08);
	out(FCR, 0x81); /* FIFO, trigger at 8 */
	type("abc");
	CHECK(!level);
	CHECK(in(LSR)&1);
	out(IER, 1);
	CHECK(level);
	CHECK_EQ(in(IIR), 0xcc); /* below the trigger: timeout */
	type("defghijklmnopqrstuvwxyz");
	CHECK_EQ(in(IIR), 0xc4);
	for (char c = 'a'; c <= 'z'; c++) {
		CHECK(level);
		CHECK_EQ(in(DATA), c);
	}
	CHECK(!level);
	CHECK(!(in(LSR)&1));
	CHECK_EQ(in(IIR), 0xc1);
	serial_free(serial);
}

static void test_loopback(void)
{
	setup();
	out(FCR, 1);
	out(MCR, 0x10);
	type("lost");
	for (unsigned i = 0; i < 16; i++)
		out(DATA, i);
	CHECK(!(in(LSR)&0x02));
	out(DATA, 99);
	CHECK(in(LSR)&0x02); /* overrun */
	for (unsigned i = 0; i < 16; i++)
		CHECK_EQ(in(DATA), i);
	CHECK(!(in(LSR)&0x01)); /* the line is cut off */
	CHECK_EQ(nr_sent, 0);
	out(MCR, 0);
	CHECK_EQ(in(DATA), 'l');
	serial_free(serial);
}

static void test_backlog(void)
{
	static uint8_t big[5000];
	unsigned room;

	setup();
	room = serial_room(serial);
	CHECK(room >= 1024);
	serial_receive(serial, big, sizeof(big)); /* more than it takes */
	CHECK(serial_room(serial) <= 16);
	out(FCR, 3);
	while (in(LSR)&1)
		in(DATA);
	CHECK_EQ(serial_room(serial), room);
	serial_free(serial);
}

static void test_break(void)
{
	setup();
	out(MCR, 0x08);
	out(IER, 0x05);
	serial_send_break(serial);
	CHECK(level);
	CHECK_EQ(in(IIR), 0x06);
	CHECK_EQ(in(LSR)&0x11, 0x11);
	CHECK_EQ(in(LSR)&0x10, 0);
	CHECK_EQ(in(DATA), 0);
	CHECK(!level);
	serial_free(serial);
}

int main(void)
{
	test_polled_output();
	test_autoconfig();
	test_thre_interrupt();
	test_input();
	test_loopback();
	test_backlog();
	test_break();
	return test_done();
}
