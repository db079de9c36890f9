#pragma once

#include "fuzz/insn/case.h"

/*
 * The memory that cases work on, in two incarnations: native, at its own
 * addresses, and as guest memory.  Its contents are always the same before a
 * case, but for the case's code and patches.
 */
enum arena_kind {
	ARENA_RW,
	ARENA_RO,
	ARENA_CODE_RWX,
	ARENA_MMIO, /* in the guest; natively absent */
};

struct arena_page {
	uint64_t addr;
	uint8_t kind; /* enum arena_kind */
};

#define ARENA_MAX_PAGES 32
extern const struct arena_page arena_pages[ARENA_MAX_PAGES];
extern const unsigned int arena_nr_pages;

/* arena_template - what page @n holds. */
const uint8_t *arena_template(unsigned int n);

/* Where the pages are for one executor; NULL: not there. */
struct arena {
	uint8_t *page[ARENA_MAX_PAGES];
	/* The case whose code and patches are in memory, if it has any. */
	struct fuzz_case inside;
	/* Called for code that is about to be changed from outside. */
	void (*code_changed)(uint64_t addr, unsigned int len);
};

/* arena_reset - fills all pages. */
void arena_reset(struct arena *a);

/*
 * arena_enter - puts code and patches of @c into memory, and takes those of
 * the case before out, unless they are the same.
 */
void arena_enter(struct arena *a, const struct fuzz_case *c);

/*
 * arena_leave - notes in @r what the case has written, and undoes it.
 */
void arena_leave(struct arena *a, struct result *r);

/* arena_find - the page of @addr, or -1. */
int arena_find(uint64_t addr);
