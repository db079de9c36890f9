/*
 * TF in 32-bit code: what only it has, POP SS, LSS, far transfers, INTO, BOUND,
 * PUSHA, instructions on segments and BCD.
 */
#include "test/guest/lib/trap.h"

#define DR6_ONES 0xffff0ff0ul

static struct {
	word ip, flags;
} log[40];
static volatile unsigned hits;

static void on_db(struct frame *f)
{
	if (hits < ARRAY_SIZE(log)) {
		log[hits].ip = f->ip;
		log[hits].flags = f->flags;
	}
	hits++;
	write_dr6(DR6_ONES);
}

#define STEP(body, ...)                                                        \
	({                                                                     \
		word start_;                                                   \
		hits = 0;                                                      \
		asm volatile("pushfl; orl $0x100, (%%esp); popfl\n"            \
			     "1: " body "\n"                                   \
			     "pushfl; andl $~0x100, (%%esp); popfl\n"          \
			     "movl $1b, %0"                                    \
			     : "=m"(start_)                                    \
			     : __VA_ARGS__                                     \
			     : "eax", "ecx", "edx", "esi", "edi", "memory",    \
			       "cc");                                          \
		start_;                                                        \
	})
/* The steps behind @body: pushfl, andl, popfl. */
#define TAIL 3

/* POP SS and MOV SS hold the trap back, POP to others and LSS do not. */
static void stack_segment(void)
{
	static volatile struct {
		u32 sp;
		u16 ss;
	} far;
	word at = STEP("push %%ss; pop %%ss; nop; nop", );

	CHECK_EQ("pop ss", hits, 3 + TAIL);
	CHECK_EQ("push", log[0].ip, at + 1);
	CHECK_EQ("behind the next", log[1].ip, at + 3);
	STEP("push %%ds; pop %%ds; push %%es; pop %%es; nop", );
	CHECK_EQ("pop ds", hits, 5 + TAIL);
	at = STEP("mov %%ss, %%eax; mov %%eax, %%ss; nop", );
	CHECK_EQ("mov ss", hits, 2 + TAIL);
	far.ss = read_ss();
	STEP("mov %%esp, %1; lss %1, %%esp; nop", "m"(far));
	CHECK_EQ("lss", hits, 3 + TAIL);
}

static volatile unsigned entries;
static volatile word entry_flags, entry_ip;

static void on_soft(struct frame *f)
{
	entries++;
	entry_flags = f->flags;
	entry_ip = f->ip;
}

/* INTO that traps loses its step, one that does not is one. */
static void overflow(void)
{
	word at;

	trap_handler(X_OF, on_soft);
	entries = 0;
	at = STEP("xor %%eax, %%eax; into; nop", );
	CHECK_EQ("no overflow", hits, 3 + TAIL);
	at = STEP("mov $0x7f, %%al; inc %%al; into; nop", );
	CHECK_EQ("into", entries, 1);
	CHECK_EQ("into ip", entry_ip, at + 5);
	CHECK_EQ("rf", entry_flags & FLAG_RF, 0);
	CHECK_EQ("tf", entry_flags & FLAG_TF, FLAG_TF);
	CHECK_EQ("overflow", hits, 3 + TAIL);
	trap_handler(X_OF, NULL);
}

static void all_kinds(void)
{
	static volatile s32 bounds[2] = { -10, 10 };

	STEP("pusha; popa; pushal; popal", );
	CHECK_EQ("pusha", hits, 4 + TAIL);
	STEP("push %%cs; push $2f; lret; 2: nop", );
	CHECK_EQ("lret", hits, 4 + TAIL);
	/* SEL_CODE */
	STEP("ljmp $0x10, $2f; nop; 2: lcall $0x10, $3f; jmp 4f; 3: lret; "
	     "4:", );
	CHECK_EQ("far", hits, 4 + TAIL);
	STEP("pushfl; push %%cs; push $2f; iretl; 2: nop", );
	CHECK_EQ("iret", hits, 5 + TAIL);
	STEP("xor %%eax, %%eax; bound %%eax, %1; arpl %%ax, %%ax; daa; das; "
	     "aaa; aas; aam; aad; .byte 0xd6",
	     "m"(bounds));
	CHECK_EQ("old ones", hits, 10 + TAIL);
	STEP("mov $3, %%ecx; 2: loop 2b; jecxz 3f; nop; 3:", );
	CHECK_EQ("loops", hits, 5 + TAIL);
	STEP("enter $16, $2; leave; sldt %%eax; str %%eax; smsw %%eax; "
	     "lar %%ax, %%eax; lsl %%ax, %%eax; verr %%ax; cli", );
	CHECK_EQ("system", hits, 9 + TAIL);
}

void guest_main(void)
{
	trap_handler(X_DB, on_db);
	RUN(stack_segment);
	RUN(overflow);
	RUN(all_kinds);
}
