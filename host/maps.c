#include "host/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* PROCMAP_QUERY and its flags, "PROCFS uAPI" in linux/fs.h since 6.11 */
struct procmap_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size;
	uint64_t vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};

_Static_assert(MAPS_QUERY == _IOWR('f', 17, struct procmap_query), "ABI");

#define QUERY_FLAGS	0xf  /* readable, writable, executable, shared */
#define QUERY_OR_NEXT	0x10 /* covering or next area */
#define TEXT_FIRST_SIZE 0x10000

static int query(const struct maps *m, uintptr_t addr, struct maps_area *area)
{
	struct procmap_query q = {
		.size = sizeof(q),
		.query_flags = QUERY_OR_NEXT,
		.query_addr = addr,
		.vma_name_size = sizeof(area->name),
		.vma_name_addr = (uintptr_t)area->name,
	};

	area->name[0] = 0;
	if (syscall(SYS_ioctl, m->fd, MAPS_QUERY, &q)) {
		/* A longer name is a file's. */
		if (errno != ENAMETOOLONG)
			return -errno;
		q.vma_name_size = 0;
		q.vma_name_addr = 0;
		if (syscall(SYS_ioctl, m->fd, MAPS_QUERY, &q))
			return -errno;
		strcpy(area->name, "/");
	}
	area->start = q.vma_start;
	area->end = q.vma_end;
	area->flags = q.vma_flags & QUERY_FLAGS;
	area->offset = q.vma_offset;
	area->ino = q.inode;
	area->major = q.dev_major;
	area->minor = q.dev_minor;
	return 0;
}

/* read_all - a text file of unknown size, to be freed, or NULL and errno. */
static char *read_all(int fd)
{
	size_t size = TEXT_FIRST_SIZE, len = 0;
	char *text = malloc(size), *more;
	ssize_t n;

	while (text && (n = read(fd, text + len, size - len - 1))) {
		if (n < 0) {
			free(text);
			return NULL;
		}
		len += n;
		if (size - len > 1)
			continue;
		more = realloc(text, size *= 2);
		if (!more)
			free(text);
		text = more;
	}
	if (text)
		text[len] = 0;
	return text;
}

int maps_open(struct maps *m)
{
	struct maps_area area;
	int r;

	m->text = m->next = NULL;
	m->fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (m->fd < 0)
		return -errno;
	r = query(m, 0, &area);
	if (!r)
		return 0;
	m->text = m->next = read_all(m->fd);
	if (m->text)
		return 0;
	r = -errno;
	close(m->fd);
	return r;
}

void maps_close(struct maps *m)
{
	free(m->text);
	close(m->fd);
}

/* parse - the line at @p: the start of the next one, or NULL. */
static char *parse(char *p, struct maps_area *a)
{
	static const char letters[] = "rwxs";
	char *end = strchr(p, '\n');
	size_t len;

	if (!end)
		return NULL;
	a->start = strtoul(p, &p, 16);
	a->end = strtoul(p + 1, &p, 16);
	a->flags = 0;
	p++;
	for (int i = 0; i < 4; i++)
		if (p[i] == letters[i])
			a->flags |= BIT(i);
	a->offset = strtoul(p + 4, &p, 16);
	a->major = strtoul(p, &p, 16);
	a->minor = strtoul(p + 1, &p, 16);
	a->ino = strtoul(p, &p, 10);
	while (*p == ' ')
		p++;
	len = end - p;
	if (len > sizeof(a->name) - 1)
		len = sizeof(a->name) - 1;
	memcpy(a->name, p, len);
	a->name[len] = 0;
	return end + 1;
}

int maps_find(struct maps *m, uintptr_t addr, struct maps_area *area)
{
	char *next;

	if (!m->text)
		return query(m, addr, area);
	/* Look-ups come in ascending order, mostly. */
	if (m->next == m->text || !parse(m->next, area) || area->start > addr)
		m->next = m->text;
	for (; (next = parse(m->next, area)); m->next = next)
		if (area->end > addr)
			return 0;
	return -ENOENT;
}

static unsigned int flags_of(const char *line, const char *const *names,
			     unsigned int nr)
{
	unsigned int flags = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (strstr(line, names[i]))
			flags |= BIT(i);
	return flags;
}

/* What is known at a line of smaps. */
struct smaps {
	uintptr_t start, end; /* asked for */
	const char *const *names;
	unsigned int nr, flags;
	bool inside, found;
};

/* smaps_line - false behind the last area of interest. */
static bool smaps_line(struct smaps *s, const char *line)
{
	uintptr_t from;
	char *p;

	if (s->inside && !strncmp(line, "VmFlags:", 8)) {
		s->flags |= flags_of(line + 8, s->names, s->nr);
		s->found = true;
	}
	from = strtoul(line, &p, 16);
	if (p == line || *p != '-')
		return true;
	s->inside = strtoul(p + 1, NULL, 16) > s->start;
	return from < s->end;
}

int maps_vmflags(uintptr_t start, uintptr_t end, const char *const *names,
		 unsigned int nr, unsigned int *flags)
{
	struct smaps s = { start, end, names, nr, .flags = 0 };
	char chunk[4096], line[512];
	size_t len = 0;
	ssize_t n = 0;
	bool more = true;
	int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (more && (n = read(fd, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; more && i < n; i++) {
			if (chunk[i] != '\n') {
				if (len < sizeof(line) - 1)
					line[len++] = chunk[i];
				continue;
			}
			line[len] = 0;
			len = 0;
			more = smaps_line(&s, line);
		}
	}
	close(fd);
	*flags = s.flags;
	return s.found ? 0 : -ENOENT;
}
