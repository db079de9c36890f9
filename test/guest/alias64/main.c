/*
 * The same code at many addresses, as a library has them in many processes:
 * addresses that it makes relative to its own, jumps, faults and changes must
 * be those of the mapping that runs.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/paging64.h"

#define RW	     (PTE_P | PTE_W)
#define NR	     6
#define AT(n, label) (base(n) + ((u64)(label) - (u64)alias_text))

extern u8 alias_text[], alias_where[], alias_data[], alias_store[],
	alias_return[], alias_return_at[], alias_near[], alias_far[],
	alias_loop[], alias_event[], alias_switch[], alias_case1[],
	alias_value[], alias_ud[], alias_fault[], alias_fault_at[], alias_cut[],
	alias_top[], alias_cross[], alias_page1[];

static u64 text[2], data[NR];

static u64 base(unsigned n)
{
	return TEST_VA + 0x10000 + n * 0x1235000ul;
}

static u64 call(u64 fn, u64 arg)
{
	u64 v;

	asm volatile("call *%1"
		     : "=a"(v), "+r"(fn), "+D"(arg)
		     :
		     : "rcx", "rdx", "memory", "cc");
	return v;
}

static void map_all(void)
{
	for (unsigned n = 0; n < 2; n++) {
		text[n] = page_alloc();
		memcpy((void *)text[n], alias_text + n * PAGE, PAGE);
	}
	for (unsigned n = 0; n < NR; n++) {
		data[n] = page_alloc();
		map4k(base(n), text[0], RW);
		map4k(base(n) + PAGE, text[1], RW);
		map4k(base(n) + 2 * PAGE, data[n], RW);
	}
}

#define EACH(n) for (unsigned r = 0, n; r < 3 * NR && (n = r % NR, 1); r++)

static void addresses(void)
{
	EACH(n)
	{
		CHECK_EQ("where", call(AT(n, alias_where), 0), base(n));
		CHECK_EQ("return", call(AT(n, alias_return), 0),
			 AT(n, alias_return_at));
		CHECK_EQ("near", call(AT(n, alias_near), 0), base(n) + 1);
		CHECK_EQ("far", call(AT(n, alias_far), 0),
			 AT(n, alias_page1) + 1);
		CHECK_EQ("event", call(AT(n, alias_event), 0), base(n));
		CHECK_EQ("case 0", call(AT(n, alias_switch), 0), 3);
		CHECK_EQ("case 1", call(AT(n, alias_switch), 1),
			 AT(n, alias_case1));
		CHECK_EQ("case 2", call(AT(n, alias_switch), 2),
			 AT(n, alias_page1));
		CHECK_EQ("cut", call(AT(n, alias_cut), 0), (u32)base(n));
		CHECK_EQ("cross", call(AT(n, alias_cross), 0), 0x55667788);
	}
}

static void own_data(void)
{
	for (unsigned n = 0; n < NR; n++) {
		((u64 *)data[n])[0] = n + 1;
		((u64 *)data[n])[1] = 1000;
	}
	EACH(n)
	{
		CHECK_EQ("data", call(AT(n, alias_data), 0), n + 1001 + r / NR);
		CHECK_EQ("loop", call(AT(n, alias_loop), 0), 100 * (n + 1));
		CHECK_EQ("store", call(AT(n, alias_store), n + 1),
			 1001 + r / NR);
	}
}

static void faults(void)
{
	EACH(n)
	{
		CHECK_EQ("ud",
			 TRY("call *%0",
			     :
			     : "r"(AT(n, alias_ud))
			     : "rax", "memory"),
			 X_UD);
		CHECK_EQ("ud rip", trap.frame.ip, AT(n, alias_ud) + 5);
		CHECK_PF("absent",
			 TRY("call *%0",
			     :
			     : "r"(AT(n, alias_fault))
			     : "rax", "memory"),
			 0, base(n) + 3 * PAGE + 8);
		CHECK_EQ("absent rip", trap.frame.ip, AT(n, alias_fault_at));
		CHECK_PF("top",
			 TRY("call *%0",
			     :
			     : "r"(AT(n, alias_top))
			     : "rax", "memory"),
			 0, base(n) + 0x7ffff000);
		CHECK_EQ("top rip", trap.frame.ip, AT(n, alias_top));
	}
}

/* A write through any mapping changes the code of all. */
static void changes(void)
{
	EACH(n)
	{
		unsigned to = (n + 2) % NR;

		*(volatile u32 *)(AT(to, alias_value) + 1) = r;
		for (unsigned m = 0; m < NR; m++)
			CHECK_EQ("value", call(AT(m, alias_value), 0), r);
	}
}

/* One address, and another page there. */
static void remap(void)
{
	u64 other = page_alloc();

	memcpy((void *)other, (void *)text[0], PAGE);
	*(volatile u32 *)(other + (alias_value - alias_text) + 1) = 0x4321;
	EACH(n)
	{
		u64 old = call(AT(n, alias_value), 0);

		map4k(base(n), other, RW);
		CHECK_EQ("other", call(AT(n, alias_value), 0), 0x4321);
		CHECK_EQ("where", call(AT(n, alias_where), 0), base(n));
		map4k(base(n), text[0], RW);
		CHECK_EQ("back", call(AT(n, alias_value), 0), old);
	}
}

void guest_main(void)
{
	page_alloc();
	map_all();
	RUN(addresses);
	RUN(own_data);
	RUN(faults);
	RUN(changes);
	RUN(remap);
	RUN(addresses);
}
