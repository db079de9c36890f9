#include "dbt/direct.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "cpu/fpu.h"
#include "cpu/mode.h"
#include "cpu/segment.h"
#include "dbt/dbt_int.h"
#include "host/runner.h"
#include "host/time.h"
#include "mmu/mirror.h"

/* Selectors that a 64-bit Linux has in user mode, as guest and as host. */
#define USER_CS 0x33
#define USER_SS 0x2b

#define MAX_FAILURES 4

#define NO_GVA	 (~0ull)
#define INSN_MAX 15

/* Flags that user code may have changed. */
#define USER_FLAGS                                                             \
	(RFLAGS_STATUS | RFLAGS_DF | RFLAGS_AC | RFLAGS_ID | RFLAGS_TF |       \
	 RFLAGS_NT)

static struct direct *direct_of(const struct cpu *c)
{
	return &vcpu_dbt(c)->direct;
}

static enum direct_mode mode_wanted(void)
{
#ifdef RING3_SANITIZE
	return DIRECT_OFF;
#else
	const char *s = getenv("RING3_DIRECT");

	if (!s || !*s || !__builtin_strcmp(s, "auto"))
		return DIRECT_AUTO;
	return __builtin_strcmp(s, "always") ? DIRECT_OFF : DIRECT_ALWAYS;
#endif
}

void direct_init(struct cpu *c)
{
	struct direct *d = direct_of(c);

	d->mode = mode_wanted();
	if (d->mode == DIRECT_OFF || runner_probe()) {
		d->mode = DIRECT_OFF;
		return;
	}
	d->mirror = mirror_create();
	if (!d->mirror) {
		d->mode = DIRECT_OFF;
		return;
	}
	c->mmu.tlb->mirror = d->mirror;
	d->fsgsbase = getauxval(AT_HWCAP2) & BIT(1);
	d->us = ns_to_tsc(1000);
	d->load = mirror_load(d->mirror, 0);
}

void direct_exit(struct cpu *c)
{
	mirror_destroy(direct_of(c)->mirror);
}

void direct_kick(struct cpu *c)
{
	int pid = __atomic_load_n(&direct_of(c)->pid, __ATOMIC_SEQ_CST);

	if (pid)
		runner_kick(pid);
}

static bool user_address(uint64_t a)
{
	return a < RUNNER_TOP;
}

static bool in_stub(uint64_t a)
{
	return a >= RUNNER_STUB && a < RUNNER_STUB_END;
}

static bool data_selector(uint16_t sel)
{
	return sel == 0 || sel == USER_SS;
}

/* Whether user code sees in a runner what it would see in the guest. */
static bool state_fits(const struct cpu *c)
{
	const uint64_t cr4 = CR4_OSFXSR | CR4_OSXSAVE;
	/* ID is none that a tracer may set. */
	const uint64_t flags = RFLAGS_IOPL | RFLAGS_NT | RFLAGS_TF | RFLAGS_VM |
			       RFLAGS_AC | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_ID;

	if (c->cpl != 3 || c->code_size != CODE64 ||
	    c->seg[SEG_CS].sel != USER_CS || c->seg[SEG_SS].sel != USER_SS ||
	    !data_selector(c->seg[SEG_DS].sel) ||
	    !data_selector(c->seg[SEG_ES].sel) || c->seg[SEG_FS].sel ||
	    c->seg[SEG_GS].sel)
		return false;
	if ((c->cr0 & (CR0_EM | CR0_TS)) || (c->cr4 & cr4) != cr4 ||
	    !(c->cr4 & CR4_FSGSBASE) == direct_of(c)->fsgsbase ||
	    c->xcr0 != fpu_supported_xcr0())
		return false;
	/* SYSCALL that is not there would have changed RCX and R11. */
	if (!(c->efer & EFER_SCE) || c->mmu.role.pke)
		return false;
	if ((c->rflags & flags) || !(c->rflags & RFLAGS_IF))
		return false;
	return user_address(c->rip) && !in_stub(c->rip) &&
	       user_address(c->seg[SEG_FS].base) &&
	       user_address(c->seg[SEG_GS].base);
}

/* Whether dirty pages of the guest's main memory, where its page tables are,
 * are logged.  Of a display's memory they always may be. */
static bool memory_logged(struct cpu *c)
{
	const struct memslot *s =
		mmu_slot(&c->mmu, c->mmu.cr3 & MASK(52) & PAGE_MASK);

	return s && s->dirty;
}

static void give_regs(const struct cpu *c, struct user_regs_struct *u)
{
	const uint64_t *g = c->gpr;

	*u = (struct user_regs_struct){
		.rax = g[RAX],
		.rcx = g[RCX],
		.rdx = g[RDX],
		.rbx = g[RBX],
		.rsp = g[RSP],
		.rbp = g[RBP],
		.rsi = g[RSI],
		.rdi = g[RDI],
		.r8 = g[R8],
		.r9 = g[R9],
		.r10 = g[R10],
		.r11 = g[R11],
		.r12 = g[R12],
		.r13 = g[R13],
		.r14 = g[R14],
		.r15 = g[R15],
		.rip = c->rip,
		.eflags = c->rflags & ~RFLAGS_RF,
		.orig_rax = ~0ull,
		.cs = USER_CS,
		.ss = USER_SS,
		.ds = c->seg[SEG_DS].sel,
		.es = c->seg[SEG_ES].sel,
		.fs_base = c->seg[SEG_FS].base,
		.gs_base = c->seg[SEG_GS].base,
	};
}

/* A selector that user code has loaded means what the guest's tables say. */
static void take_selector(struct cpu *c, unsigned int seg, uint16_t sel)
{
	if (sel != c->seg[seg].sel)
		(void)seg_load(c, seg, sel);
}

static void take_regs(struct cpu *c, const struct user_regs_struct *u)
{
	uint64_t *g = c->gpr;

	g[RAX] = u->rax;
	g[RCX] = u->rcx;
	g[RDX] = u->rdx;
	g[RBX] = u->rbx;
	g[RSP] = u->rsp;
	g[RBP] = u->rbp;
	g[RSI] = u->rsi;
	g[RDI] = u->rdi;
	g[R8] = u->r8;
	g[R9] = u->r9;
	g[R10] = u->r10;
	g[R11] = u->r11;
	g[R12] = u->r12;
	g[R13] = u->r13;
	g[R14] = u->r14;
	g[R15] = u->r15;
	c->rip = u->rip;
	cpu_set_rflags(c, (c->rflags & ~(USER_FLAGS | RFLAGS_RF)) |
				  (u->eflags & USER_FLAGS));
	c->seg[SEG_FS].base = u->fs_base;
	c->seg[SEG_GS].base = u->gs_base;
	take_selector(c, SEG_DS, u->ds);
	take_selector(c, SEG_ES, u->es);
	take_selector(c, SEG_FS, u->fs);
	take_selector(c, SEG_GS, u->gs);
}

/* Guest code of @len bytes before rip, if it can be read. */
static bool code_before(struct cpu *c, uint8_t *bytes, unsigned int len)
{
	struct x86_fault f;

	return mem_read(&c->mmu, NULL, c->rip - len, bytes, len, ACCESS_USER,
			&f) == CPU_OK;
}

/* The length of the INT3, ICEBP or INT 3 that ends at rip; 0: there is none. */
static unsigned int trap_len(struct cpu *c)
{
	uint8_t b[2];

	/* It may be the first byte that can be read. */
	if (code_before(c, b, 1) && (b[0] == 0xcc || b[0] == 0xf1))
		return 1;
	if (code_before(c, b, 2) && b[0] == 0xcd && b[1] == VEC_BP)
		return 2;
	return 0;
}

/* Whether a trap is the one of RFLAGS.TF. */
static bool single_stepped(enum runner_stop stop,
			   const struct runner_info *info)
{
	return stop == RUNNER_TRAP && info->code == TRAP_TRACE;
}

/* Whether it has come to an instruction that must not run there. */
static bool at_breakpoint(enum runner_stop stop, const struct runner_info *info)
{
	return stop == RUNNER_TRAP && info->code == TRAP_HWBKPT;
}

/* rip = the instruction that has stopped the runner behind it. */
static void step_back(struct cpu *c, enum runner_stop stop,
		      const struct runner_info *info,
		      const struct user_regs_struct *u)
{
	if (stop == RUNNER_SYSCALL) {
		c->gpr[RAX] = u->orig_rax;
		c->rip -= 2;
	} else if (stop == RUNNER_TRAP && !single_stepped(stop, info) &&
		   !at_breakpoint(stop, info)) {
		c->rip -= trap_len(c);
	}
}

/* Vector state to the runner, unless it has it already. */
static int give_fpu(struct cpu *c, struct runner *r)
{
	struct mirror_image *im = mirror_image(direct_of(c)->mirror);
	uint64_t bv;

	/* XSAVE has stored all of SSE; without the bit Linux drops MXCSR. */
	__builtin_memcpy(&bv, (uint8_t *)c->xsave + XSAVE_HEADER, sizeof(bv));
	bv |= XCR0_SSE;
	__builtin_memcpy((uint8_t *)c->xsave + XSAVE_HEADER, &bv, sizeof(bv));
	if (im->valid && !__builtin_memcmp(im->xsave, c->xsave, FPU_AREA_SIZE))
		return 0;
	im->valid = false;
	return runner_set_xstate(r, c->xsave, c->xsave_size);
}

static int take_fpu(struct cpu *c, struct runner *r)
{
	struct mirror_image *im = mirror_image(direct_of(c)->mirror);
	uint8_t *x = c->xsave;
	uint64_t bv;
	int err = runner_get_xstate(r, x, c->xsave_size);

	if (err)
		return err;
	/* What Linux leaves in bytes that are software's, and beyond AVX. */
	__builtin_memset(x + XSAVE_LEGACY_END, 0,
			 XSAVE_HEADER - XSAVE_LEGACY_END);
	__builtin_memcpy(&bv, x + XSAVE_HEADER, sizeof(bv));
	bv &= FPU_NATIVE;
	__builtin_memcpy(x + XSAVE_HEADER, &bv, sizeof(bv));
	__builtin_memcpy(im->xsave, x, FPU_AREA_SIZE);
	im->valid = true;
	return 0;
}

/* What user code at @rip probably wanted there; mirror_fill() knows whether a
 * page that looks like the instruction's own could be executed already. */
static enum mirror_access access_of(const struct runner_info *info,
				    uint64_t rip)
{
	if (info->address - rip < INSN_MAX)
		return MIRROR_FETCH;
	return info->code == SEGV_ACCERR ? MIRROR_WRITE : MIRROR_ANY;
}

static bool page_fault(enum runner_stop stop, const struct runner_info *info)
{
	return stop == RUNNER_FAULT && info->signo == SIGSEGV &&
	       (info->code == SEGV_MAPERR || info->code == SEGV_ACCERR);
}

/* Whether a fault is one of the mirror's alone, which is mended now. */
static bool mended(struct cpu *c, struct runner *r,
		   const struct runner_info *info)
{
	struct mirror *m = direct_of(c)->mirror;
	struct user_regs_struct u;

	if (runner_get_regs(r, &u) ||
	    !mirror_fill(m, &c->mmu, info->address, access_of(info, u.rip)))
		return false;
	c->exits[EXIT_DIRECT_FILL]++;
	return true;
}

/* Maps what the guest's kernel has made of the last page fault. */
static void expect_page(struct cpu *c)
{
	struct direct *d = direct_of(c);

	if (d->fault_root == c->mmu.cr3 && d->fault_gva != NO_GVA)
		mirror_fill(d->mirror, &c->mmu, d->fault_gva,
			    d->fault_fetch ? MIRROR_FETCH : MIRROR_ANY);
	d->fault_gva = NO_GVA;
}

/* As runner_run(), unless the vCPU is to leave.  What of the time was the
 * guest's counts as what it would have been here, so that bursts there and here
 * compare. */
static enum runner_stop go_once(struct cpu *c, struct runner *r,
				struct runner_info *info)
{
	struct direct *d = direct_of(c);
	enum runner_stop stop = RUNNER_KICKED;
	uint64_t began;

	__atomic_store_n(&d->pid, runner_pid(r), __ATOMIC_SEQ_CST);
	/* Whoever clears it after this look sees the runner. */
	if (__atomic_load_n(&c->dbt[D_GO], __ATOMIC_SEQ_CST)) {
		began = tsc_rough();
		stop = runner_run(r, info);
		direct_stay(d, tsc_rough() - began);
	}
	__atomic_store_n(&d->pid, 0, __ATOMIC_SEQ_CST);
	return stop;
}

/* Runs until there is something to do beside the mirror. */
static enum runner_stop go(struct cpu *c, struct runner *r,
			   struct runner_info *info)
{
	struct direct *d = direct_of(c);
	enum runner_stop stop;

	do {
		stop = go_once(c, r, info);
	} while (page_fault(stop, info) && may_go(c) && mended(c, r, info));
	d->fault_gva = page_fault(stop, info) ? info->address : NO_GVA;
	d->fault_root = c->mmu.cr3;
	return stop;
}

/* The runner of the current process, with the guest's registers. */
static bool start(struct cpu *c, struct runner **r)
{
	struct direct *d = direct_of(c);
	struct user_regs_struct u;
	int err;

	fpu_save(c);
	give_regs(c, &u);
	err = mirror_enter(d->mirror, &c->mmu, r);
	if (!err) {
		err = give_fpu(c, *r);
		if (!err)
			err = runner_set_regs(*r, &u);
		if (err)
			mirror_drop(d->mirror);
	}
	if (!err) {
		d->failures = 0;
		return true;
	}
	fpu_load(c);
	if (err != -EAGAIN && ++d->failures == MAX_FAILURES)
		d->mode = DIRECT_OFF;
	return false;
}

/* What the runner's user code has made of the state. */
static bool take(struct cpu *c, struct runner *r, struct user_regs_struct *u)
{
	if (runner_get_regs(r, u) || take_fpu(c, r))
		return false;
	take_regs(c, u);
	/* It would keep ID.  The C library may use vector registers for this.
	 */
	if (u->eflags & RFLAGS_ID)
		mirror_drop(direct_of(c)->mirror);
	fpu_load(c);
	return true;
}

/*
 * One stay in the runner; RUNNER_FAILED: it is of no use at this time,
 * RUNNER_GONE: the state is lost.
 */
static enum runner_stop stay(struct cpu *c, struct runner *r,
			     struct runner_info *info)
{
	struct direct *d = direct_of(c);
	struct user_regs_struct u;
	enum runner_stop stop;
	uint64_t fills;

	c->doing = EXIT_DIRECT;
	c->exits[EXIT_DIRECT]++;
	expect_page(c);
	fills = c->exits[EXIT_DIRECT_FILL];
	stop = go(c, r, info);
	if (stop == RUNNER_FAILED && fills == c->exits[EXIT_DIRECT_FILL]) {
		/* Nothing has run; what is mapped is not known. */
		mirror_drop(d->mirror);
		fpu_load(c);
		return stop;
	}
	if (stop == RUNNER_FAILED)
		mirror_note_gone(d->mirror);
	if (stop == RUNNER_GONE || !take(c, r, &u))
		return RUNNER_GONE;
	c->doing = DOING_LOOP;
	/* Of a page that is not there it is no write; see mirror_fill(). */
	d->fault_fetch = d->fault_gva != NO_GVA && info->code == SEGV_MAPERR &&
			 access_of(info, c->rip) == MIRROR_FETCH;
	step_back(c, stop, info, &u);
	return stop;
}

/* Whether to go back to the runner from an instruction done here. */
static bool goes_on(struct cpu *c, uint64_t rip)
{
	struct direct *d = direct_of(c);

	/* Code that may not run there, or a page that it makes no sense to map:
	 * until the kernel is back here. */
	if (d->fault_gva - rip < INSN_MAX)
		return false;
	return (d->mode == DIRECT_ALWAYS || direct_stays(d)) &&
	       !run_must_leave(c) && state_fits(c);
}

/* False: nothing has been done. */
static bool run_stays(struct cpu *c, int *result, enum exit_reason *reason)
{
	struct direct *d = direct_of(c);
	bool stayed = false;
	uint64_t rip;
	struct runner *r;

	do {
		enum runner_stop stop;
		struct runner_info info = { 0 };

		*result = CAREFUL_ON;
		if (!start(c, &r))
			return stayed;
		stayed = true;
		stop = stay(c, r, &info);
		if (stop == RUNNER_GONE) {
			mirror_drop(d->mirror);
			fpu_load(c);
			*reason = EXIT_EMULATE;
			*result = CAREFUL_LEAVE;
			return true;
		}
		rip = c->rip;
		if (single_stepped(stop, &info))
			*result = careful_stepped(c, reason);
		else if (stop != RUNNER_KICKED)
			*result = careful_step(c, reason);
	} while (*result == CAREFUL_ON && goes_on(c, rip));
	return true;
}

bool direct_run(struct cpu *c, int *result, enum exit_reason *reason)
{
	struct direct *d = direct_of(c);
	uint64_t began = tsc_rough();

	d->want = false;
	if (!state_fits(c) || memory_logged(c) || !run_stays(c, result, reason))
		return false;
	direct_turn(d, tsc_rough() - began);
	return true;
}
