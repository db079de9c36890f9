#include "dbt/dbt_int.h"

/*
 * Fixed pieces of code at the start of the code cache: the way in (called by
 * dbt_enter as a C function), one way out for each leave code, and the calls
 * of C functions in the middle of a block.
 */
static const uint8_t callee_saved[] = {
	H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15
};

static void load_guest(struct emit *e)
{
	for (unsigned int r = 0; r < NR_GPRS; r++)
		if (host_of[r] != IN_MEMORY)
			emit_gs_load(e, host_of[r], GPR_OFF(r), 8);
}

static void store_guest(struct emit *e)
{
	for (unsigned int r = 0; r < NR_GPRS; r++)
		if (host_of[r] != IN_MEMORY)
			emit_gs_store(e, host_of[r], GPR_OFF(r), 8);
}

/*
 * The status flags of D_HOST_FLAGS; clobbers RAX and RCX.  OF comes from an
 * addition, the others from SAHF: a third of what POPF takes.
 */
static void load_flags(struct emit *e)
{
	static const uint8_t code[] = {
		0x89, 0xc1,	  /* mov ecx, eax */
		0xc1, 0xe9, 0x0b, /* shr ecx, 11 */
		0x83, 0xe1, 0x01, /* and ecx, 1 */
		0x80, 0xc1, 0x7f, /* add cl, 0x7f */
		0x88, 0xc4,	  /* mov ah, al */
		0x9e,		  /* sahf */
	};

	emit_gs_load(e, H_RAX, SLOT_OFF(D_HOST_FLAGS), 4);
	emit_bytes(e, code, sizeof(code));
}

/* Status flags and registers from memory, then to D_ENTRY. */
static void enter_tail(struct emit *e)
{
	load_flags(e);
	load_guest(e);
	emit_gs_load(e, T0, SLOT_OFF(D_T0), 8);
	emit_gs_load(e, T1, SLOT_OFF(D_ADDEND), 8);
	emit_gs_jmp(e, SLOT_OFF(D_ENTRY));
}

/* The words of the frame that never change; clobbers RAX. */
static void fill_frame(struct emit *e)
{
	emit_gs_load(e, H_RAX, CPU_OFF(page_mask), 8);
	emit_store(e, H_RAX, H_RSP, H_NONE, FRAME_OFF(F_PAGE_MASK), 8);
	for (unsigned int n = 0; n <= F_SPAN512 - F_SPAN8; n++)
		emit_store_imm(e, H_RSP, H_NONE, FRAME_OFF(F_SPAN8 + n),
			       ~PAGE_MASK & ~MASK(3 + n), 8);
}

/* enum leave_code thunk_enter(void); GS base and D_ENTRY are set. */
static void emit_enter(struct dbt *d, struct emit *e)
{
	d->thunk_enter = emit_x(e);
	for (unsigned int i = 0; i < ARRAY_SIZE(callee_saved); i++)
		emit_push(e, callee_saved[i]);
	emit_lea(e, H_RSP, H_RSP, H_NONE, 0, -8 - FRAME_SIZE, 8);
	emit_gs_store(e, H_RSP, SLOT_OFF(D_HOST_RSP), 8);
	fill_frame(e);
	enter_tail(e);
}

/* Back to the caller of thunk_enter with EAX set. */
static void leave_tail(struct emit *e)
{
	emit_gs_load(e, H_RSP, SLOT_OFF(D_HOST_RSP), 8);
	emit_lea(e, H_RSP, H_RSP, H_NONE, 0, 8 + FRAME_SIZE, 8);
	for (unsigned int i = ARRAY_SIZE(callee_saved); i-- > 0;)
		emit_pop(e, callee_saved[i]);
	emit8(e, 0xc3); /* ret */
}

static void save_all(struct emit *e)
{
	store_guest(e);
	emit_gs_store(e, T0, SLOT_OFF(D_T0), 8);
	emit8(e, 0x9c); /* pushfq */
	emit_gs_pop(e, SLOT_OFF(D_HOST_FLAGS));
}

/* Ways out that are jumped to; the others are called by stubs. */
static bool leave_by_jump(unsigned int code)
{
	return code == LEAVE_SNIPPET;
}

static void emit_leave(struct dbt *d, struct emit *e, unsigned int code)
{
	d->thunk[code] = emit_x(e);
	if (code != LEAVE_FAULT && code != LEAVE_LIGHT) {
		if (!leave_by_jump(code))
			emit_gs_pop(e, SLOT_OFF(D_RA));
		save_all(e);
	}
	emit_mov_ri(e, H_RAX, code);
	leave_tail(e);
}

/*
 * Calls @fn in the middle of translated code.  It answers where to go on, or
 * NULL: leave with @code.  Its second argument is what slot @arg holds: D_RA
 * for a stub with data behind its call, or D_T0, the target of an indirect
 * jump.
 */
static void *emit_light(struct emit *e, void *fn, unsigned int arg,
			enum leave_code code)
{
	void *start = emit_x(e);
	uint8_t *fail, *ok;

	if (arg == D_RA)
		emit_gs_pop(e, SLOT_OFF(D_RA));
	save_all(e);
	emit_gs_load(e, H_RDI, SLOT_OFF(D_SELF), 8);
	emit_gs_load(e, H_RSI, SLOT_OFF(arg), 8);
	emit_mov_ri(e, H_RAX, (uintptr_t)fn);
	emit_call_reg(e, H_RAX);
	emit_mov_rr(e, H_RCX, H_RAX, 8);
	fail = emit_jrcxz(e);
	ok = emit_jmp_patch(e);
	emit_here8(e, fail);
	emit_mov_ri(e, H_RAX, code);
	leave_tail(e);
	emit_here32(e, ok);
	emit_gs_store(e, H_RAX, SLOT_OFF(D_ENTRY), 8);
	enter_tail(e);
	return start;
}

/*
 * Called in the middle of a block with t0 = struct light_site: dbt_light
 * executes the instruction.  It answers NULL: go on behind the call; or where
 * to jump to instead: thunk_go, LEAVE_LIGHT.
 */
static void emit_light_call(struct dbt *d, struct emit *e)
{
	uint8_t *on;

	d->thunk_light = emit_x(e);
	store_guest(e);
	emit8(e, 0x9c); /* pushfq */
	emit_gs_pop(e, SLOT_OFF(D_HOST_FLAGS));
	emit_gs_load(e, H_RDI, SLOT_OFF(D_SELF), 8);
	emit_mov_rr(e, H_RSI, T0, 8);
	emit_lea(e, H_RSP, H_RSP, H_NONE, 0, -8, 8);
	emit_mov_ri(e, H_RAX, (uintptr_t)dbt_light);
	emit_call_reg(e, H_RAX);
	emit_lea(e, H_RSP, H_RSP, H_NONE, 0, 8, 8);
	emit_mov_rr(e, H_RCX, H_RAX, 8);
	on = emit_jrcxz(e);
	emit_jmp_reg(e, H_RAX);
	emit_here8(e, on);
	load_flags(e);
	load_guest(e);
	emit8(e, 0xc3); /* ret */
	d->thunk_go = emit_x(e);
	emit_lea(e, H_RSP, H_RSP, H_NONE, 0, 8, 8);
	enter_tail(e);
}

void thunks_emit(struct dbt *d, struct emit *e)
{
	emit_enter(d, e);
	for (unsigned int i = 0; i < NR_LEAVES; i++)
		if (i != LEAVE_LINK && i != LEAVE_LOOKUP && i != LEAVE_CHANGED)
			emit_leave(d, e, i);
	emit_light_call(d, e);
	cross_emit(&d->cross, e);
	d->thunk_miss = emit_light(e, dbt_miss, D_RA, LEAVE_MISS);
	d->thunk[LEAVE_LINK] = emit_light(e, dbt_link, D_RA, LEAVE_LINK);
	d->thunk[LEAVE_CHANGED] =
		emit_light(e, dbt_changed, D_RA, LEAVE_CHANGED);
	d->thunk[LEAVE_LOOKUP] = emit_light(e, dbt_lookup, D_T0, LEAVE_LOOKUP);
}
