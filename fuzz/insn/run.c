#include "fuzz/insn/run.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/insn/guest.h"
#include "fuzz/insn/native.h"
#include "x86/defs.h"

static volatile unsigned long progress;

/* A guest that does not end is stopped. */
static void *watch(void *arg)
{
	unsigned long before = 0;

	for (;;) {
		usleep(500000);
		if (before == progress && before)
			guest_kick();
		before = progress;
	}
	return arg;
}

int run_start(void)
{
	pthread_t thread;

	if (native_start() || guest_start())
		return -1;
	return pthread_create(&thread, NULL, watch, NULL);
}

/* What the engine makes of a case: fast, fast again, carefully. */
struct guest_results {
	struct result fast, again, careful;
};

static void run_guest(const struct fuzz_case *c, struct guest_results *g)
{
	progress++;
	guest_run(c, EXEC_FAST, &g->fast);
	progress++;
	guest_run(c, EXEC_FAST, &g->again);
	progress++;
	guest_run(c, EXEC_CAREFUL, &g->careful);
	progress++;
	fpu_normalize(g->fast.fpu);
	fpu_normalize(g->again.fpu);
	fpu_normalize(g->careful.fpu);
}

static bool is_ud(const struct fuzz_case *c, const struct result *r,
		  const char *who, FILE *f)
{
	if (r->kind == RESULT_FAULT && r->vector == VEC_UD && r->rip == c->rip)
		return true;
	if (f)
		fprintf(f, "%s: no #UD: kind %u vector %u\n", who, r->kind,
			r->vector);
	return false;
}

static bool judge(const struct fuzz_case *c, const struct guest_results *g,
		  struct result *native, FILE *f)
{
	if (!result_equal(c, &g->fast, &g->again, "fast, fast again", f) ||
	    !result_equal(c, &g->fast, &g->careful, "fast, careful", f))
		goto differ;
	if (c->twin == TWIN_UD)
		return is_ud(c, &g->fast, "fast", f) &&
		       is_ud(c, &g->careful, "careful", f);
	if (c->twin == TWIN_NONE)
		return true;
	fpu_normalize(native->fpu);
	return result_equal(c, native, &g->fast, "native, fast", f);
differ:
	if (f && c->twin == TWIN_NATIVE) {
		fpu_normalize(native->fpu);
		result_equal(c, native, &g->fast, "native, fast", f);
	}
	return false;
}

static struct guest_results results[NATIVE_BATCH];

unsigned int run_cases(const struct fuzz_case *c, unsigned int stride,
		       unsigned int n, bool *ok)
{
	static struct fuzz_case batch[NATIVE_BATCH];
	static struct result native[NATIVE_BATCH];
	const struct result *r;
	unsigned int bad = 0, lost;

	for (unsigned int i = 0; i < n; i++)
		memcpy(&batch[i], (const char *)c + i * stride, sizeof(*c));
	native_post(batch, n);
	for (unsigned int i = 0; i < n; i++)
		run_guest(&batch[i], &results[i]);
	r = native_wait(&lost);
	if (r)
		memcpy(native, r, n * sizeof(*r));
	for (unsigned int i = 0; i < n; i++) {
		/* Without the child the case it was lost in is to blame. */
		ok[i] = r ? judge(&batch[i], &results[i], &native[i], NULL)
			  : i != lost;
		bad += !ok[i];
	}
	return bad;
}

bool run_one(const struct fuzz_case *c, FILE *f)
{
	const struct result *r;
	struct result native;
	unsigned int lost;

	native_post(c, 1);
	run_guest(c, &results[0]);
	r = native_wait(&lost);
	if (!r) {
		if (f)
			fprintf(f, "native: the process was lost\n");
		return false;
	}
	native = *r;
	return judge(c, &results[0], &native, f);
}
