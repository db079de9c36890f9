#pragma once

#include <string.h>

#include "host/time.h"
#include "host/timer.h"
#include "irqchip/irqchip.h"
#include "irqchip/lapic.h"
#include "test/test.h"

/* vCPUs that only count what reaches them. */
#define MOCK_CPUS 4

struct mock_cpu {
	struct lapic *lapic;
	int kicks, nmis, smis, inits, sipis, split_eois;
	uint8_t sipi_vector, eoi_vector;
	uint64_t last_kick_ns;
};

static struct mock_cpu mock_cpus[MOCK_CPUS];
static struct irqchip *mock_chip;
static struct timers *mock_timers;
static int mock_acks[32];
static bool mock_lower_on_ack;

static void mock_kick(void *vcpu)
{
	struct mock_cpu *c = vcpu;

	__atomic_store_n(&c->last_kick_ns, time_now_ns(), __ATOMIC_RELAXED);
	__atomic_add_fetch(&c->kicks, 1, __ATOMIC_SEQ_CST);
}

static void mock_nmi(void *vcpu)
{
	((struct mock_cpu *)vcpu)->nmis++;
}

static void mock_smi(void *vcpu)
{
	((struct mock_cpu *)vcpu)->smis++;
}

static void mock_init(void *vcpu)
{
	((struct mock_cpu *)vcpu)->inits++;
}

static void mock_sipi(void *vcpu, uint8_t vector)
{
	((struct mock_cpu *)vcpu)->sipis++;
	((struct mock_cpu *)vcpu)->sipi_vector = vector;
}

static void mock_split_eoi(void *vcpu, uint8_t vector)
{
	((struct mock_cpu *)vcpu)->split_eois++;
	((struct mock_cpu *)vcpu)->eoi_vector = vector;
}

static void mock_ack(void *vm, uint32_t gsi)
{
	mock_acks[gsi]++;
	if (mock_lower_on_ack)
		irqchip_set_irq(mock_chip, gsi, IRQ_SOURCE_RESAMPLE, false);
}

static const struct irqchip_ops mock_ops = {
	.kick = mock_kick,
	.nmi = mock_nmi,
	.smi = mock_smi,
	.init = mock_init,
	.sipi = mock_sipi,
	.ioapic_eoi = mock_split_eoi,
	.ack = mock_ack,
};

static inline void mock_create(enum irqchip_mode mode)
{
	memset(mock_cpus, 0, sizeof(mock_cpus));
	memset(mock_acks, 0, sizeof(mock_acks));
	mock_lower_on_ack = false;
	CHECK_EQ(timers_create(&mock_timers), 0);
	CHECK_EQ(irqchip_create(mode, &mock_ops, NULL, mock_timers, &mock_chip),
		 0);
	for (uint32_t i = 0; i < MOCK_CPUS; i++)
		CHECK_EQ(lapic_create(mock_chip, i, &mock_cpus[i], i == 0,
				      &mock_cpus[i].lapic),
			 0);
}

static inline void mock_destroy(void)
{
	irqchip_destroy(mock_chip);
	timers_destroy(mock_timers);
}

static inline uint32_t mock_read(int cpu, unsigned int reg)
{
	uint32_t v = 0;

	lapic_mmio_read(mock_cpus[cpu].lapic, APIC_DEFAULT_BASE + reg, 4, &v);
	return v;
}

static inline void mock_write(int cpu, unsigned int reg, uint32_t v)
{
	lapic_mmio_write(mock_cpus[cpu].lapic, APIC_DEFAULT_BASE + reg, 4, &v);
}

static inline void mock_enable(int cpu)
{
	mock_write(cpu, 0xf0, 0x1ff);
}

static inline void mock_sleep_ns(uint64_t ns)
{
	uint64_t end = time_now_ns() + ns;

	while (time_now_ns() < end)
		__builtin_ia32_pause();
}

static inline uint64_t mock_last_kick(int cpu)
{
	return __atomic_load_n(&mock_cpus[cpu].last_kick_ns, __ATOMIC_RELAXED);
}
