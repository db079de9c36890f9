#include "host/rundelay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char path[] = "/proc/thread-self/schedstat";

bool rundelay_available(void)
{
	return !access(path, R_OK);
}

int rundelay_open(void)
{
	int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The second number of the file, in ns. */
bool rundelay_read(int fd, uint64_t *ns)
{
	char text[80];
	long n = syscall(SYS_pread64, fd, text, sizeof(text), 0L);
	long at = 0;

	while (at < n && text[at] != ' ')
		at++;
	if (++at >= n)
		return false;
	for (*ns = 0; at < n && text[at] >= '0' && text[at] <= '9'; at++)
		*ns = *ns * 10 + (text[at] - '0');
	return at < n && text[at] == ' ';
}
