#include "dbt/dbt_int.h"

/*
 * Samples for profiles: runs in a signal handler, on a thread that may be
 * anywhere in KVM_RUN.  It reads what the same thread has written, and of what
 * others write only the list of blocks, as fault.c does.
 */

/* The guest instruction that host code at @pc was made of; 0: none. */
static uint64_t rip_of(const struct cpu *c, const uint8_t *pc)
{
	const struct block *b = block_at(vcpu_dbt(c)->d, pc);

	return b ? block_rip(c, b) + block_insn(b, pc)->guest : 0;
}

static enum dbt_place place_of(const struct block *b, const uint8_t *pc)
{
	if (pc < b->entry)
		return DBT_ENTRY;
	return pc < b->ientry + b->cold ? DBT_GUEST : DBT_COLD;
}

/* The guest instruction for which C code works. */
static uint64_t rip_in_c(const struct cpu *c)
{
	const struct miss_stub *s = (const struct miss_stub *)c->dbt[D_RA];

	switch (c->doing) {
	case EXIT_TLB_MISS:
		return rip_of(c, (const uint8_t *)s + s->access);
	case EXIT_BLOCK_LOOKUP:
	case EXIT_BLOCK_MISS:
	case EXIT_CODE_WRITE:
		return 0; /* rip may be an old one */
	default:
		return c->rip;
	}
}

void dbt_sample(const struct cpu *c, const void *pc, struct dbt_sample *s)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	struct dbt *d = v->d;
	const uint8_t *p = pc;
	uint64_t off = p - d->code_x;
	const struct block *b;

	*s = (struct dbt_sample){ .user = c->cpl == 3 };
	if (off >= CODE_SIZE) {
		s->place = DBT_C;
		s->rip = rip_in_c(c);
	} else if (p >= v->snip_x && p < v->snip_x + SNIPPET_SIZE) {
		s->place = DBT_C; /* a part of the careful form */
		s->rip = c->rip;
	} else if (d->code_w + off < d->code_start) {
		s->place = DBT_STUB;
	} else {
		b = block_at(d, p);
		s->place = b ? place_of(b, p) : DBT_STUB;
		s->rip = rip_of(c, p);
	}
}
