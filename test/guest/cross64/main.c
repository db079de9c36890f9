/*
 * Accesses that cross a page, to physically scattered pages: data reads,
 * writes, read-modify-writes, pushes, string instructions and instruction
 * fetches; with the second page missing or read-only nothing of the first
 * page may change, and CR2 names the first byte of the second page.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/paging64.h"

#define VA   (TEST_VA + 0x5000)
#define EDGE (VA + PAGE)
#define RWU  (PTE_P | PTE_W | PTE_U)

static u64 first, second;

static void scatter(void)
{
	map4k(VA, first, RWU);
	map4k(EDGE, second, RWU);
	for (unsigned i = 0; i < PAGE; i++) {
		((u8 *)first)[i] = i * 7 + 1;
		((u8 *)second)[i] = i * 5 + 2;
	}
}

/* The bytes around the edge, as the physical pages hold them. */
static u64 bytes(u64 va, int n)
{
	u64 v = 0;

	for (int i = n - 1; i >= 0; i--) {
		u64 a = va + i;

		v = v << 8 | *(u8 *)(a < EDGE ? first + (a & 4095)
					      : second + (a & 4095));
	}
	return v;
}

#define EACH_CROSSING(size) for (u64 va = EDGE - (size) + 1; va < EDGE; va++)

static void reads(void)
{
	scatter();
	EACH_CROSSING(2)
	CHECK_EQ("u16", *(volatile u16 *)va, bytes(va, 2));
	EACH_CROSSING(4)
	CHECK_EQ("u32", *(volatile u32 *)va, bytes(va, 4));
	EACH_CROSSING(8)
	{
		u64 v, w;

		CHECK_EQ("u64", *(volatile u64 *)va, bytes(va, 8));
		asm volatile("mov %0, %%r10; mov (%%r10), %%r10; mov %%r10, %1"
			     :
			     : "r"(va), "m"(v)
			     : "r10", "memory");
		CHECK_EQ("r10", v, bytes(va, 8));
		asm volatile("push (%1); pop %0" : "=r"(w) : "r"(va));
		CHECK_EQ("push", w, bytes(va, 8));
		asm volatile("mov $1, %0; imul (%1), %0" : "=&r"(w) : "r"(va));
		CHECK_EQ("imul", w, bytes(va, 8));
		asm volatile("movswq (%1), %0" : "=r"(w) : "r"(EDGE - 1));
		CHECK_EQ("movsw", w, (s64)(s16)bytes(EDGE - 1, 2));
	}
	EACH_CROSSING(16)
	{
		u64 v[2];

		asm volatile("movups (%1), %%xmm0; movups %%xmm0, %0"
			     : "=m"(v)
			     : "r"(va)
			     : "memory");
		CHECK_EQ("low", v[0], bytes(va, 8));
		CHECK_EQ("high", v[1], bytes(va + 8, 8));
	}
}

static void writes(void)
{
	EACH_CROSSING(8)
	{
		scatter();
		*(volatile u64 *)va = 0x1122334455667788;
		CHECK_EQ("u64", bytes(va, 8), 0x1122334455667788);
		CHECK_EQ("before", bytes(va - 1, 1),
			 (u8)(((va - 1) & 4095) * 7 + 1));
		asm volatile("movl $0x99aabbcc, (%0)"
			     :
			     : "r"(EDGE - 3)
			     : "memory");
		CHECK_EQ("u32", bytes(EDGE - 3, 4), 0x99aabbcc);
		asm volatile("movw $0x1234, (%0)" : : "r"(EDGE - 1) : "memory");
		CHECK_EQ("u16", bytes(EDGE - 1, 2), 0x1234);
	}
	EACH_CROSSING(16)
	{
		u64 v[2] = { 0x1111222233334444, 0x5555666677778888 };

		scatter();
		asm volatile("movups %1, %%xmm0; movups %%xmm0, (%0)"
			     :
			     : "r"(va), "m"(v)
			     : "memory");
		CHECK_EQ("low", bytes(va, 8), v[0]);
		CHECK_EQ("high", bytes(va + 8, 8), v[1]);
	}
}

static bool has_avx(void)
{
	if (!(cpuid(1, 0).c & BIT(28)))
		return false;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
	return true;
}

/* @n bytes, the low ones of the pattern, to @va. */
static void store(u64 va, int n)
{
	static const u64 pattern[4] = { 0x8182838485868788, 0x9192939495969798,
					0xa1a2a3a4a5a6a7a8,
					0xb1b2b3b4b5b6b7b8 };

	switch (n) {
	case 2:
		asm volatile("movw %w1, (%0)" : : "r"(va), "r"(pattern[0]));
		return;
	case 4:
		asm volatile("movl %k1, (%0)" : : "r"(va), "r"(pattern[0]));
		return;
	case 8:
		asm volatile("mov %1, %%r15; stc; mov %%r15, (%0)"
			     :
			     : "r"(va), "r"(pattern[0])
			     : "r15", "cc");
		return;
	case 16:
		asm volatile("movups %1, %%xmm9; movups %%xmm9, (%0)"
			     :
			     : "r"(va), "m"(pattern));
		return;
	default:
		asm volatile("vmovups %1, %%ymm9; vmovups %%ymm9, (%0)"
			     :
			     : "r"(va), "m"(pattern));
	}
}

static u8 expected(u64 at, u64 va, int n)
{
	u64 k = at - va;

	if (k < (u64)n)
		return (0x80 + 0x10 * (k / 8)) + 8 - k % 8;
	return at < EDGE ? (at & 4095) * 7 + 1 : (at & 4095) * 5 + 2;
}

/* Writes change their own bytes and no other. */
static void no_other_byte(void)
{
	for (int n = 2; n <= (has_avx() ? 32 : 16); n *= 2)
		EACH_CROSSING(n)
	for (int again = 0; again < 2; again++) {
		scatter();
		store(va, n);
		for (u64 at = EDGE - 40; at < EDGE + 40; at++)
			CHECK_EQ("byte", bytes(at, 1), expected(at, va, n));
	}
}

/* A loop that carries flags over its accesses to @va. */
static u64 carry_loop(u64 va)
{
	u64 sum = 0;

	*(volatile u64 *)va = 5;
	asm volatile("mov $1000, %%ecx\n\t"
		     "clc\n"
		     "1: mov (%1), %%rax\n\t"
		     "adc $-3, %%rax\n\t"
		     "mov %%rax, (%1)\n\t"
		     "adc $0, %0\n\t"
		     "rcll (%1)\n\t"
		     "adc (%1), %0\n\t"
		     "dec %%ecx\n\t"
		     "jnz 1b"
		     : "+r"(sum)
		     : "r"(va)
		     : "rax", "rcx", "memory", "cc");
	return sum;
}

static void flags(void)
{
	scatter();
	EACH_CROSSING(8)
	CHECK_EQ("sum", carry_loop(va), carry_loop(VA + 8));
}

/* A write to code on both sides of the edge takes effect. */
static void code(void)
{
	for (u32 k = 0; k < 600; k++) {
		u64 v;

		if (!k)
			memcpy((void *)(EDGE - 3), "\xb8\0\0\0\0\xc3", 6);
		*(volatile u32 *)(EDGE - 2) = k * 0x01010101;
		asm volatile("call *%1" : "=a"(v) : "r"(EDGE - 3) : "memory");
		CHECK_EQ("value", v, k * 0x01010101);
	}
}

static void rmw(void)
{
	EACH_CROSSING(8)
	{
		u64 v, old = 5, f;

		scatter();
		v = bytes(va, 8);
		asm volatile("addq %1, (%0)"
			     :
			     : "r"(va), "r"(0xff01ull)
			     : "memory", "cc");
		CHECK_EQ("add", bytes(va, 8), v + 0xff01);
		asm volatile("stc; adcq $0, (%0)" : : "r"(va) : "memory", "cc");
		CHECK_EQ("adc", bytes(va, 8), v + 0xff02);
		asm volatile("lock xaddq %0, (%1)"
			     : "+r"(old)
			     : "r"(va)
			     : "memory", "cc");
		CHECK_EQ("xadd", bytes(va, 8), v + 0xff07);
		CHECK_EQ("xadd old", old, v + 0xff02);
		asm volatile("xchg %0, (%1)" : "+r"(old) : "r"(va) : "memory");
		CHECK_EQ("xchg", bytes(va, 8), v + 0xff02);
		CHECK_EQ("xchg old", old, v + 0xff07);
		f = v + 0xff02;
		asm volatile("lock cmpxchg %1, (%2)"
			     : "+a"(f)
			     : "r"(0x77ull), "r"(va)
			     : "memory", "cc");
		CHECK_EQ("cmpxchg", bytes(va, 8), 0x77);
		asm volatile("shlq $9, (%0); notq (%0); incq (%0)"
			     :
			     : "r"(va)
			     : "memory", "cc");
		CHECK_EQ("shl", bytes(va, 8), -0x77ull << 9);
		asm volatile("btsq $0, (%0)" : : "r"(va) : "memory", "cc");
		CHECK_EQ("bts", bytes(va, 8), (-0x77ull << 9) + 1);
	}
}

static void stack(void)
{
	for (int k = 1; k < 8; k++) {
		u64 sp = EDGE + k, out, got;

		scatter();
		asm volatile("mov %%rsp, %%rbx\n\t"
			     "mov %2, %%rsp\n\t"
			     "push %3\n\t"
			     "mov %%rsp, %0\n\t"
			     "pop %1\n\t"
			     "push %3\n\t"
			     "call 1f\n\t"
			     "jmp 2f\n"
			     "1: ret\n"
			     "2: pushfq\n\t"
			     "popfq\n\t"
			     "mov %%rbx, %%rsp"
			     : "=&r"(out), "=&r"(got)
			     : "r"(sp), "r"(0xabcdef0123456789)
			     : "rbx", "memory");
		CHECK_EQ("sp", out, sp - 8);
		CHECK_EQ("pushed", bytes(sp - 8, 8), 0xabcdef0123456789);
		CHECK_EQ("popped", got, 0xabcdef0123456789);
	}
}

/* Second page missing: a fault on it, and the first page as before. */
static void second_absent(void)
{
	EACH_CROSSING(8)
	{
		u64 v;

		scatter();
		v = bytes(va, 8);
		unmap4k(EDGE);
		CHECK_PF("read",
			 TRY("mov (%0), %%rax",
			     :
			     : "r"(va)
			     : "rax"),
			 0, EDGE);
		CHECK_PF("write",
			 TRY("movq $-1, (%0)",
			     :
			     : "r"(va)
			     : "memory"),
			 PF_W, EDGE);
		CHECK_EQ("unchanged", bytes(va, 8), v);
		CHECK_PF("rmw",
			 TRY("incq (%0)",
			     :
			     : "r"(va)
			     : "memory", "cc"),
			 PF_W, EDGE);
		CHECK_EQ("unchanged", bytes(va, 8), v);
		CHECK_PF("locked",
			 TRY("lock incq (%0)",
			     :
			     : "r"(va)
			     : "memory", "cc"),
			 PF_W, EDGE);
		CHECK_PF("sse",
			 TRY("movups %%xmm0, (%0)",
			     :
			     : "r"(va)
			     : "memory"),
			 PF_W, EDGE);
		CHECK_EQ("unchanged", bytes(va, 8), v);
		map4k(EDGE, second, PTE_P);
		CHECK_PF("ro",
			 TRY("movq $-1, (%0)",
			     :
			     : "r"(va)
			     : "memory"),
			 PF_P | PF_W, EDGE);
		CHECK_EQ("unchanged", bytes(va, 8), v);
		CHECK_PF("ro sse",
			 TRY("movups %%xmm0, (%0)",
			     :
			     : "r"(va)
			     : "memory"),
			 PF_P | PF_W, EDGE);
		CHECK_EQ("unchanged", bytes(va, 8), v);
		CHECK_OK("ro read", TRY("mov (%0), %%rax",
					:
					: "r"(va)
					: "rax"));
		CHECK_PF("user", run_user(user_read, EDGE), PF_P | PF_U, EDGE);
	}
}

static void first_absent(void)
{
	EACH_CROSSING(8)
	{
		u64 v;

		scatter();
		v = bytes(EDGE, 8);
		unmap4k(VA);
		CHECK_PF("read",
			 TRY("mov (%0), %%rax",
			     :
			     : "r"(va)
			     : "rax"),
			 0, va);
		CHECK_PF("write",
			 TRY("movq $-1, (%0)",
			     :
			     : "r"(va)
			     : "memory"),
			 PF_W, va);
		CHECK_EQ("unchanged", bytes(EDGE, 8), v);
		unmap4k(EDGE);
		CHECK_PF("both",
			 TRY("movq $-1, (%0)",
			     :
			     : "r"(va)
			     : "memory"),
			 PF_W, va);
	}
}

/* Ten bytes of a descriptor table's register. */
static void table_stores(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt, gdt;

	asm volatile("sidt %0; sgdt %1" : "=m"(idt), "=m"(gdt));
	CHECK_EQ("different", idt.base != gdt.base, 1);
	for (u64 va = EDGE - 12; va <= EDGE; va++) {
		u64 flags;

		scatter();
		asm volatile("stc; sidt (%1); pushf; pop %0"
			     : "=r"(flags)
			     : "r"(va)
			     : "memory", "cc");
		CHECK_EQ("cf", flags & FLAG_CF, FLAG_CF);
		CHECK_EQ("idt limit", bytes(va, 2), idt.limit);
		CHECK_EQ("idt base", bytes(va + 2, 8), idt.base);
		CHECK_EQ("before", bytes(va - 1, 1),
			 *(u8 *)(first + ((va - 1) & 4095)));
		asm volatile("sgdt (%0)" : : "r"(va) : "memory");
		CHECK_EQ("gdt limit", bytes(va, 2), gdt.limit);
		CHECK_EQ("gdt base", bytes(va + 2, 8), gdt.base);
	}
	EACH_CROSSING(10)
	{
		u64 v;

		scatter();
		v = bytes(va, 8);
		unmap4k(EDGE);
		CHECK_PF("absent",
			 TRY("sidt (%0)",
			     :
			     : "r"(va)
			     : "memory"),
			 PF_W, EDGE);
		CHECK_EQ("unchanged", bytes(va, 8), v);
	}
	unmap4k(VA);
	CHECK_PF("both", TRY("sgdt (%0)", : : "r"(VA) : "memory"), PF_W, VA);
	CHECK_EQ("not canonical",
		 TRY("sidt (%0)",
		     :
		     : "r"(BIT(63))
		     : "memory"),
		 X_GP);
}

/* A fault leaves registers and flags as they were before the instruction. */
static void precise(void)
{
	scatter();
	unmap4k(EDGE);
	CHECK_EQ("xadd",
		 TRY_AT("stc", "xadd %%rcx, (%0)",
			:
			: "r"(EDGE - 4), "c"(0x5678)
			: "memory", "cc"),
		 X_PF);
	CHECK_EQ("xadd cx", trap.frame.cx, 0x5678);
	CHECK_EQ("xadd cf", trap.frame.flags & FLAG_CF, FLAG_CF);
	CHECK_EQ("pop",
		 TRY_AT("push $77; mov %%rsp, %%rcx", "pop (%0)",
			:
			: "r"(EDGE - 4)
			: "rcx", "memory"),
		 X_PF);
	CHECK_EQ("pop sp", trap.frame.sp, trap.frame.cx);
	CHECK_EQ("xchg",
		 TRY("xchg %%rcx, (%0)",
		     :
		     : "r"(EDGE - 4), "c"(0x5678)
		     : "memory"),
		 X_PF);
	CHECK_EQ("xchg cx", trap.frame.cx, 0x5678);
	CHECK_EQ("cmpxchg",
		 TRY("cmpxchg %%rcx, (%0)",
		     :
		     : "r"(EDGE), "a"(1), "c"(2)
		     : "memory", "cc"),
		 X_PF);
	CHECK_EQ("cmpxchg ax", trap.frame.ax, 1);
	CHECK_EQ("call",
		 TRY_AT("mov %%rsp, %%rcx", "call *(%0)",
			:
			: "r"(EDGE - 4)
			: "rcx", "memory"),
		 X_PF);
	CHECK_EQ("call sp", trap.frame.sp, trap.frame.cx);
	CHECK_EQ("sub",
		 TRY_AT("clc", "sub (%0), %%rcx",
			:
			: "r"(EDGE), "c"(0)
			: "memory", "cc"),
		 X_PF);
	CHECK_EQ("sub cf", trap.frame.flags & FLAG_CF, 0);
}

/* REP: what was done stays done, the registers tell where it stopped. */
static void strings(void)
{
	u64 src = first + 0x800;

	scatter();
	unmap4k(EDGE);
	CHECK_OK("none", TRY("rep stosb; rep movsb",
			     :
			     : "a"(0x77), "c"(0), "D"(EDGE), "S"(EDGE)
			     : "memory"));
	CHECK_PF("stosb",
		 TRY("rep stosb",
		     :
		     : "a"(0x77), "c"(64), "D"(EDGE - 10)
		     : "memory"),
		 PF_W, EDGE);
	CHECK_EQ("stosb cx", trap.frame.cx, 54);
	CHECK_EQ("stosb di", trap.frame.di, EDGE);
	CHECK_EQ("stosb data", bytes(EDGE - 2, 2), 0x7777);
	CHECK_EQ("stosb rip", trap.frame.ip, trap.want);
	CHECK_PF("movsq",
		 TRY("rep movsq",
		     :
		     : "c"(9), "S"(src), "D"(EDGE - 20)
		     : "memory"),
		 PF_W, EDGE);
	CHECK_EQ("movsq cx", trap.frame.cx, 7);
	CHECK_EQ("movsq si", trap.frame.si, src + 16);
	CHECK_EQ("movsq di", trap.frame.di, EDGE - 4);
	CHECK_EQ("movsq data", bytes(EDGE - 20, 8), *(u64 *)src);
	CHECK_PF("movs read",
		 TRY("rep movsl",
		     :
		     : "c"(9), "S"(EDGE - 8), "D"(src)
		     : "memory"),
		 0, EDGE);
	CHECK_EQ("movs read cx", trap.frame.cx, 7);
	CHECK_EQ("movs read si", trap.frame.si, EDGE);
	CHECK_EQ("movs read di", trap.frame.di, src + 8);
	CHECK_PF("lods",
		 TRY("rep lodsw",
		     :
		     : "c"(9), "S"(EDGE - 6)
		     : "rax"),
		 0, EDGE);
	CHECK_EQ("lods cx", trap.frame.cx, 6);
	memset((void *)(first + 4000), 0, 96);
	CHECK_PF("scas",
		 TRY("repe scasb",
		     :
		     : "a"(0), "c"(900), "D"(EDGE - 96)
		     : "cc"),
		 0, EDGE);
	CHECK_EQ("scas cx", trap.frame.cx, 804);
	unmap4k(VA - PAGE);
	CHECK_PF("down",
		 TRY("std; rep stosl; cld",
		     :
		     : "a"(1), "c"(64), "D"(VA + 8)
		     : "memory"),
		 PF_W, VA - 4);
	CHECK_EQ("down cx", trap.frame.cx, 61);
	CHECK_EQ("down di", trap.frame.di, VA - 4);
}

#define SRC (EDGE + 4 * PAGE) /* the edge of two more pages */

static u8 source_byte(u64 at)
{
	return at * 11 + (at >> 8);
}

/* One REP MOVS (@fill 0) or STOS of @n elements. */
static void repeat(int size, bool fill, u64 from, u64 to, u64 n)
{
	u64 si = from, di = to, cx = n, ax = 0x0102030405060708;

#define REP(insn)                                                              \
	asm volatile("rep " insn                                               \
		     : "+S"(si), "+D"(di), "+c"(cx)                            \
		     : "a"(ax)                                                 \
		     : "memory")
	switch (size | fill) {
	case 2:
		REP("movsw");
		break;
	case 3:
		REP("stosw");
		break;
	case 4:
		REP("movsl");
		break;
	case 5:
		REP("stosl");
		break;
	case 8:
		REP("movsq");
		break;
	default:
		REP("stosq");
	}
	CHECK_EQ("cx", cx, 0);
	CHECK_EQ("di", di, to + n * size);
	CHECK_EQ("si", si, fill ? from : from + n * size);
	for (u64 at = to - 9; at < to + n * size + 9; at++) {
		u64 k = at - to;
		u8 old = at < EDGE ? (at & 4095) * 7 + 1 : (at & 4095) * 5 + 2;

		if (k >= n * size)
			CHECK_EQ("around", bytes(at, 1), old);
		else
			CHECK_EQ("byte", bytes(at, 1),
				 fill ? 8 - k % size : source_byte(from + k));
	}
}

/* Repeated instructions on pages that are all there. */
static void string_edges(void)
{
	map4k(SRC - PAGE, page_alloc(), RWU);
	map4k(SRC, page_alloc(), RWU);
	for (u64 at = SRC - PAGE; at < SRC + PAGE; at++)
		*(u8 *)at = source_byte(at);
	for (int size = 2; size <= 8; size *= 2)
		for (int d = 0; d < 40; d++)
			for (int s = 0; s < 40; s += 3) {
				scatter();
				repeat(size, false, SRC - s, EDGE - d, 4);
				scatter();
				repeat(size, true, SRC - s, EDGE - d, 4);
			}
	/* Operands that overlap: an element is read before it is written. */
	for (int d = 1; d < 12; d++) {
		u64 si = EDGE - 20, di = si + d, cx = 4, want[16];

		scatter();
		for (int k = 0; k < 60; k++)
			((u8 *)want)[k] = bytes(si + k, 1);
		for (int k = 0; k < 4; k++) {
			u64 v;

			memcpy(&v, (u8 *)want + 8 * k, 8);
			memcpy((u8 *)want + 8 * k + d, &v, 8);
		}
		asm volatile("rep movsq"
			     : "+S"(si), "+D"(di), "+c"(cx)
			     :
			     : "memory");
		for (int k = 0; k < 60; k++)
			CHECK_EQ("overlap", bytes(EDGE - 20 + k, 1),
				 ((u8 *)want)[k]);
	}
}

/* Code that lies across the edge: mov $imm64, %rax; ret. */
static void fetch(void)
{
	static const u8 code[] = { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xc3 };

	for (int k = 1; k < 11; k++) {
		u64 va = EDGE - k, v;

		scatter();
		memcpy((void *)va, code, sizeof(code));
		asm volatile("call *%1" : "=a"(v) : "r"(va) : "memory");
		CHECK_EQ("value", v, 0x0807060504030201);
		/* Another second half for the same address. */
		map4k(EDGE, first, RWU);
		memcpy((void *)first, (u8 *)second, 16);
		if (k < 10)
			*(u8 *)(first + (9 - k)) = 0x99;
		asm volatile("call *%1" : "=a"(v) : "r"(va) : "memory");
		CHECK_EQ("other", v >> 56, k < 10 ? 0x99 : 0x08);
		unmap4k(EDGE);
		CHECK_EQ("absent", try_call(va), X_PF);
		CHECK_EQ("absent cr2", trap.cr2, EDGE);
		CHECK_EQ("absent rip", trap.frame.ip, k < 10 ? va : EDGE);
		map4k(EDGE, second, RWU);
		asm volatile("call *%1" : "=a"(v) : "r"(va) : "memory");
		CHECK_EQ("back", v, 0x0807060504030201);
		map4k(EDGE, second, RWU | PTE_NX);
		CHECK_PF("nx", try_call(va), PF_P | PF_I, EDGE);
	}
}

/* A block that ends with its page falls through into the next page. */
static void fall_through(void)
{
	scatter();
	memset((void *)(EDGE - 64), 0x90, 64);
	memcpy((void *)EDGE, "\xb8\x11\x00\x00\x00\xc3", 6);
	for (int i = 0; i < 4; i++) {
		u64 v;

		*(u8 *)(second + 1) = 0x11;
		asm volatile("call *%1" : "=a"(v) : "r"(EDGE - 64) : "memory");
		CHECK_EQ("first", v, 0x11);
		map4k(EDGE, first, RWU);
		memcpy((void *)first, "\xb8\x22\x00\x00\x00\xc3", 6);
		asm volatile("call *%1" : "=a"(v) : "r"(EDGE - 64) : "memory");
		CHECK_EQ("remapped", v, 0x22);
		unmap4k(EDGE);
		CHECK_EQ("absent", try_call(EDGE - 64), X_PF);
		CHECK_EQ("absent rip", trap.frame.ip, EDGE);
		map4k(EDGE, second, RWU);
	}
}

/* 15 bytes are the longest instruction; the 16th byte is a #GP. */
static void longest(void)
{
	scatter();
	memset((void *)(EDGE - 7), 0x66, 14);
	*(u8 *)(EDGE + 7) = 0x90;
	*(u8 *)(EDGE + 8) = 0xc3;
	CHECK_OK("15 bytes", try_call(EDGE - 7));
	*(u8 *)(EDGE - 8) = 0x66;
	CHECK_EQ("16 bytes", try_call(EDGE - 8), X_GP);
	CHECK_EQ("16 bytes rip", trap.frame.ip, EDGE - 8);
	CHECK_EQ("16 bytes error", trap.error, 0);
}

/*
 * A loop over two pages that leaves no register to spare: the sum of @n
 * quadwords from @from and of 1 to 10 for each turn.
 */
u64 sum_busy(const u64 *from, u64 n);
asm(".globl sum_busy\n"
    "sum_busy:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsi, %rcx; mov %rdi, %rsi; xor %eax, %eax\n"
    "mov $1, %ebx; mov $2, %edx; mov $3, %edi; mov $4, %ebp; mov $5, %r8d\n"
    "mov $6, %r9d; mov $7, %r12d; mov $8, %r13d; mov $9, %r14d; mov $10, "
    "%r15d\n"
    "1: mov (%rsi), %r11\n"
    "add %r11, %rax; add %rbx, %rax; add %rdx, %rax; add %rdi, %rax\n"
    "add %rbp, %rax; add %r8, %rax; add %r9, %rax; add %r12, %rax\n"
    "add %r13, %rax; add %r14, %rax; add %r15, %rax\n"
    "add %rsp, %rax; sub %rsp, %rax\n"
    "add $8, %rsi; dec %rcx; jnz 1b\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");

static void busy_loop(void)
{
	const u64 *v = (const u64 *)VA;
	u64 sum = 0;

	scatter();
	for (unsigned n = 0; n < 2 * PAGE / 8; n++)
		sum += v[n] + 55;
	for (unsigned n = 0; n < 20; n++)
		CHECK_EQ("sum", sum_busy(v, 2 * PAGE / 8), sum);
}

void guest_main(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	page_alloc();
	first = page_alloc();
	page_alloc();
	second = page_alloc();
	RUN(reads);
	RUN(writes);
	RUN(no_other_byte);
	RUN(flags);
	RUN(code);
	RUN(rmw);
	RUN(stack);
	RUN(second_absent);
	RUN(first_absent);
	RUN(table_stores);
	RUN(precise);
	RUN(strings);
	RUN(string_edges);
	RUN(fetch);
	RUN(fall_through);
	RUN(longest);
	RUN(busy_loop);
}
