#include <errno.h>

#include "host/runner.h"
#include "include/ring3.h"

int ring3_direct(int *call)
{
#ifdef RING3_SANITIZE
	int err = -EOPNOTSUPP, refused = 0;
#else
	int err = runner_probe(), refused = runner_refused();
#endif

	if (call)
		*call = refused;
	if (!err)
		return 0;
	errno = -err;
	return -1;
}
