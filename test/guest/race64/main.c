/*
 * Races between processors that an engine has to get right: mappings that
 * change under others, of data and of code, large pages among them; code that
 * is rewritten while others call it, data beside it; access rights and D bits;
 * IPIs to halted processors; locked accesses across pages.
 */
#include "test/guest/race64/race.h"

volatile u32 stop, wrong;
static volatile u32 acked;
static volatile u64 flush_va;

void bad_one(void)
{
	asm volatile("lock incl %0" : "+m"(wrong) : : "cc");
}

static void on_flush(struct frame *f)
{
	invlpg(flush_va);
	apic_eoi();
	asm volatile("lock incl %0" : "+m"(acked) : : "cc");
}

/* All others run @fn until end(). */
void begin(void (*fn)(unsigned))
{
	stop = wrong = 0;
	for (unsigned i = 1; i < CPUS; i++)
		smp_run(i, fn);
}

void end(const char *what)
{
	stop = 1;
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
	CHECK_EQ(what, wrong, 0);
}

bool shoot(u64 va)
{
	acked = 0;
	flush_va = va;
	invlpg(va);
	apic_send(0, ICR_OTHERS | ICR_ASSERT | V_FLUSH);
	while (acked < CPUS - 1)
		cpu_pause();
	return true;
}

void spin(unsigned n)
{
	while (n--)
		cpu_pause();
}

/*
 * IPIs between halted processors, 0 with 1 and 2 with 3: the wake-up must not
 * be lost, whenever it comes.
 */
#define PINGS 300

static volatile u32 ball[CPUS], hits[CPUS];

static void on_ball(struct frame *f)
{
	apic_eoi();
}

static void play(unsigned cpu)
{
	for (u32 n = 1; n <= PINGS; n++) {
		for (;;) {
			cli();
			if (ball[cpu])
				break;
			asm volatile("sti; hlt" : : : "memory");
		}
		sti();
		ball[cpu] = 0;
		hits[cpu] = n;
		spin(n % 64);
		ball[cpu ^ 1] = 1;
		apic_send(smp_apic_id(cpu ^ 1), ICR_ASSERT | V_BALL);
	}
}

static void ping_pong(void)
{
	trap_handler(V_BALL, on_ball);
	memset((void *)ball, 0, sizeof(ball));
	memset((void *)hits, 0, sizeof(hits));
	for (unsigned i = 1; i < CPUS; i++)
		smp_run(i, play);
	ball[0] = 1;
	ball[2] = 1;
	apic_send(smp_apic_id(2), ICR_ASSERT | V_BALL);
	play(0);
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
	for (unsigned i = 0; i < CPUS; i++)
		CHECK_EQ("hits", hits[i], PINGS);
}

/*
 * A quadword across two pages that are not neighbours: locked additions to all
 * of it, and to its lower half by another name.
 */
#define ADDS  3000
#define SPLIT (TEST_VA + 0x10000)

static u64 split_page[2];

static void add_split(unsigned cpu)
{
	u32 *low = (u32 *)(split_page[0] + PAGE - 4);

	for (int i = 0; i < ADDS; i++) {
		if (cpu & 1)
			asm volatile("lock incl %0" : "+m"(*low) : : "cc");
		else if (i % 16 == 0)
			asm volatile("lock addq %1, %0"
				     : "+m"(*(u64 *)(SPLIT + PAGE - 4))
				     : "r"(0x300000001ul)
				     : "cc");
	}
}

static void split_locks(void)
{
	u32 splits = (ADDS + 15) / 16;

	map4k(SPLIT, split_page[0], PTE_P | PTE_W);
	map4k(SPLIT + PAGE, split_page[1], PTE_P | PTE_W);
	*(volatile u64 *)(SPLIT + PAGE - 4) = 0;
	begin(add_split);
	add_split(0);
	end("no one complains");
	CHECK_EQ("low", *(volatile u32 *)(split_page[0] + PAGE - 4),
		 2 * ADDS + 2 * splits);
	CHECK_EQ("high", *(volatile u32 *)split_page[1], 2 * 3 * splits);
}

void guest_main(void)
{
	if (smp_start(CPUS, 5000) != CPUS) {
		test_fail("online", smp_online, CPUS);
		test_end();
	}
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
	trap_handler(V_FLUSH, on_flush);
	split_page[1] = page_alloc();
	split_page[0] = page_alloc();
	RUN(ping_pong);
	RUN(split_locks);
	code_tests();
	map_tests();
	test_end();
}
