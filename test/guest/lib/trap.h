#pragma once

/*
 * Exceptions: each one is recorded, then the test goes on at a fix-up address,
 * or (from ring 3) behind the run_user() that started the user code.
 */
#include "test/guest/lib/cpu.h"
#include "test/guest/lib/desc.h"

enum {
	NO_TRAP = -1,
	X_DE = 0,
	X_DB = 1,
	X_NMI = 2,
	X_BP = 3,
	X_OF = 4,
	X_BR = 5,
	X_UD = 6,
	X_NM = 7,
	X_DF = 8,
	X_TS = 10,
	X_NP = 11,
	X_SS = 12,
	X_GP = 13,
	X_PF = 14,
	X_MF = 16,
	X_AC = 17,
	X_XM = 19,
	/* Vector of a gate with DPL 3: how user code comes back. */
	V_USER = 0x80,
};

/* The stack as the stubs leave it. */
struct frame {
#ifdef __x86_64__
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
#endif
	word di, si, bp, bx, dx, cx, ax;
	word vector, error, ip, cs, flags;
	/* 32-bit: only there if the privilege level changed. */
	word sp, ss;
	/* Only on an exit from virtual-8086 mode. */
	word vm_es, vm_ds, vm_fs, vm_gs;
};

struct trap {
	int count;  /* since trap_clear() */
	int vector; /* of the last one; NO_TRAP if none */
	word error, cr2, dr6;
	word want;	    /* address of the instruction under TRY */
	word handler_flags; /* flags that the handler found */
	word handler_sp;    /* where the frame lies */
	u16 handler_cs, handler_ss, handler_ds;
	struct frame frame;
};
extern volatile struct trap trap;

/* Where a trap in ring 0 continues, and the stack and frame pointer there. */
extern volatile word trap_fixup, trap_sp, trap_bp, trap_want;
/* 32-bit: base of the stack segment, if a test uses another than SEL_DATA. */
extern word trap_ss_base;
/* #PF error code bits. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };

void trap_init(void);
/* trap_clear - forgets the last trap. */
void trap_clear(void);
/* trap_end - ends a TRY; the vector of its trap. */
int trap_end(void);
/* trap_handler - @fn handles @vector (NULL: the default again); it resumes. */
void trap_handler(unsigned vector, void (*fn)(struct frame *));
const char *trap_name(int vector);

/*
 * run_user - runs @entry in ring 3 with @arg in RDI (32-bit: EDI) until its
 * first trap; returns the vector.  `user_sel` and `user_flags` choose CS and
 * the flags.
 */
int run_user(void *entry, word arg);
extern word user_sel, user_ss, user_flags, user_sp;
#define USER_EXIT "int $0x80"
/* USER_CODE - the address of a piece of ring-3 code. */
#define USER_CODE(code)                                                        \
	({                                                                     \
		void *p_;                                                      \
		asm(".pushsection .user.text, \"ax\"\n773: " code              \
		    "\n" USER_EXIT "\n.popsection\nmov $773b, %0"              \
		    : "=r"(p_));                                               \
		p_;                                                            \
	})

#ifdef __x86_64__
#define MOVW   "movq "
#define ASM_SP "%%rsp"
#define ASM_BP "%%rbp"
#else
#define MOVW   "movl "
#define ASM_SP "%%esp"
#define ASM_BP "%%ebp"
#endif

/*
 * TRY - runs one instruction (or several; label 2 is the first) and gives the
 * vector of the trap it took, NO_TRAP if none.  The operands follow as for asm;
 * an empty list is written ":".
 */
#define TRY(insn, ...) TRY_AT("", insn, __VA_ARGS__)
/* TRY_AT - the same with instructions before the one under test. */
#define TRY_AT(before, insn, ...)                                              \
	({                                                                     \
		trap_clear();                                                  \
		asm volatile(MOVW                                              \
			     "$771f, trap_fixup\n\t" MOVW ASM_SP               \
			     ", trap_sp\n\t" MOVW ASM_BP ", trap_bp\n\t" MOVW  \
			     "$772f, trap_want\n\t" before "\n772: " insn "\n" \
			     "771: " MOVW "trap_sp, " ASM_SP __VA_ARGS__);     \
		trap_end();                                                    \
	})

/* CHECK_TRAP - a TRY's vector, its error code, and that RIP was right. */
#define CHECK_TRAP(what, vec, want_vec, want_error)                            \
	do {                                                                   \
		int v_ = (vec);                                                \
		CHECK_EQ(what " vector", v_, want_vec);                        \
		if (v_ != NO_TRAP && v_ == (want_vec)) {                       \
			CHECK_EQ(what " error", trap.error, want_error);       \
			CHECK_EQ(what " rip", trap.frame.ip, trap.want);       \
		}                                                              \
	} while (0)
