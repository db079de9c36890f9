#pragma once

#include "base/types.h"

/* A guest exception: what IDT delivery needs to know. */
struct x86_fault {
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t address; /* #PF: CR2; #DB: DR6 bits to set */
};

/*
 * How an engine function that works for the guest ended.  A fault or an exit
 * is a guest event, not an error; the state is as before the instruction
 * unless the architecture says otherwise.
 */
enum cpu_result {
	CPU_OK = 0,
	CPU_FAULT, /* cpu->fault says which exception to deliver */
	CPU_EXIT,  /* cpu->exit says what root mode has to do */
};
