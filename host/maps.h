#pragma once

#include "base/types.h"

/*
 * What is mapped in this process, as /proc/self/maps tells.  Linux 6.11 and
 * later answer for single addresses; for others it is read as a whole.
 */
struct maps {
	int fd;
	char *text; /* NULL: ask for each address */
	char *next; /* where the last look-up ended */
};

enum {
	MAPS_READ = BIT(0),
	MAPS_WRITE = BIT(1),
	MAPS_EXEC = BIT(2),
	MAPS_SHARED = BIT(3),
};

struct maps_area {
	uintptr_t start, end;
	unsigned int flags; /* MAPS_* */
	uint64_t offset, ino;
	unsigned int major, minor; /* of the file's device */
	char name[64];		   /* path or "[heap]" and the like, cut off */
};

/* Its ioctl, PROCMAP_QUERY of linux/fs.h. */
#define MAPS_QUERY 0xc0686611u

/* maps_open - 0, -errno. */
int maps_open(struct maps *m);
void maps_close(struct maps *m);

/* maps_find - the area that holds @addr or else comes next.  0, -ENOENT. */
int maps_find(struct maps *m, uintptr_t addr, struct maps_area *area);

/*
 * maps_vmflags - whether areas in [@start, @end) have one of the flags of
 * smaps' VmFlags, @name: two letters; read into @flags at once, as bits in the
 * order of @names, for all areas together.  0, -errno.
 */
int maps_vmflags(uintptr_t start, uintptr_t end, const char *const *names,
		 unsigned int nr, unsigned int *flags);
