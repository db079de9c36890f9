/*
 * Random tables, random processor states, random accesses: the page walker and
 * the model must agree on every one.  The seed is fixed.
 */
#include "test/test.h"
#include "test/walk_rig.h"

#define ROUNDS	 512
#define ROLES	 64 /* a round */
#define ACCESSES 64 /* a role */

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1d;
}

static void fill(struct rig *r)
{
	for (unsigned int page = 0; page < RIG_PAGES; page++)
		for (unsigned int i = 0; i < 1024; i++)
			rig_poke(r, page, i, rig_entry(next_random()));
}

static bool same_dirty(const struct rig *r, const uint8_t *before)
{
	const uint64_t part = RIG_PAGES / RIG_SLOTS * PAGE_SIZE;

	for (int page = 0; page < RIG_PAGES; page++) {
		const struct memslot *s = memslot_find(
			r->mmu.slots,
			r->model.region[page * PAGE_SIZE / part].gpa);
		bool changed = memcmp(before + page * PAGE_SIZE,
				      r->mem + page * PAGE_SIZE, PAGE_SIZE);

		if (s->dirty &&
		    changed !=
			    (s->dirty[0] >> page % (RIG_PAGES / RIG_SLOTS) & 1))
			return false;
		if (!s->dirty && changed)
			return false;
	}
	return true;
}

static void clear_dirty(struct rig *r)
{
	for (uint32_t i = 0; i < r->mmu.slots->nr; i++)
		if (r->mmu.slots->slot[i].dirty)
			r->mmu.slots->slot[i].dirty[0] = 0;
}

int main(void)
{
	static uint8_t before[RIG_PAGES * PAGE_SIZE];
	unsigned long differ = 0, translated = 0, total = 0;
	struct rig r;

	CHECK(rig_init(&r));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		rig_role(&r, round, next_random());
		fill(&r);
		memcpy(before, r.mem, sizeof(before));
		clear_dirty(&r);
		for (int k = 0; k < ROLES; k++) {
			rig_role(&r, round, next_random());
			for (int i = 0; i < ACCESSES; i++) {
				uint64_t v = next_random();
				bool ok;

				differ += !rig_access(&r, next_random(),
						      rig_access_kind(v >> 56),
						      &ok);
				translated += ok;
				total++;
			}
		}
		CHECK(rig_same_memory(&r));
		CHECK(same_dirty(&r, before));
	}
	CHECK_EQ(differ, 0);
	CHECK(total >= 1000000);
	/* Both outcomes must be common, or the test says little. */
	CHECK(translated > total / 5 && translated < total * 4 / 5);
	printf("%lu accesses, %lu translated\n", total, translated);
	rig_free(&r);
	return test_done();
}
