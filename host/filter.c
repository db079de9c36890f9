#include "host/filter.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The field's line in a status file of procfs. -1: not told. */
static long status_field(const char *path, const char *field)
{
	char text[4096];
	const char *at;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 0)
		return -1;
	text[n] = 0;
	at = strstr(text, field);
	return at ? strtol(at + strlen(field), NULL, 10) : -1;
}

bool filter_is_own(void)
{
	static const char field[] = "\nSeccomp_filters:";
	char path[32];
	long here, above;

	if (!prctl(PR_GET_SECCOMP))
		return false;
	here = status_field("/proc/thread-self/status", field);
	snprintf(path, sizeof(path), "/proc/%d/status", getppid());
	above = status_field(path, field);
	/* The first process of a container has no parent to look at. */
	if (above < 0)
		above = 1;
	return here < 0 || here > above;
}
