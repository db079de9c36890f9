#include "x86/scan.h"

#include <errno.h>
#include <string.h>

#include "x86/defs.h"
#include "x86/length.h"
#include "x86/table.h"

/*
 * Where instructions begin in a page is not known, but x86 code synchronizes
 * itself: streams of instructions that begin at different bytes soon go on at
 * the same one.  So a sweep over the page looks at what its instructions are,
 * a search for bytes (0F A2 and the like) finds what the sweep misses behind
 * data, and about each find some streams that begin before it are asked.
 */

#define VOTERS	  10
#define VOTE_NEAR 40 /* bytes from the last voter to what it votes about */
#define VOTE_STEP 6
#define VOTE_FAR  (VOTE_NEAR + (VOTERS - 1) * VOTE_STEP)
_Static_assert(VOTE_FAR <= SCAN_BEFORE, "voters of the page's first byte");

/* More of them than instructions hold, most of the time. */
#define ZEROS 8

#define MAX_LEN	     15
#define SIDE_BY_SIDE 4
/* Where nothing is known of the page before: too few streams to ask. */
#define UNSURE 8

/*
 * Those that helpers serve, but that fault at CPL 3 or depend on no host; and
 * TSX, whose XTEST is in many of glibc's pages, for code that runs only where
 * CPUID offers it.
 */
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
	 (id) == ID_XABORT || (id) == ID_XBEGIN || (id) == ID_XEND ||          \
	 (id) == ID_XTEST || (id) == ID_CLZERO)

/* IA_COND: unprivileged, helpers serve them for their masks' sake. */
#define FORBIDDEN(id, action, attr)                                            \
	((action) == ACT_HELPER &&                                             \
	 !((attr) & (IA_CPL0 | IA_COND | IA_NO64)) && !RUNS(id))

/* Opcodes that have a forbidden row; test/unit/scan.c proves that all do. */
static const bool suspects[2][256] = {
	[M0] = { [0x8c] = true,
		 [0xcd] = true,
		 [0x8e] = true,
		 [0xc7] = true,
		 [0xca] = true,
		 [0xcb] = true,
		 [0xcf] = true,
		 [0xff] = true },
	[M1] = { [0x00 ... 0x03] = true,
		 [0x07] = true,
		 [0x31] = true,
		 [0x33] = true,
		 [0x34] = true,
		 [0x37] = true,
		 [0xa0 ... 0xa2] = true,
		 [0xa8 ... 0xaa] = true,
		 [0xae] = true,
		 [0xb2] = true,
		 [0xb4 ... 0xb5] = true,
		 [0xc7] = true },
};

/* VEX or EVEX, whose map 1 is another one; 62 is no prefix of 0F. */
static bool is_vector(const struct insn *insn)
{
	const unsigned int at = insn->off_opcode;

	return insn->vex || (at >= 4 && insn->bytes[at - 4] == 0x62);
}

bool scan_forbidden(const struct insn *insn, unsigned int faults)
{
	const struct insn_row *row = insn->row;

	/* INT 80 would be the host's before it is a stop; INT 4 is like a #GP
	 * of the next instruction. */
	if (row->id == ID_INT)
		return (uint8_t)insn->imm == 0x80 || insn->imm == VEC_OF;
	if (!FORBIDDEN(row->id, row->action, row->attr)) {
		/* Group 7 has many forms that are new or not offered. */
		return row->action == ACT_UD && insn->map == 1 &&
		       insn->opcode == 0x01 && !is_vector(insn);
	}
	if (row->id == ID_RDTSC || row->id == ID_RDTSCP)
		return !(faults & SCAN_TSC_FAULTS);
	if (row->id == ID_CPUID)
		return !(faults & SCAN_CPUID_FAULTS);
	return true;
}

#define PAGE_START SCAN_BEFORE
#define PAGE_END   (SCAN_BEFORE + PAGE_SIZE)

/* Where forbidden instructions begin. */
struct finds {
	int *at;	      /* from the page's first byte on */
	unsigned int nr, max; /* nr > max: too many */
};

/* The page and its surroundings; what is not known is 0. */
struct text {
	uint8_t bytes[PAGE_END + SCAN_BEHIND + INSN_LENGTH_READS];
	unsigned int start, end; /* what is known */
	unsigned int faults;
	struct finds *finds; /* NULL: one is enough, wherever it is */
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
	const uint8_t *bytes = &text->bytes[at], *p;
	struct insn_length length = insn_length64(bytes);
	struct insn insn;

	*len = length.len;
	if (unlikely(!*len)) {
		*len = 1;
		return STEP_BAD;
	}
	p = bytes + length.opcode;
	if (likely(!suspects[*p == 0x0f][p[*p == 0x0f]]))
		return STEP_FINE;
	if (at + *len > text->end)
		return cut_forbidden(text, at) ? STEP_FORBIDDEN : STEP_BAD;
	if (insn_decode(bytes, *len, CODE64, &insn) == DECODE_OK &&
	    scan_forbidden(&insn, text->faults))
		return STEP_FORBIDDEN;
	return STEP_FINE;
}

/* A stream from *@at: is what it has at byte @target forbidden?  *@at = where
 * that begins. */
static enum step vote(const struct text *text, unsigned int *at,
		      unsigned int target)
{
	enum step what;
	unsigned int len;

	for (;; *at += len) {
		what = step(text, *at, &len);
		if (*at + len > target || what == STEP_BAD)
			return what;
	}
}

static void find(struct finds *f, int at)
{
	for (unsigned int i = 0; i < f->nr && i < f->max; i++)
		if (f->at[i] == at)
			return;
	if (f->nr < f->max)
		f->at[f->nr] = at;
	f->nr++;
}

/*
 * Streams do not join in zeros.  They fill up what lies between functions, or
 * end a constant; either way an instruction begins behind them.  Where the last
 * ones before @target end; 0: there are none.
 */
static unsigned int behind_zeros(const struct text *text, unsigned int target)
{
	unsigned int nr = 0;

	for (unsigned int at = target;
	     at > text->start && at + VOTE_FAR > target; at--) {
		nr = text->bytes[at - 1] ? 0 : nr + 1;
		if (nr == ZEROS)
			return at - 1 + ZEROS;
	}
	return 0;
}

/* Whether at least one in @share streams has a forbidden instruction there, or
 * the one that is known best. */
static bool elect(const struct text *text, unsigned int target,
		  unsigned int share)
{
	unsigned int from = target - VOTE_FAR, stride = VOTE_STEP;
	unsigned int yes = 0, no = 0, at;
	unsigned int begins[VOTERS + 1] = { 0 };
	bool elected;

	if (target < text->start + VOTE_FAR) {
		from = text->start;
		stride = 1;
	}
	for (int i = 0; i < VOTERS && from <= target; i++, from += stride) {
		at = from;
		switch (vote(text, &at, target)) {
		case STEP_FORBIDDEN:
			begins[yes++] = at;
			break;
		case STEP_FINE:
			no++;
			break;
		default:
			break;
		}
	}
	elected = yes && yes * share >= yes + no;
	at = behind_zeros(text, target);
	if (at && vote(text, &at, target) == STEP_FORBIDDEN) {
		begins[yes++] = at;
		elected = true;
	}
	for (unsigned int i = 0; i < yes && elected && text->finds; i++)
		find(text->finds, (int)begins[i] - PAGE_START);
	return elected;
}

/* Whether one more find tells nothing new. */
static bool enough(const struct text *text)
{
	return !text->finds || text->finds->nr > text->finds->max;
}

/* Where the first zeros from @at on end. */
static unsigned int zeros_end(const struct text *text, unsigned int at)
{
	const uint8_t *b = text->bytes;
	unsigned int nr = 0;

	while (nr < ZEROS) {
		if (at + ZEROS > PAGE_END)
			return PAGE_END;
		/* The last one that counts is most likely none. */
		for (nr = 0; nr < ZEROS && !b[at + ZEROS - 1 - nr]; nr++)
			;
		at += ZEROS - nr;
	}
	for (at += ZEROS; at < PAGE_END && !b[at]; at++)
		;
	return at;
}

/* Beginnings of streams. */
struct starts {
	unsigned int first; /* those that begin with the text */
	unsigned int zeros; /* how far zeros have been looked for */
};

/* One more; PAGE_END: there is none. */
static unsigned int next_start(const struct text *text, struct starts *s)
{
	if (s->first < MAX_LEN)
		return text->start + s->first++;
	s->zeros = zeros_end(text, s->zeros);
	return s->zeros;
}

/*
 * All streams of the page; they join after a few instructions.  Four of them go
 * side by side, because each takes its time to learn where its next instruction
 * begins.
 */
static bool sweep(const struct text *text)
{
	const unsigned int first =
		text->start ? PAGE_START + UNSURE : PAGE_START;
	unsigned int at[SIDE_BY_SIDE], len, living = SIDE_BY_SIDE;
	struct starts starts = { 1, text->start };
	uint8_t seen[PAGE_END] = { 0 };

	for (unsigned int i = 0; i < SIDE_BY_SIDE; i++)
		at[i] = i ? PAGE_START + i * PAGE_SIZE / SIDE_BY_SIDE
			  : text->start;
	while (living) {
		for (unsigned int i = 0; i < living; i++) {
			if (at[i] >= PAGE_END || seen[at[i]]) {
				at[i] = next_start(text, &starts);
				if (at[i] == PAGE_END)
					at[i] = at[--living];
				continue;
			}
			seen[at[i]] = true;
			if (step(text, at[i], &len) == STEP_FORBIDDEN &&
			    at[i] >= first && elect(text, at[i], 2) &&
			    enough(text))
				return true;
			at[i] += len;
		}
	}
	return false;
}

/* A bit 7 for each byte of @word that is 0F. */
static uint64_t find_0f(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101, low = 0x7f * ones;
	uint64_t x = word ^ 0x0f * ones;

	return ~(((x & low) + low) | x | low);
}

/* All that may be a forbidden opcode of two bytes, wherever it stands. */
static bool search(const struct text *text)
{
	for (unsigned int i = PAGE_START; i < PAGE_END; i += 8) {
		uint64_t word, hits;

		memcpy(&word, &text->bytes[i], 8);
		for (hits = find_0f(word); hits; hits &= hits - 1) {
			unsigned int at = i + __builtin_ctzll(hits) / 8;

			if ((at + 1 >= text->end ||
			     suspects[M1][text->bytes[at + 1]]) &&
			    elect(text, at, 4) && enough(text))
				return true;
		}
	}
	return false;
}

static void text_init(struct text *text, const uint8_t *page,
		      const uint8_t *before, const uint8_t *next,
		      unsigned int faults)
{
	text->start = before ? 0 : PAGE_START;
	text->end = PAGE_END + (next ? SCAN_BEHIND : 0);
	text->faults = faults;
	text->finds = NULL;
	if (before)
		memcpy(text->bytes, before + PAGE_SIZE - SCAN_BEFORE,
		       SCAN_BEFORE);
	memcpy(text->bytes + PAGE_START, page, PAGE_SIZE);
	memset(text->bytes + PAGE_END, 0, sizeof(text->bytes) - PAGE_END);
	if (next)
		memcpy(text->bytes + PAGE_END, next, SCAN_BEHIND);
}

bool scan_page(const uint8_t *page, const uint8_t *before, const uint8_t *next,
	       unsigned int faults)
{
	struct text text;

	text_init(&text, page, before, next, faults);
	return search(&text) || sweep(&text);
}

int scan_list(const uint8_t *page, const uint8_t *before, const uint8_t *next,
	      unsigned int faults, int *at, unsigned int max)
{
	struct finds finds = { .at = at, .max = max };
	struct text text;

	text_init(&text, page, before, next, faults);
	text.finds = &finds;
	if (search(&text) || sweep(&text))
		return -E2BIG;
	return finds.nr;
}
