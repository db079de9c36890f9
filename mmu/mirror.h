#pragma once

#include "mmu/mmu.h"

struct runner;

/*
 * A vCPU's mirrors: the page tables of guest processes, as far as their user
 * pages have been touched, in the address spaces of runners (host/runner.h),
 * one for each CR3.  What a runner maps is a TLB like any other: it may hold
 * what the guest's tables said until the guest flushes it.  A flush by the
 * architecture's rules drops nothing here, it marks spaces as stale; when one
 * is used again the entries it was made of are compared with memory, and what
 * has changed goes.  A page is writable only if its D bit is set, mapped only
 * if all its entries have A set, and as in tlb.h never writable while it holds
 * code (PGF_CODE).
 *
 * Code is looked at before it is mapped (x86/scan.h), and then the page has
 * PGF_EXEC if that is to be had without dropping write entries: whoever writes
 * to it unsets that, and the mapping goes when the space is used next.  A page
 * that the guest may write and execute at once gets PGF_EXEC whatever it costs,
 * and is mapped for one or the other, as faults ask for it, until a space has
 * changed between them MIRROR_FLIPS times: just-in-time compilers write code
 * all the time, and it is plain code.  From then on such pages are mapped for
 * both.
 *
 * The notes may be made in non-root mode's light path (no C library); those
 * marked so by other threads while the world is stopped.
 */
struct mirror;

/* mirror_create - NULL: out of memory. */
struct mirror *mirror_create(void);
void mirror_destroy(struct mirror *m);

/* mirror_note_all - a flush of all tags. */
void mirror_note_all(struct mirror *m);

/* mirror_note_pcid - a flush of one tag. */
void mirror_note_pcid(struct mirror *m, unsigned int pcid);

/* mirror_note_cr3 - the CR3 that is loaded flushes its tag. */
void mirror_note_cr3(struct mirror *m, uint64_t cr3, unsigned int pcid);

/* mirror_note_gva - INVLPG of @gva in the address space of @cr3 and those that
 * have been used with the same tag. */
void mirror_note_gva(struct mirror *m, uint64_t cr3, unsigned int pcid,
		     gva_t gva);

/* mirror_note_gone - slots have changed.  Any thread. */
void mirror_note_gone(struct mirror *m);

/* mirror_note_code - the page @gpa may not be written any more without notice.
 * Any thread. */
void mirror_note_code(struct mirror *m, gpa_t gpa);

/* mirror_note_written - some pages have lost PGF_EXEC.  Any thread. */
void mirror_note_written(struct mirror *m);

/* What is known of a process's computing; dbt/direct_when.c keeps it.  Times
 * are in cycles of the TSC. */
struct mirror_load {
	uint64_t root;
	uint64_t cycles;	  /* in user mode, since it began */
	uint64_t mean;		  /* a burst in user mode, lately */
	bool was_long;		  /* the last one that was translated */
	uint64_t cost;		  /* what one takes by way of a runner */
	uint64_t sum;		  /* of a trial's bursts */
	unsigned int turns;	  /* in runners since the last trial ... */
	unsigned int interval;	  /* ... and until the next one */
	unsigned int trial;	  /* bursts of the present one; 0: none */
	unsigned int nr_failures; /* of trials */
};

/* mirror_load - that of the process of @cr3, as far as flushes tell a new one
 * from an old one; it is valid until another one is asked for. */
struct mirror_load *mirror_load(struct mirror *m, uint64_t cr3);

/*
 * mirror_enter - the runner of the current CR3, in accordance with the tables
 * as far as flushes ask for it.  0; -EAGAIN: nearly all of it is new, so it is
 * another process, that begins to earn its credit, or it has pages where the
 * runner has its own; other -errno: there is none to be had.
 */
int mirror_enter(struct mirror *m, struct mmu *mmu, struct runner **r);

/* What is known of the access that a runner could not make. */
enum mirror_access {
	MIRROR_ANY,
	MIRROR_WRITE,
	MIRROR_FETCH, /* or, in a page that can be executed, MIRROR_WRITE */
};

/*
 * mirror_fill - after a fault of the runner at @gva: maps the page, or maps it
 * with more rights, and some of its neighbours.  False: there is nothing to be
 * mapped better; the instruction has to be looked at.
 */
bool mirror_fill(struct mirror *m, struct mmu *mmu, gva_t gva,
		 enum mirror_access access);

/*
 * mirror_image - room for the vector state that the current runner has, and
 * whether it does have it; the caller keeps both up to date.
 */
struct mirror_image {
	bool valid;
	void *xsave;
};

struct mirror_image *mirror_image(struct mirror *m);

/* mirror_drop - the current runner is of no use any more. */
void mirror_drop(struct mirror *m);
