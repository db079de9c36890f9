#include "cpu/op.h"
#include "cpu/ops_sys.h"
#if __has_include("cpu/ops_seg.h")
#include "cpu/ops_seg.h"
#endif

const cpu_op_fn cpu_ops[NR_INSN_IDS] = {
#define CPU_OP(id, fn) [ID_##id] = fn,
#include "cpu/ops_sys.def"
#if __has_include("cpu/ops_seg.def")
#include "cpu/ops_seg.def"
#endif
#undef CPU_OP
};
