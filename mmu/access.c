/*
 * Accesses to guest memory by C code: translate all of it, then copy, page by
 * page.  Runs while the guest's vector state is live; holds no lock and may be
 * left by a non-local jump where it touches guest memory.
 */
#include "mmu/access.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "mmu/dirty.h"
#include "mmu/tlb.h"
#include "mmu/walk.h"

/* The part of an access that lies in one page. */
struct span {
	const struct memslot *slot; /* NULL: MMIO */
	gpa_t gpa;
	unsigned int len;
};

/* Unaligned integers in guest memory, each accessed by one instruction. */
typedef uint16_t u16_any __attribute__((aligned(1), may_alias));
typedef uint32_t u32_any __attribute__((aligned(1), may_alias));
typedef uint64_t u64_any __attribute__((aligned(1), may_alias));

#define NO_TSAN __attribute__((no_sanitize("thread")))

/*
 * From guest memory to a buffer or back.  Other vCPUs may access the same
 * bytes (a guest's race is not ours): sizes that have a register are one
 * access, others go by quadwords.
 */
static NO_TSAN void copy_shared(void *to, const void *from, unsigned int len)
{
	switch (len) {
	case 1:
		*(volatile uint8_t *)to = *(const volatile uint8_t *)from;
		return;
	case 2:
		*(volatile u16_any *)to = *(const volatile u16_any *)from;
		return;
	case 4:
		*(volatile u32_any *)to = *(const volatile u32_any *)from;
		return;
	}
	if (len >= 128) {
		r3_memcpy(to, from, len);
		return;
	}
	for (; len >= 8; len -= 8, to = (char *)to + 8, from = (char *)from + 8)
		*(volatile u64_any *)to = *(const volatile u64_any *)from;
	for (; len; len--, to = (char *)to + 1, from = (char *)from + 1)
		*(volatile uint8_t *)to = *(const volatile uint8_t *)from;
}

static void span_read(const struct span *sp, void *buf)
{
	copy_shared(buf, memslot_hva(sp->slot, sp->gpa), sp->len);
}

static void span_write(struct mmu *mmu, const struct span *sp, const void *buf)
{
	copy_shared(memslot_hva(sp->slot, sp->gpa), buf, sp->len);
	/* The fence that mmu_wrote wants, cheaper than MFENCE. */
	__asm__ volatile("lock orl $0, (%%rsp)" : : : "memory", "cc");
	mmu_wrote(mmu, sp->slot, sp->gpa, sp->len);
}

static bool span_is_writable(const struct span *sp)
{
	return sp->slot && !(sp->slot->flags & MEMSLOT_READONLY);
}

static enum cpu_result span_find(struct mmu *mmu, gva_t gva, unsigned int len,
				 unsigned int access, struct span *sp,
				 struct x86_fault *f)
{
	struct walk w;
	enum cpu_result r = walk_gva(mmu, gva, access, &w, f);

	if (r != CPU_OK)
		return r;
	sp->slot = mmu_slot(mmu, w.gpa);
	sp->gpa = w.gpa;
	sp->len = len;
	/* What C code alone reads, descriptor tables, becomes known here. */
	if (!sp->slot || !mmu->live)
		return CPU_OK;
	if (access == ACCESS_READ)
		tlb_fill_read(mmu, gva, memslot_hva(sp->slot, w.gpa), &w);
	else if ((access & ACCESS_WRITE) && span_is_writable(sp) &&
		 mmu->ops->enter_write)
		mmu->ops->enter_write(mmu, gva, access, sp->slot, &w);
	return CPU_OK;
}

/* Translates an access; the second span is empty if no page is crossed. */
static enum cpu_result spans_find(struct mmu *mmu, gva_t gva, unsigned int len,
				  unsigned int access, struct span sp[2],
				  struct x86_fault *f)
{
	unsigned int room = PAGE_SIZE - (gva & ~PAGE_MASK);
	enum cpu_result r;

	sp[1].len = 0;
	if (likely(len <= room))
		return span_find(mmu, gva, len, access, &sp[0], f);
	r = span_find(mmu, gva, room, access, &sp[0], f);
	if (r != CPU_OK)
		return r;
	gva += room;
	if (mmu->role.paging < PAGING_4LEVEL)
		gva = (uint32_t)gva;
	return span_find(mmu, gva, len - room, access, &sp[1], f);
}

/* One fragment of an MMIO read: consumes its answer or asks for it. */
static enum cpu_result mmio_read_frag(struct mmio *mmio, gpa_t gpa, void *buf,
				      unsigned int len)
{
	if (!mmio || mmio->pos_rd == MMIO_MAX_FRAGS) {
		memset(buf, 0xff, len);
		return CPU_OK;
	}
	if (mmio->pos_rd < mmio->nr_rd) {
		const struct mmio_frag *rd = &mmio->rd[mmio->pos_rd];

		if (rd->gpa == gpa && rd->len == len) {
			memcpy(buf, rd->data, len);
			mmio->pos_rd++;
			mmio->wants = false;
			return CPU_OK;
		}
		/* The instruction or its operands changed: ask anew. */
		mmio->nr_rd = mmio->pos_rd;
	}
	mmio->want = (struct mmio_frag){ .gpa = gpa, .len = len };
	mmio->wants = true;
	return CPU_EXIT;
}

static enum cpu_result mmio_read(struct mmio *mmio, const struct span *sp,
				 uint8_t *buf)
{
	enum cpu_result r;

	for (unsigned int at = 0, n; at < sp->len; at += n) {
		n = sp->len - at < 8 ? sp->len - at : 8;
		r = mmio_read_frag(mmio, sp->gpa + at, buf + at, n);
		if (r != CPU_OK)
			return r;
	}
	return CPU_OK;
}

static void mmio_write(struct mmio *mmio, const struct span *sp,
		       const uint8_t *buf)
{
	for (unsigned int at = 0, n; at < sp->len; at += n) {
		struct mmio_frag *wr;

		if (!mmio || mmio->nr_wr == MMIO_MAX_FRAGS)
			return;
		n = sp->len - at < 8 ? sp->len - at : 8;
		wr = &mmio->wr[mmio->nr_wr++];
		*wr = (struct mmio_frag){ .gpa = sp->gpa + at, .len = n };
		memcpy(wr->data, buf + at, n);
	}
}

/* The host address of an access within one page, if the TLB knows it. */
static uint8_t *known(const struct mmu *mmu, gva_t gva, unsigned int len,
		      unsigned int access)
{
	if ((gva & ~PAGE_MASK) + len > PAGE_SIZE ||
	    (access & (ACCESS_FETCH | ACCESS_NO_AD)))
		return NULL;
	return tlb_peek(mmu, gva, access);
}

enum cpu_result mem_read(struct mmu *mmu, struct mmio *mmio, gva_t gva,
			 void *buf, unsigned int len, unsigned int access,
			 struct x86_fault *f)
{
	struct span sp[2];
	uint8_t *to = buf, *from = known(mmu, gva, len, access);
	enum cpu_result r;

	if (likely(from)) {
		copy_shared(buf, from, len);
		return CPU_OK;
	}
	r = spans_find(mmu, gva, len, access, sp, f);
	for (int i = 0; r == CPU_OK && i < 2 && sp[i].len; i++) {
		if (likely(sp[i].slot))
			span_read(&sp[i], to);
		else
			r = mmio_read(mmio, &sp[i], to);
		to += sp[i].len;
	}
	return r;
}

enum cpu_result mem_write(struct mmu *mmu, struct mmio *mmio, gva_t gva,
			  const void *buf, unsigned int len,
			  unsigned int access, struct x86_fault *f)
{
	struct span sp[2];
	const uint8_t *from = buf;
	uint8_t *to = known(mmu, gva, len, access | ACCESS_WRITE);
	enum cpu_result r;

	if (likely(to)) {
		copy_shared(to, buf, len);
		return CPU_OK;
	}
	r = spans_find(mmu, gva, len, access | ACCESS_WRITE, sp, f);
	if (r != CPU_OK)
		return r;
	for (int i = 0; i < 2 && sp[i].len; i++) {
		if (likely(span_is_writable(&sp[i])))
			span_write(mmu, &sp[i], from);
		else
			mmio_write(mmio, &sp[i], from);
		from += sp[i].len;
	}
	return CPU_OK;
}

enum cpu_result mem_host(struct mmu *mmu, gva_t gva, unsigned int len,
			 unsigned int access, uint8_t **hva, gpa_t *gpa,
			 struct x86_fault *f)
{
	struct span sp;
	enum cpu_result r;

	*gpa = GPA_UNTOLD;
	*hva = known(mmu, gva, len, access);
	if (*hva || (gva & ~PAGE_MASK) + len > PAGE_SIZE)
		return CPU_OK;
	r = span_find(mmu, gva, len, access, &sp, f);
	if (r != CPU_OK)
		return r;
	*gpa = sp.gpa;
	if (access & ACCESS_WRITE) {
		if (!span_is_writable(&sp))
			return CPU_OK;
		mmu_mark_dirty(mmu, sp.slot, sp.gpa);
	}
	if (sp.slot)
		*hva = memslot_hva(sp.slot, sp.gpa);
	return CPU_OK;
}

unsigned int mem_known(const struct mmu *mmu, gva_t gva, const uint8_t *hva,
		       unsigned int len, unsigned int access)
{
	unsigned int n = PAGE_SIZE - (gva & ~PAGE_MASK);

	while (n < len && tlb_peek(mmu, gva + n, access) == hva + n)
		n += PAGE_SIZE;
	return n < len ? n : len;
}

/* The first page's part of @len bytes at @gpa; false if it is not RAM. */
static bool span_phys(struct mmu *mmu, gpa_t gpa, unsigned int len, bool write,
		      struct span *sp)
{
	unsigned int room = PAGE_SIZE - (gpa & ~PAGE_MASK);

	sp->slot = mmu_slot(mmu, gpa);
	sp->gpa = gpa;
	sp->len = len < room ? len : room;
	return write ? span_is_writable(sp) : !!sp->slot;
}

static bool phys_is_ram(struct mmu *mmu, gpa_t gpa, unsigned int len,
			bool write)
{
	struct span sp;

	for (; len; len -= sp.len, gpa += sp.len)
		if (!span_phys(mmu, gpa, len, write, &sp))
			return false;
	return true;
}

int mem_read_phys(struct mmu *mmu, gpa_t gpa, void *buf, unsigned int len)
{
	struct span sp;
	uint8_t *to = buf;

	if (!phys_is_ram(mmu, gpa, len, false))
		return -EFAULT;
	for (; len; len -= sp.len, gpa += sp.len, to += sp.len) {
		span_phys(mmu, gpa, len, false, &sp);
		span_read(&sp, to);
	}
	return 0;
}

int mem_write_phys(struct mmu *mmu, gpa_t gpa, const void *buf,
		   unsigned int len)
{
	struct span sp;
	const uint8_t *from = buf;

	if (!phys_is_ram(mmu, gpa, len, true))
		return -EFAULT;
	for (; len; len -= sp.len, gpa += sp.len, from += sp.len) {
		span_phys(mmu, gpa, len, true, &sp);
		span_write(mmu, &sp, from);
	}
	return 0;
}
