#pragma once

struct vm;

enum stats_format { STATS_NONE, STATS_TEXT, STATS_JSON };

/*
 * stats_print - the run's exits to user mode, and KVM's own counters where it
 * has them (KVM_GET_STATS_FD), on stderr; JSON is one line.
 */
void stats_print(struct vm *vm, enum stats_format format);
