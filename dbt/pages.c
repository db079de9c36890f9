#include "dbt/dbt_int.h"

#include "mmu/walk.h"

/*
 * Guest pages and the blocks translated from them: a page with blocks has no
 * write entry in any TLB, so every write to it comes here and drops the blocks
 * that it overlaps.
 */

static const struct memslot *find_flags(const struct cpu *c, gpa_t gpa,
					uint8_t **flags)
{
	const struct memslot *s = memslot_find(c->mmu.slots, gpa);

	if (s)
		*flags = &s->page_flags[(gpa - s->gpa) >> PAGE_SHIFT];
	return s;
}

static void drop_blocks(struct cpu *c, gpa_t gpa, unsigned int len)
{
	struct dbt *d = vcpu_dbt(c)->d;
	uint8_t *flags;

	lock_take(&d->lock);
	if (!page_kill_range(d, gpa, len) && find_flags(c, gpa, &flags))
		__atomic_and_fetch(flags, (uint8_t)~PGF_CODE, __ATOMIC_SEQ_CST);
	lock_drop(&d->lock);
}

void code_page_write(struct cpu *c, gpa_t gpa, unsigned int len)
{
	struct dbt *d = vcpu_dbt(c)->d;
	uint8_t *flags;

	if (!find_flags(c, gpa, &flags))
		return;
	/* The write is seen before the flag is read: as mmu_wrote() has it. */
	if (d->nr_cpus > 1)
		__atomic_or_fetch(flags, 0, __ATOMIC_SEQ_CST);
	if (!(*flags & PGF_CODE))
		return;
	c->exits[EXIT_CODE_WRITE]++;
	if (d->nr_cpus > 1)
		quiet_self_enter(c);
	drop_blocks(c, gpa, len);
	if (d->nr_cpus > 1)
		quiet_self_leave(c);
}

/*
 * mmu_ops: page-table updates and emulated writes.  Blocks may be on the call
 * stack (a TLB miss), so the work waits for the block's end.
 */
void run_code_write(struct mmu *mmu, gpa_t gpa, unsigned int len)
{
	struct cpu *c = container_of(mmu, struct cpu, mmu);
	struct vcpu_dbt *v = vcpu_dbt(c);

	if (v->nr_writes < ARRAY_SIZE(v->writes)) {
		v->writes[v->nr_writes].gpa = gpa;
		v->writes[v->nr_writes++].len = len;
	} else {
		v->drop_all = true;
	}
	__atomic_store_n(&c->dbt[D_GO], 0, __ATOMIC_SEQ_CST);
}

static void flush_translations(struct cpu *c)
{
	struct dbt *d = vcpu_dbt(c)->d;

	quiet_self_enter(c);
	dbt_drop_all(d);
	quiet_self_leave(c);
}

void pages_pending(struct cpu *c)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	unsigned int n = v->nr_writes;

	v->nr_writes = 0;
	if (unlikely(v->drop_all)) {
		v->drop_all = false;
		flush_translations(c);
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		code_page_write(c, v->writes[i].gpa, v->writes[i].len);
}

/* The page of @gpa is to hold code: no TLB may let it be written unnoticed. */
static void drop_write_entries(struct cpu *c, gpa_t gpa)
{
	struct dbt *d = vcpu_dbt(c)->d;
	const struct memslot *s;
	uint8_t *flags;

	if (d->nr_cpus > 1)
		quiet_self_enter(c);
	s = find_flags(c, gpa, &flags);
	for (unsigned int i = 0; s && i < d->nr_cpus; i++)
		if (d->cpu[i])
			tlb_drop_writable(d->cpu[i]->mmu.tlb,
					  memslot_hva(s, gpa & PAGE_MASK));
	if (s)
		__atomic_and_fetch(flags, (uint8_t)~PGF_WRITABLE,
				   __ATOMIC_SEQ_CST);
	if (d->nr_cpus > 1)
		quiet_self_leave(c);
}

/*
 * The slot of @gpa, its page marked as holding code, with no write entry left.
 * While this vCPU waits to stop the others, one of them may write to the page
 * and unmark it, or change the slots: only a look without a wait is final.
 */
static const struct memslot *code_slot(struct cpu *c, gpa_t gpa)
{
	const struct memslot *s;
	uint8_t *flags;

	while ((s = find_flags(c, gpa, &flags))) {
		if (!(__atomic_load_n(flags, __ATOMIC_SEQ_CST) & PGF_CODE))
			__atomic_or_fetch(flags, PGF_CODE, __ATOMIC_SEQ_CST);
		if (!(__atomic_load_n(flags, __ATOMIC_SEQ_CST) & PGF_WRITABLE))
			break;
		drop_write_entries(c, gpa);
	}
	return s;
}

/* Whether it still is: another code_slot() may have waited. */
static bool is_code(const struct cpu *c, gpa_t gpa)
{
	uint8_t *flags;

	return find_flags(c, gpa, &flags) && (*flags & PGF_CODE);
}

static struct block *made(struct cpu *c, struct block *b)
{
	c->exits[EXIT_BLOCK_MISS]++;
	if (unlikely(!b))
		flush_translations(c);
	return b;
}

struct block *pages_translate(struct cpu *c, uint64_t rip, gpa_t gpa,
			      uint32_t mode)
{
	struct dbt *d = vcpu_dbt(c)->d;
	const struct memslot *s = code_slot(c, gpa);
	struct block *b;

	if (!s)
		return NULL;
	/* A fault on the code's host page must not come under the lock. */
	(void)*(volatile uint8_t *)memslot_hva(s, gpa);
	lock_take(&d->lock);
	b = block_find(d, rip, gpa, mode);
	if (!b)
		b = xlat_block(d, c, rip, gpa, memslot_hva(s, gpa), mode);
	lock_drop(&d->lock);
	return made(c, b);
}

struct block *pages_translate_light(struct cpu *c, uint64_t rip, gpa_t gpa,
				    uint32_t mode)
{
	struct dbt *d = vcpu_dbt(c)->d;
	const struct memslot *s;
	struct block *b;
	uint8_t *flags;

	s = find_flags(c, gpa, &flags);
	if (!s || (d->nr_cpus > 1 && !is_code(c, gpa)))
		return NULL;
	code_slot(c, gpa);
	(void)*(volatile uint8_t *)memslot_hva(s, gpa);
	lock_take(&d->lock);
	b = block_find(d, rip, gpa, mode);
	if (!b) {
		b = xlat_block(d, c, rip, gpa, memslot_hva(s, gpa), mode);
		c->exits[EXIT_BLOCK_MISS]++;
	}
	lock_drop(&d->lock);
	return b;
}

/*
 * The second page of a crossing block is another one now.  Other vCPUs may be
 * about to execute what block_kill overwrites.
 */
static void drop_crossing(struct cpu *c, gpa_t gpa, gpa_t gpa2, uint32_t mode)
{
	struct dbt *d = vcpu_dbt(c)->d;
	struct block *b;

	if (d->nr_cpus > 1)
		quiet_self_enter(c);
	lock_take(&d->lock);
	b = block_find(d, c->rip, gpa, mode);
	if (b && b->gpa2 != gpa2)
		block_kill(d, b);
	lock_drop(&d->lock);
	if (d->nr_cpus > 1)
		quiet_self_leave(c);
}

struct block *pages_crossing(struct cpu *c, gpa_t gpa, uint32_t mode)
{
	unsigned int access = ACCESS_FETCH | (c->cpl == 3 ? ACCESS_USER : 0);
	gva_t next = (c->rip & PAGE_MASK) + PAGE_SIZE;
	struct vcpu_dbt *v = vcpu_dbt(c);
	struct insn *i = &v->insn;
	struct block *b, *found;
	struct x86_fault f;
	struct walk w;

	if (walk_gva(&c->mmu, next, access, &w, &f) != CPU_OK)
		return NULL;
	lock_take(&v->d->lock);
	b = block_find(v->d, c->rip, gpa, mode);
	lock_drop(&v->d->lock);
	if (b && b->gpa2 == w.gpa)
		return b;
	if (b)
		drop_crossing(c, gpa, w.gpa, mode);
	if (!code_slot(c, gpa) || !code_slot(c, w.gpa) || !is_code(c, gpa))
		return NULL;
	/* From here on a write to either page is noticed. */
	if (fetch_insn(c, i) != CPU_OK ||
	    (c->rip & ~PAGE_MASK) + i->len <= PAGE_SIZE)
		return NULL;
	lock_take(&v->d->lock);
	b = block_find(v->d, c->rip, gpa, mode);
	found = b;
	if (!b)
		b = xlat_crossing(v->d, c, c->rip, gpa, w.gpa, i, mode);
	lock_drop(&v->d->lock);
	/* Another vCPU may have been faster, with another second page. */
	if (found)
		return found->gpa2 == w.gpa ? found : NULL;
	return made(c, b);
}
