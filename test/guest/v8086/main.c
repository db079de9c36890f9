/*
 * Virtual-8086 mode: entering by IRET, segments as in real mode with limits of
 * 64 KiB, the stack frame of an exit, IOPL-sensitive instructions, I/O through
 * the bitmap, INT n, instructions that are privileged there.
 */
#include "test/guest/lib/trap.h"

#define CODE_SEG 0x2000
#define DATA_SEG 0x3000
#define CODE	 ((u8 *)(CODE_SEG * 16))
#define DATA	 ((u8 *)(DATA_SEG * 16))

void enter_vm86(u32 ip, u32 flags);
extern word user_saved_sp;
asm(".text\n"
    "enter_vm86:\n"
    "	push %ebx\n"
    "	push %ebp\n"
    "	push %esi\n"
    "	push %edi\n"
    "	pushf\n"
    "	mov 24(%esp), %eax\n"
    "	mov 28(%esp), %edx\n"
    "	mov %esp, user_saved_sp\n"
    "	push $0x6000\n" /* gs */
    "	push $0x5000\n" /* fs */
    "	push $0x3000\n" /* ds */
    "	push $0x4000\n" /* es */
    "	push $0x3000\n" /* ss */
    "	push $0x1000\n" /* esp */
    "	push %edx\n"
    "	push $0x2000\n" /* cs */
    "	push %eax\n"
    "	iret\n");

#define CODE16(code)                                                           \
	({                                                                     \
		const u8 *a_, *b_;                                             \
		asm(".pushsection .rodata\n.code16\n773: " code                \
		    "\nint $0x80\n774:\n.code32\n.popsection\n"                \
		    "mov $773b, %0; mov $774b, %1"                             \
		    : "=r"(a_), "=r"(b_));                                     \
		memset(CODE, 0xf4, 256);                                       \
		memcpy(CODE + 0x10, a_, b_ - a_);                              \
	})

static u32 iopl = 3;

/* Runs the code until its first trap; the vector. */
#define VM(code)                                                               \
	({                                                                     \
		CODE16(code);                                                  \
		trap_clear();                                                  \
		enter_vm86(0x10, FLAG_VM | iopl << 12 | 2);                    \
		trap.vector;                                                   \
	})
#define CHECK_VM(what, vec, want, want_ip)                                     \
	do {                                                                   \
		CHECK_EQ(what, vec, want);                                     \
		CHECK_EQ(what " ip", trap.frame.ip, want_ip);                  \
	} while (0)

static void frame(void)
{
	CHECK_VM("vector", VM("nop; mov $0x1234, %%ax"), V_USER,
		 0x10 + 1 + 3 + 2);
	CHECK_EQ("ax", trap.frame.ax & 0xffff, 0x1234);
	CHECK_EQ("cs", trap.frame.cs, CODE_SEG);
	CHECK_EQ("ss", trap.frame.ss, DATA_SEG);
	CHECK_EQ("sp", trap.frame.sp, 0x1000);
	CHECK_EQ("es", trap.frame.vm_es, 0x4000);
	CHECK_EQ("ds", trap.frame.vm_ds, DATA_SEG);
	CHECK_EQ("fs", trap.frame.vm_fs, 0x5000);
	CHECK_EQ("gs", trap.frame.vm_gs, 0x6000);
	CHECK_EQ("vm", trap.frame.flags & FLAG_VM, FLAG_VM);
	CHECK_EQ("handler flags", trap.handler_flags & FLAG_VM, 0);
	CHECK_EQ("handler cs", trap.handler_cs, SEL_CODE);
}

static void memory(void)
{
	*(u16 *)(DATA + 0x200) = 0xbeef;
	*(u16 *)(u8 *)(0x40000 + 0x200) = 0xcafe;
	CHECK_EQ("run",
		 VM("mov 0x200, %%ax; mov %%es:0x200, %%bx; "
		    "mov $0x200, %%si; mov (%%si), %%cx; "
		    "movw $0x7788, 0x300; push $0x99; mov %%sp, %%dx; "
		    "mov $0x1ff, %%bp; mov 1(%%bp), %%di"),
		 V_USER);
	CHECK_EQ("ds", trap.frame.ax & 0xffff, 0xbeef);
	CHECK_EQ("es", trap.frame.bx & 0xffff, 0xcafe);
	CHECK_EQ("si", trap.frame.cx & 0xffff, 0xbeef);
	CHECK_EQ("stored", *(u16 *)(DATA + 0x300), 0x7788);
	CHECK_EQ("sp", trap.frame.dx & 0xffff, 0xffe);
	CHECK_EQ("bp", trap.frame.di & 0xffff, 0xbeef);
	/* Loading a segment register: base is the selector times 16. */
	CHECK_EQ("load",
		 VM("mov $0x3010, %%ax; mov %%ax, %%fs; mov %%fs:0x100, "
		    "%%bx"),
		 V_USER);
	CHECK_EQ("fs", trap.frame.bx & 0xffff, 0xbeef);
	CHECK_EQ("frame fs", trap.frame.vm_fs, 0x3010);
	/* Offsets wrap in 16 bits; a 32-bit offset beyond 64 KiB faults. */
	CHECK_EQ("wrap", VM("mov $0xffff, %%si; mov 0x201(%%si), %%ax"),
		 V_USER);
	CHECK_EQ("wrap value", trap.frame.ax & 0xffff, 0xbeef);
	CHECK_VM("limit", VM("mov $0x10000, %%esi; addr32 mov (%%esi), %%ax"),
		 X_GP, 0x16);
	CHECK_VM("straddle", VM("mov $0xffff, %%si; mov (%%si), %%ax"), X_GP,
		 0x13);
	CHECK_EQ("far jmp", VM("ljmp $0x2001, $5; 1: nop"), V_USER);
	CHECK_EQ("cs", trap.frame.cs, 0x2001);
}

static void sensitive(void)
{
	iopl = 3;
	CHECK_EQ("cli", VM("cli; sti; pushf; popf; cli"), V_USER);
	CHECK_EQ("pushf", VM("pushf; pop %%ax"), V_USER);
	CHECK_EQ("int 0x80", VM("int $0x80"), V_USER);
	CHECK_EQ("int 0x81", VM("int $0x81"), X_GP);
	CHECK_EQ("int 0x81 error", trap.error, 0x81 * 8 + 2);
	CHECK_EQ("int3", VM("int3"), X_BP);
	CHECK_EQ("iret",
		 VM("pushf; push %%cs; push $1f - 773b + 0x10; iret; hlt; "
		    "1:"),
		 V_USER);
	iopl = 0;
	CHECK_VM("cli 0", VM("cli"), X_GP, 0x10);
	CHECK_EQ("error", trap.error, 0);
	CHECK_VM("sti 0", VM("sti"), X_GP, 0x10);
	CHECK_VM("pushf 0", VM("pushf"), X_GP, 0x10);
	CHECK_VM("popf 0", VM("popf"), X_GP, 0x10);
	CHECK_VM("iret 0", VM("iret"), X_GP, 0x10);
	CHECK_VM("int 0", VM("int $0x80"), X_GP, 0x10);
	CHECK_EQ("int error", trap.error, 0);
	CHECK_EQ("int3 0", VM("int3"), X_BP);
	CHECK_VM("hlt 0", VM("hlt"), X_GP, 0x10);
	iopl = 3;
	CHECK_VM("hlt", VM("hlt"), X_GP, 0x10);
	CHECK_VM("cr0", VM("mov %%cr0, %%eax"), X_GP, 0x10);
	CHECK_VM("lgdt", VM("lgdtl 0x100"), X_GP, 0x10);
	CHECK_VM("lldt", VM("lldt %%ax"), X_UD, 0x10);
	CHECK_VM("lar", VM("lar %%ax, %%bx"), X_UD, 0x10);
	CHECK_VM("arpl", VM("arpl %%ax, %%bx"), X_UD, 0x10);
	CHECK_VM("ud2", VM("ud2"), X_UD, 0x10);
	CHECK_EQ("smsw", VM("smsw %%ax"), V_USER);
	CHECK_EQ("de", VM("xor %%cx, %%cx; div %%cx"), X_DE);
}

/* Ports go through the bitmap whatever IOPL says. */
static void ports(void)
{
	u8 *map = tss_iomap();

	iopl = 3;
	CHECK_VM("closed", VM("in $0x80, %%al"), X_GP, 0x10);
	map[0x80 / 8] = 0xfe;
	CHECK_EQ("open", VM("in $0x80, %%al"), V_USER);
	CHECK_EQ("word", VM("in $0x80, %%ax"), X_GP);
	map[0x80 / 8] = 0xff;
}

static void strings(void)
{
	memcpy(DATA + 0x400, "abcdefgh", 8);
	CHECK_EQ("movs",
		 VM("cld; mov $0x400, %%si; mov $0x500, %%di; mov $8, %%cx; "
		    "rep movsb"),
		 V_USER);
	CHECK_EQ("copied", memcmp((u8 *)0x40500, "abcdefgh", 8), 0);
	CHECK_EQ("si", trap.frame.si & 0xffff, 0x408);
	CHECK_EQ("loop",
		 VM("mov $1000, %%cx; xor %%ax, %%ax; 1: add %%cx, %%ax; "
		    "loop 1b"),
		 V_USER);
	CHECK_EQ("sum", trap.frame.ax & 0xffff, (u16)(1000 * 1001 / 2));
	CHECK_EQ("32",
		 VM("mov $0x12345678, %%eax; bswap %%eax; call 1f; jmp 2f; "
		    "1: inc %%eax; ret; 2:"),
		 V_USER);
	CHECK_EQ("eax", trap.frame.ax, 0x78563413);
}

void guest_main(void)
{
	RUN(frame);
	RUN(memory);
	RUN(sensitive);
	RUN(ports);
	RUN(strings);
}
