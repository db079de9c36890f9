/* How long decoding takes, over this program's own code. */
#include <time.h>

#include "test/test.h"
#include "x86/insn.h"

#define ROUNDS 20

extern const uint8_t etext[];

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* Whole functions follow each other: a linear sweep stays in step. */
static unsigned long sweep(const uint8_t *p, const uint8_t *end)
{
	unsigned long n = 0;
	struct insn insn;

	while (p < end && insn_decode(p, end - p, CODE64, &insn) == DECODE_OK) {
		p += insn.len;
		n++;
	}
	return n;
}

int main(void)
{
	const uint8_t *start = (const uint8_t *)insn_decode;
	double begin = now_ns();
	unsigned long n = 0;

	for (int i = 0; i < ROUNDS; i++)
		n += sweep(start, etext);
	printf("%lu instructions, %.1f ns each\n", n, (now_ns() - begin) / n);
	CHECK(n > 1000);
	return test_done();
}
