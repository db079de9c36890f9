#include "dbt/dbt_int.h"

/*
 * Epochs: user mode may have written guest memory without a notice.  A vCPU
 * that comes to a new one compares the pages that its jump caches lead to, if
 * they are few; those are the ones in use since it began to count, which it
 * does anew every so often.  If they are many, or have changed, it empties its
 * jump caches, and pages are compared when code in them is looked up again.
 */
void dbt_outside(struct dbt *d)
{
	__atomic_fetch_add(&d->epoch, 1, __ATOMIC_SEQ_CST);
}

static void use_page(struct vcpu_dbt *v, struct code_page *p)
{
	unsigned int h = p->gpa >> PAGE_SHIFT;
	uint8_t *at;

	if (v->nr_active > MAX_ACTIVE)
		return;
	for (; *(at = &v->active_at[h % ACTIVE_HASH]); h++)
		if (v->active[*at - 1] == p)
			return;
	if (v->nr_active < MAX_ACTIVE) {
		v->active[v->nr_active] = p;
		*at = v->nr_active + 1;
	}
	v->nr_active++;
}

void epoch_uses(struct cpu *c, const struct block *b)
{
	if (b->self)
		return;
	use_page(vcpu_dbt(c), b->page);
	if (b->page2)
		use_page(vcpu_dbt(c), b->page2);
}

void epoch_forget(struct vcpu_dbt *v)
{
	v->nr_active = v->nr_epochs = 0;
	__builtin_memset(v->active_at, 0, sizeof(v->active_at));
}

/* Whether the pages in use are fresh; not if one is not there. */
static bool active_fresh(struct cpu *c)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	void *recover[ARRAY_SIZE(v->recover)];
	volatile bool fresh = true;

	if (v->nr_active > MAX_ACTIVE || ++v->nr_epochs == ACTIVE_EPOCHS)
		return false;
	__builtin_memcpy(recover, v->recover, sizeof(recover));
	if (__builtin_setjmp(v->recover)) {
		v = vcpu_dbt(c);
		fresh = false;
	} else {
		for (unsigned int i = 0; fresh && i < v->nr_active; i++)
			fresh = page_fresh(c, v->active[i], false);
	}
	__builtin_memcpy(v->recover, recover, sizeof(recover));
	return fresh;
}

void epoch_new(struct cpu *c)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	uint64_t epoch = __atomic_load_n(&v->d->epoch, __ATOMIC_ACQUIRE);

	if (likely(v->epoch == epoch))
		return;
	v->epoch = epoch;
	if (active_fresh(c))
		return;
	epoch_forget(v);
	tlb_forget_code(c->mmu.tlb);
}
