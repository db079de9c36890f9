#pragma once

#include <sys/types.h>

#include "base/types.h"

/*
 * Guest memory that other processes (runners) may map, too: which file, and
 * where in it, stands behind host addresses.  The engine makes memory such when
 * a slot is created: private anonymous memory of the client is replaced, in
 * place and with its contents, by a shared mapping of a memfd.
 */
struct share {
	int fd;		 /* in this process, close-on-exec */
	uint64_t offset; /* of the address asked for */
	uint64_t len;	 /* bytes from there on that go on in the file */
};

/*
 * share_convert - makes [hva, hva + size) (page aligned) shareable if it is
 * private anonymous memory or known already, else does nothing.
 * 0; -EOPNOTSUPP: some of it is something else; -errno: its contents and where
 * they are mapped are the same as before.
 * The caller sees to it that nobody writes there meanwhile.
 */
int share_convert(void *hva, size_t size);

/* share_forget - memory of a slot that is gone; what stays mapped stays. */
void share_forget(void *hva, size_t size);

/* share_drop - whatever is there is not shareable any more: the client is about
 * to change the mapping. */
void share_drop(void *hva, size_t size);

/* share_find - false: not shareable.  Any thread; async-signal-safe, no lock
 * that a vCPU thread could wait for long. */
bool share_find(const void *hva, struct share *out);

/* share_generation - changes whenever the set of files does. */
uint64_t share_generation(void);

/* share_fds - the files, at most @max; their number. */
unsigned int share_fds(int *fds, unsigned int max);

/*
 * share_discard - like MADV_DONTNEED of private memory: zeros from now on, in
 * what was converted.  How many bytes of the range that is; -errno.
 */
ssize_t share_discard(void *hva, size_t size);
