#include <errno.h>

#include "host/share.h"
#include "include/ring3.h"

void ring3_unmap(void *addr, size_t len)
{
	share_drop(addr, len);
}

ssize_t ring3_discard(void *addr, size_t len)
{
	ssize_t r = share_discard(addr, len);

	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}
