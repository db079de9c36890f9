/*
 * Privileged and string instructions in the middle of straight-line code, with
 * ordinary accesses before and behind them: what a translator executes in line
 * must not disturb them, and must still fault where the processor does.
 */
#include "test/guest/lib/paging64.h"

#define VA  TEST_VA
#define RW  (PTE_P | PTE_W)
#define RWU (PTE_P | PTE_W | PTE_U)

/* Two pages, of which tests may take the second away. */
static void map_two(void)
{
	map4k(VA, 0xc00000, RW);
	map4k(VA + PAGE, 0xc01000, RW);
	memset((void *)VA, 0, 2 * PAGE);
}

struct regs {
	u64 ax, cx, si, di, flags;
};

/* Runs a string instruction; what it leaves in @r if it does not fault. */
#define STRING(insn, r)                                                        \
	TRY("push %[f]; popfq\n\t2: " insn "; pushfq; pop %[f]; cld",          \
	    : "+a"((r).ax), "+c"((r).cx), "+S"((r).si),                        \
	      "+D"((r).di), [f] "+r"((r).flags)                                \
	    :                                                                  \
	    : "memory", "cc")

#define FLAGS (2 | FLAG_CF | FLAG_ZF | FLAG_OF | FLAG_AF)

static void check_stos(const char *what, int vector, const struct regs *r,
		       u64 end)
{
	CHECK_EQ(what, vector, NO_TRAP);
	CHECK_EQ(what, r->cx, 0);
	CHECK_EQ(what, r->di, end);
	CHECK_EQ(what, r->flags, FLAGS);
}

#define STOS(insn, size, at, n)                                                \
	do {                                                                   \
		struct regs r_ = { 0x1122334455667788, n, 0, at, FLAGS };      \
		int v_ = STRING("rep " insn, r_);                              \
		check_stos(insn, v_, &r_, (at) + (n) * (size));                \
		for (u64 i_ = 0; i_ < (n) * (size); i_++)                      \
			CHECK_EQ(insn, ((u8 *)(at))[i_],                       \
				 (u8)(0x1122334455667788 >> i_ % (size)*8));   \
		CHECK_EQ(insn, ((u8 *)(at))[(n) * (size)], 0);                 \
		memset((void *)VA, 0, 2 * PAGE);                               \
	} while (0)

static void stos(void)
{
	map_two();
	STOS("stosb", 1, VA, 1);
	STOS("stosb", 1, VA + 5, 100);
	STOS("stosw", 2, VA + 1, 50);
	STOS("stosl", 4, VA, 1024);
	STOS("stosq", 8, VA + 8, 511);
	/* Just within, and across. */
	STOS("stosq", 8, VA + PAGE - 80, 10);
	STOS("stosq", 8, VA + PAGE - 80, 11);
	STOS("stosb", 1, VA + PAGE - 1, 2);
	STOS("stosl", 4, VA + PAGE - 2, 1);
	STOS("stosq", 8, VA, 600);
}

static void movs(void)
{
	u8 *p = (u8 *)VA;
	struct regs r;

	map_two();
	for (int i = 0; i < 256; i++)
		p[i] = i;
	r = (struct regs){ 0, 100, VA + 3, VA + PAGE - 50, FLAGS };
	CHECK_EQ("movsb", STRING("rep movsb", r), NO_TRAP);
	CHECK_EQ("movsb si", r.si, VA + 103);
	CHECK_EQ("movsb di", r.di, VA + PAGE + 50);
	CHECK_EQ("movsb flags", r.flags, FLAGS);
	CHECK_EQ("movsb data", memcmp(p + 3, p + PAGE - 50, 100), 0);
	r = (struct regs){ 0, 32, VA, VA + 1024, FLAGS };
	CHECK_EQ("movsq", STRING("rep movsq", r), NO_TRAP);
	CHECK_EQ("movsq data", memcmp(p, p + 1024, 256), 0);
	/* One byte ahead of itself: the byte spreads. */
	r = (struct regs){ 0, 60, VA + 7, VA + 8, FLAGS };
	CHECK_EQ("overlap", STRING("rep movsb", r), NO_TRAP);
	for (int i = 0; i <= 60; i++)
		CHECK_EQ("spread", p[7 + i], 7);
	/* Downward. */
	for (int i = 0; i < 64; i++)
		p[i] = i;
	r = (struct regs){ 0, 60, VA + 59, VA + 63, FLAGS | FLAG_DF };
	CHECK_EQ("down", STRING("rep movsb", r), NO_TRAP);
	CHECK_EQ("down si", r.si, VA - 1);
	CHECK_EQ("down di", r.di, VA + 3);
	for (int i = 0; i < 60; i++)
		CHECK_EQ("moved", p[4 + i], i);
}

/* Nothing is accessed if there is nothing to do. */
static void none(void)
{
	struct regs r = { 0, 0, BIT(50), BIT(51), FLAGS };

	CHECK_EQ("movsb", STRING("rep movsb", r), NO_TRAP);
	CHECK_EQ("si", r.si, BIT(50));
	CHECK_EQ("di", r.di, BIT(51));
	CHECK_EQ("stosq", STRING("rep stosq", r), NO_TRAP);
	CHECK_EQ("cx", r.cx, 0);
}

/* A fault half-way shows how far the instruction has come. */
static void string_faults(void)
{
	struct regs r;

	map_two();
	unmap4k(VA + PAGE);
	r = (struct regs){ 1, 10, 0, VA + PAGE - 32, FLAGS };
	CHECK_EQ("stosq", STRING("rep stosq", r), X_PF);
	CHECK_EQ("cr2", trap.cr2, VA + PAGE);
	CHECK_EQ("error", trap.error, PF_W);
	CHECK_EQ("cx", trap.frame.cx, 6);
	CHECK_EQ("di", trap.frame.di, VA + PAGE);
	r = (struct regs){ 0, 10, VA + PAGE - 4, VA, FLAGS };
	CHECK_EQ("movsb", STRING("rep movsb", r), X_PF);
	CHECK_EQ("cr2", trap.cr2, VA + PAGE);
	CHECK_EQ("error", trap.error, 0);
	CHECK_EQ("cx", trap.frame.cx, 6);
	CHECK_EQ("si", trap.frame.si, VA + PAGE);
	CHECK_EQ("di", trap.frame.di, VA + 4);
	/* A count whose size does not fit in 64 bits. */
	r = (struct regs){ 1, BIT(61) + 2, 0, VA + PAGE - 64, FLAGS };
	CHECK_EQ("huge", STRING("rep stosq", r), X_PF);
	CHECK_EQ("huge cx", trap.frame.cx, BIT(61) - 6);
	map4k(VA + PAGE, 0xc01000, PTE_P);
	r = (struct regs){ 1, 2, 0, VA + PAGE, FLAGS };
	CHECK_EQ("read-only", STRING("rep stosb", r), X_PF);
	CHECK_EQ("error", trap.error, PF_P | PF_W);
	r = (struct regs){ 1, 2, 0, BIT(50), FLAGS };
	CHECK_EQ("non-canonical", STRING("rep stosb", r), X_GP);
}

/* PUSHF between instructions that write flags and memory. */
static void flag_images(void)
{
	u64 a, b, c, d;

	asm volatile("mov $-1, %%rax; add $1, %%rax; push %%rax; pushfq\n"
		     "mov 8(%%rsp), %%rcx; dec %%rcx; pushfq\n"
		     "cli; pushfq; sti; pushfq; cli\n"
		     "pop %3; pop %2; pop %1; pop %0; pop %%rax"
		     : "=r"(a), "=r"(b), "=r"(c), "=r"(d)
		     :
		     : "rax", "rcx", "memory", "cc");
	CHECK_EQ("add", a, 2 | FLAG_CF | FLAG_ZF | FLAG_AF | FLAG_PF);
	CHECK_EQ("dec", b, 2 | FLAG_CF | FLAG_SF | FLAG_AF | FLAG_PF);
	CHECK_EQ("cli", c, b);
	CHECK_EQ("sti", d, b | FLAG_IF);
	asm volatile("movabs $0x7fffffffffffffff, %%rax; inc %%rax; pushfw\n"
		     "pop %w0"
		     : "=&r"(a)
		     :
		     : "rax", "memory", "cc");
	CHECK("pushfw", (a & (FLAG_OF | FLAG_SF)) == (FLAG_OF | FLAG_SF));
}

static u64 words[4] = { 0x1111, 0x2222, 0x3333, 0x4444 };

/* Pushes of all kinds in one block, as a system call's entry has them. */
static void pushes(void)
{
	u64 got[7];

	wrmsr(MSR_GS_BASE, (u64)words);
	wrmsr(MSR_KERNEL_GS_BASE, (u64)words + 8);
	asm volatile("mov $0x66, %%r11; mov $0x77, %%r10\n"
		     "swapgs; push $0x2b; push %%gs:8; push %%r11; pushfq\n"
		     "swapgs; push %%gs:8; push %%r10; pushq words+24\n"
		     "pop (%0); pop 8(%0); pop 16(%0); pop 24(%0)\n"
		     "pop 32(%0); pop 40(%0); pop 48(%0)"
		     :
		     : "r"(got)
		     : "r10", "r11", "memory");
	CHECK_EQ("rip", got[0], 0x4444);
	CHECK_EQ("r10", got[1], 0x77);
	CHECK_EQ("gs", got[2], 0x2222);
	CHECK_EQ("flags", got[3] & (FLAG_IF | 2), 2);
	CHECK_EQ("r11", got[4], 0x66);
	CHECK_EQ("swapped gs", got[5], 0x3333);
	CHECK_EQ("imm", got[6], 0x2b);
	wrmsr(MSR_GS_BASE, 0);
}

#define BASE(reg)                                                              \
	do {                                                                   \
		u64 v_;                                                        \
		asm volatile("movabs $0xffff800012345678, %%" reg "\n"         \
			     "wrgsbase %%" reg "; xor %%" reg ", %%" reg "\n"  \
			     "rdgsbase %%" reg "; mov %%" reg ", %0"           \
			     : "=m"(v_)                                        \
			     :                                                 \
			     : reg, "cc");                                     \
		CHECK_EQ(reg, v_, 0xffff800012345678);                         \
		CHECK_EQ(reg, rdmsr(MSR_GS_BASE), 0xffff800012345678);         \
		CHECK_EQ("bad " reg,                                           \
			 TRY("movabs $0x800000000000, %%" reg "\n"             \
			     "2: wrfsbase %%" reg,                             \
			     ::                                                \
				     : reg),                                   \
			 X_GP);                                                \
	} while (0)

static void bases(void)
{
	u64 v;

	write_cr4(read_cr4() | CR4_FSGSBASE);
	BASE("rax");
	BASE("rcx");
	BASE("rdx");
	BASE("rsi");
	BASE("r8");
	BASE("r10");
	BASE("r11");
	BASE("r15");
	asm volatile("mov $-1, %%r10; wrfsbase %%r10d; mov $-1, %%r11\n"
		     "rdfsbase %%r11d; mov %%r11, %0"
		     : "=r"(v)
		     :
		     : "r10", "r11");
	CHECK_EQ("32 bits", v, 0xffffffff);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, 0);
	write_cr4(read_cr4() & ~CR4_FSGSBASE);
	CHECK_TRAP("disabled", TRY("rdgsbase %%rax", ::: "rax"), X_UD, 0);
}

static void counters(void)
{
	u64 a, d, c, last = rdtsc();

	wrmsr(MSR_TSC_AUX, 0x12345678);
	for (int i = 0; i < 100; i++) {
		asm volatile("mov $-1, %%rax; mov %%rax, %%rdx; rdtsc"
			     : "=a"(a), "=d"(d));
		CHECK("high bits", !(a >> 32) && !(d >> 32));
		CHECK("monotonic", (d << 32 | a) >= last);
		last = d << 32 | a;
		asm volatile("mov $-1, %%rcx; rdtscp"
			     : "=a"(a), "=d"(d), "=c"(c));
		CHECK_EQ("aux", c, 0x12345678);
		CHECK("monotonic", (d << 32 | a) >= last);
		last = d << 32 | a;
	}
}

/* STAC and CLAC around accesses through one pointer, in one block. */
static void smap(void)
{
	u64 v;

	map4k(VA, 0xc00000, RWU);
	map4k(VA + PAGE, 0xc01000, RW);
	*(volatile u64 *)VA = 0x5555;
	write_cr4(read_cr4() | CR4_SMAP);
	for (int i = 0; i < 3; i++) {
		asm volatile("push %1; stac; mov (%1), %0; incq 8(%1); clac\n"
			     "pushfq; movq $1, 4096(%1); pop %%rcx; pop %%rcx"
			     : "=&r"(v)
			     : "r"(VA)
			     : "rcx", "memory", "cc");
		CHECK_EQ("read", v, 0x5555);
		CHECK_EQ("behind clac",
			 TRY("stac; mov (%1), %0; clac; 2: mov (%1), %0",
			     : "=&r"(v)
			     : "r"(VA)
			     : "memory"),
			 X_PF);
		CHECK_EQ("before stac",
			 TRY("mov (%1), %0; stac",
			     : "=&r"(v)
			     : "r"(VA)
			     : "memory"),
			 X_PF);
		asm volatile("clac" : : : "memory");
		CHECK_EQ("stos behind clac",
			 TRY("stac; rep stosb; clac; 2: mov $8, %%ecx\n"
			     "rep stosb",
			     :
			     : "D"(VA + 64), "c"(8), "a"(0)
			     : "memory"),
			 X_PF);
	}
	write_cr4(read_cr4() & ~CR4_SMAP);
	CHECK_EQ("counted", ((u64 *)VA)[1] != 0, 1);
	CHECK_EQ("beside", ((u64 *)VA)[512], 1);
}

static void control_registers(void)
{
	u64 got[4], r15;

	asm volatile("mov %%cr0, %%rax; mov %%rax, %0; mov %%cr2, %%r15\n"
		     "mov %%r15, %1; mov %%cr3, %%r10; mov %%r10, %2\n"
		     "mov %%cr4, %%rcx; mov %%rcx, %3; mov %%cr0, %%r15\n"
		     "mov %%r15, %4"
		     : "=m"(got[0]), "=m"(got[1]), "=m"(got[2]), "=m"(got[3]),
		       "=m"(r15)
		     :
		     : "rax", "rcx", "r10", "r15");
	CHECK_EQ("cr0", got[0], read_cr0());
	CHECK_EQ("cr2", got[1], read_cr2());
	CHECK_EQ("cr3", got[2], read_cr3());
	CHECK_EQ("cr4", got[3], read_cr4());
	CHECK_EQ("r15", r15, got[0]);
	asm volatile("mov $0x1234, %%rax; mov %%rax, %%cr2" : : : "rax");
	CHECK_EQ("cr2", read_cr2(), 0x1234);
	CHECK_TRAP("cr1", TRY(".byte 0x0f, 0x20, 0xc8", ::: "rax"), X_UD, 0);
}

void guest_main(void)
{
	RUN(stos);
	RUN(movs);
	RUN(none);
	RUN(string_faults);
	RUN(flag_images);
	RUN(pushes);
	RUN_IF(has(FEAT_FSGSBASE), bases);
	RUN_IF(has(FEAT_RDTSCP), counters);
	RUN_IF(has(FEAT_SMAP), smap);
	RUN(control_registers);
}
