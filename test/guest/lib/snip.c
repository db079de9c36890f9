#include "test/guest/lib/snip.h"

struct snip_state snip_in, snip_out;
void (*snip_call)(word code) = snip_enter;

/* Data and stack of the rounds: aligned, across a page, misaligned. */
static const struct {
	u32 data, stack;
} places[ROUNDS] = {
	{ 0x701040, 0x700f00 },
	{ 0x700ffd, 0x701004 },
	{ 0x701103, 0x700ec6 },
};

static u64 seed;

static u64 next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Values near the edges are more telling than random ones. */
static word next_value(void)
{
	u64 v = next_random();

	switch (v >> 60) {
	case 0 ... 3:
		return v & 0x7f;
	case 4 ... 5:
		return -(v & 0xff);
	case 6:
		return (word)0x7fffffff7fff7fffull + (v & 3);
	case 7:
		return (word)0x8000000080008080ull - (v & 3);
	default:
		return v;
	}
}

static u64 hash(void)
{
	const word *p = (const word *)SNIP_BUF;
	word a = 1, b = 0;

	for (unsigned i = 0; i < SNIP_BUF_SIZE / sizeof(word); i++) {
		a = (a << 5 | a >> (8 * sizeof(word) - 5)) ^ p[i];
		b += a;
	}
	return (u64)b << 32 ^ a;
}

/* Fills the data from a table of random words, at a place of its own. */
static void fill(unsigned n, int round)
{
	static u64 table[SNIP_BUF_SIZE / 8 + 256];
	void *to = (void *)SNIP_BUF, *from;
	word count = SNIP_BUF_SIZE / 4;

	if (!table[0]) {
		seed = 0x2545f4914f6cdd1dull;
		for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
			table[i] = next_random();
	}
	from = &table[(n * 3 + round) & 255];
	asm volatile("rep movsl"
		     : "+D"(to), "+S"(from), "+c"(count)
		     :
		     : "memory");
}

bool snip_run(unsigned n, int round, struct snip_result *r)
{
	const struct snip *s = &snip_tab[n];
	word *regs = snip_in.regs;

	memset(r, 0, sizeof(*r));
	if (s->feat && !has(s->feat))
		return false;
	fill(n, round);
	seed = 0x9e3779b97f4a7c15ull * (3 * n + round + 1);
	next_random();
	for (unsigned i = 0; i < SNIP_NREGS; i++)
		regs[i] = next_value();
	snip_in.flags = 2 | (next_random() & 0x8d5);
	regs[3] = regs[6] = places[round].data;
	regs[7] = regs[3] + 64;
	regs[5] = regs[3] + 128;
	regs[4] = places[round].stack;
	snip_call(s->code);
	for (unsigned i = 0; i < SNIP_NREGS; i++)
		r->regs[i] = snip_out.regs[i];
	r->flags = snip_out.flags & s->mask;
	r->mem = hash();
	return true;
}
