#pragma once

#include <string.h>

#include "mmu/mmu.h"
#include "x86/defs.h"

/*
 * A naive model of address translation that the walker is compared with.  It
 * goes entry by entry and bit by bit along the manual's text and tables, keeps
 * its own memory, and shares nothing with the walker but struct mmu_role.
 */
struct model_region {
	gpa_t gpa;
	uint64_t size;
	uint8_t *mem;
	bool readonly;
};

struct model {
	struct mmu_role role;
	uint64_t cr3, pdptr[4];
	uint32_t pkru, pkrs;
	struct model_region region[4];
	int nr_regions;
};

struct model_entry {
	gpa_t gpa;
	uint64_t value;
	int level; /* 1 = PTE, 2 = PDE, ... */
};

struct model_result {
	bool fault;
	uint32_t error;
	gpa_t gpa;
	unsigned int page_shift;
	bool w, u, nx, global, dirty;
	uint8_t pkey;
	struct model_entry entry[5];
	int nr; /* entries read */
};

static inline struct model_region *model_region(struct model *m, gpa_t gpa)
{
	for (int i = 0; i < m->nr_regions; i++)
		if (gpa >= m->region[i].gpa &&
		    gpa < m->region[i].gpa + m->region[i].size)
			return &m->region[i];
	return NULL;
}

static inline int model_entry_size(const struct model *m)
{
	return m->role.paging == PAGING_32 ? 4 : 8;
}

static inline uint64_t model_load(struct model *m, gpa_t gpa)
{
	struct model_region *r = model_region(m, gpa);
	uint64_t v = 0;

	memset(&v, 0xff, model_entry_size(m));
	if (r)
		memcpy(&v, r->mem + (gpa - r->gpa), model_entry_size(m));
	return v;
}

static inline bool model_bit(uint64_t v, int n)
{
	return v / (1ull << n) % 2;
}

/* Bits hi..lo of v, at their place. */
static inline uint64_t model_bits(uint64_t v, int hi, int lo)
{
	uint64_t r = 0;

	for (int i = lo; i <= hi; i++)
		r += model_bit(v, i) * (1ull << i);
	return r;
}

/* Does the entry map a page (unless one of its reserved bits is set)? */
static inline bool model_is_leaf(const struct model *m, int level, uint64_t e)
{
	if (level == 1)
		return true;
	if (!model_bit(e, 7))
		return false;
	switch (m->role.paging) {
	case PAGING_32:
		return m->role.pse;
	case PAGING_PAE:
		return true;
	default:
		return level == 2 || (level == 3 && m->role.gb_pages);
	}
}

static inline bool model_bit_reserved(const struct model *m, int level,
				      bool leaf, int bit)
{
	int maxphyaddr = m->role.maxphyaddr;

	if (m->role.paging == PAGING_32) {
		if (level != 2 || !leaf)
			return false;
		return bit == 21 ||
		       (bit >= 13 && bit <= 20 && bit + 19 >= maxphyaddr);
	}
	if (bit == 63)
		return !m->role.nx;
	if (bit >= 52)
		return m->role.paging == PAGING_PAE;
	if (bit >= maxphyaddr)
		return true;
	if (bit == 7)
		return !leaf; /* a leaf's is PS or PAT, of others it is zero */
	if (!leaf || level == 1)
		return false;
	return bit >= 13 && bit < (level == 3 ? 30 : 21);
}

static inline bool model_reserved(const struct model *m, int level, uint64_t e)
{
	bool leaf = model_is_leaf(m, level, e);

	for (int bit = 0; bit < 64; bit++)
		if (model_bit(e, bit) &&
		    model_bit_reserved(m, level, leaf, bit))
			return true;
	return false;
}

static inline bool model_every(const struct model_result *r, int bit)
{
	for (int i = 0; i < r->nr; i++)
		if (!model_bit(r->entry[i].value, bit))
			return false;
	return true;
}

static inline bool model_some(const struct model_result *r, int bit)
{
	for (int i = 0; i < r->nr; i++)
		if (model_bit(r->entry[i].value, bit))
			return true;
	return false;
}

/* SDM "Protection Keys": is the data access refused by PKRU or PKRS? */
static inline bool model_pk_refuses(const struct model *m,
				    const struct model_result *r, bool user,
				    bool write)
{
	uint32_t rights = r->u ? m->pkru : m->pkrs;
	bool ad = model_bit(rights, 2 * r->pkey);
	bool wd = model_bit(rights, 2 * r->pkey + 1);

	if (m->role.paging != PAGING_4LEVEL && m->role.paging != PAGING_5LEVEL)
		return false;
	if (r->u ? !m->role.pke : !m->role.pks)
		return false;
	if (user && !r->u)
		return false; /* refused for itself, without a look at keys */
	if (ad)
		return true;
	return wd && write && (user || m->role.wp);
}

/* SDM "Determination of Access Rights", sentence by sentence. */
static inline bool model_allows(const struct model *m,
				const struct model_result *r, bool user,
				bool write, bool fetch, bool ac)
{
	const struct mmu_role *role = &m->role;

	if (user) {
		if (!r->u)
			return false;
		if (fetch)
			return !(role->nx && r->nx);
		return !write || r->w;
	}
	if (fetch) {
		if (r->u && role->smep)
			return false;
		return !(role->nx && r->nx);
	}
	if (r->u && role->smap && !ac)
		return false;
	if (!write)
		return true;
	return !role->wp || r->w;
}

static inline void model_fault(const struct model *m, struct model_result *r,
			       unsigned int access, uint32_t error)
{
	r->fault = true;
	if (access & ACCESS_WRITE)
		error |= 2;
	if (access & ACCESS_USER)
		error |= 4;
	if (access & ACCESS_FETCH) {
		bool nxe = m->role.nx && m->role.paging != PAGING_32;

		if (nxe || m->role.smep)
			error |= 16;
	}
	r->error = error;
}

static inline void model_set_bits(struct model *m, struct model_result *r,
				  bool write)
{
	for (int i = 0; i < r->nr; i++) {
		struct model_entry *e = &r->entry[i];
		struct model_region *reg = model_region(m, e->gpa);

		if (!reg || reg->readonly)
			continue;
		/* Tables may refer to themselves: look at memory as it is. */
		e->value = model_load(m, e->gpa) | 0x20;
		if (write && i == r->nr - 1)
			e->value |= 0x40;
		memcpy(reg->mem + (e->gpa - reg->gpa), &e->value,
		       model_entry_size(m));
	}
	r->dirty = model_bit(r->entry[r->nr - 1].value, 6);
}

/* Where the tables start and how they are shaped. */
static inline gpa_t model_root(const struct model *m, gva_t gva, int *levels,
			       int *index_bits, bool *present)
{
	*present = true;
	*index_bits = 9;
	switch (m->role.paging) {
	case PAGING_32:
		*levels = 2;
		*index_bits = 10;
		return model_bits(m->cr3, 31, 12);
	case PAGING_PAE:
		*levels = 2;
		*present = model_bit(m->pdptr[gva % (1ull << 32) >> 30], 0);
		return model_bits(m->pdptr[gva % (1ull << 32) >> 30], 51, 12);
	case PAGING_4LEVEL:
		*levels = 4;
		return model_bits(m->cr3, 51, 12);
	default:
		*levels = 5;
		return model_bits(m->cr3, 51, 12);
	}
}

static inline gpa_t model_page(const struct model *m, uint64_t e,
			       unsigned int shift)
{
	if (m->role.paging == PAGING_32 && shift == 22)
		return model_bits(e, 31, 22) | model_bits(e, 20, 13) << 19;
	return model_bits(e, m->role.paging == PAGING_32 ? 31 : 51, shift);
}

/* Follows the tables; false (and @r's fault) if the walk cannot be finished. */
static inline bool model_follow(struct model *m, gva_t gva, unsigned int access,
				struct model_result *r)
{
	int levels, bits;
	bool present;
	gpa_t table = model_root(m, gva, &levels, &bits, &present);

	if (!present)
		return model_fault(m, r, access, 0), false;
	for (int level = levels; level >= 1; level--) {
		unsigned int shift = 12 + (level - 1) * bits;
		uint64_t index = (gva >> shift) % (1u << bits);
		struct model_entry *e = &r->entry[r->nr++];

		e->level = level;
		e->gpa = table + index * model_entry_size(m);
		e->value = model_load(m, e->gpa);
		if (!model_bit(e->value, 0))
			return model_fault(m, r, access, 0), false;
		if (model_reserved(m, level, e->value))
			return model_fault(m, r, access, 1 | 8), false;
		if (model_is_leaf(m, level, e->value)) {
			r->page_shift = shift;
			r->gpa = model_page(m, e->value, shift) +
				 gva % (1ull << shift);
			break;
		}
		table = model_bits(e->value, 51, 12);
	}
	return true;
}

/* Translates, and sets accessed and dirty bits in the model's memory. */
static inline struct model_result model_walk(struct model *m, gva_t gva,
					     unsigned int access)
{
	struct model_result r = { 0 };
	bool user = access & ACCESS_USER, write = access & ACCESS_WRITE;
	bool fetch = access & ACCESS_FETCH, pk;
	uint64_t leaf;

	if (!model_follow(m, gva, access, &r))
		return r;
	leaf = r.entry[r.nr - 1].value;
	r.w = model_every(&r, 1);
	r.u = model_every(&r, 2);
	r.nx = model_some(&r, 63);
	r.dirty = model_bit(leaf, 6);
	r.global = m->role.pge && model_bit(leaf, 8);
	if (m->role.paging == PAGING_4LEVEL || m->role.paging == PAGING_5LEVEL)
		r.pkey = model_bits(leaf, 62, 59) >> 59;
	pk = !fetch && model_pk_refuses(m, &r, user, write);
	if (pk || !model_allows(m, &r, user, write, fetch, access & ACCESS_AC))
		model_fault(m, &r, access, pk ? 1 | 32 : 1);
	else if (!(access & ACCESS_NO_AD))
		model_set_bits(m, &r, write);
	return r;
}
