#include "dbt/dbt_int.h"

#include "mmu/mirror.h"
#include "mmu/walk.h"

/*
 * Guest pages and the blocks translated from them.  A protected page has no
 * write entry in any TLB, so every write to it comes here: it is let through if
 * it is beside the code, else it drops the blocks that it overlaps.  A page
 * that is written often gets blocks that compare their own bytes, and write
 * entries, until it has not changed for a while.
 */

/* Weights of writes beside and into code, and the sum that is too much. */
#define WRITE_BESIDE 1
#define WRITE_INTO   8
#define WRITES_MAX   256

/* Between looks at pages that compare, in TSC cycles; pages a look. */
#define SAMPLE_TSC   25000000
#define SAMPLE_PAGES 8
#define MIN_PATIENCE 4
#define MAX_PATIENCE 128

static const struct memslot *find_flags(const struct cpu *c, gpa_t gpa,
					uint8_t **flags)
{
	const struct memslot *s = memslot_find(c->mmu.slots, gpa);

	if (s)
		*flags = &s->page_flags[(gpa - s->gpa) >> PAGE_SHIFT];
	return s;
}

/* Other vCPUs may change them at any time. */
static uint8_t flags_now(const uint8_t *flags)
{
	return __atomic_load_n(flags, __ATOMIC_SEQ_CST);
}

/* The blocks of a page compare their bytes from now on.  The world is stopped.
 */
static void make_self(struct dbt *d, struct code_page *p)
{
	page_kill_range(d, p->gpa, PAGE_SIZE);
	p->self = true;
	p->still = 0;
	p->patience = p->patience ? p->patience : MIN_PATIENCE / 2;
	if (p->patience < MAX_PATIENCE)
		p->patience *= 2;
	d->self_page[d->nr_self] = p;
	set_nr_self(d, d->nr_self + 1);
}

static void drop_blocks(struct cpu *c, gpa_t gpa, unsigned int len)
{
	struct dbt *d = vcpu_dbt(c)->d;
	unsigned int start = gpa & ~PAGE_MASK;
	struct code_page *p;
	uint8_t *flags;

	lock_take(&d->lock);
	p = page_find(d, gpa);
	if (p)
		p->writes += page_holds(p, start, start + len) ? WRITE_INTO
							       : WRITE_BESIDE;
	if (p && p->writes >= WRITES_MAX && d->nr_self < MAX_SELF_PAGES)
		make_self(d, p);
	if (!page_kill_range(d, gpa, len) && find_flags(c, gpa, &flags))
		__atomic_and_fetch(flags, (uint8_t)~PGF_CODE, __ATOMIC_SEQ_CST);
	lock_drop(&d->lock);
}

/* With the lock: whether code may come from the page's other bytes meanwhile
 * is decided by the flag, which the next translation sees. */
static bool permit(struct dbt *d, gpa_t gpa, unsigned int len, uint8_t *flags)
{
	unsigned int start = gpa & ~PAGE_MASK;
	struct code_page *p = page_find(d, gpa);

	if (!p || (flags_now(flags) & PGF_WATCHED) != PGF_CODE ||
	    p->writes >= WRITES_MAX || page_holds(p, start, start + len))
		return false;
	p->writes += WRITE_BESIDE;
	if (d->nr_cpus > 1)
		__atomic_or_fetch(flags, PGF_PERMITTED, __ATOMIC_SEQ_CST);
	return true;
}

bool pages_permit(struct cpu *c, gpa_t gpa, unsigned int len)
{
	struct dbt *d = vcpu_dbt(c)->d;
	uint8_t *flags;
	bool ok;

	if (!find_flags(c, gpa, &flags))
		return false;
	if (d->nr_cpus == 1)
		return permit(d, gpa, len, flags);
	lock_take(&d->lock);
	ok = permit(d, gpa, len, flags);
	lock_drop(&d->lock);
	return ok;
}

/* What runners execute has changed; they look when they are entered. */
static void exec_written(struct cpu *c, uint8_t *flags)
{
	struct dbt *d = vcpu_dbt(c)->d;

	__atomic_and_fetch(flags, (uint8_t)~PGF_EXEC, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < d->nr_cpus; i++)
		if (d->cpu[i])
			mirror_note_written(d->cpu[i]->mmu.tlb->mirror);
}

void run_exec_unwatch(struct mmu *mmu, gpa_t gpa)
{
	struct cpu *c = container_of(mmu, struct cpu, mmu);
	uint8_t *flags;

	if (find_flags(c, gpa, &flags))
		exec_written(c, flags);
}

void code_page_write(struct cpu *c, gpa_t gpa, unsigned int len)
{
	struct dbt *d = vcpu_dbt(c)->d;
	uint8_t *flags, now;

	if (!find_flags(c, gpa, &flags))
		return;
	/* The write is seen before the flag is read: as mmu_wrote() has it. */
	if (d->nr_cpus > 1)
		now = __atomic_or_fetch(flags, 0, __ATOMIC_SEQ_CST);
	else
		now = flags_now(flags);
	if (unlikely(now & PGF_EXEC))
		exec_written(c, flags);
	if (!(now & PGF_CODE))
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

/* More writes to watched pages than can be remembered. */
static void written_anywhere(struct cpu *c)
{
	struct dbt *d = vcpu_dbt(c)->d;

	quiet_self_enter(c);
	for (unsigned int i = 0; i < d->nr_cpus; i++)
		if (d->cpu[i])
			mirror_note_gone(d->cpu[i]->mmu.tlb->mirror);
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
		written_anywhere(c);
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		code_page_write(c, v->writes[i].gpa, v->writes[i].len);
}

static void drop_entries(struct tlb *t, const struct memslot *s, gpa_t gpa,
			 uint8_t flags)
{
	if (flags & PGF_WRITABLE)
		tlb_drop_writable(t, memslot_hva(s, gpa & PAGE_MASK));
	if (flags & PGF_MIRRORED)
		mirror_note_code(t->mirror, gpa);
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
			drop_entries(d->cpu[i]->mmu.tlb, s, gpa,
				     flags_now(flags));
	if (s)
		__atomic_and_fetch(flags,
				   (uint8_t) ~(PGF_WRITABLE | PGF_PERMITTED |
					       PGF_MIRRORED),
				   __ATOMIC_SEQ_CST);
	if (d->nr_cpus > 1)
		quiet_self_leave(c);
}

/*
 * The slot of @gpa, its page marked with @mark, with no write entry left.
 * While this vCPU waits to stop the others, one of them may write to the page
 * and unmark it, or change the slots: only a look without a wait is final.
 */
static const struct memslot *code_slot(struct cpu *c, gpa_t gpa, uint8_t mark)
{
	const struct memslot *s;
	uint8_t *flags;

	while ((s = find_flags(c, gpa, &flags))) {
		if (!(flags_now(flags) & mark))
			__atomic_or_fetch(flags, mark, __ATOMIC_SEQ_CST);
		if (!(flags_now(flags) & (PGF_WRITABLE | PGF_PERMITTED)))
			break;
		drop_write_entries(c, gpa);
	}
	return s;
}

void run_exec_watch(struct mmu *mmu, gpa_t gpa)
{
	code_slot(container_of(mmu, struct cpu, mmu), gpa, PGF_EXEC);
}

bool page_fresh(struct cpu *c, struct code_page *p, bool now)
{
	uint64_t epoch =
		__atomic_load_n(&vcpu_dbt(c)->d->epoch, __ATOMIC_ACQUIRE);
	const struct memslot *s;

	if (likely(__atomic_load_n(&p->epoch, __ATOMIC_ACQUIRE) == epoch &&
		   !now))
		return true;
	s = mmu_slot(&c->mmu, p->gpa);
	if (!s || !page_agrees(p, memslot_hva(s, p->gpa)))
		return false;
	__atomic_store_n(&p->epoch, epoch, __ATOMIC_RELEASE);
	return true;
}

bool pages_fresh(struct cpu *c, const struct block *b, bool now)
{
	return b->self || (page_fresh(c, b->page, now) &&
			   (!b->page2 || page_fresh(c, b->page2, now)));
}

static void refresh(struct cpu *c, struct code_page *p)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	const struct memslot *s = mmu_slot(&c->mmu, p->gpa);
	uint64_t generation = v->d->generation;
	bool others = v->d->nr_cpus > 1;

	if (!s)
		return;
	/* Not under the lock, since it may not be there. */
	__builtin_memcpy(v->bounce, memslot_hva(s, p->gpa), PAGE_SIZE);
	if (others)
		quiet_self_enter(c);
	lock_take(&v->d->lock);
	/* Everything may have been dropped while the others were waited for. */
	if (v->d->generation == generation)
		page_kill_stale(v->d, p, v->bounce);
	lock_drop(&v->d->lock);
	if (others)
		quiet_self_leave(c);
}

void pages_refresh(struct cpu *c, const struct block *b)
{
	uint64_t generation = vcpu_dbt(c)->d->generation;

	c->exits[EXIT_CODE_WRITE]++;
	refresh(c, b->page);
	/* @b may be gone with everything else. */
	if (vcpu_dbt(c)->d->generation == generation && b->page2)
		refresh(c, b->page2);
}

static bool is_self(struct dbt *d, gpa_t gpa)
{
	const struct code_page *p = page_find(d, gpa);

	return p && p->self;
}

/* Makes sure that writes to the page are noticed, by whom it be. */
static const struct memslot *watch(struct cpu *c, gpa_t gpa)
{
	uint8_t *flags;

	return is_self(vcpu_dbt(c)->d, gpa) ? find_flags(c, gpa, &flags)
					    : code_slot(c, gpa, PGF_CODE);
}

/* Whether they still are.  With the lock, so that it stays true. */
static bool is_watched(const struct cpu *c, gpa_t gpa)
{
	uint8_t *flags;

	if (is_self(vcpu_dbt(c)->d, gpa))
		return true;
	return find_flags(c, gpa, &flags) &&
	       (flags_now(flags) & (PGF_CODE | PGF_PERMITTED)) == PGF_CODE;
}

static struct block *made(struct cpu *c, struct block *b)
{
	c->exits[EXIT_BLOCK_MISS]++;
	if (unlikely(!b))
		flush_translations(c);
	return b;
}

/* Whether no block was made because older ones are outdated.  With the lock. */
static bool was_conflict(struct dbt *d)
{
	bool was = d->conflict;

	d->conflict = false;
	return was;
}

/* Drops them. */
static void refresh_at(struct cpu *c, gpa_t gpa)
{
	struct code_page *p = page_find(vcpu_dbt(c)->d, gpa);

	if (p)
		refresh(c, p);
}

struct block *pages_translate(struct cpu *c, uint64_t rip, gpa_t gpa,
			      uint32_t mode)
{
	struct dbt *d = vcpu_dbt(c)->d;
	struct block *b, *found;
	const struct memslot *s;
	bool conflict;

	c->doing = EXIT_BLOCK_MISS;
	do {
		s = watch(c, gpa);
		if (!s)
			return NULL;
		/* A fault on the code's host page must not come under the
		 * lock. */
		(void)*(volatile uint8_t *)memslot_hva(s, gpa);
		lock_take(&d->lock);
		b = found = block_find(d, rip, gpa, mode);
		if (unlikely(!is_watched(c, gpa))) {
			lock_drop(&d->lock);
			continue;
		}
		if (!b)
			b = xlat_block(d, c, rip, gpa, memslot_hva(s, gpa),
				       mode);
		conflict = was_conflict(d);
		lock_drop(&d->lock);
		if (unlikely(found && !pages_fresh(c, found, false))) {
			pages_refresh(c, found);
			continue;
		}
		if (likely(b) || !conflict)
			return made(c, b);
		refresh_at(c, gpa);
	} while (true);
}

struct block *pages_translate_light(struct cpu *c, uint64_t rip, gpa_t gpa,
				    uint32_t mode)
{
	struct dbt *d = vcpu_dbt(c)->d;
	struct block *b = NULL, *found = NULL;
	const struct memslot *s;
	uint8_t *flags;

	c->doing = EXIT_BLOCK_MISS;
	s = d->nr_cpus > 1 ? find_flags(c, gpa, &flags) : watch(c, gpa);
	if (!s)
		return NULL;
	(void)*(volatile uint8_t *)memslot_hva(s, gpa);
	lock_take(&d->lock);
	if (likely(is_watched(c, gpa))) {
		b = found = block_find(d, rip, gpa, mode);
		if (!b)
			b = xlat_block(d, c, rip, gpa, memslot_hva(s, gpa),
				       mode);
		was_conflict(d); /* the slow way will see */
		c->exits[EXIT_BLOCK_MISS]++;
	}
	lock_drop(&d->lock);
	/* Another vCPU may have been faster, with what was there before. */
	return found && !pages_fresh(c, found, false) ? NULL : b;
}

/*
 * The second page of a crossing block is another one now.  Other vCPUs may be
 * about to execute what block_kill overwrites.
 */
static void drop_crossing(struct cpu *c, uint64_t key, gpa_t gpa, gpa_t gpa2,
			  uint32_t mode)
{
	struct dbt *d = vcpu_dbt(c)->d;
	struct block *b;

	if (d->nr_cpus > 1)
		quiet_self_enter(c);
	lock_take(&d->lock);
	b = block_find(d, key, gpa, mode);
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
	const struct memslot *s, *s2;
	struct insn *i = &v->insn;
	struct block *b, *found;
	struct x86_fault f;
	bool conflict;
	uint8_t *flags;
	struct walk w;
	uint64_t key;

	if (walk_gva(&c->mmu, next, access, &w, &f) != CPU_OK)
		return NULL;
	key = page_key(v->d, c->rip, gpa, &mode);
	b = block_find(v->d, key, gpa, mode);
	if (b && b->gpa2 == w.gpa)
		return b;
	if (b)
		drop_crossing(c, key, gpa, w.gpa, mode);
	watch(c, gpa);
	s2 = watch(c, w.gpa);
	/* The second one may have waited, and slots may be others since. */
	s = find_flags(c, gpa, &flags);
	/* From here on a write to either page is noticed. */
	if (!s || !s2 || fetch_insn(c, i) != CPU_OK ||
	    (c->rip & ~PAGE_MASK) + i->len <= PAGE_SIZE)
		return NULL;
	lock_take(&v->d->lock);
	b = found = block_find(v->d, key, gpa, mode);
	if (!is_watched(c, gpa) || !is_watched(c, w.gpa)) {
		lock_drop(&v->d->lock);
		return NULL;
	}
	if (!b)
		b = xlat_crossing(v->d, c, key, gpa, w.gpa, memslot_hva(s, gpa),
				  memslot_hva(s2, w.gpa), i, mode);
	conflict = was_conflict(v->d);
	lock_drop(&v->d->lock);
	/* Another vCPU may have been faster, with another second page, or with
	 * what was there before. */
	if (found)
		return found->gpa2 == w.gpa && pages_fresh(c, found, false)
			       ? found
			       : NULL;
	if (unlikely(!b) && conflict) {
		refresh_at(c, gpa);
		refresh_at(c, w.gpa);
		return NULL;
	}
	return made(c, b);
}

/* Where a look at a page's bytes goes on if they are not there. */
struct sample {
	const uint64_t *hva;
	uint64_t sum;
};

/* A sum of bytes that others may be writing: any will do then. */
__attribute__((no_sanitize("thread"))) static void sum_page(void *arg)
{
	struct sample *s = arg;
	uint64_t h = 0;

	for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
		h = (h ^ s->hva[i]) * 0x9e3779b97f4a7c15ull + (h >> 29);
	s->sum = h;
}

/* Whether the page has not changed for long enough. */
static bool is_still(struct cpu *c, struct code_page *p)
{
	struct sample s = { .sum = p->sum };
	const struct memslot *slot = memslot_find(c->mmu.slots, p->gpa);

	if (!slot)
		return false;
	s.hva = (const uint64_t *)memslot_hva(slot, p->gpa);
	if (dbt_guard(c, sum_page, &s))
		return false;
	p->still = s.sum == p->sum ? p->still + 1 : 0;
	p->sum = s.sum;
	return p->still >= p->patience;
}

static void make_protected(struct dbt *d, unsigned int n)
{
	struct code_page *p = d->self_page[n];

	page_kill_range(d, p->gpa, PAGE_SIZE);
	p->self = false;
	p->writes = 0;
	set_nr_self(d, d->nr_self - 1);
	d->self_page[n] = d->self_page[d->nr_self];
}

void pages_sample(struct cpu *c)
{
	struct dbt *d = vcpu_dbt(c)->d;
	unsigned int n;
	uint64_t now;

	if (likely(!__atomic_load_n(&d->nr_self, __ATOMIC_RELAXED)))
		return;
	now = __builtin_ia32_rdtsc();
	if (now < __atomic_load_n(&d->sample_tsc, __ATOMIC_RELAXED))
		return;
	/* Blocks go away here, and nobody must find them meanwhile. */
	dbt_enter_quiet(d);
	__atomic_store_n(&d->sample_tsc, now + SAMPLE_TSC, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < SAMPLE_PAGES && i < d->nr_self; i++) {
		n = d->next_self++ % d->nr_self;
		if (is_still(c, d->self_page[n]))
			make_protected(d, n);
	}
	dbt_leave_quiet(d);
}
