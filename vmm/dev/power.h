#pragma once

#include "vmm/bus.h"
#include "vmm/irq.h"

/*
 * ACPI fixed hardware ("ACPI Hardware Specification", "Fixed Hardware
 * Registers") and the machine's reset lines.
 */
#define POWER_PM1A_EVT	  0x600 /* status 2 bytes, enable 2 bytes */
#define POWER_PM1A_CNT	  0x604 /* 2 bytes */
#define POWER_PM_TMR	  0x608 /* 4 bytes */
#define POWER_GPE0	  0x620 /* status 2 bytes, enable 2 bytes */
#define POWER_SCI_IRQ	  9
#define POWER_RESET_PORT  0xcf9
#define POWER_RESET_VALUE 0x06
#define POWER_SLP_TYP_S5  0
#define POWER_SLP_TYP_S3  1

struct power;

/*
 * What devices call: to end the run, with a status as in vmm/status.h; to put
 * the machine to sleep (S3) and to wake it up.
 */
struct power_sink {
	void (*end)(void *arg, int status);
	void (*sleep)(void *arg);
	void (*wake)(void *arg);
	void *arg;
};

struct power *power_new(struct bus *pio, const struct irq_sink *irq,
			const struct power_sink *sink);
void power_free(struct power *p);

/* power_reset - the guest pulled a reset line. */
void power_reset(struct power *p);

/* power_rtc_alarm - the RTC's alarm went off; any thread. */
void power_rtc_alarm(void *power);

/*
 * power_press_button - the user pressed the power button; any thread.  It
 * wakes a sleeping machine.
 */
void power_press_button(struct power *p);

/* power_read_rst_cnt, power_write_rst_cnt - reset control, port 0xcf9. */
uint8_t power_read_rst_cnt(struct power *p);
void power_write_rst_cnt(struct power *p, uint8_t val);
