/*
 * Exceptions in 64-bit ring 0: vector, error code, saved RIP and flags of each
 * cause, faults while delivering (bad gates, double faults), IST stacks.
 * Ring 3 has a guest of its own (priv64), as debug exceptions have (debug64).
 */
#include "test/guest/lib/paging64.h"

static void divide(void)
{
	CHECK_TRAP("div",
		   TRY("divq %0",
		       :
		       : "r"(0ull), "a"(5), "d"(0)),
		   X_DE, 0);
	CHECK_TRAP("div overflow",
		   TRY("divl %0",
		       :
		       : "r"(3), "a"(5), "d"(3)),
		   X_DE, 0);
	CHECK_TRAP("div byte",
		   TRY("divb %0",
		       :
		       : "q"((u8)1), "a"(0x100)),
		   X_DE, 0);
	CHECK_TRAP("idiv",
		   TRY("idivq %0",
		       :
		       : "r"(-1ull), "a"(BIT(63)), "d"(-1ull)),
		   X_DE, 0);
	CHECK_TRAP("idiv32",
		   TRY("idivl %0",
		       :
		       : "r"(-1), "a"(0x80000000), "d"(-1)),
		   X_DE, 0);
	CHECK_TRAP("memory",
		   TRY("divl %0",
		       :
		       : "m"((u32){ 0 }), "a"(1), "d"(0)),
		   X_DE, 0);
	CHECK_EQ("flags kept",
		 TRY_AT("stc", "div %0",
			:
			: "r"(0ull), "a"(5), "d"(0)
			: "cc"),
		 X_DE);
	CHECK_EQ("ax kept", trap.frame.ax, 5);
	CHECK_EQ("cf", trap.frame.flags & FLAG_CF, FLAG_CF);
}

/* Software interrupts save the address behind the instruction. */
static void software(void)
{
	CHECK_EQ("int3", TRY(".byte 0xcc", :), X_BP);
	CHECK_EQ("int3 rip", trap.frame.ip, trap.want + 1);
	CHECK_EQ("int 3", TRY(".byte 0xcd, 3", :), X_BP);
	CHECK_EQ("int 3 rip", trap.frame.ip, trap.want + 2);
	CHECK_EQ("int 4", TRY("int $4", :), X_OF);
	CHECK_EQ("int 4 rip", trap.frame.ip, trap.want + 2);
	CHECK_EQ("int 0x81", TRY("int $0x81", :), 0x81);
	CHECK_EQ("int 0x81 error", trap.error, 0);
	CHECK_EQ("int 0xff", TRY("int $0xff", :), 0xff);
	/* INT n of a vector that has an error code pushes none: see the frame.
	 */
	CHECK_EQ("int 0", TRY("int $0", :), X_DE);
	CHECK_EQ("int 0 rip", trap.frame.ip, trap.want + 2);
	CHECK_EQ("cs", trap.frame.cs, SEL_CODE);
	CHECK_EQ("ss", trap.frame.ss, SEL_DATA);
	CHECK_EQ("rf", trap.frame.flags & FLAG_RF, 0);
}

#define UD(bytes)                                                              \
	CHECK_TRAP(bytes, TRY(".byte " bytes, : : : "memory", "rax"), X_UD, 0)

static void undefined(void)
{
	UD("0x0f, 0x0b");
	UD("0x0f, 0xb9, 0xc0");
	UD("0x0f, 0xff, 0xc0");
	UD("0x0f, 0x0a");
	UD("0x0f, 0x04");
	UD("0x0f, 0x24, 0xc0");
	UD("0x0f, 0x36");
	UD("0x0f, 0x3f");
	UD("0x0f, 0xa6, 0xff");
	/* Gone in 64-bit mode. */
	UD("0x06");
	UD("0x07");
	UD("0x0e");
	UD("0x16");
	UD("0x17");
	UD("0x1e");
	UD("0x1f");
	UD("0x27");
	UD("0x2f");
	UD("0x37");
	UD("0x3f");
	UD("0x60");
	UD("0x61");
	UD("0x82, 0xc0, 0x01");
	UD("0x9a, 0, 0, 0, 0, 0x10, 0");
	UD("0xce");
	UD("0xd4, 0x0a");
	UD("0xd5, 0x0a");
	UD("0xea, 0, 0, 0, 0, 0x10, 0");
	/* Group members that do not exist. */
	UD("0xfe, 0xd0");
	UD("0xfe, 0xf8");
	UD("0xff, 0xf8");
	UD("0x8f, 0xc9");
	UD("0xc6, 0xc8, 0");
	UD("0xc7, 0xc8, 0, 0, 0, 0");
	UD("0x0f, 0xba, 0xc0, 0");
	UD("0x0f, 0x00, 0xf0");
	UD("0x0f, 0xc7, 0xc8");
	UD("0x8d, 0xc0");
	UD("0x8e, 0xc8");
	UD("0x8e, 0xf0");
	UD("0x8c, 0xf0");
	UD("0x0f, 0x20, 0xc8");
	UD("0x0f, 0x22, 0xe8");
	UD("0x0f, 0x22, 0xc8");
	UD("0x0f, 0x01, 0xd8, 0x90");
	UD("0x0f, 0xaa");
}

static void lock_prefix(void)
{
	UD("0xf0, 0x90");
	UD("0xf0, 0x89, 0x44, 0x24, 0xf8");
	UD("0xf0, 0x01, 0xc0");
	UD("0xf0, 0x39, 0x04, 0x24");
	UD("0xf0, 0x03, 0x04, 0x24");
	UD("0xf0, 0x0f, 0xa3, 0x04, 0x24");
	UD("0xf0, 0xff, 0x34, 0x24");
	UD("0xf0, 0xd1, 0x44, 0x24, 0xf8");
	UD("0xf0, 0x8d, 0x04, 0x24");
	UD("0xf0, 0x0f, 0xa2");
	UD("0xf0, 0x98");
	UD("0xf0, 0xe9, 0, 0, 0, 0");
	CHECK_EQ("lock xchg",
		 TRY("lock xchg %%eax, (%0)",
		     :
		     : "r"((u32[1]){})
		     : "rax", "memory"),
		 NO_TRAP);
}

static void gdt_set(unsigned sel, u64 desc)
{
	gdt[sel / 8] = desc;
}

#define LOAD(seg, sel) TRY("mov %0, %%" #seg, : : "r"((u32)(sel)) : "memory")
#define FLAT	       (DESC_LIMIT(0xfffff) | DESC_G | DESC_DB)

static void segment_loads(void)
{
	const unsigned np = SEL_FREE, xo = SEL_FREE + 8, ro = SEL_FREE + 16,
		       sys = SEL_FREE + 24, dpl3 = SEL_FREE + 32;

	gdt_set(np, FLAT | DESC_S | DESC_TYPE(TYPE_RW));
	gdt_set(xo, FLAT | DESC_P | DESC_S | DESC_TYPE(TYPE_XO));
	gdt_set(ro, FLAT | DESC_P | DESC_S | DESC_TYPE(TYPE_RO));
	gdt_set(sys, FLAT | DESC_P | DESC_TYPE(TYPE_LDT));
	gdt_set(dpl3,
		FLAT | DESC_P | DESC_S | DESC_TYPE(TYPE_RW) | DESC_DPL(3));
	CHECK_TRAP("null ds", LOAD(ds, 0), NO_TRAP, 0);
	CHECK_TRAP("null ds 3", LOAD(ds, 3), NO_TRAP, 0);
	CHECK_TRAP("null ss", LOAD(ss, 0), NO_TRAP, 0);
	CHECK_TRAP("null ss 3", LOAD(ss, 3), X_GP, 0);
	CHECK_TRAP("np ds", LOAD(ds, np), X_NP, np);
	CHECK_TRAP("np es rpl", LOAD(es, np | 3), X_GP, np);
	CHECK_TRAP("np ss", LOAD(ss, np), X_SS, np);
	CHECK_TRAP("xo es", LOAD(es, xo), X_GP, xo);
	CHECK_TRAP("xo fs", LOAD(fs, xo), X_GP, xo);
	CHECK_TRAP("ro ss", LOAD(ss, ro), X_GP, ro);
	CHECK_TRAP("ro ds", LOAD(ds, ro), NO_TRAP, 0);
	CHECK_TRAP("sys gs", LOAD(gs, sys), X_GP, sys);
	CHECK_TRAP("sys ss", LOAD(ss, sys), X_GP, sys);
	CHECK_TRAP("ss rpl", LOAD(ss, SEL_DATA | 3), X_GP, SEL_DATA);
	CHECK_TRAP("ss dpl", LOAD(ss, dpl3), X_GP, dpl3);
	CHECK_TRAP("ss rpl dpl", LOAD(ss, dpl3 | 3), X_GP, dpl3);
	CHECK_TRAP("ds dpl3", LOAD(ds, dpl3), NO_TRAP, 0);
	CHECK_TRAP("ds rpl 3 dpl 0", LOAD(ds, SEL_DATA | 3), X_GP, SEL_DATA);
	CHECK_TRAP("code ds", LOAD(ds, SEL_CODE), NO_TRAP, 0);
	CHECK_TRAP("beyond", LOAD(es, GDT_ENTRIES * 8), X_GP, GDT_ENTRIES * 8);
	CHECK_TRAP("beyond rpl", LOAD(es, 0xfffb), X_GP, 0xfff8);
	CHECK_TRAP("ldt", LOAD(es, 0x1c), X_GP, 0x1c);
	CHECK_TRAP("pop fs",
		   TRY_AT("push %0", "pop %%fs",
			  :
			  : "r"((u64)np)
			  : "memory"),
		   X_NP, np);
	CHECK_TRAP("lss",
		   TRY("lss %0, %%eax",
		       :
		       : "m"((struct {
			       u32 o;
			       u16 s;
		       }){ 1, np })
		       : "rax", "memory"),
		   X_SS, np);
	CHECK_TRAP("lgs",
		   TRY("lgs %0, %%eax",
		       :
		       : "m"((struct {
			       u32 o;
			       u16 s;
		       }){ 1, sys })
		       : "rax", "memory"),
		   X_GP, sys);
	/* The accessed bit is set by a load. */
	gdt_set(ro, FLAT | DESC_P | DESC_S | DESC_TYPE(0));
	CHECK_TRAP("ro", LOAD(gs, ro), NO_TRAP, 0);
	CHECK_EQ("accessed", gdt[ro / 8] >> 40 & 15, 1);
	write_ds(SEL_DATA);
	write_es(SEL_DATA);
	write_fs(0);
	write_gs(0);
	write_ss(SEL_DATA);
}

static void system_loads(void)
{
	const unsigned s = SEL_FREE;

	CHECK_TRAP("ltr busy", TRY("ltr %w0", : : "r"(SEL_TSS)), X_GP, SEL_TSS);
	CHECK_TRAP("ltr data",
		   TRY("ltr %w0",
		       :
		       : "r"(SEL_DATA)),
		   X_GP, SEL_DATA);
	CHECK_TRAP("ltr beyond", TRY("ltr %w0", : : "r"(0x7ff8)), X_GP, 0x7ff8);
	CHECK_TRAP("ltr ldt", TRY("ltr %w0", : : "r"(0xc)), X_GP, 0xc);
	gdt_system(s, (word)&tss, 0x67, TYPE_TSS, 0);
	gdt[s / 8] &= ~DESC_P;
	CHECK_TRAP("ltr np", TRY("ltr %w0", : : "r"(s)), X_NP, s);
	gdt_system(s, (word)gdt, 0xff, TYPE_LDT, 0);
	gdt[s / 8] &= ~DESC_P;
	CHECK_TRAP("lldt np", TRY("lldt %w0", : : "r"(s)), X_NP, s);
	CHECK_TRAP("lldt data",
		   TRY("lldt %w0",
		       :
		       : "r"(SEL_DATA)),
		   X_GP, SEL_DATA);
	CHECK_TRAP("lldt null", TRY("lldt %w0", : : "r"(0)), NO_TRAP, 0);
	gdt_system(s, (word)gdt, 0xff, TYPE_LDT, 0);
	CHECK_TRAP("lldt", TRY("lldt %w0", : : "r"(s)), NO_TRAP, 0);
	CHECK_TRAP("from ldt", LOAD(es, SEL_DATA | 4), NO_TRAP, 0);
	CHECK_TRAP("beyond ldt", LOAD(es, 0x104), X_GP, 0x104);
	CHECK_TRAP("lldt null", TRY("lldt %w0", : : "r"(0)), NO_TRAP, 0);
	write_es(SEL_DATA);
}

static void bad_gates(void)
{
	const unsigned v = 0x90, np = SEL_FREE;
	word stub = idt_stub(v);

	gdt_set(np, DESC_S | DESC_L | DESC_TYPE(TYPE_XR));
	idt[v] = gate_make(SEL_CODE, stub, TYPE_INT, 0, 0);
	CHECK_EQ("good", TRY("int $0x90", :), v);
	idt[v].lo &= ~DESC_P;
	CHECK_TRAP("np gate", TRY("int $0x90", :), X_NP, v * 8 + 2);
	idt[v] = gate_make(SEL_CODE, stub, TYPE_CALL, 0, 0);
	CHECK_TRAP("type", TRY("int $0x90", :), X_GP, v * 8 + 2);
	idt[v] = gate_make(SEL_CODE, stub, TYPE_TASK, 0, 0);
	CHECK_TRAP("task gate", TRY("int $0x90", :), X_GP, v * 8 + 2);
	idt[v] = gate_make(0, stub, TYPE_INT, 0, 0);
	CHECK_TRAP("null cs", TRY("int $0x90", :), X_GP, 0);
	idt[v] = gate_make(SEL_DATA, stub, TYPE_INT, 0, 0);
	CHECK_TRAP("data cs", TRY("int $0x90", :), X_GP, SEL_DATA);
	idt[v] = gate_make(SEL_CODE32, stub, TYPE_INT, 0, 0);
	CHECK_TRAP("32-bit cs", TRY("int $0x90", :), X_GP, SEL_CODE32);
	idt[v] = gate_make(np, stub, TYPE_INT, 0, 0);
	CHECK_TRAP("np cs", TRY("int $0x90", :), X_NP, np);
	idt[v] = gate_make(SEL_UCODE & ~3, stub, TYPE_INT, 0, 0);
	CHECK_TRAP("dpl 3 cs", TRY("int $0x90", :), X_GP, SEL_UCODE & ~3);
	idt[v] = gate_make(0x7ff8, stub, TYPE_INT, 0, 0);
	CHECK_TRAP("beyond cs", TRY("int $0x90", :), X_GP, 0x7ff8);
	lidt(idt, 0x90 * 16 + 14);
	CHECK_TRAP("idt limit", TRY("int $0x90", :), X_GP, v * 8 + 2);
	lidt(idt, sizeof(idt) - 1);
	/* Of an exception: the EXT bit. */
	idt[X_UD].lo &= ~DESC_P;
	CHECK_TRAP("#UD gate", TRY("ud2", :), X_NP, X_UD * 8 + 3);
	idt_set(X_UD, idt_stub(X_UD), 0);
	idt[v] = gate_make(SEL_CODE, stub, TYPE_TRAP, 0, 0);
	CHECK_EQ("trap gate", TRY_AT("sti", "int $0x90", :), v);
	CHECK_EQ("if kept", trap.handler_flags & FLAG_IF, FLAG_IF);
	cli();
	idt[v] = gate_make(SEL_CODE, stub, TYPE_INT, 0, 0);
	CHECK_EQ("int gate", TRY_AT("sti", "int $0x90", :), v);
	CHECK_EQ("if clear", trap.handler_flags & FLAG_IF, 0);
	CHECK_EQ("if saved", trap.frame.flags & FLAG_IF, FLAG_IF);
	cli();
	CHECK_EQ("nt",
		 TRY_AT("pushfq; orl $0x4000, (%%rsp); popfq", "int $0x90",
			:
			:
			: "memory"),
		 v);
	CHECK_EQ("nt clear", trap.handler_flags & FLAG_NT, 0);
	CHECK_EQ("nt saved", trap.frame.flags & FLAG_NT, FLAG_NT);
	write_flags(2);
}

static void double_fault(void)
{
	u64 va = TEST_VA + 0x3000;

	/* #GP while delivering #GP. */
	idt[X_GP].lo &= ~DESC_P;
	CHECK_EQ("gp in gp", TRY("mov %0, %%es", : : "r"(0x7ff8)), X_DF);
	CHECK_EQ("error", trap.error, 0);
	/* #NP then #GP: contributory both. */
	idt[X_NP].lo &= ~DESC_P;
	idt[0x90].lo &= ~DESC_P;
	CHECK_EQ("np in np", TRY("int $0x90", :), X_DF);
	idt_set(X_NP, idt_stub(X_NP), 0);
	/* #DE (contributory) with a missing gate: #NP, so #DF. */
	idt_set(X_GP, idt_stub(X_GP), 0);
	idt[X_DE].lo &= ~DESC_P;
	CHECK_EQ("np in de", TRY("div %0", : : "r"(0), "a"(1), "d"(0)), X_DF);
	idt_set(X_DE, idt_stub(X_DE), 3);
	/* #PF while delivering #PF: its IST stack is not mapped. */
	tss.ist[1] = va + 0x800;
	idt[X_PF] = gate_make(SEL_CODE, idt_stub(X_PF), TYPE_INT, 0, 2);
	CHECK_EQ("pf in pf",
		 TRY("mov (%0), %%al",
		     :
		     : "r"(va + 0x2000)
		     : "rax"),
		 X_DF);
	CHECK_EQ("cr2", trap.cr2, va + 0x7f8);
	idt_set(X_PF, idt_stub(X_PF), 0);
	/* #PF while delivering #GP is just a #PF ... */
	idt[X_GP] = gate_make(SEL_CODE, idt_stub(X_GP), TYPE_INT, 0, 2);
	CHECK_EQ("pf in gp", TRY("mov %0, %%es", : : "r"(0x7ff8)), X_PF);
	CHECK_EQ("pf in gp error", trap.error, PF_W);
	CHECK_EQ("pf in gp rip", trap.frame.ip, trap.want);
	idt_set(X_GP, idt_stub(X_GP), 0);
	/* ... and #GP while delivering #PF is a #DF. */
	idt[X_PF] = gate_make(0x7ff8, idt_stub(X_PF), TYPE_INT, 0, 0);
	CHECK_EQ("gp in pf",
		 TRY("mov (%0), %%al",
		     :
		     : "r"(va + 0x2000)
		     : "rax"),
		 X_DF);
	idt_set(X_PF, idt_stub(X_PF), 0);
	/* #UD is benign: the second exception is delivered alone. */
	idt[X_UD] = gate_make(SEL_DATA, idt_stub(X_UD), TYPE_INT, 0, 0);
	CHECK_TRAP("gp in ud", TRY("ud2", :), X_GP, SEL_DATA | 1);
	idt_set(X_UD, idt_stub(X_UD), 0);
}

static u8 ist_stack[1024] __attribute__((aligned(16)));

static void ist(void)
{
	u64 top = (u64)ist_stack + sizeof(ist_stack);

	tss.ist[2] = top;
	idt[X_UD] = gate_make(SEL_CODE, idt_stub(X_UD), TYPE_INT, 0, 3);
	CHECK_TRAP("ud", TRY("ud2", :), X_UD, 0);
	CHECK_EQ("frame", trap.handler_sp, top - 22 * 8);
	CHECK_EQ("sp", trap.frame.sp, trap_sp);
	/* The frame is aligned down to 16 bytes. */
	tss.ist[2] = top - 5;
	CHECK_TRAP("ud", TRY("ud2", :), X_UD, 0);
	CHECK_EQ("frame", trap.handler_sp, top - 16 - 22 * 8);
	idt_set(X_UD, idt_stub(X_UD), 0);
	CHECK_EQ("unaligned sp",
		 TRY_AT("sub $3, %%rsp", "ud2",
			:
			:
			: "memory"),
		 X_UD);
	CHECK_EQ("unaligned sp kept", trap.frame.sp, trap_sp - 3);
	CHECK_EQ("frame aligned", (trap.handler_sp + 22 * 8) & 15, 0);
}

/* A stack that is not canonical: #SS, which needs a stack of its own. */
static void stack_fault(void)
{
	u64 bad = BIT(47) + 0x1000; /* pushes below it are non-canonical too */

	tss.ist[2] = (u64)ist_stack + sizeof(ist_stack);
	idt[X_SS] = gate_make(SEL_CODE, idt_stub(X_SS), TYPE_INT, 0, 3);
	idt[X_GP] = gate_make(SEL_CODE, idt_stub(X_GP), TYPE_INT, 0, 3);
	idt[X_DF] = gate_make(SEL_CODE, idt_stub(X_DF), TYPE_INT, 0, 3);
	CHECK_TRAP("push",
		   TRY_AT("mov %0, %%rsp", "push %%rax",
			  :
			  : "r"(bad)
			  : "memory"),
		   X_SS, 0);
	CHECK_EQ("rsp", trap.frame.sp, bad);
	CHECK_TRAP("mov",
		   TRY_AT("mov %0, %%rsp", "mov 8(%%rsp), %%rax",
			  :
			  : "r"(bad)
			  : "rax", "memory"),
		   X_SS, 0);
	CHECK_EQ("ud on bad stack",
		 TRY_AT("mov %0, %%rsp", "ud2",
			:
			: "r"(bad)
			: "memory"),
		 X_SS);
	idt_set(X_SS, idt_stub(X_SS), 0);
	idt_set(X_GP, idt_stub(X_GP), 0);
	idt_set(X_DF, idt_stub(X_DF), 0);
}

/* Far transfers with bad targets; the good ones are in compat64 and priv64. */
static void far_transfers(void)
{
	struct {
		u64 off;
		u16 sel;
	} __attribute__((packed)) p64 = { 0x1000, SEL_DATA };
	struct {
		u32 off;
		u16 sel;
	} __attribute__((packed)) p32 = { 0x1000, 0x7ff8 };
	const unsigned np = SEL_FREE, both = SEL_FREE + 8;

	gdt_set(np, DESC_S | DESC_L | DESC_TYPE(TYPE_XR));
	gdt_set(both, DESC_P | DESC_S | DESC_L | DESC_DB | DESC_TYPE(TYPE_XR));
	CHECK_TRAP("ljmp beyond", TRY("ljmp *%0", : : "m"(p32)), X_GP, 0x7ff8);
	p32.sel = 0;
	CHECK_TRAP("ljmp null", TRY("ljmp *%0", : : "m"(p32)), X_GP, 0);
	p32.sel = np;
	CHECK_TRAP("ljmp np", TRY("ljmp *%0", : : "m"(p32)), X_NP, np);
	CHECK_TRAP("lcall np", TRY("lcall *%0", : : "m"(p32)), X_NP, np);
	p32.sel = both;
	CHECK_TRAP("L and D", TRY("ljmp *%0", : : "m"(p32)), X_GP, both);
	p32.sel = SEL_UCODE;
	CHECK_TRAP("ljmp dpl 3",
		   TRY("ljmp *%0",
		       :
		       : "m"(p32)),
		   X_GP, SEL_UCODE & ~3);
	p32.sel = SEL_TSS;
	CHECK_TRAP("ljmp tss", TRY("ljmp *%0", : : "m"(p32)), X_GP, SEL_TSS);
	CHECK_TRAP("rex ljmp data",
		   TRY("rex.w ljmp *%0",
		       :
		       : "m"(p64)),
		   X_GP, SEL_DATA);
	CHECK_TRAP("lretq np",
		   TRY_AT("push %0; push $0", "lretq",
			  :
			  : "r"((u64)np)
			  : "memory"),
		   X_NP, np);
	CHECK_TRAP("lretq null",
		   TRY_AT("push $0; push $0", "lretq",
			  :
			  :
			  : "memory"),
		   X_GP, 0);
	CHECK_TRAP("lretq data",
		   TRY_AT("push %0; push $0", "lretq",
			  :
			  : "r"((u64)SEL_DATA)
			  : "memory"),
		   X_GP, SEL_DATA);
#define IRET(ss, sp, fl, cs, ip)                                               \
	TRY_AT("push %0; push %1; push %2; push %3; push %4", "iretq",         \
	       :                                                               \
	       : "r"((u64)(ss)), "r"((u64)(sp)), "r"((u64)(fl)),               \
		 "r"((u64)(cs)), "r"((u64)(ip))                                \
	       : "memory")
	CHECK_TRAP("iret null cs", IRET(SEL_DATA, 0, 2, 0, 0), X_GP, 0);
	CHECK_TRAP("iret np", IRET(SEL_DATA, 0, 2, np, 0), X_NP, np);
	CHECK_TRAP("iret data", IRET(SEL_DATA, 0, 2, SEL_DATA, 0), X_GP,
		   SEL_DATA);
	CHECK_TRAP("iret dpl", IRET(SEL_DATA, 0, 2, SEL_UCODE & ~3, 0), X_GP,
		   SEL_UCODE & ~3);
	CHECK_TRAP("iret ss null", IRET(0, 0, 2, SEL_UCODE32, 0), X_GP, 0);
	CHECK_TRAP("iret ss rpl", IRET(SEL_DATA, 0, 2, SEL_UCODE, 0), X_GP,
		   SEL_DATA);
	CHECK_TRAP("iret ss beyond", IRET(0x7ffb, 0, 2, SEL_UCODE, 0), X_GP,
		   0x7ff8);
	CHECK_TRAP("iret non-canonical",
		   IRET(SEL_UDATA, 0, 2, SEL_UCODE, BIT(47)), X_GP, 0);
	CHECK_TRAP("iret nt",
		   TRY_AT("pushfq; orl $0x4000, (%%rsp); popfq", "iretq",
			  :
			  :
			  : "memory"),
		   X_GP, 0);
}

static void no_fpu(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	asm volatile("fninit");
	write_cr0(cr0 | CR0_TS);
	CHECK_TRAP("fld", TRY("fldz", :), X_NM, 0);
	CHECK_TRAP("fnstcw", TRY("fnstcw %0", : : "m"((u16){ 0 })), X_NM, 0);
	CHECK_TRAP("wait", TRY("fwait", :), X_NM, 0);
	CHECK_TRAP("movups", TRY("movups %%xmm0, %%xmm1", :), X_NM, 0);
	CHECK_TRAP("emms", TRY("emms", :), X_NM, 0);
	CHECK_TRAP("stmxcsr", TRY("stmxcsr %0", : : "m"((u32){ 0 })), X_NM, 0);
	CHECK_TRAP("movnti",
		   TRY("movnti %%eax, %0",
		       :
		       : "m"((u32){ 0 })),
		   NO_TRAP, 0);
	CHECK_TRAP("sfence", TRY("sfence", :), NO_TRAP, 0);
	write_cr0((cr0 | CR0_TS) & ~CR0_MP);
	CHECK_TRAP("wait, MP=0", TRY("fwait", :), NO_TRAP, 0);
	CHECK_TRAP("fld, MP=0", TRY("fldz", :), X_NM, 0);
	asm volatile("clts");
	CHECK_EQ("clts", read_cr0(), cr0 & ~CR0_MP);
	CHECK_TRAP("fld", TRY("fldz", :), NO_TRAP, 0);
	write_cr0(cr0 | CR0_EM);
	CHECK_TRAP("fld, EM", TRY("fldz", :), X_NM, 0);
	CHECK_TRAP("movups, EM", TRY("movups %%xmm0, %%xmm1", :), X_UD, 0);
	CHECK_TRAP("emms, EM", TRY("emms", :), X_UD, 0);
	write_cr0(cr0);
	write_cr4(cr4 & ~CR4_OSFXSR);
	CHECK_TRAP("movups, OSFXSR=0",
		   TRY("movups %%xmm0, %%xmm1",
		       :),
		   X_UD, 0);
	CHECK_TRAP("emms, OSFXSR=0", TRY("emms", :), NO_TRAP, 0);
	write_cr4(cr4);
	CHECK_TRAP("xgetbv, OSXSAVE=0",
		   TRY("xgetbv",
		       :
		       : "c"(0)
		       : "rax", "rdx"),
		   X_UD, 0);
	CHECK_TRAP("vzeroupper, OSXSAVE=0", TRY("vzeroupper", :), X_UD, 0);
	asm volatile("fninit");
}

static void fpu_errors(void)
{
	u16 cw = 0x37b; /* ZM clear */
	u32 mxcsr = 0x1d80, dflt = 0x1f80;

	asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp" : : "m"(cw));
	/* Pending: raised by the next waiting instruction. */
	CHECK_TRAP("fnstsw", TRY("fnstsw %%ax", : : : "rax"), NO_TRAP, 0);
	CHECK_TRAP("fwait", TRY("fwait", :), X_MF, 0);
	CHECK_TRAP("fld1", TRY("fld1", :), X_MF, 0);
	asm volatile("fnclex");
	CHECK_TRAP("fwait, clear", TRY("fwait", :), NO_TRAP, 0);
	asm volatile("fninit");
	asm volatile("ldmxcsr %0; xorps %%xmm1, %%xmm1; xorps %%xmm0, %%xmm0; "
		     "cvtsi2ss %1, %%xmm0"
		     :
		     : "m"(mxcsr), "r"(1));
	CHECK_TRAP("divss", TRY("divss %%xmm1, %%xmm0", :), X_XM, 0);
	write_cr4(read_cr4() & ~CR4_OSXMMEXCPT);
	CHECK_TRAP("divss, no OSXMMEXCPT",
		   TRY("divss %%xmm1, %%xmm0",
		       :),
		   X_UD, 0);
	write_cr4(read_cr4() | CR4_OSXMMEXCPT);
	asm volatile("ldmxcsr %0" : : "m"(dflt));
	CHECK_TRAP("divss, masked", TRY("divss %%xmm1, %%xmm0", :), NO_TRAP, 0);
	CHECK_TRAP("ldmxcsr",
		   TRY("ldmxcsr %0",
		       :
		       : "m"((u32){ BIT(31) })),
		   X_GP, 0);
}

static void alignment(void)
{
	static u8 buf[64] __attribute__((aligned(64)));
	u8 *odd = buf + 8;

	CHECK_TRAP("movaps", TRY("movaps (%0), %%xmm0", : : "r"(odd)), X_GP, 0);
	CHECK_TRAP("movaps store",
		   TRY("movaps %%xmm0, (%0)",
		       :
		       : "r"(odd)
		       : "memory"),
		   X_GP, 0);
	CHECK_TRAP("paddb", TRY("paddb (%0), %%xmm0", : : "r"(odd)), X_GP, 0);
	CHECK_TRAP("movntdq",
		   TRY("movntdq %%xmm0, (%0)",
		       :
		       : "r"(odd)
		       : "memory"),
		   X_GP, 0);
	CHECK_TRAP("cmpxchg16b",
		   TRY("cmpxchg16b (%0)",
		       :
		       : "r"(odd), "a"(0), "b"(0), "c"(0), "d"(0)
		       : "memory", "cc"),
		   X_GP, 0);
	CHECK_TRAP("fxsave",
		   TRY("fxsave (%0)",
		       :
		       : "r"(odd)
		       : "memory"),
		   X_GP, 0);
	CHECK_TRAP("movups",
		   TRY("movups (%0), %%xmm0",
		       :
		       : "r"(odd)),
		   NO_TRAP, 0);
	/* AC has no meaning in ring 0 without SMAP. */
	write_cr0(read_cr0() | CR0_AM);
	write_flags(2 | FLAG_AC);
	CHECK_TRAP("mov",
		   TRY("movl 1(%0), %%eax",
		       :
		       : "r"(odd)
		       : "rax"),
		   NO_TRAP, 0);
	write_flags(2);
	write_cr0(read_cr0() & ~CR0_AM);
}

/* RF is set in the image that faults save, clear in that of traps. */
static void resume_flag(void)
{
	CHECK_EQ("ud2", TRY("ud2", :), X_UD);
	CHECK_EQ("RF of #UD", trap.frame.flags & FLAG_RF, FLAG_RF);
	CHECK_EQ("gp", LOAD(es, 0x7ff8), X_GP);
	CHECK_EQ("RF of #GP", trap.frame.flags & FLAG_RF, FLAG_RF);
	CHECK_EQ("pf",
		 TRY("mov (%0), %%al",
		     :
		     : "r"(TEST_VA * 3)
		     : "rax"),
		 X_PF);
	CHECK_EQ("RF of #PF", trap.frame.flags & FLAG_RF, FLAG_RF);
	CHECK_EQ("handler", trap.handler_flags & FLAG_RF, 0);
	CHECK_EQ("bp", TRY("int3", :), X_BP);
	CHECK_EQ("RF of #BP", trap.frame.flags & FLAG_RF, 0);
}

/* Far transfers through a register: last, as some take them for memory. */
static void far_register(void)
{
	UD("0xff, 0xd8");
	UD("0xff, 0xe8");
}

/* Bases that are not canonical: last, as losing the IDT is fatal. */
static void bad_bases(void)
{
	struct table_reg bad = { 0xff, BIT(60) };

	CHECK_TRAP("lgdt", TRY("lgdt %0", : : "m"(bad)), X_GP, 0);
	lgdt(gdt, sizeof(gdt) - 1);
	gdt_system(SEL_FREE, BIT(58), 0x67, TYPE_TSS, 0);
	CHECK_TRAP("ltr", TRY("ltr %w0", : : "r"(SEL_FREE)), X_GP, SEL_FREE);
	CHECK_TRAP("ltr null", TRY("ltr %w0", : : "r"(0)), X_GP, 0);
	CHECK_TRAP("lidt", TRY("lidt %0", : : "m"(bad)), X_GP, 0);
}

void guest_main(void)
{
	RUN(divide);
	RUN(software);
	RUN(undefined);
	RUN(lock_prefix);
	RUN(segment_loads);
	RUN(system_loads);
	RUN(bad_gates);
	RUN(double_fault);
	RUN(ist);
	RUN(stack_fault);
	RUN(far_transfers);
	RUN(no_fpu);
	RUN(fpu_errors);
	RUN(alignment);
	RUN(resume_flag);
	RUN(far_register);
	RUN(bad_bases);
}
