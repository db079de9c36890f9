#pragma once

#include "base/types.h"

/*
 * The stub's program: an ELF executable of one page at STUB_BASE:
 *
 *	INT3
 *	for (; ebp; ebp--, rbx += sizeof(struct stub_call))
 *		rax = system call as in *rbx, out of the loop if that failed
 *	INT3
 *
 * and has one SYSCALL instruction.
 */

/* stub_image - a close-on-exec descriptor of it, or -errno. */
int stub_image(void);

/* Addresses in the process: the loop's first instruction, its SYSCALL, the one
 * behind that, and the one behind INT3. */
uint64_t stub_loop(void);
uint64_t stub_syscall(void);
uint64_t stub_after_syscall(void);
uint64_t stub_after_int3(void);
