#include "mmu/mirror_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/share.h"

/*
 * Spaces, what is noted about them, and how they become right again.
 */
#define TABLE_SIZE (512 * PAGE_SIZE)

struct mirror *mirror_create(void)
{
	return calloc(1, sizeof(struct mirror));
}

void mirror_forget(struct mirror_space *s)
{
	for (unsigned int h = 0; h < MIRROR_HASH; h++) {
		struct mirror_table *t = s->hash[h], *next;

		for (; t; t = next) {
			next = t->next;
			free(t);
		}
		s->hash[h] = NULL;
	}
	memset(s->stop, 0, sizeof(s->stop));
	s->nr_inval = 0;
	s->flips = 0;
	s->stale = s->gone = s->giant = false;
}

static void space_free(struct mirror_space *s)
{
	runner_destroy(s->runner);
	s->runner = NULL;
	mirror_forget(s);
}

void mirror_drop(struct mirror *m)
{
	space_free(m->cur);
}

void mirror_destroy(struct mirror *m)
{
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++) {
		space_free(&m->space[i]);
		free(m->space[i].image.xsave);
	}
	free(m);
}

struct mirror_image *mirror_image(struct mirror *m)
{
	return &m->cur->image;
}

void mirror_note_all(struct mirror *m)
{
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++)
		m->space[i].stale = true;
}

void mirror_note_pcid(struct mirror *m, unsigned int pcid)
{
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++)
		if (m->space[i].pcid == pcid)
			m->space[i].stale = true;
}

static struct mirror_load *load_of(struct mirror *m, uint64_t root)
{
	uint64_t h = root * 0x9e3779b97f4a7c15ull;

	return &m->load[h >> 58];
}

static void load_begin(struct mirror *m, uint64_t root)
{
	*load_of(m, root) = (struct mirror_load){ .root = root };
}

struct mirror_load *mirror_load(struct mirror *m, uint64_t cr3)
{
	struct mirror_load *k = load_of(m, mirror_root(cr3));

	if (k->root != mirror_root(cr3))
		load_begin(m, mirror_root(cr3));
	return k;
}

static struct mirror_space *space_find(struct mirror *m, uint64_t root)
{
	for (unsigned int i = 0; i < MIRROR_SPACES; i++)
		if (m->space[i].runner && m->space[i].root == root)
			return &m->space[i];
	return NULL;
}

void mirror_note_cr3(struct mirror *m, uint64_t cr3, unsigned int pcid)
{
	if (m && !space_find(m, mirror_root(cr3)))
		load_begin(m, mirror_root(cr3));
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++)
		if (m->space[i].pcid == pcid ||
		    m->space[i].root == mirror_root(cr3))
			m->space[i].stale = true;
}

void mirror_note_gva(struct mirror *m, uint64_t cr3, unsigned int pcid,
		     gva_t gva)
{
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++) {
		struct mirror_space *s = &m->space[i];

		if (!s->runner ||
		    (s->root != mirror_root(cr3) && s->pcid != pcid))
			continue;
		if (!s->giant && s->nr_inval < MIRROR_INVALS)
			s->inval[s->nr_inval++] = gva;
		else
			s->stale = true;
	}
}

void mirror_note_gone(struct mirror *m)
{
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++)
		m->space[i].gone = true;
}

void mirror_note_written(struct mirror *m)
{
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++)
		__atomic_store_n(&m->space[i].written, true, __ATOMIC_SEQ_CST);
}

static void table_note_code(struct mirror_space *s, struct mirror_table *t,
			    gpa_t gpa)
{
	for (unsigned int i = 0; i < 512; i++) {
		if (!(t->pte[i] & MAPPED_W) ||
		    (t->pte[i] & MASK(52) & PAGE_MASK) != gpa)
			continue;
		t->pte[i] &= ~PTE_P; /* agrees with no entry */
		s->stale = true;
	}
}

void mirror_note_code(struct mirror *m, gpa_t gpa)
{
	for (unsigned int i = 0; m && i < MIRROR_SPACES; i++)
		for (unsigned int h = 0; h < MIRROR_HASH; h++)
			for (struct mirror_table *t = m->space[i].hash[h]; t;
			     t = t->next)
				table_note_code(&m->space[i], t,
						gpa & PAGE_MASK);
}

bool mirror_table_ok(const struct mirror_table *t)
{
	for (unsigned int n = 0; n < t->nr_up; n++) {
		uint64_t now = __atomic_load_n(t->up[n].at, __ATOMIC_RELAXED);

		if ((now & PTE_KEEP) != t->up[n].was)
			return false;
	}
	return true;
}

/* Whether nobody has written to the page since it is executed. */
static bool exec_ok(struct mmu *mmu, uint64_t pte)
{
	gpa_t gpa = pte & MASK(52) & PAGE_MASK;
	const struct memslot *s = mmu_slot(mmu, gpa);

	return s &&
	       (__atomic_load_n(&s->page_flags[(gpa - s->gpa) >> PAGE_SHIFT],
				__ATOMIC_SEQ_CST) &
		PGF_EXEC);
}

/* Whether what the runner maps as page @i is still right; @mmu: pages that are
 * executed, too. */
static bool page_ok(const struct mirror_table *t, unsigned int i,
		    struct mmu *mmu)
{
	uint64_t now = mirror_entry(t, i), was = t->pte[i];

	if ((now & PTE_KEEP) != (was & PTE_KEEP))
		return false;
	if (mmu && (was & MAPPED_WATCH) && !exec_ok(mmu, was))
		return false;
	return !(was & MAPPED_W) || (now & PTE_D);
}

static int page_check(struct mirror_space *s, struct mirror_table *t,
		      unsigned int i, struct mmu *mmu)
{
	if (!t->pte[i] || page_ok(t, i, mmu))
		return 0;
	t->pte[i] = 0;
	return runner_unmap(s->runner, t->gva + i * PAGE_SIZE, PAGE_SIZE);
}

/* Drops the table at *@pt or what has changed of it. */
static int table_check(struct mirror_space *s, struct mirror_table **pt,
		       struct mmu *mmu)
{
	struct mirror_table *t = *pt;
	int r = 0;

	if (!mirror_table_ok(t)) {
		gva_t gva = t->gva;

		*pt = t->next;
		free(t);
		return runner_unmap(s->runner, gva, TABLE_SIZE);
	}
	for (unsigned int i = 0; i < 512 && !r; i++)
		r = page_check(s, t, i, mmu);
	return r;
}

static int check_all(struct mirror_space *s, struct mmu *mmu)
{
	unsigned int kept = 0, dropped = 0;

	for (unsigned int h = 0; h < MIRROR_HASH; h++) {
		struct mirror_table **pt = &s->hash[h], *t;

		while ((t = *pt)) {
			int r = table_check(s, pt, mmu);

			if (r)
				return r;
			if (*pt == t) {
				pt = &t->next;
				kept++;
			} else {
				dropped++;
			}
		}
	}
	return dropped > kept ? -EAGAIN : 0;
}

static int check_gva(struct mirror_space *s, gva_t gva)
{
	struct mirror_table **pt = mirror_bucket(s, gva);

	while (*pt && (*pt)->gva != (gva & ~MASK(21)))
		pt = &(*pt)->next;
	if (!*pt)
		return 0;
	if ((*pt)->ptes && mirror_table_ok(*pt))
		return page_check(s, *pt, gva >> PAGE_SHIFT & 511, NULL);
	return table_check(s, pt, NULL);
}

int mirror_settle(struct mirror_space *s, struct mmu *mmu)
{
	bool written =
		__atomic_load_n(&s->written, __ATOMIC_RELAXED) &&
		__atomic_exchange_n(&s->written, false, __ATOMIC_SEQ_CST);
	int r = 0;

	if (s->gone) {
		mirror_forget(s);
		return runner_clear(s->runner);
	}
	if (s->stale || written)
		r = check_all(s, written ? mmu : NULL);
	for (unsigned int n = 0; n < s->nr_inval && !s->stale && !r; n++)
		r = check_gva(s, s->inval[n]);
	s->stale = false;
	s->nr_inval = 0;
	if (r == -EAGAIN)
		s->gone = true;
	return r;
}

static bool usable(const struct mirror_space *s)
{
	return s->runner && s->share_generation == share_generation() &&
	       runner_thread(s->runner) == syscall(SYS_gettid);
}

static struct mirror_space *space_oldest(struct mirror *m)
{
	struct mirror_space *s = &m->space[0];

	for (unsigned int i = 1; i < MIRROR_SPACES && s->runner; i++)
		if (!m->space[i].runner || m->space[i].used < s->used)
			s = &m->space[i];
	return s;
}

/* A space for a CR3 that has none: a new one, or what was another's. */
static struct mirror_space *space_make(struct mirror *m, uint64_t root)
{
	struct mirror_space *s = space_oldest(m);

	s->root = root;
	s->gone = true;
	return s;
}

static int space_start(struct mirror_space *s)
{
	int r;

	if (s->runner && usable(s))
		return 0;
	space_free(s);
	if (!s->image.xsave)
		s->image.xsave = aligned_alloc(64, MIRROR_XSAVE);
	if (!s->image.xsave)
		return -ENOMEM;
	s->image.valid = false;
	s->share_generation = share_generation();
	r = runner_create(&s->runner);
	if (r)
		s->runner = NULL;
	return r;
}

/* Whether the guest has a page table for what the runner has as its own. */
static bool collides(struct mmu *mmu)
{
	unsigned int level = mmu->role.paging == PAGING_5LEVEL ? 5 : 4;
	gpa_t table = mirror_root(mmu->cr3);
	uint64_t e;

	for (; level > 1; level--) {
		gpa_t at = table + (RUNNER_STUB >> (3 + 9 * level) & 511) * 8;
		const struct memslot *slot = mmu_slot(mmu, at);

		if (!slot)
			return false;
		e = __atomic_load_n((uint64_t *)memslot_hva(slot, at),
				    __ATOMIC_RELAXED);
		if (!(e & PTE_P) || (e & PTE_PS))
			return e & PTE_P;
		table = e & MASK(52) & PAGE_MASK;
	}
	return true;
}

/* Entries mean something else than they did, or are another tag's. */
static void note_use(struct mirror_space *s, const struct mmu *mmu)
{
	unsigned int pcid = mmu->role.pcide ? mmu->cr3 & 0xfff : 0;

	s->stale |= s->pcid != pcid;
	s->gone |= s->nx != mmu->role.nx;
	s->pcid = pcid;
	s->nx = mmu->role.nx;
}

int mirror_enter(struct mirror *m, struct mmu *mmu, struct runner **out)
{
	struct mirror_space *s = space_find(m, mirror_root(mmu->cr3));
	int r;

	if (collides(mmu))
		return -EAGAIN;
	if (!s)
		s = space_make(m, mirror_root(mmu->cr3));
	note_use(s, mmu);
	r = space_start(s);
	if (r)
		return r;
	r = mirror_settle(s, mmu);
	if (r == -EAGAIN) {
		load_begin(m, s->root);
		return r;
	}
	if (r) {
		space_free(s);
		return r;
	}
	s->used = ++m->clock;
	m->cur = s;
	*out = s->runner;
	return 0;
}
