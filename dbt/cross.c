#include "dbt/dbt_int.h"

/*
 * Accesses of up to 32 bytes that cross a page, without leaving translated
 * code.  The bytes around the edge are copied to a bounce buffer in struct cpu,
 * and the instruction works there: its addend leads to it.  What it wrote is
 * then copied to both pages, no byte more.  No flag changes.  Called with the
 * last byte's address in t0:
 *
 *	call bounce		call commit (behind the instruction)
 *	jmp  there is		jmp  on
 *	.long in line		.long in line
 *	there is no entry
 */
#define MIDDLE	  SLOT_OFF(D_BOUNCE + BOUNCE_SLOTS / 2)
#define CASE_SIZE 64
#define SITE_JMP  5 /* bytes of the jump, and of what stands behind it */
#define SITE_SKIP 9

static void emit_ret(struct emit *e)
{
	emit8(e, 0xc3);
}

/* t1 = host address of t0; if there is no entry, to @fail in front. */
static void find_page(struct emit *e, bool write, uint8_t *fail)
{
	uint8_t *zero;

	emit_gs_pext(e, T1, T0, CPU_OFF(page_mask));
	if (write)
		emit_not(e, T1);
	emit_gs_load_idx(e, T1, T1, write ? 0 : TLB_R_OFF);
	zero = emit_jrcxz(e);
	*zero = fail - (zero + 1);
	emit_lea(e, T1, T0, T1, 0, 0, 8);
}

/* Eight bytes from t1 + @off to the middle of the buffer + @off. */
static void copy_in(struct emit *e, int off)
{
	emit_push_mem(e, T1, off);
	emit_gs_pop(e, MIDDLE + off);
}

/* @room bytes on both sides of the edge; those in reach are in both pages. */
static void *emit_bounce(struct emit *e, int room, bool write)
{
	uint8_t *fail = e->w;
	void *start;

	emit_gs_load(e, T0, SLOT_OFF(D_CROSS_T0), 8);
	emit_pop(e, T1);
	emit_lea(e, T1, T1, H_NONE, 0, SITE_SKIP, 8);
	emit_jmp_reg(e, T1);
	start = emit_x(e);
	emit_gs_store(e, T0, SLOT_OFF(D_CROSS_T0), 8);
	emit_gs_pext(e, T1, T0, SLOT_OFF(D_IN_PAGE));
	emit_gs_store(e, T1, SLOT_OFF(D_CROSS_LAST), 8);
	emit_not(e, T1);
	emit_lea(e, T0, T0, T1, 0, 1, 8);
	find_page(e, write, fail);
	emit_gs_store(e, T1, SLOT_OFF(D_CROSS_HIGH), 8);
	emit_lea(e, T0, T0, H_NONE, 0, -1, 8);
	find_page(e, write, fail);
	emit_lea(e, T1, T1, H_NONE, 0, 1, 8);
	emit_gs_store(e, T1, SLOT_OFF(D_CROSS_LOW), 8);
	for (int n = 0; n < room; n += 8)
		copy_in(e, -n - 8);
	emit_gs_load(e, T1, SLOT_OFF(D_CROSS_HIGH), 8);
	for (int n = 0; n < room; n += 8)
		copy_in(e, n);
	/* t0 is the edge less 1. */
	emit_not(e, T0);
	emit_gs_load(e, T1, SLOT_OFF(D_GS), 8);
	emit_lea(e, T1, T0, T1, 0, MIDDLE, 8);
	emit_gs_load(e, T0, SLOT_OFF(D_CROSS_T0), 8);
	emit_ret(e);
	return start;
}

/* @n bytes from the buffer's middle + @off to t0 + @off. */
static void copy_out(struct emit *e, int off, unsigned int n)
{
	for (unsigned int size = 4; size; size /= 2) {
		if (!(n & size))
			continue;
		emit_gs_load(e, T1, MIDDLE + off, size);
		emit_store(e, T1, T0, H_NONE, off, size);
		off += size;
	}
}

/* Code for 1 to 7 bytes below or above the edge, CASE_SIZE each, then to
 * @next.  Returns where that for none would be. */
static void *emit_cases(struct emit *e, bool low, const void *next)
{
	uint8_t *first;

	while ((uintptr_t)emit_x(e) % CASE_SIZE)
		emit8(e, 0x90);
	first = e->w;
	for (int n = 1; n < 8; n++) {
		emit_gs_load(e, T0, SLOT_OFF(low ? D_CROSS_LOW : D_CROSS_HIGH),
			     8);
		copy_out(e, low ? -n : 0, n);
		if (next)
			emit_jmp(e, next);
		else
			emit_ret(e);
		while (e->w < first + n * CASE_SIZE)
			emit8(e, 0x90);
	}
	return first + e->xdiff - CASE_SIZE;
}

/* To the code for t1 bytes. */
static void emit_switch(struct emit *e, const void *none)
{
	emit_mov_ri(e, T0, (uintptr_t)none);
	emit_lea(e, T1, H_NONE, T1, 3, 0, 8);
	emit_lea(e, T0, T0, T1, 3, 0, 8);
	emit_jmp_reg(e, T0);
}

/* t1 = bytes below the edge. */
static void bytes_low(struct emit *e, int size)
{
	emit_gs_load(e, T1, SLOT_OFF(D_CROSS_LAST), 8);
	emit_not(e, T1);
	emit_lea(e, T1, T1, H_NONE, 0, size, 8);
}

/* t1 = bytes above it. */
static void bytes_high(struct emit *e)
{
	emit_gs_load(e, T1, SLOT_OFF(D_CROSS_LAST), 8);
	emit_lea(e, T1, T1, H_NONE, 0, 1, 8);
}

static void rep_movsb(struct emit *e)
{
	emit8(e, 0xf3);
	emit8(e, 0xa4);
}

/* More than eight bytes; RDI and RSI are in D_SPILL and D_TMP meanwhile. */
static void *emit_commit_many(struct emit *e, int size)
{
	void *start = emit_x(e);

	emit_gs_store(e, H_RDI, SLOT_OFF(D_SPILL), 8);
	emit_gs_store(e, H_RSI, SLOT_OFF(D_TMP), 8);
	bytes_low(e, size);
	emit_mov_rr(e, T0, T1, 8);
	emit_not(e, T0);
	emit_gs_load(e, H_RSI, SLOT_OFF(D_GS), 8);
	emit_lea(e, H_RSI, H_RSI, T0, 0, MIDDLE + 1, 8);
	emit_gs_load(e, H_RDI, SLOT_OFF(D_CROSS_LOW), 8);
	emit_lea(e, H_RDI, H_RDI, T0, 0, 1, 8);
	rep_movsb(e);
	emit_gs_load(e, H_RDI, SLOT_OFF(D_CROSS_HIGH), 8);
	bytes_high(e);
	rep_movsb(e);
	emit_gs_load(e, H_RDI, SLOT_OFF(D_SPILL), 8);
	emit_gs_load(e, H_RSI, SLOT_OFF(D_TMP), 8);
	emit_ret(e);
	return start;
}

static void emit_commits(struct cross *k, struct emit *e)
{
	const void *high, *low, *then;

	high = emit_cases(e, false, NULL);
	then = emit_x(e);
	bytes_high(e);
	emit_switch(e, high);
	low = emit_cases(e, true, then);
	for (int n = 0; n < 3; n++) {
		k->commit[n] = emit_x(e);
		bytes_low(e, 2 << n);
		emit_switch(e, low);
	}
	k->many = emit_x(e);
	k->commit[3] = emit_commit_many(e, 16);
	k->commit[4] = emit_commit_many(e, 32);
}

void cross_emit(struct cross *k, struct emit *e)
{
	k->start = emit_x(e);
	for (int n = 0; n < 3; n++) {
		k->bounce[false][n] = emit_bounce(e, 8 << n, false);
		k->bounce[true][n] = emit_bounce(e, 8 << n, true);
	}
	emit_commits(k, e);
	k->end = emit_x(e);
}

void *cross_bounce(const struct cross *k, unsigned int size, bool write)
{
	if (size < 2 || size > 32)
		return NULL;
	return k->bounce[write][size <= 8 ? 0 : size <= 16 ? 1 : 2];
}

void *cross_commit(const struct cross *k, unsigned int size)
{
	if (size < 2 || size > 32 || (size & (size - 1)))
		return NULL;
	return k->commit[__builtin_ctz(size) - 1];
}

bool cross_at(const struct cross *k, const uint8_t *pc)
{
	return pc >= k->start && pc < k->end;
}

const uint8_t *cross_in_line(const uint8_t *site)
{
	int32_t rel;

	__builtin_memcpy(&rel, site + SITE_JMP, sizeof(rel));
	return site + SITE_JMP + rel;
}
