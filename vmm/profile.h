#pragma once

#include <stdio.h>
#include <time.h>

#include "vmm/symbols.h"

/*
 * Where a run's CPU time goes: each thread that runs the guest, and the main
 * thread with the devices, notes at each tick of its own CPU time what it does.
 */
struct vm;
struct vcpu;

struct profile_config {
	bool on;
	const char *file;    /* where the tables go; NULL: stderr */
	const char *symbols; /* System.map or vmlinux of the guest; or NULL */
};

/* One sample. */
struct profile_sample {
	const char *what; /* in the engine's C code: for which reason */
	uint64_t rip;	  /* the guest's, if known; or 0 */
	uint64_t pc;	  /* the host's */
	uint32_t exit;	  /* in user mode: the KVM_EXIT that is served */
	uint8_t where;	  /* enum ring3_where, or PROFILE_USER */
	bool user;	  /* the guest's CPL is 3 */
};

#define PROFILE_USER 0xff
/* Address space set aside for each thread; memory is taken as it fills. */
#define PROFILE_SAMPLES (1u << 20)

struct profile_thread {
	struct vcpu *vcpu; /* NULL: the main thread */
	timer_t timer;
	bool begun;
	uint64_t cpu_ns, wall_ns; /* begin; after the end: how much */
	struct profile_sample *sample;
	size_t nr, lost;
};

struct profile {
	struct profile_thread *thread; /* one a vCPU, then the main thread's */
	unsigned nr_threads;
	struct symbols guest;
	FILE *out;
};

/*
 * profile_init - before the threads: memory and signal.  0, or a status after a
 * message.  Does nothing, as the others, unless it is switched on.
 */
int profile_init(struct vm *vm);

/* profile_begin, profile_end - in a thread that is to be sampled; @vcpu NULL:
 * the main thread. */
void profile_begin(struct vm *vm, struct vcpu *vcpu);
void profile_end(void);

/* profile_print - the tables; all threads have ended. */
void profile_print(struct vm *vm);
void profile_free(struct vm *vm);
