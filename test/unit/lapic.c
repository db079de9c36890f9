#include <errno.h>
#include <pthread.h>

#include "test/unit/mock_irqchip.h"

#define ID     0x020
#define LVR    0x030
#define TPR    0x080
#define PPR    0x0a0
#define EOI    0x0b0
#define LDR    0x0d0
#define DFR    0x0e0
#define SPIV   0x0f0
#define ISR    0x100
#define TMR    0x180
#define IRR    0x200
#define ESR    0x280
#define ICR    0x300
#define ICR2   0x310
#define LVTT   0x320
#define LVT0   0x350
#define LVTERR 0x370
#define TMICT  0x380
#define TMCCT  0x390
#define TDCR   0x3e0

#define PERIODIC 0x20000
#define DEADLINE 0x40000
#define MASKED	 0x10000

static struct lapic *apic(int cpu)
{
	return mock_cpus[cpu].lapic;
}

static void ipi(int from, uint32_t dest, uint32_t low)
{
	mock_write(from, ICR2, dest << 24);
	mock_write(from, ICR, low);
}

static void test_reset_state(void)
{
	mock_create(IRQCHIP_FULL);
	CHECK_EQ(mock_read(0, ID), 0);
	CHECK_EQ(mock_read(3, ID), 3u << 24);
	CHECK_EQ(mock_read(0, LVR), 0x50014);
	CHECK_EQ(mock_read(0, SPIV), 0xff);
	CHECK_EQ(mock_read(0, DFR), 0xffffffff);
	CHECK_EQ(mock_read(0, LVT0), 0x700);
	CHECK_EQ(mock_read(1, LVT0), MASKED);
	CHECK_EQ(lapic_base(apic(0)), 0xfee00900);
	CHECK_EQ(lapic_base(apic(1)), 0xfee00800);
	CHECK(lapic_accepts_pic(apic(0)));
	CHECK(!lapic_accepts_pic(apic(1)));
	mock_destroy();
}

static void test_access_rules(void)
{
	uint8_t byte = 0;
	uint16_t half;
	uint64_t wide = 0x5a5a5a5a5a5a5a5a;
	uint32_t v = 0x80;

	mock_create(IRQCHIP_FULL);
	CHECK(!lapic_mmio_read(apic(0), 0xfee01000, 4, &v));
	CHECK(!lapic_mmio_read(apic(0), 0xfedffffc, 4, &v));
	mock_write(0, TPR, 0x35);
	CHECK(lapic_mmio_read(apic(0), APIC_DEFAULT_BASE + TPR, 1, &byte));
	CHECK_EQ(byte, 0x35);
	CHECK(lapic_mmio_read(apic(0), APIC_DEFAULT_BASE + LVR + 2, 2, &half));
	CHECK_EQ(half, 5);
	CHECK(lapic_mmio_read(apic(0), APIC_DEFAULT_BASE + TPR, 8, &wide));
	CHECK_EQ(wide, 0);
	/* Writes must be aligned and 32 bits wide. */
	v = 0x80;
	CHECK(lapic_mmio_write(apic(0), APIC_DEFAULT_BASE + TPR, 2, &v));
	CHECK(lapic_mmio_write(apic(0), APIC_DEFAULT_BASE + TPR + 4, 4, &v));
	CHECK_EQ(mock_read(0, TPR), 0x35);
	mock_write(0, LVR, 0);
	CHECK_EQ(mock_read(0, LVR), 0x50014);
	/* Software-disabled: LVT entries stay masked. */
	mock_write(0, LVTERR, 0xfe);
	CHECK_EQ(mock_read(0, LVTERR), MASKED | 0xfe);
	mock_enable(0);
	mock_write(0, LVTERR, 0xfffffffe);
	CHECK_EQ(mock_read(0, LVTERR), MASKED | 0xfe);
	mock_write(0, LVTERR, 0xfe);
	mock_write(0, SPIV, 0xff);
	CHECK_EQ(mock_read(0, LVTERR), MASKED | 0xfe);
	mock_destroy();
}

static void test_priorities(void)
{
	mock_create(IRQCHIP_FULL);
	ipi(0, 1, 0x51);
	CHECK_EQ(lapic_pending_vector(apic(1)), -1); /* software-disabled */
	mock_enable(1);
	ipi(0, 1, 0x51);
	ipi(0, 1, 0x38);
	ipi(0, 1, 0x5f);
	CHECK_EQ(mock_read(1, IRR + 0x20), 1u << 17 | 1u << 31);
	CHECK_EQ(mock_read(1, IRR + 0x10), 1u << 24);
	CHECK_EQ(lapic_pending_vector(apic(1)), 0x5f);
	mock_write(1, TPR, 0x50);
	CHECK_EQ(lapic_pending_vector(apic(1)), -1);
	CHECK(!irqchip_has_irq(apic(1)));
	CHECK_EQ(lapic_cr8(apic(1)), 5);
	lapic_set_cr8(apic(1), 4);
	CHECK_EQ(mock_read(1, TPR), 0x40);
	CHECK(irqchip_has_irq(apic(1)));
	CHECK_EQ(irqchip_take_irq(apic(1)), 0x5f);
	CHECK_EQ(mock_read(1, PPR), 0x50);
	CHECK_EQ(mock_read(1, ISR + 0x20), 1u << 31);
	CHECK_EQ(lapic_pending_vector(apic(1)), -1); /* same class */
	ipi(0, 1, 0x61);
	CHECK_EQ(lapic_take_vector(apic(1)), 0x61);
	mock_write(1, EOI, 0);
	CHECK_EQ(mock_read(1, PPR), 0x50);
	mock_write(1, EOI, 0);
	CHECK_EQ(mock_read(1, PPR), 0x40);
	CHECK_EQ(lapic_take_vector(apic(1)), 0x51);
	mock_write(1, EOI, 0);
	mock_write(1, TPR, 0);
	CHECK_EQ(lapic_take_vector(apic(1)), 0x38);
	mock_write(1, TPR, 0x3c); /* same class as in service: TPR wins */
	CHECK_EQ(mock_read(1, PPR), 0x3c);
	mock_write(1, EOI, 0);
	CHECK_EQ(lapic_take_vector(apic(1)), -1);
	mock_destroy();
}

static void test_ipis(void)
{
	mock_create(IRQCHIP_FULL);
	for (int i = 0; i < MOCK_CPUS; i++)
		mock_enable(i);
	ipi(0, 2, 0x400);
	CHECK_EQ(mock_cpus[2].nmis, 1);
	ipi(0, 2, 0x200);
	CHECK_EQ(mock_cpus[2].smis, 1);
	ipi(0, 3, 0xc500); /* INIT, assert */
	ipi(0, 3, 0x8500); /* INIT, de-assert */
	CHECK_EQ(mock_cpus[3].inits, 1);
	ipi(0, 3, 0x69a);
	CHECK_EQ(mock_cpus[3].sipis, 1);
	CHECK_EQ(mock_cpus[3].sipi_vector, 0x9a);
	CHECK_EQ(mock_read(0, ICR), 0x69a);
	/* Shorthands. */
	ipi(1, 0, 0x400f1); /* self */
	CHECK_EQ(lapic_take_vector(apic(1)), 0xf1);
	ipi(1, 0, 0x800f2); /* all */
	ipi(1, 0, 0xc00f3); /* others */
	for (int i = 0; i < MOCK_CPUS; i++) {
		if (i != 1)
			CHECK_EQ(lapic_take_vector(apic(i)), 0xf3);
		mock_write(i, EOI, 0);
		CHECK_EQ(lapic_take_vector(apic(i)), 0xf2);
		mock_write(i, EOI, 0);
	}
	/* Physical broadcast; nobody has id 9. */
	ipi(0, 0xff, 0x71);
	ipi(0, 9, 0x72);
	for (int i = 0; i < MOCK_CPUS; i++)
		CHECK_EQ(lapic_take_vector(apic(i)), 0x71);
	mock_destroy();
}

static int targets(uint32_t low, uint32_t dest)
{
	int set = 0;

	ipi(0, dest, low);
	for (int i = 0; i < MOCK_CPUS; i++) {
		if (lapic_take_vector(apic(i)) < 0)
			continue;
		mock_write(i, EOI, 0);
		set |= 1 << i;
	}
	return set;
}

static void test_logical(void)
{
	int seen = 0;

	mock_create(IRQCHIP_FULL);
	for (int i = 0; i < MOCK_CPUS; i++) {
		mock_enable(i);
		mock_write(i, LDR, 1u << (24 + i));
	}
	CHECK_EQ(targets(0x841, 0x5), 0x5);
	CHECK_EQ(targets(0x841, 0xff), 0xf);
	CHECK_EQ(targets(0x841, 0x10), 0);
	/* Lowest priority takes turns. */
	for (int i = 0; i < 4; i++) {
		int one = targets(0x942, 0xf);

		CHECK_EQ(one & (one - 1), 0);
		seen |= one;
	}
	CHECK_EQ(seen, 0xf);
	for (int i = 0; i < MOCK_CPUS; i++) {
		mock_write(i, DFR, 0x0fffffff);
		mock_write(i, LDR,
			   ((uint32_t)i / 2 << 28) | 1u << (24 + i % 2));
	}
	CHECK_EQ(mock_read(0, DFR), 0x0fffffff);
	CHECK_EQ(targets(0x841, 0x03), 0x3);
	CHECK_EQ(targets(0x841, 0x12), 0x8);
	CHECK_EQ(targets(0x841, 0x23), 0);
	/* Two APICs under one physical id. */
	mock_write(2, ID, 1u << 24);
	CHECK_EQ(targets(0x41, 1), 0x6);
	CHECK_EQ(targets(0x41, 2), 0);
	mock_destroy();
}

static void test_base(void)
{
	const uint64_t en = APIC_BASE_ENABLE, x2 = APIC_BASE_EXTD;
	struct lapic_features f = { .x2apic = true, .maxphyaddr = 40 };
	struct lapic *l;
	uint32_t v;

	mock_create(IRQCHIP_FULL);
	l = apic(1);
	lapic_set_features(l, &f);
	CHECK_EQ(lapic_set_base(l, 0xfee00000 | x2, false), -EINVAL);
	CHECK_EQ(lapic_set_base(l, 0xfee00001 | en, false), -EINVAL);
	CHECK_EQ(lapic_set_base(l, BIT(40) | en, false), -EINVAL);
	CHECK_EQ(lapic_set_base(l, 0xfee00000 | en | x2, false), 0);
	CHECK(lapic_is_x2apic(l));
	CHECK(lapic_mmio_read(l, APIC_DEFAULT_BASE + LVR, 4, &v));
	CHECK_EQ(v, 0xffffffff);
	CHECK_EQ(lapic_set_base(l, 0xfee00000 | en, false), -EINVAL);
	CHECK_EQ(lapic_set_base(l, 0xfee00000, false), 0);
	CHECK(!lapic_is_enabled(l));
	CHECK(lapic_accepts_pic(l));
	CHECK(lapic_mmio_read(l, APIC_DEFAULT_BASE + TPR, 4, &v));
	CHECK_EQ(v, 0xffffffff);
	CHECK_EQ(lapic_set_base(l, 0xfee00000 | en | x2, false), -EINVAL);
	CHECK_EQ(lapic_set_base(l, 0xfed40000 | en, false), 0);
	CHECK(!lapic_mmio_read(l, APIC_DEFAULT_BASE + LVR, 4, &v));
	CHECK(lapic_mmio_read(l, 0xfed40000 + LVR, 4, &v));
	CHECK_EQ(v, 0x50014);
	/* User mode may go anywhere. */
	CHECK_EQ(lapic_set_base(l, 0xfee00000, true), 0);
	CHECK_EQ(lapic_set_base(l, 0xfee00000 | en | x2, true), 0);
	CHECK_EQ(lapic_set_base(l, 0xfee00000 | en, true), 0);
	f.x2apic = false;
	lapic_set_features(l, &f);
	CHECK_EQ(lapic_set_base(l, 0xfee00000 | en | x2, true), -EINVAL);
	mock_destroy();
}

/* Offsets >> 4 that exist: SDM 3A "x2APIC Register Address Space". */
static bool x2_readable(uint32_t i)
{
	return i == 0x02 || i == 0x03 || i == 0x08 || i == 0x0a || i == 0x0d ||
	       i == 0x0f || (i >= 0x10 && i <= 0x28) || i == 0x30 ||
	       (i >= 0x32 && i <= 0x39) || i == 0x3e;
}

static bool x2_writable(uint32_t i)
{
	return i == 0x08 || i == 0x0b || i == 0x0f || i == 0x28 || i == 0x30 ||
	       (i >= 0x32 && i <= 0x38) || i == 0x3e || i == 0x3f;
}

static void enter_x2apic(int cpu)
{
	CHECK_EQ(lapic_set_base(apic(cpu),
				lapic_base(apic(cpu)) | APIC_BASE_EXTD, false),
		 0);
}

static void wrmsr(int cpu, uint32_t msr, uint64_t v)
{
	CHECK_EQ(lapic_msr_write(apic(cpu), msr, v), 0);
}

static void test_x2apic_msrs(void)
{
	uint64_t v;

	mock_create(IRQCHIP_FULL);
	mock_enable(2);
	for (uint32_t msr = 0x800; msr < 0x900; msr++) {
		CHECK_EQ(lapic_msr_read(apic(2), msr, &v), -EINVAL);
		CHECK_EQ(lapic_msr_write(apic(2), msr, 0), -EINVAL);
	}
	enter_x2apic(2);
	for (uint32_t i = 0; i < 0x100; i++) {
		CHECK_EQ(lapic_msr_read(apic(2), 0x800 + i, &v),
			 x2_readable(i) ? 0 : -EINVAL);
		CHECK_EQ(lapic_msr_write(apic(2), 0x800 + i, 0),
			 x2_writable(i) ? 0 : -EINVAL);
		CHECK_EQ(lapic_msr_write(apic(2), 0x800 + i, BIT(63) | BIT(31)),
			 -EINVAL);
	}
	CHECK_EQ(lapic_msr_read(apic(2), 0x802, &v), 0);
	CHECK_EQ(v, 2);
	CHECK_EQ(lapic_msr_read(apic(2), 0x80d, &v), 0);
	CHECK_EQ(v, 4);
	CHECK_EQ(lapic_msr_write(apic(2), 0x80b, 1), -EINVAL);
	CHECK_EQ(lapic_msr_write(apic(2), 0x828, 1), -EINVAL);
	CHECK_EQ(lapic_msr_write(apic(2), 0x83f, 0x100), -EINVAL);
	wrmsr(2, 0x80f, 0x1ff);
	CHECK_EQ(lapic_msr_write(apic(2), 0x83f, 0xe1), 0);
	CHECK_EQ(lapic_take_vector(apic(2)), 0xe1);
	/* ICR is one 64-bit register; its reserved bits fault. */
	CHECK_EQ(lapic_msr_write(apic(2), 0x830, 0x2000), -EINVAL);
	CHECK_EQ(lapic_msr_write(apic(2), 0x830, 0x12345678000410e2), 0);
	CHECK_EQ(lapic_msr_read(apic(2), 0x830, &v), 0);
	CHECK_EQ(v, 0x12345678000400e2); /* never busy */
	mock_destroy();
}

static void test_x2apic_ipis(void)
{
	mock_create(IRQCHIP_FULL);
	for (int i = 0; i < MOCK_CPUS; i++) {
		mock_enable(i);
		enter_x2apic(i);
	}
	wrmsr(0, 0x830, 3ull << 32 | 0x55);
	CHECK_EQ(lapic_take_vector(apic(3)), 0x55);
	wrmsr(3, 0x80b, 0);
	/* Logical: cluster 0, members 1 and 2. */
	wrmsr(0, 0x830, 6ull << 32 | 0x856);
	CHECK_EQ(lapic_pending_vector(apic(0)), -1);
	CHECK_EQ(lapic_take_vector(apic(1)), 0x56);
	CHECK_EQ(lapic_take_vector(apic(2)), 0x56);
	CHECK_EQ(lapic_pending_vector(apic(3)), -1);
	/* FFH is a plain id between processors, FFFFFFFFH is everybody. */
	wrmsr(0, 0x830, 0xffull << 32 | 0x77);
	CHECK_EQ(lapic_pending_vector(apic(3)), -1);
	wrmsr(0, 0x830, 0xffffffffull << 32 | 0x78);
	CHECK_EQ(lapic_pending_vector(apic(3)), 0x78);
	CHECK_EQ(lapic_pending_vector(apic(0)), 0x78);
	/* ... but not from devices, unless user mode knows better. */
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfeeff000, 0, 0x79), 4);
	irqchip_set_x2apic_api(mock_chip, true, true);
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfeeff000, 0, 0x7a), -1);
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfee02000, 0, 0x7a), 1);
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfee02000, 0x100, 0x7b), -1);
	/* Paravirtual IPIs. */
	CHECK_EQ(lapic_pv_ipi(mock_chip, 0x5, 0, 1, 0xa1, 64), 2);
	CHECK_EQ(lapic_take_vector(apic(1)), 0xa1);
	CHECK_EQ(lapic_take_vector(apic(3)), 0xa1);
	CHECK_EQ(lapic_pv_ipi(mock_chip, ~0ull, ~0ull, 0xffffffff, 0xa2, 64),
		 0);
	mock_destroy();
}

static void test_errors(void)
{
	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	mock_enable(1);
	mock_write(0, LVTERR, 0xfd);
	ipi(0, 1, 0x05);
	CHECK_EQ(lapic_pending_vector(apic(1)), -1);
	CHECK_EQ(lapic_take_vector(apic(0)), 0xfd);
	CHECK_EQ(mock_read(0, ESR), 0);
	mock_write(0, ESR, 0);
	CHECK_EQ(mock_read(0, ESR), 0x20);
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfee01000, 0, 3), -1);
	mock_write(1, ESR, 0);
	CHECK_EQ(mock_read(1, ESR), 0x40);
	mock_write(1, ESR, 0);
	CHECK_EQ(mock_read(1, ESR), 0);
	mock_destroy();
}

static void test_merge(void)
{
	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x31), 1);
	CHECK_EQ(mock_cpus[0].kicks, 1);
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x31), 0);
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfee05000, 0, 0x31), -1);
	CHECK(!lapic_lazy_eoi(apic(0)));
	CHECK_EQ(lapic_take_vector(apic(0)), 0x31);
	CHECK(lapic_lazy_eoi(apic(0)));
	CHECK_EQ(irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x31), 1);
	CHECK(!lapic_lazy_eoi(apic(0)));
	mock_destroy();
}

static void test_save_restore(void)
{
	struct lapic_state s;
	uint32_t id;

	mock_create(IRQCHIP_FULL);
	mock_enable(1);
	mock_write(1, LVTT, PERIODIC | 0x44);
	mock_write(1, TDCR, 0xb);
	mock_write(1, TMICT, 500000000);
	irqchip_send_msi(mock_chip, 0xfee01000, 0, 0x91);
	lapic_get_state(apic(1), &s);
	lapic_reset(apic(1), false);
	CHECK_EQ(mock_read(1, TMCCT), 0);
	CHECK_EQ(lapic_set_state(apic(1), &s), 0);
	CHECK_EQ(lapic_pending_vector(apic(1)), 0x91);
	CHECK_EQ(mock_read(1, TMICT), 500000000);
	CHECK(mock_read(1, TMCCT) > 300000000);
	CHECK(mock_read(1, TMCCT) < 500000000);
	/* The id register of the image depends on what user mode asked for. */
	enter_x2apic(1);
	lapic_get_state(apic(1), &s);
	memcpy(&id, s.regs + ID, 4);
	CHECK_EQ(id, 1u << 24);
	irqchip_set_x2apic_api(mock_chip, true, false);
	CHECK_EQ(lapic_set_state(apic(1), &s), -EINVAL);
	lapic_get_state(apic(1), &s);
	memcpy(&id, s.regs + ID, 4);
	CHECK_EQ(id, 1);
	CHECK_EQ(lapic_set_state(apic(1), &s), 0);
	mock_destroy();
}

static int take_timer(int cpu)
{
	int vector = lapic_take_vector(apic(cpu));

	if (vector >= 0)
		lapic_eoi(apic(cpu));
	return vector;
}

static void test_one_shot(void)
{
	uint64_t start, kick;

	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	mock_write(0, LVTT, 0x41);
	mock_write(0, TDCR, 0xb); /* divide by 1 */
	start = time_now_ns();
	mock_write(0, TMICT, 10000000);
	CHECK(mock_read(0, TMCCT) > 5000000);
	CHECK_EQ(take_timer(0), -1);
	mock_write(0, TDCR, 0x1); /* by 8: the count goes on slower */
	CHECK(mock_read(0, TMCCT) <= 10000000);
	CHECK(mock_read(0, TMCCT) > 5000000);
	mock_write(0, TDCR, 0xb);
	while (take_timer(0) != 0x41 && time_now_ns() < start + NSEC_PER_SEC)
		;
	kick = mock_last_kick(0);
	CHECK(kick - start >= 10000000);
	CHECK(kick - start < NSEC_PER_SEC); /* how late is the host's matter */
	CHECK_EQ(mock_read(0, TMCCT), 0);
	mock_write(0, LVTT, PERIODIC | 0x41);
	CHECK_EQ(mock_read(0, TMCCT), 0); /* an expired counter stays at 0 */
	mock_write(0, TMICT, 1000000000);
	mock_write(0, TMICT, 0);
	CHECK_EQ(mock_read(0, TMCCT), 0);
	mock_destroy();
}

/* Whether a tick is found by who reads the counter, however late the service.
 */
static bool is_due(int cpu)
{
	mock_read(cpu, TMCCT);
	return take_timer(cpu) >= 0;
}

static void test_periodic(void)
{
	uint64_t end;
	int ticks = 0;

	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	mock_write(0, TDCR, 0xb);
	mock_write(0, LVTT, PERIODIC | 0x42);
	end = time_now_ns() + 300000000;
	mock_write(0, TMICT, 1000000);
	while (time_now_ns() < end)
		if (take_timer(0) == 0x42)
			ticks++;
	/* A busy host makes it miss some, never more. */
	CHECK(ticks >= 1 || is_due(0));
	CHECK(ticks <= 300);
	printf("APIC timer: %d of 300 ticks on time\n", ticks);
	/* Stays pending once, however long nobody takes it. */
	mock_sleep_ns(5000000);
	CHECK_EQ(take_timer(0), 0x42);
	CHECK(take_timer(0) == -1 || mock_read(0, TMCCT) > 0);
	/* A storm is refused: 200 us at least. */
	end = time_now_ns() + 20000000;
	ticks = 0;
	mock_write(0, TMICT, 1);
	while (time_now_ns() < end)
		if (take_timer(0) == 0x42)
			ticks++;
	CHECK(ticks <= 101);
	CHECK(ticks >= 1 || is_due(0));
	mock_destroy();
}

static void test_tsc_deadline(void)
{
	const uint64_t offset = 0x123456789abc;
	uint64_t late = 0, start, now;

	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	tsc_hz(); /* not while a deadline runs */
	lapic_set_tsc_offset(apic(0), offset);
	lapic_set_tsc_deadline(apic(0), 1);
	CHECK_EQ(lapic_tsc_deadline(apic(0)), 0); /* not in that mode */
	mock_write(0, LVTT, DEADLINE | 0x43);
	lapic_set_tsc_deadline(apic(0), tsc_read() + offset);
	CHECK_EQ(take_timer(0), 0x43); /* at once */
	CHECK_EQ(lapic_tsc_deadline(apic(0)), 0);
	for (int i = 0; i < 50; i++) {
		uint64_t deadline = tsc_read() + offset + ns_to_tsc(1000000);

		start = time_now_ns();
		lapic_set_tsc_deadline(apic(0), deadline);
		now = lapic_tsc_deadline(apic(0));
		CHECK(now == deadline ||
		      (!now && tsc_read() + offset >= deadline));
		while (take_timer(0) < 0 &&
		       time_now_ns() < start + NSEC_PER_SEC)
			;
		now = tsc_read() + offset;
		CHECK(now >= deadline); /* never early */
		late += tsc_to_ns(now - deadline);
		CHECK_EQ(lapic_tsc_deadline(apic(0)), 0);
	}
	printf("TSC deadline: %llu ns late on average\n",
	       (unsigned long long)late / 50);
	CHECK(late / 50 < NSEC_PER_SEC);
	/* Moving the TSC over the deadline fires it. */
	lapic_set_tsc_deadline(apic(0), tsc_read() + offset + tsc_hz());
	lapic_set_tsc_offset(apic(0), offset + 2 * tsc_hz());
	CHECK_EQ(take_timer(0), 0x43);
	lapic_set_tsc_deadline(apic(0), UINT64_MAX);
	CHECK_EQ(lapic_tsc_deadline(apic(0)), UINT64_MAX);
	mock_write(0, LVTT, PERIODIC | 0x43);
	CHECK_EQ(lapic_tsc_deadline(apic(0)), 0);
	mock_write(0, LVTT, DEADLINE | 0x43);
	CHECK_EQ(lapic_tsc_deadline(apic(0)), 0);
	mock_destroy();
}

static uint64_t stalled_until;

static void stall(struct timer *t)
{
	while (time_now_ns() <
	       __atomic_load_n(&stalled_until, __ATOMIC_SEQ_CST))
		;
}

/* A timer service that is late does not show. */
static void test_late_service(void)
{
	struct lapic_state s;
	struct timer busy;
	uint32_t irr;

	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	mock_write(0, TDCR, 0xb);
	CHECK_EQ(timer_init(&busy, mock_timers, stall), 0);
	stalled_until = time_now_ns() + NSEC_PER_SEC;
	timer_start(&busy, 0);
	mock_write(0, LVTT, 0x44);
	/* Who reads 0 finds the interrupt pending. */
	mock_write(0, TMICT, 1000000);
	while (mock_read(0, TMCCT))
		;
	CHECK_EQ(take_timer(0), 0x44);
	/* A change to periodic mode does not revive an expired counter. */
	mock_write(0, TMICT, 1000000);
	mock_sleep_ns(2000000);
	mock_write(0, LVTT, PERIODIC | 0x45);
	CHECK_EQ(mock_read(0, TMCCT), 0);
	CHECK_EQ(take_timer(0), 0x44);
	/* A tick that is due is part of the state. */
	mock_write(0, LVTT, 0x46);
	mock_write(0, TMICT, 1000000);
	mock_sleep_ns(2000000);
	lapic_get_state(apic(0), &s);
	memcpy(&irr, s.regs + IRR + 0x20, sizeof(irr));
	CHECK_EQ(irr, 1 << 6);
	CHECK_EQ(take_timer(0), 0x46);
	mock_write(0, LVTT, DEADLINE | 0x47);
	lapic_set_tsc_deadline(apic(0), tsc_read() + ns_to_tsc(1000000));
	mock_sleep_ns(2000000);
	CHECK_EQ(lapic_tsc_deadline(apic(0)), 0);
	CHECK_EQ(take_timer(0), 0x47);
	__atomic_store_n(&stalled_until, 0, __ATOMIC_SEQ_CST);
	timer_finish(&busy);
	mock_destroy();
}

#define STORM 200000

static int storm_senders;

static void *storm_sender(void *arg)
{
	int from = (int)(intptr_t)arg;

	for (int i = 0; i < STORM; i++)
		irqchip_send_msi(mock_chip, 0xfee00000, 0,
				 (uint32_t)(0x20 + from * 0x40 + i % 0x40));
	__atomic_sub_fetch(&storm_senders, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Every delivered interrupt is taken exactly once, whatever the threads do. */
static void test_races(void)
{
	pthread_t threads[2];
	bool running = true;
	int taken = 0;

	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	storm_senders = 2;
	for (intptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, storm_sender, (void *)i);
	while (running) {
		running = __atomic_load_n(&storm_senders, __ATOMIC_SEQ_CST);
		while (take_timer(0) >= 0)
			taken++;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(taken, mock_cpus[0].kicks);
	CHECK(taken >= 0x80);
	CHECK(!irqchip_has_irq(apic(0)));
	mock_destroy();
}

int main(void)
{
	test_reset_state();
	test_access_rules();
	test_priorities();
	test_ipis();
	test_logical();
	test_base();
	test_x2apic_msrs();
	test_x2apic_ipis();
	test_errors();
	test_merge();
	test_save_restore();
	test_one_shot();
	test_periodic();
	test_tsc_deadline();
	test_late_service();
	test_races();
	return test_done();
}
