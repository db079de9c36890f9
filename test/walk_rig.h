#pragma once

#include <stdlib.h>
#include <string.h>

#include "mmu/walk.h"
#include "test/walk_model.h"

/*
 * A guest full of arbitrary page tables, for the walker and for the model, each
 * with its own memory.  All frames are tables and data at once, so tables refer
 * to themselves and to each other.  Where the arbitrary values come from is the
 * user's matter: a generator or a fuzzer's input.
 */
#define RIG_PAGES 24
#define RIG_RAM	  0x10000ull	 /* two slots of RAM, */
#define RIG_HIGH  0x100000000ull /* unreachable for 32-bit tables, */
#define RIG_ROM	  0x40000ull	 /* and one read-only */
#define RIG_SLOTS 3

struct rig {
	struct mmu mmu;
	struct model model;
	uint8_t *mem, *copy; /* walker's, model's */
	unsigned int code_writes;
};

static inline void rig_code_write(struct mmu *mmu, gpa_t gpa, unsigned int len)
{
	container_of(mmu, struct rig, mmu)->code_writes++;
}

static const struct mmu_ops rig_ops = { .code_write = rig_code_write };

static inline bool rig_init(struct rig *r)
{
	static const gpa_t base[RIG_SLOTS] = { RIG_RAM, RIG_HIGH, RIG_ROM };
	const uint64_t part = RIG_PAGES / RIG_SLOTS * PAGE_SIZE;

	memset(r, 0, sizeof(*r));
	r->mmu.ops = &rig_ops;
	r->mem = aligned_alloc(PAGE_SIZE, RIG_PAGES * PAGE_SIZE);
	r->copy = aligned_alloc(PAGE_SIZE, RIG_PAGES * PAGE_SIZE);
	if (!r->mem || !r->copy)
		return false;
	memset(r->mem, 0, RIG_PAGES * PAGE_SIZE);
	memset(r->copy, 0, RIG_PAGES * PAGE_SIZE);
	for (int i = 0; i < RIG_SLOTS; i++) {
		uint32_t flags = i == 2 ? MEMSLOT_READONLY : MEMSLOT_DIRTY_LOG;
		struct memslots *new;

		if (memslots_update(r->mmu.slots, i, flags, base[i], part,
				    r->mem + i * part, &new))
			return false;
		memslots_retire(r->mmu.slots, new);
		r->mmu.slots = new;
		r->model.region[i] = (struct model_region){
			.gpa = base[i],
			.size = part,
			.mem = r->copy + i * part,
			.readonly = i == 2,
		};
	}
	r->model.nr_regions = RIG_SLOTS;
	return true;
}

static inline void rig_free(struct rig *r)
{
	memslots_free(r->mmu.slots);
	free(r->mem);
	free(r->copy);
}

/* An address of some frame, rarely of none, from six bits. */
static inline gpa_t rig_frame(unsigned int bits)
{
	unsigned int page = bits % (RIG_PAGES / RIG_SLOTS);

	switch (bits / 8 % 8) {
	case 0:
		return RIG_HIGH + page * PAGE_SIZE;
	case 1:
		return RIG_ROM + page * PAGE_SIZE;
	case 2:
		return bits == 23 ? 0x12345000 : RIG_RAM + page * PAGE_SIZE;
	default:
		return RIG_RAM + page * PAGE_SIZE;
	}
}

/*
 * An entry made of 64 arbitrary bits: usually one that can be followed, now and
 * then with an odd bit.
 */
static inline uint64_t rig_entry(uint64_t v)
{
	uint64_t e = rig_frame(v & 63);

	e |= v >> 6 & 15 ? PTE_P : 0;
	e |= v >> 10 & 7 ? PTE_W : 0;
	e |= v >> 13 & 7 ? PTE_U : 0;
	e |= v >> 16 & 3 ? 0 : PTE_PS;
	e |= v >> 18 & 7 ? 0 : PTE_NX;
	e |= v & BIT(21) ? PTE_A : 0;
	e |= v & BIT(22) ? PTE_D : 0;
	e |= v & BIT(23) ? PTE_G : 0;
	e |= v >> 24 & 7 ? 0 : (v >> 27 & 15) << 59;
	/* Large frames at or near zero are aligned enough. */
	if ((e & PTE_PS) && v >> 31 & 7)
		e &= ~(MASK(30) & ~MASK(13));
	if (!(v >> 34 & 15))
		e ^= BIT(v >> 38 & 63);
	return e;
}

static inline void rig_poke(struct rig *r, unsigned int page,
			    unsigned int index, uint64_t e)
{
	unsigned int size = r->mmu.role.paging == PAGING_32 ? 4 : 8;
	unsigned int at = page % RIG_PAGES * PAGE_SIZE +
			  index % (PAGE_SIZE / size) * size;

	if (size == 4 && e >> 32 == 1)
		e += RIG_RAM;
	memcpy(r->mem + at, &e, size);
	memcpy(r->copy + at, &e, size);
}

/* Another processor state, from 64 arbitrary bits; @paging is given. */
static inline void rig_role(struct rig *r, unsigned int paging, uint64_t v)
{
	static const uint8_t widths[] = { 33, 36, 40, 46, 48, 52, 52, 52 };

	r->mmu.role = (struct mmu_role){
		.paging = PAGING_32 + paging % 4,
		.maxphyaddr = widths[v & 7],
		.wp = v & BIT(3),
		.nx = v >> 4 & 3,
		.pse = v >> 6 & 3,
		.pge = v & BIT(8),
		.smep = v & BIT(9),
		.smap = v & BIT(10),
		.pke = v & BIT(11),
		.pks = v & BIT(11) && v & BIT(9),
		.gb_pages = v >> 12 & 3,
	};
	r->mmu.cr3 = rig_frame(v >> 14 & 63) | (v >> 20 & 0xfff);
	r->mmu.pkru = v >> 32;
	r->mmu.pkrs = v >> 24;
	r->mmu.slot_hint = v >> 20 & 7;
	for (int i = 0; i < 4; i++)
		r->mmu.pdptr[i] = rig_frame(v >> (32 + 7 * i) & 63) |
				  (v >> (38 + 7 * i) & 1 || i < 2);
	r->model.role = r->mmu.role;
	r->model.cr3 = r->mmu.cr3;
	r->model.pkru = r->mmu.pkru;
	r->model.pkrs = r->mmu.pkrs;
	memcpy(r->model.pdptr, r->mmu.pdptr, sizeof(r->mmu.pdptr));
}

/* An access from 8 arbitrary bits. */
static inline unsigned int rig_access_kind(unsigned int v)
{
	static const unsigned int kind[4] = { ACCESS_READ, ACCESS_WRITE,
					      ACCESS_FETCH, ACCESS_WRITE };
	unsigned int access = kind[v & 3];

	access |= v & 4 ? ACCESS_USER : v & 8 ? ACCESS_AC : 0;
	return access | (v >> 4 & 15 ? 0 : ACCESS_NO_AD);
}

static inline bool rig_same_entries(struct rig *r, struct model_result *m)
{
	for (int i = 0; i < m->nr; i++) {
		struct model_region *reg =
			model_region(&r->model, m->entry[i].gpa);
		uint64_t at;

		if (!reg)
			continue;
		at = reg->mem - r->copy + (m->entry[i].gpa - reg->gpa);
		if (memcmp(r->mem + at, r->copy + at,
			   model_entry_size(&r->model)))
			return false;
	}
	return true;
}

/* One access by both; false if they differ. @ok: it did not fault. */
static inline bool rig_access(struct rig *r, gva_t gva, unsigned int access,
			      bool *ok)
{
	struct walk w;
	struct x86_fault f;
	enum cpu_result got = walk_gva(&r->mmu, gva, access, &w, &f);
	struct model_result m = model_walk(&r->model, gva, access);

	*ok = got == CPU_OK;
	if (!rig_same_entries(r, &m))
		return false;
	if (m.fault)
		return got == CPU_FAULT && f.vector == VEC_PF && f.has_error &&
		       f.error == m.error && f.address == gva;
	return got == CPU_OK && w.gpa == m.gpa &&
	       w.page_shift == m.page_shift && w.pte_w == m.w &&
	       w.pte_u == m.u && w.pte_nx == m.nx && w.global == m.global &&
	       w.dirty == m.dirty && w.pkey == m.pkey;
}

/* Nothing but what the model changed has changed. */
static inline bool rig_same_memory(const struct rig *r)
{
	return !memcmp(r->mem, r->copy, RIG_PAGES * PAGE_SIZE);
}
