#pragma once

#include <stddef.h>

#include "base/types.h"

struct maps_area;

/*
 * populated_advice - what the areas of [@start, @end) were advised (smaps'
 * VmFlags), for populated_replace(), in *@advice.
 * 0; -EOPNOTSUPP: locked or watched (userfaultfd) memory, or not known.
 */
int populated_advice(uintptr_t start, uintptr_t end, unsigned int *advice);

/*
 * populated_replace - maps file @fd, empty, shared and from its start on, in
 * place of the private anonymous memory at [@hva, @hva + @size), which is
 * readable, writable and has @prot, too; with its contents and @advice.  Pages
 * that nobody has touched stay so.  A forked child does not get it.
 * 0; -EOPNOTSUPP: /proc does not tell which they are; -errno.  The memory has
 * the same contents as before in any case.
 */
int populated_replace(int fd, void *hva, size_t size, int prot,
		      unsigned int advice);

/*
 * populated_is_heap - whether @addr, in private memory @area, looks like a
 * heap of the C library, which may give it to anybody once it is freed.
 */
bool populated_is_heap(const struct maps_area *area, uintptr_t addr);
