/*
 * Device memory and ports: every width and odd instruction forms on the test
 * device's storage (MMIO that must never be RAM), accesses that straddle RAM
 * and MMIO, the local APIC's page, port I/O in all widths, INS and OUTS with
 * REP, both directions.
 */
#include "test/guest/lib/apic.h"
#include "test/guest/lib/paging64.h"

#define MMIO 0xff000000ul
#define VA   (TEST_VA + 0x6000)

#define M64 (*(volatile u64 *)MMIO)
#define M32 (*(volatile u32 *)MMIO)

static u64 at(u64 off)
{
	return *(volatile u64 *)(MMIO + off);
}

static void widths(void)
{
	for (u64 off = 0; off < 24; off++) {
		u64 a = MMIO + off;

		M64 = 0;
		*(volatile u8 *)a = 0x11;
		CHECK_EQ("u8", *(volatile u8 *)a, 0x11);
		*(volatile u16 *)a = 0x2233;
		CHECK_EQ("u16", *(volatile u16 *)a, 0x2233);
		*(volatile u32 *)a = 0x44556677;
		CHECK_EQ("u32", *(volatile u32 *)a, 0x44556677);
		*(volatile u64 *)a = 0x8899aabbccddeeff;
		CHECK_EQ("u64", *(volatile u64 *)a, 0x8899aabbccddeeff);
		CHECK_EQ("bytes", *(volatile u8 *)(a + 7), 0x88);
	}
}

static void forms(void)
{
	u64 a = 0x1111, b, r10 = 0;

	M64 = 5;
	asm volatile("addq %1, (%0)" : : "r"(MMIO), "r"(a) : "memory", "cc");
	CHECK_EQ("add", at(0), 0x1116);
	asm volatile("add (%1), %0" : "+r"(a) : "r"(MMIO) : "cc");
	CHECK_EQ("add reg", a, 0x2227);
	asm volatile("subl $0x16, (%0)" : : "r"(MMIO) : "memory", "cc");
	CHECK_EQ("sub", at(0), 0x1100);
	asm volatile("xchg %0, (%1)" : "+r"(a) : "r"(MMIO) : "memory");
	CHECK_EQ("xchg", at(0), 0x2227);
	CHECK_EQ("xchg reg", a, 0x1100);
	asm volatile("movzbl 1(%1), %k0" : "=r"(b) : "r"(MMIO));
	CHECK_EQ("movzx", b, 0x22);
	*(volatile u8 *)(MMIO + 3) = 0x80;
	asm volatile("movslq (%1), %q0" : "=r"(b) : "r"(MMIO));
	CHECK_EQ("movsxd", b, 0xffffffff80002227);
	asm volatile("push (%1); pop %0" : "=r"(b) : "r"(MMIO) : "memory");
	CHECK_EQ("push", b, 0x80002227);
	asm volatile("push %1; pop 8(%0)"
		     :
		     : "r"(MMIO), "r"(0x778899ull)
		     : "memory");
	CHECK_EQ("pop", at(8), 0x778899);
	asm volatile("mov %1, %%r10; mov 8(%%r10), %%r10; mov %%r10, %0"
		     : "=r"(r10)
		     : "r"(MMIO)
		     : "r10");
	CHECK_EQ("r10", r10, 0x778899);
	asm volatile("incb (%0); decw 8(%0); notl 4(%0); negb 4(%0)"
		     :
		     : "r"(MMIO)
		     : "memory", "cc");
	CHECK_EQ("unary", at(0), 0xffffff0180002228);
	CHECK_EQ("decw", at(8), 0x778898);
	asm volatile("movb %%ah, 2(%0)" : : "r"(MMIO), "a"(0x5a00) : "memory");
	CHECK_EQ("ah", *(volatile u8 *)(MMIO + 2), 0x5a);
	asm volatile("mov 2(%1), %%ch; movzbl %%ch, %k0"
		     : "=a"(a)
		     : "d"(MMIO)
		     : "rcx");
	CHECK_EQ("ch", a & 0xff, 0x5a);
	asm volatile("movabs %%al, 0xff000000" : : "a"(0x66) : "memory");
	CHECK_EQ("moffs", *(volatile u8 *)MMIO, 0x66);
	asm volatile("movabs 0xff000008, %%rax" : "=a"(a));
	CHECK_EQ("moffs load", a, 0x778898);
}

static void more_forms(void)
{
	u64 a, b;

	*(volatile u64 *)(MMIO + 8) = 0x778898;
	M64 = 0xff;
	asm volatile("imul $3, (%1), %0" : "=r"(a) : "r"(MMIO) : "cc");
	CHECK_EQ("imul", a, 0x2fd);
	asm volatile("mulb (%1)" : "=a"(a) : "r"(MMIO), "0"(2) : "cc");
	CHECK_EQ("mul", a & 0xffff, 0x1fe);
	asm volatile("divl (%2)"
		     : "=a"(a), "=d"(b)
		     : "r"(MMIO), "0"(1000), "1"(0)
		     : "cc");
	CHECK_EQ("div", a, 3);
	CHECK_EQ("rem", b, 1000 - 3 * 255);
	asm volatile("shlq $4, (%0)" : : "r"(MMIO) : "memory", "cc");
	CHECK_EQ("shl", at(0), 0xff0);
	asm volatile("btsl $31, (%0)" : : "r"(MMIO) : "memory", "cc");
	CHECK_EQ("bts", at(0), 0x80000ff0);
	asm volatile("bts %1, (%0)" : : "r"(MMIO), "r"(65ull) : "memory", "cc");
	CHECK_EQ("bts reg", at(8), 0x77889a);
	asm volatile("cmovz (%1), %0" : "+r"(a) : "r"(MMIO));
	asm volatile("cmp %1, (%2); setz %b0"
		     : "=a"(a)
		     : "r"(0x80000ff0ull), "r"(MMIO)
		     : "cc");
	CHECK_EQ("cmp", a & 0xff, 1);
	asm volatile("testb $0xf0, (%1); setnz %b0"
		     : "=a"(a)
		     : "r"(MMIO)
		     : "cc");
	CHECK_EQ("test", a & 0xff, 1);
	asm volatile("clc; setc (%0)" : : "r"(MMIO) : "memory", "cc");
	CHECK_EQ("setc", at(0), 0x80000f00);
	asm volatile("bswap %0; xadd %0, (%1)"
		     : "+r"(a)
		     : "r"(MMIO)
		     : "memory", "cc");
	asm volatile("movnti %1, (%0)"
		     :
		     : "r"(MMIO), "r"(0x1234ull)
		     : "memory");
	CHECK_EQ("movnti", at(0), 0x1234);
}

static void locked(void)
{
	u64 old = 7;

	M64 = 7;
	asm volatile("lock incq (%0)" : : "r"(MMIO) : "memory", "cc");
	CHECK_EQ("inc", at(0), 8);
	asm volatile("lock xaddq %0, (%1)"
		     : "+r"(old)
		     : "r"(MMIO)
		     : "memory", "cc");
	CHECK_EQ("xadd", at(0), 15);
	CHECK_EQ("xadd old", old, 8);
	old = 15;
	asm volatile("lock cmpxchgq %1, (%2)"
		     : "+a"(old)
		     : "r"(99ull), "r"(MMIO)
		     : "memory", "cc");
	CHECK_EQ("cmpxchg", at(0), 99);
	old = 15;
	asm volatile("lock cmpxchgl %k1, (%2)"
		     : "+a"(old)
		     : "r"(1ull), "r"(MMIO)
		     : "memory", "cc");
	CHECK_EQ("cmpxchg old", old, 99);
	CHECK_EQ("cmpxchg no", at(0), 99);
	asm volatile("lock btsq $63, (%0)" : : "r"(MMIO) : "memory", "cc");
	CHECK_EQ("bts", at(0), BIT(63) | 99);
}

static void strings(void)
{
	static u8 ram[64];
	void *s = ram, *d = (void *)MMIO;
	u64 n = 5;

	for (int i = 0; i < 64; i++)
		ram[i] = i * 3;
	asm volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	CHECK_EQ("movsb", at(0) & 0xffffffffff, 0x0c09060300);
	CHECK_EQ("movsb di", d, MMIO + 5);
	s = (void *)MMIO, d = ram + 40, n = 2;
	asm volatile("rep movsw" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	CHECK_EQ("movsw", *(u32 *)(ram + 40), 0x09060300);
	s = (void *)MMIO, d = (void *)(MMIO + 0x100), n = 3;
	asm volatile("rep movsq" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	CHECK_EQ("mmio to mmio", at(0x100), at(0));
	d = (void *)(MMIO + 0x200), n = 4;
	asm volatile("rep stosl"
		     : "+D"(d), "+c"(n)
		     : "a"(0xa5a5a5a5)
		     : "memory");
	CHECK_EQ("stosl", at(0x208), 0xa5a5a5a5a5a5a5a5);
	u64 v = 0;

	s = (void *)(MMIO + 0x200);
	asm volatile("lodsb" : "+S"(s), "+a"(v));
	CHECK_EQ("lodsb", v, 0xa5);
	s = (void *)(MMIO + 0x200), d = (void *)(MMIO + 0x208), n = 8;
	asm volatile("repe cmpsb; setz %b0"
		     : "+a"(v), "+S"(s), "+D"(d), "+c"(n)
		     :
		     : "cc", "memory");
	CHECK_EQ("cmpsb", v & 0xff, 1);
	d = (void *)(MMIO + 0x200), n = 100;
	asm volatile("repne scasb"
		     : "+D"(d), "+c"(n)
		     : "a"(0)
		     : "cc", "memory");
	CHECK_EQ("scasb", d, MMIO + 0x211);
	s = ram + 20, d = (void *)(MMIO + 0x320), n = 3;
	asm volatile("std; rep movsb; cld"
		     : "+S"(s), "+D"(d), "+c"(n)
		     :
		     : "memory");
	CHECK_EQ("down", at(0x31e) & 0xffffff, 0x3c3936);
}

static void vectors(void)
{
	u64 v[2] = { 0x1122334455667788, 0x99aabbccddeeff00 }, w[2];

	asm volatile("movups %0, %%xmm1; movups %%xmm1, (%1)"
		     :
		     : "m"(v), "r"(MMIO)
		     : "memory");
	CHECK_EQ("movups low", at(0), v[0]);
	CHECK_EQ("movups high", at(8), v[1]);
	asm volatile("movups (%1), %%xmm2; movups %%xmm2, %0"
		     : "=m"(w)
		     : "r"(MMIO));
	CHECK_EQ("load low", w[0], v[0]);
	CHECK_EQ("load high", w[1], v[1]);
	asm volatile("movq (%1), %%xmm3; paddb %%xmm3, %%xmm3; movq %%xmm3, %0"
		     : "=m"(w)
		     : "r"(MMIO));
	CHECK_EQ("movq", w[0], 0x22446688aaccee10);
	asm volatile("movd (%1), %%xmm4; movd %%xmm4, %k0"
		     : "=r"(w[0])
		     : "r"(MMIO + 4));
	CHECK_EQ("movd", w[0], 0x11223344);
	M64 = 0x4000000000000000; /* 2.0 */
	asm volatile(
		"fldl (%1); fadd %%st(0); fstpl 8(%1); movq 8(%1), %%xmm0; "
		"movq %%xmm0, %0"
		: "=m"(w)
		: "r"(MMIO)
		: "memory");
	CHECK_EQ("x87", w[0], 0x4010000000000000);
}

/* Accesses whose one half is RAM and the other MMIO. */
static void straddle(void)
{
	u64 ram = page_alloc(), mark = VA + PAGE;

	map4k(VA, ram, PTE_P | PTE_W);
	map4k(VA + PAGE, MMIO, PTE_P | PTE_W);
	for (u64 a = mark - 7; a < mark; a++) {
		*(u64 *)(ram + 4088) = 0;
		M64 = 0;
		*(volatile u64 *)a = 0x1122334455667788;
		CHECK_EQ("write, read", *(volatile u64 *)a, 0x1122334455667788);
		CHECK_EQ("first byte", *(u8 *)(ram + (a & 4095)), 0x88);
		CHECK_EQ("last byte", *(volatile u8 *)(MMIO + (a + 7 - mark)),
			 0x11);
		asm volatile("addq $1, (%0)" : : "r"(a) : "memory", "cc");
		CHECK_EQ("rmw", *(volatile u64 *)a, 0x1122334455667789);
	}
	/* MMIO first, RAM behind it. */
	map4k(VA, MMIO + 0x1000, PTE_P | PTE_W);
	map4k(VA + PAGE, ram, PTE_P | PTE_W);
	*(volatile u32 *)(mark - 2) = 0xaabbccdd;
	CHECK_EQ("mmio half", *(volatile u16 *)(MMIO + 0x1ffe), 0xccdd);
	CHECK_EQ("ram half", *(u16 *)ram, 0xaabb);
	CHECK_EQ("read", *(volatile u32 *)(mark - 2), 0xaabbccdd);
	unmap4k(VA + PAGE);
	CHECK_EQ("absent",
		 TRY("movl $0, (%0)",
		     :
		     : "r"(mark - 2)
		     : "memory"),
		 X_PF);
	CHECK_EQ("cr2", trap.cr2, mark);
	CHECK_EQ("kept", *(volatile u16 *)(MMIO + 0x1ffe), 0xccdd);
}

/* The same code meets RAM and MMIO in turn. */
static __noinline void touch(volatile u64 *p, u64 v)
{
	*p += v;
}

static void alternate(void)
{
	static u64 ram;

	ram = M64 = 0;
	for (u64 i = 0; i < 100; i++) {
		touch(&ram, i);
		touch((volatile u64 *)MMIO, i);
	}
	CHECK_EQ("ram", ram, 4950);
	CHECK_EQ("mmio", at(0), 4950);
}

static void apic_page(void)
{
	u32 v = 0x30;

	apic_write(APIC_TPR, 0);
	asm volatile("movl %0, 0x80(%1)" : : "r"(v), "r"(APIC_BASE) : "memory");
	CHECK_EQ("tpr", apic_read(APIC_TPR), 0x30);
	asm volatile("addl $0x10, 0x80(%0)"
		     :
		     : "r"(APIC_BASE)
		     : "memory", "cc");
	CHECK_EQ("add", apic_read(APIC_TPR), 0x40);
	asm volatile("andl $0, 0x80(%0)" : : "r"(APIC_BASE) : "memory", "cc");
	CHECK_EQ("and", apic_read(APIC_TPR), 0);
	v = 0x20;
	asm volatile("xchg %k0, 0x80(%1)"
		     : "+r"(v)
		     : "r"(APIC_BASE)
		     : "memory");
	CHECK_EQ("xchg", apic_read(APIC_TPR), 0x20);
	apic_write(APIC_TPR, 0);
}

/* Nothing there: reads give ones, writes are lost. */
static void hole(void)
{
	volatile u32 *p = (volatile u32 *)0xe0000000ul;

	*p = 0x12345678;
	CHECK_EQ("hole", *p, 0xffffffff);
	CHECK_EQ("port", inb(0x5678), 0xff);
	CHECK_EQ("port 32", inl(0x5678), 0xffffffff);
}

/* Ports 0xe0 to 0xe3 are a register of four bytes. */
static void ports(void)
{
	outl(0xe0, 0x11223344);
	CHECK_EQ("inl", inl(0xe0), 0x11223344);
	CHECK_EQ("inb", inb(0xe0), 0x44);
	CHECK_EQ("inw", inw(0xe0), 0x3344);
	outb(0xe0, 0x99);
	CHECK_EQ("outb", inl(0xe0) & 0xff, 0x99);
	outw(0xe0, 0xaabb);
	CHECK_EQ("outw", inw(0xe0), 0xaabb);
	u64 a = 0x1122334455667788;

	asm volatile("inb $0xe0, %%al" : "+a"(a));
	CHECK_EQ("al only", a, 0x11223344556677bb);
	asm volatile("inw $0xe0, %%ax" : "+a"(a));
	CHECK_EQ("ax only", a, 0x112233445566aabb);
	asm volatile("inl $0xe0, %%eax" : "+a"(a));
	CHECK_EQ("eax zeroes", a >> 32, 0);
}

static void port_strings(void)
{
	static u8 buf[32];
	void *p = buf;
	u64 n = 4;

	outl(0xe0, 0x04030201);
	asm volatile("rep insb" : "+D"(p), "+c"(n) : "d"(0xe0) : "memory");
	CHECK_EQ("insb", *(u32 *)buf, 0x01010101);
	CHECK_EQ("insb di", p, buf + 4);
	CHECK_EQ("insb cx", n, 0);
	p = buf, n = 2;
	asm volatile("rep insl" : "+D"(p), "+c"(n) : "d"(0xe0) : "memory");
	CHECK_EQ("insl", *(u64 *)buf, 0x0403020104030201);
	p = buf, n = 3;
	memcpy(buf, "\x10\x20\x30\x40", 4);
	asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(0xe0) : "memory");
	CHECK_EQ("outsb", inb(0xe0), 0x30);
	CHECK_EQ("outsb si", p, buf + 3);
	p = buf + 2, n = 2;
	asm volatile("std; rep outsw; cld"
		     : "+S"(p), "+c"(n)
		     : "d"(0xe0)
		     : "memory");
	CHECK_EQ("outsw down", inw(0xe0), 0x2010);
	CHECK_EQ("outsw si", p, buf - 2);
	n = 0, p = buf;
	asm volatile("rep insb" : "+D"(p), "+c"(n) : "d"(0xe0) : "memory");
	CHECK_EQ("none", p, buf);
	/* Into a page that is absent: the count tells how far it got. */
	u64 ram = page_alloc();

	map4k(VA, ram, PTE_P | PTE_W);
	unmap4k(VA + PAGE);
	CHECK_EQ("insb fault",
		 TRY("rep insb",
		     :
		     : "D"(VA + PAGE - 3), "c"(8), "d"(0xe0)
		     : "memory"),
		 X_PF);
	CHECK_EQ("insb fault cx", trap.frame.cx, 5);
	CHECK_EQ("insb fault di", trap.frame.di, VA + PAGE);
	CHECK_EQ("outsb fault",
		 TRY("rep outsb",
		     :
		     : "S"(VA + PAGE - 3), "c"(8), "d"(0xe0)
		     : "memory"),
		 X_PF);
	CHECK_EQ("outsb fault cx", trap.frame.cx, 5);
	/* INS to MMIO. */
	p = (void *)MMIO, n = 4;
	outb(0xe0, 0x77);
	asm volatile("rep insb" : "+D"(p), "+c"(n) : "d"(0xe0) : "memory");
	CHECK_EQ("to mmio", M32, 0x77777777);
}

void guest_main(void)
{
	RUN(widths);
	RUN(forms);
	RUN(more_forms);
	RUN(locked);
	RUN(strings);
	RUN(vectors);
	RUN(straddle);
	RUN(alternate);
	RUN(apic_page);
	RUN(hole);
	RUN(ports);
	RUN(port_strings);
}
