/*
 * Several processors: INIT and SIPI, atomic instructions, memory ordering, IPIs
 * to one and to all, TLB shootdown, code changed by another processor, NMIs.
 */
#include "test/guest/lib/smp64.h"

#define CPUS	4
#define LOOPS	20000
#define V_SHOOT 0x61
#define VA	(TEST_VA + 0x3000)

static void start(void)
{
	CHECK_EQ("online", smp_start(CPUS, 5000), CPUS);
	for (unsigned i = 0; i < CPUS; i++)
		for (unsigned j = 0; j < i; j++)
			CHECK("distinct ids", smp_apic_id(i) != smp_apic_id(j));
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
}

static void all_run(void (*fn)(unsigned))
{
	for (unsigned i = 1; i < CPUS; i++)
		smp_run(i, fn);
	fn(0);
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
}

static volatile u64 counter, counter2;
static volatile u8 bytes[8];
static volatile u32 lock_word;

static void add_locked(unsigned cpu)
{
	for (int i = 0; i < LOOPS; i++) {
		u64 one = 1;

		asm volatile("lock incq %0" : "+m"(counter) : : "cc");
		asm volatile("lock xaddq %1, %0"
			     : "+m"(counter2), "+r"(one)
			     :
			     : "cc");
		asm volatile("lock addb $1, %0" : "+m"(bytes[1]) : : "cc");
	}
}

static void atomics(void)
{
	counter = counter2 = 0;
	memset((void *)bytes, 0, 8);
	all_run(add_locked);
	CHECK_EQ("inc", counter, CPUS * LOOPS);
	CHECK_EQ("xadd", counter2, CPUS * LOOPS);
	CHECK_EQ("byte", bytes[1], (u8)(CPUS * LOOPS));
	CHECK_EQ("neighbours", bytes[0] | bytes[2], 0);
}

static void add_cmpxchg(unsigned cpu)
{
	for (int i = 0; i < LOOPS / 4; i++) {
		u64 old = counter, seen;

		for (;;) {
			seen = old;
			asm volatile("lock cmpxchgq %2, %0"
				     : "+m"(counter), "+a"(seen)
				     : "r"(old + 3)
				     : "cc");
			if (seen == old)
				break;
			old = seen;
		}
	}
}

static u64 pair[2] __attribute__((aligned(16)));

static void add_cmpxchg16(unsigned cpu)
{
	for (int i = 0; i < LOOPS / 4; i++) {
		u64 lo = pair[0], hi = pair[1];
		u8 ok;

		do {
			asm volatile("lock cmpxchg16b %0; setz %1"
				     : "+m"(pair), "=q"(ok), "+a"(lo), "+d"(hi)
				     : "b"(lo + 1), "c"(hi - 1)
				     : "memory", "cc");
		} while (!ok);
	}
}

static void compare_exchange(void)
{
	counter = 0;
	all_run(add_cmpxchg);
	CHECK_EQ("cmpxchg", counter, 3 * CPUS * (LOOPS / 4));
	pair[0] = pair[1] = 0;
	if (has(FEAT_CX16)) {
		all_run(add_cmpxchg16);
		CHECK_EQ("low", pair[0], CPUS * (LOOPS / 4));
		CHECK_EQ("high", pair[1], -(u64)CPUS * (LOOPS / 4));
	}
}

static void add_under_lock(unsigned cpu)
{
	for (int i = 0; i < LOOPS / 4; i++) {
		u32 v = 1;

		for (;;) {
			asm volatile("xchg %1, %0" : "+m"(lock_word), "+r"(v));
			if (!v)
				break;
			while (lock_word)
				cpu_pause();
			v = 1;
		}
		counter++;
		lock_word = 0;
	}
}

static void spin_lock(void)
{
	counter = 0;
	lock_word = 0;
	all_run(add_under_lock);
	CHECK_EQ("counter", counter, CPUS * (LOOPS / 4));
}

/* A locked operation across a cache line and across a page is atomic too. */
static void add_split(unsigned cpu)
{
	for (int i = 0; i < LOOPS / 10; i++) {
		asm volatile("lock incq 60(%0)"
			     :
			     : "r"(0xc00000ul)
			     : "memory", "cc");
		asm volatile("lock incq 4092(%0)"
			     :
			     : "r"(0xc00000ul)
			     : "memory", "cc");
	}
}

static void split_lock(void)
{
	*(volatile u64 *)(0xc00000ul + 60) = 0;
	*(volatile u64 *)(0xc00000ul + 4092) = 0;
	all_run(add_split);
	CHECK_EQ("line", *(volatile u64 *)(0xc00000ul + 60),
		 CPUS * (LOOPS / 10));
	CHECK_EQ("page", *(volatile u64 *)(0xc00000ul + 4092),
		 CPUS * (LOOPS / 10));
}

/* Stores are seen in order: what a flag announces is there. */
static volatile u64 data_word, flag_word, bad_order;

static void consumer(unsigned cpu)
{
	for (u64 i = 1; i <= LOOPS; i++) {
		while (flag_word < i)
			cpu_pause();
		if (data_word < i * 3)
			bad_order++;
	}
}

static void message_passing(void)
{
	data_word = flag_word = bad_order = 0;
	smp_run(1, consumer);
	for (u64 i = 1; i <= LOOPS; i++) {
		data_word = i * 3;
		flag_word = i;
	}
	smp_join(1);
	CHECK_EQ("order", bad_order, 0);
}

/* With MFENCE between store and load not both can read the old value. */
static volatile u32 litmus_x, litmus_y, litmus_go, litmus_r, litmus_done;

static void litmus_other(unsigned cpu)
{
	for (u32 i = 1; i <= LOOPS / 10; i++) {
		u32 r;

		while (litmus_go < i)
			cpu_pause();
		litmus_y = i;
		asm volatile("mfence" : : : "memory");
		r = litmus_x;
		litmus_r = r;
		litmus_done = i;
	}
}

static void store_buffering(void)
{
	u32 both = 0;

	litmus_x = litmus_y = litmus_go = litmus_done = 0;
	smp_run(1, litmus_other);
	for (u32 i = 1; i <= LOOPS / 10; i++) {
		u32 r;

		litmus_go = i;
		litmus_x = i;
		asm volatile("mfence" : : : "memory");
		r = litmus_y;
		while (litmus_done < i)
			cpu_pause();
		both += r != i && litmus_r != i;
	}
	smp_join(1);
	CHECK_EQ("both old", both, 0);
}

/* A mapping that three processors read in a loop is moved under them. */
static volatile u32 shot, stop, wrong;
static u64 pages[2];

static void on_shoot(struct frame *f)
{
	invlpg(VA);
	asm volatile("lock incl %0" : "+m"(shot) : : "cc");
	apic_eoi();
}

static volatile u64 generation;

static void reader(unsigned cpu)
{
	while (!stop) {
		u64 before = generation, v = *(volatile u64 *)VA;
		u64 after = generation;

		if (before == after && !(before & 1) && v != (before >> 1 & 1))
			asm volatile("lock incl %0" : "+m"(wrong) : : "cc");
	}
}

static void shootdown(void)
{
	trap_handler(V_SHOOT, on_shoot);
	map4k(VA, pages[0], PTE_P | PTE_W);
	*(u64 *)pages[0] = 0;
	*(u64 *)pages[1] = 1;
	stop = wrong = 0;
	generation = 0;
	for (unsigned i = 1; i < CPUS; i++)
		smp_run(i, reader);
	for (u32 n = 1; n <= 40; n++) {
		shot = 0;
		generation++;
		*pte_at(cr3_root(), VA, 1) = pages[n & 1] | PTE_P | PTE_W;
		invlpg(VA);
		apic_send(0, ICR_OTHERS | ICR_ASSERT | V_SHOOT);
		if (!wait_until(&shot, CPUS - 1, 2000)) {
			test_fail("acknowledged", shot, CPUS - 1);
			break;
		}
		generation++;
		CHECK_EQ("own", *(volatile u64 *)VA, n & 1);
	}
	stop = 1;
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
	CHECK_EQ("stale reads", wrong, 0);
}

/* Code that other processors call is rewritten, then announced by a flag. */
static volatile u32 code_gen, code_bad;

static void caller(unsigned cpu)
{
	while (!stop) {
		u32 before = code_gen, v, a = 0, c = 0;

		asm volatile("cpuid"
			     : "+a"(a), "+c"(c)
			     :
			     : "rbx", "rdx", "memory");
		asm volatile("call *%1" : "=a"(v) : "r"(0xc02000ul) : "memory");
		if (before == code_gen && !(before & 1) && v != before)
			asm volatile("lock incl %0" : "+m"(code_bad) : : "cc");
	}
}

static void cross_modify(void)
{
	u8 *code = (u8 *)0xc02000ul;

	memcpy(code, "\xb8\x00\x00\x00\x00\xc3", 6);
	stop = code_bad = code_gen = 0;
	for (unsigned i = 1; i < CPUS; i++)
		smp_run(i, caller);
	for (u32 n = 1; n <= 200; n++) {
		code_gen++;
		*(volatile u32 *)(code + 1) = code_gen + 1;
		code_gen++;
		for (int k = 0; k < 200; k++)
			cpu_pause();
	}
	stop = 1;
	for (unsigned i = 1; i < CPUS; i++)
		smp_join(i);
	CHECK_EQ("stale code", code_bad, 0);
}

/*
 * A processor rewrites code while another one, deaf to interrupts, spins until
 * it is done: an engine that stops the others for this must reach the spinner,
 * whatever that did just before.
 */
static volatile u32 spin_flag, spin_ack;

static void spinner(unsigned cpu)
{
	for (u32 i = 1; i <= LOOPS / 100; i++) {
		spin_ack = i;
		for (u32 k = i % 16; k; k--)
			rdtsc();
		while (spin_flag < i)
			cpu_pause();
	}
}

static void modify_for_spinner(void)
{
	u8 *code = (u8 *)0xc02000ul;
	u32 v;

	memcpy(code, "\xb8\x00\x00\x00\x00\xc3", 6);
	spin_flag = spin_ack = 0;
	smp_run(1, spinner);
	for (u32 i = 1; i <= LOOPS / 100; i++) {
		while (spin_ack < i)
			cpu_pause();
		*(volatile u32 *)(code + 1) = i;
		asm volatile("call *%1" : "=a"(v) : "r"(code) : "memory");
		if (v != i) {
			test_fail("own code", v, i);
			break;
		}
		spin_flag = i;
	}
	spin_flag = -1u;
	smp_join(1);
}

static volatile u32 nmis;

static void on_nmi(struct frame *f)
{
	asm volatile("lock incl %0" : "+m"(nmis) : : "cc");
}

static volatile u32 awake;

static void send_until_awake(unsigned cpu)
{
	while (!awake) {
		for (volatile int i = 0; i < 20000; i++)
			;
		apic_send(smp_apic_id(0), ICR_NMI | ICR_ASSERT);
	}
}

static void nmi(void)
{
	trap_handler(X_NMI, on_nmi);
	nmis = 0;
	apic_send(0, ICR_NMI | ICR_OTHERS | ICR_ASSERT);
	CHECK("all others", wait_until(&nmis, CPUS - 1, 2000));
	/* An NMI wakes a processor that halts with interrupts off. */
	nmis = awake = 0;
	smp_run(1, send_until_awake);
	asm volatile("cli; hlt");
	awake = 1;
	CHECK("woken", nmis >= 1);
	smp_join(1);
	trap_handler(X_NMI, NULL);
}

/* INIT resets a processor whatever it does; a SIPI starts it again. */
static void endless(unsigned cpu)
{
	asm volatile("cli; 1: jmp 1b");
}

extern volatile u32 smp_next;

static void init_again(void)
{
	u32 id = smp_apic_id(CPUS - 1);

	smp_run(CPUS - 1, endless);
	for (volatile int i = 0; i < 10000; i++)
		;
	smp_online = CPUS - 1;
	smp_next = CPUS - 1;
	apic_send(id, ICR_INIT | ICR_ASSERT);
	for (u64 end = rdtsc() + 10 * tsc_per_ms(); rdtsc() < end;)
		cpu_pause();
	CHECK_EQ("waits for SIPI", smp_online, CPUS - 1);
	/* It must not find the old work when it comes back. */
	smp_run(CPUS - 1, NULL);
	apic_send(id, ICR_STARTUP | ICR_ASSERT | SMP_TRAMPOLINE >> 12);
	CHECK("back", wait_until(&smp_online, CPUS, 5000));
	/* A second SIPI to a running processor is ignored. */
	apic_send(id, ICR_STARTUP | ICR_ASSERT | SMP_TRAMPOLINE >> 12);
	counter = 0;
	all_run(add_cmpxchg);
	CHECK_EQ("works", counter, 3 * CPUS * (LOOPS / 4));
}

static void pause_ms(u32 ms)
{
	for (u64 end = rdtsc() + ms * tsc_per_ms(); rdtsc() < end;)
		cpu_pause();
}

/* A real-mode page that counts its visitors at offset 100h and halts them. */
static volatile u32 *halting_page(u8 *page)
{
	static const u8 code[] = {
		0x2e, 0xff, 0x06, 0x00, 0x01, /* incw %cs:0x100 */
		0xfa, 0xf4, 0xeb, 0xfd,	      /* cli; 1: hlt; jmp 1b */
	};

	memset(page, 0, 4096);
	memcpy(page, code, sizeof(code));
	return (volatile u32 *)(page + 0x100);
}

/*
 * A SIPI to a halted processor is void: after the next INIT it waits for
 * another one.  (SDM 3 "MP Initialization Protocol Algorithm": BIOSes send
 * two.)  The last test: the processor does not come back.
 */
static void void_sipi(void)
{
	volatile u32 *first = halting_page((u8 *)0x9000);
	volatile u32 *second = halting_page((u8 *)0xa000);
	u32 id = smp_apic_id(CPUS - 1);

	apic_send(id, ICR_INIT | ICR_ASSERT);
	pause_ms(10);
	apic_send(id, ICR_STARTUP | ICR_ASSERT | 0x9);
	CHECK("started", wait_until(first, 1, 5000));
	pause_ms(5);
	apic_send(id, ICR_STARTUP | ICR_ASSERT | 0x9);
	pause_ms(5);
	apic_send(id, ICR_INIT | ICR_ASSERT);
	pause_ms(10);
	CHECK_EQ("waits", *first, 1);
	apic_send(id, ICR_STARTUP | ICR_ASSERT | 0xa);
	CHECK("elsewhere", wait_until(second, 1, 5000));
	CHECK_EQ("not here", *first, 1);
}

void guest_main(void)
{
	pages[0] = page_alloc();
	pages[1] = page_alloc();
	RUN_ONCE(start);
	if (smp_online != CPUS)
		test_end();
	RUN(atomics);
	RUN(compare_exchange);
	RUN(spin_lock);
	RUN(split_lock);
	RUN(message_passing);
	RUN(store_buffering);
	RUN(shootdown);
	RUN(cross_modify);
	RUN(modify_for_spinner);
	RUN(nmi);
	RUN(init_again);
	RUN_ONCE(void_sipi);
}
