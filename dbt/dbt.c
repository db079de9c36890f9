#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cpu/fpu.h"
#include "cpu/mode.h"
#include "dbt/dbt_int.h"
#include "dbt/xlat.h"
#include "host/gsbase.h"
#include "mmu/mirror.h"

/*
 * Life of the translator: per VM the code cache, per vCPU the state that
 * translated code works on.  struct cpu is a memfd, since it appears at the
 * centre of every TLB table.
 */

/* vCPUs beyond this many get smaller tables: address space is finite. */
#define BIG_TLB_VCPUS 8
#ifdef RING3_SANITIZE
#define BIG_TLB_BITS 32
#else
#define BIG_TLB_BITS 36
#endif
#define SMALL_TLB_BITS 32
#define TLB_TAGS       4
/* struct kvm_xsave; holds every component a guest may have. */
#define XSAVE_AREA 4096

static const struct mmu_ops mmu_ops = { .code_write = run_code_write,
					.ring_full = run_ring_full,
					.enter_write = run_enter_write,
					.exec_watch = run_exec_watch,
					.exec_unwatch = run_exec_unwatch };

struct dbt *dbt_create(void)
{
	struct dbt *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	gsbase_init();
	d->xlat = xlat_alloc();
	if (!d->xlat || cache_init(d) || fault_init()) {
		dbt_destroy(d);
		return NULL;
	}
	return d;
}

void dbt_destroy(struct dbt *d)
{
	perfmap_write(d);
	cache_free(d);
	free(d->xlat);
	free(d);
}

static size_t state_size(void)
{
	return (sizeof(struct cpu) + PAGE_SIZE - 1) & PAGE_MASK;
}

static struct cpu *map_state(int *fd)
{
	struct cpu *c;

	*fd = memfd_create("ring3-vcpu", MFD_CLOEXEC);
	if (*fd < 0)
		return NULL;
	if (ftruncate(*fd, state_size()))
		goto fail;
	c = mmap(NULL, state_size(), PROT_READ | PROT_WRITE, MAP_SHARED, *fd,
		 0);
	if (c != MAP_FAILED)
		return c;
fail:
	close(*fd);
	return NULL;
}

static void init_slots(struct cpu *c, struct vcpu_dbt *v)
{
	c->dbt[D_SELF] = (uintptr_t)c;
	c->dbt[D_STATE] = (uintptr_t)v;
	c->dbt[D_GO] = GO;
	c->dbt[D_STATUS] = RFLAGS_STATUS;
	c->dbt[D_NOT_STATUS] = ~(RFLAGS_STATUS | RFLAGS_VM | RFLAGS_RF);
	c->dbt[D_IN_PAGE] = ~PAGE_MASK;
	c->dbt[D_PAGE] = PAGE_MASK;
	c->dbt[D_NOT_IF] = ~RFLAGS_IF;
	c->dbt[D_NOT_AC] = ~RFLAGS_AC;
	c->dbt[D_JC_MASK] = MASK(JC_BITS);
}

/* Its TLB, for the vCPU with index @n; the world is stopped. */
static bool add_tlb(struct dbt *d, struct cpu *c, unsigned int n, int fd)
{
	unsigned int bits = n < BIG_TLB_VCPUS ? BIG_TLB_BITS : SMALL_TLB_BITS;

	c->page_mask = MASK(bits) << PAGE_SHIFT;
	c->mmu.tlb = tlb_create(fd, state_size(), bits, TLB_TAGS,
				d->thunk[LEAVE_LOOKUP]);
	if (!c->mmu.tlb)
		return false;
	/* Blocks made so far know constant indices of the big tables. */
	if (bits != BIG_TLB_BITS && !d->mixed_tables) {
		d->mixed_tables = true;
		dbt_drop_all(d);
	}
	return true;
}

/*
 * Gives the vCPU the lowest free index, by which snippets and the table of
 * vCPUs go, and its TLB.  -1: none left, or no memory.
 */
static int add_cpu(struct dbt *d, struct cpu *c, int fd)
{
	unsigned int n = 0;
	bool ok;

	dbt_enter_quiet(d);
	while (n < MAX_VCPUS && d->cpu[n])
		n++;
	ok = n < MAX_VCPUS && add_tlb(d, c, n, fd);
	if (ok) {
		d->cpu[n] = c;
		if (n >= d->nr_cpus)
			d->nr_cpus = n + 1;
	}
	dbt_leave_quiet(d);
	return ok ? (int)n : -1;
}

static bool init_cpu(struct dbt *d, struct cpu *c, struct vcpu_dbt *v, int fd)
{
	const char *exec = getenv("RING3_EXEC");
	int n;

	init_slots(c, v);
	c->mmu.ops = &mmu_ops;
	/* A debugging aid: which executor to use. */
	c->careful = exec && exec[0] == 'c';
	c->xsave_size = XSAVE_AREA;
	c->xsave = aligned_alloc(64, XSAVE_AREA);
	if (!c->xsave)
		return false;
	n = add_cpu(d, c, fd);
	if (n < 0)
		return false;
	v->snip_w = d->code_w + CODE_SIZE - (n + 1ul) * SNIPPET_SIZE;
	v->snip_x = v->snip_w + (d->code_x - d->code_w);
	direct_init(c);
	fpu_reset(c);
	cpu_reset(c, false);
	return true;
}

struct cpu *dbt_cpu_create(struct dbt *d)
{
	struct vcpu_dbt *v = aligned_alloc(64, (sizeof(*v) + 63) & ~63ul);
	struct cpu *c;
	int fd;

	if (!v)
		return NULL;
	__builtin_memset(v, 0, sizeof(*v));
	c = map_state(&fd);
	if (!c) {
		free(v);
		return NULL;
	}
	v->d = d;
	v->c = c;
	v->state_fd = fd;
	if (!init_cpu(d, c, v, fd)) {
		dbt_cpu_destroy(c);
		return NULL;
	}
	return c;
}

void dbt_cpu_destroy(struct cpu *c)
{
	struct vcpu_dbt *v = vcpu_dbt(c);
	struct dbt *d = v->d;

	dbt_enter_quiet(d);
	for (unsigned int i = 0; i < d->nr_cpus; i++)
		if (d->cpu[i] == c)
			d->cpu[i] = NULL;
	dbt_leave_quiet(d);
	direct_exit(c);
	if (c->mmu.tlb)
		tlb_destroy(c->mmu.tlb);
	free(c->xsave);
	close(v->state_fd);
	munmap(c, state_size());
	free(v);
}

/* Pages forget that they hold code; the world is stopped. */
static void forget_pages(struct dbt *d, const struct memslots *slots)
{
	for (unsigned int h = 0; h < ARRAY_SIZE(d->pages); h++) {
		for (struct code_page *p = d->pages[h]; p; p = p->next) {
			const struct memslot *s = memslot_find(slots, p->gpa);

			if (s)
				s->page_flags[(p->gpa - s->gpa) >>
					      PAGE_SHIFT] &=
					~(PGF_CODE | PGF_PERMITTED);
		}
	}
}

static struct memslots *current_slots(const struct dbt *d)
{
	for (unsigned int i = 0; i < d->nr_cpus; i++)
		if (d->cpu[i] && d->cpu[i]->mmu.slots)
			return d->cpu[i]->mmu.slots;
	return NULL;
}

void dbt_drop_all(struct dbt *d)
{
	struct memslots *slots = current_slots(d);

	lock_take(&d->lock);
	if (slots)
		forget_pages(d, slots);
	cache_reset(d);
	lock_drop(&d->lock);
}

void dbt_slots_changed(struct dbt *d, struct memslots *slots)
{
	dbt_drop_all(d);
	for (unsigned int i = 0; i < d->nr_cpus; i++) {
		if (!d->cpu[i])
			continue;
		d->cpu[i]->mmu.slots = slots;
		mirror_note_gone(d->cpu[i]->mmu.tlb->mirror);
		tlb_flush_tables(d->cpu[i]->mmu.tlb);
	}
}

void dbt_rearm_dirty(struct dbt *d)
{
	for (unsigned int i = 0; i < d->nr_cpus; i++)
		if (d->cpu[i]) {
			tlb_drop_writable(d->cpu[i]->mmu.tlb, NULL);
			mirror_note_gone(d->cpu[i]->mmu.tlb->mirror);
		}
}
