/*
 * Task switches in 32-bit mode: JMP and CALL to a TSS and through a task gate,
 * IRET with NT, interrupts through a task gate; busy bits, back links, saved
 * and loaded registers, CR3, LDT, CR0.TS, and the #TS, #NP and #GP cases.
 */
#include "test/guest/lib/trap.h"

#define S_TSS  SEL_FREE
#define S_GATE (SEL_FREE + 16)

static struct tss32 other;
static u8 stack[4096] __attribute__((aligned(16)));
volatile u32 runs, seen_flags, seen_esp, seen_task, seen_regs[4], leave_by;

static unsigned type_of(unsigned sel)
{
	return gdt[sel / 8] >> 40 & 0x1f;
}

/* The body of the other task; it goes back and is resumed where it left. */
extern u8 task_entry[];
asm(".text\n"
    "task_entry:\n"
    "	mov %ebx, seen_regs\n"
    "	mov %edi, seen_regs + 4\n"
    "	mov %ebp, seen_regs + 8\n"
    "	mov %esp, seen_esp\n"
    "	pushf\n"
    "	popl seen_flags\n"
    "	str %ax\n"
    "	movzwl %ax, %eax\n"
    "	mov %eax, seen_task\n"
    "	incl runs\n"
    "	mov $0x600d, %ecx\n"
    "	cmpl $0, leave_by\n"
    "	jne 1f\n"
    "	iret\n"
    "	jmp task_entry\n"
    "1:	ljmp $0x40, $0\n"
    "	jmp task_entry\n");

static void fill(struct tss32 *t)
{
	memset(t, 0, sizeof(*t));
	t->eip = (word)task_entry;
	t->esp = (word)stack + sizeof(stack);
	t->eflags = 2;
	t->cs = SEL_CODE;
	t->ds = t->es = t->ss = t->fs = t->gs = SEL_DATA;
	t->ebx = 0x11111111;
	t->edi = 0x22222222;
	t->ebp = 0x33333333;
	t->iomap = sizeof(*t);
	gdt_system(S_TSS, (word)t, sizeof(*t) - 1, TYPE_TSS, 0);
	runs = 0;
	write_cr0(read_cr0() & ~CR0_TS);
}

/* A switch clobbers what the other task leaves: nothing, but say so. */
#define SWITCH(insn)                                                           \
	asm volatile("push %%ebp; mov $0x5555, %%ebx; " insn "; pop %%ebp"     \
		     :                                                         \
		     :                                                         \
		     : "eax", "ebx", "ecx", "edx", "esi", "edi", "memory",     \
		       "cc")

static void call_task(void)
{
	fill(&other);
	leave_by = 0;
	SWITCH("lcall $0x50, $0");
	CHECK_EQ("ran", runs, 1);
	CHECK_EQ("ebx", seen_regs[0], 0x11111111);
	CHECK_EQ("edi", seen_regs[1], 0x22222222);
	CHECK_EQ("ebp", seen_regs[2], 0x33333333);
	CHECK_EQ("esp", seen_esp, (word)stack + sizeof(stack));
	CHECK_EQ("nt", seen_flags & FLAG_NT, FLAG_NT);
	CHECK_EQ("tr", seen_task, S_TSS);
	CHECK_EQ("back link", other.link & 0xffff, SEL_TSS);
	CHECK_EQ("saved ecx", other.ecx, 0x600d);
	CHECK_EQ("saved nt", other.eflags & FLAG_NT, 0);
	CHECK_EQ("back in", str(), SEL_TSS);
	CHECK_EQ("own busy", type_of(SEL_TSS), TYPE_TSS_BUSY);
	CHECK_EQ("other free", type_of(S_TSS), TYPE_TSS);
	CHECK_EQ("own nt", read_flags() & FLAG_NT, 0);
	CHECK_EQ("ts", read_cr0() & CR0_TS, CR0_TS);
	CHECK_EQ("saved ebx", tss.ebx, 0x5555);
	/* It goes on behind its IRET. */
	SWITCH("lcall $0x50, $0");
	CHECK_EQ("again", runs, 2);
}

static void jmp_task(void)
{
	fill(&other);
	leave_by = 1;
	SWITCH("ljmp $0x50, $0");
	CHECK_EQ("ran", runs, 1);
	CHECK_EQ("no nt", seen_flags & FLAG_NT, 0);
	CHECK_EQ("own busy", type_of(SEL_TSS), TYPE_TSS_BUSY);
	CHECK_EQ("other free", type_of(S_TSS), TYPE_TSS);
	SWITCH("ljmp $0x50, $0");
	CHECK_EQ("again", runs, 2);
}

static void task_gate(void)
{
	fill(&other);
	leave_by = 0;
	gdt[S_GATE / 8] = (u64)S_TSS << 16 | DESC_TYPE(TYPE_TASK) | DESC_P;
	SWITCH("lcall $0x60, $0x12345678");
	CHECK_EQ("ran", runs, 1);
	gdt[S_GATE / 8] = (u64)SEL_DATA << 16 | DESC_TYPE(TYPE_TASK) | DESC_P;
	CHECK_TRAP("not a tss",
		   TRY("lcall $0x60, $0",
		       :
		       :
		       : "memory"),
		   X_GP, SEL_DATA);
	gdt[S_GATE / 8] = (u64)S_TSS << 16 | DESC_TYPE(TYPE_TASK);
	CHECK_TRAP("np", TRY("lcall $0x60, $0", : : : "memory"), X_NP, S_GATE);
}

/* An interrupt and a fault through task gates. */
static void interrupt_task(void)
{
	fill(&other);
	leave_by = 0;
	idt[0x90].lo = (u64)S_TSS << 16 | DESC_TYPE(TYPE_TASK) | DESC_P;
	SWITCH("int $0x90");
	CHECK_EQ("ran", runs, 1);
	CHECK_EQ("nt", seen_flags & FLAG_NT, FLAG_NT);
	CHECK_EQ("esp", seen_esp, (word)stack + sizeof(stack));
	SWITCH("int $0x90");
	CHECK_EQ("again", runs, 2);
}

/* #GP through a task gate pushes its error code on the new stack. */
extern u8 fault_task[];
volatile u32 fault_error, fault_eip;
asm(".text\n"
    "fault_task:\n"
    "	popl fault_error\n"
    "	incl runs\n"
    "	mov tss + 32, %eax\n"
    "	mov %eax, fault_eip\n"
    "	addl $5, tss + 32\n"
    "	iret\n"
    "	jmp fault_task\n");

static void fault_through_task(void)
{
	struct gate old = idt[X_GP];
	u32 at;

	fill(&other);
	other.eip = (word)fault_task;
	idt[X_GP].lo = (u64)S_TSS << 16 | DESC_TYPE(TYPE_TASK) | DESC_P;
	asm volatile(
		"mov $0x7ff8, %%eax\n"
		"1: .byte 0x3e, 0x3e, 0x3e, 0x8e, 0xe0\n" /* mov %eax, %fs */
		"lea 1b, %0"
		: "=r"(at)
		:
		: "eax", "memory");
	idt[X_GP] = old;
	CHECK_EQ("ran", runs, 1);
	CHECK_EQ("error", fault_error, 0x7ff8);
	CHECK_EQ("eip", fault_eip, at);
}

static void errors(void)
{
	fill(&other);
	leave_by = 0;
#define TRY_CALL                                                               \
	TRY("lcall $0x50, $0",                                                 \
	    :                                                                  \
	    :                                                                  \
	    : "memory", "eax", "ebx", "ecx", "edx", "esi", "edi")
	gdt[S_TSS / 8] &= ~DESC_P;
	CHECK_TRAP("np", TRY_CALL, X_NP, S_TSS);
	gdt_system(S_TSS, (word)&other, sizeof(other) - 1, TYPE_TSS_BUSY, 0);
	CHECK_TRAP("busy", TRY_CALL, X_GP, S_TSS);
	gdt_system(S_TSS, (word)&other, 0x66, TYPE_TSS, 0);
	CHECK_TRAP("short", TRY_CALL, X_TS, S_TSS);
	CHECK_EQ("iret, bad link",
		 TRY("pushf; orl $0x4000, (%%esp); popf; iret",
		     :
		     :
		     : "memory"),
		 X_TS);
	write_flags(2);
	/* Faults in the new task: its own EIP, the task has switched. */
	fill(&other);
	other.ds = SEL_TSS;
	CHECK_EQ("bad ds", TRY_CALL, X_TS);
	CHECK_EQ("bad ds error", trap.error, SEL_TSS);
	CHECK_EQ("bad ds ip", trap.frame.ip, (word)task_entry);
	CHECK_EQ("switched", str(), S_TSS);
	/* Back to the first TSS by hand. */
	gdt_system(SEL_TSS, (word)&tss, 0x2000, TYPE_TSS, 0);
	ltr(SEL_TSS);
	write_flags(2);
	write_cr0(read_cr0() & ~CR0_TS);
}

/* The T bit raises #DB on arrival. */
static void debug_trap(void)
{
	fill(&other);
	leave_by = 0;
	other.trap = 1;
	CHECK_EQ("vector", TRY_CALL, X_DB);
	CHECK_EQ("bt", trap.dr6 & BIT(15), BIT(15));
	CHECK_EQ("ip", trap.frame.ip, (word)task_entry);
	write_dr6(0);
	gdt_system(SEL_TSS, (word)&tss, 0x2000, TYPE_TSS, 0);
	ltr(SEL_TSS);
	write_flags(2);
	write_cr0(read_cr0() & ~CR0_TS);
}

void guest_main(void)
{
	RUN(call_task);
	RUN(jmp_task);
	RUN(task_gate);
	RUN(interrupt_task);
	RUN(fault_through_task);
	RUN(errors);
	RUN(debug_trap);
}
