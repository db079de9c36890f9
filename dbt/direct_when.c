#include "dbt/dbt_int.h"
#include "host/time.h"
#include "mmu/mirror.h"

/*
 * Which guest processes have runners, and when: those that compute for some
 * time whenever they are in user mode.  A burst is what translated user code
 * runs from one return of the guest's kernel to its next entry.
 */

/* Microseconds of a burst, on average, from which a runner pays, and until
 * which it still does; and what a process has to have computed before. */
#define ENTER_US  25
#define LEAVE_US  12
#define CREDIT_US 5000

/* Of a stop, what is not the guest's, in microseconds; and how many times
 * longer translated code takes. */
#define STOP_US	     5
#define STOP_MOST_US 20
#define SLOWER	     4

/*
 * What a burst in a runner would be without it is but estimated.  So now and
 * then some are translated, of which the first ones, with cold caches, do not
 * count; if they take less the runner is given up and the process has to
 * compute for twice as long before it gets another one.  If a burst takes much
 * longer than a runner's stops there is nothing to find out.
 */
#define TRIAL_COLD   8
#define TRIAL_BURSTS 16
#define TRIAL_FIRST  64
#define TRIAL_LAST   4096
#define TRIAL_US     400
#define MAX_DOUBLED  6

/* More than this tells nothing but that the host did something else meanwhile.
 */
#define BURST_MAX_US (3 * ENTER_US)
#define TURN_MAX_US  (4 * TRIAL_US)

/* But two such in a row are a process that computes. */
#define LONG_US 1000

static uint64_t average(uint64_t mean, uint64_t value, uint64_t most)
{
	uint64_t v = value < most ? value : most;

	return mean + (int64_t)(v - mean) / 8;
}

void direct_burst(struct direct *d, uint64_t cycles)
{
	struct mirror_load *k = d->load;

	k->mean = average(k->mean, cycles, BURST_MAX_US * d->us);
}

/*
 * The shortest ones are nothing but stops.  How long these take depends on what
 * else the host does; whoever takes it for constant believes that code computes
 * that stops all the time.
 */
static void learn_stop(struct direct *d, uint64_t cycles)
{
	const uint64_t least = STOP_US * d->us, most = STOP_MOST_US * d->us;
	uint64_t stop = d->stop + d->stop / 256;

	if (stop > cycles)
		stop = cycles;
	if (stop < least)
		stop = least;
	d->stop = stop < most ? stop : most;
}

void direct_stay(struct direct *d, uint64_t cycles)
{
	learn_stop(d, cycles);
	direct_burst(d, cycles > 2 * d->stop ? (cycles - d->stop) * SLOWER : 1);
}

bool direct_stays(const struct direct *d)
{
	return d->load->mean > LEAVE_US * d->us;
}

void direct_turn(struct direct *d, uint64_t cycles)
{
	struct mirror_load *k = d->load;

	k->cost = average(k->cost, cycles, TURN_MAX_US * d->us);
	if (k->cost > TRIAL_US * d->us)
		k->turns = 0;
	else
		k->turns++;
	if (!k->interval)
		k->interval = TRIAL_FIRST;
	if (k->turns < k->interval)
		return;
	k->turns = 0;
	k->trial = 1;
	k->sum = 0;
}

/* One more burst of a trial. */
static void trial_burst(struct mirror_load *k, uint64_t cycles)
{
	if (k->trial++ <= TRIAL_COLD)
		return;
	k->sum += cycles;
	if (k->sum > TRIAL_BURSTS * k->cost) {
		k->trial = 0;
		if (k->interval < TRIAL_LAST)
			k->interval *= 2;
	} else if (k->trial > TRIAL_COLD + TRIAL_BURSTS) {
		k->trial = 0;
		k->interval = TRIAL_FIRST;
		k->mean = k->sum / TRIAL_BURSTS;
		k->cycles = 0;
		k->nr_failures += k->nr_failures < MAX_DOUBLED;
	}
}

/* A burst of user code that was translated is over. */
static void burst_over(struct direct *d)
{
	struct mirror_load *k = d->load;
	uint64_t cycles = d->burst;

	if (!cycles)
		return;
	d->burst = 0;
	k->cycles += cycles;
	direct_burst(d, cycles);
	if (k->was_long && cycles > LONG_US * d->us)
		k->mean = BURST_MAX_US * d->us;
	k->was_long = cycles > LONG_US * d->us;
	if (k->trial)
		trial_burst(k, cycles);
}

static bool pays(const struct direct *d)
{
	const struct mirror_load *k = d->load;

	return !k->trial && k->mean > ENTER_US * d->us &&
	       k->cycles > (CREDIT_US * d->us) << k->nr_failures;
}

void direct_ends(struct cpu *c)
{
	struct direct *d = &vcpu_dbt(c)->direct;

	if (!d->since)
		return;
	d->burst = tsc_rough() - d->since;
	d->since = 0;
}

bool direct_returns(struct cpu *c)
{
	struct direct *d = &vcpu_dbt(c)->direct;

	if (likely(d->mode == DIRECT_OFF))
		return false;
	burst_over(d);
	d->load = mirror_load(d->mirror, c->mmu.cr3);
	d->want = d->mode == DIRECT_ALWAYS || pays(d);
	d->since = tsc_rough();
	return d->want;
}
