#pragma once

#include <linux/kvm.h>

#include "vmm/ram.h"

/* The state in which the boot CPU starts; what is not named here is zero. */
enum entry_mode {
	ENTRY_REAL,
	ENTRY_PROT32,
	ENTRY_LONG64,
	ENTRY_RESET, /* the processor's own: nothing is set */
};

struct entry {
	enum entry_mode mode;
	gpa_t rip; /* in real mode below 64 KiB: CS is 0; else IP is below 16 */
	uint64_t rax, rbx, rdx, rsi, rsp;
};

/*
 * entry_write_tables - the GDT, and for 64-bit entry page tables that map the
 * first 4 GiB onto themselves.  0 or -EFAULT.
 */
int entry_write_tables(const struct entry *entry, const struct ram *ram);

/* entry_set_regs - the boot CPU's registers; @sregs holds the reset state. */
void entry_set_regs(const struct entry *entry, struct kvm_regs *regs,
		    struct kvm_sregs *sregs);
