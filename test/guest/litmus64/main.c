/*
 * Memory order between processors: the outcomes that x86 forbids (SDM 3A
 * "Examples Illustrating the Memory-Ordering Principles") must not be seen.
 * Each thread of a test goes through all its slots without waiting for the
 * others, and the slots are looked at afterwards: that gives far more overlap
 * than a barrier a slot would.
 */
#include "test/guest/lib/smp64.h"

#define CPUS  4
#define SLOTS 2000
#define TURNS 10

/* Variables on cache lines of their own, then what the threads have read. */
struct slot {
	volatile u32 x __attribute__((aligned(64)));
	volatile u32 y __attribute__((aligned(64)));
	volatile u32 r[4] __attribute__((aligned(64)));
};

static struct slot plain[SLOTS];
/* The slots of the test under way. */
static struct slot *slots = plain;
static u32 nr_slots = SLOTS;

static volatile u32 ready;

/* A thread of a test, on one slot. */
typedef void (*thread_fn)(struct slot *s);

struct litmus {
	unsigned nr;
	thread_fn thread[CPUS];
	bool (*forbidden)(const struct slot *s);
};

static const struct litmus *test;

static void run_thread(unsigned cpu)
{
	thread_fn fn = test->thread[cpu];

	asm volatile("lock incl %0" : "+m"(ready) : : "memory", "cc");
	while (ready < test->nr)
		cpu_pause();
	for (u32 i = 0; i < nr_slots; i++)
		fn(&slots[i]);
}

static u32 turn(void)
{
	u32 bad = 0;

	ready = 0;
	for (u32 i = 0; i < nr_slots; i++) {
		slots[i].x = slots[i].y = 0;
		for (unsigned n = 0; n < 4; n++)
			slots[i].r[n] = 0;
	}
	for (unsigned n = 1; n < test->nr; n++)
		smp_run(n, run_thread);
	run_thread(0);
	for (unsigned n = 1; n < test->nr; n++)
		smp_join(n);
	for (u32 i = 0; i < nr_slots; i++)
		bad += test->forbidden(&slots[i]);
	return bad;
}

static void run_litmus(const struct litmus *t, unsigned turns)
{
	u32 bad = 0;

	test = t;
	for (unsigned n = 0; n < turns; n++)
		bad += turn();
	CHECK_EQ("forbidden outcomes", bad, 0);
}

static void store_x(struct slot *s)
{
	s->x = 1;
}

static void store_y(struct slot *s)
{
	s->y = 1;
}

/* Stores are seen in order, and loads are done in order. */
static void write_both(struct slot *s)
{
	s->x = 1;
	s->y = 1;
}

static void read_back(struct slot *s)
{
	u32 y = s->y, x = s->x;

	s->r[0] = y;
	s->r[1] = x;
}

static bool second_without_first(const struct slot *s)
{
	return s->r[0] == 1 && s->r[1] == 0;
}

static void message_passing(void)
{
	static const struct litmus t = { 2,
					 { write_both, read_back },
					 second_without_first };

	run_litmus(&t, TURNS);
}

/* The same with a string instruction as the second store, and PUSH and POP. */
static void write_stos(struct slot *s)
{
	volatile u32 *to = &s->y;
	u32 n = 1;

	s->x = 1;
	asm volatile("cld; rep stosl" : "+D"(to), "+c"(n) : "a"(1) : "memory");
}

static void read_stack(struct slot *s)
{
	u64 y, x;

	/* No interrupt may use the stack pointer meanwhile. */
	cli();
	asm volatile("xchg %%rsp, %2\n\t"
		     "pop %0\n\t"
		     "mov %2, %%rsp\n\t"
		     "mov %3, %1"
		     : "=&r"(y), "=&r"(x), "+&r"((volatile u32 *){ &s->y })
		     : "m"(s->x)
		     : "memory");
	sti();
	s->r[0] = (u32)y;
	s->r[1] = (u32)x;
}

static void message_by_string(void)
{
	static const struct litmus t = { 2,
					 { write_stos, read_back },
					 second_without_first };

	run_litmus(&t, TURNS);
}

static void message_by_pop(void)
{
	static const struct litmus t = { 2,
					 { write_both, read_stack },
					 second_without_first };

	run_litmus(&t, TURNS);
}

/* Loads are not done after later stores. */
static void load_x_store_y(struct slot *s)
{
	u32 x = s->x;

	s->y = 1;
	s->r[0] = x;
}

static void load_y_store_x(struct slot *s)
{
	u32 y = s->y;

	s->x = 1;
	s->r[1] = y;
}

static bool both_new(const struct slot *s)
{
	return s->r[0] == 1 && s->r[1] == 1;
}

static void load_buffering(void)
{
	static const struct litmus t = { 2,
					 { load_x_store_y, load_y_store_x },
					 both_new };

	run_litmus(&t, TURNS);
}

/* MFENCE, locked instructions and XCHG keep loads behind earlier stores. */
static bool both_old(const struct slot *s)
{
	return s->r[0] == 0 && s->r[1] == 0;
}

#define STORE_BUFFERING(name, fence)                                           \
	static void name##_x(struct slot *s)                                   \
	{                                                                      \
		u32 v = 1;                                                     \
                                                                               \
		asm volatile(fence : "+r"(v), "+m"(s->x) : : "memory", "cc");  \
		s->r[0] = s->y;                                                \
	}                                                                      \
	static void name##_y(struct slot *s)                                   \
	{                                                                      \
		u32 v = 1;                                                     \
                                                                               \
		asm volatile(fence : "+r"(v), "+m"(s->y) : : "memory", "cc");  \
		s->r[1] = s->x;                                                \
	}                                                                      \
	static void name(void)                                                 \
	{                                                                      \
		static const struct litmus t = { 2,                            \
						 { name##_x, name##_y },       \
						 both_old };                   \
                                                                               \
		run_litmus(&t, TURNS);                                         \
	}

STORE_BUFFERING(store_mfence, "movl %0, %1; mfence")
STORE_BUFFERING(store_locked, "movl %0, %1; lock orl $0, -64(%%rsp)")
STORE_BUFFERING(store_xchg, "xchg %0, %1")
STORE_BUFFERING(store_xadd, "lock xadd %0, %1")

/* All processors see the stores of two others in the same order. */
static void read_x_y(struct slot *s)
{
	u32 x = s->x, y = s->y;

	s->r[0] = x;
	s->r[1] = y;
}

static void read_y_x(struct slot *s)
{
	u32 y = s->y, x = s->x;

	s->r[2] = y;
	s->r[3] = x;
}

static bool different_orders(const struct slot *s)
{
	return s->r[0] == 1 && s->r[1] == 0 && s->r[2] == 1 && s->r[3] == 0;
}

static void independent_reads(void)
{
	static const struct litmus t = {
		4, { read_x_y, store_x, read_y_x, store_y }, different_orders
	};

	run_litmus(&t, TURNS / 2);
}

/* Who sees a store and then stores itself has put the two in order. */
static void relay(struct slot *s)
{
	u32 x = s->x;

	s->y = x ? 1 : 0;
	s->r[0] = x;
}

static void read_relayed(struct slot *s)
{
	u32 y = s->y, x = s->x;

	s->r[1] = y;
	s->r[2] = x;
}

static bool not_transitive(const struct slot *s)
{
	return s->r[0] == 1 && s->r[1] == 1 && s->r[2] == 0;
}

static void transitive(void)
{
	static const struct litmus t = { 3,
					 { store_x, relay, read_relayed },
					 not_transitive };

	run_litmus(&t, TURNS / 2);
}

/* One location has one history. */
static void read_twice(struct slot *s)
{
	u32 a = s->x, b;

	barrier();
	b = s->x;
	s->r[0] = a;
	s->r[1] = b;
}

static void coherence(void)
{
	static const struct litmus t = { 2,
					 { store_x, read_twice },
					 second_without_first };

	run_litmus(&t, TURNS);
}

/* Stores of two processors to two places do not cross. */
static void write_x1_y2(struct slot *s)
{
	s->x = 1;
	s->y = 2;
}

static void write_y1_x2(struct slot *s)
{
	s->y = 1;
	s->x = 2;
}

static bool both_first(const struct slot *s)
{
	return s->x == 1 && s->y == 1;
}

static void two_writers(void)
{
	static const struct litmus t = { 2,
					 { write_x1_y2, write_y1_x2 },
					 both_first };

	run_litmus(&t, TURNS);
}

/*
 * The same beside code: such pages may be written by other ways than an
 * ordinary page.  The code runs in between, so that it stays known.
 */
#define CODE_AREA 0xc10000ul

static void beside_code(void)
{
	static const struct litmus tests[] = {
		{ 2, { write_both, read_back }, second_without_first },
		{ 2, { store_mfence_x, store_mfence_y }, both_old },
		{ 2, { write_x1_y2, write_y1_x2 }, both_first },
	};
	static const u8 code[] = { 0xb8, 1, 0, 0, 0, 0xc3 };
	u32 v;

	slots = (struct slot *)CODE_AREA;
	nr_slots = 8 * PAGE / sizeof(struct slot);
	for (unsigned n = 0; n < 40; n++) {
		for (u64 p = CODE_AREA; p < CODE_AREA + 8 * PAGE; p += PAGE) {
			u64 into = (p - CODE_AREA) % sizeof(struct slot);
			/* behind x of the page's first whole slot */
			u8 *to = (u8 *)p + sizeof(struct slot) - into + 4;

			if (n == 0)
				memcpy(to, code, sizeof(code));
			asm volatile("call *%1" : "=a"(v) : "r"(to) : "memory");
			CHECK_EQ("code", v, 1);
		}
		run_litmus(&tests[n % ARRAY_SIZE(tests)], 1);
	}
	slots = plain;
	nr_slots = SLOTS;
}

void guest_main(void)
{
	if (smp_start(CPUS, 5000) != CPUS) {
		test_fail("online", smp_online, CPUS);
		test_end();
	}
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
	RUN(message_passing);
	RUN(message_by_string);
	RUN(message_by_pop);
	RUN(load_buffering);
	RUN(store_mfence);
	RUN(store_locked);
	RUN(store_xchg);
	RUN(store_xadd);
	RUN(independent_reads);
	RUN(transitive);
	RUN(coherence);
	RUN(two_writers);
	RUN(beside_code);
}
