#pragma once

/*
 * The local APIC (memory-mapped), the I/O APIC, the PIC pair and the PIT.
 */
#include "test/guest/lib/trap.h"

#define APIC_BASE    0xfee00000ul
#define APIC_ID	     0x20
#define APIC_VERSION 0x30
#define APIC_TPR     0x80
#define APIC_PPR     0xa0
#define APIC_EOI     0xb0
#define APIC_LDR     0xd0
#define APIC_DFR     0xe0
#define APIC_SVR     0xf0
#define APIC_ISR     0x100
#define APIC_TMR     0x180
#define APIC_IRR     0x200
#define APIC_ESR     0x280
#define APIC_ICR     0x300
#define APIC_ICR2    0x310
#define APIC_LVTT    0x320
#define APIC_LVT0    0x350
#define APIC_LVT1    0x360
#define APIC_TMICT   0x380
#define APIC_TMCCT   0x390
#define APIC_TDCR    0x3e0

#define APIC_MASKED   BIT(16)
#define APIC_PERIODIC BIT(17)
#define APIC_DEADLINE BIT(18)
/* ICR: delivery modes and shorthands. */
#define ICR_FIXED   0x000
#define ICR_NMI	    0x400
#define ICR_INIT    0x500
#define ICR_STARTUP 0x600
#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT  BIT(14)
#define ICR_LEVEL   BIT(15)
#define ICR_SELF    BIT(18)
#define ICR_ALL	    BIT(19)
#define ICR_OTHERS  (BIT(18) | BIT(19))

#define IOAPIC_BASE 0xfec00000ul

static inline u32 apic_read(u32 reg)
{
	return *(volatile u32 *)(APIC_BASE + reg);
}

static inline void apic_write(u32 reg, u32 v)
{
	*(volatile u32 *)(APIC_BASE + reg) = v;
}

static inline void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

static inline u32 apic_id(void)
{
	return apic_read(APIC_ID) >> 24;
}

static inline bool apic_bit(u32 reg, unsigned vector)
{
	return apic_read(reg + vector / 32 * 0x10) >> (vector & 31) & 1;
}

/* apic_enable - software-enables the APIC: spurious vector 0xff, TPR 0. */
void apic_enable(void);
/* apic_send - writes the ICR and waits until the IPI is sent. */
void apic_send(u32 dest, u32 icr);
/* apic_timer - starts the timer (divide by 1) with an LVT value. */
void apic_timer(u32 lvt, u32 count);

u32 ioapic_read(u32 reg);
void ioapic_write(u32 reg, u32 v);
/* ioapic_route - fills the redirection entry of @pin. */
void ioapic_route(unsigned pin, u32 low, u32 dest);

/* pic_init - initializes the pair with bases @base and @base + 8, all masked.
 */
void pic_init(u8 base);
/* pit_start - channel 0 in mode 2 (rate) or 0 (one-shot) with @count. */
void pit_start(u8 mode, u16 count);

/* wait_until - spins until *@p >= @want or about @ms milliseconds passed. */
bool wait_until(volatile u32 *p, u32 want, u32 ms);
/* tsc_per_ms - measured once against the PIT, by the shortest of some. */
u64 tsc_per_ms(void);
