#pragma once

/*
 * User mode as a 64-bit Linux has it, which the engine may run in a host
 * process of its own: the same must come out as elsewhere.
 */
#include "test/guest/lib/access.h"
#include "test/guest/lib/apic.h"
#include "test/guest/lib/paging64.h"

#define RWU (PTE_P | PTE_W | PTE_U)
#define RU  (PTE_P | PTE_U)

/* A page that user code can use, in the boot tables' user part. */
extern volatile u64 user_mem[512];

/* What syscall_entry found; it returns by SYSRET. */
struct entry {
	u64 ax, cx, r11, flags, count;
};
extern volatile struct entry entry;
extern u8 syscall_entry[];

/*
 * How user code comes back here: INT 80 is what a 64-bit host answers itself,
 * so pages that hold it are not for a host process.
 */
#undef USER_EXIT
#define USER_EXIT "int $0x90"
#define V_DONE	  0x90
#undef CHECK_USER_OK
#define CHECK_USER_OK(what, vec) CHECK_EQ(what " vector", vec, V_DONE)
extern u8 do_read[], do_write[], do_rmw[], do_call[];

#define U(code) run_user(USER_CODE(code), (word)user_mem)
/* The same in pages of its own: a host process must not run all of it. */
#define U_APART(code)                                                          \
	run_user(USER_CODE(".balign 4096\n" code "\n" USER_EXIT                \
			   "\n.balign 4096"),                                  \
		 (word)user_mem)

static inline volatile u64 *pte_of(u64 va)
{
	return pte_at(cr3_root(), va, 1);
}

/* set_pte - changes the entry of a 4 KiB page, with INVLPG. */
static inline void set_pte(u64 va, u64 pte)
{
	*pte_of(va) = pte;
	invlpg(va);
}

/* user_value - the 8 bytes at @va as user code reads them. */
u64 user_value(u64 va);
/* user_called - what the user code at @va returns. */
u64 user_called(u64 va);
/* user_store - lets user code write 8 bytes; the vector. */
int user_store(u64 va, u64 value);
/* put_code - mov $v, %eax; ret */
void put_code(u64 at, u32 v);

void test_events(void);
void test_paging(void);
void test_spaces(void);
void test_code(void);
void test_state(void);
void test_time(void);
