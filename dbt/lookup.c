#include "dbt/dbt_int.h"

#include "cpu/op.h"
#include "mmu/walk.h"

/*
 * Jumps that translated code cannot follow by itself, on the light path: no C
 * library, general registers only.  What is not simple here is left to run.c:
 * the answer NULL makes translated code leave.
 */

/*
 * The block at @rip of the mode that runs, made if need be.  @now: as in
 * pages_fresh.  @w: the translation of its page.
 */
static struct block *block_for(struct cpu *c, uint64_t rip, uint32_t mode,
			       bool now, struct walk *w)
{
	unsigned int access = ACCESS_FETCH | (c->cpl == 3 ? ACCESS_USER : 0);
	struct x86_fault f;
	struct block *b;
	uint64_t key;

	if (c->code_size == CODE64 && !canonical(c, rip))
		return NULL;
	if (walk_gva(&c->mmu, rip, access, w, &f) != CPU_OK)
		return NULL;
	key = page_key(vcpu_dbt(c)->d, rip, w->gpa, &mode);
	b = block_find(vcpu_dbt(c)->d, key, w->gpa, mode);
	if (likely(b))
		return b->gpa2 || !pages_fresh(c, b, now) ? NULL : b;
	/* It may cross into the next page. */
	if ((rip & ~PAGE_MASK) > PAGE_SIZE - 15)
		return NULL;
	return pages_translate_light(c, key, w->gpa, mode);
}

void *lookup_enter(struct cpu *c, struct tlb_table *tt, const struct block *b,
		   uint64_t rip, const struct walk *w)
{
	c->exits[EXIT_BLOCK_LOOKUP]++;
	jcache_set(&tt->jc, rip, b->ientry, w->global, b->gpa2);
	tlb_note_code(tt, rip, b->len, w->page_shift);
	epoch_uses(c, b);
	return block_enter(c, b, rip);
}

static struct tlb_table *running_table(struct cpu *c)
{
	return tlb_current(c->mmu.tlb, tlb_mode_of(c));
}

void *dbt_lookup(struct cpu *c, uint64_t rip)
{
	struct tlb_table *tt = running_table(c);
	struct block *b;
	struct walk w;

	c->doing = EXIT_BLOCK_LOOKUP;
	if (unlikely(!may_go(c)))
		return NULL;
	b = block_for(c, rip, tt->jc.mode, !jcache_has_page(&tt->jc, rip), &w);
	if (unlikely(!b))
		return NULL;
	return lookup_enter(c, tt, b, rip, &w);
}

void *dbt_link(struct cpu *c, const struct link_stub *s)
{
	struct dbt *d = vcpu_dbt(c)->d;
	uint32_t mode = running_table(c)->jc.mode;
	uint64_t rip = stub_rip(c, &s->at);
	struct block *b;
	struct walk w;

	c->doing = EXIT_BLOCK_LOOKUP;
	if (unlikely(!may_go(c)))
		return NULL;
	b = block_for(c, rip, mode | (s->plain ? MODE_PLAIN : 0), false, &w);
	if (unlikely(!b))
		return NULL;
	lock_take(&d->lock);
	block_link(d, s, b);
	lock_drop(&d->lock);
	return block_enter(c, b, rip);
}

void *dbt_changed(struct cpu *c, const struct changed_stub *s)
{
	struct dbt *d = vcpu_dbt(c)->d;
	struct tlb_table *tt = running_table(c);
	struct block *b;
	uint64_t rip = stub_rip(c, &s->at);

	c->doing = EXIT_CODE_WRITE;
	lock_take(&d->lock);
	b = d->by_addr[s->block];
	block_outdated(d, b);
	lock_drop(&d->lock);
	jcache_drop(&tt->jc, block_rip(c, b));
	jcache_drop(&tt->jc, rip);
	c->exits[EXIT_CODE_WRITE]++;
	return dbt_lookup(c, rip);
}
