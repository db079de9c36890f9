/*
 * Privilege in 64-bit mode: entering ring 3 by IRET, coming back by interrupt,
 * exception, SYSCALL, SYSENTER and call gate; what ring 3 must not do; IOPL and
 * the I/O bitmap; UMIP; conforming code; alignment checks.
 */
#include "test/guest/lib/paging64.h"

struct entry {
	u64 ax, cx, r11, sp, cs, ss, flags;
	u64 pushed_ip, pushed_cs, pushed_sp, pushed_ss;
};
volatile struct entry entry;
extern u8 syscall_entry[], syscall_entry32[], sysenter_entry[],
	sysenter_entry32[], gate_entry[], gate_entry_same[], gate_entry_pop[],
	conforming_entry[];

/* A far pointer that user code can read. */
static struct {
	u32 off;
	u16 sel;
} __attribute__((packed)) user_ptr __user_data = { 0, 1 };
static u64 user_mem[8] __user_data = { 1 };

#define U(code) run_user(USER_CODE(code), (word)user_mem)
#define CHECK_USER(what, vec, want, want_error)                                \
	do {                                                                   \
		CHECK_EQ(what " vector", vec, want);                           \
		CHECK_EQ(what " error", trap.error, want_error);               \
		CHECK_EQ(what " cs", trap.frame.cs, user_sel);                 \
	} while (0)
#define GP(code)    CHECK_USER(code, U(code), X_GP, 0)
#define OK(code)    CHECK_EQ(code, U(code), V_USER)
#define UNDEF(code) CHECK_USER(code, U(code), X_UD, 0)

static void round_trip(void)
{
	u8 *p = USER_CODE("mov %%cs, %%eax; mov %%ss, %%ecx; mov %%ds, %%edx; "
			  "mov %%rsp, %%rbx");

	CHECK_EQ("vector", run_user(p, 5), V_USER);
	CHECK_EQ("cs", trap.frame.ax, SEL_UCODE);
	CHECK_EQ("ss", trap.frame.cx, SEL_UDATA);
	/* DS held a DPL 0 segment: IRET to ring 3 makes it null. */
	CHECK_EQ("ds", trap.frame.dx, 0);
	CHECK_EQ("sp", trap.frame.bx, user_sp);
	CHECK_EQ("di", trap.frame.di, 5);
	CHECK_EQ("saved cs", trap.frame.cs, SEL_UCODE);
	CHECK_EQ("saved ss", trap.frame.ss, SEL_UDATA);
	CHECK_EQ("saved sp", trap.frame.sp, user_sp);
	CHECK_EQ("handler cs", trap.handler_cs, SEL_CODE);
	/* The stack switch loads a null SS. */
	CHECK_EQ("handler ss", trap.handler_ss, 0);
	CHECK_EQ("handler sp", trap.handler_sp, tss_stack_top() - 22 * 8);
	user_flags = 2 | FLAG_IF | FLAG_DF | FLAG_CF;
	CHECK_EQ("vector", U("nop"), V_USER);
	CHECK_EQ("flags", trap.frame.flags, 2 | FLAG_IF | FLAG_DF | FLAG_CF);
	CHECK_EQ("handler if", trap.handler_flags & FLAG_IF, 0);
	user_flags = 2;
}

static void privileged(void)
{
	GP("hlt");
	GP("cli");
	GP("sti");
	GP("clts");
	GP("invd");
	GP("wbinvd");
	GP("mov %%cr0, %%rax");
	GP("mov %%cr2, %%rax");
	GP("mov %%cr3, %%rax");
	GP("mov %%rax, %%cr4");
	GP("mov %%cr8, %%rax");
	GP("mov %%dr0, %%rax");
	GP("mov %%rax, %%dr7");
	GP("mov $0x10, %%ecx; rdmsr");
	GP("mov $0x10, %%ecx; wrmsr");
	GP("lgdt (%%rdi)");
	GP("lidt (%%rdi)");
	GP("lldt %%ax");
	GP("ltr %%ax");
	GP("lmsw %%ax");
	GP("invlpg (%%rdi)");
	GP("swapgs");
	GP("sysretq");
	GP("inb $0x80, %%al");
	GP("outl %%eax, $0x80");
	GP("mov $0x80, %%dx; rep insb");
	GP("outsb");
	GP("mov $1, %%ecx; rep outsb");
	UNDEF("clac");
	UNDEF("stac");
	UNDEF("ud2");
	UNDEF("rsm");
	OK("rdtsc");
	OK("smsw %%eax");
	OK("sgdt (%%rdi)");
	OK("sidt (%%rdi)");
	OK("sldt %%ax");
	OK("str %%ax");
	OK("cpuid");
	OK("pause; clflush (%%rdi)");
}

static void selector_errors(void)
{
	CHECK_USER("ss dpl 0", U("mov $0x18, %%eax; mov %%eax, %%ss"), X_GP,
		   SEL_DATA);
	CHECK_USER("ds dpl 0", U("mov $0x18, %%eax; mov %%eax, %%ds"), X_GP,
		   SEL_DATA);
	CHECK_USER("ss null", U("mov $3, %%eax; mov %%eax, %%ss"), X_GP, 0);
	OK("mov $0x2b, %%eax; mov %%eax, %%ss; mov %%eax, %%ds");
	OK("xor %%eax, %%eax; mov %%eax, %%es; mov %%eax, %%fs");
	CHECK_USER("int 13", U("int $13"), X_GP, 13 * 8 + 2);
	CHECK_USER("int 0x81", U("int $0x81"), X_GP, 0x81 * 8 + 2);
	CHECK_EQ("int3", U("int3"), X_BP);
	CHECK_EQ("int 4", U("int $4"), X_OF);
	CHECK_USER("lretq to ring 0", U("push $0x10; push $0; lretq"), X_GP,
		   SEL_CODE);
	CHECK_USER(
		"iretq to ring 0",
		U("push $0x18; push $0; push $2; push $0x10; push $0; iretq"),
		X_GP, SEL_CODE);
	/* IRET within ring 3. */
	CHECK_EQ("iret to ring 3",
		 U("mov %%rsp, %%rax; push $0x2b; push %%rax; push $0x202; "
		   "push $0x33; lea 1f(%%rip), %%rcx; push %%rcx; iretq; "
		   "ud2; 1:"),
		 V_USER);
	CHECK_EQ("if unchanged", trap.frame.flags & FLAG_IF, 0);
	CHECK_EQ("lret to ring 3",
		 U("push $0x33; lea 1f(%%rip), %%rcx; push %%rcx; lretq; "
		   "ud2; 1:"),
		 V_USER);
	user_ptr.sel = SEL_CODE;
	CHECK_USER("ljmp dpl 0",
		   run_user(USER_CODE("ljmp *(%%rdi)"), (word)&user_ptr), X_GP,
		   SEL_CODE);
	user_ptr.sel = SEL_TSS;
	CHECK_USER("ljmp tss",
		   run_user(USER_CODE("ljmp *(%%rdi)"), (word)&user_ptr), X_GP,
		   SEL_TSS);
}

static void descriptor_queries(void)
{
	CHECK_EQ("lar",
		 U("mov $0x33, %%ecx; lar %%ecx, %%eax; setz %%bl; "
		   "mov $0x2b, %%ecx; lsl %%ecx, %%edx"),
		 V_USER);
	CHECK_EQ("lar value", trap.frame.ax & 0xf0ff00, 0xa0fb00);
	CHECK_EQ("lar zf", trap.frame.bx & 0xff, 1);
	CHECK_EQ("lsl value", trap.frame.dx, 0xffffffff);
	CHECK_EQ("lar",
		 U("mov $77, %%eax; mov $0x10, %%ecx; lar %%ecx, %%eax; "
		   "setz %%bl"),
		 V_USER);
	CHECK_EQ("lar dpl 0", trap.frame.bx & 0xff, 0);
	CHECK_EQ("lar keeps", trap.frame.ax, 77);
	OK("mov $0x2b, %%ecx; verr %%cx; setz %%al; verw %%cx; setz %%ah; "
	   "mov $0x33, %%ecx; verr %%cx; setz %%bl; verw %%cx; setz %%bh; "
	   "mov $0x18, %%ecx; verr %%cx; setz %%dl; verw %%ax; setz %%dh");
	CHECK_EQ("verr", trap.frame.ax & 0xffff, 0x0101);
	CHECK_EQ("verr code", trap.frame.bx & 0xffff, 0x0001);
	CHECK_EQ("verr dpl 0", trap.frame.dx & 0xff, 0);
}

static void umip(void)
{
	write_cr4(read_cr4() | CR4_UMIP);
	GP("sgdt (%%rdi)");
	GP("sidt (%%rdi)");
	GP("sldt %%ax");
	GP("str (%%rdi)");
	GP("smsw %%ax");
	CHECK_EQ("ring 0 sldt", TRY("sldt %%ax", : : : "rax"), NO_TRAP);
	write_cr4(read_cr4() & ~CR4_UMIP);
	OK("smsw %%ax");
}

static void flags_and_iopl(void)
{
	/* POPF in ring 3 changes neither IF nor IOPL, and says nothing. */
	OK("push $0x3202; popfq");
	CHECK_EQ("popf", trap.frame.flags & (FLAG_IF | 0x3000), 0);
	user_flags = 2 | 0x3000;
	OK("sti; nop");
	CHECK_EQ("sti", trap.frame.flags & (FLAG_IF | 0x3000),
		 FLAG_IF | 0x3000);
	OK("push $0x0202; popfq");
	CHECK_EQ("popf iopl 3", trap.frame.flags & (FLAG_IF | 0x3000),
		 FLAG_IF | 0x3000);
	OK("sti; cli");
	CHECK_EQ("cli", trap.frame.flags & FLAG_IF, 0);
	OK("inb $0x80, %%al; outb %%al, $0x80; mov $0x80, %%edx; inw %%dx, "
	   "%%ax");
	GP("hlt");
	user_flags = 2 | 0x2000;
	GP("cli");
	GP("inb $0x80, %%al");
	user_flags = 2;
}

static void io_bitmap(void)
{
	u8 *map = tss_iomap();

	map[0x80 / 8] = 0xfa; /* 0x80 and 0x82 open */
	OK("inb $0x80, %%al");
	OK("outb %%al, $0x82");
	GP("inb $0x81, %%al");
	GP("inw $0x80, %%ax");
	GP("inl $0x80, %%eax");
	map[0x80 / 8] = 0xf0;
	OK("inl $0x80, %%eax");
	OK("outw %%ax, $0x82");
	GP("outw %%ax, $0x83");
	GP("outl %%eax, $0x81");
	OK("mov $0x80, %%edx; mov $3, %%ecx; lea 0(%%rdi), %%rsi; cld; rep "
	   "outsb");
	CHECK_EQ("outs count", trap.frame.cx, 0);
	map[0x80 / 8] = 0xff;
	GP("inb $0x80, %%al");
	/* A bitmap that starts beyond the limit forbids all. */
	memset(map, 0, 32);
	OK("inb $0x80, %%al");
	tss.iomap = 0xfff0;
	GP("inb $0x80, %%al");
	tss.iomap = sizeof(tss);
	memset(map, 0xff, 32);
}

static void syscall_sysret(void)
{
	wrmsr(MSR_STAR, (u64)SEL_UCODE32 << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_FMASK, FLAG_CF | FLAG_IF | FLAG_DF);
	user_flags = 2 | FLAG_CF | FLAG_IF | FLAG_DF | FLAG_ZF;
	u8 *p = USER_CODE("mov $7, %%eax; mov %%rsp, %%r8; syscall; "
			  "mov %%cs, %%r9d; mov %%ss, %%r10d; inc %%eax");

	CHECK_EQ("vector", run_user(p, 0), V_USER);
	CHECK_EQ("ax", trap.frame.ax, 8);
	CHECK_EQ("rcx", entry.cx, (u64)p + 5 + 3 + 2);
	CHECK_EQ("r11", entry.r11, user_flags);
	CHECK_EQ("flags", entry.flags, 2 | FLAG_ZF);
	CHECK_EQ("cs", entry.cs, SEL_CODE);
	CHECK_EQ("ss", entry.ss, SEL_DATA);
	CHECK_EQ("rsp", entry.sp, trap.frame.r8);
	CHECK_EQ("user cs", trap.frame.r9, SEL_UCODE);
	CHECK_EQ("user ss", trap.frame.r10, SEL_UDATA);
	CHECK_EQ("user flags",
		 trap.frame.flags & ~(FLAG_ZF | FLAG_PF | FLAG_AF),
		 2 | FLAG_CF | FLAG_IF | FLAG_DF);
	user_flags = 2;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	UNDEF("syscall");
	CHECK_TRAP("sysret, SCE=0", TRY("sysretq", :), X_UD, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	CHECK_TRAP("LSTAR",
		   TRY("wrmsr",
		       :
		       : "c"(MSR_LSTAR), "a"(0), "d"(0x1000000)),
		   X_GP, 0);
}

static void sysenter_sysexit(void)
{
	u8 *p = USER_CODE("lea 1f(%%rip), %%r8; mov %%rsp, %%r9; sysenter; "
			  "1: mov %%cs, %%r10d; mov %%ss, %%r11d");

	wrmsr(MSR_SYSENTER_CS, 0);
	GP("sysenter");
	CHECK_TRAP("sysexit, CS=0", TRY("sysexitq", :), X_GP, 0);
	wrmsr(MSR_SYSENTER_CS, SEL_CODE);
	wrmsr(MSR_SYSENTER_EIP, (u64)sysenter_entry);
	wrmsr(MSR_SYSENTER_ESP, tss_stack_top() - 128);
	user_flags = 2 | FLAG_IF;
	CHECK_EQ("vector", run_user(p, 0), V_USER);
	CHECK_EQ("sp", entry.sp, tss_stack_top() - 128);
	CHECK_EQ("cs", entry.cs, SEL_CODE);
	CHECK_EQ("ss", entry.ss, SEL_CODE + 8);
	CHECK_EQ("if", entry.flags & FLAG_IF, 0);
	CHECK_EQ("user cs", trap.frame.r10, SEL_UCODE);
	CHECK_EQ("user ss", trap.frame.r11, SEL_UDATA2);
	CHECK_EQ("user sp", trap.frame.sp, user_sp);
	user_flags = 2;
	GP("sysexitq");
}

static void call_gates(void)
{
	unsigned sel = SEL_FREE;
	struct gate g = gate_make(SEL_CODE, (word)gate_entry, TYPE_CALL, 3, 0);

	gdt[sel / 8] = g.lo;
	gdt[sel / 8 + 1] = g.hi;
	user_ptr.sel = sel | 3;
	u8 *p = USER_CODE("mov %%rsp, %%r8; lcall *(%%rdi); mov %%cs, %%r9d");

	CHECK_EQ("vector", run_user(p, (word)&user_ptr), V_USER);
	CHECK_EQ("cs", entry.cs, SEL_CODE);
	CHECK_EQ("ss", entry.ss, 0);
	CHECK_EQ("sp", entry.sp, tss_stack_top() - 32);
	CHECK_EQ("pushed ip", entry.pushed_ip, (word)p + 5);
	CHECK_EQ("pushed cs", entry.pushed_cs, SEL_UCODE);
	CHECK_EQ("pushed sp", entry.pushed_sp, user_sp);
	CHECK_EQ("pushed ss", entry.pushed_ss, SEL_UDATA);
	CHECK_EQ("back cs", trap.frame.r9, SEL_UCODE);
	CHECK_EQ("back sp", trap.frame.sp, user_sp);
	/* From ring 0 there is no stack switch. */
	g = gate_make(SEL_CODE, (word)gate_entry_same, TYPE_CALL, 0, 0);
	gdt[sel / 8] = g.lo;
	gdt[sel / 8 + 1] = g.hi;
	user_ptr.sel = sel;
	CHECK_EQ("ring 0",
		 TRY("lcall *%0",
		     :
		     : "m"(user_ptr)
		     : "rax", "memory"),
		 NO_TRAP);
	CHECK_EQ("ring 0 sp", entry.sp, trap_sp - 16);
	CHECK_EQ("ring 0 cs", entry.pushed_cs, SEL_CODE);
	user_ptr.sel = sel | 3;
	CHECK_USER("gate dpl", run_user(p, (word)&user_ptr), X_GP, sel);
	g = gate_make(SEL_CODE32, (word)gate_entry, TYPE_CALL, 3, 0);
	gdt[sel / 8] = g.lo;
	CHECK_USER("32-bit code", run_user(p, (word)&user_ptr), X_GP,
		   SEL_CODE32);
	g = gate_make(SEL_DATA, (word)gate_entry, TYPE_CALL, 3, 0);
	gdt[sel / 8] = g.lo;
	CHECK_USER("data", run_user(p, (word)&user_ptr), X_GP, SEL_DATA);
	g = gate_make(0, (word)gate_entry, TYPE_CALL, 3, 0);
	gdt[sel / 8] = g.lo;
	CHECK_USER("null", run_user(p, (word)&user_ptr), X_GP, 0);
	g = gate_make(SEL_CODE, (word)gate_entry, TYPE_CALL, 3, 0);
	gdt[sel / 8] = g.lo & ~DESC_P;
	CHECK_USER("not present", run_user(p, (word)&user_ptr), X_NP, sel);
	/* The upper half must have type 0. */
	gdt[sel / 8] = g.lo;
	gdt[sel / 8 + 1] = BIT(40);
	CHECK_USER("upper type", run_user(p, (word)&user_ptr), X_GP, sel);
	/* A jump through a gate may not change the ring. */
	gdt[sel / 8 + 1] = g.hi;
	CHECK_USER("ljmp",
		   run_user(USER_CODE("ljmp *(%%rdi)"), (word)&user_ptr), X_GP,
		   SEL_CODE);
}

static void conforming(void)
{
	unsigned sel = SEL_FREE;

	gdt[sel / 8] = DESC_P | DESC_S | DESC_L | DESC_TYPE(TYPE_XR_CONF) |
		       DESC_G | DESC_LIMIT(0xfffff);
	user_ptr.off = (u32)(word)conforming_entry;
	user_ptr.sel = sel;
	CHECK_EQ("user", run_user(USER_CODE("lcall *(%%rdi)"), (word)&user_ptr),
		 V_USER);
	CHECK_EQ("cpl stays", trap.frame.ax, sel | 3);
	/* The conforming segment may have any DPL up to the CPL. */
	gdt[sel / 8] |= DESC_DPL(3);
	CHECK_TRAP("dpl above cpl",
		   TRY("lcall *%0",
		       :
		       : "m"(user_ptr)
		       : "rax", "memory"),
		   X_GP, sel);
	user_ptr.off = 0;
}

static void alignment_check(void)
{
	OK("movl 1(%%rdi), %%eax");
	write_cr0(read_cr0() | CR0_AM);
	OK("movl 1(%%rdi), %%eax");
	user_flags = 2 | FLAG_AC;
	OK("movl (%%rdi), %%eax; movb 1(%%rdi), %%al; movw 2(%%rdi), %%ax");
	CHECK_USER("read", U("movl 2(%%rdi), %%eax"), X_AC, 0);
	CHECK_USER("write", U("movw %%ax, 1(%%rdi)"), X_AC, 0);
	CHECK_USER("rmw", U("addq $1, 4(%%rdi)"), X_AC, 0);
	CHECK_USER("push", U("sub $4, %%rsp; push %%rax"), X_AC, 0);
	OK("movups 1(%%rdi), %%xmm0");
	CHECK_USER("sse 16", U("movaps 4(%%rdi), %%xmm0"), X_GP, 0);
	user_flags = 2;
	write_cr0(read_cr0() & ~CR0_AM);
}

static void fs_gs_base(void)
{
	u64 a = (word)user_mem, b = (word)user_mem + 8;

	UNDEF("rdfsbase %%rax");
	UNDEF("wrgsbase %%rax");
	user_mem[0] = 0x1111;
	user_mem[1] = 0x2222;
	wrmsr(MSR_GS_BASE, a);
	wrmsr(MSR_KERNEL_GS_BASE, b);
	OK("mov %%gs:0, %%rax");
	CHECK_EQ("gs", trap.frame.ax, 0x1111);
	asm volatile("swapgs");
	CHECK_EQ("gs base", rdmsr(MSR_GS_BASE), b);
	CHECK_EQ("kernel gs base", rdmsr(MSR_KERNEL_GS_BASE), a);
	OK("mov %%gs:0, %%rax");
	CHECK_EQ("swapped", trap.frame.ax, 0x2222);
	write_cr4(read_cr4() | CR4_FSGSBASE);
	OK("wrfsbase %%rdi; mov %%fs:8, %%rax; rdfsbase %%rbx; rdgsbase %%rcx; "
	   "mov $0x12345678, %%edx; wrgsbase %%edx; rdgsbase %%rdx");
	CHECK_EQ("wrfsbase", trap.frame.ax, 0x2222);
	CHECK_EQ("rdfsbase", trap.frame.bx, a);
	CHECK_EQ("rdgsbase", trap.frame.cx, b);
	CHECK_EQ("wrgsbase", trap.frame.dx, 0x12345678);
	CHECK_EQ("msr", rdmsr(MSR_FS_BASE), a);
	CHECK_TRAP("non-canonical",
		   TRY("wrfsbase %0",
		       :
		       : "r"(BIT(50))),
		   X_GP, 0);
	write_cr4(read_cr4() & ~CR4_FSGSBASE);
	/* A selector load sets the base from the descriptor. */
	write_gs(SEL_UDATA);
	CHECK_EQ("loaded", rdmsr(MSR_GS_BASE), 0);
	write_gs(0);
	write_fs(0);
}

static void time_stamps(void)
{
	write_cr4(read_cr4() | CR4_TSD);
	GP("rdtsc");
	write_cr4(read_cr4() & ~CR4_TSD);
	OK("rdtsc");
	if (has(FEAT_RDTSCP)) {
		wrmsr(MSR_TSC_AUX, 0x4321);
		OK("rdtscp");
		CHECK_EQ("aux", trap.frame.cx, 0x4321);
	}
}

static bool is_intel(void)
{
	return cpuid(0, 0).b == 0x756e6547;
}

void guest_main(void)
{
	RUN(round_trip);
	RUN(privileged);
	RUN(selector_errors);
	RUN(descriptor_queries);
	RUN_IF(has(FEAT_UMIP), umip);
	RUN(flags_and_iopl);
	RUN(io_bitmap);
	RUN(syscall_sysret);
	RUN_IF(is_intel(), sysenter_sysexit);
	RUN(call_gates);
	RUN(conforming);
	RUN(alignment_check);
	RUN_IF(has(FEAT_FSGSBASE), fs_gs_base);
	RUN(time_stamps);
}
