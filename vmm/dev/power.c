#include "vmm/dev/power.h"

#include <pthread.h>
#include <stdlib.h>

#include "vmm/loop.h"
#include "vmm/status.h"

#define PM1_TMR_STS  0x0001
#define PM1_GBL	     0x0020
#define PM1_PWRBTN   0x0100
#define PM1_RTC	     0x0400
#define PM1_WAK_STS  0x8000
#define PM1_STS_MASK 0x8f31 /* bits that are cleared by writing ones */
#define PM1_EN_MASK  (PM1_TMR_STS | PM1_GBL | PM1_PWRBTN | PM1_RTC)

#define PM1_CNT_SCI_EN	     0x0001
#define PM1_CNT_SLP_TYP(cnt) ((cnt) >> 10 & 7)
#define PM1_CNT_SLP_EN	     0x2000

#define PM_TIMER_HZ 3579545u

#define RST_CNT_CPU 0x04 /* a rising edge resets */

#define PORT92_RESET 0x01 /* a rising edge resets */
#define PORT92_A20   0x02

struct power {
	pthread_mutex_t lock;
	struct irq_line sci;
	const struct power_sink *sink;
	uint16_t pm1_sts, pm1_en, pm1_cnt;
	uint16_t gpe_sts, gpe_en;
	uint8_t rst_cnt, port92;
	bool asleep;
	uint64_t start_ns;
	uint64_t tmr_half; /* half-turns of the timer already in pm1_sts */
};

static uint64_t power_timer(const struct power *p)
{
	unsigned __int128 ns = loop_now_ns() - p->start_ns;

	return ns * PM_TIMER_HZ / 1000000000u;
}

/* The timer's top bit, bit 31, has changed: TMR_STS. */
static void power_timer_status(struct power *p)
{
	uint64_t half = power_timer(p) >> 31;

	if (half != p->tmr_half)
		p->pm1_sts |= PM1_TMR_STS;
	p->tmr_half = half;
}

static void power_update(struct power *p)
{
	power_timer_status(p);
	irq_line_set(&p->sci,
		     (p->pm1_sts & p->pm1_en) || (p->gpe_sts & p->gpe_en));
}

static void power_write_cnt(struct power *p, uint16_t val)
{
	p->pm1_cnt = val & ~PM1_CNT_SLP_EN;
	if (!(val & PM1_CNT_SLP_EN))
		return;
	switch (PM1_CNT_SLP_TYP(val)) {
	case POWER_SLP_TYP_S5:
		p->sink->end(p->sink->arg, STATUS_POWEROFF);
		break;
	case POWER_SLP_TYP_S3:
		p->asleep = true;
		p->sink->sleep(p->sink->arg);
		break;
	}
}

/* Ends S3; the guest finds nothing but the reason. */
static void power_wake(struct power *p)
{
	p->asleep = false;
	p->pm1_sts |= PM1_WAK_STS;
	p->pm1_en = p->pm1_cnt = p->gpe_en = 0;
	p->sink->wake(p->sink->arg);
}

/* The PM1a and GPE0 blocks, 16 bits at a time. */
static uint64_t power_read(void *dev, uint64_t offset, unsigned len)
{
	struct power *p = dev;
	uint64_t words[3], val;

	pthread_mutex_lock(&p->lock);
	power_update(p);
	words[0] = p->pm1_sts;
	words[1] = p->pm1_en;
	words[2] = p->pm1_cnt | PM1_CNT_SCI_EN; /* always in ACPI mode */
	val = words[offset / 2] >> 8 * (offset % 2);
	pthread_mutex_unlock(&p->lock);
	return val;
}

/* Widens a byte write to one of the 16-bit register that holds it. */
static uint16_t power_merge(uint16_t old, uint64_t offset, unsigned len,
			    uint64_t val)
{
	if (len == 2)
		return val;
	if (offset % 2)
		return (old & 0xff) | val << 8;
	return (old & 0xff00) | val;
}

static void power_write(void *dev, uint64_t offset, unsigned len, uint64_t val)
{
	struct power *p = dev;

	pthread_mutex_lock(&p->lock);
	power_timer_status(p);
	switch (offset / 2) {
	case 0:
		p->pm1_sts &=
			~(power_merge(0, offset, len, val) & PM1_STS_MASK);
		break;
	case 1:
		p->pm1_en =
			power_merge(p->pm1_en, offset, len, val) & PM1_EN_MASK;
		break;
	case 2:
		power_write_cnt(p, power_merge(p->pm1_cnt, offset, len, val));
		break;
	}
	power_update(p);
	pthread_mutex_unlock(&p->lock);
}

static uint64_t power_read_gpe(void *dev, uint64_t offset, unsigned len)
{
	struct power *p = dev;
	uint64_t val;

	pthread_mutex_lock(&p->lock);
	val = (offset < 2 ? p->gpe_sts : p->gpe_en) >> 8 * (offset % 2);
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void power_write_gpe(void *dev, uint64_t offset, unsigned len,
			    uint64_t val)
{
	struct power *p = dev;

	pthread_mutex_lock(&p->lock);
	if (offset < 2)
		p->gpe_sts &= ~power_merge(0, offset, len, val);
	else
		p->gpe_en = power_merge(p->gpe_en, offset, len, val);
	power_update(p);
	pthread_mutex_unlock(&p->lock);
}

static uint64_t power_read_timer(void *dev, uint64_t offset, unsigned len)
{
	return (uint32_t)power_timer(dev) >> 8 * offset;
}

static uint64_t power_read_port92(void *dev, uint64_t offset, unsigned len)
{
	struct power *p = dev;

	return p->port92;
}

static void power_write_port92(void *dev, uint64_t offset, unsigned len,
			       uint64_t val)
{
	struct power *p = dev;

	pthread_mutex_lock(&p->lock);
	if (val & ~p->port92 & PORT92_RESET)
		power_reset(p);
	p->port92 = val & (PORT92_RESET | PORT92_A20);
	pthread_mutex_unlock(&p->lock);
}

void power_reset(struct power *p)
{
	p->sink->end(p->sink->arg, STATUS_REBOOT);
}

void power_rtc_alarm(void *power)
{
	struct power *p = power;

	pthread_mutex_lock(&p->lock);
	p->pm1_sts |= PM1_RTC;
	if (p->asleep && (p->pm1_en & PM1_RTC))
		power_wake(p);
	power_update(p);
	pthread_mutex_unlock(&p->lock);
}

void power_press_button(struct power *p)
{
	pthread_mutex_lock(&p->lock);
	p->pm1_sts |= PM1_PWRBTN;
	if (p->asleep)
		power_wake(p);
	power_update(p);
	pthread_mutex_unlock(&p->lock);
}

uint8_t power_read_rst_cnt(struct power *p)
{
	return p->rst_cnt;
}

void power_write_rst_cnt(struct power *p, uint8_t val)
{
	pthread_mutex_lock(&p->lock);
	if (val & ~p->rst_cnt & RST_CNT_CPU)
		power_reset(p);
	p->rst_cnt = val;
	pthread_mutex_unlock(&p->lock);
}

static const struct bus_ops pm1_ops = {
	.name = "acpi pm1a",
	.read = power_read,
	.write = power_write,
	.max_len = 2,
};

static const struct bus_ops timer_ops = {
	.name = "acpi pm timer",
	.read = power_read_timer,
	.max_len = 4,
};

static const struct bus_ops gpe_ops = {
	.name = "acpi gpe0",
	.read = power_read_gpe,
	.write = power_write_gpe,
	.max_len = 2,
};

static const struct bus_ops port92_ops = {
	.name = "port 92",
	.read = power_read_port92,
	.write = power_write_port92,
	.max_len = 1,
};

struct power *power_new(struct bus *pio, const struct irq_sink *irq,
			const struct power_sink *sink)
{
	struct power *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	p->sci = (struct irq_line){ irq, POWER_SCI_IRQ, false };
	p->sink = sink;
	p->start_ns = loop_now_ns();
	p->port92 = PORT92_A20;
	if (bus_add(pio, POWER_PM1A_EVT, 6, &pm1_ops, p) == 0 &&
	    bus_add(pio, POWER_PM_TMR, 4, &timer_ops, p) == 0 &&
	    bus_add(pio, POWER_GPE0, 4, &gpe_ops, p) == 0 &&
	    bus_add(pio, 0x92, 1, &port92_ops, p) == 0)
		return p;
	free(p);
	return NULL;
}

void power_free(struct power *p)
{
	free(p);
}
