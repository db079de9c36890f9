#include "mmu/mirror.h"
#include "mmu/tlb_int.h"

/*
 * The flushes of the architecture and the change of tags.  Source: SDM 3A
 * "Invalidation of TLBs and Paging-Structure Caches".
 */
/* Switches that find kernel code not global before tables are not shared. */
#define SHARE_MISFITS 64

static struct tlb_tag *tag_find(struct tlb *t, unsigned int pcid)
{
	for (unsigned int i = 0; i < t->nr_tags; i++)
		if (t->tag[i].pcid == (int)pcid)
			return &t->tag[i];
	return NULL;
}

void tlb_flush_all(struct mmu *mmu)
{
	if (!mmu->tlb)
		return;
	mirror_note_all(mmu->tlb->mirror);
	tlb_flush_tables(mmu->tlb);
}

void tlb_flush_nonglobal(struct mmu *mmu)
{
	struct tlb *t = mmu->tlb;

	if (!t)
		return;
	mirror_note_all(t->mirror);
	for (unsigned int i = 0; i <= t->nr_tags; i++)
		tlb_tag_flush(t, &t->tag[i], mmu->role.pge);
}

/* The tables that all tags share: what is not global is the current tag's. */
static struct tlb_tag *shared_tag(struct tlb *t)
{
	return &t->tag[t->nr_tags];
}

static bool is_current(const struct tlb *t, const struct tlb_tag *tag)
{
	return tag == &t->tag[t->cur];
}

void tlb_flush_pcid(struct mmu *mmu, unsigned int pcid)
{
	struct tlb *t = mmu->tlb;
	struct tlb_tag *tag = t ? tag_find(t, pcid) : NULL;

	if (t)
		mirror_note_pcid(t->mirror, pcid);
	if (!tag)
		return;
	tlb_tag_flush(t, tag, mmu->role.pge);
	if (is_current(t, tag))
		tlb_tag_flush(t, shared_tag(t), mmu->role.pge);
}

static unsigned int pcid_of(const struct mmu *mmu)
{
	return mmu->role.pcide ? mmu->cr3 & 0xfff : 0;
}

void tlb_flush_gva(struct mmu *mmu, gva_t gva)
{
	struct tlb *t = mmu->tlb;

	if (t)
		mirror_note_gva(t->mirror, mmu->cr3, pcid_of(mmu), gva);
	/* Other tags may hold a global entry for it; entries do not say. */
	for (unsigned int i = 0; t && i <= t->nr_tags; i++)
		tlb_tag_flush_gva(t, &t->tag[i], gva);
}

void tlb_flush_pcid_gva(struct mmu *mmu, unsigned int pcid, gva_t gva)
{
	struct tlb *t = mmu->tlb;
	struct tlb_tag *tag = t ? tag_find(t, pcid) : NULL;

	if (t)
		mirror_note_pcid(t->mirror, pcid);
	if (!tag)
		return;
	tlb_tag_flush_gva(t, tag, gva);
	if (is_current(t, tag))
		tlb_tag_flush_gva(t, shared_tag(t), gva);
}

static struct tlb_tag *tag_replace(struct tlb *t, unsigned int pcid)
{
	struct tlb_tag *tag = &t->tag[0];

	for (unsigned int i = 1; i < t->nr_tags; i++)
		if (t->tag[i].pcid < 0 || t->tag[i].used < tag->used)
			tag = &t->tag[i];
	tlb_tag_flush(t, tag, false);
	tag->pcid = pcid;
	return tag;
}

/*
 * Entries of the previous tag leave the shared tables.  Kernel code among them
 * time and again: sharing does not suit this guest.
 */
static void shared_switch(struct tlb *t, bool pge)
{
	struct tlb_tag *s = shared_tag(t);

	if (!t->share)
		return;
	if (s->table[TLB_SUPER].jc.nonglobal && ++t->misfit > SHARE_MISFITS) {
		t->share = false;
		pge = false;
	}
	tlb_tag_flush(t, s, pge);
}

void tlb_load_cr3(struct mmu *mmu, uint64_t cr3, bool keep)
{
	unsigned int pcid = mmu->role.pcide ? cr3 & 0xfff : 0;
	struct tlb *t = mmu->tlb;
	struct tlb_tag *tag;

	mmu->cr3 = cr3;
	if (!t)
		return;
	if (!keep)
		mirror_note_cr3(t->mirror, cr3, pcid);
	tag = tag_find(t, pcid);
	if (!tag || !is_current(t, tag))
		shared_switch(t, mmu->role.pge);
	else if (!keep)
		tlb_tag_flush(t, shared_tag(t), mmu->role.pge);
	if (!tag) {
		tag = tag_replace(t, pcid);
	} else if (!keep) {
		tlb_tag_flush(t, tag, mmu->role.pge);
	} else {
		t->flushes_avoided++;
	}
	tag->used = ++t->clock;
	t->cur = tag - t->tag;
}
