/*
 * A program that has the timer and the interrupt controller for itself, as
 * games do.  Sources: data sheets of the 8254 and the 8259A.  Nothing here
 * depends on how soon the program runs.
 */
#include "test/guest/bios16/bios16.h"

#define PIT_HZ	  1193182u
#define PIC_CMD	  0x20
#define PIC_DATA  0x21
#define PIT_CMD	  0x43
#define PIT_DATA0 0x40
#define BDA_TICKS (*(volatile u32 *)0x46c)

extern volatile u32 ticks_seen;
extern u32 old_tick;
void tick_count(void);
void tick_chain(void);

static void set_base(u8 vector)
{
	u8 mask = inb(PIC_DATA);

	outb(PIC_CMD, 0x11);
	outb(PIC_DATA, vector);
	outb(PIC_DATA, 4);
	outb(PIC_DATA, 1);
	outb(PIC_DATA, mask);
}

static void set_timer(u8 mode, u16 count)
{
	outb(PIT_CMD, 0x30 | mode << 1);
	outb(PIT_DATA0, count & 0xff);
	outb(PIT_DATA0, count >> 8);
}

static u16 read_timer(void)
{
	u8 low;

	outb(PIT_CMD, 0);
	low = inb(PIT_DATA0);
	return low | inb(PIT_DATA0) << 8;
}

static void set_vector(u8 vector, u32 handler)
{
	((volatile u32 *)0)[vector] = handler;
}

static u32 get_vector(u8 vector)
{
	return ((volatile u32 *)0)[vector];
}

static void wait_ticks(u32 n)
{
	u32 until = ticks_seen + n;

	while ((int)(until - ticks_seen) > 0)
		__asm__ volatile("cli\n"
				 "cmpl %0, ticks_seen\n"
				 "jns 1f\n"
				 "sti\n"
				 "hlt\n"
				 "1: sti"
				 :
				 : "r"(until)
				 : "memory", "cc");
}

/* One tick, later, of a counter that has run out. */
static void test_one_shot(void)
{
	u32 before, i;

	/* The last tick of the periodic timer may be pending. */
	set_timer(0, 0);
	__asm__ volatile("sti; nop; cli");
	set_timer(0, 2000);
	before = ticks_seen;
	outb(PIC_CMD, 0x0a); /* read IRR */
	for (i = 0; i < 100000000 && !(inb(PIC_CMD) & 1); i++)
		;
	check("pic IRR shows the timer", inb(PIC_CMD) & 1, 1);
	check("pic no tick with interrupts off", ticks_seen - before, 0);
	__asm__ volatile("sti; nop");
	check("pit one shot", ticks_seen - before, 1);
	outb(PIC_CMD, 0x0a);
	check("pic IRR is empty", inb(PIC_CMD) & 1, 0);
	outb(PIC_CMD, 0x0b);
	check("pic ISR is empty", inb(PIC_CMD) & 1, 0);
	/* Mode 0 counts on from 65535 and ticks no more. */
	while (read_timer() < 60000)
		;
	check("pit one shot is one", ticks_seen - before, 1);
}

/* Masked at the controller: it waits there. */
static void test_mask(void)
{
	u32 before;

	outb(PIC_DATA, inb(PIC_DATA) | 1);
	before = ticks_seen;
	set_timer(0, 1000);
	while (read_timer() <= 1000)
		;
	outb(PIC_CMD, 0x0a);
	while (!(inb(PIC_CMD) & 1))
		;
	check("pic masked", ticks_seen - before, 0);
	outb(PIC_DATA, inb(PIC_DATA) & ~1);
	for (u32 i = 0; i < 1000 && ticks_seen == before; i++)
		inb(0x80);
	check("pic unmasked", ticks_seen - before, 1);
}

static void test_rate(void)
{
	u32 high = 0;

	set_timer(2, PIT_HZ / 1000);
	wait_ticks(20);
	for (u32 i = 0; i < 1000; i++)
		high |= read_timer() > PIT_HZ / 1000;
	check("pit counts from its count", high, 0);
}

void test_timer(void)
{
	u32 bios_tick = get_vector(8), before, bda;

	__asm__ volatile("cli");
	set_vector(0x50, (u32)tick_count);
	set_base(0x50);
	__asm__ volatile("sti");
	test_rate();
	test_one_shot();
	test_mask();

	/* The BIOS's vectors again; its handler is called from ours. */
	__asm__ volatile("cli");
	set_base(8);
	old_tick = bios_tick;
	set_vector(8, (u32)tick_chain);
	set_timer(2, PIT_HZ / 200);
	__asm__ volatile("sti");
	before = ticks_seen;
	bda = BDA_TICKS;
	wait_ticks(10);
	__asm__ volatile("cli");
	check("chained handler counts as well", BDA_TICKS - bda,
	      ticks_seen - before);
	set_vector(8, bios_tick);
	set_timer(3, 0);
	__asm__ volatile("sti; hlt");
}
