#pragma once

#include "cpu/op.h"

/* The helpers of cpu/ops_sys.def; contract in cpu/op.h. */
#define CPU_OP(id, fn) enum cpu_result fn(struct cpu *c, const struct insn *i);
#include "cpu/ops_sys.def"
#undef CPU_OP
