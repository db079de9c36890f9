#include "dbt/xlat.h"

/*
 * Blocks of pages that are written often compare their guest bytes with those
 * that were translated: when they are entered, and behind each write of their
 * own, which may have hit the next instruction.  No flag is changed: values are
 * compared by an LEA that subtracts, and JRCXZ.
 */
static bool may_write(const struct insn *i)
{
	switch (i->row->action) {
	case ACT_COPY:
		return (i->mem_access & ACC_W) || (i->row->attr & IA_COND);
	case ACT_STACK:
		return i->row->id == ID_PUSH || (i->mem_access & ACC_W);
	case ACT_NOP:
	case ACT_BRANCH:
		return false;
	default:
		return true;
	}
}

struct compare {
	struct xlat *x;
	uint64_t rip;  /* where to go on if there is a difference */
	uint8_t *fail; /* a jump there, once there is one */
};

/* Jumps over what leaves if t1 is 0. */
static void leave_unless_zero(struct compare *k)
{
	struct emit *e = &k->x->e;
	uint8_t *same = emit_jrcxz(e);
	struct cold *c;

	if (k->fail) {
		emit_jmp(e, k->fail);
	} else {
		k->fail = emit_x(e);
		c = xlat_cold(k->x, COLD_CHANGED, emit_jmp_patch(e));
		c->rip = k->rip;
	}
	emit_here8(e, same);
}

static void compare_part(struct compare *k, unsigned int off, unsigned int size,
			 const uint8_t *src)
{
	struct emit *e = &k->x->e;
	uint32_t want = 0;

	__builtin_memcpy(&want, src + off, size);
	emit_load(e, T1, T0, H_NONE, off, size);
	if (want)
		emit_lea(e, T1, T1, H_NONE, 0, -want, 4);
	leave_unless_zero(k);
}

/* @n bytes at host address @hva against @src; uses t0 and t1. */
static void compare(struct compare *k, const uint8_t *hva, const uint8_t *src,
		    unsigned int n)
{
	unsigned int off;

	emit_mov_ri(&k->x->e, T0, (uintptr_t)hva);
	for (off = 0; off + 4 <= n; off += 4)
		compare_part(k, off, 4, src);
	if (off < n && n > 4) {
		compare_part(k, n - 4, 4, src);
		return;
	}
	for (; off < n; off += n - off >= 2 ? 2 : 1)
		compare_part(k, off, n - off >= 2 ? 2 : 1, src);
}

void xlat_check(struct xlat *x, unsigned int n)
{
	unsigned int start = x->rip - x->block_rip, end = start;
	unsigned int room = PAGE_SIZE - (x->block_rip & ~PAGE_MASK);
	struct compare k = { .x = x, .rip = x->rip };

	if (n && !may_write(&x->insn[n - 1]))
		return;
	do {
		end += x->insn[n].len;
	} while (!may_write(&x->insn[n]) && ++n < x->nr_decoded);
	/* What follows is out of reach for the jumps that wait. */
	xlat_islands(x, 255, false);
	x->t1_win = NO_WINDOW;
	compare(&k, x->hva + start, x->src + start,
		(end < room ? end : room) - start);
	if (end > room)
		compare(&k, x->hva2, x->src + room, end - room);
}
