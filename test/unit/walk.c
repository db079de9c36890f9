/*
 * The page walker against test/walk_model.h: every combination of permission
 * bits, access and processor mode; reserved bits; then what only one side
 * knows: restarts, dirty logs, code pages, PDPTE loads.
 */
#include "mmu/walk.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "test/test.h"
#include "test/walk_model.h"

#define RAM_SIZE (64 * PAGE_SIZE)
#define RAM_GPA	 0x100000ull

/* A guest with one slot, and the model's copy of it. */
static struct mmu mmu;
static struct model model;
static uint8_t *ram, *shadow;

static void no_code(struct mmu *m, gpa_t gpa, unsigned int len)
{
	CHECK(!"code_write");
}

static const struct mmu_ops plain_ops = { .code_write = no_code };

static void set_up_slot(uint32_t flags)
{
	struct memslots *set;

	memslots_free(mmu.slots);
	mmu.slots = NULL;
	CHECK_EQ(memslots_update(NULL, 0, flags, RAM_GPA, RAM_SIZE, ram, &set),
		 0);
	mmu.slots = set;
	mmu.ops = &plain_ops;
	model.nr_regions = 1;
	model.region[0] =
		(struct model_region){ .gpa = RAM_GPA,
				       .size = RAM_SIZE,
				       .mem = shadow,
				       .readonly = flags & MEMSLOT_READONLY };
}

static void poke(gpa_t gpa, uint64_t v)
{
	int size = mmu.role.paging == PAGING_32 ? 4 : 8;

	memcpy(ram + (gpa - RAM_GPA), &v, size);
	memcpy(shadow + (gpa - RAM_GPA), &v, size);
}

static uint64_t peek(gpa_t gpa)
{
	uint64_t v = 0;

	memcpy(&v, ram + (gpa - RAM_GPA), mmu.role.paging == PAGING_32 ? 4 : 8);
	return v;
}

static void sync_model(void)
{
	model.role = mmu.role;
	model.cr3 = mmu.cr3;
	model.pkru = mmu.pkru;
	model.pkrs = mmu.pkrs;
	memcpy(model.pdptr, mmu.pdptr, sizeof(model.pdptr));
}

/* Whether walker and model agree on one access, memory included. */
static bool agrees(gva_t gva, unsigned int access)
{
	struct walk w;
	struct x86_fault f;
	enum cpu_result got = walk_gva(&mmu, gva, access, &w, &f);
	struct model_result r = model_walk(&model, gva, access);

	for (int i = 0; i < r.nr; i++) {
		struct model_region *reg = model_region(&model, r.entry[i].gpa);
		uint64_t at = r.entry[i].gpa - RAM_GPA;

		if (reg && memcmp(ram + at, shadow + at, 8))
			return false;
	}
	if (r.fault)
		return got == CPU_FAULT && f.vector == 14 && f.has_error &&
		       f.error == r.error && f.address == gva;
	return got == CPU_OK && w.gpa == r.gpa &&
	       w.page_shift == r.page_shift && w.pte_w == r.w &&
	       w.pte_u == r.u && w.pte_nx == r.nx && w.global == r.global &&
	       w.dirty == r.dirty && w.pkey == r.pkey;
}

/* Counts agreement; reports the first disagreements only. */
static void check_access(gva_t gva, unsigned int access)
{
	static int shown;

	if (agrees(gva, access)) {
		test_passed++;
		return;
	}
	test_failed++;
	if (shown++ < 20)
		printf("paging %d gva %#llx access %#x differs\n",
		       mmu.role.paging, (unsigned long long)gva, access);
}

/* A shape of translation: which mode and which page size. */
struct shape {
	const char *name;
	enum paging paging;
	int levels; /* entries in memory */
	int leaf;   /* level of the leaf */
};

static const struct shape shapes[] = {
	{ "32-bit 4K", PAGING_32, 2, 1 },
	{ "32-bit 4M", PAGING_32, 2, 2 },
	{ "PAE 4K", PAGING_PAE, 2, 1 },
	{ "PAE 2M", PAGING_PAE, 2, 2 },
	{ "4-level 4K", PAGING_4LEVEL, 4, 1 },
	{ "4-level 2M", PAGING_4LEVEL, 4, 2 },
	{ "4-level 1G", PAGING_4LEVEL, 4, 3 },
	{ "5-level 4K", PAGING_5LEVEL, 5, 1 },
	{ "5-level 2M", PAGING_5LEVEL, 5, 2 },
	{ "5-level 1G", PAGING_5LEVEL, 5, 3 },
};

/* One chain of tables for one address; entry[level] is where its entry is. */
struct chain {
	const struct shape *shape;
	gva_t gva;
	gpa_t entry[6];
	uint64_t base[6]; /* addresses and PS, without permission bits */
	int nr;
};

static gpa_t table_gpa(int level)
{
	return RAM_GPA + level * PAGE_SIZE;
}

static struct chain make_chain(const struct shape *s)
{
	struct chain c = { .shape = s, .nr = s->levels - s->leaf + 1 };
	int bits = s->paging == PAGING_32 ? 10 : 9;
	int size = s->paging == PAGING_32 ? 4 : 8;

	mmu.role = (struct mmu_role){ .paging = s->paging,
				      .maxphyaddr = 46,
				      .pse = true,
				      .pge = true,
				      .gb_pages = true };
	c.gva = 0xabc;
	for (int level = 1; level <= s->levels; level++) {
		uint64_t index = level * 38;

		c.gva |= index << (12 + (level - 1) * bits);
		c.entry[level] = table_gpa(level) + index * size;
		c.base[level] = level > s->leaf ? table_gpa(level - 1) : 0;
	}
	c.base[s->leaf] = 0x40000000;
	if (s->leaf > 1)
		c.base[s->leaf] |= PTE_PS;
	if (s->paging == PAGING_PAE) {
		c.gva |= 2ull << 30;
		memset(mmu.pdptr, 0, sizeof(mmu.pdptr));
		mmu.pdptr[2] = table_gpa(2) | PTE_P;
	}
	mmu.cr3 = table_gpa(s->levels) | 0x18;
	for (int level = s->leaf; level <= s->levels; level++)
		poke(c.entry[level],
		     c.base[level] | PTE_P | PTE_W | PTE_U | PTE_A);
	return c;
}

/* Writes @perm's three bits for each level of the chain: W, U, NX. */
static void poke_perms(const struct chain *c, unsigned int perm, bool ad)
{
	for (int i = 0; i < c->nr; i++, perm >>= 3) {
		int level = c->shape->leaf + i;
		uint64_t e = c->base[level] | PTE_P | PTE_PWT;

		e |= (perm & 1 ? PTE_W : 0) | (perm & 2 ? PTE_U : 0);
		e |= (perm & 4 ? PTE_NX : 0) | (ad ? PTE_A | PTE_D : 0);
		poke(c->entry[level], e);
	}
}

static const unsigned int kinds[] = { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };

static void all_accesses(const struct chain *c)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		check_access(c->gva, kinds[k]);
		check_access(c->gva, kinds[k] | ACCESS_AC);
		check_access(c->gva, kinds[k] | ACCESS_USER);
	}
}

/* All permission bits x all accesses x WP, SMEP, SMAP, NX. */
static void test_permissions(const struct shape *s)
{
	struct chain c = make_chain(s);
	/* The lower four levels are enough: no level is special. */
	unsigned int perms = 1u << 3 * (c.nr < 4 ? c.nr : 4);
	int before = test_failed;

	for (unsigned int mode = 0; mode < 16; mode++) {
		mmu.role.wp = mode & 1;
		mmu.role.smep = mode & 2;
		mmu.role.smap = mode & 4;
		mmu.role.nx = mode & 8;
		sync_model();
		for (unsigned int perm = 0; perm < perms; perm++) {
			unsigned int top = c.nr == 5 ? 3u << 12 : 0;

			poke_perms(&c, perm | top,
				   __builtin_parity(perm ^ mode));
			all_accesses(&c);
		}
	}
	if (test_failed != before)
		printf("in %s\n", s->name);
}

static void test_protection_keys(const struct shape *s)
{
	struct chain c = make_chain(s);
	uint64_t leaf = c.base[s->leaf] | PTE_P;

	mmu.role.nx = true;
	for (unsigned int n = 0; n < 1u << 8; n++) {
		unsigned int key = n & 8 ? 13 : 0;

		mmu.role.wp = n & 1;
		mmu.role.smap = n & 2;
		mmu.role.pke = n & 4;
		mmu.role.pks = n & 128;
		mmu.pkru = 0x55555555;
		mmu.pkru &= ~(3u << 2 * key);
		mmu.pkru |= (n >> 4 & 3) << 2 * key;
		mmu.pkrs = mmu.pkru ^ (n & 64 ? ~0u : 0);
		sync_model();
		for (unsigned int perm = 0; perm < 8; perm++) {
			poke(c.entry[s->leaf], leaf | (perm & 1 ? PTE_W : 0) |
						       (perm & 2 ? PTE_U : 0) |
						       (perm & 4 ? PTE_NX : 0) |
						       (uint64_t)key << 59);
			all_accesses(&c);
		}
	}
	mmu.pkru = mmu.pkrs = 0;
	mmu.role.pke = mmu.role.pks = false;
}

/* Each bit of each entry, present or not, under each limit of addresses. */
static void test_reserved_bits(const struct shape *s)
{
	static const uint8_t limits[] = { 32, 36, 39, 40, 46, 51, 52 };
	struct chain c = make_chain(s);
	int entry_bits = s->paging == PAGING_32 ? 32 : 64;

	for (size_t n = 0; n < ARRAY_SIZE(limits) * 16; n++) {
		mmu.role.maxphyaddr = limits[n / 16];
		mmu.role.nx = n & 1;
		mmu.role.gb_pages = n & 2;
		mmu.role.pse = n & 4;
		mmu.role.pge = n & 8;
		sync_model();
		for (int level = s->leaf; level <= s->levels; level++) {
			uint64_t e = c.base[level] | PTE_W | PTE_U | PTE_A;

			for (int bit = 0; bit < entry_bits; bit++) {
				poke(c.entry[level], e | PTE_P | BIT(bit));
				all_accesses(&c);
				poke(c.entry[level], (e | BIT(bit)) & ~PTE_P);
				check_access(c.gva, ACCESS_WRITE);
			}
			poke(c.entry[level], e | PTE_P);
		}
	}
}

/* Answers written down by hand, so that model and walker cannot both be off. */
static void test_known_answers(void)
{
	struct chain c = make_chain(&shapes[4]); /* 4-level 4K */
	struct x86_fault f;
	struct walk w;

	mmu.role.nx = true;
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_READ, &w, &f), CPU_OK);
	CHECK_EQ(w.gpa, 0x40000abc);
	CHECK_EQ(w.page_shift, 12);
	CHECK_EQ(w.dirty, false);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_WRITE, &w, &f), CPU_OK);
	CHECK_EQ(w.dirty, true);
	CHECK_EQ(peek(c.entry[1]), 0x40000067);
	CHECK_EQ(peek(c.entry[2]) & 0xfff, 0x27);
	poke(c.entry[1], 0x40000003 | PTE_NX);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_USER | ACCESS_FETCH, &w, &f),
		 CPU_FAULT);
	CHECK_EQ(f.error, 0x15);
	CHECK_EQ(f.address, c.gva);
	CHECK_EQ(peek(c.entry[1]), 0x40000003 | PTE_NX);
	poke(c.entry[1], 0x40000007 | BIT(46));
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_WRITE, &w, &f), CPU_FAULT);
	CHECK_EQ(f.error, 0x0b);
	poke(c.entry[3], 0);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_WRITE | ACCESS_USER, &w, &f),
		 CPU_FAULT);
	CHECK_EQ(f.error, 0x06);

	c = make_chain(&shapes[1]); /* 32-bit 4M with PSE-36 */
	poke(c.entry[2], 0x00c00083 | 0x5 << 13);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_READ, &w, &f), CPU_OK);
	CHECK_EQ(w.gpa, 0x500c00000 | (c.gva & 0x3fffff));
	CHECK_EQ(w.page_shift, 22);

	mmu.role.paging = PAGING_NONE;
	CHECK_EQ(walk_gva(&mmu, 0x12345678, ACCESS_WRITE | ACCESS_USER, &w, &f),
		 CPU_OK);
	CHECK_EQ(w.gpa, 0x12345678);
	CHECK(w.dirty && w.pte_w && w.pte_u && !w.pte_nx);
}

static void test_no_ad(void)
{
	struct chain c = make_chain(&shapes[4]);
	struct x86_fault f;
	struct walk w;

	poke_perms(&c, 07777 & ~04444, false);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_WRITE | ACCESS_NO_AD, &w, &f),
		 CPU_OK);
	CHECK_EQ(w.dirty, false);
	for (int level = 1; level <= 4; level++)
		CHECK_EQ(peek(c.entry[level]) & (PTE_A | PTE_D), 0);
}

/* What the code_write of the tests below does and has seen. */
static struct {
	int calls;
	gpa_t gpa;
	unsigned int len;
	gpa_t poke_gpa;
	uint64_t poke;
} hook;

static void hook_code_write(struct mmu *m, gpa_t gpa, unsigned int len)
{
	hook.calls++;
	hook.gpa = gpa;
	hook.len = len;
	if (hook.poke_gpa)
		memcpy(ram + (hook.poke_gpa - RAM_GPA), &hook.poke, 8);
	hook.poke_gpa = 0;
}

static const struct mmu_ops hook_ops = { .code_write = hook_code_write };

/* An entry that changes between its reading and its update: new walk. */
static void test_restart(void)
{
	struct chain c = make_chain(&shapes[4]);
	struct memslot *s = &mmu.slots->slot[0];
	struct x86_fault f;
	struct walk w;

	poke_perms(&c, 07777 & ~04444, false);
	mmu.ops = &hook_ops;
	memset(&hook, 0, sizeof(hook));
	s->page_flags[4] = PGF_CODE; /* the PML4 */
	hook.poke_gpa = c.entry[1];
	hook.poke = 0x7000 | PTE_P | PTE_W | PTE_U;
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_WRITE, &w, &f), CPU_OK);
	CHECK_EQ(w.gpa, 0x7abc);
	CHECK_EQ(peek(c.entry[1]), 0x7067);
	CHECK_EQ(hook.calls, 1);
	CHECK_EQ(hook.gpa, c.entry[4]);
	CHECK_EQ(hook.len, 8);

	/* Likewise to an entry that now refuses the access. */
	poke_perms(&c, 07777 & ~04444, false);
	hook.poke_gpa = c.entry[1];
	hook.poke = 0x7000 | PTE_P | PTE_U;
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_WRITE | ACCESS_USER, &w, &f),
		 CPU_FAULT);
	CHECK_EQ(f.error, 7);
	CHECK_EQ(peek(c.entry[1]), 0x7005);
	s->page_flags[4] = 0;
	mmu.ops = &plain_ops;
}

static void test_dirty_log(void)
{
	struct chain c;
	struct x86_fault f;
	struct walk w;

	set_up_slot(MEMSLOT_DIRTY_LOG);
	c = make_chain(&shapes[4]);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_READ, &w, &f), CPU_OK);
	CHECK_EQ(mmu.slots->slot[0].dirty[0], 0);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_WRITE, &w, &f), CPU_OK);
	CHECK_EQ(mmu.slots->slot[0].dirty[0], BIT(1));
	poke_perms(&c, 07777 & ~04444, false);
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_READ, &w, &f), CPU_OK);
	CHECK_EQ(mmu.slots->slot[0].dirty[0], 0x1e);
}

/* Tables in ROM are used as they are; tables outside memory are all ones. */
static void test_odd_tables(void)
{
	struct chain c;
	struct x86_fault f;
	struct walk w;

	set_up_slot(MEMSLOT_READONLY);
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		c = make_chain(&shapes[i]);
		sync_model();
		poke_perms(&c, 033333, false);
		all_accesses(&c);
		CHECK_EQ(peek(c.entry[shapes[i].leaf]) & (PTE_A | PTE_D), 0);
	}
	set_up_slot(0);
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		c = make_chain(&shapes[i]);
		for (int level = 1; level <= c.shape->levels; level++) {
			if (c.shape->leaf < level)
				poke(c.entry[level],
				     0x80000000 | PTE_P | PTE_W | PTE_U);
			for (int m = 0; m < 8; m++) {
				mmu.role.maxphyaddr = m & 1 ? 52 : 40;
				mmu.role.nx = m & 2;
				mmu.role.pse = m & 4;
				sync_model();
				all_accesses(&c);
			}
		}
		mmu.cr3 = 0x80000000;
		sync_model();
		all_accesses(&c);
	}
	c = make_chain(&shapes[4]);
	mmu.cr3 = 0x80000000;
	CHECK_EQ(walk_gva(&mmu, c.gva, ACCESS_READ, &w, &f), CPU_FAULT);
	CHECK_EQ(f.error, PFEC_P | PFEC_RSVD);
}

static void test_pdptrs(void)
{
	gpa_t gpa = RAM_GPA + 0x2e0;

	mmu.role = (struct mmu_role){ .paging = PAGING_PAE, .maxphyaddr = 40 };
	for (int i = 0; i < 4; i++)
		poke(gpa + i * 8, (i + 1) * PAGE_SIZE | PTE_P | 0xe18);
	CHECK(walk_load_pdptrs(&mmu, gpa | 0x1f));
	for (int i = 0; i < 4; i++)
		CHECK_EQ(mmu.pdptr[i], (i + 1) * PAGE_SIZE | PTE_P | 0xe18);
	for (int i = 0; i < 4; i++) {
		for (int bit = 1; bit < 64; bit++) {
			bool ok =
				bit == 3 || bit == 4 || (bit >= 9 && bit < 40);

			poke(gpa + i * 8, PTE_P | BIT(bit));
			CHECK_EQ(walk_load_pdptrs(&mmu, gpa), ok);
			CHECK_EQ(mmu.pdptr[(i + 1) % 4] & 0xfff, 0xe19);
			poke(gpa + i * 8, BIT(bit));
			CHECK(walk_load_pdptrs(&mmu, gpa));
		}
		poke(gpa + i * 8, (i + 1) * PAGE_SIZE | PTE_P | 0xe18);
		CHECK(walk_load_pdptrs(&mmu, gpa));
	}
	CHECK(!walk_load_pdptrs(&mmu, 0x80000000));
}

/* Another processor swaps the PTE all the time: no bit may hit the other's. */
static void *swapper(void *arg)
{
	uint64_t *pte = arg, bad = 0, old;
	static const uint64_t e[2] = { 0x111000 | PTE_P | PTE_W,
				       0xeee000 | PTE_P | PTE_W };

	for (int i = 0; i < 200000; i++) {
		old = __atomic_exchange_n(pte, e[i & 1], __ATOMIC_SEQ_CST);
		old &= ~(PTE_A | PTE_D);
		if (i && old != e[~i & 1])
			bad++;
	}
	return (void *)bad;
}

static void test_race(void)
{
	struct chain c = make_chain(&shapes[4]);
	pthread_t thread;
	void *bad;
	struct x86_fault f;
	struct walk w;

	poke(c.entry[1], 0xeee000 | PTE_P | PTE_W);
	CHECK_EQ(pthread_create(&thread, NULL, swapper,
				ram + (c.entry[1] - RAM_GPA)),
		 0);
	for (int i = 0; i < 100000; i++) {
		if (walk_gva(&mmu, c.gva, ACCESS_WRITE, &w, &f) != CPU_OK ||
		    !w.dirty || (w.gpa != 0x111abc && w.gpa != 0xeeeabc))
			test_failed++;
	}
	pthread_join(thread, &bad);
	CHECK_EQ((uintptr_t)bad, 0);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* No bound is asserted: the machine may be busy.  The number is for people. */
static void measure(const struct shape *s)
{
	struct chain c = make_chain(s);
	struct x86_fault f;
	struct walk w;
	double start = now_ns();
	int n = 200000, ok = 0;

	for (int i = 0; i < n; i++)
		ok += walk_gva(&mmu, c.gva + (i & 7), ACCESS_READ, &w, &f) ==
		      CPU_OK;
	CHECK_EQ(ok, n);
	printf("%-10s %5.1f ns a walk\n", s->name, (now_ns() - start) / n);
}

int main(void)
{
	ram = aligned_alloc(PAGE_SIZE, RAM_SIZE);
	shadow = aligned_alloc(PAGE_SIZE, RAM_SIZE);
	memset(ram, 0, RAM_SIZE);
	memset(shadow, 0, RAM_SIZE);
	set_up_slot(0);
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		test_permissions(&shapes[i]);
		test_protection_keys(&shapes[i]);
		test_reserved_bits(&shapes[i]);
	}
	test_known_answers();
	test_no_ad();
	test_restart();
	test_dirty_log();
	test_odd_tables();
	test_pdptrs();
	test_race();
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
		measure(&shapes[i]);
	memslots_free(mmu.slots);
	free(ram);
	free(shadow);
	return test_done();
}
