#include "fuzz/insn/run.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/insn/gen.h"
#include "fuzz/insn/guest.h"
#include "fuzz/insn/native.h"
#include "x86/defs.h"
#include "x86/scan.h"

static volatile unsigned long progress;
static clockid_t own_clock;
static bool with_direct;

/*
 * A guest that does not end is stopped, by processor time: the host may have
 * other work.
 */
static void *watch(void *arg)
{
	uint64_t before = 0, since = 0;

	for (;;) {
		uint64_t now = cpu_time_ns(own_clock) + guest_clock();

		usleep(100000);
		if (before != progress || now < since) {
			before = progress;
			since = now;
		} else if (now - since > PATIENCE_NS) {
			guest_kick();
		}
	}
	return arg;
}

int run_start(bool direct)
{
	pthread_t thread;

	with_direct = direct;
	if (native_start() || guest_start(direct) ||
	    pthread_getcpuclockid(pthread_self(), &own_clock))
		return -1;
	return pthread_create(&thread, NULL, watch, NULL);
}

/* What the engine makes of a case: fast, fast again, carefully, directly. */
struct guest_results {
	struct result fast, again, careful, direct;
};

static bool runs_directly(const struct fuzz_case *c)
{
	return with_direct && c->mode == CODE64;
}

static void run_guest(const struct fuzz_case *c, struct guest_results *g)
{
	progress++;
	guest_run(c, EXEC_FAST, &g->fast);
	progress++;
	guest_run(c, EXEC_FAST, &g->again);
	progress++;
	guest_run(c, EXEC_CAREFUL, &g->careful);
	progress++;
	if (runs_directly(c)) {
		guest_run(c, EXEC_DIRECT, &g->direct);
		progress++;
		fpu_normalize(g->direct.fpu);
	}
	fpu_normalize(g->fast.fpu);
	fpu_normalize(g->again.fpu);
	fpu_normalize(g->careful.fpu);
}

static bool is_ud(const struct fuzz_case *c, const struct result *r,
		  const char *who, FILE *f)
{
	if (r->kind == RESULT_FAULT && r->rip + case_code_base(c) == c->rip &&
	    (r->vector == VEC_UD ||
	     /* Its bytes could not be fetched. */
	     (r->vector == VEC_PF && r->error & PFEC_I)))
		return true;
	if (f)
		fprintf(f, "%s: no #UD: kind %u vector %u\n", who, r->kind,
			r->vector);
	return false;
}

/* Where a fault was, if it was in code of the case's mode. */
static uint64_t fault_address(const struct fuzz_case *c, const struct result *r)
{
	return r->rip + case_code_base(c);
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
 * Natively the way out holds code of the harness, whose data and program are
 * there too.
 */
static bool in_harness(const struct fuzz_case *c, const struct result *r)
{
	if (r->kind != RESULT_FAULT)
		return false;
	return (fault_address(c, r) & PAGE_MASK) == OUT ||
	       (r->rip & PAGE_MASK) == OUT ||
	       (r->rip & PAGE_MASK) == OUT_HIGH ||
	       (r->rip >= 0x550000000000 && r->rip < 0x7ffffffff000) ||
	       r->cr2 - NATIVE_DATA + PAGE_SIZE <
		       (NATIVE_PAGES + 1) * PAGE_SIZE;
}

/* The case's code with what it has written to itself. */
static void code_after(const struct fuzz_case *c, const struct result *r,
		       uint8_t *code, unsigned int size)
{
	memset(code, 0xcc, size);
	memcpy(code, c->bytes, c->len);
	for (unsigned int n = 0; n < r->nr_dirty && n < MAX_DIRTY; n++) {
		for (unsigned int i = 0; i < DIRTY_CHUNK; i++) {
			uint64_t at = r->dirty[n].addr + i - c->rip;

			if (at < c->len)
				code[at] = r->dirty[n].data[i];
		}
	}
}

/* Whether a string instruction's destination came near the case's code. */
static bool stored_here(const struct fuzz_case *c, const struct result *r)
{
	return r->gpr[RDI] - c->rip + PAGE_SIZE < 2 * PAGE_SIZE;
}

/* Whether @r ended in what was put into the code pages as data. */
static bool in_data(const struct fuzz_case *c, const struct result *r)
{
	for (unsigned int n = 0; n < CASE_PATCHES; n++) {
		const struct patch *p = &c->patch[n];

		if (r->kind == RESULT_FAULT &&
		    fault_address(c, r) - p->addr < p->len)
			return true;
	}
	return false;
}

/*
 * Blocks that changed their own code, or jumped into the middle of an
 * instruction, may have executed something that has no twin.
 */
static bool went_astray(const struct fuzz_case *c, const struct result *r)
{
	uint8_t code[CASE_BYTES + 16];
	struct insn i;
	bool changed;

	if (in_harness(c, r) || in_data(c, r))
		return true;
	code_after(c, r, code, sizeof(code));
	changed = memcmp(code, c->bytes, c->len);
	if (changed && gen_stray(c->mode, code, c->len))
		return true;
	for (unsigned int at = 0; at < c->len; at += i.len) {
		uint64_t to;

		if (insn_decode(c->bytes + at, 15, c->mode, &i) != DECODE_OK)
			return false;
		/* How soon a repeated store to its own code counts is open. */
		if ((changed || stored_here(c, r)) && (i.row->attr & IA_REP) &&
		    i.rep)
			return true;
		to = at + i.len + i.imm;
		if (i.row->action == ACT_BRANCH && i.op[0].kind == OPK_REL &&
		    to < c->len && gen_stray(c->mode, code + to, c->len - to))
			return true;
	}
	return false;
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

/*
 * Known gap: ENTER with frame pointers to copy reads some of them from where it
 * has written others, if a runner's page fault makes it begin again.
 */
static bool enters(const struct fuzz_case *c)
{
	struct insn i;

	for (unsigned int at = 0; at < c->len; at += i.len) {
		if (insn_decode(c->bytes + at, 15, c->mode, &i) != DECODE_OK)
			return false;
		if (i.row->id == ID_ENTER)
			return true;
	}
	return false;
}

/* Direct execution forbids #UD only where another result would harm. */
static bool must_be_ud(const struct fuzz_case *c)
{
	struct insn i;

	return runs_directly(c) &&
	       insn_decode(c->bytes, 15, c->mode, &i) == DECODE_OK &&
	       scan_forbidden(&i, SCAN_TSC_FAULTS);
}

static bool judge(const struct fuzz_case *c, const struct guest_results *g,
		  struct result *native, FILE *f)
{
	bool ok = true;

	if (c->twin == TWIN_UD)
		return is_ud(c, &g->fast, "fast", f) &&
		       is_ud(c, &g->careful, "careful", f) &&
		       (!must_be_ud(c) || is_ud(c, &g->direct, "direct", f));
	if (!faults_at_target(&g->fast) && !faults_at_target(&g->again)) {
		ok &= result_equal(c, &g->fast, &g->again, "fast, again", f);
		ok &= result_equal(c, &g->fast, &g->careful, "fast, careful",
				   f);
	}
	if (runs_directly(c) && !faults_at_target(&g->direct) && !enters(c))
		ok &= result_equal(c, &g->direct, &g->careful,
				   "direct, careful", f);
	/* What never ends there was judged by the host's kernel. */
	if (c->twin == TWIN_NONE || met_device(g, native) ||
	    native->kind == RESULT_TIMEOUT)
		return ok;
	fpu_normalize(native->fpu);
	ok &= result_equal(c, native, &g->careful, "native, careful", f);
	return ok || went_astray(c, &g->careful) || went_astray(c, native);
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

void run_show(const struct fuzz_case *c, FILE *f)
{
	static struct guest_results guest;
	const struct result *r;
	unsigned int lost;

	native_post(c, 1);
	run_guest(c, &guest);
	r = native_wait(&lost);
	if (r)
		result_show(f, "native", r);
	result_show(f, "careful", &guest.careful);
	result_show(f, "fast", &guest.fast);
	if (runs_directly(c))
		result_show(f, "direct", &guest.direct);
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
