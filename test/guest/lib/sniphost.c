/*
 * The host's side of the snippets: a program without a C library, linked at
 * the guest's addresses, that writes the results to standard output.
 */
#include "test/guest/lib/snip.h"

#ifdef __x86_64__
enum { SYS_WRITE = 1, SYS_MMAP = 9, SYS_EXIT = 60, SYS_ARCH_PRCTL = 158 };

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	register long r9 asm("r9") = f;

	asm volatile("syscall"
		     : "+a"(nr)
		     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return nr;
}
#else
enum { SYS_WRITE = 4, SYS_MMAP = 90, SYS_EXIT = 1 };

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	long old_mmap[] = { a, b, c, d, e, f };

	if (nr == SYS_MMAP)
		a = (long)old_mmap;
	asm volatile("int $0x80"
		     : "+a"(nr)
		     : "b"(a), "c"(b), "d"(c)
		     : "memory");
	return nr;
}
#endif

void host_main(void) __attribute__((noreturn));

void *memset(void *dst, int c, size_t n)
{
	for (u8 *d = dst; n--; d++)
		*(volatile u8 *)d = c;
	return dst;
}

asm(".globl host_start\n"
    "host_start: call host_main");

void host_main(void)
{
	unsigned all = snip_tab_end - snip_tab;

	/* Private, anonymous, fixed: readable, writable, executable. */
	if (call(SYS_MMAP, SNIP_BUF & ~(PAGE - 1), 4 * PAGE, 7, 0x32, -1, 0) <
	    0)
		call(SYS_EXIT, 2, 0, 0, 0, 0, 0);
#ifdef __x86_64__
	call(SYS_ARCH_PRCTL, 0x1002, SNIP_FS_BASE, 0, 0, 0, 0);
	call(SYS_ARCH_PRCTL, 0x1001, SNIP_GS_BASE, 0, 0, 0, 0);
#endif
	for (unsigned n = 0; n < all; n++) {
		for (int round = 0; round < ROUNDS; round++) {
			struct snip_result r;

			snip_run(n, round, &r);
			call(SYS_WRITE, 1, (long)&r, sizeof(r), 0, 0, 0);
		}
	}
	for (;;)
		call(SYS_EXIT, 0, 0, 0, 0, 0, 0);
}
