#include "test/guest/lib/apic.h"

void apic_enable(void)
{
	apic_write(APIC_SVR, 0x1ff);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVTT, APIC_MASKED);
	apic_write(APIC_LVT0, APIC_MASKED);
	apic_write(APIC_LVT1, APIC_MASKED);
}

void apic_send(u32 dest, u32 icr)
{
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, icr);
	while (apic_read(APIC_ICR) & BIT(12))
		cpu_pause();
}

void apic_timer(u32 lvt, u32 count)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, lvt);
	apic_write(APIC_TMICT, count);
}

u32 ioapic_read(u32 reg)
{
	*(volatile u32 *)IOAPIC_BASE = reg;
	return *(volatile u32 *)(IOAPIC_BASE + 0x10);
}

void ioapic_write(u32 reg, u32 v)
{
	*(volatile u32 *)IOAPIC_BASE = reg;
	*(volatile u32 *)(IOAPIC_BASE + 0x10) = v;
}

void ioapic_route(unsigned pin, u32 low, u32 dest)
{
	ioapic_write(0x10 + 2 * pin, APIC_MASKED);
	ioapic_write(0x11 + 2 * pin, dest << 24);
	ioapic_write(0x10 + 2 * pin, low);
}

void pic_init(u8 base)
{
	outb(0x20, 0x11);
	outb(0x21, base);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0xa0, 0x11);
	outb(0xa1, base + 8);
	outb(0xa1, 2);
	outb(0xa1, 1);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

void pit_start(u8 mode, u16 count)
{
	outb(0x43, 0x30 | mode << 1);
	outb(0x40, count);
	outb(0x40, count >> 8);
}

/* Channel 2 with its gate open counts 1193182 a second down. */
static u64 tsc_of_a_ms(void)
{
	u64 start = rdtsc(), low = 65535;

	outb(0x43, 0xb0);
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	while (low > 65535 - 1193) {
		outb(0x43, 0x80);
		low = inb(0x42);
		low |= (u64)inb(0x42) << 8;
	}
	return rdtsc() - start;
}

u64 tsc_per_ms(void)
{
	static u64 rate;
	u64 least = ~0ull;

	if (rate)
		return rate;
	outb(0x61, (inb(0x61) & ~2) | 1);
	/* A host that is busy elsewhere makes it longer, never shorter. */
	for (int i = 0; i < 20; i++) {
		u64 t = tsc_of_a_ms();

		least = t < least ? t : least;
	}
	rate = least;
	return rate;
}

bool wait_until(volatile u32 *p, u32 want, u32 ms)
{
	u64 end = rdtsc() + tsc_per_ms() * ms;

	while (*p < want) {
		if (rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}
