#include "test/guest/lib/trap.h"

volatile struct trap trap;
volatile word trap_fixup, trap_sp, trap_bp, trap_want;
word user_sel = SEL_UCODE, user_ss = SEL_UDATA, user_flags = 2, user_sp;
static void (*handlers[256])(struct frame *);

/* Set while user code runs; user_leave() goes back to run_user(). */
extern word user_saved_sp;
void user_leave(int vector) __attribute__((noreturn));
void trap_dispatch(struct frame *f);
void trap_resume(struct frame *f, word sp) __attribute__((noreturn));

static u8 user_stack[8192] __user_data __attribute__((aligned(16)));

const char *trap_name(int vector)
{
	static const char names[][4] = {
		"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9",
		"TS", "NP", "SS",  "GP", "PF", "15", "MF", "AC", "MC", "XM",
	};

	return vector >= 0 && vector < 20 ? names[vector] : "?";
}

void trap_init(void)
{
	/* The firmware's interrupts are not wanted: mask both PICs. */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	user_sp = (word)user_stack + sizeof(user_stack) - 64;
	trap_clear();
}

void trap_clear(void)
{
	trap.count = 0;
	trap.vector = NO_TRAP;
	trap.error = 0;
}

int trap_end(void)
{
	trap_fixup = 0;
	trap.want = trap_want;
	return trap.vector;
}

void trap_handler(unsigned vector, void (*fn)(struct frame *))
{
	handlers[vector] = fn;
}

static void unexpected(struct frame *f)
{
	print("FAIL unexpected trap %d (%s) error %lx cs %lx ip %lx flags %lx "
	      "cr2 %lx cr3 %lx\n",
	      (int)f->vector, trap_name(f->vector), f->error, f->cs, f->ip,
	      f->flags, read_cr2(), read_cr3());
	print("  ax %lx bx %lx cx %lx dx %lx si %lx di %lx bp %lx frame %lx\n",
	      f->ax, f->bx, f->cx, f->dx, f->si, f->di, f->bp, (word)f);
	guest_exit(2);
}

static void record(struct frame *f)
{
	const u8 *from = (const u8 *)f;
	volatile u8 *to = (volatile u8 *)&trap.frame;
	size_t n = sizeof(*f);

	/* What the stack holds depends on where the trap came from. */
	if (!(f->flags & FLAG_VM))
		n = offsetof(struct frame, vm_es);
#ifndef __x86_64__
	if (!(f->cs & 3) && !(f->flags & FLAG_VM))
		n = offsetof(struct frame, sp);
#endif
	while (n--)
		*to++ = *from++;
	trap.handler_flags = read_flags();
	trap.handler_sp = (word)f;
	trap.handler_cs = read_cs();
	trap.handler_ss = read_ss();
	trap.handler_ds = read_ds();
	trap.vector = f->vector;
	trap.error = f->error;
	trap.cr2 = read_cr2();
	if (f->vector == X_DB)
		trap.dr6 = read_dr6();
	trap.count++;
}

void trap_dispatch(struct frame *f)
{
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	record(f);
	if (((f->cs & 3) == 3 || (f->flags & FLAG_VM)) && user_saved_sp)
		user_leave(f->vector);
	if (!trap_fixup)
		unexpected(f);
	f->ip = trap_fixup;
	f->cs = SEL_CODE;
	f->bp = trap_bp;
	f->flags &= ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_DF);
	trap_fixup = 0;
#ifdef __x86_64__
	f->sp = trap_sp;
	f->ss = SEL_DATA;
#else
	trap_resume(f, trap_sp);
#endif
}
