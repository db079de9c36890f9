#include "root/steal.h"

#include <unistd.h>

#include "cpu/cpu.h"
#include "host/rundelay.h"
#include "host/time.h"
#include "mmu/dirty.h"
#include "mmu/tlb.h"

#define STEAL_ENABLED  BIT(0)
#define STEAL_RESERVED 0x3eull

/* How often the run delay is looked at; it costs a microsecond or two. */
#define SAMPLE_MS 4

/* The guest's structure, 64 bytes and aligned to them. */
struct steal_page {
	uint64_t steal_ns;
	uint32_t version; /* odd while it changes */
	uint32_t flags;
	uint8_t preempted; /* AWAY, FLUSH_TLB */
	uint8_t pad[47];
};

#define AWAY	  1
#define FLUSH_TLB 2

void steal_init(struct vcpu_steal *s, struct cpu *cpu)
{
	*s = (struct vcpu_steal){ .cpu = cpu, .fd = -1 };
}

void steal_finish(struct vcpu_steal *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void steal_reset(struct vcpu_steal *s)
{
	s->msr = 0;
	s->away = false;
}

enum msr_result steal_msr_write(struct vcpu_steal *s, uint64_t value)
{
	if ((value & STEAL_RESERVED) || (value && !rundelay_available()))
		return MSR_GP;
	s->msr = value & STEAL_ENABLED ? value : 0;
	/* What the page says is not known; it is set right at the entry. */
	s->away = s->msr;
	s->sampled_tsc = 0;
	return MSR_OK;
}

/* map - the guest's structure, or NULL if it is not in memory. */
static volatile struct steal_page *map(struct vcpu_steal *s,
				       const struct memslot **slot)
{
	gpa_t gpa = s->msr & ~STEAL_ENABLED;

	*slot = mmu_slot(&s->cpu->mmu, gpa);
	if (!*slot || ((*slot)->flags & MEMSLOT_READONLY))
		return NULL;
	return (void *)memslot_hva(*slot, gpa);
}

static void wrote(struct vcpu_steal *s, const struct memslot *slot)
{
	mmu_wrote(&s->cpu->mmu, slot, s->msr & ~STEAL_ENABLED,
		  sizeof(struct steal_page));
}

/* stolen - what the thread has waited since the last look; 0 for a new one. */
static uint64_t stolen(struct vcpu_steal *s)
{
	static __thread char self __attribute__((tls_model("initial-exec")));
	uint64_t now, before = s->delay_ns;
	bool other = s->thread != &self;

	if (other) {
		steal_finish(s);
		s->fd = rundelay_open();
		s->thread = &self;
	}
	if (s->fd < 0 || !rundelay_read(s->fd, &now))
		return 0;
	s->delay_ns = now;
	return other || now < before ? 0 : now - before;
}

/* Stores stay in order, but the compiler has to be told. */
static void publish(struct vcpu_steal *s, volatile struct steal_page *page)
{
	uint64_t ns = stolen(s);
	uint32_t version = page->version & ~1u;

	page->version = version + 1;
	__asm__ volatile("" : : : "memory");
	page->steal_ns += ns;
	__asm__ volatile("" : : : "memory");
	page->version = version + 2;
}

void steal_enter_slow(struct vcpu_steal *s)
{
	uint64_t now = __builtin_ia32_rdtsc();
	bool sample = now - s->sampled_tsc > SAMPLE_MS * (uint64_t)tsc_khz();
	volatile struct steal_page *page;
	const struct memslot *slot;

	if (!s->away && !sample)
		return;
	page = map(s, &slot);
	if (!page)
		return;
	if (s->away &&
	    (__atomic_exchange_n(&page->preempted, 0, __ATOMIC_SEQ_CST) &
	     FLUSH_TLB))
		tlb_flush_all(&s->cpu->mmu);
	s->away = false;
	if (sample) {
		publish(s, page);
		s->sampled_tsc = now;
	}
	wrote(s, slot);
}

void steal_leave_slow(struct vcpu_steal *s)
{
	const struct memslot *slot;
	volatile struct steal_page *page = map(s, &slot);

	if (!page)
		return;
	__atomic_exchange_n(&page->preempted, AWAY, __ATOMIC_SEQ_CST);
	s->away = true;
	wrote(s, slot);
}
