/*
 * 16-bit protected mode: 16-bit code and stack segments under a 32-bit kernel,
 * addresses that wrap at 64 KiB, 16-bit interrupt and call gates, a 16-bit
 * task state segment.
 */
#include "test/guest/lib/trap.h"

#define S_CODE SEL_FREE
#define S_DATA (SEL_FREE + 8)
#define S_GATE (SEL_FREE + 16)
#define S_TSS  (SEL_FREE + 24)

static u8 code[4096] __attribute__((aligned(16)));
static u8 data[0x10010] __attribute__((aligned(16)));
static struct {
	u32 ax, bx, cx, dx;
} out;

/* Calls @n bytes of 16-bit code with DS = ES = the 64 KiB data segment. */
static void call16(const u8 *p, const u8 *end, u32 ax, u32 bx)
{
	memset(code, 0xcc, 256);
	memcpy(code + 0x10, p, end - p);
	code[0x10 + (end - p)] = 0x66; /* data32 lret */
	code[0x11 + (end - p)] = 0xcb;
	asm volatile("push %%ebp; push %%ds; push %%es\n\t"
		     "mov %4, %%ds; mov %4, %%es\n\t"
		     "lcall %5, $0x10\n\t"
		     "pop %%es; pop %%ds; pop %%ebp"
		     : "+a"(ax), "+b"(bx), "=c"(out.cx), "=d"(out.dx)
		     : "S"(S_DATA), "i"(S_CODE)
		     : "edi", "memory", "cc");
	out.ax = ax;
	out.bx = bx;
}

#define RUN16(text, ax, bx)                                                    \
	({                                                                     \
		const u8 *a_, *b_;                                             \
		asm(".pushsection .rodata\n.code16\n773: " text                \
		    "\n774:\n.code32\n.popsection\n"                           \
		    "mov $773b, %0; mov $774b, %1"                             \
		    : "=r"(a_), "=r"(b_));                                     \
		call16(a_, b_, ax, bx);                                        \
	})

static void set_up(void)
{
	gdt[S_CODE / 8] = DESC_P | DESC_S | DESC_TYPE(TYPE_XR) |
			  DESC_BASE((word)code) | DESC_LIMIT(0xffff);
	gdt[S_DATA / 8] = DESC_P | DESC_S | DESC_TYPE(TYPE_RW) |
			  DESC_BASE((word)data) | DESC_LIMIT(0xffff);
}

static void basics(void)
{
	set_up();
	RUN16("add %%bx, %%ax; mov %%cs, %%cx; mov %%sp, %%dx", 0x1234ffff, 1);
	CHECK_EQ("ax", out.ax, 0x12340000);
	CHECK_EQ("cs", out.cx & 0xffff, S_CODE);
	*(u16 *)(data + 0x100) = 0xbeef;
	*(u16 *)data = 0xcafe;
	RUN16("mov 0x100, %%ax; mov $0x0e, %%di; mov 0xf2(%%bx,%%di), %%cx; "
	      "mov $0xfff2, %%di; mov 0x0e(%%di), %%dx",
	      0, 0);
	CHECK_EQ("disp16", out.ax, 0xbeef);
	CHECK_EQ("bx di", out.cx & 0xffff, 0xbeef);
	CHECK_EQ("wrap", out.dx & 0xffff, 0xcafe);
	RUN16("mov $0x100, %%ebx; mov (%%ebx), %%eax; lea 5(%%bx,%%si), %%ecx; "
	      "call 1f; jmp 2f; 1: inc %%dx; ret; 2:",
	      0, 0);
	CHECK_EQ("32-bit operands", out.ax & 0xffff, 0xbeef);
	RUN16("mov $100, %%cx; xor %%ax, %%ax; 1: add %%cx, %%ax; loop 1b; "
	      "pushf; pop %%dx; push %%ax; pop %%bx",
	      0, 0);
	CHECK_EQ("loop", out.bx & 0xffff, 5050);
	RUN16("cld; mov $0x200, %%di; mov $0x55aa, %%ax; mov $4, %%cx; rep "
	      "stosw",
	      0, 0);
	CHECK_EQ("stos", *(u16 *)(data + 0x206), 0x55aa);
}

static void limits(void)
{
	set_up();
	gdt[S_DATA / 8] = DESC_P | DESC_S | DESC_TYPE(TYPE_RW) |
			  DESC_BASE((word)data) | DESC_LIMIT(0xff);
	write_fs(S_DATA);
	CHECK_TRAP("limit",
		   TRY("addr16 mov %%fs:0xff, %%ax",
		       :
		       :
		       : "eax"),
		   X_GP, 0);
	CHECK_EQ("inside",
		 TRY("addr16 mov %%fs:0xfe, %%ax",
		     :
		     :
		     : "eax"),
		 NO_TRAP);
	write_fs(SEL_DATA);
}

/* A 16-bit interrupt gate pushes words and clears the upper half of EIP. */
volatile u32 seen_frame[2], seen_sp;
extern u8 int16_entry[];
asm(".text\n"
    "int16_entry:\n"
    "	mov %esp, %ss:seen_sp\n"
    "	push %eax\n"
    "	mov 4(%esp), %eax\n"
    "	mov %eax, %ss:seen_frame\n"
    "	mov 8(%esp), %eax\n"
    "	mov %eax, %ss:seen_frame + 4\n"
    "	pop %eax\n"
    "	iretw\n");

static void int16_gate(void)
{
	u32 sp;

	set_up();
	/* The handler's code segment must cover it with a 16-bit offset. */
	gdt[S_GATE / 8] = DESC_P | DESC_S | DESC_DB | DESC_TYPE(TYPE_XR) |
			  DESC_BASE((word)int16_entry) | DESC_LIMIT(0xff);
	idt[0x91] = gate_make(S_GATE, 0, TYPE_INT16, 0, 0);
	/* IRETW pops a 16-bit IP: run the INT from 16-bit code. */
	RUN16("mov %%esp, %%eax; stc; int $0x91; setc %%bl; mov %%esp, %%edx",
	      0, 0);
	sp = out.ax;
	CHECK_EQ("pushed six bytes", sp - seen_sp, 6);
	CHECK_EQ("ip", seen_frame[0] & 0xffff, 0x10 + 3 + 1 + 2);
	CHECK_EQ("cs", seen_frame[0] >> 16, S_CODE);
	CHECK_EQ("flags", seen_frame[1] & 0xc1, 0x01);
	CHECK_EQ("cf back", out.bx & 0xff, 1);
	CHECK_EQ("sp back", out.dx, sp);
}

/* A 16-bit call gate: two words on the stack. */
extern u8 gate16_entry[];
asm(".text\n"
    "gate16_entry:\n"
    "	mov %esp, %ss:seen_sp\n"
    "	mov (%esp), %ebx\n"
    "	lretw\n");

static void call16_gate(void)
{
	set_up();
	gdt[S_GATE / 8] = DESC_P | DESC_S | DESC_DB | DESC_TYPE(TYPE_XR) |
			  DESC_BASE((word)gate16_entry) | DESC_LIMIT(0xff);
	gdt[S_TSS / 8] = (u64)S_GATE << 16 | DESC_TYPE(TYPE_CALL16) | DESC_P;
	RUN16("mov %%esp, %%eax; lcall $0x68, $0; mov %%esp, %%edx", 0, 0);
	CHECK_EQ("pushed four bytes", out.ax - seen_sp, 4);
	CHECK_EQ("ip", out.bx & 0xffff, 0x10 + 3 + 5);
	CHECK_EQ("cs", out.bx >> 16, S_CODE);
	CHECK_EQ("sp back", out.dx, out.ax);
}

/* A task switch to a 16-bit TSS and back. */
struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags;
	u16 ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};
static struct tss16 task;
static u8 task_stack[512] __attribute__((aligned(16)));
volatile u32 task_ran, task_ax;
extern u8 task16_entry[];
asm(".text\n"
    "task16_entry:\n"
    "	incl task_ran\n"
    "	mov %eax, task_ax\n"
    "	iret\n"
    "	jmp task16_entry\n");

static void tss16(void)
{
	gdt[S_GATE / 8] = DESC_P | DESC_S | DESC_DB | DESC_TYPE(TYPE_XR) |
			  DESC_BASE((word)task16_entry) | DESC_LIMIT(0xff);
	gdt[S_DATA / 8] = DESC_P | DESC_S | DESC_DB | DESC_TYPE(TYPE_RW) |
			  DESC_BASE((word)task_stack) | DESC_LIMIT(0x1ff);
	memset(&task, 0, sizeof(task));
	task.cs = S_GATE;
	task.ss = S_DATA;
	task.sp = sizeof(task_stack);
	task.ds = task.es = SEL_DATA;
	task.flags = 2;
	task.ax = 0x4321;
	gdt_system(S_TSS, (word)&task, sizeof(task) - 1, TYPE_TSS16, 0);
	task_ran = 0;
	asm volatile("push %%ebp; lcall $0x68, $0; pop %%ebp"
		     :
		     :
		     : "eax", "ebx", "ecx", "edx", "esi", "edi", "memory",
		       "cc");
	CHECK_EQ("ran", task_ran, 1);
	CHECK_EQ("ax", task_ax & 0xffff, 0x4321);
	CHECK_EQ("link", task.link, SEL_TSS);
	CHECK_EQ("free", gdt[S_TSS / 8] >> 40 & 0x1f, TYPE_TSS16);
	CHECK_EQ("back", str(), SEL_TSS);
	write_cr0(read_cr0() & ~CR0_TS);
}

void guest_main(void)
{
	RUN(basics);
	RUN(limits);
	RUN(int16_gate);
	RUN(call16_gate);
	RUN(tss16);
}
