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
	if (r->kind == RESULT_FAULT && r->rip == c->rip &&
	    (r->vector == VEC_UD ||
	     /* Its bytes could not be fetched. */
	     (r->vector == VEC_PF && r->error & PFEC_I)))
		return true;
	if (f)
		fprintf(f, "%s: no #UD: kind %u vector %u\n", who, r->kind,
			r->vector);
	return false;
}

/* An address that is a device in the guest and nothing natively. */
static bool is_device(uint64_t addr)
{
	return (addr & PAGE_MASK) == ARENA + 0x7000;
}

/* Blocks may meet the device without having been meant to. */
static bool met_device(const struct guest_results *g, const struct result *n)
{
	return g->fast.mmio_hash || is_device(g->fast.cr2) ||
	       (n->kind == RESULT_FAULT && is_device(n->cr2));
}

/*
 * Known gap: in the fast form indirect jumps to non-canonical addresses fault
 * at the target (docs/status.md).
 */
static bool faults_at_target(const struct result *fast)
{
	return fast->kind == RESULT_FAULT && fast->vector == VEC_GP &&
	       (int64_t)(fast->rip << 16) >> 16 != (int64_t)fast->rip;
}

static bool judge(const struct fuzz_case *c, const struct guest_results *g,
		  struct result *native, FILE *f)
{
	bool ok = true;

	if (c->twin == TWIN_UD)
		return is_ud(c, &g->fast, "fast", f) &&
		       is_ud(c, &g->careful, "careful", f);
	if (!faults_at_target(&g->fast) && !faults_at_target(&g->again)) {
		ok &= result_equal(c, &g->fast, &g->again, "fast, again", f);
		ok &= result_equal(c, &g->fast, &g->careful, "fast, careful",
				   f);
	}
	/* What never ends there was judged by the host's kernel. */
	if (c->twin == TWIN_NONE || met_device(g, native) ||
	    native->kind == RESULT_TIMEOUT)
		return ok;
	fpu_normalize(native->fpu);
	return ok & result_equal(c, native, &g->careful, "native, careful", f);
}

static struct guest_results results[NATIVE_BATCH];
static struct fuzz_case batch[NATIVE_BATCH];
static struct result natives[NATIVE_BATCH];

unsigned int run_cases(const struct fuzz_case *c, unsigned int stride,
		       unsigned int n, bool *ok)
{
	const struct result *r;
	unsigned int bad = 0, lost;

	for (unsigned int i = 0; i < n; i++)
		memcpy(&batch[i], (const char *)c + i * stride, sizeof(*c));
	native_post(batch, n);
	for (unsigned int i = 0; i < n; i++)
		run_guest(&batch[i], &results[i]);
	r = native_wait(&lost);
	if (r)
		memcpy(natives, r, n * sizeof(*r));
	for (unsigned int i = 0; i < n; i++) {
		/* Without the child the case it was lost in is to blame. */
		ok[i] = r ? judge(&batch[i], &results[i], &natives[i], NULL)
			  : i != lost;
		bad += !ok[i];
	}
	return bad;
}

void run_explain(unsigned int i, FILE *f)
{
	judge(&batch[i], &results[i], &natives[i], f);
}

bool run_one(const struct fuzz_case *c, FILE *f)
{
	static struct guest_results guest;
	const struct result *r;
	struct result native;
	unsigned int lost;

	native_post(c, 1);
	run_guest(c, &guest);
	r = native_wait(&lost);
	if (!r) {
		if (f)
			fprintf(f, "native: the process was lost\n");
		return false;
	}
	native = *r;
	return judge(c, &guest, &native, f);
}
