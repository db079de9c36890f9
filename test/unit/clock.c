#include "root/clock.h"

#include <errno.h>
#include <stdlib.h>

#include "cpu/cpu.h"
#include "mmu/memslot.h"
#include "root/pv.h"
#include "test/unit/mock_irqchip.h"

#define PAGE 0x1000
#define NR   2

struct time_page {
	uint32_t version, pad0;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

static uint8_t ram[16 * PAGE] __attribute__((aligned(4096)));
static struct cpu *cpu[NR];
static struct memslots *slots;
static struct vm_clock vm;
static struct vcpu_clock vc[NR];

static void create(void)
{
	memset(ram, 0, sizeof(ram));
	slots = NULL;
	CHECK_EQ(memslots_update(NULL, 0, 0, 0, sizeof(ram), ram, &slots), 0);
	clock_vm_init(&vm);
	for (int i = 0; i < NR; i++) {
		cpu[i] = calloc(1, sizeof(struct cpu));
		cpu[i]->mmu.slots = slots;
		clock_vcpu_init(&vc[i], &vm, cpu[i], NULL);
	}
}

static void destroy(void)
{
	for (int i = 0; i < NR; i++) {
		clock_vcpu_finish(&vc[i]);
		free(cpu[i]);
	}
	clock_vm_finish(&vm);
	memslots_free(slots);
}

static void publish_all(void)
{
	for (int i = 0; i < NR; i++)
		if (clock_stale(&vc[i]))
			clock_publish(&vc[i]);
}

static uint64_t rdmsr(int i, uint32_t msr)
{
	uint64_t v = 0;

	CHECK_EQ(clock_msr_read(&vc[i], msr, &v), MSR_OK);
	return v;
}

static void wrmsr(int i, uint32_t msr, uint64_t v)
{
	CHECK_EQ(clock_msr_write(&vc[i], msr, v, false), MSR_OK);
}

static void set_msr(int i, uint32_t msr, uint64_t v)
{
	CHECK_EQ(clock_msr_write(&vc[i], msr, v, true), MSR_OK);
}

/* What a guest computes from its page. */
static uint64_t guest_ns(int i, const struct time_page *p)
{
	uint64_t delta = clock_guest_tsc(&vc[i]) - p->tsc;

	delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
	return p->ns + (uint64_t)((unsigned __int128)delta * p->mul >> 32);
}

static struct time_page page_at(gpa_t gpa)
{
	struct time_page p;

	memcpy(&p, ram + gpa, sizeof(p));
	return p;
}

static void test_kvmclock(void)
{
	struct clock_reading now;
	struct time_page p, q;
	uint64_t t0, t1, g0, g1;
	uint32_t version;

	create();
	t0 = time_now_ns();
	publish_all();
	CHECK_EQ(page_at(0x800).version, 0); /* nobody asked yet */
	wrmsr(0, MSR_KVM_SYSTEM_TIME_NEW, 0x800 | 1);
	wrmsr(1, MSR_KVM_SYSTEM_TIME, 0x900 | 1);
	CHECK_EQ(rdmsr(1, MSR_KVM_SYSTEM_TIME_NEW), 0x901);
	CHECK(clock_stale(&vc[0]));
	publish_all();
	CHECK(!clock_stale(&vc[0]));
	p = page_at(0x800);
	CHECK_EQ(p.version & 1, 0);
	CHECK(p.version != 0);
	CHECK_EQ(p.flags, 1);
	/* Both pages tell the same time. */
	q = page_at(0x900);
	CHECK_EQ(p.tsc - cpu[0]->tsc_offset, q.tsc - cpu[1]->tsc_offset);
	CHECK_EQ(p.ns, q.ns);
	CHECK(guest_ns(0, &p) < NSEC_PER_SEC); /* it began at 0 */
	/* It advances as the host's clock does: 100 ms within 20 us + noise. */
	t0 = time_now_ns();
	g0 = guest_ns(0, &p);
	mock_sleep_ns(100000000);
	g1 = guest_ns(0, &p);
	t1 = time_now_ns();
	CHECK(g1 - g0 <= t1 - t0 + 20000);
	CHECK(g1 - g0 >= 100000000 - 20000);
	/* KVM_GET_CLOCK agrees with the guest. */
	g0 = guest_ns(1, &q);
	clock_get(&vm, &now);
	g1 = guest_ns(1, &q);
	CHECK(now.guest_ns >= g0);
	CHECK(now.guest_ns <= g1);
	CHECK(now.tsc_stable);
	/* KVM_SET_CLOCK moves it. */
	version = p.version;
	clock_set(&vm, 1000 * NSEC_PER_SEC, 0);
	CHECK(clock_stale(&vc[0]));
	publish_all();
	p = page_at(0x800);
	CHECK_EQ(p.version, version + 2);
	CHECK(guest_ns(0, &p) - 1000 * NSEC_PER_SEC < NSEC_PER_SEC);
	clock_set(&vm, 0, time_real_ns() - 5 * NSEC_PER_SEC);
	publish_all();
	p = page_at(0x800);
	CHECK(guest_ns(0, &p) - 5 * NSEC_PER_SEC < NSEC_PER_SEC);
	/* Switched off, the page stays as it is; bad addresses do no harm. */
	wrmsr(0, MSR_KVM_SYSTEM_TIME_NEW, 0);
	CHECK_EQ(clock_stop_notice(&vc[0]), -EINVAL);
	clock_set(&vm, 0, 0);
	publish_all();
	CHECK_EQ(page_at(0x800).version, p.version);
	wrmsr(0, MSR_KVM_SYSTEM_TIME_NEW, 0x7000000000001);
	publish_all();
	/* A notice that the guest was stopped is given once. */
	CHECK_EQ(clock_stop_notice(&vc[1]), 0);
	publish_all();
	CHECK_EQ(page_at(0x900).flags, 3);
	clock_set(&vm, 0, 0);
	publish_all();
	CHECK_EQ(page_at(0x900).flags, 1);
	destroy();
}

static void test_wall_clock(void)
{
	struct {
		uint32_t version, sec, nsec;
	} w;
	struct clock_reading now;
	uint64_t boot_ns;

	create();
	wrmsr(0, MSR_KVM_WALL_CLOCK_NEW, 0x2ffc); /* crosses a page */
	memcpy(&w, ram + 0x2ffc, sizeof(w));
	clock_get(&vm, &now);
	boot_ns = w.sec * NSEC_PER_SEC + w.nsec;
	CHECK_EQ(w.version & 1, 0);
	CHECK(w.nsec < NSEC_PER_SEC);
	CHECK(boot_ns + now.guest_ns <= now.realtime_ns + 1000000);
	CHECK(boot_ns + now.guest_ns + NSEC_PER_SEC > now.realtime_ns);
	CHECK_EQ(rdmsr(1, MSR_KVM_WALL_CLOCK), 0x2ffc);
	destroy();
}

static void test_tsc(void)
{
	const uint64_t big = 100000000000ull;
	uint64_t hz = tsc_hz(), t, before;
	struct time_page p;

	create();
	CHECK_EQ(cpu[0]->tsc_offset, cpu[1]->tsc_offset);
	CHECK(rdmsr(0, MSR_TSC) < hz); /* started at 0 */
	/* Writing 0, as VMMs do at boot, keeps them in step. */
	set_msr(0, MSR_TSC, 0);
	set_msr(1, MSR_TSC, 0);
	CHECK_EQ(cpu[0]->tsc_offset, cpu[1]->tsc_offset);
	/* The same value for both, one after the other, as on restore. */
	set_msr(0, MSR_TSC, big);
	before = cpu[0]->tsc_offset;
	mock_sleep_ns(2000000);
	set_msr(1, MSR_TSC, big);
	CHECK_EQ(cpu[1]->tsc_offset, before);
	t = rdmsr(1, MSR_TSC);
	CHECK(t >= big + ns_to_tsc(2000000));
	CHECK(t < big + hz);
	CHECK(vm.tsc_synced);
	CHECK_EQ(cpu[0]->tsc_adjust, 0);
	/* Ten seconds off is a different TSC: vDSO must not use it. */
	set_msr(1, MSR_TSC, big + 10 * hz);
	CHECK(cpu[1]->tsc_offset - before > 9 * hz);
	CHECK(!vm.tsc_synced);
	wrmsr(0, MSR_KVM_SYSTEM_TIME_NEW, 0x800 | 1);
	publish_all();
	p = page_at(0x800);
	CHECK_EQ(p.flags, 0);
	clock_set_tsc_offset(&vc[1], before);
	CHECK(vm.tsc_synced);
	publish_all();
	p = page_at(0x800);
	CHECK_EQ(p.flags, 1);
	/* A guest's own writes show in TSC_ADJUST, and the other way round. */
	t = rdmsr(0, MSR_TSC);
	wrmsr(0, MSR_TSC_ADJUST, big);
	CHECK_EQ(rdmsr(0, MSR_TSC_ADJUST), big);
	CHECK(rdmsr(0, MSR_TSC) - t >= big);
	CHECK_EQ(cpu[0]->tsc_offset, before + big);
	wrmsr(0, MSR_TSC_ADJUST, 0);
	CHECK_EQ(cpu[0]->tsc_offset, before);
	wrmsr(0, MSR_TSC, 5 * big);
	CHECK(rdmsr(0, MSR_TSC) >= 5 * big);
	CHECK_EQ(rdmsr(0, MSR_TSC_ADJUST), cpu[0]->tsc_offset - before);
	/* User mode's write of TSC_ADJUST only restores the register. */
	t = cpu[0]->tsc_offset;
	set_msr(0, MSR_TSC_ADJUST, 0);
	CHECK_EQ(cpu[0]->tsc_offset, t);
	CHECK_EQ(clock_msr_write(&vc[0], 0x99, 0, false), MSR_UNKNOWN);
	CHECK_EQ(clock_msr_read(&vc[0], 0x99, &t), MSR_UNKNOWN);
	destroy();
}

/* Moving the TSC moves the deadline of the APIC timer with it. */
static void test_deadline_follows(void)
{
	create();
	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	vc[0].lapic = mock_cpus[0].lapic;
	wrmsr(0, MSR_TSC, 0);
	mock_write(0, 0x320, 0x40055);
	lapic_set_tsc_deadline(mock_cpus[0].lapic, 1000 * tsc_hz());
	CHECK_EQ(lapic_pending_vector(mock_cpus[0].lapic), -1);
	wrmsr(0, MSR_TSC, 1001 * tsc_hz());
	CHECK_EQ(lapic_pending_vector(mock_cpus[0].lapic), 0x55);
	vc[0].lapic = NULL;
	mock_destroy();
	destroy();
}

static void pv_wrmsr(struct vcpu_pv *pv, uint32_t msr, uint64_t v, int expected)
{
	CHECK_EQ(pv_msr_write(pv, msr, v), expected);
}

static bool in_service(struct lapic *l, uint8_t vector)
{
	struct lapic_state s;

	lapic_get_state(l, &s);
	return s.regs[0x100 + vector / 32 * 16 + vector % 32 / 8] >>
		       vector % 8 &
	       1;
}

static void test_pv_eoi(void)
{
	struct vcpu_pv pv;
	struct lapic *l;

	create();
	mock_create(IRQCHIP_FULL);
	mock_enable(0);
	l = mock_cpus[0].lapic;
	pv_init(&pv, cpu[0], l);
	irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x61);
	CHECK_EQ(irqchip_take_irq(l), 0x61);
	pv_eoi_offer(&pv);
	CHECK_EQ(ram[0x40], 0); /* not enabled */
	pv_wrmsr(&pv, MSR_KVM_EOI_EN, 0x40 | 3, MSR_GP);
	pv_wrmsr(&pv, MSR_KVM_EOI_EN, 0x40 | 1, MSR_OK);
	/* Offered, not taken: withdrawn. */
	pv_eoi_offer(&pv);
	CHECK_EQ(ram[0x40], 1);
	pv_eoi_collect(&pv);
	CHECK_EQ(ram[0x40], 0);
	CHECK(in_service(l, 0x61));
	/* Offered and taken. */
	pv_eoi_offer(&pv);
	CHECK_EQ(ram[0x40], 1);
	ram[0x40] = 0;
	pv_eoi_collect(&pv);
	CHECK(!in_service(l, 0x61));
	pv_eoi_offer(&pv);
	CHECK_EQ(ram[0x40], 0); /* nothing in service */
	/* Another one waits, or the I/O APIC does: no offer. */
	irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x62);
	CHECK_EQ(irqchip_take_irq(l), 0x62);
	irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x63);
	pv_eoi_offer(&pv);
	CHECK_EQ(ram[0x40], 0);
	lapic_eoi(l);
	CHECK_EQ(irqchip_take_irq(l), 0x63);
	lapic_eoi(l);
	irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x8064);
	CHECK_EQ(irqchip_take_irq(l), 0x64);
	pv_eoi_offer(&pv);
	CHECK_EQ(ram[0x40], 0);
	/* The page may vanish. */
	lapic_eoi(l);
	pv_wrmsr(&pv, MSR_KVM_EOI_EN, 0x7000000001, MSR_OK);
	irqchip_send_msi(mock_chip, 0xfee00000, 0, 0x61);
	CHECK_EQ(irqchip_take_irq(l), 0x61);
	pv_eoi_offer(&pv);
	pv_eoi_collect(&pv);
	CHECK(in_service(l, 0x61));
	mock_destroy();
	destroy();
}

static void test_pv_msrs(void)
{
	struct vcpu_pv pv;
	uint64_t v = 1;

	create();
	pv_init(&pv, cpu[0], NULL);
	pv_wrmsr(&pv, MSR_KVM_EOI_EN, 0x41, MSR_GP); /* no local APIC */
	pv_wrmsr(&pv, MSR_KVM_EOI_EN, 0, MSR_OK);
	for (uint32_t msr = MSR_KVM_ASYNC_PF_EN; msr <= MSR_KVM_ASYNC_PF_ACK;
	     msr++) {
		if (msr == MSR_KVM_EOI_EN || msr == MSR_KVM_POLL_CONTROL ||
		    msr == MSR_KVM_STEAL_TIME)
			continue;
		pv_wrmsr(&pv, msr, 0, MSR_OK);
		pv_wrmsr(&pv, msr, 0x1001, MSR_GP);
		CHECK_EQ(pv_msr_read(&pv, msr, &v), MSR_OK);
		CHECK_EQ(v, 0);
	}
	CHECK_EQ(pv_msr_read(&pv, MSR_KVM_POLL_CONTROL, &v), MSR_OK);
	CHECK_EQ(v, 1);
	pv_wrmsr(&pv, MSR_KVM_POLL_CONTROL, 2, MSR_GP);
	pv_wrmsr(&pv, MSR_KVM_POLL_CONTROL, 0, MSR_OK);
	pv_wrmsr(&pv, MSR_KVM_MIGRATION_CONTROL, 1, MSR_OK);
	pv_wrmsr(&pv, MSR_KVM_MIGRATION_CONTROL, 2, MSR_GP);
	pv_wrmsr(&pv, 0x4b564d20, 0, MSR_UNKNOWN);
	CHECK_EQ(pv_msr_read(&pv, 0x4b564d20, &v), MSR_UNKNOWN);
	destroy();
}

int main(void)
{
	test_kvmclock();
	test_wall_clock();
	test_tsc();
	test_deadline_follows();
	test_pv_eoi();
	test_pv_msrs();
	return test_done();
}
