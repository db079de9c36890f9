#include "mmu/mirror_int.h"

#include "x86/scan.h"

/*
 * A page with a few instructions that must not run natively (x86/scan.h) can be
 * executed with a breakpoint of the processor's at each of them.
 */

/* Whether the breakpoint is of no use any more. */
static bool is_free(struct mirror_space *s, gva_t page)
{
	const struct mirror_table *t = page ? mirror_find(s, page) : NULL;

	return !t || !(t->pte[page >> PAGE_SHIFT & 511] & MAPPED_X);
}

static unsigned int nr_free(struct mirror_space *s)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < RUNNER_BREAKS; k++)
		n += is_free(s, s->stop[k].page);
	return n;
}

/* The page that has had some for longest, and for long; 0: there is none. */
static gva_t oldest(struct mirror_space *s)
{
	uint64_t since = s->used - MIRROR_STOPS_KEPT;
	gva_t page = 0;

	for (unsigned int k = 0; k < RUNNER_BREAKS; k++) {
		if (is_free(s, s->stop[k].page) ||
		    (int64_t)(s->stop[k].since - since) > 0)
			continue;
		since = s->stop[k].since;
		page = s->stop[k].page;
	}
	return page;
}

/* Takes them from other pages, which are mapped anew when they are used. */
static bool make_free(struct mirror_space *s, unsigned int nr)
{
	while (nr_free(s) < nr) {
		gva_t page = oldest(s);

		if (!page || runner_unmap(s->runner, page, PAGE_SIZE))
			return false;
		mirror_find(s, page)->pte[page >> PAGE_SHIFT & 511] = 0;
	}
	return true;
}

static bool stop_set(struct mirror_space *s, unsigned int k, gva_t page,
		     gva_t at)
{
	s->stop[k].page = 0;
	if (runner_break(s->runner, k, at))
		return false;
	s->stop[k].page = page;
	s->stop[k].since = s->used;
	return true;
}

bool mirror_stops_set(struct mirror_space *s, struct mmu *mmu,
		      const struct mirror_table *t, unsigned int i,
		      const uint8_t *page, unsigned int faults)
{
	const gva_t gva = t->gva + i * PAGE_SIZE;
	int at[RUNNER_BREAKS], nr;

	if (!runner_can_break())
		return false;
	nr = scan_list(page, mirror_bytes(mmu, t, i - 1),
		       mirror_bytes(mmu, t, i + 1), faults, at, RUNNER_BREAKS);
	mirror_stops_drop(s, gva);
	if (nr <= 0 || !make_free(s, nr))
		return false;
	for (unsigned int k = 0; k < RUNNER_BREAKS && nr; k++) {
		if (!is_free(s, s->stop[k].page))
			continue;
		if (!stop_set(s, k, gva, gva + at[--nr])) {
			mirror_stops_drop(s, gva);
			return false;
		}
	}
	return true;
}

void mirror_stops_drop(struct mirror_space *s, gva_t gva)
{
	for (unsigned int k = 0; k < RUNNER_BREAKS; k++)
		if (s->stop[k].page == gva)
			stop_set(s, k, 0, RUNNER_NO_BREAK);
}
