/*
 * KVM's forced emulation prefix: UD2 and "kvm" have the instruction behind them
 * emulated.  A fault is that of the instruction, with its own address; the
 * prefix counts once, and anything else behind UD2 leaves it an UD2.
 * Expectations: Linux, with kvm.force_emulation_prefix=1.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/paging64.h"

#define FEP	"ud2; .byte 'k', 'v', 'm'; "
#define NOWHERE 0x7f0000000000ul

static void plain(void)
{
	u64 from = 0x1122334455667788, to = 0;

	CHECK_OK("nop", TRY_AT(FEP, "nop", :));
	CHECK_OK("load", TRY_AT(FEP, "mov %1, %%rax; mov %%rax, %0",
				: "=m"(to)
				: "m"(from)
				: "rax"));
	CHECK_EQ("loaded", to, from);
	CHECK_OK("push", TRY_AT(FEP, "push $5; pop %0", : "=r"(to)));
	CHECK_EQ("pushed", to, 5);
	CHECK_OK("jump", TRY_AT(FEP, "jmp 1f; ud2; 1:", :));
	CHECK_OK("privileged", TRY_AT(FEP, "mov %%cr0, %0", : "=r"(to)));
	CHECK_EQ("cr0", to, read_cr0());
}

static void faults(void)
{
	CHECK_TRAP("#PF",
		   TRY_AT(FEP, "movb $0, (%0)",
			  :
			  : "r"(NOWHERE)),
		   X_PF, PF_W);
	CHECK_EQ("cr2", trap.cr2, NOWHERE);
	CHECK_TRAP("#GP",
		   TRY_AT(FEP, "movb $0, (%0)",
			  :
			  : "r"(0x1234567890abcdeful)),
		   X_GP, 0);
	CHECK_TRAP("#DE",
		   TRY_AT(FEP, "div %0",
			  :
			  : "r"(0ul), "a"(1ul), "d"(0ul)),
		   X_DE, 0);
}

static void other_bytes(void)
{
	CHECK_TRAP("bare", TRY("ud2", :), X_UD, 0);
	CHECK_TRAP("letters", TRY("ud2; .ascii \"kvn\"", :), X_UD, 0);
	CHECK_TRAP("twice", TRY_AT(FEP, FEP "nop", :), X_UD, 0);
	CHECK_TRAP("undefined", TRY_AT(FEP, "ud2", :), X_UD, 0);
}

static void user_mode(void)
{
	CHECK_EQ("user", run_user(USER_CODE(FEP "lea 7(%%rdi), %%rax"), 35),
		 V_USER);
	CHECK_EQ("rax", trap.frame.ax, 42);
	CHECK_EQ("user hlt", run_user(USER_CODE(FEP "hlt"), 0), X_GP);
}

/* A trap flag steps over prefix and instruction in one. */
static volatile int steps;

static void on_db(struct frame *f)
{
	steps++;
	f->flags &= ~FLAG_TF;
}

static void stepped(void)
{
	steps = 0;
	trap_handler(X_DB, on_db);
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n" FEP "nop"
		     :
		     :
		     : "memory", "cc");
	trap_handler(X_DB, NULL);
	CHECK_EQ("steps", steps, 1);
}

void guest_main(void)
{
	RUN(plain);
	RUN(faults);
	RUN(other_bytes);
	RUN(user_mode);
	RUN(stepped);
	test_end();
}
