#include "cli/opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/disk/disk.h"

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

int opt_disk(char *text, struct disk_config *disk, const char **bad)
{
	char *next = strchr(text, ',');

	*disk = (struct disk_config){ .path = text };
	while (next) {
		char *word = next + 1;

		*next = 0;
		next = strchr(word, ',');
		if (next)
			*next = 0;
		if (!strcmp(word, "ro"))
			disk->readonly = true;
		else if (!strcmp(word, "if=ata"))
			disk->bus = DISK_ATA;
		else if (!strcmp(word, "if=virtio"))
			disk->bus = DISK_VIRTIO;
		else if (strcmp(word, "format=raw"))
			*bad = word;
		if (*bad)
			return -EINVAL;
	}
	*bad = *text ? NULL : text;
	return *text ? 0 : -EINVAL;
}
