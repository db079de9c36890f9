/*
 * What is remembered of pages of code (mmu/mirror_scan.c): the same answers as
 * scan_page()'s, and one entry for each that differs.
 */
#include <stdlib.h>
#include <string.h>

#include "mmu/mirror_int.h"
#include "test/test.h"
#include "x86/scan.h"

static struct mirror *m;
static uint8_t pages[3 * PAGE_SIZE];
#define BEFORE pages
#define CODE   (pages + PAGE_SIZE)
#define NEXT   (pages + 2 * PAGE_SIZE)

static unsigned int nr_seen(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MIRROR_SEEN; i++)
		n += m->seen[i] != 0;
	return n;
}

static bool same(const uint8_t *before, const uint8_t *next,
		 unsigned int faults)
{
	bool want = scan_page(CODE, before, next, faults);

	return mirror_scan(m, CODE, before, next, faults) == want &&
	       mirror_scan(m, CODE, before, next, faults) == want;
}

static void nops(void)
{
	memset(pages, 0x90, sizeof(pages));
}

static void test_answers(void)
{
	nops();
	CHECK(same(BEFORE, NEXT, 0));
	CHECK_EQ(nr_seen(), 1);
	/* CPUID, which may be one that faults. */
	memcpy(CODE + 100, "\x0f\xa2", 2);
	CHECK(same(BEFORE, NEXT, 0));
	CHECK(mirror_scan(m, CODE, BEFORE, NEXT, 0));
	CHECK(same(BEFORE, NEXT, SCAN_CPUID_FAULTS));
	CHECK(!mirror_scan(m, CODE, BEFORE, NEXT, SCAN_CPUID_FAULTS));
	CHECK_EQ(nr_seen(), 3);
	nops();
	CHECK(!mirror_scan(m, CODE, BEFORE, NEXT, 0));
	CHECK_EQ(nr_seen(), 3);
}

/* A neighbour makes an instruction another one. */
static void test_neighbours(void)
{
	nops();
	CODE[PAGE_SIZE - 1] = 0x0f;
	CHECK(same(BEFORE, NEXT, 0));
	NEXT[0] = 0xa2;
	CHECK(same(BEFORE, NEXT, 0));
	CHECK(mirror_scan(m, CODE, BEFORE, NEXT, 0));
	CHECK(same(BEFORE, NULL, 0));
	CHECK(same(NULL, NEXT, 0));
	CHECK(same(NULL, NULL, 0));
	/* The first byte of a MOV whose constant looks like CPUID. */
	nops();
	BEFORE[PAGE_SIZE - 1] = 0xb8;
	memcpy(CODE, "\x0f\xa2", 2);
	CHECK(same(BEFORE, NEXT, 0));
	BEFORE[PAGE_SIZE - 1] = 0x90;
	CHECK(same(BEFORE, NEXT, 0));
	CHECK(mirror_scan(m, CODE, BEFORE, NEXT, 0));
}

static void test_random(void)
{
	srandom(1);
	for (int i = 0; i < 2000; i++) {
		nops();
		for (int k = 0; k < 4; k++)
			memcpy(pages + PAGE_SIZE - 96 + random() % 4200,
			       &(uint16_t){ (uint16_t)random() }, 2);
		memcpy(CODE + random() % 4000, "\x0f\x01\x00", 3);
		CODE[random() % PAGE_SIZE] ^= 1 << random() % 8;
		CHECK(same(random() % 2 ? BEFORE : NULL, NEXT, 0));
	}
}

int main(void)
{
	m = mirror_create();
	CHECK(m);
	test_answers();
	test_neighbours();
	test_random();
	mirror_destroy(m);
	return test_done();
}
