/*
 * Memory slots: sorted arrays that are replaced as a whole.  Nothing here but
 * the look-ups and memslot_mark_dirty runs while a vCPU is in guest code.
 */
#include "mmu/memslot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Limits of Linux's KVM for one slot. */
#define SLOT_MAX_PAGES ((1ull << 31) - 1)
#define MAX_GPA	       BIT(52)
#define MAX_HVA	       (BIT(47) - PAGE_SIZE)

/* Tables from this size on are mapped without a reservation of swap. */
#define BIG_TABLE (256 * 1024)

/* How many slots start at or below @gpa. */
static uint32_t slots_up_to(const struct memslots *slots, gpa_t gpa)
{
	uint32_t lo = 0, hi = slots->nr;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (slots->slot[mid].gpa <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct memslot *memslot_find_from(const struct memslots *slots,
					uint32_t *hint, gpa_t gpa)
{
	uint32_t n = slots ? slots_up_to(slots, gpa) : 0;

	if (!n || gpa - slots->slot[n - 1].gpa >= slots->slot[n - 1].size)
		return NULL;
	*hint = n - 1;
	return &slots->slot[n - 1];
}

const struct memslot *memslot_find(const struct memslots *slots, gpa_t gpa)
{
	uint32_t hint;

	return memslot_find_from(slots, &hint, gpa);
}

bool memslot_mark_dirty(const struct memslot *s, gpa_t gpa)
{
	uint64_t page = (gpa - s->gpa) >> PAGE_SHIFT, bit = BIT(page % 64);
	uint64_t *word;

	if (!s->dirty)
		return false;
	word = &s->dirty[page / 64];
	if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit)
		return false;
	return !(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit);
}

static void *table_alloc(uint64_t bytes)
{
	void *p;

	if (bytes < BIG_TABLE)
		return calloc(1, bytes);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void table_free(void *table, uint64_t bytes)
{
	if (bytes < BIG_TABLE)
		free(table);
	else if (table)
		munmap(table, bytes);
}

static uint64_t dirty_bytes(const struct memslot *s)
{
	return (s->size / PAGE_SIZE + 63) / 64 * 8;
}

static uint64_t page_flags_bytes(const struct memslot *s)
{
	return s->size / PAGE_SIZE;
}

/* Index of slot @id, or nr. */
static uint32_t index_of_id(const struct memslots *set, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < set->nr; i++)
		if (set->slot[i].id == id)
			break;
	return i;
}

/*
 * The slot of @set that is slot @s, at index @i, of another set; looked for
 * near @i first: sets differ by one slot.
 */
static const struct memslot *counterpart(const struct memslots *set, uint32_t i,
					 const struct memslot *s)
{
	if (i < set->nr && set->slot[i].id == s->id)
		return &set->slot[i];
	if (i && i - 1 < set->nr && set->slot[i - 1].id == s->id)
		return &set->slot[i - 1];
	if (i + 1 < set->nr && set->slot[i + 1].id == s->id)
		return &set->slot[i + 1];
	i = index_of_id(set, s->id);
	return i < set->nr ? &set->slot[i] : NULL;
}

/* The checks that do not depend on the other slots, in Linux's order. */
static bool region_is_valid(uint32_t id, uint32_t flags, gpa_t gpa,
			    uint64_t size, const uint8_t *hva)
{
	uint64_t addr = (uintptr_t)hva;

	if (flags & ~(MEMSLOT_DIRTY_LOG | MEMSLOT_READONLY))
		return false;
	if ((size | gpa | addr) & ~PAGE_MASK)
		return false;
	if (id >= MEMSLOT_MAX || size / PAGE_SIZE > SLOT_MAX_PAGES)
		return false;
	if (addr > MAX_HVA || size > MAX_HVA - addr)
		return false;
	/* Whoever deletes may give any address. */
	return !size || (gpa <= MAX_GPA && size <= MAX_GPA - gpa);
}

/* Whether a slot other than @id overlaps [@gpa, @gpa + @size). */
static bool overlaps(const struct memslots *set, uint32_t id, gpa_t gpa,
		     uint64_t size)
{
	/* The last slot that starts below the range's end reaches furthest. */
	for (uint32_t n = slots_up_to(set, gpa + size - 1); n; n--) {
		const struct memslot *s = &set->slot[n - 1];

		if (s->id != id)
			return s->gpa + s->size > gpa;
	}
	return false;
}

/* Gives @s the tables it needs and cannot take over from @old (or NULL). */
static int slot_alloc(struct memslot *s, const struct memslot *old)
{
	s->dirty = NULL;
	if (old && old->gpa == s->gpa)
		s->page_flags = old->page_flags;
	else
		s->page_flags = table_alloc(page_flags_bytes(s));
	if (!s->page_flags)
		return -ENOMEM;
	if (!(s->flags & MEMSLOT_DIRTY_LOG))
		return 0;
	s->dirty = old && old->dirty ? old->dirty : table_alloc(dirty_bytes(s));
	if (s->dirty)
		return 0;
	if (!old || old->page_flags != s->page_flags)
		table_free(s->page_flags, page_flags_bytes(s));
	return -ENOMEM;
}

/* A copy of @old without slot @skip (an index or nr) and with @add or NULL. */
static struct memslots *set_copy(const struct memslots *old, uint32_t skip,
				 const struct memslot *add)
{
	uint32_t nr = old->nr - (skip < old->nr) + !!add, at = 0, i = 0;
	struct memslots *set = malloc(sizeof(*set) + nr * sizeof(set->slot[0]));

	if (!set)
		return NULL;
	set->nr = nr;
	set->generation = old->generation + 1;
	for (; i < old->nr; i++) {
		if (i == skip)
			continue;
		if (add && add->gpa < old->slot[i].gpa) {
			set->slot[at++] = *add;
			add = NULL;
		}
		set->slot[at++] = old->slot[i];
	}
	if (add)
		set->slot[at] = *add;
	return set;
}

static int slot_delete(struct memslots *old, uint32_t index,
		       struct memslots **out)
{
	if (index == old->nr)
		return -EINVAL;
	*out = set_copy(old, index, NULL);
	return *out ? 0 : -ENOMEM;
}

static void slot_free(struct memslot *s, const struct memslot *keep)
{
	if (!keep || keep->dirty != s->dirty)
		table_free(s->dirty, dirty_bytes(s));
	if (!keep || keep->page_flags != s->page_flags)
		table_free(s->page_flags, page_flags_bytes(s));
}

int memslots_update(struct memslots *old, uint32_t id, uint32_t flags,
		    gpa_t gpa, uint64_t size, uint8_t *hva,
		    struct memslots **out)
{
	struct memslots empty = { 0 }, *base = old ? old : &empty;
	uint32_t index = index_of_id(base, id);
	struct memslot *was = index < base->nr ? &base->slot[index] : NULL;
	struct memslot s = {
		.id = id, .flags = flags, .gpa = gpa, .size = size, .hva = hva
	};

	if (!region_is_valid(id, flags, gpa, size, hva))
		return -EINVAL;
	if (!size)
		return slot_delete(base, index, out);
	if (was) {
		if (hva != was->hva || size != was->size ||
		    ((flags ^ was->flags) & MEMSLOT_READONLY))
			return -EINVAL;
		if (gpa == was->gpa && flags == was->flags) {
			*out = old;
			return 0;
		}
	}
	if (overlaps(base, id, gpa, size))
		return -EEXIST;
	if (slot_alloc(&s, was))
		return -ENOMEM;
	*out = set_copy(base, index, &s);
	if (*out)
		return 0;
	slot_free(&s, was);
	return -ENOMEM;
}

void memslots_retire(struct memslots *old, const struct memslots *new)
{
	if (!old || old == new)
		return;
	for (uint32_t i = 0; i < old->nr; i++)
		slot_free(&old->slot[i],
			  new ? counterpart(new, i, &old->slot[i]) : NULL);
	free(old);
}

void memslots_free(struct memslots *slots)
{
	memslots_retire(slots, NULL);
}

bool memslots_contain(const struct memslots *slots, const void *hva)
{
	const uint8_t *p = hva;

	for (uint32_t i = 0; slots && i < slots->nr; i++)
		if (p >= slots->slot[i].hva &&
		    p < slots->slot[i].hva + slots->slot[i].size)
			return true;
	return false;
}
