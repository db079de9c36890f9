#include "cpu/string.h"

#include <string.h>

#include "cpu/mode.h"
#include "mmu/tlb.h"

/*
 * Short REP MOVS and STOS that cross pages, all at once: if the TLB knows all
 * of the pages, nothing can fault, and bytes may be moved instead of elements
 * where source and destination share no page.
 */

/* An operand: what lies in its first page, and in its second. */
struct across {
	uint8_t *at[2];
	unsigned int len[2];
};

static bool find(const struct cpu *c, gva_t gva, unsigned int bytes,
		 unsigned int access, struct across *a)
{
	unsigned int room = PAGE_SIZE - (gva & ~PAGE_MASK);

	a->len[0] = bytes < room ? bytes : room;
	a->len[1] = bytes - a->len[0];
	a->at[0] = tlb_peek(&c->mmu, gva, access);
	a->at[1] = a->at[0];
	if (a->len[1])
		a->at[1] = tlb_peek(&c->mmu, gva + room, access);
	return a->at[0] && a->at[1] && gva + bytes >= gva;
}

static bool share_page(const struct across *a, const struct across *b)
{
	for (int i = 0; i < 4; i++)
		if (!(((uintptr_t)a->at[i & 1] ^ (uintptr_t)b->at[i / 2]) &
		      PAGE_MASK))
			return true;
	return false;
}

static void copy(struct across from, struct across to)
{
	unsigned int i = 0, j = 0;

	while (i < 2 && from.len[i]) {
		uint64_t n = from.len[i] < to.len[j] ? from.len[i] : to.len[j];

		from.len[i] -= n;
		to.len[j] -= n;
		__asm__ volatile("rep movsb"
				 : "+D"(to.at[j]), "+S"(from.at[i]), "+c"(n)
				 :
				 : "memory");
		i += !from.len[i];
		j += !to.len[j];
	}
}

#define FILL(insn)                                                             \
	__asm__ volatile("rep " insn                                           \
			 : "+D"(at), "+c"(count)                               \
			 : "a"(v)                                              \
			 : "memory")

static void fill_elements(uint8_t *at, uint64_t v, unsigned int size,
			  uint64_t count)
{
	if (size == 1)
		FILL("stosb");
	else if (size == 2)
		FILL("stosw");
	else if (size == 4)
		FILL("stosl");
	else
		FILL("stosq");
}

static void fill(const struct across *to, uint64_t v, unsigned int size)
{
	unsigned int low = to->len[0] & (size - 1); /* of one on the edge */
	unsigned int high = low ? size - low : 0;
	uint8_t *edge = to->at[0] + to->len[0];

	fill_elements(to->at[0], v, size, to->len[0] / size);
	memcpy(edge - low, &v, low);
	memcpy(to->at[1], (uint8_t *)&v + low, high);
	fill_elements(to->at[1] + high, v, size, (to->len[1] - high) / size);
}

bool str_across(struct cpu *c, const struct str *s, bool movs, uint32_t count)
{
	const unsigned int bytes = count * s->size, access = cpu_access(c);
	struct across from, to;

	if (!s->rep || s->down || bytes > PAGE_SIZE || !cpu_64bit(c) ||
	    s->addrsize != 8 || s->seg == SEG_FS || s->seg == SEG_GS ||
	    !find(c, c->gpr[RDI], bytes, access | ACCESS_WRITE, &to))
		return false;
	if (movs) {
		if (!find(c, c->gpr[RSI], bytes, access, &from) ||
		    share_page(&from, &to))
			return false;
		copy(from, to);
		str_advance(c, s, RSI, count);
	} else {
		fill(&to, c->gpr[RAX], s->size);
	}
	str_advance(c, s, RDI, count);
	str_finish(c, s, count);
	return true;
}
