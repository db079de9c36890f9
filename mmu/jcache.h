#pragma once

#include "mmu/mmu.h"

/*
 * The jump cache: host code by guest rip, for jumps whose target is not known
 * when they are translated or lies in another page.  One beside each TLB
 * table, under the same GS base:
 *
 *	gs + JC_OFF		host code, by jcache_index() of the guest rip
 *	gs + JC_RIP_OFF		the full rips, for C code; 0: not in the log
 *	gs + JC_LOG_OFF		indices that are in use
 *
 * An entry holds as long as its page's translation does; the TLB's flushes
 * drop entries, too.
 */
#define JC_BITS	   16
#define JC_OFF	   0x10000
#define JC_RIP_OFF (JC_OFF + (8 << JC_BITS))
#define JC_LOG_OFF (JC_RIP_OFF + (8 << JC_BITS))

#define JC_PAGE_BITS   14
#define JC_PIECE_SHIFT 22
#define JC_PIECE_BITS  10

struct jcache {
	uint8_t *gs; /* NULL until first used */
	void *empty; /* what an empty entry points to */
	uint32_t nr_log;
	uint32_t mode;	/* mode bits that the code is for */
	bool nonglobal; /* some entry's page is not global */
	/* Bloom filter of the pages that entries depend on */
	uint64_t pages[(1 << JC_PAGE_BITS) / 64];
	uint64_t pieces[(1 << JC_PIECE_BITS) / 64];
};

/*
 * jcache_index - an entry's index: the low bits of an address are no good,
 * since functions are aligned.  Translated code computes the same, without a
 * change of flags.
 */
static inline uint32_t jcache_index(uint64_t rip)
{
	uint64_t crc = 0;

	__asm__("crc32q %1, %0" : "+r"(crc) : "rm"(rip));
	return crc & MASK(JC_BITS);
}

/* jcache_init - @gs: memory for all three parts, zero; @empty: see above. */
void jcache_init(struct jcache *j, uint8_t *gs, void *empty);

/*
 * jcache_set - the entry for guest rip @rip.  @global: its page is global.
 * @next: it depends on the translation of the following page, too.
 */
void jcache_set(struct jcache *j, uint64_t rip, void *code, bool global,
		bool next);
/* jcache_get - the code that jcache_set entered for @rip, or NULL. */
void *jcache_get(const struct jcache *j, uint64_t rip);
/* jcache_has_page - whether there may be entries for code in @gva's page. */
bool jcache_has_page(const struct jcache *j, gva_t gva);
/* jcache_drop - forgets one entry. */
void jcache_drop(struct jcache *j, uint64_t rip);

/* jcache_clear - forgets all. */
void jcache_clear(struct jcache *j);
/* jcache_flush - forgets all, unless every entry is global and these stay. */
void jcache_flush(struct jcache *j, bool keep_global);
/* jcache_flush_page - forgets what depends on the page of @gva. */
void jcache_flush_page(struct jcache *j, gva_t gva);
/* jcache_flush_piece - the same for the piece that is large enough to hold the
 * 2M or 4M page of @gva. */
void jcache_flush_piece(struct jcache *j, gva_t gva);
