#pragma once

#include "cpu/desc.h"
#include "cpu/mem.h"

/* How a task switch was asked for. */
enum task_cause { TASK_JMP, TASK_CALL, TASK_IRET, TASK_EVENT };

/*
 * tss_rsp - a stack pointer of the 64-bit TSS: RSPn for @slot 0..2, ISTn for
 * @slot 3 + n (n = 1..7).  #TS(TR) if it is beyond the limit.
 */
enum cpu_result tss_rsp(struct cpu *c, unsigned int slot, uint64_t *rsp);

/*
 * tss_switch_stack - the stack of level @cpl from the 16- or 32-bit TSS, all
 * checks made (#TS, #SS); @ss is its descriptor.
 */
enum cpu_result tss_switch_stack(struct cpu *c, unsigned int cpl,
				 unsigned int size, struct stack *st,
				 struct desc *ss);

/*
 * task_transfer - JMP or CALL to the task gate or TSS @d, legacy mode.
 * Faults up to the point of no return leave the state alone; later ones are
 * raised in the new task, whose RIP is in c->rip then.
 * Source: SDM 3A "Task Switching".
 */
enum cpu_result task_transfer(struct cpu *c, const struct desc *d,
			      enum task_cause cause);

/* task_return - IRET with NT set: back to the task of the back link. */
enum cpu_result task_return(struct cpu *c);

/*
 * task_event - an event through the task gate @gate; the outgoing task saves
 * @rip and @rflags.  Leaves c->rip at the new task's.
 */
enum cpu_result task_event(struct cpu *c, const struct desc *gate, uint64_t rip,
			   uint64_t rflags, const struct event *ev);
