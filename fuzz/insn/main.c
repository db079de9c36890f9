#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/insn/gen.h"
#include "fuzz/insn/guest.h"
#include "fuzz/insn/native.h"
#include "fuzz/insn/run.h"

/*
 * fuzz_insn: compares generated instructions on the processor and in both forms
 * of the engine.  See docs/testing.md.
 */
static struct {
	uint64_t seed, first, count;
	unsigned int time;
	unsigned int max_bad;
	const char *save;
	bool coverage, verbose;
} opt = { .seed = 1, .max_bad = 10 };

static struct {
	uint64_t cases, insns, bad, flaky;
	uint64_t twin[3];
	uint64_t *rows;
} count;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void save(const struct fuzz_case *c, uint64_t index)
{
	char name[256];
	FILE *f;

	snprintf(name, sizeof(name), "%s/%llu-%llu.case", opt.save,
		 (unsigned long long)opt.seed, (unsigned long long)index);
	f = fopen(name, "w");
	if (!f)
		return;
	case_disassemble(f, c);
	case_write(f, c);
	fclose(f);
	printf("saved as %s\n", name);
}

static void report(const struct generated *g, unsigned int at, uint64_t index)
{
	struct fuzz_case c = g->c;

	printf("--- seed %llu case %llu\n", (unsigned long long)opt.seed,
	       (unsigned long long)index);
	if (run_one(&c, NULL)) {
		printf("does not happen again\n");
		case_disassemble(stdout, &c);
		run_explain(at, stdout);
		count.flaky++;
		return;
	}
	count.bad++;
	case_disassemble(stdout, &c);
	run_explain(at, stdout);
	printf("made simpler:\n");
	shrink(&c);
	case_disassemble(stdout, &c);
	run_one(&c, stdout);
	guest_forget();
	if (run_one(&c, NULL))
		printf("only with older translations\n");
	if (opt.verbose)
		case_write(stdout, &c);
	if (opt.save)
		save(&c, index);
	fflush(stdout);
}

static void tally(const struct generated *g)
{
	count.cases++;
	count.insns += g->n;
	count.twin[g->c.twin]++;
	for (unsigned int n = 0; n < g->n; n++)
		count.rows[g->row[n]]++;
}

static void fuzz(void)
{
	static struct generated batch[NATIVE_BATCH];
	static bool ok[NATIVE_BATCH];
	uint64_t end = now_ns() + opt.time * 1000000000ull;
	uint64_t index = opt.first;

	while (opt.count ? count.cases < opt.count : now_ns() < end) {
		unsigned int n = NATIVE_BATCH;

		if (opt.count && opt.count - count.cases < n)
			n = opt.count - count.cases;
		if (!(index / NATIVE_BATCH % 8))
			guest_forget();
		for (unsigned int i = 0; i < n; i++) {
			gen_case(opt.seed, index + i, &batch[i]);
			tally(&batch[i]);
		}
		if (run_cases(&batch[0].c, sizeof(batch[0]), n, ok))
			for (unsigned int i = 0; i < n; i++)
				if (!ok[i])
					report(&batch[i], i, index + i);
		index += n;
		if (opt.verbose && !(index % (NATIVE_BATCH * 4096)))
			printf("%llu cases, %llu failed\n",
			       (unsigned long long)count.cases,
			       (unsigned long long)count.bad);
		if (count.bad >= opt.max_bad)
			break;
	}
}

/* Rows by how often they were met; those that never are, and why. */
static void coverage(void)
{
	const struct insn_row *rows;
	unsigned int nr, used = 0, often = 0, never = 0;
	const char *reason;

	rows = insn_rows(&nr);
	for (unsigned int n = 1; n < nr; n++) {
		if (!form_of(n)->used)
			continue;
		used++;
		often += count.rows[n] >= 1000;
		never += !count.rows[n];
		if (!opt.coverage && (count.rows[n] || count.cases < 1000000))
			continue;
		treatment_of(&rows[n], &reason);
		printf("row %u %s map %u opcode %02x: %llu %s\n", n,
		       rows[n].name, form_of(n)->map, form_of(n)->first,
		       (unsigned long long)count.rows[n], reason ? reason : "");
	}
	printf("%u rows: %u at least 1000 times, %u fewer, %u never\n", used,
	       often, used - often - never, never);
}

static bool replay_case(const struct fuzz_case *c, const char *name)
{
	if (opt.verbose)
		run_show(c, stdout);
	if (run_one(c, NULL))
		return true;
	printf("%s:\n", name);
	case_disassemble(stdout, c);
	run_one(c, stdout);
	return false;
}

static int replay(int argc, char **argv)
{
	static struct fuzz_case c;
	unsigned int passed = 0, failed = 0;

	for (int n = 0; n < argc; n++) {
		FILE *f = fopen(argv[n], "r");
		int more = f ? 1 : -1;

		while (more > 0 && (more = case_read(f, &c)) > 0) {
			bool ok = replay_case(&c, argv[n]);

			passed += ok;
			failed += !ok;
		}
		if (more < 0) {
			printf("%s: not a file of cases\n", argv[n]);
			failed++;
		}
		if (f)
			fclose(f);
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed ? 1 : 0;
}

static void usage(void)
{
	fputs("usage: fuzz_insn [--seed N] [--first N] [--count N | --time S]\n"
	      "                 [--save DIR] [--max-bad N] [--coverage] [-v]\n"
	      "       fuzz_insn --replay FILE...\n",
	      stderr);
	exit(2);
}

static int options(int argc, char **argv, bool *replaying)
{
	static const struct option longs[] = {
		{ "seed", 1, NULL, 's' },     { "first", 1, NULL, 'f' },
		{ "count", 1, NULL, 'c' },    { "time", 1, NULL, 't' },
		{ "save", 1, NULL, 'd' },     { "max-bad", 1, NULL, 'm' },
		{ "coverage", 0, NULL, 'o' }, { "replay", 0, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int o;

	opt.time = 10;
	while ((o = getopt_long(argc, argv, "v", longs, NULL)) >= 0) {
		uint64_t v = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (o == 's')
			opt.seed = v;
		else if (o == 'f')
			opt.first = v;
		else if (o == 'c')
			opt.count = v;
		else if (o == 't')
			opt.time = v;
		else if (o == 'd')
			opt.save = optarg;
		else if (o == 'm')
			opt.max_bad = v;
		else if (o == 'o')
			opt.coverage = true;
		else if (o == 'r')
			*replaying = true;
		else if (o == 'v')
			opt.verbose = true;
		else
			usage();
	}
	return optind;
}

int main(int argc, char **argv)
{
	bool replaying = false;
	uint64_t start = now_ns();
	unsigned int nr;
	int at = options(argc, argv, &replaying);

	insn_rows(&nr);
	count.rows = calloc(nr, sizeof(*count.rows));
	forms_init();
	if (!count.rows || run_start()) {
		fputs("fuzz_insn: cannot start\n", stderr);
		return 2;
	}
	if (replaying) {
		int r = replay(argc - at, argv + at);

		native_stop();
		return r;
	}
	fuzz();
	native_stop();
	coverage();
	printf("seed %llu: %llu cases with %llu instructions in %.1f s; "
	       "%llu native, %llu careful and fast only, %llu undefined; "
	       "%llu not repeatable\n",
	       (unsigned long long)opt.seed, (unsigned long long)count.cases,
	       (unsigned long long)count.insns, (now_ns() - start) / 1e9,
	       (unsigned long long)count.twin[TWIN_NATIVE],
	       (unsigned long long)count.twin[TWIN_NONE],
	       (unsigned long long)count.twin[TWIN_UD],
	       (unsigned long long)count.flaky);
	printf("%llu passed, %llu failed\n",
	       (unsigned long long)(count.cases - count.bad),
	       (unsigned long long)count.bad);
	return count.bad ? 1 : 0;
}
