/*
 * Segmentation in 32-bit protected mode: bases, limits in bytes and pages,
 * expand-down segments, types, 16-bit stacks, code segments with base and
 * limit, LDT, far transfers, call gates with parameters, LAR, LSL, VERR.
 */
#include "test/guest/lib/trap.h"

#define S0   SEL_FREE
#define S1   (SEL_FREE + 8)
#define S2   (SEL_FREE + 16)
#define DATA (DESC_P | DESC_S | DESC_DB | DESC_TYPE(TYPE_RW))
#define CODE (DESC_P | DESC_S | DESC_DB | DESC_TYPE(TYPE_XR))

static u8 mem[0x4000] __attribute__((aligned(4096)));

static void set(unsigned sel, u32 base, u32 limit, u64 bits)
{
	gdt[sel / 8] = DESC_BASE(base) | DESC_LIMIT(limit) | bits;
}

#define FS_READ(type, off)                                                     \
	({                                                                     \
		type v_;                                                       \
		asm volatile("mov %%fs:(%1), %0"                               \
			     : "=q"(v_)                                        \
			     : "r"((u32)(off))                                 \
			     : "memory");                                      \
		v_;                                                            \
	})
#define TRY_READ(suffix, off)                                                  \
	TRY("cmp" suffix " $0, %%fs:(%0)",                                     \
	    :                                                                  \
	    : "r"((u32)(off))                                                  \
	    : "cc", "memor"                                                    \
		    "y")
#define TRY_WRITE(suffix, off)                                                 \
	TRY("mov" suffix " $0, %%fs:(%0)", : : "r"((u32)(off)) : "memory")

static void bases(void)
{
	for (unsigned i = 0; i < sizeof(mem); i++)
		mem[i] = i * 7 + (i >> 8);
	for (u32 off = 0; off < 40; off++) {
		set(S0, (u32)mem + off, 0xfffff, DATA | DESC_G);
		write_fs(S0);
		CHECK_EQ("u8", FS_READ(u8, 3), mem[off + 3]);
		CHECK_EQ("u32", FS_READ(u32, 4), *(u32 *)(mem + off + 4));
		CHECK_EQ("negative", FS_READ(u8, -1), mem[off - 1 + 0]);
	}
	/* Base plus offset wraps at 4 GiB. */
	set(S0, 0xf0000000, 0xfffff, DATA | DESC_G);
	write_fs(S0);
	CHECK_EQ("wrap", FS_READ(u32, (u32)mem + 0x10000000), *(u32 *)mem);
	/* Every data segment register; SS is the default of EBP and ESP. */
	set(S0, (u32)mem, 0xfffff, DATA | DESC_G);
	u32 a, b, c, d;

	asm volatile("push %%ds; push %%es\n\t"
		     "mov %4, %%ds; mov %4, %%es; mov %4, %%gs\n\t"
		     "mov 8, %0; mov %%es:12, %1; mov %%gs:16, %2\n\t"
		     "mov $20, %3; mov %%ds:(%3), %3\n\t"
		     "pop %%es; pop %%ds"
		     : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d)
		     : "r"(S0));
	CHECK_EQ("ds", a, *(u32 *)(mem + 8));
	CHECK_EQ("es", b, *(u32 *)(mem + 12));
	CHECK_EQ("gs", c, *(u32 *)(mem + 16));
	CHECK_EQ("ds reg", d, *(u32 *)(mem + 20));
	asm volatile("mov %%esp, %%ecx; mov %%ss, %%edx; push %%ebp\n\t"
		     "mov %%esp, %%esi\n\t"
		     "mov %2, %%ss; mov $0x800, %%esp\n\t"
		     "mov $0x40, %%ebp; mov (%%ebp), %0\n\t"
		     "push $0x1234567; mov %%esp, %1\n\t"
		     "mov %%edx, %%ss; mov %%esi, %%esp; pop %%ebp"
		     : "=&a"(a), "=&b"(b)
		     : "D"(S0)
		     : "ecx", "edx", "esi", "memory");
	CHECK_EQ("ebp", a, *(u32 *)(mem + 0x40));
	CHECK_EQ("esp", b, 0x7fc);
	CHECK_EQ("pushed", *(u32 *)(mem + 0x7fc), 0x1234567);
}

static void limits(void)
{
	set(S0, (u32)mem, 0x123, DATA);
	write_fs(S0);
	CHECK_EQ("last", TRY_READ("b", 0x123), NO_TRAP);
	CHECK_TRAP("beyond", TRY_READ("b", 0x124), X_GP, 0);
	CHECK_EQ("word", TRY_READ("w", 0x122), NO_TRAP);
	CHECK_TRAP("word out", TRY_READ("w", 0x123), X_GP, 0);
	CHECK_EQ("dword", TRY_READ("l", 0x120), NO_TRAP);
	CHECK_TRAP("dword out", TRY_READ("l", 0x121), X_GP, 0);
	CHECK_TRAP("write out", TRY_WRITE("l", 0x121), X_GP, 0);
	CHECK_TRAP("far out", TRY_WRITE("b", 0xffffffff), X_GP, 0);
	CHECK_TRAP("wrap", TRY_READ("l", 0xfffffffe), X_GP, 0);
	CHECK_TRAP("push", TRY("pushl %%fs:0x121", : : : "memory"), X_GP, 0);
	CHECK_TRAP("sse", TRY("movups %%fs:0x115, %%xmm0", :), X_GP, 0);
	CHECK_EQ("sse in", TRY("movups %%fs:0x114, %%xmm0", :), NO_TRAP);
	CHECK_TRAP("bts",
		   TRY("btsl %0, %%fs:0",
		       :
		       : "r"(0x124 * 8)
		       : "memory"),
		   X_GP, 0);
	/* Page granularity. */
	set(S0, (u32)mem, 1, DATA | DESC_G);
	write_fs(S0);
	CHECK_EQ("G last", TRY_READ("b", 0x1fff), NO_TRAP);
	CHECK_TRAP("G beyond", TRY_READ("b", 0x2000), X_GP, 0);
	/* A changed descriptor counts when it is loaded, not before. */
	set(S0, (u32)mem, 0, DATA);
	CHECK_EQ("cached", TRY_READ("b", 0x1fff), NO_TRAP);
	write_fs(S0);
	CHECK_TRAP("reloaded", TRY_READ("b", 1), X_GP, 0);
	CHECK_EQ("first", TRY_READ("b", 0), NO_TRAP);
	write_fs(0);
	CHECK_TRAP("null", TRY_READ("b", 0), X_GP, 0);
}

static void expand_down(void)
{
	u64 down = DESC_P | DESC_S | DESC_TYPE(TYPE_RW_DOWN);

	set(S0, (u32)mem - 0x800, 0xfff, down | DESC_DB);
	write_fs(S0);
	CHECK_TRAP("low", TRY_READ("b", 0xfff), X_GP, 0);
	CHECK_TRAP("zero", TRY_READ("b", 0), X_GP, 0);
	CHECK_EQ("first", TRY_READ("b", 0x1000), NO_TRAP);
	CHECK_TRAP("straddle", TRY_READ("l", 0xffe), X_GP, 0);
	set(S0, (u32)mem - 0x800, 0xfff, down);
	write_fs(S0);
	CHECK_EQ("16-bit first", TRY_READ("b", 0x1000), NO_TRAP);
	CHECK_EQ("16-bit last", TRY_READ("b", 0xffff), NO_TRAP);
	CHECK_TRAP("16-bit beyond", TRY_READ("b", 0x10000), X_GP, 0);
	CHECK_TRAP("16-bit straddle", TRY_READ("w", 0xffff), X_GP, 0);
}

static void types(void)
{
	set(S0, (u32)mem, 0xfffff,
	    DESC_P | DESC_S | DESC_G | DESC_TYPE(TYPE_RO));
	write_fs(S0);
	CHECK_EQ("ro read", TRY_READ("l", 0), NO_TRAP);
	CHECK_TRAP("ro write", TRY_WRITE("l", 0), X_GP, 0);
	CHECK_TRAP("ro rmw", TRY("incl %%fs:0", : : : "memory"), X_GP, 0);
	write_fs(SEL_CODE);
	CHECK_EQ("code read", TRY_READ("l", (u32)mem), NO_TRAP);
	CHECK_TRAP("code write", TRY_WRITE("l", (u32)mem), X_GP, 0);
	CHECK_TRAP("cs write",
		   TRY("movl $0, %%cs:(%0)",
		       :
		       : "r"(mem)),
		   X_GP, 0);
}

static void execute_only(void)
{
	set(S0, 0, 0xfffff,
	    DESC_P | DESC_S | DESC_DB | DESC_G | DESC_TYPE(TYPE_XO));
	CHECK_EQ("xo runs",
		 TRY("ljmp %0, $1f; 1: cmpb $0, %%cs:(%1)",
		     :
		     : "i"(S0), "r"(mem)
		     : "cc"),
		 X_GP);
	CHECK_EQ("xo cs", trap.frame.cs, S0);
	CHECK_EQ("back", read_cs(), SEL_CODE);
}

/* A stack segment with a limit: #SS for stack accesses and EBP ones. */
static void stack_limits(void)
{
	set(S0, (u32)mem, 0xfff, DATA);
	trap_ss_base = (u32)mem;
#define ON_STACK(sp, insn)                                                     \
	TRY_AT("mov %0, %%ss; mov %1, %%esp", insn,                            \
	       :                                                               \
	       : "r"(S0), "r"(sp)                                              \
	       : "memory", "eax", "ecx")
	CHECK_TRAP("push below", ON_STACK(0x800, "mov 0x7fd(%%esp), %%eax"),
		   X_SS, 0);
	CHECK_TRAP("pop above", ON_STACK(0xffe, "pop %%eax"), X_SS, 0);
	CHECK_TRAP("ret", ON_STACK(0xffd, "ret"), X_SS, 0);
	CHECK_TRAP("ebp", ON_STACK(0x800, "mov %%ss:0x1000, %%al"), X_SS, 0);
	asm volatile("mov %%esp, %%ecx; mov %0, %%ss; mov $0x1000, %%esp; "
		     "push $0x77; pop %%eax; mov %1, %%ss; mov %%ecx, %%esp"
		     :
		     : "r"(S0), "r"(SEL_DATA)
		     : "eax", "ecx", "memory");
	CHECK_EQ("value", *(u32 *)(mem + 0xffc), 0x77);
	CHECK_TRAP("leave", ON_STACK(0xffe, "popa"), X_SS, 0);
	write_ss(SEL_DATA);
	trap_ss_base = 0;
}

/* B = 0: pushes and pops use SP, which wraps; the upper half stays. */
static void stack16(void)
{
	u32 sp, v;

	set(S0, (u32)mem, 0xffff, DESC_P | DESC_S | DESC_TYPE(TYPE_RW));
	asm volatile("mov %%esp, %%ecx\n\t"
		     "mov %2, %%ss; mov $0x12340104, %%esp\n\t"
		     "push $0x11223344; push $0x55667788; call 1f\n"
		     "1: pop %%edx; pop %1; mov %%esp, %0\n\t"
		     "mov %3, %%ss; mov %%ecx, %%esp"
		     : "=&r"(sp), "=&r"(v)
		     : "r"(S0), "r"(SEL_DATA)
		     : "ecx", "edx", "memory");
	CHECK_EQ("sp", sp, 0x12340100);
	CHECK_EQ("value", v, 0x55667788);
	CHECK_EQ("memory", *(u32 *)(mem + 0x100), 0x11223344);
	asm volatile("mov %%esp, %%ecx\n\t"
		     "mov %1, %%ss; mov $0x43210000, %%esp\n\t"
		     "pushw $0x99; mov %%esp, %0\n\t"
		     "mov %2, %%ss; mov %%ecx, %%esp"
		     : "=&r"(sp)
		     : "r"(S0), "r"(SEL_DATA)
		     : "ecx", "memory");
	CHECK_EQ("wrapped", sp, 0x4321fffe);
}

/* Code at another base: offsets are relative to it; its limit is checked. */
static void code_segments(void)
{
	u32 v, cs;

	/* mov %cs, %edx; mov $5, %eax; lret */
	memcpy(mem + 0x100, "\x8c\xca\xb8\x05\x00\x00\x00\xcb", 8);
	set(S0, (u32)mem, 0x1ff, CODE);
	asm volatile("lcall %2, $0x100"
		     : "=a"(v), "=d"(cs)
		     : "i"(S0)
		     : "memory");
	CHECK_EQ("value", v, 5);
	CHECK_EQ("cs", cs & 0xffff, S0);
}

/* The end of a code segment: by a jump, by falling over, in an instruction. */
static void code_limits(void)
{
	set(S0, (u32)mem, 0x1ff, CODE);
	CHECK_EQ("beyond",
		 TRY("lcall %0, $0x200",
		     :
		     : "i"(S0)
		     : "memory"),
		 X_GP);
	CHECK_EQ("beyond error", trap.error, 0);
	memset(mem + 0x1f0, 0x90, 16);
	CHECK_EQ("fall over",
		 TRY("lcall %0, $0x1f0",
		     :
		     : "i"(S0)
		     : "memory"),
		 X_GP);
	CHECK_EQ("fall over eip", trap.frame.ip, 0x200);
	CHECK_EQ("fall over cs", trap.frame.cs, S0);
	memcpy(mem + 0x1fd, "\xb8\x01\x02", 3);
	CHECK_EQ("cut insn",
		 TRY("lcall %0, $0x1fd",
		     :
		     : "i"(S0)
		     : "memory"),
		 X_GP);
	CHECK_EQ("cut insn eip", trap.frame.ip, 0x1fd);
	memcpy(mem + 0x1f0, "\xe9\x00\x10\x00\x00", 5);
	CHECK_EQ("jmp out",
		 TRY("lcall %0, $0x1f0",
		     :
		     : "i"(S0)
		     : "memory"),
		 X_GP);
	CHECK_EQ("jmp out eip", trap.frame.ip, 0x1f0);
}

static void ldt(void)
{
	static u64 table[4];

	table[1] = DESC_BASE((u32)mem) | DESC_LIMIT(0xff) | DATA;
	gdt_system(S0, (u32)table, sizeof(table) - 1, TYPE_LDT, 0);
	asm volatile("lldt %w0" : : "r"(S0));
	write_fs(0xc);
	*(u32 *)(mem + 16) = 0xabcd1234;
	CHECK_EQ("read", FS_READ(u32, 16), 0xabcd1234);
	CHECK_TRAP("limit", TRY_READ("b", 0x100), X_GP, 0);
	CHECK_TRAP("beyond", TRY("mov %0, %%fs", : : "r"(0x24)), X_GP, 0x24);
	CHECK_TRAP("null entry",
		   TRY("mov %0, %%fs",
		       :
		       : "r"(0x14)),
		   X_GP, 0x14);
	asm volatile("lldt %w0" : : "r"(0));
	CHECK_EQ("cached", FS_READ(u32, 16), 0xabcd1234);
	CHECK_TRAP("no ldt", TRY("mov %0, %%fs", : : "r"(0xc)), X_GP, 0xc);
	write_fs(0);
}

static void queries(void)
{
	u32 v, ok;

	set(S0, 0x1000, 5, DATA | DESC_G);
	asm volatile("lsl %2, %0; setz %b1"
		     : "=r"(v), "=q"(ok)
		     : "r"(S0)
		     : "cc");
	CHECK_EQ("lsl", v, 0x5fff);
	asm volatile("lar %2, %0" : "=r"(v), "=q"(ok) : "r"(S0) : "cc");
	CHECK_EQ("lar", v & 0xf0ff00, 0xc09300);
	v = 5, ok = 0;
	asm volatile("lsl %2, %0; setz %b1"
		     : "+r"(v), "+q"(ok)
		     : "r"(0x7ff8)
		     : "cc");
	CHECK_EQ("beyond", ok & 0xff, 0);
	CHECK_EQ("kept", v, 5);
	gdt_system(S1, 0, 0x77, TYPE_INT, 0);
	asm volatile("lsl %2, %0; setz %b1"
		     : "+r"(v), "+q"(ok)
		     : "r"(S1)
		     : "cc");
	CHECK_EQ("gate has no limit", ok & 0xff, 0);
	set(S0, 0, 5, DESC_P | DESC_S | DESC_TYPE(TYPE_XO));
	asm volatile("verr %w1; setz %b0" : "+q"(ok) : "r"(S0) : "cc");
	CHECK_EQ("verr xo", ok & 0xff, 0);
	asm volatile("verw %w1; setz %b0" : "+q"(ok) : "r"(SEL_DATA) : "cc");
	CHECK_EQ("verw", ok & 0xff, 1);
}

/* A call gate from ring 3 that copies three parameters. */
extern u8 gate_entry[];
volatile u32 gate_args[3], gate_ss, gate_esp;
asm(".text\n"
    "gate_entry:\n"
    "	push %ds\n"
    "	push $0x18\n"
    "	pop %ds\n"
    "	mov 12(%esp), %eax\n"
    "	mov %eax, gate_args\n"
    "	mov 16(%esp), %eax\n"
    "	mov %eax, gate_args + 4\n"
    "	mov 20(%esp), %eax\n"
    "	mov %eax, gate_args + 8\n"
    "	mov %ss, gate_ss\n"
    "	mov %esp, gate_esp\n"
    "	pop %ds\n"
    "	lret $12\n");

static void call_gate(void)
{
	struct gate g = gate_make(SEL_CODE, (word)gate_entry, TYPE_CALL, 3, 0);

	gdt[S0 / 8] = g.lo | 3ull << 32;
	CHECK_EQ("vector",
		 run_user(USER_CODE("mov %%esp, %%ebx; push $0x33; push $0x22; "
				    "push $0x11; lcall $0x53, $0; "
				    "mov %%cs, %%ecx; mov %%ss, %%edx"),
			  0),
		 V_USER);
	CHECK_EQ("arg 0", gate_args[0], 0x11);
	CHECK_EQ("arg 1", gate_args[1], 0x22);
	CHECK_EQ("arg 2", gate_args[2], 0x33);
	CHECK_EQ("ss", gate_ss & 0xffff, SEL_DATA);
	CHECK_EQ("esp", gate_esp, tss_stack_top() - 16 - 12 - 4);
	CHECK_EQ("user esp", trap.frame.sp, trap.frame.bx);
	CHECK_EQ("user cs", trap.frame.cx & 0xffff, SEL_UCODE);
	CHECK_EQ("user ss", trap.frame.dx & 0xffff, SEL_UDATA);
	gdt[S0 / 8] &= ~DESC_P;
	CHECK_EQ("np", run_user(USER_CODE("lcall $0x53, $0"), 0), X_NP);
	CHECK_EQ("np error", trap.error, S0);
}

static void ring3(void)
{
	CHECK_EQ("exit",
		 run_user(USER_CODE("mov %%cs, %%eax; mov %%ss, %%ecx"), 7),
		 V_USER);
	CHECK_EQ("cs", trap.frame.ax & 0xffff, SEL_UCODE);
	CHECK_EQ("ss", trap.frame.cx & 0xffff, SEL_UDATA);
	CHECK_EQ("di", trap.frame.di, 7);
	CHECK_EQ("esp", trap.frame.sp, user_sp);
	CHECK_EQ("handler ss", trap.handler_ss, SEL_DATA);
	CHECK_EQ("hlt", run_user(USER_CODE("hlt"), 0), X_GP);
	CHECK_EQ("cli", run_user(USER_CODE("cli"), 0), X_GP);
	CHECK_EQ("in", run_user(USER_CODE("in $0x80, %%al"), 0), X_GP);
	CHECK_EQ("into",
		 run_user(USER_CODE("mov $0x7f, %%al; inc %%al; into"), 0),
		 X_OF);
	CHECK_EQ("bound",
		 run_user(USER_CODE("push $1; push $0; mov $5, %%eax; "
				    "bound %%eax, (%%esp)"),
			  0),
		 X_BR);
	CHECK_EQ("aam 0", run_user(USER_CODE("aam $0"), 0), X_DE);
	/* Returning to ring 3 makes DPL 0 segments null. */
	CHECK_EQ("ds",
		 run_user(USER_CODE("mov $0x2b, %%eax; mov %%eax, %%fs; "
				    "mov %%gs, %%ecx"),
			  0),
		 V_USER);
	CHECK_EQ("gs", trap.frame.cx & 0xffff, 0);
}

/* Six bytes of a descriptor table's register, wherever the segment lies. */
static void table_stores(void)
{
	u8 want[6];

	memset(mem, 0x55, 64);
	asm volatile("sgdt %0" : "=m"(want));
	CHECK_EQ("base", *(u32 *)(want + 2), (u32)gdt);
	set(S0, (u32)mem, 0xfffff, DATA | DESC_G);
	write_fs(S0);
	asm volatile("sgdt %%fs:5" : : : "memory");
	CHECK_EQ("fs", memcmp(mem + 5, want, 6), 0);
	CHECK_EQ("before", mem[4], 0x55);
	CHECK_EQ("behind", mem[11], 0x55);
	asm volatile("sidt (%0)" : : "r"(mem + 16) : "memory");
	CHECK_EQ("sidt", memcmp(mem + 16, want, 6) != 0, 1);
	CHECK_EQ("behind", mem[22], 0x55);
	/* The segment ends in the middle. */
	set(S0, (u32)mem, 9, DATA);
	write_fs(S0);
	memset(mem, 0x55, 64);
	CHECK_EQ("limit", TRY("sgdt %%fs:5", : : : "memory"), X_GP);
	CHECK_EQ("unchanged", mem[5], 0x55);
}

void guest_main(void)
{
	write_cr4(CR4_OSFXSR);
	RUN(bases);
	RUN(limits);
	RUN(expand_down);
	RUN(types);
	RUN(stack16);
	RUN(code_segments);
	RUN(ldt);
	RUN(queries);
	RUN(ring3);
	RUN(call_gate);
	RUN(execute_only);
	RUN(code_limits);
	RUN(stack_limits);
	RUN(table_stores);
}
