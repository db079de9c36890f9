#include "cli/opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int opt_number(const char *text, const char **end, uint64_t *val)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*val = strtoull(text, &stop, strncasecmp(text, "0x", 2) == 0 ? 16 : 10);
	*end = stop;
	return errno ? -ERANGE : 0;
}

int opt_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "kmgt";
	unsigned shift = 20;
	const char *end, *unit;
	int r = opt_number(text, &end, bytes);

	if (r == -EINVAL)
		return r;
	if (*end) {
		unit = strchr(units, tolower((unsigned char)*end));
		if (!unit || (end[1] && strcasecmp(end + 1, "ib") &&
			      strcasecmp(end + 1, "b")))
			return -EINVAL;
		shift = 10 * (unit - units + 1);
	}
	if (r || *bytes > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes <<= shift;
	return 0;
}

int opt_uint(const char *text, uint64_t max, uint64_t *val)
{
	const char *end;
	int r = opt_number(text, &end, val);

	if (r == -EINVAL || *end)
		return -EINVAL;
	return r || *val > max ? -ERANGE : 0;
}
