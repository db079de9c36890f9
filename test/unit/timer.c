#include "host/timer.h"

#include <pthread.h>

#include "host/time.h"
#include "test/test.h"

#define MS 1000000ull

static struct timers *service;

static void test_rates(void)
{
	uint64_t start = time_now_ns(), hz = tsc_hz();
	uint64_t t0, t1, c0, c1, ns;

	CHECK(time_now_ns() - start < 400 * MS); /* 45 ms on an idle host */
	CHECK_EQ(tsc_hz(), hz);
	CHECK(tsc_khz() * 1000ull <= hz + 500);
	CHECK(tsc_khz() * 1000ull + 500 >= hz);
	CHECK(tsc_to_ns(hz) <= NSEC_PER_SEC);
	CHECK(tsc_to_ns(hz) >= NSEC_PER_SEC - 1);
	CHECK(tsc_to_ns(hz * 86400) <= 86400 * NSEC_PER_SEC);
	CHECK(tsc_to_ns(hz * 86400) >= 86400 * NSEC_PER_SEC - 10);
	CHECK(tsc_to_ns(UINT64_MAX) / NSEC_PER_SEC <= UINT64_MAX / hz);
	CHECK(tsc_to_ns(UINT64_MAX) / NSEC_PER_SEC >= UINT64_MAX / hz - 1);
	CHECK_EQ(ns_to_tsc(NSEC_PER_SEC), hz);
	CHECK_EQ(ns_to_tsc(UINT64_MAX), UINT64_MAX);
	/* Against the clock, over 100 ms: a preempted reading costs little. */
	t0 = time_now_ns();
	c0 = tsc_read();
	while (time_now_ns() < t0 + 100 * MS)
		;
	t1 = time_now_ns();
	c1 = tsc_read();
	ns = tsc_to_ns(c1 - c0);
	CHECK(ns + 5 * MS > t1 - t0);
	CHECK(ns < t1 - t0 + 5 * MS);
	/* A deadline that has passed is now; one far away does not overflow. */
	t0 = time_now_ns();
	CHECK(tsc_deadline_ns(1) >= t0);
	CHECK(tsc_deadline_ns(tsc_read() + hz) >= t0 + NSEC_PER_SEC - 1000);
	CHECK(tsc_deadline_ns(UINT64_MAX) > t0 + NSEC_PER_SEC);
}

/* Paravirtual clocks: the formula must stay close for any rate. */
static void test_scale(void)
{
	static const uint64_t rates[] = { 100000000,  999999999,  1000000000,
					  1000000001, 2300000000, 3999999999,
					  5000000000, 12345678901 };

	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		struct time_scale s = time_scale_init(rates[i], NSEC_PER_SEC);
		uint64_t ns = time_scale(s, rates[i] * 1000);
		uint64_t exact = 1000 * NSEC_PER_SEC;

		CHECK(s.mul >= 1u << 31);
		CHECK(ns <= exact + exact / 1000000000 + 2);
		CHECK(ns >= exact - exact / 1000000000 - 2);
	}
}

struct probe {
	struct timer timer;
	int fired;
	int order;
	uint64_t when_ns;
	uint64_t period_ns;
};

static int next_order;

static void probe_fn(struct timer *t)
{
	struct probe *p = container_of(t, struct probe, timer);

	p->when_ns = time_now_ns();
	p->order = next_order++;
	if (p->period_ns)
		timer_start(t, t->deadline_ns + p->period_ns);
	__atomic_add_fetch(&p->fired, 1, __ATOMIC_SEQ_CST);
}

static int fired(struct probe *p)
{
	return __atomic_load_n(&p->fired, __ATOMIC_SEQ_CST);
}

static void wait_fired(struct probe *p, int count)
{
	uint64_t end = time_now_ns() + 2 * NSEC_PER_SEC;

	while (fired(p) < count && time_now_ns() < end)
		;
	CHECK(fired(p) >= count);
}

static void test_order(void)
{
	static struct probe p[20];
	uint64_t start;

	for (int i = 0; i < 20; i++)
		CHECK_EQ(timer_init(&p[i].timer, service, probe_fn), 0);
	start = time_now_ns() + 20 * MS;
	/* Started in a scrambled order, some stopped, some moved. */
	for (int i = 0; i < 20; i++) {
		int k = i * 7 % 20;

		timer_start(&p[k].timer, start + (uint64_t)k * MS / 4);
	}
	timer_stop(&p[3].timer);
	timer_stop(&p[3].timer);
	timer_start(&p[5].timer, start + 10 * MS);
	timer_start(&p[6].timer, UINT64_MAX);
	wait_fired(&p[5], 1);
	CHECK_EQ(fired(&p[3]), 0);
	CHECK_EQ(fired(&p[6]), 0);
	for (int i = 0, seen = 0; i < 20; i++) {
		if (i == 3 || i == 6)
			continue;
		CHECK_EQ(fired(&p[i]), 1);
		CHECK_EQ(p[i].order, i == 5 ? 17 : seen++);
		CHECK(p[i].when_ns >= p[i].timer.deadline_ns);
	}
	for (int i = 0; i < 20; i++)
		timer_finish(&p[i].timer);
}

/* Absolute deadlines: late callbacks do not make the next ones later. */
static void test_periodic(void)
{
	static struct probe p = { .period_ns = MS };
	uint64_t start;

	CHECK_EQ(timer_init(&p.timer, service, probe_fn), 0);
	start = time_now_ns();
	timer_start(&p.timer, start + MS);
	wait_fired(&p, 300);
	CHECK(time_now_ns() - start >= 300 * MS);
	CHECK(time_now_ns() - start < 400 * MS);
	timer_finish(&p.timer);
	start = (uint64_t)fired(&p);
	while (time_now_ns() < p.when_ns + 10 * MS)
		;
	CHECK_EQ(fired(&p), start);
}

/* Stopping and starting from many threads loses nothing and hangs nothing. */
static void *hammer(void *arg)
{
	struct probe *p = arg;

	for (int i = 0; i < 20000; i++) {
		timer_start(&p->timer, time_now_ns() + (uint64_t)(i % 3) * 500);
		if (i % 3 == 2)
			timer_stop(&p->timer);
	}
	timer_start(&p->timer, time_now_ns());
	return NULL;
}

static void test_races(void)
{
	static struct probe p[2];
	pthread_t threads[2];
	int before[2];

	for (int i = 0; i < 2; i++) {
		CHECK_EQ(timer_init(&p[i].timer, service, probe_fn), 0);
		pthread_create(&threads[i], NULL, hammer, &p[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 2; i++) {
		wait_fired(&p[i], 1);
		before[i] = fired(&p[i]);
		timer_start(&p[i].timer, 0);
		wait_fired(&p[i], before[i] + 1);
		timer_finish(&p[i].timer);
	}
}

int main(void)
{
	test_rates();
	test_scale();
	CHECK_EQ(timers_create(&service), 0);
	test_order();
	test_periodic();
	test_races();
	timers_destroy(service);
	return test_done();
}
