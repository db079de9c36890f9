#include "x86/scan.h"

#include <string.h>

#include "x86/table.h"

/*
 * Where instructions begin in a page is not known, but x86 code synchronizes
 * itself: streams of instructions that begin at different bytes soon go on at
 * the same one.  So a sweep over the page looks at what its instructions are,
 * a search for bytes (0F A2 and the like) finds what it might have missed
 * behind data, and about each find a number of streams from before it is asked.
 */

#define MAX_LEN	   15
#define VOTERS	   16
#define VOTE_NEAR  40 /* bytes from the last voter to what it votes about */
#define VOTE_STEP  3
#define VOTE_FAR   (VOTE_NEAR + (VOTERS - 1) * VOTE_STEP)
#define SWEEP_FROM MAX_LEN /* the first instruction begins before this */

/* Those that helpers serve, but that fault at CPL 3 or depend on no host. */
#define RUNS(id)                                                               \
	((id) == ID_SYSCALL || (id) == ID_INT || (id) == ID_INT3 ||            \
	 (id) == ID_INT1 || (id) == ID_CLI || (id) == ID_STI ||                \
	 (id) == ID_IN || (id) == ID_OUT || (id) == ID_INS ||                  \
	 (id) == ID_OUTS || (id) == ID_MONITOR || (id) == ID_MWAIT ||          \
	 (id) == ID_CLAC || (id) == ID_STAC || (id) == ID_PUSHF ||             \
	 (id) == ID_POPF || (id) == ID_CLD || (id) == ID_STD ||                \
	 (id) == ID_ENTER || (id) == ID_XLAT || (id) == ID_PAUSE ||            \
	 (id) == ID_FXSAVE || (id) == ID_FXRSTOR || (id) == ID_RDFSBASE ||     \
	 (id) == ID_RDGSBASE || (id) == ID_WRFSBASE || (id) == ID_WRGSBASE ||  \
	 (id) == ID_XABORT || (id) == ID_CLZERO)

/* IA_COND: unprivileged, helpers serve them for their masks' sake. */
#define FORBIDDEN(id, action, attr)                                            \
	((action) == ACT_HELPER &&                                             \
	 !((attr) & (IA_CPL0 | IA_COND | IA_NO64)) && !RUNS(id))

/* Opcodes behind 0F that have a forbidden row, a bit each. */
#define ROW(map, op, id, attr, act, word)                                      \
	| ((map) == M1 && (op) >> 6 == (word) &&                               \
			   FORBIDDEN(ID_##id, ACT_##act, attr)                 \
		   ? BIT((op)&63)                                              \
		   : 0)
#define OP(map, op, when, id, ops, acc, flags, impl, feat, attr, act)          \
	ROW(map, op, id, attr, act, WORD)
#define OPR(map, lo, hi, ...) /* no range of opcodes is forbidden */
#define OPM		      OP
#define OPG		      OP
#define ALT		      OP
#define OPRM		      OPR
static const uint64_t suspects[4] = {
#define WORD 0
	0
#include "x86/insn.def"
	,
#undef WORD
#define WORD 1
	0
#include "x86/insn.def"
	,
#undef WORD
#define WORD 2
	0
#include "x86/insn.def"
	,
#undef WORD
#define WORD 3
	0
#include "x86/insn.def"
#undef WORD
};

bool scan_forbidden(const struct insn *insn, unsigned int faults)
{
	const struct insn_row *row = insn->row;

	if (!FORBIDDEN(row->id, row->action, row->attr)) {
		/* Group 7 has many forms that are new or not offered. */
		return row->action == ACT_UD && insn->map == 1 &&
		       insn->opcode == 0x01 && !insn->vex;
	}
	if (row->id == ID_RDTSC || row->id == ID_RDTSCP)
		return !(faults & SCAN_TSC_FAULTS);
	if (row->id == ID_CPUID)
		return !(faults & SCAN_CPUID_FAULTS);
	return true;
}

struct text {
	uint8_t bytes[PAGE_SIZE + 2 * MAX_LEN];
	unsigned int end; /* bytes that are known */
	unsigned int faults;
};

enum step {
	STEP_BAD, /* no instruction of 64-bit code, or not known */
	STEP_FINE,
	STEP_FORBIDDEN,
};

/*
 * The page's last instruction goes on where nothing is known: is there a byte
 * that would make it a forbidden one?  If all that is here are prefixes, the
 * next page shows it.
 */
static bool cut_forbidden(const struct text *text, unsigned int at)
{
	unsigned int n = text->end - at;
	uint8_t bytes[16] = { 0 };
	struct insn insn;

	memcpy(bytes, &text->bytes[at], n);
	for (unsigned int i = 0; i < 256; i++) {
		bytes[n] = i;
		if (insn_decode(bytes, 15, CODE64, &insn) != DECODE_OK)
			continue;
		if (insn.off_opcode < n + (insn.map != 0) &&
		    scan_forbidden(&insn, text->faults))
			return true;
	}
	return false;
}

/* The instruction at @at; @len gets its length. */
static enum step step(const struct text *text, unsigned int at,
		      unsigned int *len)
{
	struct insn insn;

	*len = 1;
	switch (insn_decode(&text->bytes[at], text->end - at, CODE64, &insn)) {
	case DECODE_OK:
		break;
	case DECODE_MORE:
		*len = text->end - at;
		return cut_forbidden(text, at) ? STEP_FORBIDDEN : STEP_BAD;
	default:
		return STEP_BAD;
	}
	if (scan_forbidden(&insn, text->faults)) {
		*len = insn.len;
		return STEP_FORBIDDEN;
	}
	if (insn.row == INSN_UNDEFINED && insn.opcode != 0x62)
		return STEP_BAD;
	*len = insn.len;
	return STEP_FINE;
}

/* A stream from @at: is what it has at byte @target forbidden? */
static enum step vote(const struct text *text, unsigned int at,
		      unsigned int target)
{
	enum step what;
	unsigned int len;

	for (;; at += len) {
		what = step(text, at, &len);
		if (at + len > target || what == STEP_BAD)
			return what;
	}
}

/* Whether at least one in @share streams has a forbidden instruction there. */
static bool elect(const struct text *text, unsigned int target,
		  unsigned int share)
{
	unsigned int from = target > VOTE_FAR ? target - VOTE_FAR : 0;
	unsigned int stride = from ? VOTE_STEP : 1;
	unsigned int yes = 0, no = 0;

	for (int i = 0; i < VOTERS && from <= target; i++, from += stride) {
		switch (vote(text, from, target)) {
		case STEP_FORBIDDEN:
			yes++;
			break;
		case STEP_FINE:
			no++;
			break;
		default:
			break;
		}
	}
	return yes && yes * share >= yes + no;
}

/* All streams of the page; they join after a few instructions. */
static bool sweep(const struct text *text)
{
	uint64_t seen[PAGE_SIZE / 64 + 1] = { 0 };
	unsigned int len;

	for (unsigned int from = 0; from < SWEEP_FROM; from++) {
		for (unsigned int at = from; at < PAGE_SIZE; at += len) {
			if (seen[at / 64] & BIT(at % 64))
				break;
			seen[at / 64] |= BIT(at % 64);
			if (step(text, at, &len) == STEP_FORBIDDEN &&
			    elect(text, at, 2))
				return true;
		}
	}
	return false;
}

/* Whether the byte behind an 0F makes it worth to ask. */
static bool suspect(const struct text *text, unsigned int at)
{
	unsigned int opcode = text->bytes[at + 1];

	return at + 1 >= text->end || suspects[opcode / 64] >> opcode % 64 & 1;
}

/* A bit 7 for each byte of @word that is 0F. */
static uint64_t find_0f(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101, low = 0x7f * ones;
	uint64_t x = word ^ 0x0f * ones;

	return ~(((x & low) + low) | x | low);
}

static bool search(const struct text *text)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i += 8) {
		uint64_t word, hits;

		memcpy(&word, &text->bytes[i], 8);
		for (hits = find_0f(word); hits; hits &= hits - 1) {
			unsigned int at = i + __builtin_ctzll(hits) / 8;

			if (suspect(text, at) && elect(text, at, 4))
				return true;
		}
	}
	return false;
}

bool scan_page(const uint8_t *page, const uint8_t *next, unsigned int faults)
{
	struct text text = {
		.end = PAGE_SIZE + (next ? MAX_LEN : 0),
		.faults = faults,
	};

	memcpy(text.bytes, page, PAGE_SIZE);
	if (next)
		memcpy(text.bytes + PAGE_SIZE, next, MAX_LEN);
	return search(&text) || sweep(&text);
}
