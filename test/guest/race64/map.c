/* Mappings that change under processors that use them. */
#include "test/guest/race64/race.h"

#define VA    (TEST_VA + 0x800000)
#define AREAS 8
#define PAGES 4

/* Several pages are moved by all processors, one at a time. */
static u64 page[PAGES];
static volatile u32 at[AREAS]; /* 2 * what is mapped, or odd */

static void flush_storm_reader(unsigned cpu)
{
	for (u32 i = cpu; !stop; i = i * 1103515245 + 12345) {
		unsigned n = i >> 16 & (AREAS - 1);
		volatile u32 *p = (volatile u32 *)(VA + n * PAGE);
		volatile u32 *own = p + cpu * 16;
		u32 before = at[n], v = own[0], w;

		/* Writes, too, go where the page is. */
		own[1] = i;
		w = own[1];
		if (before == at[n] && !(before & 1) && (v != before || w != i))
			bad_one();
	}
}

static void storm(void)
{
	for (u32 n = 0; n < PAGES; n++)
		for (unsigned i = 0; i < PAGE / 4; i++)
			((u32 *)page[n])[i] = 2 * n;
	for (unsigned n = 0; n < AREAS; n++) {
		at[n] = 0;
		map4k(VA + n * PAGE, page[0], PTE_P | PTE_W);
		shoot(VA + n * PAGE);
	}
	begin(flush_storm_reader);
	for (u32 i = 1; i <= 80; i++) {
		unsigned n = i * 3 % AREAS;
		u32 to = i % PAGES;

		at[n] |= 1;
		*pte_at(cr3_root(), VA + n * PAGE, 1) =
			page[to] | PTE_P | PTE_W;
		shoot(VA + n * PAGE);
		at[n] = 2 * to;
	}
	end("stale data");
}

/*
 * Writes stop when a page has become read-only everywhere, and a write after a
 * flush sets the D bit that was cleared before it.
 */
static void on_fault(struct frame *f)
{
	/* mov [rbx], eax: skips it */
	f->ip += 2;
	asm volatile("pause");
}

static void writer(unsigned cpu)
{
	for (u32 v = 1; !stop; v++)
		asm volatile(".byte 0x89, 0x03"
			     :
			     : "a"(v), "b"(VA + cpu * 64)
			     : "memory");
}

static bool same(const u32 *was)
{
	for (unsigned i = 1; i < CPUS; i++)
		if (was[i] != *(volatile u32 *)(page[0] + i * 64))
			return false;
	return true;
}

static void look(u32 *to)
{
	for (unsigned i = 1; i < CPUS; i++)
		to[i] = *(volatile u32 *)(page[0] + i * 64);
}

static void rights(void)
{
	volatile u64 *pte;
	u32 was[CPUS];
	bool changed;
	u64 old;

	map4k(VA, page[0], PTE_P | PTE_W);
	pte = pte_at(cr3_root(), VA, 1);
	shoot(VA);
	trap_handler(X_PF, on_fault);
	begin(writer);
	for (unsigned n = 0; n < 20; n++) {
		old = page[0] | PTE_P | PTE_W;
		asm volatile("xchg %0, %1" : "+r"(old), "+m"(*pte));
		shoot(VA);
		look(was);
		spin(100 + 50 * (n % 8));
		asm volatile("lock andq %1, %0"
			     : "+m"(*pte)
			     : "r"(~(u64)PTE_W)
			     : "cc");
		shoot(VA);
		changed = !same(was);
		CHECK("D bit", !changed || (*pte & PTE_D));
		look(was);
		spin(300);
		CHECK("read-only", same(was));
	}
	end("no one complains");
	trap_handler(X_PF, NULL);
	map4k(VA, page[0], PTE_P | PTE_W);
	shoot(VA);
}

/* A page comes and goes: who finds it gone waits until it is back. */
static volatile u32 faults;

static void on_gone(struct frame *f)
{
	asm volatile("lock incl %0" : "+m"(faults) : : "cc");
	for (int i = 0; i < 20; i++)
		cpu_pause();
}

static void toucher(unsigned cpu)
{
	volatile u32 *p = (volatile u32 *)(VA + cpu * 64);

	for (u32 v = 1; !stop; v++) {
		*p = v;
		if (*p != v)
			bad_one();
	}
}

static void come_and_go(void)
{
	map4k(VA, page[0], PTE_P | PTE_W);
	shoot(VA);
	trap_handler(X_PF, on_gone);
	begin(toucher);
	for (unsigned n = 0; n < 30; n++) {
		u64 *from = (u64 *)page[n & 1], *to = (u64 *)page[~n & 1];

		*pte_at(cr3_root(), VA, 1) = 0;
		shoot(VA);
		memcpy(to, from, PAGE);
		memset(from, 0xee, PAGE);
		*pte_at(cr3_root(), VA, 1) = (u64)to | PTE_P | PTE_W;
		spin(200);
	}
	end("lost writes");
	trap_handler(X_PF, NULL);
}

void map_tests(void)
{
	for (unsigned n = 0; n < PAGES; n++)
		page[n] = page_alloc();
	RUN(storm);
	RUN(rights);
	RUN(come_and_go);
}
