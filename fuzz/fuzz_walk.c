/*
 * libFuzzer target: the input is a list of commands that change processor
 * state, poke page-table entries and access memory; after each access the
 * walker and the model of test/walk_model.h must agree.
 */
#include "test/walk_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t left;
};

/* The next @n bytes (up to 8) as a number; zeros follow the input's end. */
static uint64_t take(struct input *in, size_t n)
{
	uint64_t v = 0;

	n = n < in->left ? n : in->left;
	memcpy(&v, in->p, n);
	in->p += n;
	in->left -= n;
	return v;
}

/* Tables to start from, with entries of 8 and of 4 bytes. */
static uint8_t start[2][RIG_PAGES * PAGE_SIZE];

static void make_start(struct rig *r)
{
	uint64_t rng = 88172645463325252;

	for (unsigned int k = 0; k < 2; k++) {
		r->mmu.role.paging = k ? PAGING_32 : PAGING_4LEVEL;
		for (unsigned int i = 0; i < RIG_PAGES * 1024; i++) {
			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			rig_poke(r, i / 1024, i, rig_entry(rng * 0x2545f491));
		}
		memcpy(start[k], r->mem, sizeof(start[k]));
	}
}

static struct rig *fresh_rig(unsigned int paging)
{
	static struct rig rig;

	if (!rig.mem) {
		if (!rig_init(&rig))
			abort();
		make_start(&rig);
	}
	rig_role(&rig, paging, 0);
	memcpy(rig.mem, start[rig.mmu.role.paging == PAGING_32],
	       sizeof(start[0]));
	memcpy(rig.copy, rig.mem, sizeof(start[0]));
	return &rig;
}

static void poke(struct rig *r, struct input *in, bool raw)
{
	unsigned int page = take(in, 1), index = take(in, 2);
	uint64_t e = take(in, 8);

	rig_poke(r, page, index, raw ? e : rig_entry(e));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int paging = take(&in, 1);
	struct rig *r = fresh_rig(paging);
	unsigned int access;
	bool ok;

	while (in.left) {
		unsigned int command = take(&in, 1);

		switch (command % 8) {
		case 0:
			rig_role(r, paging, take(&in, 8));
			break;
		case 1:
			poke(r, &in, true);
			break;
		case 2:
			poke(r, &in, false);
			break;
		default:
			access = rig_access_kind(take(&in, 1));
			if (!rig_access(r, take(&in, 8), access, &ok))
				abort();
		}
	}
	if (!rig_same_memory(r))
		abort();
	return 0;
}
