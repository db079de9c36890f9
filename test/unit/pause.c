/*
 * PAUSE: a loop of it exits when it has been spinning for a window's time, and
 * no sooner; single ones and those far apart never do.
 */
#include "test/unit/machine.h"

static enum cpu_result pause(void)
{
	return cpu_ops[ID_PAUSE](c, NULL);
}

static void far_apart(void)
{
	uint64_t start = __builtin_ia32_rdtsc();

	while (__builtin_ia32_rdtsc() - start < 20000)
		;
}

int main(void)
{
	uint64_t start, spun;

	machine_create();
	start64(0);
	c->spin.window = 0;
	CHECK_EQ(pause(), CPU_OK);
	c->spin.window = SPIN_WINDOW;
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(pause(), CPU_OK);
		c->spin.begins = false;
		far_apart();
	}
	CHECK_EQ(pause(), CPU_OK);
	CHECK(c->spin.begins);

	/* A preempted test only begins anew: the gap is too long. */
	while (pause() == CPU_OK)
		;
	start = c->spin.start;
	spun = c->spin.last - start;
	CHECK_EQ(c->exit.reason, EXIT_PAUSE);
	CHECK(spun >= SPIN_WINDOW);

	c->spin.window = ~0u;
	CHECK_EQ(pause(), CPU_OK);
	return test_done();
}
