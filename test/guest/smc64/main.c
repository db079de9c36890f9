/*
 * Code that changes: patched ahead in the same block, in another page, by a
 * string instruction, through another mapping, by a write that crosses into a
 * code page; code and data in one page; code that rewrites itself in a loop;
 * freed and reused pages.  x86 needs no flush on the same processor.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/paging64.h"

#define VA (TEST_VA + 0x8000)
#define RW (PTE_P | PTE_W)

static u8 *code;
static u64 page;

/* mov $imm32, %eax; ret */
static void put_value(u8 *p, u32 v)
{
	*(volatile u8 *)p = 0xb8;
	*(volatile u32 *)(p + 1) = v;
	*(volatile u8 *)(p + 5) = 0xc3;
}

static u32 call(const void *p)
{
	u32 v;

	asm volatile("call *%1" : "=a"(v) : "r"(p) : "rcx", "rdx", "memory");
	return v;
}

static void patch_value(void)
{
	for (u32 i = 0; i < 50; i++) {
		put_value(code, i);
		CHECK_EQ("value", call(code), i);
		CHECK_EQ("again", call(code), i);
	}
	/* Only the immediate, in one, two and four bytes. */
	*(volatile u8 *)(code + 2) = 0x77;
	CHECK_EQ("byte", call(code), 0x7731);
	*(volatile u16 *)(code + 3) = 0x1234;
	CHECK_EQ("word", call(code), 0x12347731);
	asm volatile("lock incl (%0)" : : "r"(code + 1) : "memory", "cc");
	CHECK_EQ("locked", call(code), 0x12347732);
	asm volatile("addq $1, (%0)" : : "r"(code + 1) : "memory", "cc");
	CHECK_EQ("rmw", call(code), 0x12347733);
}

static void change_length(void)
{
	/* nop; nop; inc eax; ret and forms with other instruction borders. */
	memcpy(code, "\x31\xc0\x90\x90\xff\xc0\xc3", 7);
	CHECK_EQ("inc", call(code), 1);
	*(volatile u8 *)(code + 2) = 0xa8; /* test $0x90, %al */
	CHECK_EQ("test", call(code), 1);
	*(volatile u8 *)(code + 2) = 0xeb; /* jmp +1 */
	*(volatile u8 *)(code + 3) = 0x02;
	CHECK_EQ("jmp over", call(code), 0);
	*(volatile u8 *)(code + 3) = 0x00;
	CHECK_EQ("jmp next", call(code), 1);
	*(volatile u8 *)(code + 2) = 0x0f; /* ud2 */
	*(volatile u8 *)(code + 3) = 0x0b;
	CHECK_EQ("ud2", TRY("call *%0", : : "r"(code) : "rax", "memory"), X_UD);
	CHECK_EQ("ud2 rip", trap.frame.ip, code + 2);
	memcpy(code + 2, "\x90\x90", 2);
	CHECK_EQ("back", call(code), 1);
}

/* The next instruction, in the same block, is changed before it runs. */
static void patch_ahead(void)
{
	for (u32 i = 1; i < 20; i++) {
		u32 v;

		/* movb $i, 3(%rip): the low byte of the mov behind it */
		u8 text[] = { 0xc6, 0x05, 1, 0, 0, 0,	i, /* 7 bytes */
			      0xb8, 0,	  0, 0, 0, 0xc3 };
		memcpy(code + 64, text, sizeof(text));
		v = call(code + 64);
		CHECK_EQ("next", v, i);
	}
	/* Far ahead in a long block. */
	memset(code, 0x90, 200);
	memcpy(code, "\xc6\x05\xc2\x00\x00\x00\x42", 7); /* to code + 201 */
	put_value(code + 200, 0x11);
	CHECK_EQ("far", call(code), 0x42);
	put_value(code + 200, 0x12);
	CHECK_EQ("far again", call(code), 0x42);
}

/* A loop whose body counts its own immediate up. */
static void patch_in_loop(void)
{
	u32 v;

	/*
	 * xor eax,eax; mov $50,ecx; L: add $1,eax [imm8 at +9];
	 * incb (imm); dec ecx; jnz L; ret
	 */
	u8 text[] = { 0x31, 0xc0, 0xb9, 50,   0,    0,	  0,
		      0x83, 0xc0, 0x01, 0xfe, 0x05, 0xf9, 0xff,
		      0xff, 0xff, 0xff, 0xc9, 0x75, 0xf3, 0xc3 };

	memcpy(code, text, sizeof(text));
	v = call(code);
	CHECK_EQ("sum", v, 50 * 51 / 2);
	CHECK_EQ("left", code[9], 51);
}

static void alias_write(void)
{
	/* The code runs at VA; writes go to its physical page. */
	map4k(VA, page, PTE_P);
	for (u32 i = 0; i < 20; i++) {
		put_value((u8 *)page + 0x40, i);
		CHECK_EQ("value", call((void *)(VA + 0x40)), i);
	}
	/* Two mappings of the code, a third for writes. */
	map4k(VA + PAGE, page, PTE_P);
	map4k(VA + 2 * PAGE, page, RW);
	for (u32 i = 0; i < 20; i++) {
		put_value((u8 *)VA + 2 * PAGE + 0x40, i + 100);
		CHECK_EQ("first", call((void *)(VA + 0x40)), i + 100);
		CHECK_EQ("second", call((void *)(VA + PAGE + 0x40)), i + 100);
		CHECK_EQ("direct", call((void *)(page + 0x40)), i + 100);
	}
}

static void string_writes(void)
{
	static u8 text[16];

	for (u32 i = 0; i < 20; i++) {
		void *src = text, *dst = code + 0x100;
		u64 n = 6;

		put_value(text, i * 3);
		asm volatile("rep movsb"
			     : "+S"(src), "+D"(dst), "+c"(n)
			     :
			     : "memory");
		CHECK_EQ("movsb", call(code + 0x100), i * 3);
		dst = code + 0x101;
		asm volatile("stosl" : "+D"(dst) : "a"(i * 5) : "memory");
		CHECK_EQ("stosl", call(code + 0x100), i * 5);
		asm volatile("movups %0, %%xmm0; movups %%xmm0, (%1)"
			     :
			     : "m"(text), "r"(code + 0x100)
			     : "memory");
		CHECK_EQ("sse", call(code + 0x100), i * 3);
		asm volatile("movq %%rsp, %%rbx; lea 0x108(%0), %%rsp; "
			     "push %1; mov %%rbx, %%rsp"
			     :
			     : "r"(code), "r"(0xc30000aa00b8ull + 0x100ull * i)
			     : "rbx", "memory");
		CHECK_EQ("push", call(code + 0x100), 0xaa00 + i);
	}
}

/* Copies and fills of several pages in a row, some of which hold code. */
static void string_pages(void)
{
	u8 *from = (u8 *)page_alloc(), *to = (u8 *)page;

	for (int n = 0; n < 3; n++)
		page_alloc();
	for (u32 i = 0; i < 60; i++) {
		void *src = from, *dst = to;
		u64 n = 4 * PAGE / 8;

		put_value(from + PAGE + 0x200, i);
		put_value(from + 3 * PAGE - 3, i + 7);
		asm volatile("rep movsq"
			     : "+S"(src), "+D"(dst), "+c"(n)
			     :
			     : "memory");
		CHECK_EQ("left", n, 0);
		CHECK_EQ("end", (u64)dst, (u64)to + 4 * PAGE);
		CHECK_EQ("second", call(to + PAGE + 0x200), i);
		if (i > 20)
			CHECK_EQ("edge", call(to + 3 * PAGE - 3), i + 7);
		dst = to + 100;
		n = 4 * PAGE - 100;
		asm volatile("rep stosb"
			     : "+D"(dst), "+c"(n)
			     : "a"(0xc3)
			     : "memory");
		asm volatile("mov $77, %%eax; call *%1"
			     : "=&a"(n)
			     : "r"(to + PAGE + 0x200)
			     : "memory");
		CHECK_EQ("filled", n, 77);
	}
}

/* Data beside code: the page must stay right, and not be terribly slow. */
static void mixed_page(void)
{
	volatile u64 *data = (volatile u64 *)(code + 0x800);

	put_value(code, 7);
	*data = 0;
	for (int i = 0; i < 20000; i++) {
		*data += call(code);
		data[1] = i;
	}
	CHECK_EQ("sum", *data, 140000);
	put_value(code, 8);
	CHECK_EQ("patched", call(code), 8);
	/* Code whose own data lies right behind it. */
	memcpy(code, "\xff\x05\x01\x00\x00\x00\xc3\x00\x00\x00\x00", 11);
	for (int i = 0; i < 1000; i++)
		call(code);
	CHECK_EQ("counter", *(u32 *)(code + 7), 1000);
}

/* A write that begins in a data page and ends in the code page. */
static void crossing_write(void)
{
	u8 *edge = code + PAGE;

	for (u32 i = 0; i < 20; i++) {
		put_value(edge, 0x01010101);
		CHECK_EQ("before", call(edge), 0x01010101);
		*(volatile u64 *)(edge - 3) = 0x00b8000000ull | (u64)i << 32;
		CHECK_EQ("after", call(edge), i);
	}
	/* An instruction across the edge, its second page rewritten. */
	for (u32 i = 0; i < 20; i++) {
		put_value(edge - 2, 0x22222222);
		CHECK_EQ("split", call(edge - 2), 0x22222222);
		*(volatile u8 *)(edge + 1) = i;
		CHECK_EQ("split patched", call(edge - 2),
			 0x22002222 + (i << 16));
	}
}

/* Both ends of a direct jump are rewritten. */
static void chained_target(void)
{
	u8 *a = code, *b = code + 0x200, *c = code + 2 * PAGE;

	put_value(b, 1);
	put_value(c, 2);
	for (int i = 0; i < 20; i++) {
		*a = 0xe9;
		*(volatile u32 *)(a + 1) = (u32)(b - (a + 5));
		for (int k = 0; k < 3; k++)
			CHECK_EQ("to b", call(a), 1 + i);
		put_value(b, 2 + i);
		CHECK_EQ("b patched", call(a), 2 + i);
		*(volatile u32 *)(a + 1) = (u32)(c - (a + 5));
		for (int k = 0; k < 3; k++)
			CHECK_EQ("to c", call(a), 2 + i);
		put_value(c, 3 + i);
		CHECK_EQ("c patched", call(a), 3 + i);
	}
	put_value(c, 2);
}

/*
 * A block that is nothing but a jump goes, then the block it leads to; someone
 * still knows where the first one was.
 */
static void jump_alone(void)
{
	u8 *a = code + 0x40, *b = code + 0x80, *other = code + 0xc0;

	put_value(other, 9);
	for (u32 i = 0; i < 40; i++) {
		/* nop; jmp b */
		memcpy(a, "\x90\xe9\x00\x00\x00\x00", 6);
		*(volatile u32 *)(a + 2) = (u32)(b - (a + 6));
		put_value(b, i);
		for (int k = 0; k < 3; k++)
			CHECK_EQ("jump", call(a), i);
		*(volatile u8 *)a = 0xf8; /* clc */
		*(volatile u8 *)(b + 1) = 0x55;
		CHECK_EQ("both changed", call(a), (i & ~0xffu) | 0x55);
		CHECK_EQ("other", call(other), 9);
	}
}

/*
 * Data beside code, written so often that the page is treated otherwise; the
 * code must still be watched, in every way that it can be written.
 */
static void hot_page(void)
{
	volatile u32 *data = (volatile u32 *)(code + 0x800);

	for (u32 round = 0; round < 3; round++) {
		put_value(code, round);
		for (u32 i = 0; i < 5000; i++) {
			*data += call(code);
			data[i % 64] = i;
		}
		patch_value();
		change_length();
		patch_ahead();
		patch_in_loop();
		/* The page comes to rest and is left alone for a while. */
		put_value(code + 0x300, 77 + round);
		for (u32 i = 0; i < 300000; i++)
			if (call(code + 0x300) != 77 + round)
				test_fail("rest", i, round);
		put_value(code + 0x300, 5);
		CHECK_EQ("after rest", call(code + 0x300), 5);
	}
}

/* A page of code is filled with other code again and again. */
static void reuse(void)
{
	for (u32 round = 0; round < 5; round++) {
		for (u32 i = 0; i < PAGE / 16; i++)
			put_value(code + 16 * i, i ^ round);
		for (u32 i = 0; i < PAGE / 16; i++)
			CHECK_EQ("value", call(code + 16 * i), i ^ round);
	}
}

/* Many blocks: more code than a small cache holds, then all again. */
static void many_blocks(void)
{
	u8 *big = (u8 *)0x1000000;
	u64 sum = 0;

	for (u32 i = 0; i < 50000; i++)
		put_value(big + 32 * i, i);
	for (int k = 0; k < 2; k++)
		for (u32 i = 0; i < 50000; i++)
			sum += call(big + 32 * i);
	CHECK_EQ("sum", sum, 2ull * (49999ull * 50000 / 2));
}

/* The handler of an exception repairs the faulting code. */
static void on_ud(struct frame *f)
{
	memcpy((void *)f->ip, "\x90\x90", 2);
}

static void repair(void)
{
	trap_handler(X_UD, on_ud);
	for (int i = 0; i < 10; i++) {
		memcpy(code, "\xb8\x05\x00\x00\x00\x0f\x0b\xff\xc0\xc3", 10);
		CHECK_EQ("repaired", call(code), 6);
		CHECK_EQ("again", call(code), 6);
	}
	trap_handler(X_UD, NULL);
}

void guest_main(void)
{
	page = page_alloc();
	code = (u8 *)page_alloc();
	page_alloc();
	page_alloc();
	RUN(patch_value);
	RUN(change_length);
	RUN(patch_ahead);
	RUN(patch_in_loop);
	RUN(alias_write);
	RUN(string_writes);
	RUN(string_pages);
	RUN(mixed_page);
	RUN(crossing_write);
	RUN(chained_target);
	RUN(jump_alone);
	RUN(hot_page);
	RUN(reuse);
	RUN(many_blocks);
	RUN(repair);
}
