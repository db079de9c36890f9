/* Code that changes under processors that execute it. */
#include "test/guest/race64/race.h"

#define CODE_PAGE 0xc20000ul
#define FUNCS	  8
/* mov eax, imm32; cmp eax, -1; je 1f; ret; 1: ret: two blocks and a jump */
#define FUNC_SIZE 32

/* Even: function [n] returns it; odd: it may return anything. */
static volatile u32 version[FUNCS];
static volatile u32 *const beside = (volatile u32 *)(CODE_PAGE + 0x800);

static u32 call(u64 at)
{
	u32 v;

	asm volatile("call *%1" : "=a"(v) : "r"(at) : "memory", "cc");
	return v;
}

static u64 func(unsigned n)
{
	return CODE_PAGE + n * FUNC_SIZE;
}

static void write_func(unsigned n, u32 value)
{
	static const u8 code[] = { 0xb8, 0,    0,    0,	   0,	 0x83,
				   0xf8, 0xff, 0x74, 0x01, 0xc3, 0xc3 };

	memcpy((void *)func(n), code, sizeof(code));
	*(volatile u32 *)(func(n) + 1) = value;
}

/* One of them writes beside the code all the time. */
static void caller(unsigned cpu)
{
	u32 seen = 0;

	for (u32 i = cpu; !stop; i = i * 1103515245 + 12345) {
		unsigned n = i >> 16 & (FUNCS - 1);
		u32 before = version[n], v = call(func(n));

		if (before == version[n] && !(before & 1) && v != before)
			bad_one();
		if (cpu == 1)
			*beside = ++seen;
	}
	if (cpu == 1 && *beside != seen)
		bad_one();
}

/*
 * The writer announces the change, makes it, and interrupts all others: they
 * have serialized when it says that it is done (SDM 3A "Handling Self- and
 * Cross-Modifying Code").
 */
static void rewrite(unsigned rounds)
{
	for (u32 i = 0; i < rounds; i++) {
		unsigned n = i * 5 % FUNCS;
		u32 next = version[n] + 2;

		version[n]++;
		*(volatile u32 *)(func(n) + 1) = next;
		shoot(CODE_PAGE);
		version[n]++;
		CHECK_EQ("own", call(func(n)), next);
	}
}

static void cross_modify(void)
{
	for (unsigned n = 0; n < FUNCS; n++) {
		version[n] = n * 1000;
		write_func(n, version[n]);
	}
	begin(caller);
	rewrite(40);
	end("stale code");
}

/* Pages that each return their number, at one address in turn. */
#define VA    (TEST_VA + 0x400000)
#define PAGES 4

static u64 page[PAGES];
static volatile u32 mapped; /* 2 * number, or odd */
static volatile u64 entry;  /* an address in the page */

static void visitor(unsigned cpu)
{
	while (!stop) {
		u32 before = mapped, v = call(entry);

		if (before == mapped && !(before & 1) && v != before)
			bad_one();
	}
}

/* mov eax, imm32; test edi, edi; jz 1f; nops; 1: ret, and a far way there */
static void write_numbers(unsigned offset)
{
	for (u32 n = 0; n < PAGES; n++) {
		u8 *p = (u8 *)page[n] + offset;

		p[0] = 0xb8;
		*(u32 *)(p + 1) = 2 * n;
		memcpy(p + 5, "\x85\xff\x74\x01\x90\xc3", 6);
	}
}

static void remap(int level, u64 flush, unsigned rounds)
{
	mapped = 0;
	map(VA, page[0], PTE_P | PTE_W, level);
	shoot(flush);
	begin(visitor);
	for (u32 i = 1; i <= rounds; i++) {
		u32 n = i % PAGES;

		mapped |= 1;
		*pte_at(cr3_root(), VA, level) =
			page[n] | PTE_P | PTE_W | (level > 1 ? PTE_PS : 0);
		shoot(flush);
		mapped = 2 * n;
		CHECK_EQ("own", call(entry), 2 * n);
		spin(200);
	}
	end("stale code");
	*pte_at(cr3_root(), VA, level) = 0;
	shoot(VA);
}

static void remap_code(void)
{
	for (unsigned n = 0; n < PAGES; n++)
		page[n] = 0xc30000ul + n * PAGE;
	entry = VA + 0x123;
	write_numbers(0x123);
	remap(1, VA, 30);
}

/* INVLPG of any address in a 2 MiB page is for all of it. */
static void remap_large_code(void)
{
	for (unsigned n = 0; n < PAGES; n++)
		page[n] = 0x1000000ul + n * 0x200000ul;
	entry = VA + 0x5123;
	write_numbers(0x5123);
	remap(2, VA + 0x1f0000, 30);
}

/*
 * A jump within a page is taken for the first time after its page was mapped
 * elsewhere and before the flush: what it finds there is either, but it must
 * not count when the first page comes back.
 */
static u32 call_with(u64 at, u64 arg)
{
	u32 v;

	asm volatile("call *%1" : "=a"(v) : "r"(at), "D"(arg) : "memory", "cc");
	return v;
}

static void stale_jump(void)
{
	/* test edi, edi; jnz 1f; xor eax, eax; ret; 1: mov eax, n; ret */
	static const u8 code[] = { 0x85, 0xff, 0x75, 0x03, 0x31, 0xc0, 0xc3,
				   0xb8, 0,    0,    0,	   0,	 0xc3 };
	volatile u64 *pte;
	u64 at;
	u32 v;

	for (u32 n = 0; n < 2; n++) {
		page[n] = 0xc40000ul + n * PAGE;
		memset((void *)page[n], 0x90, PAGE);
	}
	map4k(VA, page[0], PTE_P | PTE_W);
	pte = pte_at(cr3_root(), VA, 1);
	for (unsigned i = 0; i < 32; i++) {
		at = VA + i * 64;
		for (u32 n = 0; n < 2; n++) {
			memcpy((u8 *)page[n] + i * 64, code, sizeof(code));
			*(u32 *)(page[n] + i * 64 + 8) = n + 1;
		}
		CHECK_EQ("not taken", call_with(at, 0), 0);
		*pte = page[1] | PTE_P | PTE_W;
		v = call_with(at, 1);
		CHECK("either", v == 1 || v == 2);
		invlpg(VA);
		CHECK_EQ("second page", call_with(at, 1), 2);
		*pte = page[0] | PTE_P | PTE_W;
		invlpg(VA);
		CHECK_EQ("first page", call_with(at, 1), 1);
	}
	unmap4k(VA);
}

void code_tests(void)
{
	RUN(cross_modify);
	RUN(remap_code);
	RUN(remap_large_code);
	RUN(stale_jump);
}
