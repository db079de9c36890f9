/*
 * More processors than the engine has large TLB tables for: addresses in both
 * halves of the address space, known when code is translated and computed.
 */
#include "test/guest/lib/smp64.h"

#define CPUS 12
/* In the upper half, and in the lower one beyond 2^44. */
#define HIGH 0xffffffff90000000ul
#define LOW  0x0000555555000000ul

static u64 pages[2];
static volatile u32 bad;

/* Constant addresses: MOV with a 64-bit offset, and a sign-extended one. */
static void constant(unsigned cpu)
{
	for (int i = 0; i < 1000; i++) {
		u64 a, b;

		asm volatile("movabs 0xffffffff90000010, %%rax"
			     : "=a"(a)
			     :
			     : "memory");
		asm volatile("movabs 0x0000555555000010, %%rax"
			     : "=a"(b)
			     :
			     : "memory");
		if (a != 1 || b != 2)
			bad = 1;
		asm volatile("lock incq 0xffffffff90000020" : : : "memory");
	}
}

static void computed(unsigned cpu)
{
	volatile u64 *own = (volatile u64 *)HIGH + 64 + cpu;
	volatile u64 *other = (volatile u64 *)LOW + 64 + cpu;

	for (u64 i = 0; i < 1000; i++) {
		*own = i;
		*other = ~i;
		if (*own != i || *other != ~i)
			bad = 1;
	}
}

static void all_run(void (*fn)(unsigned))
{
	for (unsigned i = 1; i < CPUS; i++)
		smp_run(i, fn);
	fn(0);
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
}

static void far_addresses(void)
{
	bad = 0;
	*(volatile u64 *)(HIGH + 0x10) = 1;
	*(volatile u64 *)(LOW + 0x10) = 2;
	*(volatile u64 *)(HIGH + 0x20) = 0;
	all_run(constant);
	CHECK_EQ("sum", *(volatile u64 *)(HIGH + 0x20), CPUS * 1000);
	all_run(computed);
	CHECK_EQ("bad", bad, 0);
}

void guest_main(void)
{
	CHECK_EQ("online", smp_start(CPUS, 20000), CPUS);
	if (smp_online != CPUS)
		test_end();
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
	pages[0] = page_alloc();
	pages[1] = page_alloc();
	map4k(HIGH, pages[0], PTE_P | PTE_W);
	map4k(LOW, pages[1], PTE_P | PTE_W);
	RUN(far_addresses);
}
