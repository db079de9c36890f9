/*
 * Real mode: segments times 16, 64 KiB wrap of 16-bit addresses, 32-bit
 * operands and addresses, INT and IRET through the table at 0, exceptions,
 * far calls, string instructions with overrides, A20, big ("unreal") segments
 * left over from protected mode, port I/O, HLT-less interrupts, loops.
 */
#include "test/guest/lib/trap.h"

struct state {
	u32 ax, cx, dx, bx, sp, bp, si, di;
	u16 es, ds, fs, gs, ss, pad;
	u32 flags;
};

extern u8 real_blob[], real_blob_end[];
extern const u32 real_at_state, real_at_vector, real_at_pushed, real_at_exit,
	real_at_stubs;
void real_call(void);

#define ST     (*(volatile struct state *)real_at_state)
#define VECTOR (*(volatile u16 *)real_at_vector)
#define PUSHED ((volatile u16 *)real_at_pushed)
#define CODE   ((u8 *)0x20000)
#define DATA   ((u8 *)0x30000)
#define EXTRA  ((u8 *)0x40000)
#define IVT    ((volatile u32 *)0)
enum { ENDED = 0x100 };

static struct state in;

static void set_up(const u8 *code, size_t n)
{
	memset(CODE, 0xcc, 512);
	memcpy(CODE + 0x10, code, n);
	/* ljmp $0, $real_exit */
	CODE[0x10 + n] = 0xea;
	*(u16 *)(CODE + 0x11 + n) = real_at_exit;
	*(u16 *)(CODE + 0x13 + n) = 0;
	for (unsigned i = 0; i < 256; i++)
		IVT[i] = real_at_stubs + 8 * i;
	ST.ax = in.ax;
	ST.cx = in.cx;
	ST.dx = in.dx;
	ST.bx = in.bx;
	ST.si = in.si;
	ST.di = in.di;
	ST.bp = in.bp;
	ST.sp = in.sp ? in.sp : 0x1000;
	ST.ds = 0x3000;
	ST.es = 0x4000;
	ST.fs = 0x5000;
	ST.gs = 0x6000;
	ST.ss = 0x3000;
	ST.flags = 2;
	real_call();
	memset(&in, 0, sizeof(in));
}

/* Runs 16-bit code in real mode; how it ended: ENDED or a vector. */
#define REAL(code)                                                             \
	({                                                                     \
		const u8 *a_, *b_;                                             \
		asm(".pushsection .rodata\n.code16\n773: " code                \
		    "\n774:\n.code32\n.popsection\n"                           \
		    "mov $773b, %0; mov $774b, %1"                             \
		    : "=r"(a_), "=r"(b_));                                     \
		set_up(a_, b_ - a_);                                           \
		VECTOR;                                                        \
	})

static void arithmetic(void)
{
	in.ax = 0x1234ffff;
	in.bx = 1;
	CHECK_EQ("end", REAL("add %%bx, %%ax; adc $0, %%cx; sbb %%dx, %%dx"),
		 ENDED);
	CHECK_EQ("ax", ST.ax, 0x12340000);
	CHECK_EQ("cx", ST.cx, 1);
	CHECK_EQ("dx", ST.dx, 0);
	in.ax = 0xffffffff;
	CHECK_EQ("end",
		 REAL("add $1, %%eax; adc $0, %%ecx; mov $0x12345678, %%ebx; "
		      "bswap %%ebx; imul $3, %%bx, %%dx"),
		 ENDED);
	CHECK_EQ("eax", ST.ax, 0);
	CHECK_EQ("ecx", ST.cx, 1);
	CHECK_EQ("ebx", ST.bx, 0x78563412);
	CHECK_EQ("dx", ST.dx, 0x3412 * 3 & 0xffff);
	in.ax = 0x9c;
	CHECK_EQ("daa", REAL("add $0x15, %%al; daa; aam; aad; cbw; cwde; cwd"),
		 ENDED);
	CHECK_EQ("loop",
		 REAL("mov $1000, %%cx; xor %%ax, %%ax; 1: add %%cx, %%ax; "
		      "loop 1b"),
		 ENDED);
	CHECK_EQ("sum", ST.ax, (u16)(1000 * 1001 / 2));
	CHECK_EQ("div",
		 REAL("mov $100, %%ax; mov $7, %%bl; div %%bl; "
		      "mov %%ax, %%cx; cwd; mov $9, %%si; div %%si"),
		 ENDED);
	CHECK_EQ("quotient", ST.cx, 0x020e);
}

static void addressing(void)
{
	for (u32 i = 0; i < 0x10000; i += 2)
		*(u16 *)(DATA + i) = i * 3;
	in.bx = 0x200, in.si = 0x30, in.di = 0x44, in.bp = 0x800;
	CHECK_EQ("forms",
		 REAL("mov (%%bx,%%si), %%ax; mov 4(%%bx,%%di), %%cx; "
		      "mov (%%bp,%%si), %%dx; push (%%di); pop 0x1234; "
		      "mov 0x7000(%%bx), %%bx"),
		 ENDED);
	CHECK_EQ("bx si", ST.ax, (u16)(0x230 * 3));
	CHECK_EQ("bx di", ST.cx, (u16)(0x248 * 3));
	CHECK_EQ("bp si", ST.dx, (u16)(0x830 * 3));
	CHECK_EQ("pop", *(u16 *)(DATA + 0x1234), 0x44 * 3);
	CHECK_EQ("disp", ST.bx, (u16)(0x7200 * 3));
	/* The sum wraps in 16 bits. */
	in.bx = 0xfff0, in.si = 0x20;
	CHECK_EQ("wrap", REAL("mov (%%bx,%%si), %%ax; mov 0x100(%%bx), %%cx"),
		 ENDED);
	CHECK_EQ("wrap ax", ST.ax, 0x30);
	CHECK_EQ("wrap cx", ST.cx, 0xf0 * 3);
	/* 32-bit addresses within the limit. */
	in.bx = 0x1000, in.cx = 0x40;
	CHECK_EQ("addr32",
		 REAL("mov 8(%%ebx,%%ecx,4), %%eax; lea (%%ebx,%%ecx), "
		      "%%edx"),
		 ENDED);
	CHECK_EQ("eax", ST.ax, *(u32 *)(DATA + 0x1108));
	CHECK_EQ("edx", ST.dx, 0x1040);
	/* Segment loads take effect at once: base = 16 * selector. */
	CHECK_EQ("es",
		 REAL("mov $0x3001, %%ax; mov %%ax, %%es; mov %%es:0x10, %%bx; "
		      "mov %%es, %%cx"),
		 ENDED);
	CHECK_EQ("es base", ST.bx, 0x20 * 3);
	CHECK_EQ("es value", ST.cx, 0x3001);
	CHECK_EQ("lds",
		 REAL("movw $0x10, 0x50; movw $0x3002, 0x52; lds 0x50, %%si; "
		      "mov (%%si), %%ax"),
		 ENDED);
	CHECK_EQ("lds value", ST.ax, 0x30 * 3);
	CHECK_EQ("lds ds", ST.ds, 0x3002);
	CHECK_EQ("cs data", REAL("mov %%cs:0x10, %%al; movb $5, %%cs:0x1ff"),
		 ENDED);
	CHECK_EQ("cs read", ST.ax & 0xff, CODE[0x10]);
	CHECK_EQ("cs write", CODE[0x1ff], 5);
	/* FFFF:0010 is 1 MiB, with A20 on. */
	CHECK_EQ("hma",
		 REAL("mov $0xffff, %%ax; mov %%ax, %%es; mov %%es:0x10, "
		      "%%bx"),
		 ENDED);
	CHECK_EQ("hma value", ST.bx, *(u16 *)0x100000);
}

static void limits(void)
{
	CHECK_EQ("word at ffff", REAL("mov $0xffff, %%bx; mov (%%bx), %%ax"),
		 X_GP);
	CHECK_EQ("ip", PUSHED[0], 0x13);
	CHECK_EQ("cs", PUSHED[1], 0x2000);
	CHECK_EQ("stack at ffff", REAL("mov $0xffff, %%bp; mov (%%bp), %%ax"),
		 X_SS);
	CHECK_EQ("addr32", REAL("mov $0x10000, %%ebx; mov (%%ebx), %%al"),
		 X_GP);
	CHECK_EQ("dword", REAL("mov $0xfffd, %%bx; mov (%%bx), %%eax"), X_GP);
	CHECK_EQ("byte", REAL("mov $0xffff, %%bx; mov (%%bx), %%al"), ENDED);
}

static void interrupts(void)
{
	CHECK_EQ("int", REAL("int $0x42"), 0x42);
	CHECK_EQ("ip", PUSHED[0], 0x12);
	CHECK_EQ("cs", PUSHED[1], 0x2000);
	CHECK_EQ("flags", PUSHED[2] & 0xfd5, 0);
	CHECK_EQ("sp", ST.sp, 0x1000 - 6);
	CHECK_EQ("if", REAL("sti; nop; int $0x42"), 0x42);
	CHECK_EQ("if saved", PUSHED[2] & FLAG_IF, FLAG_IF);
	CHECK_EQ("if clear", ST.flags & FLAG_IF, 0);
	CHECK_EQ("int3", REAL("int3"), X_BP);
	CHECK_EQ("int3 ip", PUSHED[0], 0x11);
	CHECK_EQ("into", REAL("mov $0x7f, %%al; inc %%al; into"), X_OF);
	CHECK_EQ("into not", REAL("xor %%ax, %%ax; into"), ENDED);
	CHECK_EQ("div", REAL("xor %%cx, %%cx; div %%cx"), X_DE);
	CHECK_EQ("div ip", PUSHED[0], 0x12);
	CHECK_EQ("ud2", REAL("ud2"), X_UD);
	CHECK_EQ("bound",
		 REAL("movw $1, 0x60; movw $5, 0x62; mov $7, %%ax; "
		      "bound %%ax, 0x60"),
		 X_BR);
	CHECK_EQ("lldt", REAL("lldt %%ax"), X_UD);
	CHECK_EQ("arpl", REAL("arpl %%ax, %%bx"), X_UD);
	CHECK_EQ("single step",
		 REAL("pushf; pop %%ax; or $0x100, %%ax; push %%ax; "
		      "popf; nop; nop"),
		 X_DB);
	CHECK_EQ("step ip", PUSHED[0], 0x18);
	/* A handler of the code's own, in the table. */
	CHECK_EQ("handler",
		 REAL("xor %%bx, %%bx; mov %%bx, %%es; "
		      "movw $1f - 773b + 0x10, %%es:0x108; mov %%cs, "
		      "%%es:0x10a; "
		      "stc; int $0x42; setc %%al; jmp 2f; "
		      "1: clc; inc %%bx; iret; 2: mov %%sp, %%cx"),
		 ENDED);
	CHECK_EQ("ran", ST.bx, 1);
	CHECK_EQ("flags back", ST.ax & 0xff, 1);
	CHECK_EQ("sp back", ST.cx, 0x1000);
}

static void transfers(void)
{
	CHECK_EQ("call", REAL("call 1f; jmp 2f; 1: inc %%ax; ret; 2:"), ENDED);
	CHECK_EQ("ax", ST.ax, 1);
	CHECK_EQ("far call",
		 REAL("push %%cs; call 1f; jmp 2f; 1: inc %%ax; lret; 2:"),
		 ENDED);
	CHECK_EQ("sp", ST.sp, 0x1000);
	CHECK_EQ("far jmp",
		 REAL("ljmp $0x2001, $1f - 773b; 1: mov %%cs, %%ax; "
		      "ljmp $0x2000, $2f - 773b + 0x10; 2:"),
		 ENDED);
	CHECK_EQ("cs", ST.ax, 0x2001);
	CHECK_EQ("far ptr",
		 REAL("movw $1f - 773b, 0x70; movw $0x2001, 0x72; "
		      "lcall *0x70; jmp 2f; 1: inc %%dx; lret; 2:"),
		 ENDED);
	CHECK_EQ("dx", ST.dx, 1);
	CHECK_EQ("data32 call",
		 REAL("data32 call 1f; jmp 2f; 1: mov %%sp, %%ax; "
		      "data32 ret; 2:"),
		 ENDED);
	CHECK_EQ("by four", ST.ax, 0xffc);
}

static void stack(void)
{
	in.ax = 0x11112222, in.sp = 0xabcd1000;
	CHECK_EQ("push",
		 REAL("push %%ax; push %%eax; push $-2; pushw $0x33; "
		      "mov %%esp, %%ebx"),
		 ENDED);
	CHECK_EQ("esp", ST.bx, 0xabcd1000 - 2 - 4 - 2 - 2);
	CHECK_EQ("eax", *(u32 *)(DATA + 0xffa), 0x11112222);
	in.sp = 2;
	CHECK_EQ("wrap",
		 REAL("push %%ax; push $0x77; mov %%sp, %%bx; pop %%cx; "
		      "pop %%dx; mov $0x1000, %%sp"),
		 ENDED);
	CHECK_EQ("wrapped", ST.bx, 0xfffe);
	CHECK_EQ("value", ST.cx, 0x77);
	CHECK_EQ("pusha",
		 REAL("mov $5, %%di; pusha; mov %%sp, %%bp; mov (%%bp), %%ax; "
		      "mov %%ax, 0x90; popa; pushal; popal; enter $8, $0; "
		      "leave"),
		 ENDED);
	CHECK_EQ("di", *(u16 *)(DATA + 0x90), 5);
	CHECK_EQ("popf", REAL("push $0x8d7; popf; lahf; seto %%al"), ENDED);
	CHECK_EQ("flags", ST.ax, 0xd701);
	CHECK_EQ("pop ss",
		 REAL("push $0x3001; pop %%ss; mov $0xff0, %%sp; "
		      "push $0x66; pop %%ax"),
		 ENDED);
	CHECK_EQ("ss", ST.ss, 0x3001);
}

static void strings(void)
{
	for (int i = 0; i < 256; i++)
		DATA[0x400 + i] = i;
	in.si = 0x400, in.di = 0x500, in.cx = 100;
	CHECK_EQ("movsb", REAL("cld; rep movsb"), ENDED);
	CHECK_EQ("copied", memcmp(EXTRA + 0x500, DATA + 0x400, 100), 0);
	CHECK_EQ("si", ST.si, 0x464);
	CHECK_EQ("cx", ST.cx, 0);
	in.si = 0x500, in.di = 0x600, in.cx = 10;
	CHECK_EQ("override", REAL("es rep movsw"), ENDED);
	CHECK_EQ("copied", memcmp(EXTRA + 0x600, EXTRA + 0x500, 20), 0);
	in.di = 0xfffe, in.ax = 0x1234, in.cx = 3;
	CHECK_EQ("stosw wraps", REAL("rep stosw"), ENDED);
	CHECK_EQ("di", ST.di, 4);
	CHECK_EQ("wrapped", *(u16 *)(EXTRA + 2), 0x1234);
	in.si = 0x400, in.cx = 0x12340002;
	CHECK_EQ("lodsl", REAL("rep lodsl"), ENDED);
	CHECK_EQ("cx keeps the upper half", ST.cx, 0x12340000);
	CHECK_EQ("eax", ST.ax, 0x07060504);
	in.di = 0x500, in.ax = 50, in.cx = 200;
	CHECK_EQ("scasb", REAL("repne scasb"), ENDED);
	CHECK_EQ("found", ST.di, 0x533);
	CHECK_EQ("insb",
		 REAL("mov $0xe0, %%dx; mov $0x55, %%al; out %%al, %%dx; "
		      "mov $0x700, %%di; mov $2, %%cx; rep insb"),
		 ENDED);
	CHECK_EQ("read", *(u16 *)(EXTRA + 0x700), 0x5555);
	in.si = 0x400, in.di = 0x500, in.cx = 4;
	CHECK_EQ("addr32", REAL("std; addr32 rep movsl; cld"), ENDED);
	CHECK_EQ("down", ST.si, 0x3f0);
}

/* Limits of 4 GiB, loaded in protected mode, stay in real mode. */
static void unreal(void)
{
	*(volatile u32 *)0x900000 = 0xfeedface;
	CHECK_EQ("run",
		 REAL("cli; mov %%cr0, %%eax; or $1, %%al; mov %%eax, %%cr0; "
		      "jmp 1f; "
		      "1: mov $0x18, %%bx; mov %%bx, %%fs; and $0xfe, %%al; "
		      "mov %%eax, %%cr0; jmp 2f; 2: xor %%bx, %%bx; mov %%bx, "
		      "%%fs; "
		      "mov $0x900000, %%esi; mov %%fs:(%%esi), %%ecx; "
		      "movl $0x12344321, %%fs:4(%%esi)"),
		 ENDED);
	CHECK_EQ("read", ST.cx, 0xfeedface);
	CHECK_EQ("written", *(volatile u32 *)0x900004, 0x12344321);
}

static void system(void)
{
	CHECK_EQ("cr0", REAL("mov %%cr0, %%eax; smsw %%bx"), ENDED);
	CHECK_EQ("pe", ST.ax & 1, 0);
	CHECK_EQ("smsw", ST.bx, ST.ax & 0xffff);
	CHECK_EQ("cpuid", REAL("xor %%eax, %%eax; cpuid; rdtsc"), ENDED);
	CHECK_EQ("sidt", REAL("sidt 0xa0; mov 0xa0, %%ax; mov 0xa2, %%ebx"),
		 ENDED);
	CHECK_EQ("limit", ST.ax & 0xffff, 0x3ff);
	CHECK_EQ("base", ST.bx, 0);
	/* A vector beyond the limit of the table. */
	CHECK_EQ("idt limit",
		 REAL("movw $0x7f, 0xb0; movl $0, 0xb2; lidt 0xb0; "
		      "int $0x42"),
		 X_GP);
	CHECK_EQ("ports",
		 REAL("mov $0x1122, %%ax; out %%ax, $0xe0; xor %%ax, %%ax; "
		      "in $0xe0, %%al; mov %%ax, %%bx; in $0xe1, %%al"),
		 ENDED);
	CHECK_EQ("low", ST.bx & 0xff, 0x22);
	CHECK_EQ("high", ST.ax & 0xff, 0x11);
}

void guest_main(void)
{
	memcpy((void *)0x7000, real_blob, real_blob_end - real_blob);
	gdt[SEL_FREE / 8] =
		DESC_P | DESC_S | DESC_TYPE(TYPE_XR) | DESC_LIMIT(0xffff);
	gdt[SEL_FREE / 8 + 1] =
		DESC_P | DESC_S | DESC_TYPE(TYPE_RW) | DESC_LIMIT(0xffff);
	RUN(arithmetic);
	RUN(addressing);
	RUN(limits);
	RUN(interrupts);
	RUN(transfers);
	RUN(stack);
	RUN(strings);
	RUN(unreal);
	RUN(system);
}
