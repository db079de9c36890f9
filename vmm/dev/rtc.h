#pragma once

#include "vmm/bus.h"
#include "vmm/irq.h"
#include "vmm/loop.h"

/*
 * MC146818 clock and CMOS memory at ports 0x70 and 0x71, IRQ 8.  The clock
 * follows the host's UTC until the guest sets it.
 */
struct rtc;

struct rtc *rtc_new(struct bus *pio, const struct irq_sink *irq,
		    struct loop *loop);
void rtc_free(struct rtc *rtc);

/*
 * rtc_on_alarm - @fn is called when an enabled alarm goes off, with the
 * clock's lock held.
 */
void rtc_on_alarm(struct rtc *rtc, void (*fn)(void *arg), void *arg);

/* rtc_set_cmos - a byte of battery-backed memory; @reg from 0x0e to 0x7f. */
void rtc_set_cmos(struct rtc *rtc, unsigned reg, uint8_t val);

/* rtc_set_memory - the bytes by which a PC's BIOS tells how much RAM is. */
void rtc_set_memory(struct rtc *rtc, uint64_t low_size, uint64_t high_size);
