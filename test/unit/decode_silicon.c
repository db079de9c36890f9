/*
 * The rows of copied instructions against the processor itself: each form is
 * run with random registers, flags and memory.  What a row does not name as
 * written must stay; what it does not name as read must not matter; its
 * memory operand must have exactly the size that the row says.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "test/test.h"
#include "test/unit/opcode_walk.h"
#include "x86/feat.h"

#define ROUNDS 8
/* Forms tried of each row. */
#define MAX_FORMS  24
#define XSAVE_SIZE 4096
#define XMM_OFFSET 160
#define YMM_OFFSET 576

struct state {
	uint64_t gpr[16];
	uint64_t flags;
};

struct area {
	uint8_t bytes[XSAVE_SIZE] __attribute__((aligned(64)));
};

struct result {
	struct state state;
	uint8_t memory[PAGE_SIZE];
	struct area vectors;
};

struct area vectors_in, vectors_out;
void run_insn(struct state *s, const void *code);

/*
 * The instruction at @code, which ends with RET, runs with the registers and
 * flags in @s (RSP excepted) and the x87, SSE and AVX state in vectors_in.
 */
__asm__(".text\n"
	"run_insn:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14\n"
	"	push %r15; push %rdi; push %rsi\n"
	"	mov $7, %eax; xor %edx, %edx\n"
	"	xrstor64 vectors_in(%rip)\n"
	"	push 128(%rdi); popfq\n"
	"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx\n"
	"	mov 24(%rdi), %rbx; mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
	"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10\n"
	"	mov 88(%rdi), %r11; mov 96(%rdi), %r12; mov 104(%rdi), %r13\n"
	"	mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov 56(%rdi), %rdi\n"
	"	call *(%rsp)\n"
	"	pushfq; push %rax; mov 24(%rsp), %rax\n"
	"	mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax)\n"
	"	mov %rbp, 40(%rax); mov %rsi, 48(%rax); mov %rdi, 56(%rax)\n"
	"	mov %r8, 64(%rax); mov %r9, 72(%rax); mov %r10, 80(%rax)\n"
	"	mov %r11, 88(%rax); mov %r12, 96(%rax); mov %r13, 104(%rax)\n"
	"	mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
	"	pop 0(%rax); pop 128(%rax)\n"
	"	mov $7, %eax; xor %edx, %edx\n"
	"	xsave64 vectors_out(%rip)\n"
	"	pop %rsi; pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12\n"
	"	pop %rbp; pop %rbx\n"
	"	ret\n");

static sigjmp_buf escape;
static volatile uint64_t fault_address;
static uint8_t *code, *memory; /* one page each, memory with a guard behind */
static unsigned long forms, runs, faults, skipped, failures;
static uint8_t tried[4096];

static void on_signal(int sig, siginfo_t *info, void *context)
{
	fault_address = (uint64_t)info->si_addr;
	siglongjmp(escape, sig);
}

static uint64_t random64(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	/* Small numbers and zeroes now and then. */
	if ((x >> 20 & 7) == 0)
		return x & 0x1f;
	return x * 0x2545f4914f6cdd1d;
}

/* Back to a state that C code expects. */
static void reset_fpu(void)
{
	static const uint32_t mxcsr = 0x1f80;

	__asm__ volatile("fninit; vzeroupper; ldmxcsr %0" ::"m"(mxcsr));
}

/* Returns 0 or the signal it raised. */
static int run(struct result *r)
{
	int sig = sigsetjmp(escape, 1);

	runs++;
	if (!sig)
		run_insn(&r->state, code);
	reset_fpu();
	memcpy(r->memory, memory, PAGE_SIZE);
	r->vectors = vectors_out;
	return sig;
}

static bool host_has(unsigned int feat)
{
	const struct x86_feat_bit *b = &x86_feats[feat];
	unsigned int r[4];

	if (feat == FEAT_BASE)
		return true;
	return __get_cpuid_count(b->leaf, b->subleaf, &r[0], &r[1], &r[2],
				 &r[3]) &&
	       r[b->reg] >> b->bit & 1;
}

/* Which registers a row claims to read and write; partial writes keep. */
struct claims {
	uint32_t gpr_r, gpr_w, vec_w;
};

static struct claims row_claims(const struct insn *insn)
{
	struct claims c = { insn->row->impl_r, insn->row->impl_w, 0 };

	for (int i = 0; i < insn->nops; i++) {
		const struct operand *op = &insn->op[i];

		if (op->kind == OPK_GPR) {
			if (op->access & ACC_R || op->size < 4)
				c.gpr_r |= 1u << op->reg;
			if (op->access & ACC_W)
				c.gpr_w |= 1u << op->reg;
		} else if (op->kind == OPK_VEC && op->access & ACC_W) {
			c.vec_w |= 1u << op->reg;
		}
	}
	if (insn->has_mem && insn->base != GPR_NONE)
		c.gpr_r |= 1u << insn->base;
	switch (insn->row->id) {
	case ID_VZEROALL:
	case ID_VZEROUPPER:
		c.vec_w = 0xffff;
		break;
	case ID_PCMPESTRM:
	case ID_PCMPISTRM:
	case ID_VPCMPESTRM:
	case ID_VPCMPISTRM:
		c.vec_w = 1;
		break;
	}
	return c;
}

static void randomize_memory(void)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i += 8)
		*(uint64_t *)(memory + i) = random64();
}

static void randomize(const struct insn *insn, struct state *s)
{
	for (int i = 0; i < 16; i++)
		s->gpr[i] = random64();
	s->flags = 0x202 | (random64() & FL_STATUS);
	for (unsigned int i = 0; i < 256; i += 8)
		*(uint64_t *)(vectors_in.bytes + XMM_OFFSET + i) = random64();
	for (unsigned int i = 0; i < 256; i += 8)
		*(uint64_t *)(vectors_in.bytes + YMM_OFFSET + i) = random64();
	randomize_memory();
	/* A bit offset within the operand. */
	if (insn->row->attr & IA_BITOFF && insn->has_mem)
		s->gpr[insn->op[1].reg] &= insn->opsize * 8 - 1;
}

/* Let the memory operand start at @address. */
static void aim(const struct insn *insn, struct state *s, uint64_t address)
{
	if (insn->has_mem)
		s->gpr[insn->base] = address - insn->disp;
}

static uint64_t end_address(const struct insn *insn)
{
	return (uint64_t)memory + PAGE_SIZE - insn->mem_size;
}

static void fail(const struct insn *insn, const char *what, uint64_t detail)
{
	if (failures++ > 100)
		return;
	printf("%s: %s (%#llx):", insn->row->name, what,
	       (unsigned long long)detail);
	for (int i = 0; i < insn->len; i++)
		printf(" %02x", insn->bytes[i]);
	printf("\n");
}

/* What the row does not name as written must be as before. */
static void check_kept(const struct insn *insn, const struct claims *c,
		       const struct result *before, const struct result *after)
{
	uint16_t kept = FL_STATUS & ~(insn->row->flags_w | insn->row->flags_u);
	unsigned int lo = insn->mem_access & ACC_W ? PAGE_SIZE - insn->mem_size
						   : PAGE_SIZE;

	for (int i = 0; i < 16; i++) {
		if (i != RSP && !(c->gpr_w & 1u << i) &&
		    before->state.gpr[i] != after->state.gpr[i])
			fail(insn, "register written", i);
		if (!(c->vec_w & 1u << i) &&
		    (memcmp(after->vectors.bytes + XMM_OFFSET + 16 * i,
			    vectors_in.bytes + XMM_OFFSET + 16 * i, 16) ||
		     memcmp(after->vectors.bytes + YMM_OFFSET + 16 * i,
			    vectors_in.bytes + YMM_OFFSET + 16 * i, 16)))
			fail(insn, "vector register written", i);
	}
	if ((before->state.flags ^ after->state.flags) & kept)
		fail(insn, "flags written",
		     (before->state.flags ^ after->state.flags) & kept);
	if (memcmp(before->memory, after->memory, lo))
		fail(insn, "memory written", 0);
}

/* Two runs that agree in what the row names as read must agree in all else. */
static void check_same(const struct insn *insn, const struct claims *c,
		       const struct result *a, const struct result *b)
{
	uint16_t flags = insn->row->flags_w;

	for (int i = 0; i < 16; i++) {
		if (i != RSP && c->gpr_w & 1u << i &&
		    a->state.gpr[i] != b->state.gpr[i])
			fail(insn, "register depends on more", i);
	}
	if ((a->state.flags ^ b->state.flags) & flags)
		fail(insn, "flags depend on more",
		     (a->state.flags ^ b->state.flags) & flags);
	if (memcmp(a->memory, b->memory, PAGE_SIZE))
		fail(insn, "memory depends on more", 0);
	if (memcmp(a->vectors.bytes + XMM_OFFSET, b->vectors.bytes + XMM_OFFSET,
		   256))
		fail(insn, "vectors depend on more", 0);
}

/* Replace what the row does not name as read. */
static void disturb(const struct insn *insn, const struct claims *c,
		    struct state *s)
{
	uint16_t flags = FL_STATUS & ~insn->row->flags_r;

	for (int i = 0; i < 16; i++) {
		if (!(c->gpr_r & 1u << i))
			s->gpr[i] = random64();
	}
	s->flags = (s->flags & ~(uint64_t)flags) | (random64() & flags);
}

static bool random_output(const struct insn *insn)
{
	return insn->row->id == ID_RDRAND || insn->row->id == ID_RDSEED;
}

static void try_once(const struct insn *insn, const struct claims *c)
{
	static struct result before, after, again;
	static uint8_t saved[PAGE_SIZE];
	int sig;

	randomize(insn, &before.state);
	aim(insn, &before.state, end_address(insn));
	memcpy(before.memory, memory, PAGE_SIZE);
	memcpy(saved, memory, PAGE_SIZE);
	after.state = before.state;
	sig = run(&after);
	if (sig == SIGFPE || (sig == SIGSEGV && insn->row->id == ID_LDMXCSR) ||
	    (sig == SIGSEGV && insn->row->id == ID_VLDMXCSR)) {
		skipped++;
		return;
	}
	if (sig) {
		fail(insn, "signal", sig);
		return;
	}
	check_kept(insn, c, &before, &after);
	if (random_output(insn))
		return;
	again.state = before.state;
	disturb(insn, c, &again.state);
	memcpy(memory, saved, PAGE_SIZE);
	if (run(&again))
		fail(insn, "signal depends on more", 0);
	else
		check_same(insn, c, &after, &again);
}

/* One byte further and the operand must reach into the guard page. */
static void try_beyond(const struct insn *insn)
{
	static struct result r;

	if (!insn->mem_access || insn->row->attr & (IA_BITOFF | IA_COND))
		return;
	randomize(insn, &r.state);
	aim(insn, &r.state, end_address(insn) + 1);
	faults++;
	if (run(&r) != SIGSEGV)
		fail(insn, "operand is smaller", insn->mem_size);
}

/* Only what can be run here: a plain base register, no RSP, no segment. */
static bool can_run(const struct insn *insn)
{
	if (insn->row->action != ACT_COPY || !host_has(insn->row->feat))
		return false;
	if (insn->has_mem &&
	    (insn->base == GPR_NONE || insn->base == RSP ||
	     insn->index != GPR_NONE || insn->seg_ovr != SEG_NONE))
		return false;
	for (int i = 0; i < insn->nops; i++) {
		const struct operand *op = &insn->op[i];

		if (op->kind == OPK_GPR && op->reg == RSP)
			return false;
		/* The bit offset must not be the base as well. */
		if (insn->row->attr & IA_BITOFF && insn->has_mem &&
		    op->kind == OPK_GPR && op->reg == insn->base)
			return false;
	}
	return true;
}

static void visit(const uint8_t bytes[15], enum code_size cs)
{
	unsigned int n, row;
	struct claims c;
	struct insn insn;

	insn_decode(bytes, 15, cs, &insn);
	row = insn.row - insn_rows(&n);
	/* Forms with memory and without get their share each. */
	row = row * 2 + insn.has_mem;
	if (row >= sizeof(tried) || tried[row] >= MAX_FORMS || !can_run(&insn))
		return;
	tried[row]++;
	forms++;
	memcpy(code, insn.bytes, insn.len);
	code[insn.len] = 0xc3;
	c = row_claims(&insn);
	for (int i = 0; i < ROUNDS; i++)
		try_once(&insn, &c);
	try_beyond(&insn);
}

static void init(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE,
				       SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_signal,
				.sa_flags = SA_SIGINFO };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
	code = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (code == MAP_FAILED || memory == MAP_FAILED)
		exit(1);
	mprotect(memory + PAGE_SIZE, PAGE_SIZE, PROT_NONE);
	/* All components present; x87 empty, exceptions masked. */
	vectors_in.bytes[0] = 0x7f;
	vectors_in.bytes[1] = 0x03;
	vectors_in.bytes[24] = 0x80;
	vectors_in.bytes[25] = 0x1f;
	vectors_in.bytes[512] = 7;
}

int main(void)
{
	if (!host_has(FEAT_AVX) || !host_has(FEAT_XSAVE)) {
		printf("skipped: the host has no AVX\n");
		return 0;
	}
	init();
	walk_opcodes(CODE64, visit);
	printf("%lu forms, %lu runs, %lu operand sizes, %lu with an exception, "
	       "%lu failures\n",
	       forms, runs, faults, skipped, failures);
	CHECK(forms > 1000);
	CHECK_EQ(failures, 0);
	return test_done();
}
