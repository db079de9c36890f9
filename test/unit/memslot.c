/*
 * Memory slots: KVM's rules and errors, what a new set shares with the old one,
 * look-ups against a linear search, the dirty log.
 */
#include "mmu/memslot.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "test/test.h"

#define HVA(n) ((uint8_t *)(uintptr_t)(0x7f0000000000ull + (n)*PAGE_SIZE))
#define DIRTY  MEMSLOT_DIRTY_LOG
#define RO     MEMSLOT_READONLY

static struct memslots *set;

/* Updates @set as the API does: build, publish, retire. */
static int update(uint32_t id, uint32_t flags, gpa_t gpa, uint64_t size,
		  uint8_t *hva)
{
	struct memslots *new = NULL;
	int r = memslots_update(set, id, flags, gpa, size, hva, &new);

	if (r)
		return r;
	memslots_retire(set, new);
	set = new;
	return 0;
}

static void drop(void)
{
	memslots_free(set);
	set = NULL;
}

static const struct memslot *by_id(uint32_t id)
{
	for (uint32_t i = 0; i < set->nr; i++)
		if (set->slot[i].id == id)
			return &set->slot[i];
	return NULL;
}

static void test_arguments(void)
{
	static const struct {
		uint32_t id, flags;
		uint64_t gpa, size, hva;
		int result;
	} row[] = {
		{ 0, 0, 0x1000, 0x1000, 0x10000, 0 },
		{ 1, 0, 0x1800, 0x1000, 0x10000, -EINVAL },
		{ 1, 0, 0x2000, 0x1800, 0x10000, -EINVAL },
		{ 1, 0, 0x2000, 0x1000, 0x10800, -EINVAL },
		{ 1, 4, 0x2000, 0x1000, 0x10000, -EINVAL },
		{ 1, BIT(31), 0x2000, 0x1000, 0x10000, -EINVAL },
		{ 32764, 0, 0x2000, 0x1000, 0x10000, -EINVAL },
		{ 0x10001, 0, 0x2000, 0x1000, 0x10000, -EINVAL },
		{ 1, 0, -0x1000, 0x2000, 0x10000, -EINVAL },
		{ 1, 0, BIT(52), 0x1000, 0x10000, -EINVAL },
		{ 1, 0, BIT(52) - 0x1000, 0x2000, 0x10000, -EINVAL },
		{ 1, 0, BIT(52) - 0x1000, 0x1000, 0x10000, 0 },
		{ 2, 0, 0x2000, BIT(43), 0x10000, -EINVAL },
		{ 2, 0, 0x2000, 0x1000, BIT(47) - 0x1000, -EINVAL },
		{ 2, 0, 0x2000, 0x1000, BIT(63), -EINVAL },
		{ 2, 0, 0x2000, 0x2000, -0x1000, -EINVAL },
		{ 32763, DIRTY | RO, 0x2000, 0x1000, 0x10000, 0 },
		/* delete what is not there; misaligned deletes */
		{ 5, 0, 0, 0, 0, -EINVAL },
		{ 0, 0, 0x1001, 0, 0, -EINVAL },
		{ 0, 8, 0x1000, 0, 0, -EINVAL },
		{ 0, 0, BIT(60), 0, 0, 0 },
		{ 0, 0, 0, 0, 0, -EINVAL },
	};

	CHECK_EQ(update(0, 0, 0, 0, NULL), -EINVAL);
	CHECK(!set);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		int r = update(row[i].id, row[i].flags, row[i].gpa, row[i].size,
			       (uint8_t *)(uintptr_t)row[i].hva);

		CHECK_EQ(r, row[i].result);
		if (r != row[i].result)
			printf("row %zu\n", i);
	}
	CHECK_EQ(set->nr, 2);
	CHECK_EQ(set->generation, 4);
	drop();
}

static void test_overlap(void)
{
	CHECK_EQ(update(1, 0, 0x10000, 0x4000, HVA(0)), 0);
	CHECK_EQ(update(2, 0, 0x13000, 0x1000, HVA(8)), -EEXIST);
	CHECK_EQ(update(2, 0, 0xf000, 0x2000, HVA(8)), -EEXIST);
	CHECK_EQ(update(2, 0, 0x11000, 0x1000, HVA(8)), -EEXIST);
	CHECK_EQ(update(2, 0, 0xf000, 0x8000, HVA(8)), -EEXIST);
	CHECK_EQ(update(2, 0, 0x14000, 0x1000, HVA(8)), 0);
	CHECK_EQ(update(3, 0, 0xf000, 0x1000, HVA(8)), 0);
	/* moves: over itself, onto another, next to another */
	CHECK_EQ(update(1, 0, 0x11000, 0x4000, HVA(0)), -EEXIST);
	CHECK_EQ(update(2, 0, 0x15000, 0x1000, HVA(8)), 0);
	CHECK_EQ(update(1, 0, 0x11000, 0x4000, HVA(0)), 0);
	CHECK_EQ(by_id(1)->gpa, 0x11000);
	CHECK_EQ(set->nr, 3);
	for (uint32_t i = 1; i < set->nr; i++)
		CHECK(set->slot[i - 1].gpa < set->slot[i].gpa);
	drop();
}

static void test_modify(void)
{
	struct memslots *same = NULL;
	uint8_t *flags;
	uint64_t *dirty;

	CHECK_EQ(update(7, 0, 0x10000, 0x4000, HVA(0)), 0);
	CHECK_EQ(update(8, DIRTY, 0x20000, 0x4000, HVA(16)), 0);
	CHECK_EQ(memslots_update(set, 7, 0, 0x10000, 0x4000, HVA(0), &same), 0);
	CHECK(same == set);
	CHECK_EQ(update(7, 0, 0x10000, 0x5000, HVA(0)), -EINVAL);
	CHECK_EQ(update(7, 0, 0x10000, 0x4000, HVA(1)), -EINVAL);
	CHECK_EQ(update(7, RO, 0x10000, 0x4000, HVA(0)), -EINVAL);
	CHECK_EQ(update(7, RO, 0x20000, 0x4000, HVA(0)), -EINVAL);

	/* the dirty log comes and goes, page flags stay */
	flags = by_id(7)->page_flags;
	flags[1] = PGF_CODE;
	CHECK(!by_id(7)->dirty);
	CHECK_EQ(update(7, DIRTY, 0x10000, 0x4000, HVA(0)), 0);
	CHECK(by_id(7)->page_flags == flags);
	dirty = by_id(7)->dirty;
	CHECK_EQ(*dirty, 0);
	memslot_mark_dirty(by_id(7), 0x12345);
	CHECK_EQ(*dirty, 4);

	/* a move takes the log along, with fresh page flags */
	CHECK_EQ(update(7, DIRTY, 0x30000, 0x4000, HVA(0)), 0);
	CHECK(by_id(7)->dirty == dirty);
	CHECK_EQ(*dirty, 4);
	CHECK_EQ(by_id(7)->page_flags[1], 0);
	CHECK_EQ(update(7, 0, 0x30000, 0x4000, HVA(0)), 0);
	CHECK(!by_id(7)->dirty);
	memslot_mark_dirty(by_id(7), 0x30000);

	CHECK_EQ(update(8, 0, 0, 0, NULL), 0);
	CHECK_EQ(set->nr, 1);
	CHECK_EQ(update(7, 0, 0, 0, NULL), 0);
	CHECK_EQ(set->nr, 0);
	CHECK(!memslot_find(set, 0x30000));
	drop();
}

/* An update that is not published is undone without harm to the old set. */
static void test_undo(void)
{
	struct memslots *new;

	CHECK_EQ(update(1, 0, 0x10000, 0x4000, HVA(0)), 0);
	CHECK_EQ(update(2, DIRTY, 0x20000, 0x4000, HVA(8)), 0);
	CHECK_EQ(memslots_update(set, 1, DIRTY, 0x40000, 0x4000, HVA(0), &new),
		 0);
	memslots_retire(new, set);
	CHECK_EQ(memslots_update(set, 3, DIRTY, 0x50000, 0x4000, HVA(0), &new),
		 0);
	memslots_retire(new, set);
	by_id(1)->page_flags[3] = 1;
	by_id(2)->dirty[0] = 1;
	CHECK_EQ(by_id(1)->gpa, 0x10000);
	drop();
}

static const struct memslot *linear_find(gpa_t gpa)
{
	for (uint32_t i = 0; i < set->nr; i++)
		if (gpa >= set->slot[i].gpa &&
		    gpa < set->slot[i].gpa + set->slot[i].size)
			return &set->slot[i];
	return NULL;
}

static uint64_t rng = 1;

static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Random updates and look-ups; gpa space of 256 pages, up to 24 slots. */
static void test_random(void)
{
	uint32_t hint = 0;

	for (int n = 0; n < 4000; n++) {
		uint32_t id = next_random() % 24;
		gpa_t gpa = next_random() % 256 * PAGE_SIZE;
		uint64_t size = next_random() % 12 * PAGE_SIZE;

		update(id, next_random() % 4, gpa, size, HVA(id * 64));
		for (int k = 0; set && k < 20; k++) {
			const struct memslot *s;

			gpa = next_random() % (270 * PAGE_SIZE);
			s = linear_find(gpa);
			CHECK(memslot_find(set, gpa) == s);
			CHECK(memslot_find_hint(set, &hint, gpa) == s);
			if (s) {
				CHECK_EQ(hint, s - set->slot);
				s->page_flags[(gpa - s->gpa) / PAGE_SIZE]++;
				memslot_mark_dirty(s, gpa);
			}
		}
	}
	CHECK(set->nr > 8);
	drop();
}

static void test_edges(void)
{
	uint32_t hint = 77;

	CHECK(!memslot_find(NULL, 0));
	CHECK(!memslot_find_hint(NULL, &hint, 0));
	CHECK_EQ(update(0, 0, 0x1000, 0x1000, HVA(0)), 0);
	CHECK(!memslot_find(set, 0xfff));
	CHECK(memslot_find(set, 0x1000) == &set->slot[0]);
	CHECK(memslot_find_hint(set, &hint, 0x1fff) == &set->slot[0]);
	CHECK_EQ(hint, 0);
	CHECK(!memslot_find_hint(set, &hint, 0x2000));
	CHECK(memslot_hva(&set->slot[0], 0x1234) == HVA(0) + 0x234);
	drop();
	/* a big slot: its tables are only reserved */
	CHECK_EQ(update(0, DIRTY, 0, BIT(43) - PAGE_SIZE, (uint8_t *)PAGE_SIZE),
		 0);
	memslot_mark_dirty(&set->slot[0], BIT(43) - PAGE_SIZE - 1);
	CHECK_EQ(set->slot[0].dirty[BIT(31) / 64 - 1], BIT(62));
	drop();
}

/*
 * All the slots there can be.  Each update copies the array: sanitizer builds,
 * where that takes a minute, make fewer unless the environment says FULL=1.
 */
static uint32_t many(void)
{
#ifdef RING3_SANITIZE
	if (!getenv("FULL"))
		return MEMSLOT_MAX / 16;
#endif
	return MEMSLOT_MAX;
}

static void test_many(void)
{
	const uint32_t nr = many();
	uint32_t hint = 0, wrong = 0, failed = 0;

	for (uint32_t i = 0; i < nr; i++)
		failed +=
			update(i, 0, i * 2 * PAGE_SIZE, PAGE_SIZE, HVA(i)) != 0;
	CHECK_EQ(failed, 0);
	CHECK_EQ(set->nr, nr);
	CHECK_EQ(update(MEMSLOT_MAX, 0, nr * 2 * PAGE_SIZE, PAGE_SIZE, HVA(0)),
		 -EINVAL);
	for (uint32_t i = 0; i < nr; i++) {
		gpa_t gpa = i * 2 * PAGE_SIZE + i % PAGE_SIZE;
		const struct memslot *s = memslot_find(set, gpa);

		wrong += !s || s->id != i;
		wrong += memslot_find_hint(set, &hint, gpa) != s;
		wrong += memslot_find(set, gpa + PAGE_SIZE) != NULL;
	}
	CHECK_EQ(wrong, 0);
	drop();
}

int main(void)
{
	/* Keep memory: test_many replaces 1.5 MB arrays 32764 times. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	test_arguments();
	test_overlap();
	test_modify();
	test_undo();
	test_random();
	test_edges();
	test_many();
	return test_done();
}
