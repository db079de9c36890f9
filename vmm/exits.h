#pragma once

#include <linux/kvm.h>

#include "base/types.h"

/*
 * A vCPU's exits to user mode: counts and times per KVM_EXIT reason, and the
 * latest ones in full.  Written by the vCPU's thread, read after it ended.
 */
#define EXITS_REASONS 40
#define EXITS_RECENT  16

struct exit_record {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint32_t reason;
	bool is_write;
	uint8_t len;
	uint64_t addr, val;
};

struct exits {
	uint64_t count[EXITS_REASONS], time_ns[EXITS_REASONS];
	uint64_t interrupted; /* KVM_RUN ended by a signal */
	uint64_t total;
	struct exit_record recent[EXITS_RECENT]; /* ring, by total */
};

/* exits_name - "IO" for KVM_EXIT_IO and so on. */
const char *exits_name(unsigned reason);

/* exits_note - an exit at @now_ns, before it is handled. */
void exits_note(struct exits *x, const struct kvm_run *run, uint64_t now_ns);

/* exits_done - what was noted last took until @now_ns. */
void exits_done(struct exits *x, uint64_t now_ns);

/* exits_text - one line about a record, without its time. */
void exits_text(const struct exit_record *r, char *buf, size_t size);
