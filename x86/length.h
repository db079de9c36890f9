#pragma once

#include "base/types.h"

/* insn_length64 may read so many bytes, of which it uses 15 at most. */
#define INSN_LENGTH_READS 24

/*
 * insn_length64 - the length of an instruction of 64-bit code, in a fraction of
 * the time that insn_decode takes; 0 if @bytes begin with an opcode that is
 * undefined whatever comes behind it, or are longer than 15.  For instructions
 * that insn_decode knows it is their length; others may be undefined for a
 * reason that is not looked at (LOCK, ModRM).  @opcode gets the number of
 * prefixes, REX among them, that stand in front.
 */
unsigned int insn_length64(const uint8_t *bytes, unsigned int *opcode);
