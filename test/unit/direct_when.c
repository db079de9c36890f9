/*
 * Which process gets a runner, and when it is given up: the policy of
 * dbt/direct_when.c, fed with times.
 */
#include "dbt/dbt_int.h"
#include "mmu/mirror.h"
#include "test/test.h"

#define US 1000ull /* cycles of a microsecond */

static struct cpu cpu;
static struct vcpu_dbt state;
static struct direct *const d = &state.direct;

static void begin(uint64_t cr3)
{
	cpu.dbt[D_STATE] = (uintptr_t)&state;
	cpu.mmu.cr3 = cr3;
	d->mode = DIRECT_AUTO;
	d->us = US;
	d->burst = 0;
	if (!d->mirror)
		d->mirror = mirror_create();
	d->load = mirror_load(d->mirror, cr3);
}

/* Some translated bursts of @us; whether the next one is to be by a runner. */
static bool bursts(unsigned int nr, uint64_t us)
{
	bool want = false;

	for (unsigned int i = 0; i < nr; i++) {
		d->burst = us * US;
		want = direct_returns(&cpu);
	}
	return want;
}

/* Some turns by a runner, each @us; whether it goes on. */
static bool turns(unsigned int nr, uint64_t us)
{
	bool want = true;

	for (unsigned int i = 0; i < nr && want; i++) {
		direct_turn(d, us * US);
		want = direct_returns(&cpu);
	}
	return want;
}

static void test_enter(void)
{
	begin(0x1000);
	/* It has to compute for a while, in bursts that are long enough. */
	CHECK(!bursts(10, 100));
	CHECK(bursts(100, 100));
	begin(0x2000);
	CHECK(!bursts(10000, 5));
	/* One long burst may be the host's doing. */
	CHECK(!bursts(1, 9000));
	CHECK(!bursts(100, 5));
	CHECK(!bursts(1, 4000));
	CHECK(bursts(1, 4000));
	/* Each process has its own account. */
	begin(0x1000);
	CHECK(direct_returns(&cpu));
}

static void test_trial_lost(void)
{
	begin(0x3000);
	CHECK(bursts(200, 100));
	CHECK(turns(63, 50));
	CHECK(!turns(1, 50));
	/* The first ones are cold; what follows takes less than the runner. */
	CHECK(!bursts(8, 200));
	CHECK(!bursts(16, 10));
	CHECK_EQ(d->load->nr_failures, 1);
	/* Twice as long this time. */
	CHECK(!bursts(100, 100));
	CHECK(bursts(100, 100));
}

static void test_trial_won(void)
{
	begin(0x4000);
	CHECK(bursts(200, 100));
	CHECK(turns(63, 50));
	CHECK(!turns(1, 50));
	CHECK(!bursts(8, 200));
	/* Sixteen turns take 800 us. */
	CHECK(!bursts(3, 200));
	CHECK(bursts(2, 200));
	CHECK_EQ(d->load->nr_failures, 0);
	/* The next trial comes later; none if turns are long. */
	CHECK(turns(127, 50));
	CHECK(!turns(1, 50));
	begin(0x5000);
	CHECK(bursts(200, 100));
	CHECK(turns(40, 3000));
	CHECK(turns(2000, 1000));
}

/* Code that stops all the time, where stops take more than they should. */
static void test_stops(void)
{
	begin(0x6000);
	CHECK(bursts(200, 100));
	for (unsigned int i = 0; i < 1000; i++)
		direct_stay(d, (11 + i % 5) * US);
	CHECK(!direct_stays(d));
	/* What computes between them goes on. */
	for (unsigned int i = 0; i < 1000; i++)
		direct_stay(d, 50 * US);
	CHECK(direct_stays(d));
}

int main(void)
{
	test_enter();
	test_stops();
	test_trial_lost();
	test_trial_won();
	mirror_destroy(d->mirror);
	return test_done();
}
