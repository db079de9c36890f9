#pragma once

#include "base/types.h"

/* insn_length64 may read so many bytes, of which it uses 15 at most. */
#define INSN_LENGTH_READS 24

struct insn_length {
	uint8_t len;	/* 0: see below */
	uint8_t opcode; /* where it begins, behind prefixes and REX */
};

/*
 * insn_length64 - the length of an instruction of 64-bit code, in a fraction of
 * the time that insn_decode takes; 0 if @bytes begin with an opcode that is
 * undefined whatever comes behind it, or are longer than 15.  For instructions
 * that insn_decode knows it is their length; others may be undefined for a
 * reason that is not looked at (LOCK, ModRM).
 */
struct insn_length insn_length64(const uint8_t *bytes);
