/*
 * smc_direct COUNT SEED DIRECTORY...: inputs of fuzz_smc as they are, and COUNT
 * changed at random, with the guest that is not in careful form in runners. The
 * libFuzzer target cannot do that: under a sanitizer there are none.  An input
 * that fails is written to smc-direct-SEED.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "fuzz/insn/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SEEDS 256
#define MAX_SIZE  4096
#define HEADER	  30 /* registers; then code */

struct text {
	size_t size;
	uint8_t data[MAX_SIZE];
};

static struct text seeds[MAX_SEEDS], now;
static unsigned int nr_seeds;
static char out_name[64];

static void load(const char *dir, const char *name)
{
	struct text *t = &seeds[nr_seeds];
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return;
	t->size = fread(t->data, 1, MAX_SIZE, f);
	nr_seeds += t->size > HEADER;
	fclose(f);
}

static void load_all(const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.' && nr_seeds < MAX_SEEDS)
			load(dir, list[i]->d_name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

static void on_abort(int sig)
{
	FILE *f = fopen(out_name, "wb");

	if (f) {
		fwrite(now.data, 1, now.size, f);
		fclose(f);
	}
	fprintf(stderr, "failed: %s\n", out_name);
	_exit(1);
}

/* Opcodes without what is neither here nor there the same: not offered by CPUID
 * but there natively; FIP and time; and what a page with it must not do
 * natively (x86/scan.h), since a fault here goes on in the middle of an
 * instruction, which nobody looks at. */
static const struct {
	uint8_t first, last; /* second byte; of the same first */
	uint8_t opcode, instead;
} odd[] = {
	{ 0x00, 0x03, 0x0f, 0x28 }, { 0x07, 0x07, 0x0f, 0x28 },
	{ 0x30, 0x38, 0x0f, 0x28 }, { 0x3a, 0x3a, 0x0f, 0x28 },
	{ 0xa0, 0xa1, 0x0f, 0x28 }, { 0xa8, 0xaa, 0x0f, 0x28 },
	{ 0xae, 0xae, 0x0f, 0x28 }, { 0xb2, 0xb2, 0x0f, 0x28 },
	{ 0xb4, 0xb5, 0x0f, 0x28 }, { 0xc7, 0xc7, 0x0f, 0x28 },
	{ 0xf8, 0xf8, 0xc6, 0xc0 }, { 0xf8, 0xf8, 0xc7, 0xc0 },
	{ 0x04, 0x04, 0xcd, 0x03 }, { 0x80, 0x80, 0xcd, 0x03 },
};

static bool is_odd(uint8_t opcode)
{
	return opcode == 0x62 || opcode == 0xc4 || opcode == 0xc5 ||
	       opcode == 0x8c || opcode == 0x8e || opcode == 0xca ||
	       opcode == 0xcb || opcode == 0xcf || opcode == 0xc8;
}

static void tame(uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++) {
		uint8_t *b = &p[i + 1], reg = *b >> 3 & 7;

		if (is_odd(p[i]))
			p[i] = 0x90;
		for (size_t k = 0; k < ARRAY_SIZE(odd); k++)
			if (p[i] == odd[k].opcode && *b >= odd[k].first &&
			    *b <= odd[k].last)
				*b = odd[k].instead;
		/* How soon REP MOVS and STOS see that they are others now. */
		if ((p[i] & 0xfe) == 0xf2 &&
		    ((*b & 0xfe) == 0xa4 || (*b & 0xfe) == 0xaa))
			p[i] = 0x90;
		/* FSTENV, FSAVE; far calls and jumps */
		if ((p[i] == 0xd9 || p[i] == 0xdd) && reg == 6)
			*b ^= 0x08;
		if (p[i] == 0xff && (reg == 3 || reg == 5))
			*b ^= 0x08;
	}
}

/* Code that writes near itself and elsewhere, and runs what it has written. */
static const struct {
	uint8_t len, bytes[12];
} snippets[] = {
	{ 4, { 0xc6, 0x43, 0x10, 0x90 } },	       /* movb $, 16(%rbx) */
	{ 7, { 0x48, 0x89, 0x05, 0x00, 0, 0, 0 } },    /* mov %rax, (%rip) */
	{ 7, { 0x88, 0x0d, 0x02, 0x00, 0, 0, 0x90 } }, /* mov %cl, 2(%rip) */
	{ 10, { 0xc7, 0x05, 0x10, 0, 0, 0, 0x90, 0x90, 0xeb, 0 } },
	{ 7, { 0xff, 0x05, 0xf9, 0xff, 0xff, 0xff, 0x90 } },
	{ 3, { 0x48, 0x89, 0x07 } },	   /* mov %rax, (%rdi) */
	{ 3, { 0x48, 0x8b, 0x06 } },	   /* mov (%rsi), %rax */
	{ 1, { 0xa4 } },		   /* movsb */
	{ 1, { 0xaa } },		   /* stosb */
	{ 3, { 0xf0, 0x01, 0x02 } },	   /* lock add %eax, (%rdx) */
	{ 2, { 0xff, 0xd3 } },		   /* call *%rbx */
	{ 2, { 0xff, 0xe7 } },		   /* jmp *%rdi */
	{ 2, { 0xff, 0xd5 } },		   /* call *%rbp */
	{ 2, { 0xe2, 0xf0 } },		   /* loop */
	{ 2, { 0x0f, 0xa2 } },		   /* cpuid */
	{ 4, { 0x66, 0x0f, 0x7f, 0x03 } }, /* movdqa %xmm0, (%rbx) */
	{ 4, { 0xf3, 0x0f, 0x6f, 0x0e } }, /* movdqu (%rsi), %xmm1 */
	{ 2, { 0x0f, 0x05 } },		   /* syscall */
	{ 1, { 0xcc } },
	{ 1, { 0x9c } },
	{ 1, { 0x9d } },
	{ 4, { 0xd9, 0x03, 0xd8, 0xc0 } }, /* flds (%rbx); fadd */
	{ 4, { 0xdb, 0x1f, 0xdd, 0xd8 } }, /* fistpl (%rdi); fstp */
	{ 5, { 0xe8, 0x10, 0, 0, 0 } },
	{ 1, { 0xc3 } },
	{ 5, { 0x49, 0x89, 0x1a, 0xff, 0xd2 } }, /* mov %rbx, (%r10); ... */
	{ 6, { 0x41, 0x8a, 0x00, 0x88, 0x02, 0x90 } },
	{ 5, { 0x0f, 0xb1, 0x0b, 0x75, 0xfb } }, /* cmpxchg %ecx, (%rbx) */
};

static void change(struct rng *g, struct text *t)
{
	size_t at = HEADER + rng_below(g, t->size - HEADER), n;
	const struct text *other;
	unsigned int k;

	switch (rng_below(g, 8)) {
	case 0:
		t->data[rng_below(g, t->size)] = rng64(g);
		break;
	case 1:
		t->data[rng_below(g, HEADER)] = rng64(g);
		break;
	case 2:
		t->data[at] ^= 1u << rng_below(g, 8);
		break;
	case 3:
		other = &seeds[rng_below(g, nr_seeds)];
		k = HEADER + rng_below(g, other->size - HEADER);
		n = 1 + rng_below(g, 32);
		if (k + n <= other->size && at + n <= t->size)
			memcpy(t->data + at, other->data + k, n);
		break;
	default:
		k = rng_below(g, sizeof(snippets) / sizeof(snippets[0]));
		n = snippets[k].len;
		if (t->size + n > MAX_SIZE)
			break;
		memmove(t->data + at + n, t->data + at, t->size - at);
		memcpy(t->data + at, snippets[k].bytes, n);
		t->size += n;
		if (rng_below(g, 4) == 0 && n > 3)
			t->data[at + n - 2] = rng64(g);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	struct rng g = { seed };

	for (int i = 3; i < argc; i++)
		load_all(argv[i]);
	if (!nr_seeds || setenv("RING3_DIRECT", "always", 1))
		return 2;
	snprintf(out_name, sizeof(out_name), "smc-direct-%llu",
		 (unsigned long long)seed);
	signal(SIGABRT, on_abort);
	for (unsigned int i = 0; i < nr_seeds; i++) {
		now = seeds[i];
		tame(now.data + HEADER, now.size - HEADER);
		LLVMFuzzerTestOneInput(now.data, now.size);
	}
	for (unsigned long n = 0; n < count; n++) {
		now = seeds[rng_below(&g, nr_seeds)];
		for (unsigned int k = 1 + rng_below(&g, 12); k; k--)
			change(&g, &now);
		tame(now.data + HEADER, now.size - HEADER);
		LLVMFuzzerTestOneInput(now.data, now.size);
	}
	printf("%lu passed, 0 failed\n", count + nr_seeds);
	return 0;
}
