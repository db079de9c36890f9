#include "irqchip/pic.h"

#include "test/unit/mock_irqchip.h"

static void out(uint16_t port, uint8_t v)
{
	CHECK(irqchip_pio_write(mock_chip, port, 1, v));
}

static uint8_t in(uint16_t port)
{
	uint32_t v = 0;

	CHECK(irqchip_pio_read(mock_chip, port, 1, &v));
	return (uint8_t)v;
}

static int line(uint32_t gsi, bool level)
{
	return irqchip_set_irq(mock_chip, gsi, IRQ_SOURCE_USER, level);
}

static void pulse(uint32_t gsi)
{
	line(gsi, true);
	line(gsi, false);
}

static int take(void)
{
	return irqchip_take_irq(mock_cpus[0].lapic);
}

static bool waits(void)
{
	return irqchip_has_irq(mock_cpus[0].lapic);
}

/* As Linux's init_8259A: vectors 30H and 38H. */
static void create(uint8_t icw4)
{
	mock_create(IRQCHIP_FULL);
	out(0x20, 0x11);
	out(0x21, 0x30);
	out(0x21, 0x04);
	out(0x21, icw4);
	out(0xa0, 0x11);
	out(0xa1, 0x38);
	out(0xa1, 0x02);
	out(0xa1, icw4);
	out(0x21, 0x00);
	out(0xa1, 0x00);
}

static void test_basic(void)
{
	create(0x01);
	CHECK(!waits());
	pulse(1);
	CHECK_EQ(mock_cpus[0].kicks, 1);
	CHECK(waits());
	CHECK_EQ(in(0x20), 0x02); /* IRR */
	CHECK_EQ(take(), 0x31);
	out(0x20, 0x0b);
	CHECK_EQ(in(0x20), 0x02); /* ISR */
	/* Lower ones wait, higher ones do not. */
	pulse(4);
	CHECK(!waits());
	pulse(0);
	CHECK_EQ(take(), 0x30);
	out(0x20, 0x20);
	CHECK(!waits());
	out(0x20, 0x20);
	CHECK_EQ(take(), 0x34);
	out(0x20, 0x64); /* specific EOI */
	CHECK_EQ(in(0x20), 0);
	/* Masks. */
	out(0x21, 0x08);
	CHECK_EQ(in(0x21), 0x08);
	CHECK_EQ(line(3, true), -1);
	CHECK(!waits());
	out(0x21, 0x00);
	CHECK_EQ(take(), 0x33);
	line(3, false);
	mock_destroy();
}

static void test_cascade(void)
{
	create(0x01);
	pulse(14);
	CHECK_EQ(take(), 0x3e);
	out(0x20, 0x0b);
	out(0xa0, 0x0b);
	CHECK_EQ(in(0x20), 0x04);
	CHECK_EQ(in(0xa0), 0x40);
	pulse(8); /* higher, but the master does not see past IRQ 2 */
	CHECK(!waits());
	out(0xa0, 0x20);
	out(0x20, 0x20);
	CHECK_EQ(take(), 0x38);
	/* Special fully nested: it does. */
	out(0xa0, 0x20);
	out(0x20, 0x20);
	mock_destroy();
	create(0x11);
	pulse(14);
	CHECK_EQ(take(), 0x3e);
	pulse(8);
	CHECK_EQ(take(), 0x38);
	mock_destroy();
}

static void test_spurious(void)
{
	create(0x01);
	/* A level-triggered line drops before the acknowledge cycle. */
	out(0x4d0, 0xff);
	CHECK_EQ(in(0x4d0), 0xf8);
	out(0x4d1, 0xff);
	CHECK_EQ(in(0x4d1), 0xde);
	line(11, true);
	CHECK(waits());
	line(11, false);
	CHECK_EQ(take(), 0x3f); /* slave's IRQ 7 */
	out(0xa0, 0x0b);
	CHECK_EQ(in(0xa0), 0x00);
	out(0x20, 0x20);
	CHECK(!waits());
	mock_destroy();
}

static void test_level(void)
{
	create(0x01);
	out(0x4d0, 0x20);
	CHECK_EQ(line(5, true), 1);
	CHECK_EQ(line(5, true), 0);
	CHECK_EQ(take(), 0x35);
	CHECK(!waits());
	out(0x20, 0x20);
	CHECK_EQ(take(), 0x35); /* still high */
	line(5, false);
	out(0x20, 0x20);
	CHECK(!waits());
	/* Edge mode: a line that stays high is one interrupt. */
	CHECK_EQ(line(6, true), 1);
	CHECK_EQ(line(6, true), 0);
	CHECK_EQ(take(), 0x36);
	out(0x20, 0x20);
	CHECK(!waits());
	line(6, false);
	line(6, true);
	CHECK(waits());
	mock_destroy();
}

static void test_auto_eoi_rotation(void)
{
	create(0x03);
	pulse(3);
	CHECK_EQ(take(), 0x33);
	out(0x20, 0x0b);
	CHECK_EQ(in(0x20), 0);
	mock_destroy();

	create(0x01);
	out(0x20, 0xc3); /* IRQ 3 becomes the lowest, 4 the highest */
	pulse(3);
	pulse(4);
	CHECK_EQ(take(), 0x34);
	out(0x20, 0xa0); /* rotate on EOI: now 4 is the lowest */
	pulse(4);
	pulse(5);
	CHECK_EQ(take(), 0x35);
	out(0x20, 0x20);
	CHECK_EQ(take(), 0x33);
	mock_destroy();
}

static void test_special_mask(void)
{
	create(0x01);
	pulse(1);
	CHECK_EQ(take(), 0x31);
	pulse(6);
	CHECK(!waits());
	out(0x21, 0x02);
	CHECK(!waits());
	out(0x20, 0x68);
	CHECK_EQ(take(), 0x36);
	mock_destroy();
}

static void test_poll(void)
{
	create(0x01);
	pulse(6);
	out(0x20, 0x0c);
	CHECK_EQ(in(0x20), 0x86);
	out(0x20, 0x0b);
	CHECK_EQ(in(0x20), 0x40);
	out(0x20, 0x20);
	out(0x20, 0x0c);
	CHECK_EQ(in(0x20) & 0x80, 0);
	mock_destroy();
}

/* LINT0 decides whether the processor listens. */
static void test_lint0(void)
{
	create(0x01);
	pulse(1);
	CHECK(waits());
	mock_enable(0);
	mock_write(0, 0x350, 0x10700);
	CHECK(!waits());
	CHECK_EQ(take(), -1);
	mock_write(0, 0x350, 0x700);
	/* ExtINT goes before the local APIC's own. */
	irqchip_send_msi(mock_chip, 0xfee00000, 0, 0xf0);
	CHECK_EQ(take(), 0x31);
	CHECK_EQ(take(), 0xf0);
	mock_destroy();
}

static void test_state_and_acks(void)
{
	struct pic_state s;

	create(0x01);
	CHECK_EQ(irqchip_watch_ack(mock_chip, 5, true), 0);
	CHECK_EQ(irqchip_watch_ack(mock_chip, 10, true), 0);
	pulse(5);
	pulse(10);
	irqchip_get_pic(mock_chip, true, &s);
	CHECK_EQ(s.irr, 0x04);
	CHECK_EQ(s.irq_base, 0x38);
	CHECK_EQ(take(), 0x3a);
	CHECK_EQ(mock_acks[10], 0);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	CHECK_EQ(mock_acks[10], 1);
	CHECK_EQ(mock_acks[5], 0);
	irqchip_set_pic(mock_chip, true, &s);
	CHECK_EQ(take(), 0x3a);
	mock_destroy();
}

int main(void)
{
	test_basic();
	test_cascade();
	test_spurious();
	test_level();
	test_auto_eoi_rotation();
	test_special_mask();
	test_poll();
	test_lint0();
	test_state_and_acks();
	return test_done();
}
