#include "shim/cpuinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/types.h"
#include "shim/real.h"

/* has_flag - whether a line of flags names @flag. */
static bool has_flag(const char *line, const char *flag)
{
	size_t len = strlen(flag);

	for (const char *p = line; (p = strstr(p, flag)); p += len)
		if (p[-1] == ' ' && (p[len] == ' ' || p[len] == '\n'))
			return true;
	return false;
}

static void copy(FILE *in, int out)
{
	const char *flag = "vmx";
	char line[8192];

	while (fgets(line, sizeof(line), in)) {
		size_t len = strlen(line);

		if (!strncmp(line, "vendor_id", 9) && strstr(line, "AMD"))
			flag = "svm";
		if (strncmp(line, "flags", 5) || line[len - 1] != '\n' ||
		    has_flag(line, flag)) {
			dprintf(out, "%s", line);
			continue;
		}
		dprintf(out, "%.*s %s\n", (int)len - 1, line, flag);
	}
}

int cpuinfo_open(int flags)
{
	FILE *in = real()->fopen("/proc/cpuinfo", "re");
	int fd;

	if (!in)
		return -1;
	fd = memfd_create("cpuinfo", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd >= 0) {
		copy(in, fd);
		lseek(fd, 0, SEEK_SET);
	}
	fclose(in);
	return fd;
}
