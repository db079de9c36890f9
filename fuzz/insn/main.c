#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
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
	unsigned int time, jobs;
	unsigned int max_bad;
	const char *save;
	bool coverage, verbose, direct, disturb;
} opt = { .seed = 1, .max_bad = 10, .jobs = 1 };

#define MAX_JOBS 64
#define MAX_ROWS 2048

/* What was run; each job has its own, in shared memory. */
struct count {
	uint64_t cases, insns, bad, flaky, direct;
	uint64_t twin[3];
	uint64_t rows[MAX_ROWS];
};

static struct count *counts, total;
static struct count *count = &total;

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
		count->flaky++;
		return;
	}
	count->bad++;
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
	count->cases++;
	count->insns += g->n;
	count->twin[g->c.twin]++;
	for (unsigned int n = 0; n < g->n; n++)
		count->rows[g->row[n]]++;
}

static void fuzz_batch(uint64_t index, unsigned int n)
{
	static struct generated batch[NATIVE_BATCH];
	static bool ok[NATIVE_BATCH];

	for (unsigned int i = 0; i < n; i++) {
		gen_case(opt.seed, index + i, &batch[i]);
		tally(&batch[i]);
	}
	if (!run_cases(&batch[0].c, sizeof(batch[0]), n, ok))
		return;
	for (unsigned int i = 0; i < n; i++)
		if (!ok[i])
			report(&batch[i], i, index + i);
}

/* Job number @job: its share of the batches. */
static void fuzz(unsigned int job)
{
	const uint64_t end = now_ns() + opt.time * 1000000000ull;
	const uint64_t last = opt.first + opt.count;
	uint64_t index = opt.first + job * NATIVE_BATCH;

	for (unsigned int n = 0; opt.count ? index < last : now_ns() < end;
	     n++) {
		if (!(n % 8))
			guest_forget();
		fuzz_batch(index, opt.count && last - index < NATIVE_BATCH
					  ? last - index
					  : NATIVE_BATCH);
		index += opt.jobs * NATIVE_BATCH;
		if (count->bad >= opt.max_bad)
			break;
	}
}

/* The native halves of jobs are tied to different processors. */
static int start_job(unsigned int job)
{
	cpu_set_t all, one;
	int r, cpu = 0;

	if (opt.jobs == 1 || sched_getaffinity(0, sizeof(all), &all))
		return run_start(opt.direct);
	for (unsigned int n = job % CPU_COUNT(&all); n || !CPU_ISSET(cpu, &all);
	     cpu++)
		n -= CPU_ISSET(cpu, &all);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	r = run_start(opt.direct);
	sched_setaffinity(0, sizeof(all), &all);
	return r;
}

static int run_job(unsigned int job)
{
	count = &counts[job];
	if (start_job(job) || (opt.disturb && guest_disturb())) {
		fputs("fuzz_insn: cannot start\n", stderr);
		return 2;
	}
	fuzz(job);
	count->direct = guest_direct_runs();
	native_stop();
	return 0;
}

static void add_up(const struct count *c)
{
	total.cases += c->cases;
	total.insns += c->insns;
	total.bad += c->bad;
	total.flaky += c->flaky;
	total.direct += c->direct;
	for (unsigned int n = 0; n < ARRAY_SIZE(c->twin); n++)
		total.twin[n] += c->twin[n];
	for (unsigned int n = 0; n < MAX_ROWS; n++)
		total.rows[n] += c->rows[n];
}

/* All jobs; 0, or 2 if one could not do its work. */
static int run_jobs(void)
{
	pid_t pid[MAX_JOBS];
	int r = 0, status;

	counts = mmap(NULL, opt.jobs * sizeof(*counts), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		return 2;
	if (opt.jobs == 1)
		r = run_job(0);
	for (unsigned int n = 0; opt.jobs > 1 && n < opt.jobs; n++) {
		fflush(stdout);
		pid[n] = fork();
		if (!pid[n]) {
			r = run_job(n);
			fflush(stdout);
			_exit(r);
		}
	}
	for (unsigned int n = 0; n < opt.jobs; n++) {
		bool ok = opt.jobs == 1 ||
			  (waitpid(pid[n], &status, 0) > 0 && !status);

		add_up(&counts[n]);
		if (ok)
			continue;
		fprintf(stderr,
			"fuzz_insn: job %u ended with %#x after %llu cases\n",
			n, status, (unsigned long long)counts[n].cases);
		r = 2;
	}
	count = &total;
	/* What is offered is the guest's to say. */
	return r || opt.jobs == 1 ? r : guest_start(opt.direct);
}

static void print_row(unsigned int n, const char *what, const char *reason)
{
	unsigned int nr;

	printf("row %4u %-18s map %u opcode %02x: %8llu %s%s%s\n", n,
	       insn_rows(&nr)[n].name, form_of(n)->map, form_of(n)->first,
	       (unsigned long long)count->rows[n], what, *reason ? ": " : "",
	       reason);
}

/*
 * Rows by how often they were met; of a long run those that were met less than
 * a thousand times, and those that are not compared with the processor, and
 * why.
 */
static void coverage(void)
{
	static const char *const how[] = {
		[TREAT_NATIVE] = "",
		[TREAT_NONE] = "careful and fast only",
		[TREAT_VALUE] = "but for the value",
		[TREAT_UD] = "#UD",
	};
	unsigned int nr, used = 0, often = 0, never = 0;
	const struct insn_row *rows = insn_rows(&nr);

	for (unsigned int n = 1; n < nr; n++) {
		const char *reason = "no opcode leads to it";
		enum treatment t = TREAT_NATIVE;

		used += form_of(n)->used;
		often += count->rows[n] >= 1000;
		never += !count->rows[n];
		if (form_of(n)->used)
			t = treatment_of(&rows[n], &reason);
		if (opt.coverage ||
		    (count->cases >= 1000000 &&
		     (count->rows[n] < 1000 || t != TREAT_NATIVE)))
			print_row(n, how[t], reason);
	}
	printf("%u rows, %u reachable: %u at least 1000 times, %u fewer, "
	       "%u never\n",
	       nr - 1, used, often, nr - 1 - often - never, never);
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
	      "                 [--jobs N] [--save DIR] [--max-bad N] "
	      "[--coverage]\n"
	      "                 [--code16] [--direct] [--disturb] "
	      "[-v]\n"
	      "       fuzz_insn [--direct] --replay FILE...\n",
	      stderr);
	exit(2);
}

static int options(int argc, char **argv, bool *replaying)
{
	static const struct option longs[] = {
		{ "seed", 1, NULL, 's' },     { "first", 1, NULL, 'f' },
		{ "count", 1, NULL, 'c' },    { "time", 1, NULL, 't' },
		{ "jobs", 1, NULL, 'j' },     { "code16", 0, NULL, 'b' },
		{ "save", 1, NULL, 'd' },     { "max-bad", 1, NULL, 'm' },
		{ "coverage", 0, NULL, 'o' }, { "replay", 0, NULL, 'r' },
		{ "direct", 0, NULL, 'x' },   { "disturb", 0, NULL, 'i' },
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
		else if (o == 'j')
			opt.jobs = v > 0 && v <= MAX_JOBS ? v : 1;
		else if (o == 'd')
			opt.save = optarg;
		else if (o == 'm')
			opt.max_bad = v;
		else if (o == 'o')
			opt.coverage = true;
		else if (o == 'b')
			gen_code16 = true;
		else if (o == 'i')
			opt.disturb = true;
		else if (o == 'x')
			opt.direct = true;
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
	int at = options(argc, argv, &replaying), r;

	forms_init();
	if (replaying && run_start(opt.direct)) {
		fputs("fuzz_insn: cannot start\n", stderr);
		return 2;
	}
	if (replaying) {
		r = replay(argc - at, argv + at);
		native_stop();
		return r;
	}
	r = run_jobs();
	if (r)
		return r;
	coverage();
	printf("seed %llu: %llu cases with %llu instructions in %.1f s; "
	       "%llu native, %llu careful and fast only, %llu undefined; "
	       "%llu directly; %llu not repeatable\n",
	       (unsigned long long)opt.seed, (unsigned long long)count->cases,
	       (unsigned long long)count->insns, (now_ns() - start) / 1e9,
	       (unsigned long long)count->twin[TWIN_NATIVE],
	       (unsigned long long)count->twin[TWIN_NONE],
	       (unsigned long long)count->twin[TWIN_UD],
	       (unsigned long long)count->direct,
	       (unsigned long long)count->flaky);
	printf("%llu passed, %llu failed\n",
	       (unsigned long long)(count->cases - count->bad),
	       (unsigned long long)count->bad);
	return count->bad ? 1 : 0;
}
